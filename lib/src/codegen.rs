//! What generated code calls. Nothing here is for people: it may change with the macro.

mod bounds;

use std::pin::Pin;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{RpcError, RpcResult};

pub use async_trait::async_trait;
pub use bounds::{
    BoxFuture, Described, Method, answer, answer_typed, arguments_schema, ask, ask_typed, error_schema,
    reply_schema, unanswered,
};
pub use bytes::Bytes;
pub use schemars;
pub use serde;
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
    A: DeserializeOwned,
    R: Serialize,
{
    match call(decode(method, arguments)?).await {
        Ok(reply) => encode(method, &reply),
        Err(error) => Err(error),
    }
}

/// The same for a method with an error type of its own.
pub async fn respond_typed<'a, A, R, E>(
    method: &'static MethodDescriptor,
    arguments: &str,
    call: impl FnOnce(A) -> ReplyFuture<'a, R, E>,
) -> RpcResult<String>
where
    A: DeserializeOwned,
    R: Serialize,
    E: Serialize,
{
    match call(decode(method, arguments)?).await {
        Ok(reply) => encode(method, &reply),
        Err(error) => Err(match serde_json::to_value(&error) {
            Ok(error) => RpcError::of_typed(error),
            Err(error) => unencodable(method, &error),
        }),
    }
}

/// The arguments as text. Checked once here, they need no further check at each string they hold.
pub fn text(arguments: &[u8]) -> RpcResult<&str> {
    std::str::from_utf8(arguments)
        .map_err(|error| RpcError::invalid_argument(format!("the arguments are no UTF-8: {error}")))
}

#[inline]
fn decode<A: DeserializeOwned>(method: &'static MethodDescriptor, arguments: &str) -> RpcResult<A> {
    serde_json::from_str(arguments).map_err(|error| undecodable::<A>(method, arguments, &error))
}

#[inline]
fn encode<R: Serialize>(method: &'static MethodDescriptor, reply: &R) -> RpcResult<String> {
    serde_json::to_string(reply).map_err(|error| unencodable(method, &error))
}

/// Says what is wrong with the arguments: where the text is no JSON, or which field does not fit.
#[cold]
fn undecodable<A: DeserializeOwned>(
    method: &'static MethodDescriptor,
    arguments: &str,
    error: &serde_json::Error,
) -> RpcError {
    // The category of the error does not tell: serde_json calls a list where an enum belongs a mistake of syntax.
    if serde_json::from_str::<IgnoredAny>(arguments).is_err() {
        return RpcError::invalid_argument(format!(
            "malformed JSON in the arguments of `{}`: {error}",
            method.name
        ));
    }
    // Decoding once more, now keeping the path, costs only those who send what does not fit.
    let mut deserializer = serde_json::Deserializer::from_str(arguments);
    let path = serde_path_to_error::deserialize::<_, A>(&mut deserializer)
        .err()
        .map(|error| error.path().to_string())
        .filter(|path| path != ".");
    RpcError::invalid_argument(match path {
        Some(path) => format!("`{path}` does not fit `{}`: {error}", method.name),
        None => format!("the arguments do not fit `{}`: {error}", method.name),
    })
}

#[cold]
fn unencodable(method: &'static MethodDescriptor, error: &serde_json::Error) -> RpcError {
    RpcError::internal(format!("the reply of `{}` is no JSON: {error}", method.name))
}

/// Says which names there are that are near.
#[cold]
pub fn unknown_method(services: &[&'static ServiceDescriptor], name: &str) -> RpcError {
    let names = services.iter().flat_map(|service| service.methods).map(|method| method.name);
    RpcError::unimplemented(match traitwire_schema::nearest(name, names.clone()) {
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
