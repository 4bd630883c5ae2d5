//! The attribute [`service`], which turns a trait into an RPC service.
//!
//! Use it as `#[traitwire::service]`: the generated code needs the crate `traitwire`, which exports the attribute. The code
//! generator itself is in `traitwire-schema`.

use proc_macro::TokenStream;

/// Turns a trait into an RPC service: a server, a client, a mock and a descriptor.
///
/// ```
/// use std::sync::Arc;
///
/// use traitwire::{RpcClient, RpcResult};
///
/// /// Counts.
/// #[traitwire::service(prefix = "counter")]
/// pub trait Counter: Send + Sync {
///     /// Adds `by` to the counter called `name` and gives the sum.
///     #[rpc(timeout = "2s")]
///     async fn add(&self, name: String, by: u64) -> RpcResult<u64>;
/// }
///
/// struct FromTen;
///
/// #[traitwire::async_trait]
/// impl Counter for FromTen {
///     async fn add(&self, _name: String, by: u64) -> RpcResult<u64> {
///         Ok(10 + by)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> RpcResult<()> {
/// // The stub implements the same trait: here it calls the server in this process, through JSON all the same.
/// let counter: Arc<dyn Counter> = Arc::new(CounterStub::new(RpcClient::in_process(CounterServer::new(FromTen))));
/// assert_eq!(counter.add("visits".to_owned(), 2).await?, 12);
/// assert_eq!(CounterStub::ADD.name, "counter.add");
/// # Ok(())
/// # }
/// ```
///
/// # What is generated
///
/// For a trait `Kv`, with its visibility:
///
/// - the trait itself, in the form of `async_trait`: implementations carry `#[traitwire::async_trait]`;
/// - `KV_SERVICE`, the static descriptor of the service;
/// - `KvServer<T>`, a `Server` over any `T: Kv`, made with `KvServer::new` or `KvServer::from_arc`;
/// - `KvStub`, the client, made with `KvStub::new` or `KvStub::connect`. It implements `Kv`, and has a constant for each
///   method, such as `KvStub::GET`, which describes it;
/// - `KvMock`, if traitwire has its feature `testing`: `KvMock::new().on_get(|args| ..)` implements `Kv` too;
/// - `KvPutArgs` for a method `put` with no parameters or several, which become the fields of one JSON object. One
///   parameter is the message itself.
///
/// A method takes `&self` and owned parameters, and returns `RpcResult<T>`, or `Result<T, E>` where `E` is the
/// service's own error and implements `From<RpcError>`. Messages derive `Serialize`, `Deserialize` and `JsonSchema`. A
/// default body is allowed, and so is `#[cfg]` on a method.
///
/// # Attributes of the service
///
/// | attribute | says |
/// |---|---|
/// | `prefix = "raft"` (or `name`) | the first part of every wire name: `raft.append_entries`; without it names are bare |
/// | `compat = "backward"` | what `schema check` holds the service to: `"full"`, `"backward"` (the default) or `"none"` |
/// | `internal` | the service is for other parts of the same system, such as its nodes: documents show it last, folded and without a form to call it |
/// | `reserved("old", ..)` | whole wire names that no method may take again |
/// | `crate = "::renamed"` | the path of traitwire, where it has another name |
///
/// # Attributes of a method, in `#[rpc(..)]`
///
/// | attribute | says |
/// |---|---|
/// | `name = "fetch"` | the name on the wire, below the prefix; without it that of the method |
/// | `aliases("kv.read", ..)` | further wire names, whole ones: they may stem from before there was a prefix |
/// | `read_only` | changes nothing, so a client may repeat it |
/// | `idempotent` | has the same effect twice as once, so a client may repeat it |
/// | `timeout = "2s"` | the deadline of a call that has no other: `ms`, `s` or `m` |
/// | `retry = 3` | how often a client repeats a call that failed; only for `read_only` and `idempotent` methods |
/// | `hedge = "20ms"` | after how long a client sends a second copy of a slow call; only for `read_only` methods |
/// | `detach`, `detach = false` | whether the handler runs to its end when its caller leaves; the default is yes unless `read_only` |
/// | `deprecated = "use put"` | callers are warned; the language's own `#[deprecated]` does the same |
///
/// # Looking inside
///
/// With the environment variable `TRAITWIRE_EXPAND` set to the name of a trait, or to `1` for all, the compiler prints
/// the expansion on standard error. The variable does not make Cargo compile again: touch the file first.
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    traitwire_schema::codegen::expand(attribute.into(), item.into()).into()
}
