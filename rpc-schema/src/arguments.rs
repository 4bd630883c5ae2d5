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

    /// Whether any field must be there.
    pub(crate) fn has_required(&self) -> bool {
        !self.required.is_empty()
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
