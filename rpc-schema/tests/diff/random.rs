//! Random schemas of the kinds that deriving makes, and random ways to write the same thing otherwise. Equal seeds give
//! equal schemas.

use serde_json::{Map, Value, json};

/// Random choices (SplitMix64; Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The names of the types that random schemas refer to.
const TYPES: [&str; 4] = ["Ash", "Birch", "Cedar", "Dogwood"];

/// Types that refer to each other and to themselves.
pub(crate) fn types(random: &mut Random) -> Value {
    let types = TYPES.map(|name| (name.to_owned(), object(random, 3)));
    Value::Object(types.into_iter().collect())
}

/// A random schema.
pub(crate) fn schema(random: &mut Random, depth: usize) -> Value {
    let leaf = depth == 0;
    match random.below(if leaf { 8 } else { 16 }) {
        0 => json!({ "type": "string" }),
        1 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
        2 => json!({ "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 }),
        3 => json!({ "type": "boolean" }),
        4 => json!({ "type": "string", "enum": ["A", "B", "C"] }),
        5 => json!({ "$ref": format!("#/$defs/{}", TYPES[random.below(TYPES.len())]) }),
        6 => json!({ "type": ["number", "null"], "format": "double" }),
        7 => json!(true),
        8 => json!({ "type": "array", "items": schema(random, depth - 1) }),
        9 => json!({ "type": "object", "additionalProperties": schema(random, depth - 1) }),
        10 => json!({ "anyOf": [schema(random, depth - 1), { "type": "null" }] }),
        11 => {
            let items = [schema(random, depth - 1), schema(random, depth - 1)];
            json!({ "type": "array", "prefixItems": items, "minItems": 2, "maxItems": 2 })
        }
        12 => {
            let wrapped = |name: &str, content: Value| {
                json!({ "type": "object", "properties": { name: content }, "required": [name],
                    "additionalProperties": false })
            };
            let variants = [wrapped("D", schema(random, depth - 1)), wrapped("E", schema(random, depth - 1))];
            json!({ "oneOf": [{ "type": "string", "enum": ["A", "B"] }, variants[0], variants[1]] })
        }
        13 => {
            let tagged = |name: &str, random: &mut Random| {
                let mut object = object(random, depth - 1);
                object["properties"]["kind"] = json!({ "type": "string", "const": name });
                object["required"].as_array_mut().unwrap().push(json!("kind"));
                object
            };
            json!({ "oneOf": [tagged("A", random), tagged("B", random)] })
        }
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Random, depth: usize) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for name in ["a", "b", "c", "d"].iter().take(random.below(5)) {
        properties.insert((*name).to_owned(), schema(random, depth));
        if random.once_in(2) {
            required.push(*name);
        }
    }
    let mut object = json!({ "type": "object", "properties": properties, "required": required });
    if random.once_in(4) {
        object["additionalProperties"] = json!(false);
    }
    object
}

/// `schema` and `types` in other words, with other names of types.
pub(crate) fn rewrite(random: &mut Random, schema: &Value, types: &Value) -> (Value, Value) {
    let rewritten = types
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, schema)| (format!("{name}Tree"), reword(random, schema, types, 2)));
    let rewritten = Value::Object(rewritten.collect());
    (reword(random, schema, types, 2), rewritten)
}

/// `schema` in other words. References are followed `inline` times at most, and lead to the new names.
fn reword(random: &mut Random, schema: &Value, types: &Value, inline: usize) -> Value {
    let Some(keywords) = schema.as_object() else { return schema.clone() };
    if let Some(name) = keywords.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix("#/$defs/").unwrap();
        let inlined = inline > 0 && random.once_in(3);
        let schema = if inlined {
            reword(random, &types[name], types, inline - 1)
        } else {
            json!({ "$ref": format!("#/$defs/{name}Tree") })
        };
        return wrapped(random, schema);
    }
    let mut words = Map::new();
    for (keyword, value) in keywords {
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                let fields = fields.iter();
                fields.map(|(name, field)| (name.clone(), reword(random, field, types, inline))).collect()
            }
            ("items" | "additionalProperties", schema) => reword(random, schema, types, inline),
            // The order of a tuple has a meaning.
            ("prefixItems", Value::Array(schemas)) => {
                schemas.iter().map(|schema| reword(random, schema, types, inline)).collect()
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                let mut schemas: Vec<Value> =
                    schemas.iter().map(|schema| reword(random, schema, types, inline)).collect();
                random.shuffle(&mut schemas);
                schemas.into()
            }
            ("required" | "enum" | "type", Value::Array(values)) => {
                let mut values = values.clone();
                random.shuffle(&mut values);
                values.into()
            }
            _ => value.clone(),
        };
        words.insert(keyword.clone(), value);
    }
    let said = said_otherwise(random, words);
    wrapped(random, said)
}

/// One schema by other keywords.
fn said_otherwise(random: &mut Random, mut words: Map<String, Value>) -> Value {
    if let Some(Value::Array(values)) = words.get("enum").cloned()
        && random.once_in(2)
    {
        let (first, rest) = values.split_at(1);
        let constants = rest.iter().map(|value| json!({ "const": value, "title": "One of them" }));
        let mut schemas: Vec<Value> = constants.collect();
        schemas.push(json!({ "type": "string", "enum": first }));
        return json!({ "oneOf": schemas });
    }
    if let Some(Value::Array(names)) = words.get("type").cloned()
        && random.once_in(2)
    {
        let each = names.iter().map(|name| {
            let mut other = words.clone();
            other.insert("type".to_owned(), name.clone());
            Value::Object(other)
        });
        let each: Vec<Value> = each.collect();
        return json!({ "anyOf": each });
    }
    if let Some(Value::String(constant)) = words.get("const").cloned()
        && random.once_in(2)
    {
        words.remove("const");
        words.insert("enum".to_owned(), json!([constant]));
    }
    // Half of the fields come from a struct that is flattened into this one.
    if let Some(Value::Object(fields)) = words.get("properties").cloned()
        && !words.contains_key("oneOf")
        && random.once_in(3)
    {
        let (mut own, mut flattened) = (Map::new(), Map::new());
        for (name, field) in fields {
            if random.once_in(2) { &mut own } else { &mut flattened }.insert(name, field);
        }
        words.insert("properties".to_owned(), own.into());
        words.insert("allOf".to_owned(), json!([{ "type": "object", "properties": flattened }]));
    }
    if !words.contains_key("additionalProperties") && words.contains_key("properties") && random.once_in(4) {
        words.insert("additionalProperties".to_owned(), json!(true));
    }
    Value::Object(words)
}

/// The schema with explanations, or alone in a list, and its keywords in another order.
fn wrapped(random: &mut Random, schema: Value) -> Value {
    let Value::Object(words) = schema else { return schema };
    let mut words: Vec<(String, Value)> = words.into_iter().collect();
    if random.once_in(3) {
        words.push(("description".to_owned(), json!("It is what it was.")));
        words.push(("examples".to_owned(), json!([1, "two"])));
        words.push(("x-since".to_owned(), json!("0.1")));
    }
    random.shuffle(&mut words);
    let schema = Value::Object(words.into_iter().collect());
    match random.below(8) {
        0 => json!({ "allOf": [schema] }),
        1 => json!({ "anyOf": [schema], "title": "Alone" }),
        2 => json!({ "oneOf": [schema] }),
        _ => schema,
    }
}
