//! What is said of values that do not fit: all that JSON Schema refuses is refused, what Rust reads is not, and what is said
//! names the field and what was meant.
#![allow(clippy::unwrap_used)]

mod common;

use common::hard::{hard, samples};
use common::small::kv;
use expect_test::expect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use traitwire_schema::{Misfit, MisfitKind, TooIntricate, check};

fn misfits(schema: &Value, value: &Value) -> Vec<Misfit> {
    check(schema, value).unwrap()
}

fn is_refused(schema: &Value, value: &Value) -> bool {
    misfits(schema, value).iter().any(|misfit| misfit.kind == MisfitKind::Invalid)
}

/// The schema of the arguments of a method of [`hard`].
fn hard_schema(method: &str) -> Value {
    let catalogue = hard();
    let (_, method) = catalogue.method(method).unwrap();
    catalogue.message_document(&catalogue.messages(method).arguments)
}

#[test]
fn what_rust_reads_fits_and_what_it_refuses_does_not() {
    for sample in samples() {
        let schema = hard_schema(sample.method);
        for value in &sample.values {
            assert_eq!(misfits(&schema, value), [], "{} of {value}", sample.method);
        }
        for value in &sample.wrong {
            assert!(is_refused(&schema, value), "{} takes {value}", sample.method);
        }
    }
}

/// Every value inside of `value` in turn, put in the place of another, or taken out.
fn variants(value: &Value) -> Vec<Value> {
    let strange =
        [json!(null), json!(-1), json!(1.5), json!(u64::MAX), json!("x"), json!([]), json!({}), json!(true)];
    let mut variants = strange.to_vec();
    match value {
        Value::Object(object) => {
            for (name, field) in object {
                let mut without = object.clone();
                without.remove(name);
                variants.push(Value::Object(without));
                for variant in self::variants(field) {
                    let mut with = object.clone();
                    with.insert(name.clone(), variant);
                    variants.push(Value::Object(with));
                }
            }
            let mut more = object.clone();
            more.insert("more".to_owned(), json!(1));
            variants.push(Value::Object(more));
        }
        Value::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                for variant in self::variants(element) {
                    let mut with = array.clone();
                    with[index] = variant;
                    variants.push(Value::Array(with));
                }
            }
            variants.push(Value::Array([array.as_slice(), array.as_slice()].concat()));
        }
        _ => {}
    }
    variants
}

