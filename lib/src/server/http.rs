//! HTTP: which request goes where, bodies within their limits, and the loop that accepts connections.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use traitwire_schema::argument_fields;

use super::batch::{self, Answer, Envelope};
use super::connections::{Connections, Open};
use super::documents::Documents;
use super::handler::{Handler, about};
use super::limits::Limits;
use super::positions::by_name;
use crate::call::{Call, TIMEOUT_MS};
use crate::error::{Code, RpcError, RpcResult};
use crate::layer::Layer;
use crate::rpc::Server;

/// How long the accept loop waits when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `server` on `listener` until `shutdown` ends, then finishes the calls that are under way.
pub async fn serve(
    listener: TcpListener,
    server: impl Server + 'static,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    HttpServer::new(server).serve(listener, shutdown).await
}

/// A server with its settings: limits and layers.
pub struct HttpServer {
    server: Arc<dyn Server>,
    layers: Vec<Arc<dyn Layer>>,
    limits: Limits,
}

impl HttpServer {
    /// A server with the default limits and no layer.
    pub fn new(server: impl Server + 'static) -> Self {
        Self { server: Arc::new(server), layers: Vec::new(), limits: Limits::default() }
    }

    /// Puts a layer around every call, inside those that were added before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The server as an axum router: it nests in an application that exists and takes any tower layer.
    pub fn into_router(self) -> Router {
        let service = Service::new(self);
        Router::new().fallback(move |request: Request<Body>| {
            let service = service.clone();
            async move { service.respond(request).await }
        })
    }

    /// Serves on `listener` until `shutdown` ends; then no connection is accepted, and calls that are under way have
    /// [`Limits::shutdown_timeout`] to end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let service = Service::new(self);
        let connections = Connections::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let open = connections.add(service.shared.limits.connections);
                    tokio::spawn(connection(stream, open, service.clone()));
                }
                // The peer was gone before it was accepted, or descriptors ran out: neither ends the server.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let ended = async {
            connections.end_all().await;
            service.calls_ended().await;
        };
        if tokio::time::timeout(service.shared.limits.shutdown_timeout, ended).await.is_err() {
            tracing::warn!("calls were still under way when the time for the shutdown was over");
        }
        Ok(())
    }
}

async fn connection(stream: TcpStream, open: Open, service: Service) {
    // Replies are small and each is waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let connection = Arc::clone(&open.connection);
    let respond = service_fn(|request: Request<hyper::body::Incoming>| {
        let service = service.clone();
        let connection = Arc::clone(&connection);
        async move {
            connection.request_began();
            let response = service.respond(request.map(Body::new)).await;
            connection.request_ended();
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(service.shared.limits.header_timeout);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), respond));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = open.connection.end.notified() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// What answers requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    handler: Handler,
    limits: Limits,
    calls: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    documents: OnceLock<RpcResult<Documents>>,
}

/// Bytes of bodies are counted in units of this size.
const BODY_UNIT: usize = 1024;

