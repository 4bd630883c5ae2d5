//! The OpenAPI and OpenRPC documents keep to the official meta-schemas, and their schemas accept what is sent.
#![allow(clippy::unwrap_used)]

mod common;

use common::awkward::awkward;
use common::hard::{hard, samples};
use common::many::many;
use common::small::kv;
use common::{METHOD, assert_references_resolve, catalogue};
use expect_test::expect_file;
use jsonschema::{Draft, Registry, Validator};
use schemars::JsonSchema;
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, MethodDescriptor, schema_of};

fn meta(name: &str) -> Value {
    let path = format!("{}/tests/meta/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A validator of whole OpenAPI documents, the schemas in them included.
fn openapi_validator() -> Validator {
    let known = [
        ("https://spec.openapis.org/oas/3.1/schema/2022-10-07", meta("openapi-3.1-schema")),
        ("https://spec.openapis.org/oas/3.1/dialect/base", meta("openapi-3.1-dialect")),
        ("https://spec.openapis.org/oas/3.1/meta/base", meta("openapi-3.1-vocabulary")),
    ];
    // As the official `schema-base` does, this says which dialect the schemas inside keep to.
    let base = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "https://spec.openapis.org/oas/3.1/schema/2022-10-07",
        "$defs": {
            "schema": { "$dynamicAnchor": "meta", "$ref": "https://spec.openapis.org/oas/3.1/dialect/base" }
        }
    });
    validator(&base, known)
}

fn openrpc_validator() -> Validator {
    let mut draft07 = meta("json-schema-tools-1.8");
    // Its dialect is itself: what it is written in is Draft-07.
    draft07["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    let mut openrpc = meta("openrpc-1.4-schema");
    openrpc["$schema"] = draft07["$schema"].clone();
    validator(
        &openrpc,
        [("https://meta.json-schema.tools/", draft07.clone()), ("https://meta.json-schema.tools", draft07)],
    )
}

fn validator<'a>(schema: &Value, known: impl IntoIterator<Item = (&'a str, Value)>) -> Validator {
    let registry = Registry::new().extend(known).unwrap().prepare().unwrap();
    jsonschema::options().with_registry(&registry).build(schema).unwrap()
}

/// A validator of what the component `name` of an OpenAPI document describes.
fn component(document: &Value, name: &str, draft: Draft) -> Validator {
    let mut schema = document.clone();
    schema["$ref"] = json!(format!("#/components/schemas/{name}"));
    jsonschema::options().with_draft(draft).build(&schema).unwrap()
}

/// A validator of `schema`, which stands somewhere in an OpenAPI document.
fn inline(document: &Value, schema: &Value) -> Validator {
    let mut whole = document.clone();
    for (keyword, value) in schema.as_object().unwrap() {
        whole[keyword] = value.clone();
    }
    jsonschema::options().with_draft(Draft::Draft202012).build(&whole).unwrap()
}

