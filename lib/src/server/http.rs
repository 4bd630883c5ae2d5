//! The server as people start it: its settings, and the loop that accepts connections.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::connections::{Connections, Open};
use super::health::{HealthChecks, Probe};
use super::limits::Limits;
use super::router;
use super::service::{Pages, Service};
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
///
/// A handler runs on the task of its connection, and the calls of a batch take turns on one task: what computes for long belongs
/// into [`spawn_blocking`](tokio::task::spawn_blocking).
pub struct HttpServer {
    server: Arc<dyn Server>,
    layers: Vec<Arc<dyn Layer>>,
    limits: Limits,
    pages: Pages,
    health: HealthChecks,
}

impl HttpServer {
    /// A server with the default limits and no layer.
    pub fn new(server: impl Server + 'static) -> Self {
        Self {
            server: Arc::new(server),
            layers: Vec::new(),
            limits: Limits::default(),
            pages: Pages::new(),
            health: HealthChecks::default(),
        }
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

    /// Answers `GET /{path}` with the JSON that `page` gives at that moment, such as a status.
    #[must_use]
    pub fn page(
        mut self,
        path: impl Into<String>,
        page: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.pages.insert(path.into(), Box::new(page));
        self
    }

    /// Adds a check to `/livez` or `/readyz`, which answer 503 while any of their checks returns an error. `?verbose` lists the
    /// checks by name. A check must not block.
    #[must_use]
    pub fn health_check(
        mut self,
        probe: Probe,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.health.add(probe, name.into(), Box::new(check));
        self
    }

    /// The server as an axum router: it nests in an application that exists and takes any tower layer.
    pub fn into_router(self) -> Router {
        let service = Service::new(self.server, self.layers, self.limits, self.pages, self.health);
        Router::new().fallback(move |request: Request<Body>| {
            let service = service.clone();
            async move { router::respond(&service, request).await }
        })
    }

    /// The server without sockets, for an [`HttpTransport`](crate::HttpTransport) in a test.
    #[cfg(any(test, feature = "testing"))]
    pub fn into_network(self) -> Arc<dyn crate::transport::Network> {
        let service = Service::new(self.server, self.layers, self.limits, self.pages, self.health);
        Arc::new(super::network::InMemory(service))
    }

    /// Serves on `listener` until `shutdown` ends; then no connection is accepted, and calls that are under way have
    /// [`Limits::shutdown_timeout`] to end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let service = Service::new(self.server, self.layers, self.limits, self.pages, self.health);
        let connections = Connections::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let open = connections.add(service.limits().connections);
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
        if tokio::time::timeout(service.limits().shutdown_timeout, ended).await.is_err() {
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
            let response = router::respond(&service, request.map(Body::new)).await;
            connection.request_ended();
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(service.limits().header_timeout);
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
