//! Examples are valid: each deserialises into the type that its schema came from.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroI32, NonZeroU64};

use common::{METHOD, catalogue};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use traitwire_schema::{MethodDescriptor, example, schema_of};

fn example_of<T: JsonSchema>() -> Value {
    let method: &'static MethodDescriptor =
        Box::leak(Box::new(MethodDescriptor { arguments: schema_of::<T>, ..METHOD }));
    let catalogue = catalogue(&[method]);
    example(&catalogue.message_document(&catalogue.messages(method).arguments))
}

/// The example of `T` is `expected`, and a `T`.
#[track_caller]
fn check<T: JsonSchema + DeserializeOwned>(expected: Value) {
    let example = example_of::<T>();
    assert_eq!(example, expected);
    serde_json::from_value::<T>(example).unwrap();
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Entry {
    key: String,
    version: u64,
    note: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Point(f64, f64);

#[derive(Serialize, Deserialize, JsonSchema)]
enum Plain {
    /// Documented, so it becomes a branch of its own.
    First,
    Second,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum External {
    Entry(Entry),
    Point { x: i32 },
    Nothing,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Internal {
    Entry(Entry),
    Point { x: i32 },
    Nothing,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "value")]
enum Adjacent {
    Entry(Entry),
    Nothing,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Entry(Entry),
}

#[test]
fn plain_values() {
    check::<()>(json!(null));
    check::<bool>(json!(false));
    check::<u64>(json!(0));
    check::<i8>(json!(0));
    check::<f64>(json!(0.0));
    check::<NonZeroU64>(json!(1));
    check::<NonZeroI32>(json!(1));
    check::<String>(json!("string"));
    check::<char>(json!("s"));
    check::<Value>(json!(null));
    check::<Option<u64>>(json!(0));
    check::<std::net::IpAddr>(json!("192.0.2.1"));
    check::<std::time::Duration>(json!({ "secs": 0, "nanos": 0 }));
}

#[test]
fn lists_and_maps() {
    check::<Vec<u64>>(json!([0]));
    check::<BTreeSet<String>>(json!(["string"]));
    check::<[u8; 3]>(json!([0, 0, 0]));
    check::<(u64, String)>(json!([0, "string"]));
    check::<Point>(json!([0.0, 0.0]));
    check::<BTreeMap<String, u64>>(json!({ "key": 0 }));
    check::<BTreeMap<u32, Vec<u8>>>(json!({ "0": [0] }));
    check::<BTreeMap<i64, bool>>(json!({ "0": false }));
    check::<serde_json::Map<String, Value>>(json!({}));
}

#[test]
fn structs_show_all_fields() {
    check::<Entry>(json!({ "key": "string", "version": 0, "note": "string" }));
}

#[test]
fn enums_of_all_kinds() {
    let entry = json!({ "key": "string", "version": 0, "note": "string" });
    check::<Plain>(json!("Second"));
    check::<External>(json!("Nothing"));
    check::<Internal>(json!({ "kind": "Entry", "key": "string", "version": 0, "note": "string" }));
    check::<Adjacent>(json!({ "kind": "Entry", "value": entry }));
    check::<Untagged>(json!(0));
}

#[test]
fn enums_behind_options_and_lists() {
    check::<Option<Internal>>(json!({ "kind": "Entry", "key": "string", "version": 0, "note": "string" }));
    check::<Vec<Adjacent>>(
        json!([{ "kind": "Entry", "value": { "key": "string", "version": 0, "note": "string" } }]),
    );
}

#[test]
fn flattened_parts_are_there() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Outer {
        id: u64,
        #[serde(flatten)]
        entry: Entry,
        #[serde(flatten)]
        kind: Internal2,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Internal2 {
        Sized { size: u8 },
        Unsized,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct More {
        id: u64,
        #[serde(flatten)]
        more: BTreeMap<String, u64>,
    }
    check::<Outer>(json!({
        "id": 0, "key": "string", "version": 0, "note": "string", "kind": "sized", "size": 0
    }));
    check::<More>(json!({ "id": 0 }));
}

#[test]
fn recursion_ends() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Node {
        value: u64,
        children: Vec<Node>,
        next: Option<Box<Node>>,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Expression {
        Sum(Box<Expression>, Box<Expression>),
        Negative { of: Box<Expression> },
        Literal(u64),
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Left {
        right: Vec<Right>,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Right {
        left: Box<Left>,
    }
    check::<Node>(json!({
        "value": 0,
        "children": [{ "value": 0, "children": [] }],
        "next": { "value": 0, "children": [] },
    }));
    check::<Expression>(json!({ "Sum": [{ "Literal": 0 }, { "Literal": 0 }] }));
    check::<Left>(json!({ "right": [{ "left": { "right": [] } }] }));
}

#[test]
fn a_type_without_finite_values_gives_null_and_ends() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "nobody can make one")]
    struct Endless {
        more: Box<Endless>,
    }
    assert_eq!(example_of::<Endless>(), json!({}));
    assert_eq!(example(&json!({ "$ref": "#" })), json!(null));
}

#[test]
fn what_the_schema_proposes_comes_first() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Proposed {
        #[schemars(example = &"alpha")]
        name: String,
        #[serde(default = "three")]
        retries: u32,
        #[serde(default)]
        note: Option<String>,
    }
    fn three() -> u32 {
        3
    }
    check::<Proposed>(json!({ "name": "alpha", "retries": 3, "note": "string" }));
    check_schema(&json!({ "const": 7, "default": 8 }), &json!(7));
    check_schema(&json!({ "enum": ["a", "b"], "type": "string" }), &json!("a"));
}

#[track_caller]
fn check_schema(schema: &Value, expected: &Value) {
    assert_eq!(&example(schema), expected);
}

#[test]
fn bounds_and_lengths_hold() {
    check_schema(&json!({ "type": "integer", "minimum": 5, "multipleOf": 4 }), &json!(8));
    check_schema(&json!({ "type": "integer", "maximum": -5, "multipleOf": 4 }), &json!(-8));
    check_schema(&json!({ "type": "integer", "exclusiveMinimum": 0 }), &json!(1));
    check_schema(&json!({ "type": "integer", "minimum": u64::MAX }), &json!(u64::MAX));
    check_schema(&json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 }), &json!(0.5));
    check_schema(&json!({ "type": "number", "maximum": -2.5 }), &json!(-2.5));
    check_schema(&json!({ "type": "string", "minLength": 8 }), &json!("stringst"));
    check_schema(&json!({ "type": "string", "maxLength": 2 }), &json!("st"));
    check_schema(
        &json!({ "type": "array", "items": { "type": "null" }, "minItems": 2 }),
        &json!([null, null]),
    );
    check_schema(&json!({ "type": "array", "items": { "type": "null" }, "maxItems": 0 }), &json!([]));
    check_schema(&json!({ "type": "array", "items": false }), &json!([]));
}

