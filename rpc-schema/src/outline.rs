//! A schema as people read it: its fields, its branches, and types in a few words with the names of other types marked.

use serde_json::Value;

use crate::arguments::Fields;
use crate::walk::{DEFINITIONS, Definitions, counts_bytes, named, resolved};

/// A piece of a type in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Plain text.
    Text(String),
    /// The name of another type.
    Type(&'a str),
}

/// What there is to say of a schema.
pub(crate) struct Outline<'a> {
    /// What it is for.
    pub(crate) docs: &'a str,
    /// The named fields, in the order of declaration.
    pub(crate) fields: Vec<Field<'a>>,
    /// The forms that a value has one of.
    pub(crate) branches: Vec<Branch<'a>>,
    /// The type in words, where neither fields nor branches say it.
    pub(crate) whole: Option<Vec<Piece<'a>>>,
}

/// A field of an object.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_required: bool,
    pub(crate) is_deprecated: bool,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) docs: &'a str,
    /// Bounds, lengths and the default, each in a few words.
    pub(crate) notes: Vec<String>,
}

/// One of several forms.
pub(crate) struct Branch<'a> {
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) docs: &'a str,
}

impl<'a> Outline<'a> {
    /// The outline of `schema`, which may refer to `definitions`.
    pub(crate) fn of(schema: &'a Value, definitions: &'a Definitions) -> Self {
        let fields = Fields::of(schema, definitions);
        let fields = fields.iter().flat_map(|fields| {
            let field = |(name, schema): &(&'a str, &'a Value)| Field {
                name,
                is_required: fields.is_required(name),
                is_deprecated: schema.get("deprecated") == Some(&Value::Bool(true)),
                pieces: pieces(schema),
                docs: docs(schema),
                notes: notes(schema),
            };
            fields.properties.iter().map(field).collect::<Vec<_>>()
        });
        let fields: Vec<Field<'a>> = fields.collect();
        let mut branches = Vec::new();
        gather_branches(schema, &mut branches);
        let is_empty = fields.is_empty() && branches.is_empty();
        let opens = |keyword: &str| schema.get(keyword).is_some_and(Value::is_object);
        let is_open = opens("additionalProperties") || opens("patternProperties");
        let whole = (is_empty || is_open).then(|| pieces(schema));
        Self { docs: docs(resolved(schema, definitions)), fields, branches, whole }
    }
}

fn gather_branches<'a>(schema: &'a Value, branches: &mut Vec<Branch<'a>>) {
    for member in ["oneOf", "anyOf"].iter().flat_map(|keyword| list(schema, keyword)) {
        match list(member, "enum") {
            [] => branches.push(Branch { pieces: pieces(member), docs: docs(member) }),
            values => branches.extend(
                values
                    .iter()
                    .map(|value| Branch { pieces: vec![text(value.to_string())], docs: docs(member) }),
            ),
        }
    }
    if let values @ [_, ..] = list(schema, "enum") {
        branches
            .extend(values.iter().map(|value| Branch { pieces: vec![text(value.to_string())], docs: "" }));
    }
    for part in list(schema, "allOf") {
        gather_branches(part, branches);
    }
}

/// The type of a schema in a few words, as one text.
pub(crate) fn type_text(schema: &Value) -> String {
    let pieces = pieces(schema);
    let text = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Type(name) => name,
    });
    text.collect()
}

