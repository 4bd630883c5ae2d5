//! Arguments by position, which JSON-RPC allows, turned into arguments by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use traitwire_schema::{MethodDescriptor, argument_fields};

use crate::error::{RpcError, RpcResult};

/// The names of methods' positions. Deriving them from a schema costs far more than a call, so they are kept.
#[derive(Default)]
pub(super) struct Positions {
    of_methods: Mutex<HashMap<&'static str, Option<Names>>>,
}

type Names = Arc<[String]>;

impl Positions {
    /// The fields of the method's arguments in their order; nothing when the message is no object.
    pub(super) fn of(&self, method: &'static MethodDescriptor) -> Option<Names> {
        // A panic while a schema is derived leaves the map as it was.
        let mut of_methods = self.of_methods.lock().unwrap_or_else(PoisonError::into_inner);
        of_methods.entry(method.name).or_insert_with(|| argument_fields(method).map(Arc::from)).clone()
    }

    /// Turns arguments by position into arguments by name: the fields in their order, or, of a message that is no
    /// object, the message as the one position.
    pub(super) fn by_name(&self, method: &'static MethodDescriptor, arguments: &Bytes) -> RpcResult<Bytes> {
        let values: Vec<&RawValue> = serde_json::from_slice(arguments)
            .map_err(|error| RpcError::invalid_argument(format!("malformed JSON: {error}")))?;
        let Some(names) = self.of(method) else {
            return match values.as_slice() {
                [value] => Ok(arguments.slice_ref(value.get().as_bytes())),
                _ => Err(RpcError::invalid_argument(format!("`{}` takes one position", method.name))),
            };
        };
        if values.len() > names.len() {
            let (most, given) = (names.len(), values.len());
            return Err(RpcError::invalid_argument(format!(
                "`{}` takes {most} positions, not {given}",
                method.name
            )));
        }
        let mut object = String::from("{");
        for (name, value) in names.iter().zip(values) {
            let comma = if object.len() > 1 { "," } else { "" };
            object.push_str(&format!("{comma}{}:{value}", serde_json::Value::from(name.as_str())));
        }
        object.push('}');
        Ok(Bytes::from(object))
    }
}
