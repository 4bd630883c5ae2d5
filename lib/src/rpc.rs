//! The base layer: [`Server`], which answers calls by name, and [`RpcClient`], which makes them. Hand-written code
//! uses these directly; generated code stands on them.

mod builder;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use traitwire_schema::{MethodDescriptor, ServiceDescriptor};

use crate::call::{Call, CallContext, deadline_after};
use crate::codegen::encode::{self, Unencodable};
use crate::codegen::{decode, text};
use crate::error::{Executed, RpcError, RpcResult, carried};
use crate::layer::{Endpoint, Layer, Next};
use crate::log::{Excerpt, brief};
use crate::retry::{Retry, RetryBudget};
use crate::transport::Transport;

pub use builder::RpcClientBuilder;

/// Answers calls by name. The generated `<Trait>Server` implements it; a hand-written one needs `dispatch` alone.
#[async_trait]
pub trait Server: Send + Sync {
    /// Calls the method `name` with JSON arguments and gives the JSON of its reply; of a generated server, the error
    /// object where the call failed.
    async fn dispatch(&self, name: &str, args: String) -> String;

    /// The same, with a status: what HTTP and JSON-RPC serve. A hand-written server's reply counts as a success, and
    /// must be JSON.
    ///
    /// Behind HTTP, `args` count against [`Limits::bodies_bytes`](crate::Limits::bodies_bytes) for as long as any part
    /// of them lives: what outlasts the call is better copied.
    async fn try_dispatch(&self, name: &str, args: Bytes) -> RpcResult<Bytes> {
        // A copy, so that `args` live, and count, until the call has ended.
        let reply = self.dispatch(name, text(&args)?.to_owned()).await;
        match serde_json::from_str::<&serde_json::value::RawValue>(&reply) {
            Ok(_) => Ok(Bytes::from(reply)),
            Err(error) => {
                let (name, error) = (Excerpt(name), brief(error));
                Err(RpcError::internal(format!("the server's reply to `{name}` is not valid JSON: {error}")))
            }
        }
    }

    /// What is known of the method with this wire name or alias; a hand-written server knows nothing.
    fn method(&self, _name: &str) -> Option<&'static MethodDescriptor> {
        None
    }

    /// The annotated services that this server serves.
    fn services(&self) -> Vec<&'static ServiceDescriptor> {
        Vec::new()
    }
}

#[async_trait]
impl<S: Server + ?Sized> Server for Arc<S> {
    async fn dispatch(&self, name: &str, args: String) -> String {
        (**self).dispatch(name, args).await
    }

    async fn try_dispatch(&self, name: &str, args: Bytes) -> RpcResult<Bytes> {
        (**self).try_dispatch(name, args).await
    }

    fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        (**self).method(name)
    }

    fn services(&self) -> Vec<&'static ServiceDescriptor> {
        (**self).services()
    }
}

/// Calls methods of a server. It is cheap to clone; clones share connections, and calls made at the same time share
/// HTTP requests.
///
/// Generated stubs call through one. Without a stub, methods are called by name:
///
/// ```
/// use std::time::Duration;
///
/// use traitwire::{Code, Executed, RpcClient, RpcResult};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let client = RpcClient::builder("http://127.0.0.1:9").timeout(Duration::from_secs(2)).build();
/// let reply: RpcResult<String> = client.try_call("greet", &"Ada").await;
/// let error = reply.expect_err("nobody listens on this port");
/// assert_eq!(error.code(), Code::Unavailable);
/// assert_eq!(error.executed(), Executed::No);
/// # }
/// ```
#[derive(Clone)]
pub struct RpcClient {
    shared: Arc<Shared>,
}

struct Shared {
    client_id: usize,
    base: Call,
    timeout: Duration,
    retry: Retry,
    budget: RetryBudget,
    layers: Vec<Arc<dyn Layer>>,
    endpoint: TransportEndpoint,
}

struct TransportEndpoint(Arc<dyn Transport>);

