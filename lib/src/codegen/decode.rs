//! From JSON to a message: what a type accepts is what its schema says.
//!
//! serde accepts more than a schema, and less: an array in place of an object, and no integer that is written as `1.0`. So
//! messages pass through [`Strict`] on their way from serde_json, which costs nothing at run time. What is refused is
//! decoded once more, with integers read by their value and with the path to what does not fit.

mod integers;
mod round_trip;
mod strict;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use traitwire_schema::MethodDescriptor;

use self::strict::{Exact, Fast, Seen, Strict};
use crate::error::{RpcError, RpcResult};
use crate::log::brief;

/// Decodes the arguments of a method.
#[inline]
pub(super) fn arguments<A>(method: &'static MethodDescriptor, json: &str) -> RpcResult<A>
where
    A: DeserializeOwned + Serialize,
{
    let seen = Seen::default();
    match fast(json, &seen) {
        Ok(arguments) if !seen.list() => Ok(arguments),
        Ok(arguments) => checked(method, json, arguments),
        Err(error) => again(method, json, &error),
    }
}

/// Decodes a reply. A client accepts what it can understand; only integers are read as in arguments.
///
/// # Errors
/// Says what does not fit, with the path to it.
pub(crate) fn reply<R: DeserializeOwned>(json: &[u8]) -> Result<R, String> {
    serde_json::from_slice(json).or_else(|error| {
        let text = std::str::from_utf8(json).map_err(|error| error.to_string())?;
        match slow(text, &Seen::default()) {
            Ok(reply) => Ok(reply),
            Err(Some(Misfit { path: Some(path), .. })) => Err(format!("{}: {}", place(&path), brief(error))),
            Err(_) => Err(brief(error)),
        }
    })
}

#[inline]
fn fast<A: DeserializeOwned>(json: &str, seen: &Seen) -> serde_json::Result<A> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = A::deserialize(Strict::<_, Fast>::new(&mut deserializer, seen))?;
    deserializer.end()?;
    Ok(value)
}

/// What does not fit, and where it stands.
struct Misfit {
    path: Option<String>,
    error: serde_json::Error,
}

/// Decodes once more, with integers read by their value. Fails without a misfit when the text is not JSON.
#[cold]
fn slow<A: DeserializeOwned>(json: &str, seen: &Seen) -> Result<A, Option<Misfit>> {
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return Err(None);
    }
    let exact = |json: &str| -> Result<A, Misfit> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(Strict::<_, Exact>::new(&mut deserializer, seen)).map_err(|error| {
            let path = Some(error.path().to_string()).filter(|path| path != ".");
            Misfit { path, error: error.into_inner() }
        })
    };
    exact(json).or_else(|misfit| {
        // serde keeps the content of some enums and of flattened structs aside, where the text of a number is lost.
        integers::in_plain_form(json).and_then(|plain| exact(&plain).ok()).ok_or(Some(misfit))
    })
}

/// Decodes once more what was refused, or says what is wrong with it.
#[cold]
fn again<A>(method: &'static MethodDescriptor, json: &str, error: &serde_json::Error) -> RpcResult<A>
where
    A: DeserializeOwned + Serialize,
{
    let seen = Seen::default();
    match slow::<A>(json, &seen) {
        Ok(arguments) if seen.list() => checked(method, json, arguments),
        Ok(arguments) => Ok(arguments),
        Err(None) => Err(RpcError::invalid_argument(format!(
            "malformed JSON in the arguments of `{}`: {}",
            method.name,
            brief(error)
        ))),
        Err(Some(misfit)) => Err(RpcError::invalid_argument(match misfit.path {
            // Both may quote names and values of the arguments, which are as long as the caller likes.
            Some(path) => format!("{} does not fit `{}`: {}", place(&path), method.name, brief(misfit.error)),
            None => format!("the arguments do not fit `{}`: {}", method.name, brief(misfit.error)),
        })),
    }
}

/// Refuses arguments in which serde took a list for an object out of sight of [`Strict`].
#[cold]
fn checked<A: Serialize>(method: &'static MethodDescriptor, json: &str, arguments: A) -> RpcResult<A> {
    match round_trip::misplaced_list(json, &arguments) {
        None => Ok(arguments),
        Some(path) => Err(RpcError::invalid_argument(format!(
            "{} does not fit `{}`: invalid type: a list where an object belongs",
            place(&path),
            method.name
        ))),
    }
}

fn place(path: &str) -> String {
    if path.is_empty() { "the message".to_owned() } else { format!("`{}`", brief(path)) }
}