/// The type of a schema in a few words.
pub(crate) fn pieces(schema: &Value) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    write(schema, &mut out);
    // Neighbouring texts are one.
    let mut joined: Vec<Piece<'_>> = Vec::new();
    for piece in out {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

fn text<'a>(text: impl Into<String>) -> Piece<'a> {
    Piece::Text(text.into())
}

fn write<'a>(schema: &'a Value, out: &mut Vec<Piece<'a>>) {
    if let Some(name) = named(schema) {
        return out.push(Piece::Type(name));
    }
    if let Some(value) = schema.get("const") {
        return out.push(text(value.to_string()));
    }
    if let values @ [_, ..] = list(schema, "enum") {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        return out.push(text(values.join(" | ")));
    }
    for keyword in ["oneOf", "anyOf"] {
        if let branches @ [_, ..] = list(schema, keyword) {
            return write_list(branches, " | ", out);
        }
    }
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(name) = reference.and_then(|reference| reference.strip_prefix(DEFINITIONS)) {
        out.push(Piece::Type(name));
        if schema.get("properties").is_none() {
            return;
        }
        out.push(text(" and "));
    }
    match schema.get("type") {
        Some(Value::Array(names)) => {
            for (index, name) in names.iter().filter_map(Value::as_str).enumerate() {
                out.extend((index > 0).then(|| text(" | ")));
                write_one(name, schema, out);
            }
        }
        Some(Value::String(name)) => write_one(name, schema, out),
        _ if schema.get("properties").is_some() => write_one("object", schema, out),
        _ if schema == &Value::Bool(false) => out.push(text("nothing")),
        _ => out.push(text("any")),
    }
}

fn write_list<'a>(schemas: &'a [Value], between: &str, out: &mut Vec<Piece<'a>>) {
    for (index, schema) in schemas.iter().enumerate() {
        out.extend((index > 0).then(|| text(between)));
        write(schema, out);
    }
}

/// The part of a type that goes with one name under `type`.
fn write_one<'a>(name: &str, schema: &'a Value, out: &mut Vec<Piece<'a>>) {
    match name {
        "array" => match (list(schema, "prefixItems"), schema.get("items")) {
            ([], Some(item)) => {
                out.push(text("list of "));
                write(item, out);
            }
            ([], None) => out.push(text("list")),
            (items, _) => {
                out.push(text("["));
                write_list(items, ", ", out);
                out.push(text("]"));
            }
        },
        "object" => write_object(schema, out),
        name => out.push(text(name)),
    }
}

fn write_object<'a>(schema: &'a Value, out: &mut Vec<Piece<'a>>) {
    let properties = schema.get("properties").and_then(Value::as_object).filter(|map| !map.is_empty());
    let patterns = schema.get("patternProperties").and_then(|patterns| patterns.as_object()?.values().next());
    let values = patterns.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()));
    match (properties, values) {
        (None, None) => out.push(text("object")),
        (None, Some(values)) => {
            out.push(text("map of "));
            write(values, out);
        }
        (Some(properties), values) => {
            let required: Vec<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
            out.push(text("{ "));
            for (index, (name, property)) in properties.iter().enumerate() {
                let between = if index > 0 { ", " } else { "" };
                let mark = if required.contains(&name.as_str()) { "" } else { "?" };
                out.push(text(format!("{between}{name}{mark}: ")));
                write(property, out);
            }
            if let Some(values) = values {
                out.push(text(", others: "));
                write(values, out);
            }
            out.push(text(" }"));
        }
    }
}

/// Bounds, lengths and the default of a schema, each in a few words.
fn notes(schema: &Value) -> Vec<String> {
    let of = |keyword: &str| schema.get(keyword).filter(|value| !value.is_object());
    let span = |least: Option<&Value>, most: Option<&Value>, unit: &str| match (least, most) {
        (Some(least), Some(most)) if least == most => Some(format!("{least}{unit}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    };
    let mut notes = Vec::new();
    notes.extend(of("format").and_then(Value::as_str).map(str::to_owned));
    // That an unsigned integer is at least 0 is said by its format.
    let least = of("minimum").filter(|least| least.as_u64() != Some(0) || of("maximum").is_some());
    let has_own_bounds = |format: &str| matches!(format, "int8" | "uint8" | "int16" | "uint16");
    if !of("format").and_then(Value::as_str).is_some_and(has_own_bounds) {
        notes.extend(span(least, of("maximum"), ""));
    }
    let unit = if counts_bytes(schema) { " bytes" } else { " characters" };
    notes.extend(span(of("minLength"), of("maxLength"), unit));
    notes.extend(span(of("minItems"), of("maxItems"), " elements").filter(|_| of("prefixItems").is_none()));
    notes.extend(of("pattern").map(|pattern| format!("pattern {pattern}")));
    notes.extend(schema.get("default").map(|default| format!("default {default}")));
    notes
}

fn docs(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
