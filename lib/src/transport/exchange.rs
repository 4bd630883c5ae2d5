//! One HTTP request and its response, and what a broken or refused one says of the calls in it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Response, Url};
use tokio::time::Instant;

use crate::call::{Call, TIMEOUT_MS, TIMEOUT_MS_MAX};
use crate::error::{Code, RpcError, RpcResult};
use crate::log::Excerpt;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle connection is kept; shorter than a server's idle timeout, so that the server never closes one that
/// is just being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How many URLs of methods are kept.
const URLS_MAX: usize = 1_024;

/// How often a request is sent on to where a proxy points.
const REDIRECTS_MAX: usize = 5;

/// Bytes of a response that only says what went wrong.
const REFUSAL_BYTES_MAX: usize = 1 << 20;

/// One HTTP request and its response.
pub(super) struct Exchange {
    // Each call reports what is wrong with the URL: the constructors cannot fail.
    endpoint: Result<(Carrier, Url), RpcError>,
    urls: Mutex<HashMap<String, Url>>,
}

/// What carries HTTP requests.
enum Carrier {
    Sockets(Client),
    #[cfg(any(test, feature = "testing"))]
    Network(std::sync::Arc<dyn super::network::Network>),
}

impl Carrier {
    async fn execute(&self, request: Request) -> RpcResult<Response> {
        match self {
            Self::Sockets(client) => client.execute(request).await.map_err(|error| failed(&error)),
            #[cfg(any(test, feature = "testing"))]
            Self::Network(network) => super::network::execute(&**network, request).await,
        }
    }
}

impl Exchange {
    pub(super) fn new(url: &str) -> Self {
        Self { endpoint: endpoint(url).map_err(RpcError::not_executed), urls: Mutex::default() }
    }

    /// Exchanges that a test carries itself.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn over(network: std::sync::Arc<dyn super::network::Network>) -> Self {
        let base = Url::parse("http://network.test/").expect("a constant URL is valid");
        Self { endpoint: Ok((Carrier::Network(network), base)), urls: Mutex::default() }
    }

    /// Sends one call as `POST /{method}`; its reply may have this many bytes.
    pub(super) async fn lone(&self, call: Call, reply_bytes: usize) -> RpcResult<Bytes> {
        let response = self.post(&call.method, call.arguments, &call.headers, call.deadline).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        whole(response, reply_bytes).await
    }

    /// Sends `body` and gives the response when its head is there.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Bytes,
        headers: &HeaderMap,
        deadline: Option<Instant>,
    ) -> RpcResult<Response> {
        let (carrier, base) = self.endpoint.as_ref().map_err(Clone::clone)?;
        let mut request = Request::new(Method::POST, self.url(base, path));
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(TIMEOUT_MS_MAX);
            request.headers_mut().insert(TIMEOUT_MS.clone(), HeaderValue::from(left_ms));
        }
        *request.body_mut() = Some(body.into());
        carrier.execute(request).await
    }

    /// The URL of a method; building one costs more than the rest of the request.
    fn url(&self, base: &Url, path: &str) -> Url {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(url) = urls.get(path) {
            return url.clone();
        }
        let mut url = base.clone();
        // Batches go to the base as it was given: behind some proxies only one of `/api` and `/api/` leads anywhere.
        if !path.is_empty() {
            url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        }
        if urls.len() < URLS_MAX {
            urls.insert(path.to_owned(), url.clone());
        }
        url
    }
}

/// The body of a response of at most `bytes_max` bytes.
pub(super) async fn whole(mut response: Response, bytes_max: usize) -> RpcResult<Bytes> {
    let Some(first) = piece(&mut response).await? else { return Ok(Bytes::new()) };
    check_bytes(first.len(), bytes_max)?;
    // Most bodies are one piece, which needs no copy.
    let Some(second) = piece(&mut response).await? else { return Ok(first) };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece_of_body) = next {
        check_bytes(body.len() + piece_of_body.len(), bytes_max)?;
        body.extend_from_slice(&piece_of_body);
        next = piece(&mut response).await?;
    }
    Ok(body.freeze())
}

/// The next piece of a body.
pub(super) async fn piece(response: &mut Response) -> RpcResult<Option<Bytes>> {
    response.chunk().await.map_err(|error| failed(&error))
}

/// Refuses a reply that is larger than the client takes.
pub(super) fn check_bytes(bytes: usize, bytes_max: usize) -> RpcResult<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!(
        "a reply has more than {bytes_max} bytes, the client's limit: raise `CoalesceLimits::reply_bytes` or ask for less"
    );
    Err(RpcError::new(Code::ResourceExhausted, message))
}

fn endpoint(url: &str) -> Result<(Carrier, Url), RpcError> {
    let invalid = |why: &str| {
        RpcError::invalid_argument(format!("`{}` is not a valid server URL: {why}", Excerpt(url)))
    };
    let base = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
    if base.scheme() != "http" {
        return Err(invalid("it must begin with http://"));
    }
    let client = Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(redirects())
        .build()
        .map_err(|error| RpcError::internal(format!("cannot set up an HTTP client: {error}")))?;
    Ok((Carrier::Sockets(client), base))
}

/// What an exchange that broke says of its calls.
pub(super) fn failed(error: &reqwest::Error) -> RpcError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    let error_of_call = RpcError::unavailable(text);
    // Without a connection no byte of the request was sent.
    if error.is_connect() || error.is_builder() { error_of_call.not_executed() } else { error_of_call }
}

/// A proxy that answers 307 or 308 asks for the same request at another place. The other redirects would turn it into a
/// `GET`; they are errors.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let is_repeat =
            matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        let is_http = attempt.url().scheme() == "http";
        if is_repeat && is_http && attempt.previous().len() <= REDIRECTS_MAX {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// What a response with another status than success says.
pub(super) async fn refusal(response: Response) -> RpcError {
    let status = response.status();
    if status.is_redirection() {
        return redirected(&response);
    }
    let body = whole(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| {
        RpcError::new(Code::of_http_status(status), format!("the server answered HTTP {status}"))
    })
}

/// What a redirect says that is not followed.
fn redirected(response: &Response) -> RpcError {
    let status = response.status();
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let error = RpcError::new(
        Code::FailedPrecondition,
        match location {
            Some(location) => {
                format!(
                    "the server answered HTTP {status}: use the URL that it points to, `{}`",
                    Excerpt(location)
                )
            }
            None => format!("the server answered HTTP {status} without saying where it points to"),
        },
    );
    match status {
        // It asks for the same request elsewhere, so it has not acted on this one.
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => error.not_executed(),
        // It may also be the answer to a request that was executed.
        _ => error,
    }
}
