//! What must be known of a method's arguments before they are decoded.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::walk::{Definitions, resolved};
use crate::{MethodDescriptor, Parameters};

/// The fields of a method's message in their declared order; nothing when the message is no object with named fields,
/// as it is for an enum, a map or a number. Such a message is one position of a call by position.
///
/// - Fields of a flattened struct stand where the struct stands.
/// - A flattened enum or map adds keys that depend on the value: they are no fields here, and can be given by name only.
///   A message that consists of such keys alone is no object with named fields.
pub fn argument_fields(method: &MethodDescriptor) -> Option<Vec<String>> {
    if let Parameters::Fields(names) = method.parameters {
        return Some(names.iter().map(ToString::to_string).collect());
    }
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = (method.arguments)(&mut generator).to_value();
    let definitions = generator.take_definitions(false).into_iter().collect();
    let fields = Fields::of(&schema, &definitions)?;
    Some(fields.properties.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The named fields of a message that is an object.
pub(crate) struct Fields<'a> {
    /// Name and schema of each field, in the order of declaration.
    pub(crate) properties: Vec<(&'a str, &'a Value)>,
    required: Vec<&'a str>,
    /// Whether there may be keys besides, which a flattened enum or map brings.
    pub(crate) more: bool,
}

impl<'a> Fields<'a> {
    /// The fields of `schema`, if it is an object that has any or is empty.
    pub(crate) fn of(schema: &'a Value, definitions: &'a Definitions) -> Option<Self> {
        let schema = resolved(schema, definitions);
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return None;
        }
        let mut fields = Self { properties: Vec::new(), required: Vec::new(), more: false };
        fields.gather(schema, definitions);
        (!fields.properties.is_empty() || !fields.more).then_some(fields)
    }

    /// Whether the field `name` must be there.
    pub(crate) fn is_required(&self, name: &str) -> bool {
        self.required.contains(&name)
    }

    fn gather(&mut self, schema: &'a Value, definitions: &'a Definitions) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.properties.push((name, property));
        }
        let required = schema.get("required").and_then(Value::as_array);
        self.required.extend(required.into_iter().flatten().filter_map(Value::as_str));
        let open = |keyword| schema.get(keyword).is_some_and(|more| more != &Value::Bool(false));
        let varies =
            ["oneOf", "anyOf", "patternProperties"].iter().any(|keyword| schema.get(keyword).is_some());
        self.more |= varies || open("additionalProperties") || open("unevaluatedProperties");
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(resolved(part, definitions), definitions);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::argument_fields;
    use crate::{Idempotency, MethodDescriptor, Parameters, SchemaOf, schema_of};

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Message {
        zulu: String,
        alpha: Option<u64>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Empty {}

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { first: u64 },
        Two,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Flattened {
        before: u64,
        #[serde(flatten)]
        message: Message,
        after: u64,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct FlattenedEnum {
        before: u64,
        #[serde(flatten)]
        tagged: Tagged,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct NothingElse {
        #[serde(flatten)]
        tagged: Tagged,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct FlattenedMap {
        before: u64,
        #[serde(flatten)]
        more: BTreeMap<String, u64>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(transparent)]
    struct Wrapper(Message);

    fn method(parameters: Parameters, arguments: SchemaOf) -> MethodDescriptor {
        MethodDescriptor {
            name: "m",
            aliases: &[],
            docs: "",
            idempotency: Idempotency::None,
            timeout_ms: None,
            retries: None,
            hedge_ms: None,
            detach: true,
            deprecated: None,
            parameters,
            arguments,
            reply: schema_of::<()>,
            error: None,
        }
    }

    fn check(arguments: SchemaOf, expected: Option<&[&str]>) {
        let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
        assert_eq!(argument_fields(&method(Parameters::Message, arguments)), expected);
    }

    #[test]
    fn fields_keep_their_order_and_what_is_no_object_has_none() {
        check(schema_of::<Message>, Some(&["zulu", "alpha"]));
        check(schema_of::<Wrapper>, Some(&["zulu", "alpha"]));
        check(schema_of::<Empty>, Some(&[]));
        check(schema_of::<String>, None);
        check(schema_of::<()>, None);
        check(schema_of::<Option<Message>>, None);
        check(schema_of::<Vec<Message>>, None);
        check(schema_of::<BTreeMap<String, u64>>, None);
        check(schema_of::<BTreeMap<u32, u64>>, None);
        check(schema_of::<serde_json::Value>, None);
        check(schema_of::<serde_json::Map<String, serde_json::Value>>, None);
    }

    #[test]
    fn flattened_structs_give_their_fields_and_what_varies_gives_none() {
        check(schema_of::<Flattened>, Some(&["before", "zulu", "alpha", "after"]));
        check(schema_of::<FlattenedEnum>, Some(&["before"]));
        check(schema_of::<FlattenedMap>, Some(&["before"]));
        check(schema_of::<Tagged>, None);
        check(schema_of::<NothingElse>, None);
    }

    #[test]
    fn parameters_of_the_trait_method_are_the_fields() {
        let method = method(Parameters::Fields(&["key", "version"]), schema_of::<Message>);
        assert_eq!(argument_fields(&method), Some(vec!["key".to_owned(), "version".to_owned()]));
    }
}
