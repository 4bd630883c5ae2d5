//! From JSON Schema 2020-12 to the part of it that generators of clients understand.
//!
//! | 2020-12 | in an OpenAPI document |
//! |---|---|
//! | `#/$defs/Name` | `#/components/schemas/Name` |
//! | `$ref` with other keywords | `allOf` with the `$ref`: openapi-generator refuses a `$ref` that has siblings |
//! | the schemas `true` and `false` | `{}` and `{"not": {}}`: openapi-python-client refuses a document with a boolean schema |
//! | `additionalProperties` and `unevaluatedProperties` | `false` stays, which OpenAPI has always had; `true` is dropped |
//! | `items: false` after `prefixItems` | `maxItems` |
//! | `oneOf` of texts, each with a description | `enum`: openapi-python-client takes the first text for the only one |
//! | data with a key `$ref`, as in `default` | dropped: tools follow it as a reference |
//!
//! Integers also get the bounds of their formats, which tools that make values from schemas need to know.

use serde_json::{Map, Value, json};

use super::SCHEMAS;
use crate::walk::{drop_data_with_references, each_subschema_mut, replace_references};

/// Keywords whose value may be `false` in every version of OpenAPI, or is read as its extension.
const MAY_BE_FALSE: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// `schema` as an OpenAPI document has it.
pub(super) fn adapted(schema: &Value) -> Value {
    let mut schema = schema.clone();
    replace_references(&mut schema, &|name| format!("{SCHEMAS}{name}"));
    adapt(&mut schema);
    schema
}

fn adapt(schema: &mut Value) {
    match schema {
        Value::Bool(true) => *schema = json!({}),
        Value::Bool(false) => *schema = json!({ "not": {} }),
        _ => {}
    }
    let Some(keywords) = schema.as_object_mut() else { return };
    let closed: Vec<&str> =
        MAY_BE_FALSE.into_iter().filter(|keyword| keywords.get(*keyword) == Some(&json!(false))).collect();
    keywords.retain(|keyword, value| !(value.is_boolean() && MAY_BE_FALSE.contains(&keyword.as_str())));
    drop_data_with_references(keywords);
    close_tuple(keywords);
    join_texts(keywords);
    bound_integer(keywords);
    each_subschema_mut(schema, &mut adapt);
    let Some(keywords) = schema.as_object_mut() else { return };
    keywords.extend(closed.into_iter().map(|keyword| (keyword.to_owned(), json!(false))));
    wrap_reference(keywords);
}

/// Says by `maxItems` that no elements come after those of `prefixItems`.
fn close_tuple(keywords: &mut Map<String, Value>) {
    let Some(first) = keywords.get("prefixItems").and_then(Value::as_array) else { return };
    if keywords.get("items") != Some(&json!(false)) {
        return;
    }
    let length = first.len() as u64;
    let most = keywords.get("maxItems").and_then(Value::as_u64).map_or(length, |most| most.min(length));
    keywords.insert("maxItems".to_owned(), json!(most));
    keywords.shift_remove("items");
}

/// Gives an integer the bounds that its format has, where it has none.
fn bound_integer(keywords: &mut Map<String, Value>) {
    let (least, most) = match keywords.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
        Some("uint32") => (json!(0), json!(u32::MAX)),
        Some("int64" | "int") => (json!(i64::MIN), json!(i64::MAX)),
        Some("uint64" | "uint") => (json!(0), json!(u64::MAX)),
        _ => return,
    };
    keywords.entry("minimum").or_insert(least);
    keywords.entry("maximum").or_insert(most);
}

/// Makes one `enum` of branches that are all texts. What is said of each becomes a part of the description.
fn join_texts(keywords: &mut Map<String, Value>) {
    let Some(branches) = keywords.get("oneOf").and_then(Value::as_array) else { return };
    let mut texts = Vec::new();
    let mut descriptions: Vec<String> =
        keywords.get("description").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    for branch in branches {
        let Some(branch) = branch.as_object() else { return };
        let is_known =
            |keyword: &String| matches!(keyword.as_str(), "type" | "const" | "enum" | "description");
        if branch.get("type") != Some(&json!("string")) || !branch.keys().all(is_known) {
            return;
        }
        let several = branch.get("enum").and_then(Value::as_array).into_iter().flatten();
        let own: Vec<Value> = branch.get("const").into_iter().chain(several).cloned().collect();
        if own.is_empty() {
            return;
        }
        if let Some(docs) = branch.get("description").and_then(Value::as_str) {
            let names: Vec<&str> = own.iter().filter_map(Value::as_str).collect();
            descriptions.push(format!("- `{}`: {docs}", names.join("`, `")));
        }
        texts.extend(own);
    }
    keywords.shift_remove("oneOf");
    keywords.insert("type".to_owned(), json!("string"));
    keywords.insert("enum".to_owned(), Value::Array(texts));
    if !descriptions.is_empty() {
        keywords.insert("description".to_owned(), json!(descriptions.join("\n")));
    }
}

