//! From JSON Schema 2020-12 to Draft-07, the dialect of OpenRPC.
//!
//! | 2020-12 | Draft-07 |
//! |---|---|
//! | `#/$defs/Name` | `#/components/schemas/Name` |
//! | `$ref` with other keywords | `allOf` with the `$ref`: Draft-07 ignores what stands beside one |
//! | `prefixItems`, and `items` for the rest | `items` as a list, and `additionalItems` |
//! | `dependentRequired`, `dependentSchemas` | `dependencies` |
//! | `unevaluatedProperties` | `additionalProperties`, with the keys of all branches; dropped when a branch is a `$ref` |
//! | `contains` with `minContains: 0` | dropped: Draft-07 has no `contains` that may find nothing |
//! | data with a key `$ref`, as in `default` | dropped: tools follow it as a reference |
//! | `minContains`, `maxContains`, `unevaluatedItems`, `contentSchema` | dropped |
//!
//! What is dropped only makes a schema accept more. `const`, `examples`, `if`, `propertyNames` and the rest mean the same
//! in both.

use serde_json::{Map, Value, json};

use crate::walk::{DEFINITIONS, drop_data_with_references, each_subschema_mut};

/// What references to the schemas of an OpenRPC document begin with.
const COMPONENTS: &str = "#/components/schemas/";

/// `schema` in Draft-07, with its references as an OpenRPC document has them.
pub(crate) fn to_draft07(schema: &Value) -> Value {
    let mut schema = schema.clone();
    convert(&mut schema);
    schema
}

fn convert(schema: &mut Value) {
    each_subschema_mut(schema, &mut convert);
    let Some(keywords) = schema.as_object_mut() else { return };
    drop_data_with_references(keywords);
    convert_items(keywords);
    convert_dependencies(keywords);
    convert_unevaluated(keywords);
    if keywords.get("minContains").and_then(Value::as_u64) == Some(0) {
        keywords.shift_remove("contains");
    }
    for keyword in ["minContains", "maxContains", "unevaluatedItems", "contentSchema"] {
        keywords.shift_remove(keyword);
    }
    convert_reference(keywords);
}

fn convert_items(keywords: &mut Map<String, Value>) {
    if let Some(first) = keywords.shift_remove("prefixItems")
        && let Some(rest) = keywords.insert("items".to_owned(), first)
    {
        keywords.insert("additionalItems".to_owned(), rest);
    }
}

fn convert_dependencies(keywords: &mut Map<String, Value>) {
    // One key can have both: then its schema requires the keys, too.
    let mut dependencies = match keywords.shift_remove("dependentSchemas") {
        Some(Value::Object(schemas)) => schemas,
        _ => Map::new(),
    };
    if let Some(Value::Object(required)) = keywords.shift_remove("dependentRequired") {
        for (key, names) in required {
            let both = match dependencies.shift_remove(&key) {
                Some(schema) => json!({ "allOf": [schema, { "required": names }] }),
                None => names,
            };
            dependencies.insert(key, both);
        }
    }
    if !dependencies.is_empty() {
        keywords.insert("dependencies".to_owned(), Value::Object(dependencies));
    }
}

fn convert_unevaluated(keywords: &mut Map<String, Value>) {
    let Some(rest) = keywords.shift_remove("unevaluatedProperties") else { return };
    let mut names = Vec::new();
    if !branch_properties(keywords, &mut names) {
        return;
    }
    keywords.insert("additionalProperties".to_owned(), rest);
    if !names.is_empty()
        && let Value::Object(properties) = keywords.entry("properties").or_insert_with(|| json!({}))
    {
        for name in names {
            properties.entry(name).or_insert(Value::Bool(true));
        }
    }
}

