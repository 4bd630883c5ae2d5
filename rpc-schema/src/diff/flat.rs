//! One schema without indirection: references followed, `allOf` merged, explanations dropped. What is left is a set of
//! keywords that constrain one value, and the alternatives that it chooses from.

use serde_json::{Map, Value, json};

use crate::walk::{DEFINITIONS, Definitions};

/// How many references and `allOf` inside each other are followed; more is a loop.
const NESTED_MAX: usize = 32;

/// How many parts one schema is put together from.
const PARTS_MAX: usize = 4_096;

/// Keywords of which the larger value is the tighter one.
const LOWER_BOUNDS: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Keywords of which the smaller value is the tighter one.
const UPPER_BOUNDS: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/// Keywords that are understood and hold for one value.
const UNDERSTOOD: [&str; 14] = [
    "type",
    "enum",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "items",
    "prefixItems",
    "uniqueItems",
    "pattern",
    "format",
    "contentEncoding",
    "contentMediaType",
    "multipleOf",
];

/// Keywords that decide what is valid, in ways that are not understood here.
const NOT_UNDERSTOOD: [&str; 17] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "propertyNames",
    "unevaluatedItems",
    "additionalItems",
    "$dynamicRef",
    "$recursiveRef",
    "contentSchema",
    "nullable",
];

/// A schema without indirection.
#[derive(Clone, Debug, Default)]
pub(super) struct Flat {
    /// What must hold, by keyword.
    pub(super) keywords: Map<String, Value>,
    /// The groups of alternatives: of each group one must hold.
    pub(super) alternatives: Vec<Vec<Value>>,
    /// What is not understood, by keyword.
    pub(super) rest: Map<String, Value>,
    /// Whether no value is valid.
    pub(super) never: bool,
    /// The value of a field that is absent; null says no more than that.
    pub(super) default: Option<Value>,
    /// Further names that a field is read under, by `x-aliases`.
    pub(super) aliases: Vec<String>,
    /// Whether values that the enum does not name are read too, by `x-open-enum`.
    pub(super) open: bool,
}

/// `schema` without indirection.
pub(super) fn flat(schema: &Value, definitions: &Definitions) -> Flat {
    flat_within(schema, definitions, NESTED_MAX, &mut { PARTS_MAX })
}

fn flat_within(schema: &Value, definitions: &Definitions, depth: usize, budget: &mut usize) -> Flat {
    let mut flat = Flat::default();
    let Some(keywords) = schema.as_object() else {
        // `true` allows everything, `false` nothing; whatever else stands here is no schema.
        flat.never = schema == &Value::Bool(false);
        if !schema.is_boolean() {
            flat.rest.insert("schema".to_owned(), schema.clone());
        }
        return flat;
    };
    if depth == 0 || *budget == 0 {
        flat.rest.insert("$ref".to_owned(), schema.clone());
        return flat;
    }
    // The schema's own words come first, so that its default wins over one further down.
    let mut parts: Vec<&Value> = Vec::new();
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                match reference.strip_prefix(DEFINITIONS).and_then(|name| definitions.get(name)) {
                    Some(definition) => parts.push(definition),
                    None => _ = flat.rest.insert(keyword.clone(), value.clone()),
                }
            }
            ("allOf", Value::Array(schemas)) => parts.extend(schemas),
            ("anyOf" | "oneOf", Value::Array(schemas)) if schemas.len() == 1 => parts.extend(schemas),
            ("anyOf" | "oneOf", Value::Array(schemas)) => flat.alternatives.push(schemas.clone()),
            _ => flat.take(keyword, value),
        }
    }
    *budget -= 1;
    for part in parts {
        flat.merge(flat_within(part, definitions, depth - 1, budget));
    }
    flat
}

