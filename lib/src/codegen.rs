//! What generated code calls. Nothing here is for people: it may change with the macro.

mod bounds;
pub(crate) mod decode;
pub(crate) mod encode;
mod status;

use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{RpcError, RpcResult, carried};
use crate::log::{Excerpt, brief};

pub use async_trait::async_trait;
pub use bounds::{
    BoxFuture, Described, Method, answer, answer_typed, arguments_schema, ask, ask_typed, error_schema,
    reply_schema, unanswered,
};
pub use bytes::Bytes;
pub use schemars;
pub use serde;
pub use status::{Probe, Said, Status, Unsaid};
pub use traitwire_schema::{
    Compat, Idempotency, MethodDescriptor, Parameters, SchemaOf, ServiceDescriptor, schema_of,
};

/// What an async method of a trait returns once `async_trait` has seen it.
pub type ReplyFuture<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Decodes the arguments, calls the method, encodes its reply.
pub async fn respond<'a, A, R>(
    method: &'static MethodDescriptor,
    arguments: &str,
    call: impl FnOnce(A) -> ReplyFuture<'a, R, RpcError>,
) -> RpcResult<String>
where
    A: DeserializeOwned + Serialize,
    R: DeserializeOwned + Serialize,
{
    match call(decode::arguments(method, arguments)?).await {
        Ok(reply) => encode_reply(method, &reply),
        Err(error) => Err(error),
    }
}

/// The same for a method with an error type of its own; `status` is what the error type says of itself.
pub async fn respond_typed<'a, A, R, E>(
    method: &'static MethodDescriptor,
    arguments: &str,
    status: Status<E>,
    call: impl FnOnce(A) -> ReplyFuture<'a, R, E>,
) -> RpcResult<String>
where
    A: DeserializeOwned + Serialize,
    R: DeserializeOwned + Serialize,
    E: DeserializeOwned + Serialize,
{
    match call(decode::arguments(method, arguments)?).await {
        Ok(reply) => encode_reply(method, &reply),
        Err(error) => Err(typed_error(method, status, error)),
    }
}

/// A method's own error as everybody gets it: with the code, the message and the promise that its type gives it, or else those
/// of the [`RpcError`] that it carries.
#[cold]
fn typed_error<E>(method: &'static MethodDescriptor, status: Status<E>, error: E) -> RpcError
where
    E: DeserializeOwned + Serialize,
{
    let (json, carried) = carried::encoding(method, || encode::typed(&error));
    let typed = match json.map(|json| serde_json::from_str(&json)) {
        Ok(Ok(typed)) => typed,
        Ok(Err(failed)) => return unencodable(method, "error", &failed),
        Err(failed) => return unencodable(method, "error", &failed),
    };
    let around = status(error).or(carried).unwrap_or_else(RpcError::of_typed);
    around.carrying(typed)
}

/// The arguments as text. Checked once here, they need no further check at each string they hold.
pub fn text(arguments: &[u8]) -> RpcResult<&str> {
    std::str::from_utf8(arguments)
        .map_err(|error| RpcError::invalid_argument(format!("the arguments are no UTF-8: {error}")))
}

#[inline]
fn encode_reply<R>(method: &'static MethodDescriptor, reply: &R) -> RpcResult<String>
where
    R: DeserializeOwned + Serialize,
{
    encode::typed(reply).map_err(|error| unencodable(method, "reply", &error))
}

#[cold]
fn unencodable(method: &'static MethodDescriptor, what: &str, error: &dyn std::fmt::Display) -> RpcError {
    RpcError::internal(format!("the {what} of `{}` cannot be sent as JSON: {}", method.name, brief(error)))
}

/// Says which names there are that are near.
#[cold]
pub fn unknown_method(services: &[&'static ServiceDescriptor], name: &str) -> RpcError {
    let names = services.iter().flat_map(|service| service.methods).map(|method| method.name);
    let near = traitwire_schema::nearest(name, names.clone());
    let name = Excerpt(name);
    RpcError::unimplemented(match near {
        Some(near) => format!("there is no method `{name}`; did you mean `{near}`?"),
        None => {
            let all: Vec<_> = names.take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
            format!("there is no method `{name}`; there are {}", all.join(", "))
        }
    })
}

/// How many method names an error shows.
const NAMES_SHOWN_MAX: usize = 20;

/// What `Server::dispatch` answers: the reply, or the error object.
pub fn to_wire(result: RpcResult<String>) -> String {
    result.unwrap_or_else(|error| {
        serde_json::to_string(&error).expect("an error has string keys and a String takes all")
    })
}

/// Emits its content when this crate has the feature `testing`.
#[cfg(feature = "testing")]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_testing {
    ($($item:tt)*) => { $($item)* };
}

/// Emits its content when this crate has the feature `testing`.
#[cfg(not(feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_testing {
    ($($item:tt)*) => {};
}

pub use crate::__if_testing as if_testing;
