//! Arguments made from a schema: good ones, and good ones with one thing changed.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// How deep values are made on purpose; below, the smallest forms are taken.
const DEPTH_MAX: usize = 8;

/// Texts that programs easily get wrong.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "\0",
    "\"\\/\u{8}\u{c}\n\r\t",
    "\u{7f}\u{80}\u{9f}",
    "\u{2028}\u{2029}",
    "\u{feff}\u{202e}\u{200d}",
    "e\u{301}\u{1f1e9}\u{1f1ea}",
    "\u{10ffff}\u{fffd}\u{ffff}",
    "__proto__",
    "null",
    "-0",
    "${jndi:x}%s%n",
    "../../etc/passwd",
];
/// A long text.
const LONG_BYTES: usize = 100_000;

/// Integers at the edges of what number types hold.
const INTEGERS: [u64; 12] = [
    0,
    1,
    2,
    u8::MAX as u64,
    u16::MAX as u64,
    u32::MAX as u64,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Makes values of the schemas in one document.
pub(crate) struct Arguments<'a> {
    document: &'a Value,
    random: &'a mut Rng,
    /// What is put in the place of any value at all, half of the time.
    known: &'a [Value],
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(document: &'a Value, known: &'a [Value], random: &'a mut Rng) -> Self {
        Self { document, random, known }
    }

    /// A value of the document.
    pub(crate) fn good(&mut self) -> Value {
        self.value(self.document, 0)
    }

    /// `good` with one thing changed at some place, which may be good all the same.
    pub(crate) fn changed(&mut self, good: &Value) -> Value {
        let mut changed = good.clone();
        let place = self.random.usize(..places(good));
        let random = &mut *self.random;
        change(&mut changed, &mut { place }, &mut |value| *value = variant(value, random));
        changed
    }

    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer));
            return self.value(target.expect("references of a type document lead into it"), depth + 1);
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values[self.random.usize(..values.len())].clone();
        }
        let branches = ["oneOf", "anyOf"].iter().find_map(|keyword| schema.get(*keyword)?.as_array());
        if let Some(branches) = branches {
            let at = if depth < DEPTH_MAX { self.random.usize(..branches.len()) } else { branches.len() - 1 };
            return self.value(&branches[at], depth + 1);
        }
        let name = match schema.get("type") {
            Some(Value::Array(names)) => names[self.random.usize(..names.len())].as_str(),
            Some(name) => name.as_str(),
            None => None,
        };
        match name {
            Some("null") => Value::Null,
            Some("boolean") => self.random.bool().into(),
            Some("integer") => self.integer(schema),
            Some("string") => self.text(schema).into(),
            Some("array") => {
                let most = if depth < DEPTH_MAX { 4 } else { 0 };
                let count = self.random.usize(..=most);
                (0..count).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            Some("object") => self.object(schema, depth),
            Some(other) => panic!("values of type `{other}` are not made here yet"),
            None if self.random.bool() && !self.known.is_empty() => {
                self.known[self.random.usize(..self.known.len())].clone()
            }
            None => strange(self.random),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let must = |name: &str| required.is_some_and(|required| required.iter().any(|it| it == name));
        let mut object = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if must(name) || self.random.bool() {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        Value::Object(object)
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let most = schema.get("maximum").and_then(Value::as_u64).unwrap_or(match schema["format"].as_str() {
            Some("uint32") => u32::MAX.into(),
            Some("uint64") => u64::MAX,
            other => panic!("integers of format {other:?} are not made here yet"),
        });
        // Mostly small ones, which belong together more often.
        let integer = match self.random.u8(..4) {
            0 => INTEGERS[self.random.usize(..INTEGERS.len())],
            _ => self.random.u64(..7),
        };
        integer.min(most).into()
    }

    fn text(&mut self, schema: &Value) -> String {
        match schema.get("contentEncoding").and_then(Value::as_str) {
            Some("base64") => return ["", "AA==", "/+8=", "AAAA"][self.random.usize(..4)].to_owned(),
            Some("base16") => {
                let length = schema.get("minLength").and_then(Value::as_u64).unwrap_or(4);
                return (0..length)
                    .map(|_| char::from(b"0123456789abcdefABCDEF"[self.random.usize(..22)]))
                    .collect();
            }
            Some(_) | None => {}
        }
        let text = match self.random.u8(..8) {
            0 => "x".repeat(LONG_BYTES),
            1 => (0..self.random.usize(..40)).map(|_| self.random.char(..)).collect(),
            _ => TEXTS[self.random.usize(..TEXTS.len())].to_owned(),
        };
        let length =
            |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|it| it.try_into().ok());
        let (least, most) = (length("minLength").unwrap_or(0), length("maxLength").unwrap_or(usize::MAX));
        // Lengths are of characters, and none of these texts is so long that its bytes are too many for who counts them.
        let text = if text.is_empty() { "k".repeat(least) } else { text };
        text.chars().take(most).collect()
    }
}

/// Any value.
fn strange(random: &mut Rng) -> Value {
    let nested = (0..100)
        .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) });
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(i64::MIN),
        json!(u64::MAX),
        // 2^64, which no integer of 64 bits holds.
        json!(18_446_744_073_709_551_616_f64),
        json!(""),
        json!("x".repeat(LONG_BYTES)),
        json!("\u{202e}\u{0}\u{10ffff}"),
        json!([]),
        json!([[], {}, null]),
        json!({}),
        json!({ "": { "\u{0}": [] } }),
        nested,
    ];
    values[random.usize(..values.len())].clone()
}

/// How many values there are in `value`, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(array) => array.iter().map(places).sum::<usize>(),
        Value::Object(object) => object.values().map(places).sum::<usize>(),
        _ => 0,
    }
}

/// Changes the value at a place, counted as by [`places`].
fn change(value: &mut Value, left: &mut usize, how: &mut dyn FnMut(&mut Value)) {
    if *left == 0 {
        how(value);
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    let inner: &mut dyn Iterator<Item = &mut Value> = match value {
        Value::Array(array) => &mut array.iter_mut(),
        Value::Object(object) => &mut object.values_mut(),
        _ => return,
    };
    for value in inner {
        if *left == usize::MAX {
            return;
        }
        change(value, left, how);
    }
}

/// Something else than `value`, of the same kind or not.
fn variant(value: &Value, random: &mut Rng) -> Value {
    match value {
        Value::Object(object) if !object.is_empty() && random.u8(..3) > 0 => {
            let mut object = object.clone();
            if random.bool() {
                let name =
                    object.keys().nth(random.usize(..object.len())).expect("it is below the length").clone();
                object.remove(&name);
            } else {
                object.insert("a field of another version".to_owned(), strange(random));
            }
            Value::Object(object)
        }
        Value::Array(array) if random.bool() => {
            let mut array = array.clone();
            array.push(strange(random));
            Value::Array(array)
        }
        Value::String(text) if random.bool() => format!("{text}é").repeat(random.usize(0..3)).into(),
        Value::Number(number) if random.bool() => {
            let number = number.as_u64().unwrap_or(0);
            [json!(number as f64), json!(number as f64 + 0.5), json!(number.to_string()), json!([number])]
                [random.usize(..4)]
            .clone()
        }
        _ => strange(random),
    }
}
