//! A small valid value of a schema, for documents and command lines.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use crate::walk::{Definitions, each_reference, resolved};

/// Below this many references, fields that may be absent are.
const REFERENCES_MAX: usize = 4;

/// A small value that `schema` accepts.
///
/// What the schema itself proposes comes first: `const`, the first of `examples`, a `default` that is not null, the
/// first of `enum`. Otherwise the value is made from types, bounds, lengths and formats. Fields that may be absent are
/// shown, except where a type holds itself or nesting gets deep; a field for errors, such as `err`, is null where it may be,
/// so that the example of a reply is one that succeeds. References lead into `schema`, as in `#` or
/// `#/$defs/Name`. A schema that accepts nothing, or everything, gives null. A `pattern` is not looked at: give such a
/// type an example of its own, `#[schemars(example = &"...")]`.
pub fn example(schema: &Value) -> Value {
    Examples::new(schema).value(schema)
}

/// Names of fields that hold why a request was refused, and are null where it was not.
const REFUSALS: [&str; 3] = ["err", "error", "refusal"];

/// The field of the message `schema` in which it says why a request was refused, though the call succeeded; of a `Result`
/// that is sent as it is, `Err`.
pub(crate) fn refusal_field<'a>(schema: &'a Value, definitions: &'a Definitions) -> Option<&'a str> {
    let whole = resolved(schema, definitions);
    let properties = |schema: &'a Value| schema.get("properties").and_then(Value::as_object);
    let of_result = || {
        let branches = list(whole, "oneOf").iter().chain(list(whole, "anyOf"));
        branches.filter_map(properties).flat_map(Map::keys).find(|name| *name == "Err")
    };
    let field = properties(whole).into_iter().flatten().find(|(name, schema)| is_refusal(name, schema));
    field.map(|(name, _)| name).or_else(of_result).map(String::as_str)
}

/// Whether a field says why a request was refused, and may be null.
fn is_refusal(name: &str, schema: &Value) -> bool {
    let is_null = |name: &Value| name == "null";
    let takes_null = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().any(is_null),
        Some(name) => is_null(name),
        None => false,
    };
    let branches = list(schema, "anyOf").iter().chain(list(schema, "oneOf"));
    let has_null_branch = || branches.filter_map(|branch| branch.get("type")).any(is_null);
    REFUSALS.contains(&name) && (takes_null || has_null_branch())
}

struct Examples<'a> {
    document: &'a Value,
    /// For each reference, how many references deep its smallest values are. One that is missing has no finite value.
    heights: BTreeMap<&'a str, usize>,
    /// The references that are being followed, from the document itself on.
    path: Vec<&'a str>,
}

/// The keywords of a schema, of those it refers to and of the branches chosen, as if they stood in one.
#[derive(Default)]
struct Merged<'a> {
    keywords: BTreeMap<&'a str, &'a Value>,
    properties: Vec<(&'a str, &'a Value)>,
    required: Vec<&'a str>,
}

