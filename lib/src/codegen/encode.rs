//! From a message to JSON: what JSON cannot say is an error, and not something else.
//!
//! serde_json writes null for a number that is not finite, and for `Some(None)` as well as for `None`. A text without null
//! cannot have lost anything so; any other message is walked through once more.

mod loss;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::loss::Loss;

/// Why a message was not encoded.
pub(crate) enum Unencodable {
    /// The type's own encoding failed.
    Failed(serde_json::Error),
    /// JSON cannot hold the value.
    Lost(Loss),
}

impl std::fmt::Display for Unencodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Lost(loss) => loss.fmt(f),
        }
    }
}

/// Encodes a message of which only the type knows how it is decoded.
#[inline]
pub(crate) fn untyped<T: Serialize + ?Sized>(message: &T) -> Result<String, Unencodable> {
    let json = serde_json::to_string(message).map_err(Unencodable::Failed)?;
    match may_have_lost(&json).then(|| loss::find(message)).flatten() {
        None => Ok(json),
        Some(loss) => Err(Unencodable::Lost(loss)),
    }
}

/// Encodes a message that is decoded as the same type.
///
/// Some types know how to read what looks lost, as one that tells a missing field from null. So what comes back decides.
#[inline]
pub(crate) fn typed<T: Serialize + DeserializeOwned>(message: &T) -> Result<String, Unencodable> {
    let json = serde_json::to_string(message).map_err(Unencodable::Failed)?;
    match may_have_lost(&json).then(|| loss::find(message)).flatten() {
        Some(loss) if !comes_back(message, &json) => Err(Unencodable::Lost(loss)),
        Some(_) | None => Ok(json),
    }
}

#[inline]
fn may_have_lost(json: &str) -> bool {
    json.contains("null")
}

/// Whether the decoded message has the same values where some seemed to be lost.
#[cold]
fn comes_back<T: Serialize + DeserializeOwned>(message: &T, json: &str) -> bool {
    serde_json::from_str::<T>(json).is_ok_and(|decoded| loss::tally(&decoded) == loss::tally(message))
}
