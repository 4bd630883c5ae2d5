//! Arguments by position, which JSON-RPC allows, turned into arguments by name.

use bytes::Bytes;
use serde_json::value::RawValue;
use traitwire_schema::{MethodDescriptor, argument_fields};

use crate::error::{RpcError, RpcResult};

/// Turns arguments by position into arguments by name: the fields in their order, or, of a message that is no object,
/// the message as the one position.
pub(super) fn by_name(method: &MethodDescriptor, arguments: &Bytes) -> RpcResult<Bytes> {
    let values: Vec<&RawValue> = serde_json::from_slice(arguments)
        .map_err(|error| RpcError::invalid_argument(format!("malformed JSON: {error}")))?;
    let Some(names) = argument_fields(method) else {
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