impl<'a> Examples<'a> {
    fn new(document: &'a Value) -> Self {
        let mut references = Vec::new();
        each_reference(document, &mut |reference| references.push(reference));
        references.sort_unstable();
        references.dedup();
        let mut examples = Self { document, heights: BTreeMap::new(), path: vec!["#"] };
        // Heights only sink, and a height is known once those below it are: as many rounds as references are enough.
        for _ in 0..references.len() {
            let mut changed = false;
            for reference in &references {
                let height = examples.target(reference).and_then(|target| examples.height(target));
                let height = height.map(|height| height + 1);
                if height.is_some() && height != examples.heights.get(reference).copied() {
                    examples.heights.extend(height.map(|height| (*reference, height)));
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        examples
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        self.document.pointer(reference.strip_prefix('#')?)
    }

    /// How many references deep the smallest values of `schema` are.
    fn height(&self, schema: &'a Value) -> Option<usize> {
        let Some(keywords) = schema.as_object() else {
            return (schema != &Value::Bool(false)).then_some(0);
        };
        if proposed(schema).is_some() {
            return Some(0);
        }
        let mut height = match keywords.get("$ref").and_then(Value::as_str) {
            Some(reference) => *self.heights.get(reference)?,
            None => 0,
        };
        for part in list(schema, "allOf") {
            height = height.max(self.height(part)?);
        }
        for branches in
            ["oneOf", "anyOf"].map(|keyword| list(schema, keyword)).into_iter().filter(|b| !b.is_empty())
        {
            height = height.max(branches.iter().filter_map(|branch| self.height(branch)).min()?);
        }
        match type_of(keywords.get("type")) {
            Some("object") => {
                for name in list(schema, "required").iter().filter_map(Value::as_str) {
                    let property = schema.get("properties").and_then(|properties| properties.get(name));
                    height = height.max(property.map_or(Some(0), |property| self.height(property))?);
                }
            }
            Some("array") => {
                let least = unsigned(keywords.get("minItems")).unwrap_or(0);
                let first = list(schema, "prefixItems");
                let rest =
                    keywords.get("items").into_iter().cycle().take(least.saturating_sub(first.len()).min(1));
                for item in first.iter().take(least).chain(rest) {
                    height = height.max(self.height(item)?);
                }
            }
            _ => {}
        }
        Some(height)
    }

    /// Whether only what must be there is shown.
    fn is_minimal(&self) -> bool {
        let Some((last, before)) = self.path.split_last() else { return false };
        self.path.len() > REFERENCES_MAX || before.contains(last)
    }

    fn value(&mut self, schema: &'a Value) -> Value {
        if let Some(value) = proposed(schema) {
            return value.clone();
        }
        let depth = self.path.len();
        let value = match self.only_part(schema) {
            Some(part) => self.value(part),
            None => {
                let mut merged = Merged::default();
                self.gather(schema, &mut merged);
                self.make(&merged)
            }
        };
        self.path.truncate(depth);
        value
    }

    /// The one schema that says everything about the values of `schema`, when there is such a one.
    fn only_part(&mut self, schema: &'a Value) -> Option<&'a Value> {
        let keywords = schema.as_object()?;
        let says = |keyword: &&String| {
            !matches!(
                keyword.as_str(),
                "$schema" | "$defs" | "title" | "description" | "default" | "deprecated"
            )
        };
        let mut saying = keywords.keys().filter(says);
        let (keyword, None) = (saying.next()?, saying.next()) else { return None };
        match keyword.as_str() {
            "$ref" => self.follow(keywords[keyword].as_str()?),
            "oneOf" | "anyOf" => self.branch(list(schema, keyword)),
            "allOf" => match list(schema, keyword) {
                [part] => Some(part),
                _ => None,
            },
            _ => None,
        }
    }

    fn follow(&mut self, reference: &'a str) -> Option<&'a Value> {
        self.heights.get(reference)?;
        self.path.push(reference);
        self.target(reference)
    }

    /// The branch that is shown: the first that has a value and is more than null; the smallest where space is short.
    fn branch(&self, branches: &'a [Value]) -> Option<&'a Value> {
        let possible = || branches.iter().filter_map(|branch| Some((self.height(branch)?, branch)));
        let telling = || possible().find(|(_, branch)| branch.get("type").is_none_or(|name| name != "null"));
        let smallest = || possible().min_by_key(|(height, _)| *height);
        let chosen = if self.is_minimal() { smallest() } else { telling().or_else(smallest) };
        chosen.map(|(_, branch)| branch)
    }

    fn gather(&mut self, schema: &'a Value, merged: &mut Merged<'a>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match keyword.as_str() {
                "properties" => {
                    for (name, property) in value.as_object().into_iter().flatten() {
                        merged.properties.retain(|(known, old)| known != name || *old != &Value::Bool(true));
                        if merged.properties.iter().all(|(known, _)| known != name) {
                            merged.properties.push((name, property));
                        }
                    }
                }
                "required" => merged.required.extend(list(schema, keyword).iter().filter_map(Value::as_str)),
                _ => _ = merged.keywords.entry(keyword).or_insert(value),
            }
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|name| self.follow(name)) {
            self.gather(target, merged);
        }
        for part in list(schema, "allOf") {
            self.gather(part, merged);
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(branch) = self.branch(list(schema, keyword)) {
                self.gather(branch, merged);
            }
        }
    }

    fn make(&mut self, merged: &Merged<'a>) -> Value {
        let implied = if merged.properties.is_empty() { None } else { Some("object") };
        match type_of(merged.keywords.get("type").copied()).or(implied) {
            Some("object") => self.object(merged),
            Some("array") => self.array(merged),
            Some("string") => Value::String(text(merged)),
            Some("integer") => integer(merged),
            Some("number") => number(merged),
            Some("boolean") => Value::Bool(false),
            _ => Value::Null,
        }
    }

    fn object(&mut self, merged: &Merged<'a>) -> Value {
        let mut object = Map::new();
        for (name, property) in &merged.properties {
            let wanted = merged.required.contains(name) || !self.is_minimal();
            if wanted && is_refusal(name, property) {
                object.insert((*name).to_owned(), proposed(property).cloned().unwrap_or_default());
            } else if wanted && self.height(property).is_some() {
                object.insert((*name).to_owned(), self.value(property));
            }
        }
        if merged.properties.is_empty() && !self.is_minimal() {
            let entry = key_and_schema(merged).filter(|(_, schema)| self.height(schema).is_some());
            object.extend(entry.map(|(key, schema)| (key.to_owned(), self.value(schema))));
        }
        Value::Object(object)
    }

    fn array(&mut self, merged: &Merged<'a>) -> Value {
        let count = |keyword| unsigned(merged.keywords.get(keyword).copied());
        let first =
            merged.keywords.get("prefixItems").and_then(|items| items.as_array()).map_or(&[][..], |v| v);
        let shown = if self.is_minimal() { 0 } else { first.len().max(1) };
        let wanted = shown.max(count("minItems").unwrap_or(0)).min(count("maxItems").unwrap_or(usize::MAX));
        let rest = merged.keywords.get("items").copied().into_iter().cycle();
        let mut array = Vec::new();
        for item in first.iter().chain(rest).take(wanted) {
            if self.height(item).is_none() {
                break;
            }
            array.push(self.value(item));
        }
        Value::Array(array)
    }
}

/// What the schema itself gives as a value.
fn proposed(schema: &Value) -> Option<&Value> {
    let first = |keyword| list(schema, keyword).first();
    let default = || schema.get("default").filter(|default| !default.is_null());
    schema.get("const").or_else(|| first("examples")).or_else(default).or_else(|| first("enum"))
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The type, the first that is not null where there are several.
fn type_of(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    }
}

fn unsigned(value: Option<&Value>) -> Option<usize> {
    usize::try_from(value?.as_u64()?).ok()
}

/// A key that a map allows, and the schema of its value.
fn key_and_schema<'a>(merged: &Merged<'a>) -> Option<(&'static str, &'a Value)> {
    if let Some(patterns) = merged.keywords.get("patternProperties").and_then(|patterns| patterns.as_object())
    {
        // The patterns of integer keys; what others accept is not known.
        let integer = |(pattern, _): &(&String, &Value)| matches!(pattern.as_str(), r"^\d+$" | r"^-?\d+$");
        return patterns.iter().find(integer).map(|(_, schema)| ("0", schema));
    }
    merged
        .keywords
        .get("additionalProperties")
        .filter(|schema| schema.is_object())
        .map(|schema| ("key", *schema))
}

fn text(merged: &Merged<'_>) -> String {
    match merged.keywords.get("contentEncoding").and_then(|encoding| encoding.as_str()) {
        Some("base64") => return "AAAA".to_owned(),
        Some("base16") => {
            let least = merged.keywords.get("minLength").and_then(|least| least.as_u64()).unwrap_or(2);
            return "0".repeat(usize::try_from(least).unwrap_or(2));
        }
        Some(_) | None => {}
    }
    let text = match merged.keywords.get("format").and_then(|format| format.as_str()) {
        Some("date-time") => "2024-02-29T12:30:00Z",
        Some("partial-date-time") => "2024-02-29T12:30:00",
        Some("date") => "2024-02-29",
        Some("time") => "12:30:00Z",
        Some("partial-time") => "12:30:00",
        Some("duration") => "PT1S",
        Some("email") => "someone@example.com",
        Some("hostname") => "example.com",
        Some("ip" | "ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "67e55044-10b1-426f-9247-bb680e5fe0c8",
        _ => "string",
    };
    let length = |keyword| unsigned(merged.keywords.get(keyword).copied());
    let most = length("maxLength").unwrap_or(usize::MAX);
    let wanted = text.len().max(length("minLength").unwrap_or(0)).min(most);
    text.chars().cycle().take(wanted).collect()
}

/// The integer nearest to zero that fits.
fn integer(merged: &Merged<'_>) -> Value {
    let whole = |value: &Value| {
        let exact = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        exact.or_else(|| value.as_f64().map(|number| number.ceil() as i128))
    };
    let bound = |keyword| merged.keywords.get(keyword).copied().and_then(whole);
    let least =
        [bound("minimum"), bound("exclusiveMinimum").map(|below| below + 1)].into_iter().flatten().max();
    let most =
        [bound("maximum"), bound("exclusiveMaximum").map(|above| above - 1)].into_iter().flatten().min();
    let step = bound("multipleOf").filter(|step| *step > 0).unwrap_or(1);
    let forbidden = merged.keywords.get("not").and_then(|not| not.get("const")).and_then(whole);
    let start = 0.max(least.unwrap_or(0)).min(most.unwrap_or(i128::MAX));
    let start = if start < 0 { start.div_euclid(step) * step } else { (start + step - 1) / step * step };
    let number = if Some(start) == forbidden { start + step } else { start };
    let number = i64::try_from(number).map(Number::from).or_else(|_| u64::try_from(number).map(Number::from));
    number.map_or(Value::Null, Value::Number)
}

/// The number nearest to zero that fits.
fn number(merged: &Merged<'_>) -> Value {
    let bound = |keyword| merged.keywords.get(keyword).and_then(|value| value.as_f64());
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, below) = (bound("maximum"), bound("exclusiveMaximum"));
    let inside = |number: f64| {
        least.is_none_or(|least| number >= least)
            && most.is_none_or(|most| number <= most)
            && above.is_none_or(|above| number > above)
            && below.is_none_or(|below| number < below)
    };
    let middle = || Some((least.or(above)? + most.or(below)?) / 2.0);
    let beyond = [above.map(|above| above + 1.0), below.map(|below| below - 1.0)];
    let candidates = [Some(0.0), least, most].into_iter().chain(beyond).chain([middle()]).flatten();
    json!(candidates.into_iter().find(|candidate| inside(*candidate)).unwrap_or(0.0))
}