#[track_caller]
fn check(validator: &Validator, document: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn all() -> [Catalogue; 4] {
    [kv(), hard(), many(), awkward()]
}

#[test]
fn openapi_documents_keep_to_the_meta_schema() {
    let validator = openapi_validator();
    for catalogue in all() {
        let document = catalogue.openapi();
        assert_references_resolve(&document);
        check(&validator, &document);
    }
    // The meta-schema is not one that takes everything, and reaches the schemas inside.
    let mut document = kv().openapi();
    document["components"]["schemas"]["PutArgs"]["properties"]["key"]["minLength"] = json!("one");
    assert!(!validator.is_valid(&document));
    let mut document = kv().openapi();
    document["paths"]["/kv.put"]["post"]["responses"]["200"]["description"].take();
    assert!(!validator.is_valid(&document));
}

/// Where a generator of clients would stumble over `schema`: a boolean for a schema, or a `$ref` with siblings.
fn stumbling_blocks(schema: &Value, path: &str, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        found.push(format!("{path} is {schema}"));
        return;
    };
    if keywords.get("$ref").is_some() && keywords.len() > 1 {
        found.push(format!("{path} has a `$ref` with siblings"));
    }
    for (keyword, value) in keywords {
        let path = format!("{path}/{keyword}");
        match (keyword.as_str(), value) {
            ("additionalProperties" | "unevaluatedProperties", Value::Bool(false)) => {}
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter().for_each(|schema| stumbling_blocks(schema, &path, found));
            }
            ("properties" | "patternProperties" | "dependentSchemas" | "$defs", Value::Object(schemas)) => {
                for (name, schema) in schemas {
                    stumbling_blocks(schema, &format!("{path}/{name}"), found);
                }
            }
            (
                "items"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else"
                | "propertyNames"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "unevaluatedItems"
                | "contentSchema"
                | "additionalItems",
                schema,
            ) => stumbling_blocks(schema, &path, found),
            ("$ref", _) => {}
            // Tools follow references also where they are data.
            (_, data) if data.to_string().contains("\"$ref\":\"") => {
                found.push(format!("{path} holds a `$ref`"));
            }
            _ => {}
        }
    }
}

/// All contents of bodies in a part of an OpenAPI document, with their paths.
fn contents<'a>(part: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    for (name, value) in part.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        match name.as_str() {
            "application/json" => found.push((path, value)),
            "schemas" | "example" | "examples" => {}
            _ => contents(value, &path, found),
        }
    }
}

