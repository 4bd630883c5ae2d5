//! Several services on one server, generated and hand-written ones side by side.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use traitwire_schema::{MethodDescriptor, ServiceDescriptor};

use crate::codegen::{BoxFuture, to_wire, unknown_method};
use crate::error::{RpcError, RpcResult};
use crate::rpc::Server;

/// Several servers as one: a call goes to the service that has its method, then to the hand-written server mounted at
/// its prefix, then to the fallback.
///
/// ```
/// use traitwire::{RpcClient, RpcResult, Services, async_trait};
///
/// #[traitwire::service(prefix = "clock")]
/// trait Clock: Send + Sync {
///     #[rpc(read_only)]
///     async fn now(&self) -> RpcResult<u64>;
/// }
///
/// #[traitwire::service(prefix = "dice")]
/// trait Dice: Send + Sync {
///     async fn roll(&self) -> RpcResult<u8>;
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
/// #[async_trait]
/// impl Dice for Fixed {
///     async fn roll(&self) -> RpcResult<u8> {
///         Ok(4)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> RpcResult<()> {
/// let services = Services::new().mount(ClockServer::new(Fixed)).mount(DiceServer::new(Fixed));
/// let client = RpcClient::in_process(services);
/// assert_eq!(ClockStub::new(client.clone()).now().await?, 12);
/// assert_eq!(DiceStub::new(client).roll().await?, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Services {
    methods: HashMap<&'static str, (Arc<dyn Server>, &'static MethodDescriptor)>,
    services: Vec<&'static ServiceDescriptor>,
    prefixes: Vec<(String, Arc<dyn Server>)>,
    fallback: Option<Arc<dyn Server>>,
}

impl Services {
    /// No service yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server that knows its services, as every generated one does.
    ///
    /// # Panics
    /// When a wire name is taken already, or the server is a hand-written one that names no services: use
    /// [`Services::mount_at`] or [`Services::fallback`] for it.
    #[must_use]
    pub fn mount(mut self, server: impl Server + 'static) -> Self {
        let server: Arc<dyn Server> = Arc::new(server);
        let services = server.services();
        assert!(
            !services.is_empty(),
            "a server that names no services is mounted at a prefix or as the fallback"
        );
        for service in services {
            for method in service.methods {
                for &name in std::iter::once(&method.name).chain(method.aliases) {
                    let taken = self.methods.insert(name, (Arc::clone(&server), method));
                    assert!(taken.is_none(), "two services claim the wire name `{name}`");
                }
            }
            self.services.push(service);
        }
        self
    }

    /// Adds a hand-written server for all names that begin with `prefix` and a dot.
    #[must_use]
    pub fn mount_at(mut self, prefix: &str, server: impl Server + 'static) -> Self {
        self.prefixes.push((format!("{prefix}."), Arc::new(server)));
        self
    }

    /// Sets the hand-written server that gets every call no other takes.
    #[must_use]
    pub fn fallback(mut self, server: impl Server + 'static) -> Self {
        self.fallback = Some(Arc::new(server));
        self
    }

    fn find(&self, name: &str) -> RpcResult<&dyn Server> {
        let by_prefix =
            || self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, server)| server);
        self.methods
            .get(name)
            .map(|(server, _)| server)
            .or_else(by_prefix)
            .or(self.fallback.as_ref())
            .map(|server| &**server)
            .ok_or_else(|| unknown_method(&self.services, name))
    }
}

#[async_trait]
impl Server for Services {
    async fn dispatch(&self, name: &str, args: String) -> String {
        match self.find(name) {
            Ok(server) => server.dispatch(name, args).await,
            Err(error) => to_wire(Err::<String, RpcError>(error)),
        }
    }

    // As it is: an `async fn` would be one more future around that of the service.
    fn try_dispatch<'server, 'name, 'call>(
        &'server self,
        name: &'name str,
        args: Bytes,
    ) -> BoxFuture<'call, RpcResult<Bytes>>
    where
        'server: 'call,
        'name: 'call,
        Self: 'call,
    {
        match self.find(name) {
            Ok(server) => server.try_dispatch(name, args),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        self.methods.get(name).map(|(_, method)| *method)
    }

    fn services(&self) -> Vec<&'static ServiceDescriptor> {
        self.services.clone()
    }
}
