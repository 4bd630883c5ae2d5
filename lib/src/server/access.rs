//! Which web pages may use the server: what the headers `Origin`, `Host` and `Sec-Fetch-Site` must say.
//!
//! A browser sends what any page tells it to, also to servers that only its machine can reach. It names the page in
//! `Origin`, which is why requests from other pages are refused unless their origin is listed. A page can take the name of
//! its own server and let it point to this machine ("DNS rebinding"); then its origin is that of the server, and only the
//! name in `Host` shows that something is wrong. Programs that are not browsers send no `Origin` and are not affected.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};

use crate::error::{Code, RpcError};
use crate::log::Excerpt;

/// How long a browser may remember the answer to a preflight request, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// The most bytes of names of headers that the answer to a preflight request repeats.
const PREFLIGHT_HEADERS_BYTES_MAX: usize = 1 << 10;

/// The health checks, whose `Host` may be anything: those who ask them often know only an address that others have given.
const HEALTH_PATHS: [&str; 3] = ["/livez", "/readyz", "/healthz"];

static ASKS_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
static ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The address of this server that a request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalAddress {
    /// Only this machine can reach it.
    Loopback,
    /// Other machines can reach it.
    Other,
    /// The application that serves the router knows.
    Unknown,
}

impl From<IpAddr> for LocalAddress {
    fn from(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Other }
    }
}

/// The origin of web pages, such as `https://example.com:8443`, or `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(Option<WebOrigin>);

/// A host that a server goes by, such as `kv.example.com`, with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(Authority);

/// Why a text is not an [`AllowedOrigin`] or an [`AllowedHost`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}, such as `{example}`")]
pub struct InvalidAddress {
    text: String,
    what: &'static str,
    example: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WebOrigin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In small letters, without a dot at its end.
    Name(String),
}

impl FromStr for AllowedOrigin {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text == "null" {
            return Ok(Self(None));
        }
        WebOrigin::parse(text).map(|origin| Self(Some(origin))).ok_or_else(|| InvalidAddress {
            text: Excerpt(text).to_string(),
            what: "origin",
            example: "https://example.com:8443",
        })
    }
}

impl FromStr for AllowedHost {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        Authority::parse(text).map(Self).ok_or_else(|| InvalidAddress {
            text: Excerpt(text).to_string(),
            what: "host",
            example: "kv.example.com",
        })
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(WebOrigin { scheme, host, port }) = &self.0 else { return f.write_str("null") };
        write!(f, "{scheme}://{}", Authority { host: host.clone(), port: *port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Ip(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl WebOrigin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let Authority { host, port } = Authority::parse(authority)?;
        Some(Self { port: port.or(default_port(&scheme)), scheme, host })
    }

    /// Whether pages of this origin come from the server that goes by `host`, perhaps through a proxy that speaks TLS.
    fn is_of(&self, host: &Authority) -> bool {
        let port = default_port(&self.scheme);
        port.is_some() && self.host == host.host && self.port == host.port.or(port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                // A zone, as in `fe80::1%eth0`, says on which link the address is.
                let address = address.split_once('%').map_or(address, |(address, _)| address);
                (Host::Ip(address.parse::<Ipv6Addr>().ok().map(IpAddr::from)?.to_canonical()), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (Host::parse(&text[..end])?, &text[end..])
            }
        };
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Self { host, port })
    }

    /// A host that no web page can take for its own.
    fn is_safe(&self) -> bool {
        match &self.host {
            Host::Ip(_) => true,
            Host::Name(name) => name == "localhost",
        }
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !name.is_empty() && !name.ends_with('.') && name.bytes().all(is_plain);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// Which web pages may use the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    origins: Vec<AllowedOrigin>,
    hosts: Vec<AllowedHost>,
    changing_hosts: Option<ChangingHosts>,
}

/// Hosts that change while the server runs.
#[derive(Clone)]
struct ChangingHosts(Arc<dyn Fn() -> Vec<AllowedHost> + Send + Sync>);

impl fmt::Debug for ChangingHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((self.0)()).finish()
    }
}

/// What a request may do that passes; its response must say so.
pub(super) struct Grant {
    /// The listed origin of its page.
    origin: Option<HeaderValue>,
    /// Whether the same request from another page may get another response.
    varies: bool,
}

type Refusal = (StatusCode, RpcError);

impl Access {
    pub(super) fn allow_origin(&mut self, origin: AllowedOrigin) {
        self.origins.push(origin);
    }

    pub(super) fn allow_host(&mut self, host: AllowedHost) {
        self.hosts.push(host);
    }

