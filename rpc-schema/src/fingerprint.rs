//! One number for everything that services promise, so that two programs can tell quickly whether they agree.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Catalogue;
use crate::arguments::Fields;
use crate::walk::{LENGTH_UNIT, each_subschema_mut};

/// Keywords that explain and do not decide.
const EXPLANATIONS: [&str; 6] = ["$comment", "deprecated", "description", "examples", "title", LENGTH_UNIT];

/// Keywords whose values are sets that JSON has to write as lists.
const SETS: [&str; 3] = ["enum", "required", "type"];

impl Catalogue {
    /// The fingerprint, as hexadecimal digits: equal for equal promises, whatever the words of their documentation and
    /// the order of services, methods and aliases. It guards against mistakes, not attacks.
    pub fn fingerprint(&self) -> String {
        format!("{:032x}", fnv1a_128(self.canonical().to_string().as_bytes()))
    }

    /// The contract of all services in one form, without documentation.
    fn canonical(&self) -> Value {
        let mut methods = BTreeMap::new();
        for service in self.services() {
            for method in service.methods {
                let messages = self.messages(method);
                let mut aliases = method.aliases.to_vec();
                aliases.sort_unstable();
                // By position, the order of the fields is part of the contract.
                let fields = Fields::of(&messages.arguments.schema, self.types());
                let fields =
                    fields.map(|fields| fields.properties.iter().map(|(name, _)| *name).collect::<Vec<_>>());
                let facts = json!({
                    "aliases": aliases,
                    "arguments": canonical(&messages.arguments.schema),
                    "compat": service.compat.as_str(),
                    "error": messages.error.as_ref().map(|error| canonical(&error.schema)),
                    "fields": fields,
                    "idempotency": method.idempotency.as_str(),
                    "reply": canonical(&messages.reply.schema),
                });
                methods.insert(method.name.to_owned(), sorted(facts));
            }
        }
        let types = self.types().iter().map(|(name, schema)| (name.clone(), canonical(schema)));
        json!({ "methods": Value::Object(methods.into_iter().collect()), "types": types.collect::<Map<_, _>>() })
    }
}

/// `schema` without explanations, its sets and keys sorted.
pub(crate) fn canonical(schema: &Value) -> Value {
    let mut schema = schema.clone();
    simplify(&mut schema);
    sorted(schema)
}

/// Drops explanations and sorts sets. It must know where schemas are: a field may well be called `title`.
fn simplify(schema: &mut Value) {
    each_subschema_mut(schema, &mut simplify);
    let Some(keywords) = schema.as_object_mut() else { return };
    keywords.retain(|keyword, _| !EXPLANATIONS.contains(&keyword.as_str()));
    for keyword in SETS {
        if let Some(Value::Array(values)) = keywords.get_mut(keyword) {
            values.sort_by_cached_key(ToString::to_string);
        }
    }
}

/// `value` with the keys of all objects sorted.
fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo).
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{canonical, fnv1a_128};

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a_128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn explanations_go_and_fields_of_their_names_stay() {
        let schema = json!({
            "title": "Book",
            "type": ["object", "null"],
            "required": ["title", "description"],
            "properties": {
                "title": { "type": "string", "description": "As printed." },
                "description": { "default": { "title": 1 } }
            },
        });
        let expected = json!({
            "properties": { "description": { "default": { "title": 1 } }, "title": { "type": "string" } },
            "required": ["description", "title"],
            "type": ["null", "object"],
        });
        assert_eq!(canonical(&schema).to_string(), expected.to_string());
    }
}
