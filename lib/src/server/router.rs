//! Which request goes where, and how replies and errors stand in HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use tokio::time::Instant;

use super::batch::{self, Answer, Envelope};
use super::body;
use super::service::Service;
use crate::call::{Call, TIMEOUT_MS, deadline_after};
use crate::error::{Code, RpcError, RpcResult};

/// Answers a request.
pub(super) async fn respond(service: &Service, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    match parts.method {
        Method::POST => {}
        Method::GET | Method::HEAD => return get(service, &path, parts.uri.query()),
        _ => return not_allowed("POST"),
    }
    let body = match body::read(service, &parts.headers, body).await {
        Ok(body) => body,
        Err((status, error)) => return error_response(status, &error),
    };
    let deadline = match deadline(&parts.headers) {
        Ok(deadline) => deadline,
        Err(error) => return error_response(error.code().http_status(), &error),
    };
    let headers = Arc::new(parts.headers);
    if path.is_empty() {
        return match batch::answer(service, body, Envelope { headers, deadline }).await {
            Answer::Nothing => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Answer::Whole(body) => json(StatusCode::OK, body),
            Answer::Streamed(body) => json(StatusCode::OK, body),
        };
    }
    let arguments = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let call = Call { method: path.into(), descriptor: None, arguments, deadline, headers };
    match service.call(call).await {
        Ok(reply) => json(StatusCode::OK, reply),
        Err(error) => error_response(error.code().http_status(), &error),
    }
}

fn get(service: &Service, path: &str, query: Option<&str>) -> Response<Body> {
    if let Some(health) = service.health().respond(path, query) {
        return health;
    }
    if let Some(page) = service.page(path) {
        return json(StatusCode::OK, page);
    }
    let found = match path {
        _ if path == "_schema" || path.starts_with("_schema/") => {
            service.documents().map(|documents| documents.at(path))
        }
        _ if service.has_method(path) => return not_allowed("POST"),
        _ => Ok(None),
    };
    let nothing = || RpcError::new(Code::NotFound, format!("there is nothing at /{path}")).not_executed();
    match found.and_then(|document| document.cloned().ok_or_else(nothing)) {
        Ok(document) => document.response(),
        Err(error) => error_response(error.code().http_status(), &error),
    }
}

/// When the caller stops waiting, by its `Connect-Timeout-Ms`.
fn deadline(headers: &HeaderMap) -> RpcResult<Option<Instant>> {
    let Some(value) = headers.get(&TIMEOUT_MS) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RpcError::invalid_argument(
            "`connect-timeout-ms` must be a whole number of at most 10 digits",
        ));
    }
    let left = Duration::from_millis(text.parse().expect("ten digits fit into 64 bits"));
    Ok(deadline_after(left))
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error_response(status: StatusCode, error: &RpcError) -> Response<Body> {
    json(status, serde_json::to_vec(error).expect("an error has string keys and a Vec takes all"))
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let error = RpcError::unimplemented(format!("this path takes {allow}"));
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
