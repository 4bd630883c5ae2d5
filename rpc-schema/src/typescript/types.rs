//! From JSON Schema to TypeScript types.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::walk::DEFINITIONS;

/// Up to this many elements, a list of fixed length is a tuple.
const TUPLE_MAX: usize = 8;

/// Up to this width, a type without documentation inside stands on one line.
const LINE_MAX: usize = 90;

/// The widest integer that a `number` holds exactly.
const SAFE_MAX: i64 = (1 << 53) - 1;

/// Writes types; `names` are those of the documents.
pub(super) struct Types<'a> {
    pub(super) names: &'a BTreeMap<&'a str, String>,
}

/// A type as text, and whether it can stand as it is inside another.
struct Text {
    text: String,
    is_atomic: bool,
}

impl Text {
    fn atomic(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_atomic: true }
    }

    fn inside(self) -> String {
        if self.is_atomic { self.text } else { format!("({})", self.text) }
    }
}

impl Types<'_> {
    /// The declaration of the type `name`.
    pub(super) fn declaration(&self, name: &str, schema: &Value) -> String {
        let docs = comment(schema, "");
        if let Some(branches) = only_branches(schema) {
            let branch =
                |branch: &Value| format!("{}  | {}", comment(branch, "  "), self.text(branch, "  ").text);
            let branches: Vec<String> = branches.iter().map(branch).collect();
            return format!("{docs}export type {name} =\n{};\n", branches.join("\n"));
        }
        match schema.as_object().filter(|_| is_plain_object(schema)) {
            Some(keywords) => {
                let fields = self.fields(keywords, "  ");
                let lines = fields.iter().map(|(comment, field)| format!("{comment}  {field};\n"));
                format!("{docs}export interface {name} {{\n{}}}\n", lines.collect::<String>())
            }
            None => format!("{docs}export type {name} = {};\n", self.text(schema, "").text),
        }
    }

    fn text(&self, schema: &Value, indent: &str) -> Text {
        let Some(keywords) = schema.as_object() else {
            return Text::atomic(if schema == &Value::Bool(false) { "never" } else { "unknown" });
        };
        if let Some(value) = keywords.get("const") {
            return Text::atomic(literal(value));
        }
        if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
            return union(values.iter().map(|value| Text::atomic(literal(value))).collect());
        }
        let mut parts = Vec::new();
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            parts.push(self.reference(reference));
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(branches) = keywords.get(keyword).and_then(Value::as_array) {
                parts.push(union(branches.iter().map(|branch| self.text(branch, indent)).collect()));
            }
        }
        for part in keywords.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            parts.push(self.text(part, indent));
        }
        let own = self.own(keywords, indent, parts.is_empty());
        intersection(own.into_iter().chain(parts).collect())
    }

    fn reference(&self, reference: &str) -> Text {
        let name = reference.strip_prefix(DEFINITIONS).and_then(|name| self.names.get(name));
        Text::atomic(name.map_or("unknown", String::as_str))
    }

    /// What `type` and the keywords that go with it say; nothing where they say nothing.
    fn own(&self, keywords: &Map<String, Value>, indent: &str, is_alone: bool) -> Option<Text> {
        let says_fields =
            ["properties", "additionalProperties", "patternProperties", "unevaluatedProperties"]
                .iter()
                .any(|keyword| keywords.get(*keyword).is_some_and(|value| value != &Value::Bool(false)));
        let one = |name: &str| match name {
            "object" if says_fields || is_alone => Some(self.object(keywords, indent)),
            "array" => Some(self.array(keywords, indent)),
            "string" => Some(Text::atomic("string")),
            "integer" => Some(Text::atomic(integer(keywords))),
            "number" => Some(Text::atomic("number")),
            "boolean" => Some(Text::atomic("boolean")),
            "null" => Some(Text::atomic("null")),
            _ => None,
        };
        match keywords.get("type") {
            Some(Value::Array(names)) => {
                Some(union(names.iter().filter_map(Value::as_str).filter_map(one).collect()))
            }
            Some(Value::String(name)) => one(name),
            _ if says_fields => one("object"),
            _ => None,
        }
    }

    fn object(&self, keywords: &Map<String, Value>, indent: &str) -> Text {
        let inner = format!("{indent}  ");
        let has_fields =
            keywords.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty());
        match self.other_keys(keywords, &inner) {
            Some((values, true)) if !has_fields => {
                Text::atomic(format!("IntegerKeyed<{}>", union_text(values)))
            }
            _ => Text::atomic(block(&self.fields(keywords, &inner), indent)),
        }
    }

    /// The fields of an object, each with its comment, and what stands for all other keys.
    fn fields(&self, keywords: &Map<String, Value>, indent: &str) -> Vec<(String, String)> {
        let required: Vec<&str> = strings(keywords.get("required")).collect();
        let properties = keywords.get("properties").and_then(Value::as_object);
        let mut fields = Vec::new();
        let mut types = Vec::new();
        for (name, schema) in properties.into_iter().flatten() {
            let mark = if required.contains(&name.as_str()) { "" } else { "?" };
            let text = self.text(schema, indent).text;
            fields.push((comment(schema, indent), format!("{}{mark}: {text}", key(name))));
            types.push(Text { text, is_atomic: false });
            types.extend((!mark.is_empty()).then(|| Text::atomic("undefined")));
        }
        if let Some((values, _)) = self.other_keys(keywords, indent) {
            // What an index signature says holds for all keys, also for those that are named.
            let is_open = values.iter().any(|value| value.text == "unknown");
            let all = values.into_iter().chain(if is_open { Vec::new() } else { types }).collect();
            fields.push((String::new(), format!("[key: string]: {}", union_text(all))));
        }
        fields
    }

    /// The type of what stands under keys that are not named, and whether these keys are integers.
    fn other_keys(&self, keywords: &Map<String, Value>, indent: &str) -> Option<(Vec<Text>, bool)> {
        if let Some(patterns) = keywords.get("patternProperties").and_then(Value::as_object) {
            let is_integer = patterns.keys().all(|pattern| matches!(pattern.as_str(), r"^\d+$" | r"^-?\d+$"));
            return Some((patterns.values().map(|schema| self.text(schema, indent)).collect(), is_integer));
        }
        // What is not evaluated elsewhere depends on the value: keys of other branches are not known here.
        if keywords.get("unevaluatedProperties").is_some_and(|values| values != &Value::Bool(false)) {
            return Some((vec![Text::atomic("unknown")], false));
        }
        let values = keywords.get("additionalProperties").filter(|values| **values != Value::Bool(false))?;
        Some((vec![self.text(values, indent)], false))
    }

    fn array(&self, keywords: &Map<String, Value>, indent: &str) -> Text {
        let count = |keyword: &str| {
            keywords.get(keyword).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok())
        };
        let (least, most) = (count("minItems").unwrap_or(0), count("maxItems").unwrap_or(usize::MAX));
        let rest = keywords.get("items");
        let rest_text = || rest.map_or_else(|| Text::atomic("unknown"), |items| self.text(items, indent));
        let list = |element: Text| format!("{}[]", element.inside());
        let Some(first) = keywords.get("prefixItems").and_then(Value::as_array) else {
            if least == most && most <= TUPLE_MAX && most > 0 {
                return Text::atomic(format!("[{}]", vec![rest_text().text; most].join(", ")));
            }
            return Text::atomic(list(rest_text()));
        };
        let element = |(index, schema): (usize, &Value)| {
            let text = self.text(schema, indent);
            if index < least { text.text } else { format!("{}?", text.inside()) }
        };
        let mut elements: Vec<String> = first.iter().enumerate().map(element).collect();
        if most > first.len() && rest != Some(&Value::Bool(false)) {
            elements.push(format!("...{}", list(rest_text())));
        }
        Text::atomic(format!("[{}]", elements.join(", ")))
    }
}