#[test]
fn generators_of_clients_stumble_over_no_schema_and_no_example() {
    for catalogue in all() {
        let document = catalogue.openapi();
        let mut found = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            stumbling_blocks(schema, name, &mut found);
        }
        let mut bodies = Vec::new();
        contents(&document, "", &mut bodies);
        assert!(bodies.len() > 20, "{}", bodies.len());
        for (path, content) in bodies {
            stumbling_blocks(&content["schema"], &path, &mut found);
            let examples = [&content["example"], &content["examples"]];
            if examples.iter().any(|example| example.to_string().contains("\"$ref\":\"")) {
                found.push(format!("{path} has an example with a `$ref`"));
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// `.ci/foreign` has generators of clients read these documents.
#[test]
fn documents_are_written_where_they_are_asked_for() {
    let Some(folder) = std::env::var_os("TRAITWIRE_DOCUMENTS") else { return };
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, catalogue) in ["small", "hard", "many", "awkward"].into_iter().zip(all()) {
        std::fs::write(folder.join(format!("{name}.json")), format!("{:#}", catalogue.openapi())).unwrap();
        std::fs::write(folder.join(format!("{name}.ts")), catalogue.typescript()).unwrap();
    }
}

#[test]
fn openrpc_documents_keep_to_the_meta_schema() {
    let validator = openrpc_validator();
    for catalogue in all() {
        let document = catalogue.openrpc();
        assert_references_resolve(&document);
        check(&validator, &document);
    }
    let mut document = kv().openrpc();
    document["components"]["schemas"]["PutArgs"]["type"] = json!("thing");
    assert!(!validator.is_valid(&document));
    let mut document = kv().openrpc();
    document["methods"][0]["paramStructure"] = json!("by-luck");
    assert!(!validator.is_valid(&document));
}

#[test]
fn the_openapi_document_of_a_small_service() {
    expect_file!["golden/openapi.json"].assert_eq(&format!("{:#}\n", kv().openapi()));
}

#[test]
fn hard_types_accept_what_serde_writes_and_refuse_what_it_does_not_read() {
    let catalogue = hard();
    let documents = [(catalogue.openapi(), Draft::Draft202012), (catalogue.openrpc(), Draft::Draft7)];
    for sample in samples() {
        let (_, method) = catalogue.method(sample.method).unwrap();
        let name = &catalogue.messages(method).arguments.document;
        let own = jsonschema::validator_for(&catalogue.type_document(name).unwrap()).unwrap();
        let mut validators: Vec<Validator> =
            documents.iter().map(|(document, draft)| component(document, name, *draft)).collect();
        validators.push(own);
        for validator in &validators {
            sample.values.iter().for_each(|value| check(validator, value));
            for value in &sample.wrong {
                assert!(!validator.is_valid(value), "{value} is refused by {name}, and not by its schema");
            }
        }
    }
}

#[test]
fn examples_are_valid() {
    for catalogue in [kv(), hard()] {
        let document = catalogue.openapi();
        let operations = document["paths"].as_object().unwrap().values().map(|item| &item["post"]);
        let bodies = operations.clone().map(|operation| &operation["requestBody"]);
        let responses = operations.flat_map(|operation| operation["responses"].as_object().unwrap().values());
        let shared = document["components"]["responses"].as_object().unwrap().values();
        let mut count = 0;
        for holder in bodies.chain(responses).chain(shared).filter(|holder| holder.get("$ref").is_none()) {
            let content = &holder["content"]["application/json"];
            let validator = inline(&document, &content["schema"]);
            let several = content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
            for example in several.map(|example| &example["value"]).chain(content.get("example")) {
                check(&validator, example);
                count += 1;
            }
        }
        assert!(count > 10);
    }
}

#[test]
fn a_methods_own_error_stands_in_its_response() {
    let document = hard().openapi();
    let operation = &document["paths"]["/hard.assorted_things"]["post"];
    let validator =
        inline(&document, &operation["responses"]["400"]["content"]["application/json"]["schema"]);
    let error = |error: Value| json!({ "code": "failed_precondition", "message": "", "details": [{ "error": error }] });
    check(&validator, &error(json!("Broken")));
    check(&validator, &error(json!({ "Missing": 3 })));
    assert!(!validator.is_valid(&error(json!("Other"))));
    let codes = operation["responses"]["400"]["x-codes"].as_array().unwrap();
    assert!(codes.contains(&json!("failed_precondition")) && !codes.contains(&json!("unavailable")));
}

#[test]
fn an_error_of_a_method_that_changes_state_says_whether_it_was_executed() {
    let document = kv().openapi();
    let change = component(&document, "rpc.ErrorOfChange", Draft::Draft202012);
    let error = |details: Value| json!({ "code": "unavailable", "message": "", "details": details });
    check(&change, &error(json!([{ "executed": "unknown" }, 7])));
    for wrong in [json!([]), json!([7]), json!([{ "executed": "perhaps" }])] {
        assert!(!change.is_valid(&error(wrong.clone())), "{wrong}");
    }
    assert!(!change.is_valid(&json!({ "code": "unavailable", "message": "" })));
    let read = component(&document, "rpc.Error", Draft::Draft202012);
    check(&read, &json!({ "code": "unavailable", "message": "" }));
    assert!(!read.is_valid(&json!({ "code": "unheard_of", "message": "" })));
    let kinds = |path: &str| document["paths"][path]["post"]["responses"]["503"]["$ref"].clone();
    assert_eq!(kinds("/kv.put"), "#/components/responses/error.503.change");
    assert_eq!(kinds("/kv.count"), "#/components/responses/error.503.read");
}

#[test]
fn a_body_may_be_left_out_where_an_empty_object_is_right() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Optional {
        limit: Option<u64>,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    #[serde(untagged)]
    enum Either {
        Optional(Optional),
        Number(u64),
    }
    let is_required = |arguments| {
        let method: &'static MethodDescriptor = Box::leak(Box::new(MethodDescriptor { arguments, ..METHOD }));
        catalogue(&[method]).openapi()["paths"]["/method"]["post"]["requestBody"]["required"].clone()
    };
    assert_eq!(is_required(schema_of::<Optional>), json!(false));
    assert_eq!(is_required(schema_of::<Either>), json!(false));
    assert_eq!(is_required(schema_of::<std::collections::BTreeMap<String, u64>>), json!(false));
    assert_eq!(is_required(schema_of::<u64>), json!(true));
    assert_eq!(is_required(schema_of::<common::small::PutArgs>), json!(true));
}