    pub(super) fn allow_changing_hosts(
        &mut self,
        hosts: impl Fn() -> Vec<AllowedHost> + Send + Sync + 'static,
    ) {
        self.changing_hosts = Some(ChangingHosts(Arc::new(hosts)));
    }

    /// Decides on a request by its head.
    pub(super) fn check(&self, address: LocalAddress, head: &Parts) -> Result<Grant, Refusal> {
        let hosts = hosts(head)?;
        if hosts.is_empty() && head.version == Version::HTTP_11 && address != LocalAddress::Unknown {
            return Err(malformed("the header `Host` is missing"));
        }
        let is_health = HEALTH_PATHS.contains(&head.uri.path());
        let hosts_allowed = hosts.iter().all(|host| self.allows_host(address, host));
        if !hosts_allowed
            && !is_health
            && (address == LocalAddress::Loopback
                || !self.hosts.is_empty() && address == LocalAddress::Unknown)
        {
            return Err(denied(format!(
                "the host `{}` is not allowed here: use an IP address or `localhost`, or list it (--allow-host)",
                Excerpt(hosts.iter().find(|host| !self.allows_host(address, host)).unwrap_or(&""))
            )));
        }
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        let varies = !self.origins.is_empty();
        let Some(origin) = origins.next() else {
            check_fetch_metadata(head)?;
            return Ok(Grant { origin: None, varies });
        };
        let text = origin.to_str().unwrap_or_default();
        let parsed: Option<AllowedOrigin> = text.parse().ok();
        if origins.next().is_none()
            && let Some(parsed) = parsed
        {
            if self.origins.contains(&parsed) {
                return Ok(Grant { origin: Some(origin.clone()), varies: true });
            }
            let is_of = |host: &&str| {
                Authority::parse(host).is_some_and(|host| parsed.0.as_ref().is_some_and(|it| it.is_of(&host)))
            };
            if hosts_allowed && hosts.first().is_some_and(is_of) {
                return Ok(Grant { origin: None, varies });
            }
        }
        Err(denied(format!(
            "pages of the origin `{}` may not use this server unless it is listed (--allow-origin)",
            Excerpt(text)
        )))
    }

    /// Whether a page that claims to come from the server of this name does.
    fn allows_host(&self, address: LocalAddress, text: &str) -> bool {
        let Some(host) = Authority::parse(text) else { return false };
        let is_it = |AllowedHost(listed): &AllowedHost| {
            listed.host == host.host && (listed.port.is_none() || listed.port == host.port)
        };
        let is_listed = self.hosts.iter().any(is_it);
        // An application that serves the router under a name of its own need not list it.
        is_listed
            || host.is_safe()
            || (address == LocalAddress::Unknown && self.hosts.is_empty())
            || self.changing_hosts.as_ref().is_some_and(|hosts| (hosts.0)().iter().any(is_it))
    }
}

