//! What a schema says of a value without looking into it: its type, bounds, lengths, and the values that it may have.

use serde_json::Value;

use super::list;
use crate::nearest;
use crate::walk::counts_bytes;

/// How many characters of a value a message shows.
const SHOWN_MAX: usize = 60;

/// What is wrong with `value`, if anything is.
pub(super) fn refusal(schema: &Value, value: &Value) -> Option<String> {
    let mut names = types(schema).peekable();
    if names.peek().is_some() && !types(schema).any(|name| is_of_type(name, value)) {
        let names: Vec<String> = names.map(|name| with_article(name, schema)).collect();
        return Some(format!("must be {}, not {}", names.join(" or "), short(value)));
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        return Some(format!("must be {}, not {}", short(constant), short(value)));
    }
    if let allowed @ [_, ..] = list(schema, "enum")
        && !allowed.contains(value)
    {
        let words: Vec<String> = allowed.iter().map(short).collect();
        let near = value.as_str().and_then(|text| nearest(text, allowed.iter().filter_map(Value::as_str)));
        let hint = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        return Some(format!("must be one of {}, not {}{hint}", words.join(", "), short(value)));
    }
    match value {
        Value::Number(_) => number_refusal(schema, value),
        Value::String(text) => text_refusal(schema, text),
        Value::Array(array) => {
            let has_twins = || array.iter().enumerate().any(|(at, value)| array[..at].contains(value));
            if schema.get("uniqueItems") == Some(&Value::Bool(true)) && has_twins() {
                return Some("must not hold the same twice".to_owned());
            }
            count_refusal(schema, ["minItems", "maxItems"], array.len(), "elements")
        }
        Value::Object(object) => {
            count_refusal(schema, ["minProperties", "maxProperties"], object.len(), "fields")
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// The types that `schema` names.
pub(super) fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let (one, several) = match schema.get("type") {
        Some(Value::Array(names)) => (None, names.as_slice()),
        one => (one, &[][..]),
    };
    one.into_iter().chain(several).filter_map(Value::as_str)
}

/// The name of the type of `value`.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a key matches a pattern. Patterns are known that the keys of maps with integer keys have; any other is taken
/// to match.
pub(super) fn matches(pattern: &str, key: &str) -> bool {
    let is_whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match pattern {
        r"^\d+$" => is_whole(key),
        r"^-?\d+$" => is_whole(key.strip_prefix('-').unwrap_or(key)),
        _ => true,
    }
}

/// `value` in JSON, cut short.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Object(object) if !object.is_empty() => "an object".to_owned(),
        Value::Array(array) if !array.is_empty() => "a list".to_owned(),
        _ => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN_MAX) {
                Some((at, _)) => format!("{}…", &text[..at]),
                None => text,
            }
        }
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("number", Value::Number(_)) => true,
        // A number without a fraction is an integer, however it is written (JSON Schema Core, 6.1.1).
        ("integer", Value::Number(number)) => {
            !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => type_name(value) == name,
    }
}

fn with_article(name: &str, schema: &Value) -> String {
    match name {
        "array" => "a list".to_owned(),
        "object" => "an object".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => format!("an integer{}", span(&bounds(schema))),
        "number" => format!("a number{}", span(&bounds(schema))),
        "string" => "a string".to_owned(),
        name => name.to_owned(),
    }
}

/// The least and the largest value.
struct Bounds {
    least: Option<Value>,
    most: Option<Value>,
}

