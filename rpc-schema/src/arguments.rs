//! What must be known of a method's arguments before they are decoded.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::MethodDescriptor;

/// How deep references to references are followed.
const REFERENCES_MAX: usize = 16;

/// The fields of a method's message in their declared order; nothing when the message is no object with named fields,
/// as it is for an enum, a map or a number.
pub fn argument_fields(method: &MethodDescriptor) -> Option<Vec<String>> {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = (method.arguments)(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
        let name = reference.rsplit('/').next()?;
        schema = definitions.get(name)?.clone();
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    match properties {
        Some(properties) => Some(properties.keys().cloned().collect()),
        // An object without properties is the empty message, unless it is a map.
        None if schema.get("additionalProperties").is_some_and(|more| more != &Value::Bool(false)) => None,
        None => Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;

    use super::argument_fields;
    use crate::{Idempotency, MethodDescriptor, Parameters, SchemaOf, schema_of};

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Message {
        zulu: String,
        alpha: Option<u64>,
    }

    #[derive(JsonSchema)]
    struct Empty {}

    fn check(arguments: SchemaOf, expected: Option<&[&str]>) {
        let method = MethodDescriptor {
            name: "m",
            aliases: &[],
            docs: "",
            idempotency: Idempotency::None,
            timeout_ms: None,
            retries: None,
            hedge_ms: None,
            detach: true,
            deprecated: None,
            parameters: Parameters::Message,
            arguments,
            reply: schema_of::<()>,
            error: None,
        };
        let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
        assert_eq!(argument_fields(&method), expected);
    }

    #[test]
    fn fields_keep_their_order_and_what_is_no_object_has_none() {
        check(schema_of::<Message>, Some(&["zulu", "alpha"]));
        check(schema_of::<Empty>, Some(&[]));
        check(schema_of::<String>, None);
        check(schema_of::<Vec<Message>>, None);
        check(schema_of::<BTreeMap<String, u64>>, None);
    }
}