/// Another implementation of JSON Schema judges the same values. It knows nothing of the bounds of formats.
#[test]
fn another_implementation_agrees() {
    let mut judged = 0;
    for sample in samples() {
        let schema = hard_schema(sample.method);
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for value in sample.values.iter().flat_map(variants) {
            let misfits = misfits(&schema, &value);
            let refusal = misfits.iter().find(|misfit| misfit.kind == MisfitKind::Invalid);
            let is_of_format = refusal.is_some_and(|misfit| misfit.message.contains(" from "));
            assert!(
                refusal.is_none() == validator.is_valid(&value) || is_of_format,
                "{}: {value}: {refusal:?}",
                sample.method
            );
            judged += 1;
        }
    }
    assert!(judged > 1_000, "only {judged} values");
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Bounded {
    #[schemars(length(min = 1, max = 3))]
    name: String,
    #[schemars(range(min = 10, max = 20))]
    level: Option<u64>,
    small: i8,
    #[serde(default)]
    pairs: std::collections::BTreeMap<u32, (bool, f64)>,
    #[schemars(length(max = 2))]
    list: Vec<u64>,
    #[serde(default)]
    not_zero: Option<std::num::NonZeroU32>,
}

/// All that is said of a value, a line each.
fn said(schema: &Value, value: &Value) -> String {
    misfits(schema, value).iter().map(|misfit| format!("{misfit}\n")).collect()
}

#[test]
fn what_is_wrong_with_fields_is_said() {
    let schema = schemars::SchemaGenerator::new(schemars::generate::SchemaSettings::draft2020_12())
        .into_root_schema_for::<Bounded>()
        .to_value();
    let good =
        json!({ "name": "ab", "level": 10, "small": -128, "pairs": { "7": [true, 1] }, "list": [1, 2] });
    assert_eq!(said(&schema, &good), "");
    let wrong = json!({
        "name": "abcd", "level": 21, "small": 128, "pairs": { "7": [1, "x"], "b": [true, 1] },
        "list": [1, -1, 18_446_744_073_709_551_616_f64], "not_zero": 0,
    });
    expect![[r#"
        `name` must have 1 to 3 characters, not 4
        `level` must be an integer from 10 to 20, not 21
        `small` must be an integer from -128 to 127, not 128
        `pairs.7[0]` must be true or false, not 1
        `pairs.7[1]` must be a number, not "x"
        `pairs.b` is named by no integer
        `list` must have at most 2 elements, not 3
        `not_zero` must be an integer from 1 to 4294967295, not 0
    "#]]
    .assert_eq(&said(&schema, &wrong));
    let slips = json!({ "nam": "a", "levle": 11, "small": 1.5, "list": {}, "other": 1 });
    expect![[r#"
        `small` must be an integer from -128 to 127, not 1.5
        `list` must be a list, not {}
        `name` is missing
        `nam` is no field here; did you mean `name`?
        `levle` is no field here; did you mean `level`?
        `other` is no field here: there are `level`, `list`, `name`, `not_zero`, `pairs`, `small`
    "#]]
    .assert_eq(&said(&schema, &slips));
    expect![[r#"
        the value must be an object, not a list
    "#]]
    .assert_eq(&said(&schema, &json!([1])));
    expect![[r#"
        `name` must have 1 to 3 characters, not 0
        `small` must be an integer from -128 to 127, not "7"
        `list[0]` must be an integer from 0 to 18446744073709551615, not []
    "#]]
    .assert_eq(&said(&schema, &json!({ "name": "", "small": "7", "level": null, "list": [[]] })));
}

/// What is said is about the form that was meant.
#[test]
fn what_is_wrong_with_forms_is_said() {
    let of = |method: &str, value: Value| said(&hard_schema(method), &value);
    let mut text = String::new();
    for (method, value) in [
        ("hard.external", json!("Nothin")),
        ("hard.external", json!({ "At": { "x": 1 } })),
        ("hard.external", json!({ "Att": { "x": 1, "y": 2 } })),
        ("hard.external", json!({ "Pair": [1, 2] })),
        ("hard.external", json!(7)),
        ("hard.internal", json!({ "kind": "circle" })),
        ("hard.internal", json!({ "kind": "circel", "radius": 1 })),
        ("hard.internal", json!({ "kind": "circle", "radius": 1, "raduis": 2 })),
        ("hard.adjacent", json!({ "kind": "At" })),
        ("hard.untagged", json!({ "x": 1 })),
        ("hard.untagged", json!(-1)),
        ("hard.flat", json!({ "id": "a", "x": 1, "y": 2, "kind": "empty", "z": 3 })),
        ("hard.open", json!({ "id": "a", "more": -1 })),
        ("hard.tree", json!({ "value": 1, "children": [{ "value": 2, "childern": [] }] })),
        ("hard.list", json!([{ "1": { "x": 0, "y": 0 }, "-1": { "x": 0, "y": 0 } }])),
        ("hard.assorted_things", json!({ "anything": 1 })),
    ] {
        let lines = of(method, value.clone());
        text += &format!("{method} {value}\n");
        lines.lines().for_each(|line| text += &format!("  {line}\n"));
    }
    expect![[r#"
        hard.external "Nothin"
          the value must be "Plain" | "Nothing" | { At: Point } | { Line: { from: Point, to: Point } } | { Pair: [integer, string] }, not "Nothin"; did you mean "Nothing"?
        hard.external {"At":{"x":1}}
          `At.y` is missing
        hard.external {"Att":{"x":1,"y":2}}
          the value must be "Plain" | "Nothing" | { At: Point } | { Line: { from: Point, to: Point } } | { Pair: [integer, string] }, not an object; did you mean `At`?
        hard.external {"Pair":[1,2]}
          `Pair[1]` must be a string, not 2
        hard.external 7
          the value must be "Plain" | "Nothing" | { At: Point } | { Line: { from: Point, to: Point } } | { Pair: [integer, string] }, not 7
        hard.internal {"kind":"circle"}
          `radius` is missing
        hard.internal {"kind":"circel","radius":1}
          the value must be Point and { kind: "at" } | { kind: "circle", radius: number } | { kind: "empty" }, not an object; did you mean "circle" as its `kind`?
        hard.internal {"kind":"circle","radius":1,"raduis":2}
          `raduis` is no field here: there are `kind`, `radius`
        hard.adjacent {"kind":"At"}
          `value` is missing
        hard.untagged {"x":1}
          `y` is missing
        hard.untagged -1
          the value must be an integer from 0 to 4294967295, not -1
        hard.flat {"id":"a","x":1,"y":2,"kind":"empty","z":3}
          `z` is no field here: there are `id`, `kind`, `x`, `y`
        hard.open {"id":"a","more":-1}
          `more` must be an integer from 0 to 4294967295, not -1
        hard.tree {"value":1,"children":[{"value":2,"childern":[]}]}
          `children[0].children` is missing
          `children[0].childern` is no field here; did you mean `children`?
        hard.list [{"1":{"x":0,"y":0},"-1":{"x":0,"y":0}}]
          `[0].-1` is named by no integer
        hard.assorted_things {"anything":1}
    "#]].assert_eq(&text);
}

#[test]
fn the_messages_of_a_small_service() {
    let catalogue = kv();
    let (_, put) = catalogue.method("kv.put").unwrap();
    let schema = catalogue.message_document(&catalogue.messages(put).arguments);
    expect![[r#"
        `key` must be a string, not 1
        `version` must be an integer from 0 to 18446744073709551615, not -1
        `value` is missing
        `valeu` is no field here; did you mean `value`?
    "#]]
    .assert_eq(&said(&schema, &json!({ "key": 1, "valeu": "v", "version": -1 })));
}

/// A schema that refers to itself without end, or everywhere at once, is given up and not taken for fulfilled.
#[test]
fn a_schema_without_end_is_given_up() {
    let circle = json!({ "$ref": "#/$defs/A", "$defs": { "A": { "$ref": "#/$defs/B" }, "B": { "$ref": "#/$defs/A" } } });
    assert_eq!(check(&circle, &json!(1)), Err(TooIntricate));
    let definitions: serde_json::Map<String, Value> = (0..100)
        .map(|level| {
            let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
            (level.to_string(), json!({ "anyOf": [next, next] }))
        })
        .collect();
    let wide = json!({ "$ref": "#/$defs/0", "$defs": definitions });
    assert_eq!(check(&wide, &json!(1)), Err(TooIntricate));
    let nowhere = json!({ "$ref": "#/$defs/Nothing" });
    assert_eq!(check(&nowhere, &json!(1)), Ok(vec![]));
    let elsewhere = json!({ "$ref": "https://example.com/schema" });
    assert_eq!(check(&elsewhere, &json!(1)), Ok(vec![]));
}
