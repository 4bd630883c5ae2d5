//! Which request goes where, and how replies and errors stand in HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use tokio::time::Instant;

use super::access::{self, LocalAddress};
use super::batch::{self, Answer};
use super::body;
use super::connections::Connection;
use super::content::{self, Unsupported};
use super::requests::Envelope;
use super::service::Service;
use crate::call::{Call, PEER, TIMEOUT_MS, deadline_after};
use crate::error::{Code, RpcError, RpcResult};
use crate::log::Excerpt;

/// Replies of up to this size are not counted: they are less than what a connection takes anyway.
const UNCOUNTED_BYTES: usize = 1 << 10;

/// Where a request has come in.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) address: LocalAddress,
    /// Unknown where the application serves the router.
    pub(super) connection: Option<&'a Connection>,
}

/// Answers a request.
pub(super) async fn respond(service: &Service, origin: Origin<'_>, request: Request<Body>) -> Response<Body> {
    service.count_request();
    let (head, body) = request.into_parts();
    let mut response = match service.access().check(origin.address, &head) {
        Ok(grant) => {
            let mut response = match access::preflight(&head) {
                Some(response) => response,
                None => answer(service, origin, head, body).await,
            };
            grant.apply(&mut response);
            response
        }
        Err((status, error)) => {
            leave_body(origin, &body);
            error_response(status, &error)
        }
    };
    if service.stops() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers before the body is there.
fn leave_body(origin: Origin<'_>, body: &Body) {
    use hyper::body::Body as _;
    if let Some(connection) = origin.connection.filter(|_| !body.is_end_stream()) {
        connection.set_leaves_body();
    }
}

async fn answer(
    service: &Service,
    origin: Origin<'_>,
    head: axum::http::request::Parts,
    body: Body,
) -> Response<Body> {
    let path = match content::decode_path(head.uri.path()) {
        Ok(path) => path.into_owned(),
        Err(error) => return error_response(error.code().http_status(), &error),
    };
    match head.method {
        Method::POST => {}
        Method::GET | Method::HEAD => return get(service, &path, head.uri.query()),
        _ => return not_allowed("POST"),
    }
    if let Err(Unsupported { status, error, accepted: (name, value) }) = content::check(&head.headers) {
        leave_body(origin, &body);
        let mut response = error_response(status, &error);
        response.headers_mut().insert(name, value);
        return response;
    }
    let of_peer = if path.is_empty() { head.headers.contains_key(&PEER) } else { service.is_reserved(&path) };
    if let Some(connection) = origin.connection {
        connection.set_reads_body(true);
        if of_peer {
            connection.set_peer();
        }
    }
    let body = body::read(service, service.bodies(of_peer), &head.headers, body).await;
    if let Some(connection) = origin.connection {
        connection.set_reads_body(false);
    }
    let body = match body {
        Ok(body) => body,
        Err((status, error)) => return error_response(status, &error),
    };
    let deadline = match deadline(&head.headers) {
        Ok(deadline) => deadline,
        Err(error) => return error_response(error.code().http_status(), &error),
    };
    let headers = Arc::new(head.headers);
    if path.is_empty() {
        return match batch::answer(service, body, Envelope { headers, deadline, of_peer }).await {
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
    let descriptor = service.method(&path);
    let call = Call { method: path.into(), descriptor, arguments, deadline, headers };
    let result = service
        .call(call)
        .await
        .and_then(|reply| counted(service, reply).map_err(|error| error.about(descriptor)));
    match result {
        Ok(reply) => json(StatusCode::OK, reply),
        Err(error) => {
            let status = error.code().http_status();
            // A method's own error may be as large as a reply.
            match counted(service, to_json(&error).into()) {
                Ok(body) => json(status, body),
                Err(refused) => error_response(refused.code().http_status(), &refused.executed_like(&error)),
            }
        }
    }
}

/// A reply that counts until its caller has read it.
fn counted(service: &Service, reply: Bytes) -> RpcResult<Bytes> {
    if reply.len() <= UNCOUNTED_BYTES {
        return Ok(reply);
    }
    Ok(service.hold_reply(reply.len())?.keep(reply))
}

fn get(service: &Service, path: &str, query: Option<&str>) -> Response<Body> {
    if let Some(health) = service.health().respond(path, query) {
        return health;
    }
    if let Some(page) = service.page(path) {
        return json(StatusCode::OK, page);
    }
    let found = match path {
        _ if path == "_schema" || path.starts_with("_schema/") => service.documents().at(path),
        _ if service.method(path).is_some() => return not_allowed("POST"),
        _ => None,
    };
    let Some(document) = found else {
        let message = format!("there is nothing at /{}", Excerpt(path));
        let error = RpcError::new(Code::NotFound, message).not_executed();
        return error_response(error.code().http_status(), &error);
    };
    document.response()
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
    json(status, to_json(error))
}

fn to_json(error: &RpcError) -> Vec<u8> {
    serde_json::to_vec(error).expect("an error has string keys and a Vec takes all")
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let error = RpcError::unimplemented(format!("this path takes {allow}"));
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