/// The branches, when the type is one of them and nothing else.
fn only_branches(schema: &Value) -> Option<&Vec<Value>> {
    let keywords = schema.as_object()?;
    let explains = |keyword: &String| {
        matches!(
            keyword.as_str(),
            "description" | "title" | "deprecated" | "default" | "examples" | "oneOf" | "anyOf"
        )
    };
    if !keywords.keys().all(explains) {
        return None;
    }
    match (keywords.get("oneOf"), keywords.get("anyOf")) {
        (Some(Value::Array(branches)), None) | (None, Some(Value::Array(branches))) if branches.len() > 1 => {
            Some(branches)
        }
        _ => None,
    }
}

/// Whether the type is an object with fields and nothing else, so that it can be an interface.
fn is_plain_object(schema: &Value) -> bool {
    let has = |keyword: &str| schema.get(keyword).is_some();
    let combines = ["$ref", "allOf", "anyOf", "const", "enum", "oneOf", "patternProperties"];
    schema.get("type").and_then(Value::as_str) == Some("object")
        && has("properties")
        && !combines.iter().any(|keyword| has(keyword))
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// `number` where every value of the schema is exact as one.
fn integer(keywords: &Map<String, Value>) -> &'static str {
    let narrow = ["int8", "uint8", "int16", "uint16", "int32", "uint32"];
    let has_narrow_format =
        keywords.get("format").and_then(Value::as_str).is_some_and(|format| narrow.contains(&format));
    let bound = |keyword: &str| keywords.get(keyword).and_then(Value::as_i64);
    let is_bounded = bound("minimum").is_some_and(|least| least >= -SAFE_MAX)
        && bound("maximum").is_some_and(|most| most <= SAFE_MAX);
    if has_narrow_format || is_bounded { "number" } else { "WideInteger" }
}