/// Puts a reference that stands beside other keywords into `allOf`.
fn wrap_reference(keywords: &mut Map<String, Value>) {
    if keywords.len() < 2 {
        return;
    }
    let Some(reference) = keywords.shift_remove("$ref") else { return };
    let part = json!({ "$ref": reference });
    match keywords.get_mut("allOf").and_then(Value::as_array_mut) {
        Some(parts) => parts.insert(0, part),
        None => _ = keywords.insert("allOf".to_owned(), json!([part])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::adapted;
    use crate::walk::DEFINITIONS;

    #[track_caller]
    fn check(schema: serde_json::Value, expected: serde_json::Value) {
        assert_eq!(adapted(&schema), expected);
    }

    #[test]
    fn integers_get_the_bounds_of_their_formats_and_keep_their_own() {
        check(
            json!({ "anyOf": [
                { "type": "integer", "format": "uint64", "minimum": 1 },
                { "$ref": format!("{DEFINITIONS}A") },
            ] }),
            json!({ "anyOf": [
                { "type": "integer", "format": "uint64", "minimum": 1, "maximum": u64::MAX },
                { "$ref": "#/components/schemas/A" },
            ] }),
        );
    }

    #[test]
    fn a_reference_has_no_siblings() {
        check(
            json!({ "properties": { "a": { "$ref": format!("{DEFINITIONS}A"), "description": "An A." } } }),
            json!({ "properties": {
                "a": { "description": "An A.", "allOf": [{ "$ref": "#/components/schemas/A" }] },
            } }),
        );
        check(
            json!({ "$ref": format!("{DEFINITIONS}A"), "allOf": [{ "type": "object" }] }),
            json!({ "allOf": [{ "$ref": "#/components/schemas/A" }, { "type": "object" }] }),
        );
    }

    #[test]
    fn no_schema_is_a_boolean() {
        check(
            json!({
                "properties": { "any": true, "none": false },
                "items": true,
                "anyOf": [false, { "not": true }],
                "additionalProperties": false,
            }),
            json!({
                "properties": { "any": {}, "none": { "not": {} } },
                "items": {},
                "anyOf": [{ "not": {} }, { "not": {} }],
                "additionalProperties": false,
            }),
        );
        check(json!({ "additionalProperties": true, "type": "object" }), json!({ "type": "object" }));
        check(json!(true), json!({}));
        check(
            json!({ "prefixItems": [true, { "type": "null" }], "items": false }),
            json!({ "prefixItems": [{}, { "type": "null" }], "maxItems": 2 }),
        );
    }

    #[test]
    fn texts_that_are_told_apart_by_their_descriptions_are_one_enum() {
        let text = |value: &str| json!({ "type": "string", "const": value, "description": "D." });
        check(
            json!({ "description": "Why.", "oneOf": [text("a"), { "type": "string", "enum": ["b", "c"] }] }),
            json!({ "description": "Why.\n- `a`: D.", "type": "string", "enum": ["a", "b", "c"] }),
        );
        let mixed = json!({ "oneOf": [text("a"), { "type": "object" }] });
        check(mixed.clone(), mixed);
    }

    #[test]
    fn a_field_may_be_called_ref_but_data_holds_no_such_key() {
        check(
            json!({
                "properties": { "$ref": { "type": "string" } },
                "default": { "$ref": "#/nowhere" },
                "examples": [[{ "$ref": "x" }]],
                "const": { "$ref": 1 },
            }),
            json!({ "properties": { "$ref": { "type": "string" } }, "const": { "$ref": 1 } }),
        );
    }
}