#[async_trait]
impl Endpoint for TransportEndpoint {
    async fn finish(&self, call: Call) -> RpcResult<Bytes> {
        self.0.send(call).await
    }
}

impl RpcClient {
    /// A client of the server at `proxy_url`, such as `http://127.0.0.1:7101`. An invalid URL is reported by the first
    /// call.
    pub fn new(proxy_url: String, client_id: usize) -> Self {
        Self::builder(proxy_url).client_id(client_id).build()
    }

    /// A client with settings of its own.
    pub fn builder(url: impl Into<String>) -> RpcClientBuilder {
        RpcClientBuilder::new(url.into())
    }

    /// A client of a server in this process; messages still pass through JSON.
    pub fn in_process(server: impl Server + 'static) -> Self {
        Self::builder("").transport(Arc::new(crate::transport::InProcess::new(Arc::new(server)))).build()
    }

    /// The id this client sends with every call.
    pub fn client_id(&self) -> usize {
        self.shared.client_id
    }

    /// Calls a method once; nothing on any failure. [`RpcClient::try_call`] says which.
    pub async fn call<A: Serialize, R: DeserializeOwned>(&self, method: &str, args: &A) -> Option<R> {
        self.try_call(method, args).await.ok()
    }

    /// Calls a method once, by name; the error says whether the request may have been executed. Nothing is known of
    /// the method here, so nothing is repeated.
    pub async fn try_call<A, R>(&self, method: &str, args: &A) -> RpcResult<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let call = self.new_call(Cow::Owned(method.to_owned()), None, encode::untyped(args))?;
        decode_reply(&self.send(call).await?)
    }

    /// Calls a method that is known, as generated code does: with its deadline, and repeated where it may be.
    pub async fn invoke<A, R>(&self, method: &'static MethodDescriptor, args: &A) -> RpcResult<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.invoke_encoded(method, encode::untyped(args)).await
    }

    /// The same, for a method with an error type of its own.
    pub async fn invoke_typed<A, R, E>(&self, method: &'static MethodDescriptor, args: &A) -> Result<R, E>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
        E: From<RpcError> + DeserializeOwned,
    {
        self.invoke(method, args).await.map_err(own_error)
    }

    /// [`RpcClient::invoke`] with arguments that are decoded as the same type.
    pub(crate) async fn invoke_message<A, R>(
        &self,
        method: &'static MethodDescriptor,
        args: &A,
    ) -> RpcResult<R>
    where
        A: Serialize + DeserializeOwned,
        R: DeserializeOwned,
    {
        self.invoke_encoded(method, encode::typed(args)).await
    }

    /// [`RpcClient::invoke_typed`] with arguments that are decoded as the same type.
    pub(crate) async fn invoke_message_typed<A, R, E>(
        &self,
        method: &'static MethodDescriptor,
        args: &A,
    ) -> Result<R, E>
    where
        A: Serialize + DeserializeOwned,
        R: DeserializeOwned,
        E: From<RpcError> + DeserializeOwned,
    {
        self.invoke_message(method, args).await.map_err(own_error)
    }

    async fn invoke_encoded<R: DeserializeOwned>(
        &self,
        method: &'static MethodDescriptor,
        arguments: Result<String, Unencodable>,
    ) -> RpcResult<R> {
        let about = |error: RpcError| error.about(Some(method));
        let call = self.new_call(Cow::Borrowed(method.name), Some(method), arguments).map_err(about)?;
        decode_reply(&self.invoke_raw(call).await?).map_err(about)
    }

    fn new_call(
        &self,
        method: Cow<'static, str>,
        descriptor: Option<&'static MethodDescriptor>,
        arguments: Result<String, Unencodable>,
    ) -> RpcResult<Call> {
        let arguments = arguments.map_err(|error| {
            let error = brief(error);
            RpcError::invalid_argument(format!("the arguments of `{method}` cannot be sent as JSON: {error}"))
        })?;
        let timeout = descriptor
            .and_then(|method| method.timeout_ms)
            .map_or(self.shared.timeout, Duration::from_millis);
        let mut call = Call {
            method,
            descriptor,
            arguments: Bytes::from(arguments),
            deadline: deadline_after(timeout),
            headers: Arc::clone(&self.shared.base.headers),
        };
        CallContext::inherit(&mut call);
        Ok(call)
    }

    async fn invoke_raw(&self, call: Call) -> RpcResult<Bytes> {
        let Some(method) = call.descriptor else { return self.send(call).await };
        let attempts = self.shared.retry.attempts(method);
        if attempts == 1 && method.hedge_ms.is_none() {
            return self.send(call).await;
        }
        // Boxed, so that calls which are sent once do not carry the room for the others.
        Box::pin(self.repeat(call, method, attempts)).await
    }

    async fn repeat(&self, call: Call, method: &'static MethodDescriptor, attempts: u32) -> RpcResult<Bytes> {
        let mut attempt = 1;
        let mut maybe_executed = false;
        loop {
            let result = match method.hedge_ms {
                Some(hedge_ms) if method.is_read_only() => self.hedged(&call, hedge_ms).await,
                _ => self.send(call.clone()).await,
            };
            let error = match result {
                Ok(reply) => {
                    self.shared.budget.succeeded();
                    return Ok(reply);
                }
                Err(error) => error,
            };
            // An error speaks for all attempts: what an earlier one may have done, none takes back.
            maybe_executed |= error.executed() == Executed::Unknown;
            let error = if maybe_executed { error.maybe_executed() } else { error };
            if attempt >= attempts || !Retry::is_worth(&error) || !self.shared.budget.take() {
                return Err(error);
            }
            let pause = self.shared.retry.pause(attempt);
            if call.time_left().is_some_and(|left| left <= pause) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends a second copy when the first has no reply after `hedge_ms`; the first good reply counts.
    async fn hedged(&self, call: &Call, hedge_ms: u64) -> RpcResult<Bytes> {
        let first = self.send(call.clone());
        tokio::pin!(first);
        if let Ok(result) = tokio::time::timeout(Duration::from_millis(hedge_ms), &mut first).await {
            return result;
        }
        if !self.shared.budget.take() {
            return first.await;
        }
        let second = self.send(call.clone());
        tokio::pin!(second);
        tokio::select! {
            result = &mut first => if result.is_ok() { result } else { second.await },
            result = &mut second => if result.is_ok() { result } else { first.await },
        }
    }

    /// Sends a call once, through the layers, and keeps its deadline.
    async fn send(&self, call: Call) -> RpcResult<Bytes> {
        let deadline = call.deadline;
        let method = call.descriptor;
        let Shared { layers, endpoint, .. } = &*self.shared;
        let sent = if layers.is_empty() {
            endpoint.0.send(call)
        } else {
            Box::pin(Next::new(layers, endpoint).run(call))
        };
        let result = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, sent)
                .await
                .unwrap_or_else(|_| Err(RpcError::deadline_exceeded("no reply within the deadline"))),
            None => sent.await,
        };
        result.map_err(|error| error.about(method))
    }
}

impl std::fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcClient").field("client_id", &self.shared.client_id).finish_non_exhaustive()
    }
}

fn decode_reply<R: DeserializeOwned>(reply: &[u8]) -> RpcResult<R> {
    decode::reply(reply).map_err(|error| {
        // The server has executed the request; only its answer is not understood.
        RpcError::internal(format!("the reply is not of the expected type: {}", brief(error)))
            .with_executed(Some(Executed::Unknown))
    })
}

/// The method's own error that `error` carries, or else `error` itself.
#[cold]
fn own_error<E: From<RpcError> + DeserializeOwned>(error: RpcError) -> E {
    match error.typed().map(|typed| carried::decoding(&error, || E::deserialize(typed))) {
        Some(Ok(typed)) => typed,
        Some(Err(_)) | None => E::from(error),
    }
}