/// A value as a type that has only this value.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{}: {}", key(name), literal(value));
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join("; "))
        }
        Value::Number(number)
            if number.as_i64().is_none_or(|number| number.abs() > SAFE_MAX) && !number.is_f64() =>
        {
            "bigint".to_owned()
        }
        value => value.to_string(),
    }
}

/// The name of a field, quoted where it has to be.
pub(super) fn key(name: &str) -> String {
    let is_name = !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_name { name.to_owned() } else { Value::from(name).to_string() }
}

fn union(members: Vec<Text>) -> Text {
    let mut seen: Vec<String> = Vec::new();
    for member in &members {
        // A union inside of one is no more than its members, which are told apart where they are single words.
        let is_flat = !member.text.contains(|letter: char| "{}[]()<>\"&".contains(letter));
        let parts = if is_flat { member.text.split(" | ").collect() } else { vec![member.text.as_str()] };
        for part in parts {
            if !seen.iter().any(|known| known == part) {
                seen.push(part.to_owned());
            }
        }
    }
    match <[Text; 1]>::try_from(members) {
        Ok([only]) => only,
        Err(members) if members.is_empty() => Text::atomic("never"),
        Err(_) => {
            let is_atomic = seen.len() == 1 && !seen[0].contains(' ');
            Text { text: seen.join(" | "), is_atomic }
        }
    }
}

fn union_text(members: Vec<Text>) -> String {
    union(members).text
}

fn intersection(parts: Vec<Text>) -> Text {
    match <[Text; 1]>::try_from(parts) {
        Ok([only]) => only,
        Err(parts) if parts.is_empty() => Text::atomic("unknown"),
        Err(parts) => {
            let parts: Vec<String> = parts.into_iter().map(Text::inside).collect();
            Text { text: parts.join(" & "), is_atomic: false }
        }
    }
}

/// Fields in braces, each with its comment; on one line where there are no comments and there is room.
fn block(fields: &[(String, String)], indent: &str) -> String {
    if fields.is_empty() {
        return "Record<string, never>".to_owned();
    }
    let line = fields.iter().map(|(_, field)| field.as_str()).collect::<Vec<_>>().join("; ");
    let is_short = fields.iter().all(|(comment, field)| comment.is_empty() && !field.contains('\n'));
    if is_short && line.len() + indent.len() <= LINE_MAX {
        return format!("{{ {line} }}");
    }
    let lines: Vec<String> =
        fields.iter().map(|(comment, field)| format!("{comment}{indent}  {field};\n")).collect();
    format!("{{\n{}{indent}}}", lines.concat())
}

/// The documentation of a schema as a comment of its own lines; empty where there is none.
fn comment(schema: &Value, indent: &str) -> String {
    let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let mut lines: Vec<String> =
        text("description").into_iter().flat_map(str::lines).map(str::to_owned).collect();
    if let Some(default) = schema.get("default") {
        lines.push(format!("@default {default}"));
    }
    if schema.get("deprecated") == Some(&Value::Bool(true)) {
        lines.push("@deprecated".to_owned());
    }
    comment_lines(&lines, indent)
}

/// `lines` as a comment; empty where there are none.
pub(super) fn comment_lines(lines: &[String], indent: &str) -> String {
    let safe = |line: &String| line.replace("*/", "*\\/");
    match lines {
        [] => String::new(),
        [line] => format!("{indent}/** {} */\n", safe(line)),
        lines => {
            let line = |line: &String| format!("{indent} * {}", safe(line)).trim_end().to_owned() + "\n";
            format!("{indent}/**\n{}{indent} */\n", lines.iter().map(line).collect::<String>())
        }
    }
}
