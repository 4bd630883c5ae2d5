//! Services whose names are in each other's way: every document is there all the same, and says as much as it can.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "most types here are looked at only through their schemas")]

mod common;

use common::{METHOD, SERVICE, assert_references_resolve, service};
use schemars::JsonSchema;
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, Conflict, MethodDescriptor, SchemaOf, ServiceDescriptor, schema_of};

#[derive(JsonSchema)]
struct Page<T> {
    items: Vec<T>,
}

/// Is in nobody's way.
#[derive(JsonSchema)]
struct Plain {
    text: String,
}

/// Holds what is in the way, and is itself as it was.
#[derive(JsonSchema)]
struct Holder {
    users: Page<Plain>,
    plain: Plain,
}

mod other {
    #[derive(schemars::JsonSchema)]
    pub(crate) struct Plain {
        number: u64,
    }

    #[derive(schemars::JsonSchema)]
    pub(crate) struct Page2 {
        meant: bool,
    }
}

#[derive(JsonSchema)]
#[schemars(rename = "../up<down>")]
struct Escaping {
    plain: Plain,
}

#[derive(JsonSchema)]
#[schemars(rename = "___up_down_")]
struct Escaped {}

fn method(name: &'static str, arguments: SchemaOf, reply: SchemaOf) -> &'static MethodDescriptor {
    Box::leak(Box::new(MethodDescriptor { name, arguments, reply, ..METHOD }))
}

fn locals() -> [SchemaOf; 2] {
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
    [one(), two()]
}

/// The services with the names of the types that are in the way.
fn cases() -> Vec<(Vec<&'static ServiceDescriptor>, Vec<&'static str>)> {
    let pages = || method("pages", schema_of::<Page<u64>>, schema_of::<Page<String>>);
    let plain = || method("plain", schema_of::<Plain>, schema_of::<Plain>);
    let [one, two] = locals();
    let local = || [method("one", one, schema_of::<()>), method("two", schema_of::<()>, two)];
    let version = |name: &'static str, prefix, schema: SchemaOf| -> &'static ServiceDescriptor {
        let methods = vec![method(name, schema, schema)].leak();
        Box::leak(Box::new(ServiceDescriptor { name: "Kv", prefix, methods, ..SERVICE }))
    };
    vec![
        (vec![service(&[pages(), plain()])], vec!["Page"]),
        (vec![service(&[plain(), method("held", schema_of::<Holder>, schema_of::<Page<u8>>)])], vec!["Page"]),
        (
            vec![service(&[method("meant", schema_of::<other::Page2>, schema_of::<Plain>), pages()])],
            vec!["Page"],
        ),
        (
            vec![service(&[pages(), method("meant", schema_of::<other::Page2>, schema_of::<Plain>)])],
            vec!["Page"],
        ),
        (vec![service(&local()), service(&[plain()])], vec!["Local"]),
        (vec![service(&local()), service(&[pages(), plain()])], vec!["Local", "Page"]),
        (
            vec![
                version("v1.get", "v1", schema_of::<Plain>),
                version("v2.get", "v2", schema_of::<other::Plain>),
            ],
            vec!["Plain"],
        ),
        (vec![service(&[plain(), method("up", schema_of::<Escaping>, schema_of::<Vec<Escaping>>)])], vec![]),
        (vec![service(&[method("up", schema_of::<Escaping>, schema_of::<Escaped>)])], vec![]),
    ]
}

#[test]
fn every_document_is_there_whatever_is_in_the_way() {
    for (services, shared) in cases() {
        assert!(Catalogue::new(&services).is_err());
        let (catalogue, conflicts) = Catalogue::with_conflicts(&services);
        assert!(!conflicts.is_empty());
        let text = format!("{conflicts:?}");
        assert!(text.contains("src/services/service.rs:7"), "the places are named: {text}");
        for name in &shared {
            let is_named = |conflict: &&Conflict| matches!(conflict, Conflict::TypeName { name: told, .. } if told == name);
            assert_eq!(conflicts.iter().filter(is_named).count(), 1, "{conflicts:#?}");
            let hidden = catalogue.types()[*name].as_object().unwrap();
            assert_eq!(hidden.keys().collect::<Vec<_>>(), ["description"], "{name}");
        }
        for (name, schema) in catalogue.types() {
            let is_hidden = schema.get("type").is_none() && schema.get("properties").is_none();
            assert_eq!(is_hidden, shared.contains(&name.as_str()), "{name}: {schema}");
        }
        for (path, text) in catalogue.files() {
            assert!(!text.is_empty(), "{path}");
            if path.starts_with("types/") {
                assert_references_resolve(&serde_json::from_str(&text).unwrap());
            }
            // Every method is in every document of all services.
            let all = ["client.ts", "docs.html", "index.json", "openapi.json", "openrpc.json", "schema.md"];
            if all.contains(&path.as_str()) {
                for method in services.iter().flat_map(|service| service.methods) {
                    assert!(text.contains(method.name), "{} is not in {path}", method.name);
                }
            }
        }
        assert_references_resolve(&catalogue.openapi());
        assert!(catalogue.contract()["types"].is_object());
        // Nothing depends on chance.
        let (again, _) = Catalogue::with_conflicts(&services);
        assert_eq!(again.files(), catalogue.files());
        assert_eq!(again.fingerprint(), catalogue.fingerprint());
    }
}

#[test]
fn what_is_in_nobodys_way_is_as_it_was() {
    let alone =
        Catalogue::new(&[service(&[method("plain", schema_of::<Plain>, schema_of::<Plain>)])]).unwrap();
    for (services, _) in cases() {
        let (catalogue, _) = Catalogue::with_conflicts(&services);
        if let Some(plain) = catalogue.types().get("Plain").filter(|plain| plain.get("properties").is_some())
        {
            assert_eq!(plain, &alone.types()["Plain"]);
        }
        // The type that is called so on purpose, and not one that the generator called so.
        if let Some(meant) = catalogue.types().get("Page2") {
            assert_eq!(meant["properties"], json!({ "meant": { "type": "boolean" } }));
        }
    }
}

#[test]
fn a_name_belongs_to_the_first_method_that_claims_it() {
    static READ: MethodDescriptor = MethodDescriptor { name: "get", aliases: &["read"], ..METHOD };
    let kv = service(&[&READ, method("put", schema_of::<Plain>, schema_of::<()>)]);
    let other = service(&[
        method("read", schema_of::<()>, schema_of::<()>),
        method("get/it", schema_of::<()>, schema_of::<()>),
        method("free", schema_of::<()>, schema_of::<Plain>),
    ]);
    let (catalogue, conflicts) = Catalogue::with_conflicts(&[kv, other, kv]);
    let methods: Vec<_> =
        catalogue.services().iter().flat_map(|service| service.methods).map(|it| it.name).collect();
    assert_eq!(methods, ["get", "put", "free"]);
    assert_eq!(
        conflicts.len(),
        5,
        "`read`, `get/it`, and `get`, `read` and `put` of the service that comes twice"
    );
    let openapi = catalogue.openapi();
    let paths: Vec<_> = openapi["paths"].as_object().unwrap().keys().collect();
    assert!(!paths.is_empty() && openapi["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{paths:?}");
}

#[test]
fn without_conflicts_nothing_changes() {
    let services = [service(&[method("plain", schema_of::<Plain>, schema_of::<Holder>)])];
    let (catalogue, conflicts) = Catalogue::with_conflicts(&services);
    assert_eq!(conflicts, []);
    assert_eq!(catalogue.files(), Catalogue::new(&services).unwrap().files());
    assert_ne!(catalogue.types()["Holder"], Value::Null);
}
