//! One HTTP request and its response, and what a broken or refused one says of the calls in it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
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
    // What is wrong with the URL shows at each call: the constructors cannot fail.
    endpoint: Result<(Client, Url), RpcError>,
    urls: Mutex<HashMap<String, Url>>,
}

impl Exchange {
    pub(super) fn new(url: &str) -> Self {
        Self { endpoint: endpoint(url).map_err(RpcError::not_executed), urls: Mutex::default() }
    }

    /// Sends one call as `POST /{method}`.
    pub(super) async fn lone(&self, call: Call) -> RpcResult<Bytes> {
        let response = self.post(&call.method, call.arguments, &call.headers, call.deadline).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| failed(&error))?;
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
        let (client, base) = self.endpoint.as_ref().map_err(Clone::clone)?;
        let mut request = Request::new(Method::POST, self.url(base, path));
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(TIMEOUT_MS_MAX);
            request.headers_mut().insert(TIMEOUT_MS.clone(), HeaderValue::from(left_ms));
        }
        *request.body_mut() = Some(body.into());
        client.execute(request).await.map_err(|error| failed(&error))
    }
}

impl Exchange {
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

fn endpoint(url: &str) -> Result<(Client, Url), RpcError> {
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
    Ok((client, base))
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
