//! Walking JSON Schema: which values inside a schema are schemas themselves, and where a reference leads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Named schemas. References inside them read `#/$defs/Name`.
pub(crate) type Definitions = BTreeMap<String, Value>;

/// What every reference to a definition begins with.
pub(crate) const DEFINITIONS: &str = "#/$defs/";

/// The extension of JSON Schema that says what a server counts where it bounds the length of a text: `bytes` of UTF-8
/// instead of characters, which `minLength` and `maxLength` count. Written `#[schemars(extend("x-length-unit" = "bytes"))]`.
pub(crate) const LENGTH_UNIT: &str = "x-length-unit";

/// How deep references to references are followed; more is a loop.
const REFERENCES_MAX: usize = 16;

enum Holds {
    Schema,
    List,
    Map,
}

/// How the value of `keyword` holds schemas. Data such as `default` or `enum` may look like schemas and is none.
fn holds(keyword: &str) -> Option<Holds> {
    match keyword {
        "additionalItems"
        | "additionalProperties"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "items"
        | "not"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Some(Holds::Schema),
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Some(Holds::List),
        "$defs" | "dependentSchemas" | "patternProperties" | "properties" => Some(Holds::Map),
        _ => None,
    }
}

/// Whether the lengths of `schema` are in bytes.
pub(crate) fn counts_bytes(schema: &Value) -> bool {
    schema.get(LENGTH_UNIT).is_some_and(|unit| unit == "bytes")
}

/// Whether an object in `value`, at any depth, has a key `$ref` with a text. Where it is data, tools still follow it.
pub(crate) fn holds_reference(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.get("$ref").is_some_and(Value::is_string) || object.values().any(holds_reference)
        }
        Value::Array(values) => values.iter().any(holds_reference),
        _ => false,
    }
}

/// Drops the keywords of a schema whose values are data with a key `$ref`.
pub(crate) fn drop_data_with_references(keywords: &mut Map<String, Value>) {
    keywords
        .retain(|keyword, value| keyword == "$ref" || holds(keyword).is_some() || !holds_reference(value));
}

/// Calls `visit` for each schema directly inside `schema`.
pub(crate) fn each_subschema<'a>(schema: &'a Value, visit: &mut dyn FnMut(&'a Value)) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match (holds(keyword), value) {
            (Some(Holds::Schema), schema) => visit(schema),
            (Some(Holds::List), Value::Array(schemas)) => schemas.iter().for_each(&mut *visit),
            (Some(Holds::Map), Value::Object(schemas)) => schemas.values().for_each(&mut *visit),
            (Some(Holds::List | Holds::Map) | None, _) => {}
        }
    }
}

/// Calls `visit` for each schema directly inside `schema`, which it may change.
pub(crate) fn each_subschema_mut(schema: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in schema.as_object_mut().into_iter().flatten() {
        match (holds(keyword), value) {
            (Some(Holds::Schema), schema) => visit(schema),
            (Some(Holds::List), Value::Array(schemas)) => schemas.iter_mut().for_each(&mut *visit),
            (Some(Holds::Map), Value::Object(schemas)) => schemas.values_mut().for_each(&mut *visit),
            (Some(Holds::List | Holds::Map) | None, _) => {}
        }
    }
}

/// Calls `visit` with the text of every reference in `schema`, at any depth.
pub(crate) fn each_reference<'a>(schema: &'a Value, visit: &mut dyn FnMut(&'a str)) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        visit(reference);
    }
    each_subschema(schema, &mut |subschema| each_reference(subschema, visit));
}

/// Replaces every reference to a definition in `schema` by what `target` makes of the definition's name.
pub(crate) fn replace_references(schema: &mut Value, target: &dyn Fn(&str) -> String) {
    if let Some(Value::String(reference)) = schema.get_mut("$ref")
        && let Some(name) = reference.strip_prefix(DEFINITIONS)
    {
        *reference = target(name);
    }
    each_subschema_mut(schema, &mut |subschema| replace_references(subschema, target));
}

/// The names of the definitions that `schemas` need, directly or through others.
pub(crate) fn reachable<'a>(
    schemas: impl IntoIterator<Item = &'a Value>,
    definitions: &'a Definitions,
) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Value> = schemas.into_iter().collect();
    while let Some(schema) = open.pop() {
        each_reference(schema, &mut |reference| {
            if let Some(name) = reference.strip_prefix(DEFINITIONS)
                && names.insert(name)
                && let Some(definition) = definitions.get(name)
            {
                open.push(definition);
            }
        });
    }
    names
}

/// The name of the definition that `schema` is, when it is a reference and nothing else.
pub(crate) fn named(schema: &Value) -> Option<&str> {
    let schema = schema.as_object().filter(|schema| schema.len() == 1)?;
    schema.get("$ref")?.as_str()?.strip_prefix(DEFINITIONS)
}

/// `schema`, or the definition that it names.
pub(crate) fn resolved<'a>(mut schema: &'a Value, definitions: &'a Definitions) -> &'a Value {
    for _ in 0..REFERENCES_MAX {
        let Some(definition) = named(schema).and_then(|name| definitions.get(name)) else { break };
        schema = definition;
    }
    schema
}
