//! URLs of servers, checked before anything is done with them.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use traitwire::log::Excerpt;

/// The URL of a server: `http://HOST[:PORT][/PATH]`.
///
/// ```
/// use traitwire_kv::url::ServerUrl;
///
/// assert!("http://node-1.internal:7101".parse::<ServerUrl>().is_ok());
/// let error = "https://node-1.internal".parse::<ServerUrl>().unwrap_err();
/// assert!(error.to_string().contains("`https` is not supported"), "{error}");
/// ```
#[derive(Clone, Debug)]
pub struct ServerUrl {
    text: String,
    normalized: String,
}

/// Why a text is not the URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not a valid server URL: {problem}", url = Excerpt(.url))]
pub struct InvalidUrl {
    /// The text.
    pub url: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

impl ServerUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Two URLs are equal if they name the same server: `http://A:80/` is `http://a`.
impl PartialEq for ServerUrl {
    fn eq(&self, other: &Self) -> bool {
        self.normalized == other.normalized
    }
}

impl Eq for ServerUrl {}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        match problem(text) {
            Ok(url) => {
                Ok(Self { text: text.to_owned(), normalized: url.as_str().trim_end_matches('/').to_owned() })
            }
            Err(problem) => Err(InvalidUrl { url: text.to_owned(), problem }),
        }
    }
}

/// The parsed URL, or what is wrong with the text. The parser of the WHATWG repairs what is not quite a URL; an operator
/// should hear about it instead.
fn problem(text: &str) -> Result<Url, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("it has no scheme: write http://HOST:PORT".to_owned());
    };
    if scheme.eq_ignore_ascii_case("https") {
        return Err("`https` is not supported: write http://, and put a proxy in front for TLS".to_owned());
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!("the scheme `{}` is not supported: write http://HOST:PORT", Excerpt(scheme)));
    }
    if let Some(letter) = text.chars().find(|it| it.is_whitespace() || it.is_control() || *it == '\\') {
        return Err(format!("it contains {letter:?}"));
    }
    let (authority, _) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it has no host: write http://HOST:PORT".to_owned());
    }
    if authority.contains('@') {
        return Err("a user name or password is not supported".to_owned());
    }
    if authority.ends_with(':') {
        return Err("the port is missing after `:`".to_owned());
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment is not supported".to_owned());
    }
    if url.port_or_known_default() == Some(0) {
        return Err("no server can be reached at port 0: write a port from 1 to 65535".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUrl, String> {
        text.parse::<ServerUrl>().map_err(|error| error.to_string())
    }

    #[test]
    fn valid_urls_stay_as_they_are() {
        for text in [
            "http://127.0.0.1:7101",
            "http://[::1]:7101/",
            "HTTP://localhost",
            "http://node-1.cluster.local:1/behind/a/proxy",
            "http://a:65535",
        ] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn invalid_urls_are_reported_with_the_url_and_the_reason() {
        for (text, reason) in [
            ("", "no scheme"),
            ("127.0.0.1:7101", "no scheme"),
            ("localhost", "no scheme"),
            ("http:/a:1", "no scheme"),
            ("https://a:1", "`https` is not supported"),
            ("etcd://a:1", "`etcd` is not supported"),
            ("unix:///run/a", "`unix` is not supported"),
            ("://a", "`` is not supported"),
            ("http://", "no host"),
            ("http://:7101", "no host"),
            ("http:///a", "no host"),
            ("http://a:", "port is missing"),
            ("http://a:0", "port 0"),
            ("http://a:70000", "invalid port"),
            ("http://a:-1", "invalid port"),
            ("http://a:x", "invalid port"),
            ("http://a b:1", "contains ' '"),
            (" http://a:1", "not supported"),
            ("http://a:1\n", "contains '\\n'"),
            ("http://a\\b", "contains '\\\\'"),
            ("http://u:p@a:1", "user name"),
            ("http://a:1?x", "query"),
            ("http://a:1/#x", "fragment"),
            ("http://[::1:7101", "IPv6"),
            ("http://256.0.0.1:1", "IPv4"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
            assert!(error.starts_with(&format!("`{}` is not a valid server URL", Excerpt(text))), "{error}");
        }
    }

    #[test]
    fn urls_of_the_same_server_are_equal() {
        assert_eq!(parse("http://A:80/"), parse("http://a"));
        assert_eq!(parse("http://a:7101"), parse("HTTP://a:7101/"));
        assert_ne!(parse("http://a:7101"), parse("http://a:7102"));
        assert_ne!(parse("http://a/x"), parse("http://a/y"));
    }
}