impl Grant {
    /// Says in a response which page may read it.
    pub(super) fn apply(self, response: &mut Response<Body>) {
        if self.varies {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.origin {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

/// The hosts that a request names: that of its target, where it has one, and that of the header.
fn hosts(head: &Parts) -> Result<Vec<&str>, Refusal> {
    let mut headers = head.headers.get_all(header::HOST).iter();
    let header = headers.next().map(|host| host.to_str().unwrap_or("\u{fffd}"));
    if headers.next().is_some() {
        return Err(malformed("there is more than one header `Host`"));
    }
    Ok(head.uri.authority().map(|authority| authority.as_str()).into_iter().chain(header).collect())
}

/// Requests that other pages make without saying so may only be visits: links that a person follows.
fn check_fetch_metadata(head: &Parts) -> Result<(), Refusal> {
    let is = |name: &HeaderName, words: &[&str]| {
        let values = head.headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).any(|value| words.contains(&value.trim()))
    };
    let is_visit = [Method::GET, Method::HEAD].contains(&head.method) && is(&FETCH_MODE, &["navigate"]);
    if is(&FETCH_SITE, &["cross-site", "same-site"]) && !is_visit {
        return Err(denied("pages of other origins may not use this server".to_owned()));
    }
    Ok(())
}

/// Answers what a browser asks before it sends a request that forms cannot send; nothing where it asks nothing.
pub(super) fn preflight(head: &Parts) -> Option<Response<Body>> {
    let headers: &HeaderMap = &head.headers;
    if head.method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allow = response.headers_mut();
    allow.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    allow.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(asked) = asked.filter(|asked| asked.len() <= PREFLIGHT_HEADERS_BYTES_MAX) {
        allow.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    if headers.contains_key(&ASKS_PRIVATE) {
        allow.insert(ALLOWS_PRIVATE.clone(), HeaderValue::from_static("true"));
    }
    Some(response)
}

fn denied(message: String) -> Refusal {
    (StatusCode::FORBIDDEN, RpcError::new(Code::PermissionDenied, message).not_executed())
}

fn malformed(message: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, RpcError::invalid_argument(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::Request;

    use super::*;

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn access(origins: &[&str], hosts: &[&str]) -> Access {
        Access {
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            changing_hosts: None,
        }
    }

    /// The status of a `POST /put`; 0 where it may go on.
    fn post(access: &Access, address: LocalAddress, headers: &[(&str, &str)]) -> u16 {
        access.check(address, &head("POST", "/put", headers)).err().map_or(0, |(status, _)| status.as_u16())
    }

    #[test]
    fn on_a_loopback_address_a_host_is_an_address_or_listed() {
        let access = access(&[], &["Kv.Example.com", "other:99"]);
        let status = |host: &str| post(&access, LocalAddress::Loopback, &[("host", host)]);
        for host in [
            "127.0.0.1:7101",
            "127.9.9.9",
            "10.0.0.1",
            "[::1]:7101",
            "[::1]",
            "[fe80::1%25eth0]:1",
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "localhost.:7101",
            "kv.example.com",
            "KV.EXAMPLE.COM.:12",
            "other:99",
            "localhost:",
        ] {
            assert_eq!(status(host), 0, "{host}");
        }
        for host in [
            "",
            "evil.com",
            "evil.com:7101",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "evil-localhost",
            "x.kv.example.com",
            "other",
            "other:98",
            "localhost..",
            "127.0.0.1@evil.com",
            "evil.com#127.0.0.1",
            "127.0.0.1:7101:1",
            "::1",
            "[::1",
            "[::1]x",
            "[evil.com]",
            "127.1",
            "0x7f.0.0.1",
            "localhost:port",
            "localhost:70000",
            "localhost/x",
            "localhost,evil.com",
            "local host",
        ] {
            assert_eq!(status(host), 403, "{host}");
            assert_eq!(post(&access, LocalAddress::Other, &[("host", host)]), 0, "{host}, without an origin");
        }
        let both = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(post(&access, LocalAddress::Loopback, &both), 400);
        assert_eq!(post(&access, LocalAddress::Other, &[]), 400);
        let target = |target| head("GET", target, &[("host", "localhost")]);
        let refused = |target: &Parts| access.check(LocalAddress::Loopback, target).is_err();
        assert!(!refused(&target("http://127.0.0.1:7101/put")) && refused(&target("http://evil.com/put")));
        for path in ["/livez", "/readyz", "/healthz"] {
            assert!(!refused(&head("GET", path, &[("host", "evil.com")])), "{path}");
        }
        assert!(refused(&head("GET", "/livez/x", &[("host", "evil.com")])));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let access = access(
            &["https://ok.example:8443", "http://ok.example", "chrome-extension://abc"],
            &["kv.example"],
        );
        let check = |address: LocalAddress, host: &str, origin: &str| {
            post(&access, address, &[("host", host), ("origin", origin)])
        };
        for (host, origin) in [
            ("127.0.0.1:7101", "http://127.0.0.1:7101"),
            ("localhost", "http://localhost"),
            ("localhost", "http://localhost:80"),
            ("localhost:443", "https://LOCALHOST"),
            ("[::1]:7101", "http://[::1]:7101"),
            ("kv.example", "https://kv.example"),
            ("kv.example:7101", "http://KV.example.:7101"),
            ("10.0.0.1", "https://ok.example:8443"),
            ("10.0.0.1", "http://ok.example:80"),
            ("10.0.0.1", "HTTP://OK.example"),
            ("10.0.0.1", "chrome-extension://abc"),
        ] {
            assert_eq!(check(LocalAddress::Loopback, host, origin), 0, "{host} {origin}");
            assert_eq!(check(LocalAddress::Other, host, origin), 0, "{host} {origin}");
        }
        for (host, origin) in [
            ("127.0.0.1:7101", "http://127.0.0.1:7102"),
            ("127.0.0.1:7101", "http://127.0.0.1"),
            ("localhost", "http://127.0.0.1"),
            ("10.0.0.1", "null"),
            ("10.0.0.1", ""),
            ("10.0.0.1", "https://evil.com"),
            ("10.0.0.1", "https://ok.example"),
            ("10.0.0.1", "https://ok.example:8443/"),
            ("10.0.0.1", "https://ok.example:8443.evil.com"),
            ("10.0.0.1", "http://10.0.0.1@evil.com"),
            ("10.0.0.1", "http://10.0.0.1, http://evil.com"),
            ("localhost", "ftp://localhost"),
            ("localhost", "localhost"),
            ("10.0.0.1", "chrome-extension://abd"),
        ] {
            assert_eq!(check(LocalAddress::Loopback, host, origin), 403, "{host} {origin}");
            assert_eq!(check(LocalAddress::Other, host, origin), 403, "{host} {origin}");
        }
        // A page whose server has taken the address of this one: its name is not listed.
        assert_eq!(check(LocalAddress::Other, "evil.com", "http://evil.com"), 403);
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert_eq!(post(&access, LocalAddress::Loopback, &twice), 403);
    }

    #[test]
    fn an_application_that_serves_the_router_needs_no_list() {
        let own = [("host", "app.example"), ("origin", "https://app.example")];
        let foreign = [("host", "app.example"), ("origin", "https://evil.com")];
        assert_eq!(post(&access(&[], &[]), LocalAddress::Unknown, &own), 0);
        assert_eq!(post(&access(&[], &[]), LocalAddress::Unknown, &foreign), 403);
        assert_eq!(post(&access(&[], &[]), LocalAddress::Unknown, &[]), 0);
        assert_eq!(post(&access(&[], &["app.example"]), LocalAddress::Unknown, &own), 0);
        assert_eq!(post(&access(&[], &["other.example"]), LocalAddress::Unknown, &own), 403);
    }

    #[test]
    fn requests_of_other_sites_without_an_origin_are_visits_or_refused() {
        let access = Access::default();
        for (method, site, mode, passes) in [
            ("GET", "cross-site", "navigate", true),
            ("GET", "same-site", "navigate", true),
            ("GET", "cross-site", "no-cors", false),
            ("GET", "same-site", "no-cors", false),
            ("POST", "cross-site", "navigate", false),
            ("POST", "same-origin", "cors", true),
            ("POST", "none", "navigate", true),
            ("OPTIONS", "cross-site", "cors", false),
        ] {
            let head = head(
                method,
                "/put",
                &[("host", "10.0.0.1"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)],
            );
            assert_eq!(access.check(LocalAddress::Other, &head).is_ok(), passes, "{method} {site} {mode}");
        }
    }

    #[test]
    fn hosts_may_change_while_the_server_runs() {
        let mut access = Access::default();
        let hosts = Arc::new(std::sync::Mutex::new(Vec::new()));
        let read = hosts.clone();
        access.allow_changing_hosts(move || read.lock().unwrap().clone());
        let passes = |access: &Access| {
            access.check(LocalAddress::Loopback, &head("POST", "/put", &[("host", "node-4:7101")])).is_ok()
        };
        assert!(!passes(&access));
        hosts.lock().unwrap().push("node-4:7101".parse().unwrap());
        assert!(passes(&access));
        hosts.lock().unwrap().clear();
        assert!(!passes(&access));
    }

    #[test]
    fn listed_pages_are_named_in_the_response() {
        let access = access(&["https://ok.example", "null"], &[]);
        for origin in ["https://ok.example", "null"] {
            let asks = [
                ("host", "10.0.0.1"),
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type, x-mine"),
            ];
            let head = head("OPTIONS", "/put", &asks);
            let mut response = preflight(&head).unwrap();
            access.check(LocalAddress::Other, &head).ok().unwrap().apply(&mut response);
            let value = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(value("access-control-allow-origin"), Some(origin));
            assert_eq!(value("access-control-allow-headers"), Some("content-type, x-mine"));
            assert_eq!(value("vary"), Some("origin"));
        }
        assert!(preflight(&head("OPTIONS", "/put", &[])).is_none());
        assert!(
            "https://ok.example/path".parse::<AllowedOrigin>().is_err()
                && "*".parse::<AllowedOrigin>().is_err()
        );
        for text in ["null", "https://ok.example:443", "app://[::1]", "http://10.0.0.1:99"] {
            let origin: AllowedOrigin = text.parse().unwrap();
            assert_eq!(origin.to_string().parse(), Ok(origin), "{text}");
        }
        let host: AllowedHost = "[::1]:7".parse().unwrap();
        assert_eq!(host.to_string(), "[::1]:7");
        assert!("a b".parse::<AllowedHost>().is_err() && "http://a".parse::<AllowedHost>().is_err());
    }
}
