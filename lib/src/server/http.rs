//! The server as people start it: its settings, and the loop that accepts connections.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tokio::net::TcpListener;

use super::access::{Access, AllowedHost, AllowedOrigin, LocalAddress};
use super::connection::serve_connection;
use super::descriptors;
use super::health::{HealthChecks, Probe};
use super::limits::Limits;
use super::router::{self, Origin};
use super::service::{Pages, Parts, Service};
use crate::layer::Layer;
use crate::log::LogThrottle;
use crate::rpc::Server;

/// How long the accept loop waits when it cannot accept a connection and has none to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often it is logged that connections cannot be accepted, or are closed to make room.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Serves `server` on `listener` until `shutdown` completes, then finishes the calls in progress.
pub async fn serve(
    listener: TcpListener,
    server: impl Server + 'static,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    HttpServer::new(server).serve(listener, shutdown).await
}

/// A server with its settings: limits and layers.
///
/// A handler runs on the task of its connection, and the calls of a batch take turns on one task: use
/// [`spawn_blocking`](tokio::task::spawn_blocking) for long computations.
///
/// ```
/// use traitwire::{HttpServer, Limits, Probe, RpcResult, async_trait};
///
/// #[traitwire::service]
/// trait Clock: Send + Sync {
///     #[rpc(read_only)]
///     async fn now(&self) -> RpcResult<u64>;
/// }
///
/// struct Fixed;
///
/// #[async_trait]
/// impl Clock for Fixed {
///     async fn now(&self) -> RpcResult<u64> {
///         Ok(12)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let server = HttpServer::new(ClockServer::new(Fixed))
///     .limits(Limits::default().connections(500))
///     .health_check(Probe::Ready, "clock", || Ok(()));
/// // Until Ctrl-C in a program; here it stops at once.
/// server.serve(listener, async {}).await
/// # }
/// ```
pub struct HttpServer {
    parts: Parts,
}

impl HttpServer {
    /// A server with the default limits and no layer.
    pub fn new(server: impl Server + 'static) -> Self {
        Self {
            parts: Parts {
                server: Arc::new(server),
                layers: Vec::new(),
                limits: Limits::default(),
                pages: Pages::new(),
                health: HealthChecks::default(),
                access: Access::default(),
                reserved: Vec::new(),
            },
        }
    }

    /// Puts a layer around every call, inside those that were added before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.parts.layers.push(Arc::new(layer));
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.parts.limits = limits;
        self
    }

    /// Answers `GET /{path}` with the JSON that `page` gives at that moment, such as a status.
    #[must_use]
    pub fn page(
        mut self,
        path: impl Into<String>,
        page: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.parts.pages.insert(path.into(), Box::new(page));
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
        self.parts.health.add(probe, name.into(), Box::new(check));
        self
    }

    /// Lets web pages of this origin use the server, such as `"https://example.com".parse()?`. Without it only pages that
    /// the server itself shows may.
    #[must_use]
    pub fn allow_origin(mut self, origin: AllowedOrigin) -> Self {
        self.parts.access.allow_origin(origin);
        self
    }

    /// Lets the server go by this host beside `localhost` and IP addresses, such as `"kv.example.com".parse()?`. Requests to
    /// a loopback address, and those of web pages that the server itself shows, must name such a host: any page could
    /// otherwise let a name of its own point to this server.
    #[must_use]
    pub fn allow_host(mut self, host: AllowedHost) -> Self {
        self.parts.access.allow_host(host);
        self
    }

    /// The same for hosts that change while the server runs. They are asked for only about a request that nothing else allows.
    #[must_use]
    pub fn allow_changing_hosts(
        mut self,
        hosts: impl Fn() -> Vec<AllowedHost> + Send + Sync + 'static,
    ) -> Self {
        self.parts.access.allow_changing_hosts(hosts);
        self
    }

    /// Keeps methods whose names begin with `prefix`, such as `raft.`, for servers of the same cluster. Their calls and their
    /// bodies have limits of their own ([`Limits::concurrent_peer_calls`], [`Limits::peer_bodies_bytes`]), and the
    /// connections that they come on are closed last, so that clients cannot crowd them out. A batch counts as a peer's when
    /// it has the header [`PEER`](crate::PEER); it may call nothing else. This is no authentication.
    #[must_use]
    pub fn reserve(mut self, prefix: impl Into<String>) -> Self {
        self.parts.reserved.push(prefix.into());
        self
    }

    /// The server as an axum router: it nests in an application that exists and takes any tower layer.
    ///
    /// Connections belong to the application then, and so do [`Limits::connections`], [`Limits::header_timeout`] and
    /// [`Limits::write_timeout`]. Web pages of other origins are refused all the same; a `Host` is refused only where hosts
    /// are listed with [`HttpServer::allow_host`].
    pub fn into_router(self) -> Router {
        let service = Service::new(self.parts);
        Router::new().fallback(move |request: Request<Body>| {
            let service = service.clone();
            async move {
                let origin = Origin { address: LocalAddress::Unknown, connection: None };
                router::respond(&service, origin, request).await
            }
        })
    }

    /// The server without sockets, for an [`HttpTransport`](crate::HttpTransport) in a test.
    #[cfg(any(test, feature = "testing"))]
    pub fn into_network(self) -> Arc<dyn crate::transport::Network> {
        Arc::new(super::network::InMemory(Service::new(self.parts)))
    }

    /// Serves on `listener` until `shutdown` ends; then no connection is accepted, calls are refused, and those that are
    /// under way have [`Limits::shutdown_timeout`] to end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let service = Service::new(self.parts);
        let limits = service.limits();
        let connections_max =
            limits.connections.min(descriptors::for_connections(limits.reserved_descriptors));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((socket, _peer)) => match service.connections().add(connections_max) {
                    Some(open) => {
                        tokio::spawn(serve_connection(socket, open, service.clone()));
                    }
                    None => log_refused("all connections are in use"),
                },
                // The peer was gone before it was accepted, or descriptors ran out: neither ends the server.
                Err(error) => {
                    log_refused(&error.to_string());
                    if !is_out_of_descriptors(&error) || !service.connections().make_room() {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        drop(listener);
        service.stop();
        let ended = async {
            service.connections().finish().await;
            service.calls_ended().await;
        };
        if tokio::time::timeout(service.limits().shutdown_timeout, ended).await.is_err() {
            tracing::warn!("calls were still under way when the time for the shutdown was over");
        }
        service.connections().abort();
        Ok(())
    }
}

fn log_refused(why: &str) {
    static THROTTLE: LogThrottle = LogThrottle::new(LOG_INTERVAL);
    if let Some(suppressed) = THROTTLE.permit() {
        tracing::warn!(suppressed, "cannot accept a connection: {why}");
    }
}

/// Whether the process or the system has no more file descriptors: EMFILE and ENFILE.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23))
}
