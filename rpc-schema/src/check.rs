//! Whether a value fits a schema, for the person who wrote the value: which field is wrong, why, and what was probably
//! meant.

mod forms;
mod values;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::nearest;

/// How many pairs of a schema and a value are looked at: far more than messages need, and few enough for schemas that
/// refer to each other in every way they can.
const STEPS_MAX: usize = 1_000_000;
/// How deep schemas are followed into each other.
const DEPTH_MAX: usize = 256;
/// How many names a message lists.
const NAMES_SHOWN_MAX: usize = 12;

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where, such as `args.entries[0].term`; empty for the value itself.
    pub path: String,
    /// Whether the schema refuses it.
    pub kind: MisfitKind,
    /// What is wrong there, to be read after its name.
    pub message: String,
}

/// What a misfit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisfitKind {
    /// The value is none of the schema's.
    Invalid,
    /// A field that the schema does not name and does not refuse either. Whoever reads the message passes over it, so that
    /// it is most likely misspelt.
    UnknownField,
}

/// The schema is too intricate to be followed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooIntricate;

/// What is wrong with `value` as a value of the schema `document`, into which its references lead; nothing if it fits.
///
/// It knows what schemas of Rust types consist of. A number without a fraction is an integer, however it is written, and formats
/// such as `uint64` have bounds. Keywords that it does not know, such as `if`, are taken to be fulfilled.
///
/// # Errors
/// When the schema is too intricate to be followed.
pub fn check(document: &Value, value: &Value) -> Result<Vec<Misfit>, TooIntricate> {
    let mut checker = Checker { document, steps: 0, depth: 0, is_exhausted: false };
    let misfits = checker.whole(document, value, "");
    if checker.is_exhausted { Err(TooIntricate) } else { Ok(misfits) }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the value {}", self.message),
            path => write!(f, "`{path}` {}", self.message),
        }
    }
}

impl fmt::Display for TooIntricate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the schema is too intricate to be followed")
    }
}

impl std::error::Error for TooIntricate {}

struct Checker<'a> {
    document: &'a Value,
    steps: usize,
    depth: usize,
    is_exhausted: bool,
}

/// What a schema says of a value.
#[derive(Default)]
struct Verdict<'a> {
    misfits: Vec<Misfit>,
    /// The names of the fields that it knows.
    names: BTreeSet<&'a str>,
    /// Whether it knows the fields by their names.
    has_names: bool,
    /// Whether it lets fields have any name.
    is_open: bool,
    /// Whether it refuses the fields that no schema of this value knows.
    is_closed: bool,
}

impl<'a> Verdict<'a> {
    fn fits(&self) -> bool {
        self.misfits.iter().all(|misfit| misfit.kind != MisfitKind::Invalid)
    }

    fn refuse(&mut self, path: &str, message: String) {
        self.misfits.push(Misfit { path: path.to_owned(), kind: MisfitKind::Invalid, message });
    }

    fn add(&mut self, other: Self) {
        self.misfits.extend(other.misfits);
        self.names.extend(other.names);
        self.has_names |= other.has_names;
        self.is_open |= other.is_open;
        self.is_closed |= other.is_closed;
    }
}

impl<'a> Checker<'a> {
    /// All that is wrong with `value`, fields that no part of `schema` knows included.
    fn whole(&mut self, schema: &'a Value, value: &Value, path: &str) -> Vec<Misfit> {
        let verdict = self.part(schema, value, path);
        let mut misfits = verdict.misfits;
        let looks = !verdict.is_open && (verdict.is_closed || verdict.has_names);
        if let Some(object) = value.as_object().filter(|_| looks) {
            let kind = if verdict.is_closed { MisfitKind::Invalid } else { MisfitKind::UnknownField };
            for name in object.keys().filter(|name| !verdict.names.contains(name.as_str())) {
                let message = unknown(name, object, verdict.names.iter().copied());
                misfits.push(Misfit { path: field(path, name), kind, message });
            }
        }
        misfits
    }

    /// What `schema` alone says of `value`.
    fn part(&mut self, schema: &'a Value, value: &Value, path: &str) -> Verdict<'a> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth >= DEPTH_MAX {
            self.is_exhausted = true;
            return Verdict { is_open: true, ..Verdict::default() };
        }
        self.depth += 1;
        let verdict = match schema {
            Value::Object(keywords) => self.keywords(schema, keywords, value, path),
            Value::Bool(false) => {
                let mut verdict = Verdict { is_open: true, ..Verdict::default() };
                verdict.refuse(path, "must not be there".to_owned());
                verdict
            }
            _ => Verdict { is_open: true, ..Verdict::default() },
        };
        self.depth -= 1;
        verdict
    }