#[test]
fn deep_types_stay_small() {
    #[derive(JsonSchema)]
    #[schemars(rename = "Deep_{N}")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Deep<const N: usize, T> {
        must: u64,
        may: Option<T>,
        list: Vec<T>,
    }
    type Four<T> = Deep<3, Deep<4, Deep<5, Deep<6, T>>>>;
    let example = example_of::<Deep<1, Deep<2, Four<Deep<7, u64>>>>>();
    assert_eq!(depth(&example), 5);
}

/// How many objects stand inside each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(values) => values.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Fields may be called as keywords of JSON Schema are.
#[test]
fn fields_named_as_keywords_are_fields() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Keywords {
        #[serde(rename = "$ref")]
        reference: String,
        #[serde(rename = "$defs")]
        definitions: Vec<u8>,
        #[serde(rename = "allOf")]
        all_of: bool,
        #[serde(rename = "const")]
        constant: u32,
        properties: BTreeMap<String, u8>,
        required: String,
        r#type: Option<Box<Keywords>>,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "$ref")]
    enum Tagged {
        First { value: u8 },
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Flat {
        #[serde(flatten)]
        tagged: Tagged,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Inner {
        #[serde(rename = "default")]
        fallback: Pointer,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Pointer {
        #[serde(rename = "$ref")]
        reference: u8,
    }
    check::<Pointer>(json!({ "$ref": 0 }));
    check::<Vec<Option<Pointer>>>(json!([{ "$ref": 0 }]));
    check::<Flat>(json!({ "$ref": "First", "value": 0, "default": { "$ref": 0 } }));
    let keywords = |definitions: Value, properties: Value| {
        json!({
            "$ref": "string", "$defs": definitions, "allOf": false, "const": 0, "properties": properties, "required": "string",
        })
    };
    let mut expected = keywords(json!([0]), json!({ "key": 0 }));
    expected["type"] = keywords(json!([]), json!({}));
    check::<Keywords>(expected);
}

/// The example of a reply is one that succeeds.
#[test]
fn a_field_for_errors_is_null_where_it_may_be() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Why {
        Absent,
        Busy { seconds: u32 },
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Reply {
        count: u32,
        err: Option<Why>,
        error: Option<String>,
        refusal: Option<Box<Reply>>,
        note: Option<String>,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Report {
        error: Why,
    }
    check::<Reply>(json!({ "count": 0, "err": null, "error": null, "refusal": null, "note": "string" }));
    check::<Vec<Reply>>(
        json!([{ "count": 0, "err": null, "error": null, "refusal": null, "note": "string" }]),
    );
    check::<Report>(json!({ "error": "Absent" }));
    check::<Result<u32, Why>>(json!({ "Ok": 0 }));
}
