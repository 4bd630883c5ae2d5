//! What a schema means, apart from how it is written: the kinds of values that it allows, and what must hold of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::flat::{Flat, flat, type_names};
use super::range::{Bounds, Number};
use crate::walk::Definitions;

/// How deep alternatives may stand in alternatives.
const ALTERNATIVES_DEPTH_MAX: usize = 16;

/// How many alternatives are told apart.
const ALTERNATIVES_MAX: usize = 4_096;

/// What a schema allows: the union of what its parts name.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Whether everything is allowed.
    pub(super) any: bool,
    pub(super) null: bool,
    pub(super) boolean: bool,
    pub(super) numbers: Vec<Number>,
    pub(super) texts: Vec<Text>,
    pub(super) arrays: Vec<Array>,
    pub(super) objects: Vec<Object>,
    /// Single values other than null, by their JSON text.
    pub(super) values: BTreeMap<String, Value>,
    /// Whether values that the enum does not name are read too.
    pub(super) open: bool,
    /// What is not understood, by keyword.
    pub(super) rest: Map<String, Value>,
}

/// Strings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text {
    pub(super) length: Bounds,
    pub(super) pattern: Option<String>,
    /// `format`, `contentEncoding` and `contentMediaType`, which explain what the text is.
    pub(super) formats: BTreeMap<&'static str, String>,
}

/// Lists and tuples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    /// The schemas of the first items, which make it a tuple.
    pub(super) first: Vec<Value>,
    /// The schema of the other items; nothing when they may be anything.
    pub(super) items: Option<Value>,
    pub(super) count: Bounds,
    pub(super) unique: bool,
}

/// Objects: structs, maps and variants of enums.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) properties: BTreeMap<String, Value>,
    pub(super) required: BTreeSet<String>,
    pub(super) more: More,
    pub(super) count: Bounds,
    /// Groups of alternatives that bring fields of their own, as a flattened enum does.
    pub(super) flattened: Vec<Vec<Value>>,
}

/// Keys that an object does not name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum More {
    /// They may be there, and are not looked at.
    Ignored,
    /// They are refused.
    Refused,
    /// They are the keys of a map.
    Map {
        /// What the keys must match, if anything.
        keys: Option<String>,
        values: Value,
    },
}

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

impl Shape {
    /// What `schema` allows.
    pub(super) fn of(schema: &Value, definitions: &Definitions) -> Self {
        Self::of_flat(flat(schema, definitions), definitions)
    }

    /// What a schema allows that has no indirection any more.
    pub(super) fn of_flat(flat: Flat, definitions: &Definitions) -> Self {
        let mut shape = Self::default();
        let mut budget = ALTERNATIVES_MAX;
        shape.add(flat, definitions, ALTERNATIVES_DEPTH_MAX, &mut budget);
        shape.tidy();
        shape
    }

    fn add(&mut self, mut flat: Flat, definitions: &Definitions, depth: usize, budget: &mut usize) {
        self.rest.extend(std::mem::take(&mut flat.rest));
        self.open |= flat.open;
        if flat.never {
            return;
        }
        let brings_fields = ["properties", "required", "additionalProperties", "patternProperties"]
            .iter()
            .any(|keyword| flat.keywords.contains_key(*keyword));
        match flat.alternatives.as_slice() {
            [] => self.add_simple(&flat),
            _ if brings_fields => self.add_simple(&flat),
            [group] if depth > 0 && *budget >= group.len() => {
                *budget -= group.len();
                let base = Flat { alternatives: Vec::new(), ..flat.clone() };
                for alternative in group {
                    let mut whole = super::flat::flat(alternative, definitions);
                    whole.merge(base.clone());
                    self.add(whole, definitions, depth - 1, budget);
                }
            }
            groups => {
                self.any = true;
                self.rest.insert("anyOf".to_owned(), groups.concat().into());
            }
        }
    }

    /// Adds what a schema allows that has no alternatives but those that bring fields.
    fn add_simple(&mut self, flat: &Flat) {
        let keywords = &flat.keywords;
        let types = keywords.get("type").map(type_names).unwrap_or_else(|| meant_types(keywords));
        if let Some(Value::Array(values)) = keywords.get("enum") {
            for value in values.iter().filter(|value| types.is_empty() || has_type(value, &types)) {
                if value.is_null() {
                    self.null = true;
                } else {
                    self.values.insert(value.to_string(), value.clone());
                }
            }
            return;
        }
        self.any |= types.is_empty();
        for name in types {
            match name {
                "null" => self.null = true,
                "boolean" => self.boolean = true,
                "integer" | "number" => self.numbers.push(Number::of(name, keywords)),
                "string" => self.texts.push(Text::of(keywords)),
                "array" => self.arrays.push(Array::of(keywords)),
                "object" => {
                    let object = Object::of(keywords, &flat.alternatives, &mut self.rest);
                    self.objects.push(object);
                }
                _ => _ = self.rest.insert("type".to_owned(), name.into()),
            }
        }
    }

    /// Drops what another part of the union allows already.
    fn tidy(&mut self) {
        if self.numbers.contains(&Number::any()) {
            self.numbers = vec![Number::any()];
        }
        if self.texts.contains(&Text::default()) {
            self.texts = vec![Text::default()];
        }
        dedup(&mut self.numbers);
        dedup(&mut self.texts);
        dedup(&mut self.arrays);
        dedup(&mut self.objects);
        self.boolean |= self.values.contains_key("true") && self.values.contains_key("false");
        let (boolean, texts, numbers) = (self.boolean, &self.texts, &self.numbers);
        self.values.retain(|_, value| match Kind::of(value) {
            Kind::Boolean => !boolean,
            Kind::Text => !texts.contains(&Text::default()),
            Kind::Number => !numbers.contains(&Number::any()),
            Kind::Null | Kind::Array | Kind::Object => true,
        });
    }