impl Flat {
    fn take(&mut self, keyword: &str, value: &Value) {
        match keyword {
            "const" => _ = self.keywords.insert("enum".to_owned(), json!([value])),
            "default" if value.is_null() => {}
            "default" => self.default = Some(value.clone()),
            "x-aliases" => {
                let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                self.aliases.extend(names.map(str::to_owned));
            }
            "x-open-enum" => self.open |= value == &Value::Bool(true),
            "not" if value == &json!({}) || value == &Value::Bool(true) => self.never = true,
            // What `false` says there holds for the whole object, whatever part of it stands where.
            "unevaluatedProperties" => {
                self.combine("additionalProperties", value.clone());
            }
            // Everything is at least zero long, so that nothing is said.
            "minLength" | "minItems" | "minProperties" if value.as_u64() == Some(0) => {}
            "uniqueItems" if value == &Value::Bool(false) => {}
            "items" | "additionalProperties" if value == &Value::Bool(true) || value == &json!({}) => {}
            _ if NOT_UNDERSTOOD.contains(&keyword) => _ = self.rest.insert(keyword.to_owned(), value.clone()),
            _ if UNDERSTOOD.contains(&keyword)
                || LOWER_BOUNDS.contains(&keyword)
                || UPPER_BOUNDS.contains(&keyword) =>
            {
                self.combine(keyword, value.clone());
            }
            // What JSON Schema does not know decides nothing.
            _ => {}
        }
    }

    /// Adds that `other` must hold too.
    pub(super) fn merge(&mut self, other: Self) {
        for (keyword, value) in other.keywords {
            self.combine(&keyword, value);
        }
        for group in other.alternatives {
            if !self.alternatives.contains(&group) {
                self.alternatives.push(group);
            }
        }
        for (keyword, value) in other.rest {
            self.leave(&keyword, value);
        }
        self.never |= other.never;
        self.default = self.default.take().or(other.default);
        self.aliases.extend(other.aliases);
        self.open |= other.open;
    }

    /// Adds that `keyword` must hold with this value too.
    fn combine(&mut self, keyword: &str, value: Value) {
        let Some(own) = self.keywords.get_mut(keyword) else {
            self.keywords.insert(keyword.to_owned(), value);
            return;
        };
        if *own == value {
            return;
        }
        match (keyword, own, value) {
            ("properties", Value::Object(own), Value::Object(more)) => {
                for (name, schema) in more {
                    let both = own.get(&name).filter(|own| **own != schema).map(|own| json!([own, &schema]));
                    own.insert(name, both.map_or(schema, |both| json!({ "allOf": both })));
                }
            }
            ("required", Value::Array(own), Value::Array(more)) => {
                let more: Vec<Value> = more.into_iter().filter(|name| !own.contains(name)).collect();
                own.extend(more);
            }
            ("enum", Value::Array(own), Value::Array(more)) => own.retain(|value| more.contains(value)),
            ("type", own, more) => {
                let both = common_types(own, &more);
                self.never |= both.is_empty();
                *own = Value::Array(both);
            }
            // A closed part of an open whole is what deriving makes of a flattened closed struct: the whole is closed.
            ("additionalProperties", own, Value::Bool(false)) => *own = Value::Bool(false),
            ("additionalProperties", Value::Bool(false), _) => {}
            (bound, own, more) if LOWER_BOUNDS.contains(&bound) => {
                if own.as_f64() < more.as_f64() {
                    *own = more;
                }
            }
            (bound, own, more) if UPPER_BOUNDS.contains(&bound) => {
                if own.as_f64() > more.as_f64() {
                    *own = more;
                }
            }
            (keyword, _, value) => self.leave(keyword, value),
        }
    }

    /// Puts aside what cannot be understood.
    fn leave(&mut self, keyword: &str, value: Value) {
        let both = self.rest.get(keyword).filter(|own| **own != value).map(|own| json!([own, &value]));
        self.rest.insert(keyword.to_owned(), both.unwrap_or(value));
    }
}

/// The types that both allow.
fn common_types(own: &Value, more: &Value) -> Vec<Value> {
    let (own, more) = (type_names(own), type_names(more));
    let allows = |types: &[&str], name: &str| {
        types.contains(&name) || (name == "integer" && types.contains(&"number"))
    };
    let mut both: Vec<Value> = Vec::new();
    for (name, others) in own.iter().map(|name| (name, &more)).chain(more.iter().map(|name| (name, &own))) {
        if allows(others, name) && !both.contains(&json!(name)) {
            both.push(json!(name));
        }
    }
    both
}

/// The names in the value of `type`.
pub(super) fn type_names(value: &Value) -> Vec<&str> {
    match value {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
