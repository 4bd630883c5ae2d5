//! What a request says of the form of its path and its body, decided before the body is read.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::error::RpcError;
use crate::log::Excerpt;

/// Why a body cannot be understood, with the header that says what could be.
pub(super) struct Unsupported {
    pub(super) status: StatusCode,
    pub(super) error: RpcError,
    pub(super) accepted: (header::HeaderName, HeaderValue),
}

/// Whether a body of this description is JSON, as far as one can know. Many clients describe JSON as a form or as text, and
/// some do not describe it at all.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Unsupported> {
    let identity = (header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let unsupported = |status, error, accepted| Err(Unsupported { status, error, accepted });
    for encoding in words(headers, &header::CONTENT_ENCODING) {
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let encoding = Excerpt(encoding);
            let error = RpcError::unimplemented(format!(
                "the content encoding `{encoding}` is not supported: send the body as it is"
            ));
            return unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, identity);
        }
    }
    for coding in words(headers, &header::TRANSFER_ENCODING) {
        if !coding.eq_ignore_ascii_case("chunked") {
            let coding = Excerpt(coding);
            let error = RpcError::unimplemented(format!(
                "the transfer coding `{coding}` is not supported: use `chunked`"
            ));
            return unsupported(StatusCode::NOT_IMPLEMENTED, error, identity);
        }
    }
    for value in headers.get_all(header::CONTENT_TYPE) {
        let text = value.to_str().unwrap_or("\u{fffd}");
        if !is_json(text) {
            let text = Excerpt(text);
            let error = RpcError::invalid_argument(format!(
                "the content type `{text}` is not supported: use `application/json`"
            ));
            let json = HeaderValue::from_static("application/json");
            return unsupported(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                error,
                (header::HeaderName::from_static("accept-post"), json),
            );
        }
    }
    Ok(())
}

/// The members of a list in a header.
fn words<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("\u{fffd}").split(','))
        .map(str::trim)
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = match media.as_str() {
        // curl and forms; `fetch` with a text.
        "" | "application/json" | "text/json" | "application/x-www-form-urlencoded" | "text/plain" => true,
        // Messages in envelopes, whatever is in them.
        other if other.starts_with("application/connect+") || other.starts_with("application/grpc") => false,
        other => other.starts_with("application/") && other.ends_with("+json"),
    };
    is_json
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            !name.trim().eq_ignore_ascii_case("charset")
                || ["utf-8", "utf8", "us-ascii", "ascii"].contains(&value.as_str())
        })
}

/// A path without the slashes it begins with, percent-encoded characters decoded.
pub(super) fn decode_path(path: &str) -> Result<Cow<'_, str>, RpcError> {
    let path = path.trim_start_matches('/');
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let invalid =
        || RpcError::invalid_argument(format!("the path `{}` is not validly percent-encoded", Excerpt(path)));
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit(), digit());
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            decoded.push(value.ok_or_else(invalid)?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn status(name: &'static str, value: &str) -> u16 {
        let headers = HeaderMap::from_iter([(header::HeaderName::from_static(name), value.parse().unwrap())]);
        check(&headers).err().map_or(0, |unsupported| unsupported.status.as_u16())
    }

    #[test]
    fn bodies_that_are_described_as_something_else_are_refused() {
        for json in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; x=y",
            "text/json",
            "application/x-www-form-urlencoded",
            "text/plain;charset=utf-8",
            "application/vnd.api+json",
            "",
        ] {
            assert_eq!(status("content-type", json), 0, "{json}");
        }
        for other in [
            "application/proto",
            "application/grpc",
            "application/grpc+json",
            "application/grpc-web+json",
            "application/connect+json",
            "application/connect+proto",
            "application/x-protobuf",
            "application/msgpack",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/json; charset=utf-16",
            "application/jsonx",
        ] {
            assert_eq!(status("content-type", other), 415, "{other}");
        }
        for encoding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP", "x"] {
            assert_eq!(status("content-encoding", encoding), 415, "{encoding}");
        }
        assert_eq!((status("content-encoding", "Identity"), status("content-encoding", "")), (0, 0));
        assert_eq!(
            (status("transfer-encoding", "gzip, chunked"), status("transfer-encoding", "chunked")),
            (501, 0)
        );
    }

    #[test]
    fn paths_are_percent_decoded() {
        for (path, decoded) in [
            ("/put", "put"),
            ("//put", "put"),
            ("/p%75t", "put"),
            ("/%70%75%74", "put"),
            ("/%c3%a4", "ä"),
            ("/a%2fb", "a/b"),
            ("/a%2Eb", "a.b"),
            ("/%25", "%"),
            ("/a+b", "a+b"),
            ("/%5fschema", "_schema"),
        ] {
            assert_eq!(decode_path(path).unwrap(), decoded, "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/%ff", "/%c3", "/%+1"] {
            assert!(decode_path(path).is_err(), "{path}");
        }
    }
}