    /// The kinds of values that are allowed.
    pub(super) fn kinds(&self) -> BTreeSet<Kind> {
        let whole = [
            (self.null, Kind::Null),
            (self.boolean, Kind::Boolean),
            (!self.numbers.is_empty(), Kind::Number),
            (!self.texts.is_empty(), Kind::Text),
            (!self.arrays.is_empty(), Kind::Array),
            (!self.objects.is_empty(), Kind::Object),
        ];
        let whole = whole.into_iter().filter(|(there, _)| *there).map(|(_, kind)| kind);
        whole.chain(self.values.values().map(Kind::of)).collect()
    }

    /// How many things a value may be, apart from null.
    pub(super) fn alternatives(&self) -> usize {
        let whole = usize::from(self.boolean) + self.numbers.len() + self.texts.len();
        whole + self.arrays.len() + self.objects.len() + self.values.len()
    }
}

/// Lists of what one union names are short.
fn dedup<T: PartialEq>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

/// The type that keywords are about, where no type is named. Strictly such a schema allows all other types too; nobody
/// who writes `properties` means that.
fn meant_types(keywords: &Map<String, Value>) -> Vec<&'static str> {
    let of = |name: &'static str, list: &[&str]| {
        list.iter().any(|keyword| keywords.contains_key(*keyword)).then_some(name)
    };
    let found = of("object", &["properties", "required", "additionalProperties", "patternProperties"])
        .or_else(|| of("array", &["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]))
        .or_else(|| of("string", &["minLength", "maxLength", "pattern", "contentEncoding"]))
        .or_else(|| of("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]));
    found.into_iter().collect()
}

fn has_type(value: &Value, types: &[&str]) -> bool {
    types.iter().any(|name| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    })
}

impl Text {
    fn of(keywords: &Map<String, Value>) -> Self {
        let word = |keyword: &str| keywords.get(keyword).and_then(Value::as_str).map(str::to_owned);
        let formats = ["format", "contentEncoding", "contentMediaType"];
        Self {
            length: Bounds::of(keywords, "minLength", "maxLength"),
            pattern: word("pattern"),
            formats: formats.into_iter().filter_map(|keyword| Some((keyword, word(keyword)?))).collect(),
        }
    }
}

impl Array {
    fn of(keywords: &Map<String, Value>) -> Self {
        let first = keywords.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
        Self {
            first,
            items: keywords.get("items").cloned(),
            count: Bounds::of(keywords, "minItems", "maxItems"),
            unique: keywords.contains_key("uniqueItems"),
        }
    }

    /// How many items there are, where that is fixed.
    pub(super) fn fixed_count(&self) -> Option<u64> {
        self.count.low.filter(|low| Some(*low) == self.count.high)
    }
}

impl Object {
    fn of(keywords: &Map<String, Value>, flattened: &[Vec<Value>], rest: &mut Map<String, Value>) -> Self {
        let object = |keyword: &str| keywords.get(keyword).and_then(Value::as_object);
        let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
        let patterns = object("patternProperties").filter(|patterns| !patterns.is_empty());
        let single =
            patterns.filter(|patterns| patterns.len() == 1).and_then(|patterns| patterns.iter().next());
        let more = match (keywords.get("additionalProperties"), single) {
            // Maps whose keys are numbers are written like this.
            (Some(Value::Bool(false)), Some((keys, values))) => {
                More::Map { keys: Some(keys.clone()), values: values.clone() }
            }
            (more, _) => {
                if let Some(patterns) = patterns {
                    rest.insert("patternProperties".to_owned(), patterns.clone().into());
                }
                match more {
                    None | Some(Value::Bool(true)) => More::Ignored,
                    Some(Value::Bool(false)) => More::Refused,
                    Some(values) => More::Map { keys: None, values: values.clone() },
                }
            }
        };
        let properties = object("properties").into_iter().flatten();
        Self {
            properties: properties.map(|(name, schema)| (name.clone(), schema.clone())).collect(),
            required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
            more,
            count: Bounds::of(keywords, "minProperties", "maxProperties"),
            flattened: flattened.to_vec(),
        }
    }

    /// Whether keys that it does not name are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.more == More::Refused && self.flattened.is_empty()
    }
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

/// A few words for a reader of a report.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How many alternatives are listed.
        const LISTED_MAX: usize = 6;
        let mut words: Vec<String> = Vec::new();
        let mut word = |word: String| {
            if !words.contains(&word) {
                words.push(word);
            }
        };
        if self.any {
            word("anything".to_owned());
        }
        self.values.keys().for_each(|value| word(value.clone()));
        if self.boolean {
            word("boolean".to_owned());
        }
        self.numbers.iter().for_each(|number| word(number.to_string()));
        self.texts.iter().for_each(|text| {
            word(
                text.formats.get("format").map_or("string".to_owned(), |format| format!("string ({format})")),
            );
        });
        self.arrays.iter().for_each(|array| {
            word(if array.first.is_empty() { "list" } else { "tuple" }.to_owned());
        });
        self.objects.iter().for_each(|object| {
            let is_map = object.properties.is_empty() && matches!(object.more, More::Map { .. });
            word(if is_map { "map" } else { "object" }.to_owned());
        });
        if self.null {
            word("null".to_owned());
        }
        if words.len() > LISTED_MAX {
            let more = words.len() - LISTED_MAX;
            return write!(f, "{} or {more} more", words[..LISTED_MAX].join(", "));
        }
        if words.is_empty() { f.write_str("nothing") } else { f.write_str(&words.join(" or ")) }
    }
}
