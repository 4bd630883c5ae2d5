//! What a message must be able to do, demanded in one place.
//!
//! Generated code says the types of its methods once, in implementations of [`Method`], and uses them through the
//! functions below, which know them only as [`Method`]s. So a message that lacks a derive is one error, on the message's
//! name in the trait, and not one more in each generated body.

use std::pin::Pin;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use traitwire_schema::{MethodDescriptor, schema_of};

use super::{ReplyFuture, Status, respond, respond_typed};
use crate::error::{RpcError, RpcResult};
use crate::rpc::RpcClient;

/// What an `async` method of a trait returns, once it can be called through `dyn`.
pub type BoxFuture<'a, Output> = Pin<Box<dyn Future<Output = Output> + Send + 'a>>;

/// The types of method number `INDEX` of a service.
pub trait Method<const INDEX: usize> {
    /// The one parameter, or a struct of all of them.
    type Arguments: DeserializeOwned + Serialize + Described + Send + Sync + 'static;
    /// What a good call gives.
    type Reply: DeserializeOwned + Serialize + Described + Send + 'static;
    /// What a bad call gives; [`RpcError`] where the method has no error of its own.
    type Error: DeserializeOwned + Serialize + Described + From<RpcError> + Send + 'static;
}

/// A type with a JSON Schema. serde's traits say themselves which derive is missing; this one says it for schemars.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no JSON Schema, so it cannot be a message",
    label = "add `#[derive(schemars::JsonSchema)]` to `{Self}`",
    note = "a message derives `serde::Serialize`, `serde::Deserialize` and `schemars::JsonSchema`"
)]
pub trait Described {
    /// The schema of the type.
    fn describe(generator: &mut SchemaGenerator) -> Schema;
}

impl<T: JsonSchema> Described for T {
    fn describe(generator: &mut SchemaGenerator) -> Schema {
        schema_of::<T>(generator)
    }
}

/// The schema of a method's arguments.
pub fn arguments_schema<M: Method<INDEX>, const INDEX: usize>(generator: &mut SchemaGenerator) -> Schema {
    M::Arguments::describe(generator)
}

/// The schema of a method's reply.
pub fn reply_schema<M: Method<INDEX>, const INDEX: usize>(generator: &mut SchemaGenerator) -> Schema {
    M::Reply::describe(generator)
}

/// The schema of a method's own error.
pub fn error_schema<M: Method<INDEX>, const INDEX: usize>(generator: &mut SchemaGenerator) -> Schema {
    M::Error::describe(generator)
}

/// The server's side of a call: [`respond`] with the types of the method.
pub fn answer<'a, M: Method<INDEX, Error = RpcError>, const INDEX: usize>(
    method: &'static MethodDescriptor,
    arguments: &str,
    call: impl FnOnce(M::Arguments) -> ReplyFuture<'a, M::Reply, RpcError>,
) -> impl Future<Output = RpcResult<String>> {
    respond(method, arguments, call)
}

/// The same for a method with an error type of its own.
pub fn answer_typed<'a, M: Method<INDEX>, const INDEX: usize>(
    method: &'static MethodDescriptor,
    arguments: &str,
    status: Status<M::Error>,
    call: impl FnOnce(M::Arguments) -> ReplyFuture<'a, M::Reply, M::Error>,
) -> impl Future<Output = RpcResult<String>> {
    respond_typed(method, arguments, status, call)
}

/// What a mock answers that was not told what to.
pub fn unanswered<M: Method<INDEX>, const INDEX: usize>(message: &str) -> M::Error {
    RpcError::unimplemented(message).into()
}

/// The client's side of a call: a call with the types of the method.
pub fn ask<'a, M: Method<INDEX, Error = RpcError>, const INDEX: usize>(
    client: &'a RpcClient,
    method: &'static MethodDescriptor,
    arguments: M::Arguments,
) -> ReplyFuture<'a, M::Reply, RpcError> {
    Box::pin(async move { client.invoke_message(method, &arguments).await })
}

/// The same for a method with an error type of its own.
pub fn ask_typed<'a, M: Method<INDEX>, const INDEX: usize>(
    client: &'a RpcClient,
    method: &'static MethodDescriptor,
    arguments: M::Arguments,
) -> ReplyFuture<'a, M::Reply, M::Error> {
    Box::pin(async move { client.invoke_message_typed(method, &arguments).await })
}
