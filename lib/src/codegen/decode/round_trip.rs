//! Finds lists that serde took for objects where nobody can watch it: it keeps the content of enums without tags, of enums
//! with a tag inside and of flattened structs aside, and then reads a struct from a list of its fields.

use serde::Serialize;
use serde_json::Value;

/// The path to a list in `json` in whose place `value` has an object.
pub(super) fn misplaced_list<T: Serialize>(json: &str, value: &T) -> Option<String> {
    let sent: Value = serde_json::from_str(json).ok()?;
    let understood = serde_json::to_value(value).ok()?;
    let mut path = String::new();
    find(&sent, &understood, &mut path).then_some(path)
}

fn find(sent: &Value, understood: &Value, path: &mut String) -> bool {
    match (sent, understood) {
        // Types that take one or many write a list of one as that one.
        (Value::Array(list), Value::Object(_)) => !matches!(list.as_slice(), [one] if one == understood),
        (Value::Array(sent), Value::Array(understood)) if sent.len() == understood.len() => {
            let mut pairs = sent.iter().zip(understood).enumerate();
            pairs.any(|(at, (sent, understood))| within(sent, understood, path, &format!("[{at}]")))
        }
        (Value::Object(sent), Value::Object(understood)) => sent.iter().any(|(name, sent)| {
            let dot = if path.is_empty() { "" } else { "." };
            let step = format!("{dot}{name}");
            understood.get(name).is_some_and(|understood| within(sent, understood, path, &step))
        }),
        _ => false,
    }
}

fn within(sent: &Value, understood: &Value, path: &mut String, step: &str) -> bool {
    let length = path.len();
    path.push_str(step);
    let found = find(sent, understood, path);
    if !found {
        path.truncate(length);
    }
    found
}
