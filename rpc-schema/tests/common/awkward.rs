//! A catalogue whose names mean something to languages and tools: fields called as keywords of JSON Schema, methods called
//! as members that every object has, arguments called as words of languages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use traitwire_schema::{Catalogue, MethodDescriptor, SchemaOf, ServiceDescriptor, schema_of};

use super::{METHOD, SERVICE};

/// A pointer into another document.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pointer {
    /// Where it leads.
    #[serde(rename = "$ref")]
    pub(crate) target: String,
    #[serde(rename = "$defs")]
    pub(crate) definitions: BTreeMap<String, Value>,
}

/// A document with pointers in it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The pointer to the next one.
    pub(crate) next: Option<Pointer>,
    /// Where nothing else is said.
    #[serde(default = "nowhere")]
    pub(crate) fallback: Pointer,
    pub(crate) any: Value,
    pub(crate) anything: Vec<Value>,
    pub(crate) pair: (Value, Pointer),
    pub(crate) kind: Tagged,
}

/// Tagged by `$ref`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "$ref")]
pub(crate) enum Tagged {
    /// Something.
    Some {
        #[serde(rename = "allOf")]
        all_of: u8,
    },
    Nothing,
}

/// An error of its own with a pointer.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) enum Failure {
    Lost(Pointer),
}

/// Arguments called as words of languages and members of objects.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Words {
    #[serde(rename = "__proto__")]
    pub(crate) proto: u32,
    pub(crate) constructor: u32,
    pub(crate) then: u32,
    #[serde(rename = "toJSON")]
    pub(crate) to_json: u32,
    pub(crate) class: String,
    #[serde(rename = "self")]
    pub(crate) own: String,
    pub(crate) args: String,
    pub(crate) options: String,
    pub(crate) transport: String,
    #[serde(rename = "with space")]
    pub(crate) with_space: String,
    #[serde(rename = "quote\"and\\")]
    pub(crate) quote: String,
    pub(crate) err: Option<Tagged>,
}

fn nowhere() -> Pointer {
    Pointer { target: "#/nowhere".to_owned(), definitions: BTreeMap::new() }
}

/// Methods called as members of objects, of promises and of the client itself, and as words of the language.
pub(crate) const METHODS: [&str; 22] = [
    "then",
    "catch",
    "finally",
    "to_string",
    "toString",
    "toJSON",
    "value_of",
    "toLocaleString",
    "constructor",
    "__proto__",
    "hasOwnProperty",
    "is_prototype_of",
    "property_is_enumerable",
    "__defineGetter__",
    "transport",
    "call",
    "delete",
    "new",
    "await",
    "static",
    "get",
    "options",
];

/// Services called as members of the client.
pub(crate) const SERVICES: [&str; 7] =
    ["Then", "ToString", "Constructor", "Transport", "Client", "RpcError", "Proto"];

/// The catalogue.
pub(crate) fn awkward() -> Catalogue {
    let mut services: Vec<&'static ServiceDescriptor> = Vec::new();
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let method = |name: String, arguments: SchemaOf, reply: SchemaOf| -> &'static MethodDescriptor {
        Box::leak(Box::new(MethodDescriptor {
            name: leak(name),
            docs: "Does something.",
            arguments,
            reply,
            ..METHOD
        }))
    };
    let words = |name: &&str| method(format!("words.{name}"), schema_of::<Words>, schema_of::<Words>);
    services.push(Box::leak(Box::new(ServiceDescriptor {
        name: "Words",
        prefix: "words",
        docs: "Methods with the names of members.",
        methods: METHODS.iter().map(words).collect::<Vec<_>>().leak(),
        ..SERVICE
    })));
    let fails: &'static MethodDescriptor = Box::leak(Box::new(MethodDescriptor {
        name: "documents.find",
        docs: "Finds a document.",
        arguments: schema_of::<Pointer>,
        reply: schema_of::<Document>,
        error: Some(schema_of::<Failure>),
        ..METHOD
    }));
    let store = method("documents.store".to_owned(), schema_of::<Document>, schema_of::<Vec<Pointer>>);
    services.push(Box::leak(Box::new(ServiceDescriptor {
        name: "Documents",
        prefix: "documents",
        docs: "Messages with fields that are called as keywords.",
        methods: vec![fails, store].leak(),
        ..SERVICE
    })));
    for name in SERVICES {
        let only = method(format!("{}.run", name.to_lowercase()), schema_of::<u64>, schema_of::<Value>);
        services.push(Box::leak(Box::new(ServiceDescriptor {
            name,
            prefix: leak(name.to_lowercase()),
            docs: "One method.",
            methods: vec![only].leak(),
            ..SERVICE
        })));
    }
    Catalogue::new(&services).expect("there are no conflicts")
}