impl Service {
    fn new(server: HttpServer) -> Self {
        let HttpServer { server, layers, limits } = server;
        Self {
            shared: Arc::new(Shared {
                handler: Handler::new(server, layers),
                calls: Arc::new(Semaphore::new(limits.concurrent_calls)),
                bodies: Arc::new(Semaphore::new(limits.bodies_bytes.div_ceil(BODY_UNIT))),
                documents: OnceLock::new(),
                limits,
            }),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    async fn calls_ended(&self) {
        let all = u32::try_from(self.shared.limits.concurrent_calls).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _all = self.shared.calls.acquire_many(all).await;
    }

    fn documents(&self) -> RpcResult<&Documents> {
        let make = || Documents::new(&self.shared.handler.services());
        self.shared.documents.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    /// The OpenRPC document.
    pub(super) fn discover(&self) -> RpcResult<Bytes> {
        self.documents().map(|documents| documents.openrpc.clone())
    }

    /// Runs a call that is within the limits.
    pub(super) async fn call(&self, mut call: Call) -> RpcResult<Bytes> {
        let handler = &self.shared.handler;
        call.descriptor = handler.method(&call.method);
        let refuse = |error| Err(about(call.descriptor, error));
        if call.method.starts_with('_') || call.method.starts_with("rpc.") {
            return refuse(RpcError::unimplemented(format!("`{}` is a reserved name", call.method)));
        }
        if let Some(method) = call.descriptor {
            if call.deadline.is_none() {
                call.deadline =
                    method.timeout_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
            }
            let is_array = call.arguments.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
            if is_array && argument_fields(method).is_some() {
                return refuse(RpcError::invalid_argument("the arguments must be an object, not an array"));
            }
        }
        match Arc::clone(&self.shared.calls).try_acquire_owned() {
            Ok(permit) => handler.run(call, permit).await,
            Err(_) => {
                let limit = self.shared.limits.concurrent_calls;
                refuse(RpcError::resource_exhausted(format!("{limit} calls are under way")))
            }
        }
    }

    /// Runs a call whose arguments came as a JSON array.
    pub(super) async fn call_by_position(&self, mut call: Call) -> RpcResult<Bytes> {
        if let Some(method) = self.shared.handler.method(&call.method) {
            call.arguments = by_name(method, &call.arguments).map_err(|error| about(Some(method), error))?;
        }
        self.call(call).await
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().trim_start_matches('/').to_owned();
        match parts.method {
            Method::POST => {}
            Method::GET | Method::HEAD => return self.get(&path),
            _ => return not_allowed("POST"),
        }
        let (body, _held) = match self.read(&parts.headers, body).await {
            Ok(read) => read,
            Err((status, error)) => return error_response(status, &error),
        };
        let deadline = match deadline(&parts.headers) {
            Ok(deadline) => deadline,
            Err(error) => return error_response(error.code().http_status(), &error),
        };
        let headers = Arc::new(parts.headers);
        if path.is_empty() {
            return match batch::answer(self, body, Envelope { headers, deadline }).await {
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
        match self.call(call).await {
            Ok(reply) => json(StatusCode::OK, reply),
            Err(error) => error_response(error.code().http_status(), &error),
        }
    }

    /// Reads a body within the limits. One that is too large is read to its end and dropped, so that the peer, which
    /// is still sending, can read the refusal.
    async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), (StatusCode, RpcError)> {
        let limits = &self.shared.limits;
        let too_large = || {
            let error = RpcError::resource_exhausted(format!("a body may have {} bytes", limits.body_bytes));
            (StatusCode::PAYLOAD_TOO_LARGE, error)
        };
        let announced = body.size_hint().lower();
        let over = announced > limits.body_bytes as u64;
        // Who waits for leave to send it, or wants to send without end, is answered at once.
        if over && (headers.contains_key(header::EXPECT) || announced > limits.refused_body_bytes as u64) {
            return Err(too_large());
        }
        let read = async {
            let mut whole = BytesMut::new();
            let mut first: Option<Bytes> = None;
            let mut total = 0;
            let mut held: Option<OwnedSemaphorePermit> = None;
            let mut refused = over.then(too_large);
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    let error = RpcError::new(Code::InvalidArgument, format!("the body broke off: {error}"));
                    (StatusCode::BAD_REQUEST, error)
                })?;
                let Ok(data) = frame.into_data() else { continue };
                total += data.len();
                if total > limits.refused_body_bytes {
                    return Err(refused.unwrap_or_else(too_large));
                }
                if refused.is_none() && total > limits.body_bytes {
                    refused = Some(too_large());
                }
                if refused.is_none() {
                    match self.hold(data.len()) {
                        Some(permit) => match &mut held {
                            Some(held) => held.merge(permit),
                            None => held = Some(permit),
                        },
                        None => refused = Some(self.no_room()),
                    }
                }
                if refused.is_some() {
                    whole = BytesMut::new();
                    first = None;
                    held = None;
                    continue;
                }
                // A body that comes in one piece, as nearly all do, is not copied.
                match first.take() {
                    None if whole.is_empty() => first = Some(data),
                    None => whole.extend_from_slice(&data),
                    Some(begin) => {
                        whole.extend_from_slice(&begin);
                        whole.extend_from_slice(&data);
                    }
                }
            }
            match refused {
                Some(refusal) => Err(refusal),
                None => Ok((first.unwrap_or_else(|| whole.freeze()), held)),
            }
        };
        tokio::time::timeout(limits.body_timeout, read).await.unwrap_or_else(|_| {
            let error = RpcError::deadline_exceeded("the body took too long to arrive").not_executed();
            Err((StatusCode::REQUEST_TIMEOUT, error))
        })
    }

    fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(BODY_UNIT)).ok()?;
        Arc::clone(&self.shared.bodies).try_acquire_many_owned(units).ok()
    }

    fn no_room(&self) -> (StatusCode, RpcError) {
        let limit = self.shared.limits.bodies_bytes;
        let error = RpcError::resource_exhausted(format!("the bodies under way hold {limit} bytes"));
        (error.code().http_status(), error)
    }

    fn get(&self, path: &str) -> Response<Body> {
        let found = match path {
            "healthz" | "readyz" => return json(StatusCode::OK, "{\"status\":\"ok\"}"),
            _ if path == "_schema" || path.starts_with("_schema/") => {
                self.documents().map(|documents| documents.at(path))
            }
            _ if self.shared.handler.method(path).is_some() => return not_allowed("POST"),
            _ => Ok(None),
        };
        let nothing = || RpcError::new(Code::NotFound, format!("there is nothing at /{path}")).not_executed();
        match found.and_then(|document| document.cloned().ok_or_else(nothing)) {
            Ok(document) => json(StatusCode::OK, document),
            Err(error) => error_response(error.code().http_status(), &error),
        }
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
    Ok(Instant::now().checked_add(left))
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
