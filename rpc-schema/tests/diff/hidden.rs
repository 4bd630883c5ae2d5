//! No break is missed, wherever in a message it is: known mistakes, put deep inside random schemas that otherwise say
//! the same in other words.

use serde_json::{Value, json};
use traitwire_schema::diff::Severity;

use super::random::{Random, rewrite, schema, types};
use super::{contract, findings};

/// How often each mistake is hidden.
const SEEDS: u64 = 15;

fn object(fields: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": fields, "required": required })
}

fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = json!(false);
    object
}

fn wrapper(name: &str, content: Value) -> Value {
    closed(object(json!({ name: content }), &[name]))
}

fn tagged(tag: &str, name: &str, fields: Value) -> Value {
    let mut object = object(fields, &[tag]);
    object["properties"][tag] = json!({ "const": name });
    object
}

/// What was, what it became, and the rules that say so in a request and in a reply.
fn mistakes() -> Vec<(Value, Value, &'static str)> {
    let text = || json!({ "type": "string" });
    let uint = |bits: u32| json!({ "type": "integer", "format": format!("uint{bits}"), "minimum": 0 });
    let list = || json!({ "type": "array", "items": text() });
    let names = |names: &[&str]| json!({ "type": "string", "enum": names });
    let xy = || object(json!({ "x": text(), "y": uint(32) }), &["x", "y"]);
    let with = |mut schema: Value, keyword: &str, value: Value| {
        schema[keyword] = value;
        schema
    };
    let pair = |count: usize| json!({ "type": "array", "prefixItems": vec![text(); count], "minItems": count, "maxItems": count });
    let external = |names: &[&str]| json!({ "oneOf": names.iter().map(|name| wrapper(name, text())).collect::<Vec<_>>() });
    let internal = |tag: &str, names: &[&str]| json!({ "oneOf": names.iter().map(|name| tagged(tag, name, json!({}))).collect::<Vec<_>>() });
    vec![
        (with(text(), "pattern", json!("^a")), with(text(), "pattern", json!("^b")), "R00"),
        (with(text(), "not", json!({ "const": "a" })), text(), "R00"),
        (xy(), object(json!({ "x": text(), "z": uint(32) }), &["x", "z"]), "R06"),
        (object(json!({ "x": text() }), &["x"]), xy(), "R07"),
        (
            closed(object(json!({ "x": text() }), &["x"])),
            closed(object(json!({ "x": text(), "y": uint(8) }), &["x"])),
            "R08",
        ),
        (xy(), object(json!({ "x": text() }), &["x"]), "R09"),
        (object(json!({ "x": text() }), &[]), object(json!({ "x": text() }), &["x"]), "R10"),
        (object(json!({ "x": text() }), &["x"]), object(json!({ "x": text() }), &[]), "R11"),
        (object(json!({ "x": text() }), &["x"]), object(json!({ "x": uint(32) }), &["x"]), "R12"),
        (uint(32), text(), "R12"),
        (uint(32), uint(64), "R13"),
        (uint(16), json!({ "type": "number" }), "R13"),
        (names(&["A", "B"]), text(), "R13"),
        (text(), json!({ "type": ["string", "integer"] }), "R13"),
        (uint(64), uint(32), "R14"),
        (json!(true), text(), "R14"),
        (text(), names(&["A", "B"]), "R14"),
        (names(&["A", "B"]), names(&["A", "B", "C"]), "R15"),
        (external(&["A", "B"]), external(&["A", "B", "C"]), "R15"),
        (internal("t", &["A", "B"]), internal("t", &["A", "B", "C"]), "R15"),
        (names(&["A", "B"]), names(&["A"]), "R16"),
        (external(&["A", "B", "C"]), external(&["A", "B"]), "R16"),
        (external(&["A", "B"]), internal("t", &["A", "B"]), "R17"),
        (internal("t", &["A", "B"]), internal("u", &["A", "B"]), "R17"),
        (names(&["A", "B"]), internal("t", &["A", "B"]), "R17"),
        (list(), json!({ "type": "object", "additionalProperties": text() }), "R18"),
        (text(), list(), "R18"),
        (pair(2), pair(3), "R18"),
        (text(), with(text(), "maxLength", json!(3)), "R19"),
        (list(), with(list(), "minItems", json!(1)), "R19"),
        (list(), with(list(), "uniqueItems", json!(true)), "R19"),
        (with(uint(64), "maximum", json!(9)), with(uint(64), "maximum", json!(8)), "R19"),
        (with(text(), "maxLength", json!(3)), text(), "R20"),
        (with(list(), "maxItems", json!(3)), with(list(), "maxItems", json!(4)), "R20"),
        (xy(), closed(xy()), "R21"),
        (closed(xy()), xy(), "R22"),
        (with(text(), "format", json!("date")), with(text(), "format", json!("uuid")), "R24"),
    ]
}