/// Collects the keys that the branches of a schema speak of. False if they cannot be told.
fn branch_properties(keywords: &Map<String, Value>, names: &mut Vec<String>) -> bool {
    let lists =
        ["allOf", "anyOf", "oneOf"].iter().filter_map(|keyword| keywords.get(*keyword)?.as_array()).flatten();
    let single = ["if", "then", "else"].iter().filter_map(|keyword| keywords.get(*keyword));
    for branch in lists.chain(single).filter_map(Value::as_object) {
        names.extend(
            branch
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.keys().cloned()),
        );
        if branch.contains_key("patternProperties") || !branch_properties(branch, names) {
            return false;
        }
    }
    !keywords.contains_key("$ref")
}

fn convert_reference(keywords: &mut Map<String, Value>) {
    let Some(Value::String(reference)) = keywords.get_mut("$ref") else { return };
    if let Some(name) = reference.strip_prefix(DEFINITIONS) {
        *reference = format!("{COMPONENTS}{name}");
    }
    if keywords.len() > 1
        && let Some(reference) = keywords.shift_remove("$ref")
        && let Value::Array(parts) = keywords.entry("allOf").or_insert_with(|| json!([]))
    {
        parts.push(json!({ "$ref": reference }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::to_draft07;

    #[track_caller]
    fn check(schema: &Value, expected: &Value) {
        assert_eq!(&to_draft07(schema), expected);
    }

    #[test]
    fn references_lead_to_the_components_and_stand_alone() {
        check(&json!({ "$ref": "#/$defs/A" }), &json!({ "$ref": "#/components/schemas/A" }));
        check(
            &json!({ "properties": { "a": { "$ref": "#/$defs/A", "description": "An a." } } }),
            &json!({ "properties": { "a": { "description": "An a.", "allOf": [{ "$ref": "#/components/schemas/A" }] } } }),
        );
    }

    #[test]
    fn data_that_looks_like_a_schema_stays() {
        let schema =
            json!({ "default": { "allOf": [true], "prefixItems": [] }, "enum": [{ "minContains": 1 }] });
        check(&schema, &schema);
        check(
            &json!({ "default": { "a": { "$ref": "#/$defs/A" } }, "type": "object" }),
            &json!({ "type": "object" }),
        );
    }

    #[test]
    fn tuples_are_lists_of_items() {
        check(
            &json!({ "prefixItems": [{ "$ref": "#/$defs/A" }], "items": false }),
            &json!({ "items": [{ "$ref": "#/components/schemas/A" }], "additionalItems": false }),
        );
        check(&json!({ "prefixItems": [true] }), &json!({ "items": [true] }));
    }

    #[test]
    fn dependencies_are_one_keyword() {
        check(
            &json!({ "dependentRequired": { "a": ["b"], "c": ["d"] }, "dependentSchemas": { "c": { "minProperties": 3 } } }),
            &json!({ "dependencies": { "a": ["b"], "c": { "allOf": [{ "minProperties": 3 }, { "required": ["d"] }] } } }),
        );
    }

    #[test]
    fn closed_objects_stay_closed_where_all_keys_are_known() {
        check(
            &json!({ "properties": { "a": true }, "oneOf": [{ "properties": { "b": {} } }], "unevaluatedProperties": false }),
            &json!({
                "properties": { "a": true, "b": true },
                "oneOf": [{ "properties": { "b": {} } }],
                "additionalProperties": false
            }),
        );
        check(
            &json!({ "oneOf": [{ "$ref": "#/$defs/A" }], "unevaluatedProperties": false }),
            &json!({ "oneOf": [{ "$ref": "#/components/schemas/A" }] }),
        );
    }

    #[test]
    fn what_has_no_counterpart_is_dropped_and_never_makes_a_schema_stricter() {
        check(&json!({ "contains": {}, "minContains": 0 }), &json!({}));
        check(&json!({ "contains": {}, "minContains": 2, "maxContains": 3 }), &json!({ "contains": {} }));
        check(&json!({ "unevaluatedItems": false, "contentSchema": {} }), &json!({}));
    }
}