/// The bounds of a schema, or those of its format where that is an integer's.
fn bounds(schema: &Value) -> Bounds {
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("uint8") => (0.into(), u8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("uint16") => (0.into(), u16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("uint32") => (0.into(), u32::MAX.into()),
        Some("int64" | "int") => (i64::MIN.into(), i64::MAX.into()),
        Some("uint64" | "uint") => (0.into(), u64::MAX.into()),
        _ => (Value::Null, Value::Null),
    };
    let of =
        |keyword: &str, format: Value| schema.get(keyword).cloned().or(Some(format)).filter(Value::is_number);
    Bounds { least: of("minimum", least), most: of("maximum", most) }
}

fn span(bounds: &Bounds) -> String {
    match (&bounds.least, &bounds.most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}

fn number_refusal(schema: &Value, value: &Value) -> Option<String> {
    let bounds = bounds(schema);
    let is_below = |least: &Value| compare(value, least).is_some_and(std::cmp::Ordering::is_lt);
    let is_above = |most: &Value| compare(value, most).is_some_and(std::cmp::Ordering::is_gt);
    if bounds.least.as_ref().is_some_and(is_below) || bounds.most.as_ref().is_some_and(is_above) {
        let name = types(schema).find(|name| ["integer", "number"].contains(name)).unwrap_or("number");
        return Some(format!("must be {}, not {}", with_article(name, schema), short(value)));
    }
    let exclusive = |keyword: &str| schema.get(keyword).filter(|bound| bound.is_number());
    if let Some(bound) = exclusive("exclusiveMinimum").filter(|bound| !is_above(bound)) {
        return Some(format!("must be more than {bound}, not {}", short(value)));
    }
    if let Some(bound) = exclusive("exclusiveMaximum").filter(|bound| !is_below(bound)) {
        return Some(format!("must be less than {bound}, not {}", short(value)));
    }
    let (number, step) = (integer(value), schema.get("multipleOf").and_then(integer));
    let (number, step) = (number?, step.filter(|step| *step != 0)?);
    (number % step != 0).then(|| format!("must be a multiple of {step}, not {number}"))
}

/// How two numbers compare, exactly where both are integers.
fn compare(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// The integer that a number stands for. One that is written with a point or an exponent, and is too large for this, is
/// compared as a float.
fn integer(value: &Value) -> Option<i128> {
    let written_as_float = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < I128_MAX)?;
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is within the range")]
        Some(number as i128)
    };
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).or_else(written_as_float)
}

/// 2^127, which is beyond every `i128`.
const I128_MAX: f64 = 1.701_411_834_604_692_3e38;

fn text_refusal(schema: &Value, text: &str) -> Option<String> {
    match schema.get("contentEncoding").and_then(Value::as_str) {
        Some("base64") if !is_base64(text) => return Some("must be base64 with padding".to_owned()),
        Some("base16") if !is_base16(text) => return Some("must be pairs of hexadecimal digits".to_owned()),
        Some(_) | None => {}
    }
    let (count, unit) =
        if counts_bytes(schema) { (text.len(), "bytes") } else { (text.chars().count(), "characters") };
    count_refusal(schema, ["minLength", "maxLength"], count, unit)
}

/// Whether a text has the letters and the length of base64 (RFC 4648, section 4).
fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    text.len().is_multiple_of(4) && digits.bytes().all(is_digit)
}

/// Whether a text is base16 (RFC 4648, section 8), in either case.
fn is_base16(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn count_refusal(schema: &Value, [least, most]: [&str; 2], count: usize, unit: &str) -> Option<String> {
    let bound = |keyword| schema.get(keyword).filter(|bound| bound.is_u64()).cloned();
    let bounds = Bounds { least: bound(least), most: bound(most) };
    let count_value = Value::from(count);
    let breaks = |bound: &Option<Value>, is: fn(std::cmp::Ordering) -> bool| {
        bound.as_ref().and_then(|bound| compare(&count_value, bound)).is_some_and(is)
    };
    let is_broken =
        breaks(&bounds.least, std::cmp::Ordering::is_lt) || breaks(&bounds.most, std::cmp::Ordering::is_gt);
    is_broken.then(|| {
        let wanted = match (&bounds.least, &bounds.most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (_, most) => format!("at most {}", most.clone().unwrap_or_default()),
        };
        format!("must have {wanted} {unit}, not {count}")
    })
}
