//! Which types a catalogue holds under which names, and what it refuses.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "most types here are looked at only through their schemas")]

mod common;

use std::collections::BTreeMap;

use common::{METHOD, SERVICE, assert_references_resolve, catalogue, service};
use expect_test::{Expect, expect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, Conflict, MethodDescriptor, SchemaOf, ServiceDescriptor, schema_of};

/// A key and how often it was written.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Entry {
    /// The key.
    key: String,
    version: u64,
}

/// Read and written in different ways.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Settings {
    #[serde(default)]
    retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(rename(serialize = "shown", deserialize = "given"))]
    name: String,
    entry: Entry,
}

/// The same both ways, but for what it holds.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Holder {
    settings: Vec<Settings>,
}

/// The same both ways, but for what it holds in what it holds.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Shelf {
    holder: Holder,
    entry: Entry,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Node {
    value: i64,
    children: Vec<Node>,
    next: Option<Box<Node>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Page_of_{T}")]
struct Page<T> {
    items: Vec<T>,
    more: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Unnamed<T> {
    item: T,
}

fn names(catalogue: &Catalogue) -> Vec<&str> {
    catalogue.document_names().into_iter().collect()
}

fn method(name: &'static str, arguments: SchemaOf, reply: SchemaOf) -> &'static MethodDescriptor {
    Box::leak(Box::new(MethodDescriptor { name, arguments, reply, ..METHOD }))
}

#[track_caller]
fn check_conflict(services: &[&'static ServiceDescriptor], expected: &Expect) {
    expected.assert_eq(&Catalogue::new(services).unwrap_err().to_string());
}

#[test]
fn a_type_that_reads_as_it_writes_is_one_document() {
    static ECHO: MethodDescriptor =
        MethodDescriptor { name: "echo", arguments: schema_of::<Entry>, reply: schema_of::<Entry>, ..METHOD };
    let catalogue = catalogue(&[&ECHO]);
    assert_eq!(names(&catalogue), ["Entry"]);
    assert_eq!(catalogue.messages(&ECHO).arguments.schema, json!({ "$ref": "#/$defs/Entry" }));
    expect![[r#"
        {
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "title": "Entry",
          "type": "object",
          "properties": {
            "key": {
              "type": "string",
              "description": "The key."
            },
            "version": {
              "type": "integer",
              "format": "uint64",
              "minimum": 0
            }
          },
          "required": [
            "key",
            "version"
          ],
          "description": "A key and how often it was written."
        }"#]]
    .assert_eq(&format!("{:#}", catalogue.type_document("Entry").unwrap()));
}

#[test]
fn a_type_that_reads_otherwise_than_it_writes_is_two_and_so_is_what_holds_it() {
    static SET: MethodDescriptor =
        MethodDescriptor { name: "set", arguments: schema_of::<Shelf>, reply: schema_of::<Shelf>, ..METHOD };
    let catalogue = catalogue(&[&SET]);
    let (read, written) =
        (["Holder", "Settings", "Shelf"], ["Holder.written", "Settings.written", "Shelf.written"]);
    let mut expected: Vec<&str> = read.into_iter().chain(written).chain(["Entry"]).collect();
    expected.sort_unstable();
    assert_eq!(names(&catalogue), expected);
    let keys_and_required = |name: &str| {
        let document = catalogue.type_document(name).unwrap();
        let keys: Vec<_> = document["properties"].as_object().unwrap().keys().cloned().collect();
        (keys.join(" "), document["required"].clone())
    };
    let read = ("retries note given entry".to_owned(), json!(["given", "entry"]));
    assert_eq!(keys_and_required("Settings"), read);
    let written = ("retries note shown entry".to_owned(), json!(["retries", "shown", "entry"]));
    assert_eq!(keys_and_required("Settings.written"), written);
    assert_eq!(
        catalogue.types()["Holder.written"]["properties"]["settings"]["items"],
        json!({ "$ref": "#/$defs/Settings.written" })
    );
    assert_eq!(catalogue.type_document("Settings.written").unwrap()["title"], "Settings");
}

#[test]
fn a_type_that_is_only_written_has_its_own_name() {
    let catalogue = catalogue(&[method("get", schema_of::<Entry>, schema_of::<Settings>)]);
    assert_eq!(names(&catalogue), ["Entry", "Settings"]);
    assert!(catalogue.types()["Settings"]["properties"].get("shown").is_some());
}

#[test]
fn an_error_is_written() {
    static GET: MethodDescriptor = MethodDescriptor { error: Some(schema_of::<Settings>), ..METHOD };
    let catalogue = catalogue(&[&GET]);
    assert_eq!(catalogue.messages(&GET).error.as_ref().unwrap().document, "Settings");
    assert!(catalogue.types()["Settings"]["properties"].get("shown").is_some());
}

#[test]
fn a_message_without_a_name_has_a_document_named_after_its_method() {
    static COUNT: MethodDescriptor = MethodDescriptor {
        name: "kv.count",
        arguments: schema_of::<Vec<Entry>>,
        reply: schema_of::<()>,
        error: Some(schema_of::<String>),
        ..METHOD
    };
    let catalogue = catalogue(&[&COUNT]);
    assert_eq!(names(&catalogue), ["Entry", "kv.count.arguments", "kv.count.error", "kv.count.reply"]);
    let document = catalogue.type_document("kv.count.arguments").unwrap();
    assert_eq!(document["title"], "The arguments of kv.count");
    assert_eq!(document["items"], json!({ "$ref": "#/$defs/Entry" }));
    assert_references_resolve(&document);
    assert_eq!(catalogue.type_document("kv.count.reply").unwrap()["type"], "null");
    for unknown in ["Entree", "kv.count", "kv.count.replies", "kv.Entry", "", "."] {
        assert_eq!(catalogue.type_document(unknown), None, "{unknown}");
    }
}

#[test]
fn documents_hold_what_they_refer_to_and_nothing_else() {
    #[derive(JsonSchema)]
    struct Forest {
        trees: BTreeMap<u32, Page<Node>>,
        settings: Settings,
        anything: serde_json::Value,
    }
    let echo = method("echo", schema_of::<Forest>, schema_of::<Forest>);
    let catalogue = catalogue(&[echo, method("nodes", schema_of::<u64>, schema_of::<Node>)]);
    for name in catalogue.document_names() {
        let document = catalogue.type_document(name).unwrap();
        assert_references_resolve(&document);
        for (definition, _) in document.get("$defs").and_then(Value::as_object).into_iter().flatten() {
            let reference = format!("#/$defs/{definition}");
            let used = common::references(&document).contains(&reference.as_str());
            assert!(used, "{name} holds {definition} for nothing");
        }
    }
    let node = catalogue.type_document("Node").unwrap();
    assert_eq!(node["properties"]["children"]["items"], json!({ "$ref": "#" }));
    assert_eq!(node.get("$defs"), None);
    assert_references_resolve(&catalogue.openrpc());
}

#[test]
fn generic_types_have_a_name_for_each_use() {
    let pages = method("pages", schema_of::<Page<u64>>, schema_of::<Page<Page<Entry>>>);
    let catalogue = catalogue(&[pages]);
    assert_eq!(names(&catalogue), ["Entry", "Page_of_Entry", "Page_of_Page_of_Entry", "Page_of_uint64"]);
}

mod first {
    #[derive(schemars::JsonSchema)]
    pub(crate) struct Reply {
        one: u64,
    }
}

mod second {
    #[derive(schemars::JsonSchema)]
    pub(crate) struct Reply {
        two: String,
    }

    #[derive(schemars::JsonSchema)]
    pub(crate) struct Reply2 {
        meant: bool,
    }
}

#[test]
fn two_types_of_one_name_are_refused() {
    static KV: ServiceDescriptor = ServiceDescriptor {
        name: "Kv",
        methods: &[&MethodDescriptor { name: "get", reply: schema_of::<first::Reply>, ..METHOD }],
        ..SERVICE
    };
    static RAFT: ServiceDescriptor = ServiceDescriptor {
        name: "Raft",
        file: "src/services/raft.rs",
        methods: &[&MethodDescriptor { name: "raft.vote", reply: schema_of::<Vec<second::Reply>>, ..METHOD }],
        ..SERVICE
    };
    check_conflict(
        &[&KV, &RAFT],
        &expect![[
            r#"two different types are called `Reply`, one in the reply of method `get` of service `Kv` (src/services/service.rs:7), one in the reply of method `raft.vote` of service `Raft` (src/services/raft.rs:7): give one of them `#[schemars(rename = "...")]`, or a generic type a name for each use, as in `#[schemars(rename = "Reply_of_{T}")]`"#
        ]],
    );
}

#[test]
fn two_types_of_one_name_are_refused_also_when_one_is_only_read_and_one_only_written() {
    let get = method("get", schema_of::<first::Reply>, schema_of::<second::Reply>);
    let error = Catalogue::new(&[service(&[get])]).unwrap_err();
    assert!(matches!(error.conflicts(), [Conflict::TypeName { name, .. }] if name == "Reply"), "{error}");
}

#[test]
fn two_types_of_one_name_are_refused_inside_one_message() {
    #[derive(JsonSchema)]
    struct Both {
        one: first::Reply,
        two: second::Reply,
    }
    let get = method("get", schema_of::<Both>, schema_of::<()>);
    check_conflict(
        &[service(&[get])],
        &expect![[
            r#"two different types are called `Reply`, both in the arguments of method `get` of service `Service` (src/services/service.rs:7): give one of them `#[schemars(rename = "...")]`, or a generic type a name for each use, as in `#[schemars(rename = "Reply_of_{T}")]`"#
        ]],
    );
}

#[test]
fn one_generic_type_with_two_uses_needs_two_names() {
    let get = method("get", schema_of::<Unnamed<u64>>, schema_of::<Unnamed<String>>);
    let error = Catalogue::new(&[service(&[get])]).unwrap_err();
    assert!(error.to_string().contains("Unnamed_of_{T}"), "{error}");
}

#[test]
fn a_name_that_ends_in_a_number_on_purpose_is_fine() {
    let get = method("get", schema_of::<first::Reply>, schema_of::<second::Reply2>);
    let other = method("other", schema_of::<second::Reply2>, schema_of::<first::Reply>);
    assert_eq!(names(&catalogue(&[get, other])), ["Reply", "Reply2"]);
    assert_eq!(names(&catalogue(&[other, get])), ["Reply", "Reply2"]);
}

#[test]
fn a_number_on_purpose_hides_no_collision() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let all = [
            method("one", schema_of::<first::Reply>, schema_of::<()>),
            method("two", schema_of::<second::Reply>, schema_of::<()>),
            method("three", schema_of::<second::Reply2>, schema_of::<()>),
        ];
        let methods = order.map(|index| all[index]);
        let error = Catalogue::new(&[service(&methods)]).unwrap_err();
        assert!(matches!(error.conflicts(), [Conflict::TypeName { name, .. }] if name == "Reply"), "{error}");
    }
}

#[test]
fn types_that_the_generator_takes_for_one_are_refused() {
    // Both have the id `catalogue::Local`, since functions do not count as modules.
    fn one() -> SchemaOf {
        #[derive(JsonSchema)]
        struct Local {
            one: u64,
        }
        schema_of::<Local>
    }
    fn two() -> SchemaOf {
        #[derive(JsonSchema)]
        struct Local {
            two: u64,
        }
        schema_of::<Local>
    }
    let methods = [method("one", one(), schema_of::<()>), method("two", schema_of::<()>, two())];
    check_conflict(
        &[service(&methods)],
        &expect![[
            r#"two different types are called `Local`, one in the arguments of method `one` of service `Service` (src/services/service.rs:7), one in the reply of method `two` of service `Service` (src/services/service.rs:7): give one of them `#[schemars(rename = "...")]`, or a generic type a name for each use, as in `#[schemars(rename = "Local_of_{T}")]`"#
        ]],
    );
}

#[test]
fn names_that_no_file_can_have_are_refused() {
    #[derive(JsonSchema)]
    #[schemars(rename = "../up<down>")]
    struct Escaping {}
    let get = method("get", schema_of::<Escaping>, schema_of::<()>);
    let slash = method("get/it", schema_of::<()>, schema_of::<()>);
    check_conflict(
        &[service(&[get])],
        &expect![
            "the name `../up<down>` of a type in the arguments of method `get` of service `Service` (src/services/service.rs:7) is part of URLs and file names: use letters, digits, `_` and `-` only (and `.` in names of methods)"
        ],
    );
    check_conflict(
        &[service(&[slash])],
        &expect![
            "the name `get/it` of method `get/it` of service `Service` (src/services/service.rs:7) is part of URLs and file names: use letters, digits, `_` and `-` only (and `.` in names of methods)"
        ],
    );
}

#[test]
fn one_wire_name_is_for_one_method() {
    static KV: ServiceDescriptor = ServiceDescriptor {
        name: "Kv",
        methods: &[&MethodDescriptor { name: "get", aliases: &["read"], ..METHOD }],
        reserved: &["fetch"],
        ..SERVICE
    };
    static OTHER: ServiceDescriptor = ServiceDescriptor {
        name: "Other",
        methods: &[
            &MethodDescriptor { name: "read", ..METHOD },
            &MethodDescriptor { name: "fetch", ..METHOD },
            &MethodDescriptor { name: "free", ..METHOD },
        ],
        ..SERVICE
    };
    let error = Catalogue::new(&[&KV, &OTHER]).unwrap_err();
    let taken: Vec<&str> = error
        .conflicts()
        .iter()
        .map(|conflict| match conflict {
            Conflict::WireName { name, .. } => name.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(taken, ["read", "fetch"]);
    expect!["the wire name `read` is taken twice, by method `get` of service `Kv` (src/services/service.rs:7) and by method `read` of service `Other` (src/services/service.rs:7): give one of them another `name` or its service a `prefix`"]
        .assert_eq(&error.conflicts()[0].to_string());
    assert!(Catalogue::new(&[&KV, &KV]).is_err());
    assert!(Catalogue::new(&[&KV]).is_ok());
}

#[test]
fn methods_are_found_by_name_and_alias() {
    static GET: MethodDescriptor = MethodDescriptor { name: "get", aliases: &["read"], ..METHOD };
    let catalogue = catalogue(&[&GET]);
    assert_eq!(catalogue.method("read").unwrap().1.name, "get");
    assert!(catalogue.method("put").is_none());
}
