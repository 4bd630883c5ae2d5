//! One HTTP request and its response, and what a broken or refused one says of the calls in it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, Request, Response, Url};
use tokio::time::Instant;

use crate::call::{Call, TIMEOUT_MS, TIMEOUT_MS_MAX};
use crate::error::{Code, RpcError, RpcResult};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle connection is kept; shorter than a server's idle timeout, so that the server never closes one that
/// is just being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How many URLs of methods are kept.
const URLS_MAX: usize = 1_024;

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
        let status = response.status();
        let body = whole(response, reply_bytes).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
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
        // Batches go to the base itself, which has no slash at its end unless it is the root.
        let whole = format!("{}{path}", base.path());
        url.set_path(whole.strip_suffix('/').unwrap_or(&whole));
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
    let mut base = Url::parse(url)
        .map_err(|error| RpcError::invalid_argument(format!("`{url}` is no URL of a server: {error}")))?;
    if base.scheme() != "http" {
        return Err(RpcError::invalid_argument(format!(
            "`{url}` is no URL of a server: it must begin with http://"
        )));
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let client = Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
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

/// What a response with an error status says.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> RpcError {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        RpcError::new(Code::of_http_status(status), format!("the server answered HTTP {status}"))
    })
}