    fn keywords(
        &mut self,
        schema: &'a Value,
        keywords: &'a Map<String, Value>,
        value: &Value,
        path: &str,
    ) -> Verdict<'a> {
        let mut verdict = Verdict::default();
        if let Some(message) = values::refusal(schema, value) {
            verdict.refuse(path, message);
            verdict.is_open = true;
            return verdict;
        }
        if keywords.contains_key("$ref") {
            match self.target(schema) {
                Some(target) => verdict.add(self.part(target, value, path)),
                None => verdict.is_open = true,
            }
        }
        for part in list(schema, "allOf") {
            verdict.add(self.part(part, value, path));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let branches @ [_, ..] = list(schema, keyword) {
                verdict.add(self.branches(keyword, branches, value, path));
            }
        }
        if let Some(not) = keywords.get("not")
            && self.part(not, value, path).fits()
        {
            verdict.refuse(path, format!("must not be {}", values::short(value)));
        }
        // What these demand of fields is not looked at.
        verdict.is_open |=
            ["if", "then", "else", "dependentSchemas"].iter().any(|it| keywords.contains_key(*it));
        match value {
            Value::Object(object) => self.object(schema, object, path, &mut verdict),
            Value::Array(array) => self.array(schema, array, path, &mut verdict),
            _ => {}
        }
        verdict
    }

    fn object(
        &mut self,
        schema: &'a Value,
        object: &Map<String, Value>,
        path: &str,
        verdict: &mut Verdict<'a>,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let own = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
        for (name, property) in properties.into_iter().flatten() {
            if let Some(value) = object.get(name) {
                verdict.misfits.extend(self.whole(property, value, &field(path, name)));
            }
        }
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                verdict.refuse(&field(path, name), "is missing".to_owned());
            }
        }
        verdict.has_names |= properties.is_some();
        verdict.names.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));

        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (name, value) in object.iter().filter(|(name, _)| !own(name)) {
            let here = field(path, name);
            let matching = patterns.into_iter().flatten().find(|(pattern, _)| values::matches(pattern, name));
            match (matching.map(|(_, schema)| schema), others) {
                (Some(schema), _) => verdict.misfits.extend(self.whole(schema, value, &here)),
                (None, Some(Value::Bool(false))) if properties.is_none() && patterns.is_some() => {
                    verdict.refuse(&here, "is named by no integer".to_owned());
                }
                (None, Some(Value::Bool(false))) => {
                    let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    verdict.refuse(&here, unknown(name, object, known));
                }
                (None, Some(schema)) => verdict.misfits.extend(self.whole(schema, value, &here)),
                (None, None) => {}
            }
        }
        let rest = schema.get("unevaluatedProperties");
        verdict.is_closed |= rest == Some(&Value::Bool(false));
        // Without an own say on other fields, the fields of this schema are those that it names.
        let opens = |schema: Option<&Value>| schema.is_some_and(|schema| schema != &Value::Bool(false));
        verdict.is_open |= opens(others) || opens(rest) || patterns.is_some();
        if others == Some(&Value::Bool(false)) {
            // They are refused already.
            verdict.is_open = true;
        }
    }

    fn array(&mut self, schema: &'a Value, array: &[Value], path: &str, verdict: &mut Verdict<'a>) {
        let first = list(schema, "prefixItems");
        let rest = schema.get("items");
        for (index, value) in array.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                verdict.misfits.extend(self.whole(schema, value, &format!("{path}[{index}]")));
            }
        }
    }

    /// The schema that a reference leads to.
    fn target(&self, schema: &Value) -> Option<&'a Value> {
        self.document.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }
}

/// What is said of a field that is not known; of those that are, the ones that `object` lacks are probably meant.
fn unknown<'a>(
    name: &str,
    object: &Map<String, Value>,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let lacking = known.clone().filter(|known| !object.contains_key(*known));
    if let Some(near) = nearest(name, lacking) {
        return format!("is no field here; did you mean `{near}`?");
    }
    let mut names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    names.truncate(NAMES_SHOWN_MAX);
    match (names.as_slice(), more) {
        ([], _) => "is no field here: there are none".to_owned(),
        (_, 0) => format!("is no field here: there are {}", names.join(", ")),
        (_, more) => format!("is no field here: there are {} and {more} more", names.join(", ")),
    }
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