/// The same random way into a message, for what was and for what it became.
fn hide(random: &mut Random, depth: usize, old: Value, new: Value) -> (Value, Value) {
    if depth == 0 {
        return (old, new);
    }
    let beside = schema(random, 2);
    let way = random.below(8);
    let wrap = |inner: Value| match way {
        0 => object(json!({ "inner": inner, "beside": beside }), &["inner"]),
        1 => object(json!({ "inner": inner, "beside": beside }), &[]),
        2 => json!({ "type": "array", "items": inner }),
        3 => json!({ "type": "object", "additionalProperties": inner }),
        4 => json!({ "type": "array", "prefixItems": [beside, inner], "minItems": 2, "maxItems": 2 }),
        5 => {
            json!({ "oneOf": [{ "const": "Unit" }, wrapper("Inner", inner), wrapper("Beside", beside.clone())] })
        }
        6 => {
            json!({ "oneOf": [tagged("kind", "Inner", json!({ "inner": inner })), tagged("kind", "Other", json!({}))] })
        }
        _ => {
            json!({ "allOf": [object(json!({ "inner": inner }), &["inner"]), object(json!({ "more": beside }), &[])] })
        }
    };
    let (old, new) = (wrap(old), wrap(new));
    hide(random, depth - 1, old, new)
}

#[test]
fn every_mistake_is_found_wherever_it_is() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 28);
    for (number, (was, became, rule)) in mistakes.iter().enumerate() {
        for seed in 0..SEEDS {
            let mut random = Random(seed * 1_000 + number as u64);
            let old_types = types(&mut random);
            let depth = random.below(4);
            let (old_schema, new_schema) = hide(&mut random, depth, was.clone(), became.clone());
            let (new_schema, new_types) = rewrite(&mut random, &new_schema, &old_types);
            let found = findings(&contract(&old_schema, &old_types), &contract(&new_schema, &new_types));
            let told = || format!("seed {seed}:\n{old_schema}\n->\n{new_schema}\n{found:#?}");
            for message in ["m.arguments", "m.reply"] {
                let here = found.iter().filter(|finding| finding.path.starts_with(message));
                let rules: Vec<String> = here.map(|finding| finding.rule.to_string()).collect();
                let is_told = !rules.is_empty() && rules.iter().all(|found| found == rule);
                assert!(is_told, "{rule} and nothing else should be found in {message}, {}", told());
            }
            let is_a_break = found.iter().any(|finding| finding.severity == Severity::Error);
            assert_eq!(is_a_break, *rule != "R24", "{}", told());
        }
    }
}

/// Documents from outside may be of any size and any depth: there is an end, and it is said.
#[test]
fn what_is_too_deep_is_not_decided_and_does_not_hang() {
    let deep = |end: &str| {
        (0..300).fold(json!({ "type": end }), |inner, _| json!({ "type": "array", "items": inner }))
    };
    let found = findings(&contract(&deep("string"), &json!({})), &contract(&deep("integer"), &json!({})));
    assert!(found.iter().all(|finding| finding.rule.to_string() == "R00"), "{found:#?}");
    assert_eq!(found.len(), 2);
    // Each type doubles the one before.
    let double =
        |inner: &str| json!({ "allOf": [{ "$ref": inner, "title": "1" }, { "$ref": inner, "title": "2" }] });
    let types = (1..30).map(|number| (format!("T{number}"), double(&format!("#/$defs/T{}", number - 1))));
    let mut types = Value::Object(types.collect());
    types["T0"] = json!({ "type": "string" });
    let root = json!({ "$ref": "#/$defs/T29" });
    let mut other = types.clone();
    other["T0"] = json!({ "type": "integer" });
    let found = findings(&contract(&root, &types), &contract(&root, &other));
    assert!(!found.is_empty());
    // Many alternatives without names, all different.
    let many = |first: usize| {
        let alternative = |number| object(json!({ format!("x{number}"): true, "y": true }), &["y"]);
        json!({ "anyOf": (first..first + 1_000).map(alternative).collect::<Vec<_>>() })
    };
    let found = findings(&contract(&many(0), &json!({})), &contract(&many(5_000), &json!({})));
    assert!(found.iter().any(|finding| finding.rule.to_string() == "R00"));
}
