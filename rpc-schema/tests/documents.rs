//! The documents made from a catalogue, on one small service that has something of everything.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "types are looked at only through their schemas")]

mod common;

use common::small::{KV, KvError, PutArgs, kv};
use common::{METHOD, SERVICE, assert_references_resolve};
use expect_test::expect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, Idempotency, MethodDescriptor, Parameters, ServiceDescriptor, schema_of};

#[derive(Serialize, Deserialize, JsonSchema)]
struct OutOfOrder {
    #[serde(default)]
    may: u32,
    must: (u64, KvError),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Shape {
    Round { radius: f64 },
    Flat,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Drawing {
    title: String,
    #[serde(flatten)]
    shape: Shape,
}

/// The OpenRPC method of a service with this method alone.
fn openrpc_method(method: MethodDescriptor) -> Value {
    let catalogue = common::catalogue(&[Box::leak(Box::new(method))]);
    let document = catalogue.openrpc();
    assert_references_resolve(&document);
    document["methods"][0].clone()
}

#[test]
fn openrpc_tells_a_method_with_all_its_attributes() {
    let document = kv().openrpc();
    assert_references_resolve(&document);
    assert_eq!(document["openrpc"], "1.4.1");
    assert_eq!(document["info"]["title"], "Kv");
    expect![[r##"
        {
          "name": "kv.put",
          "tags": [
            {
              "name": "Kv"
            }
          ],
          "summary": "Writes a key if its version is the one given.",
          "description": "Writes a key if its version is the one given.\n\nAn absent key has version 0.",
          "paramStructure": "either",
          "params": [
            {
              "name": "key",
              "description": "The key, which may not be empty.",
              "required": true,
              "schema": {
                "type": "string",
                "description": "The key, which may not be empty."
              }
            },
            {
              "name": "value",
              "required": true,
              "schema": {
                "type": "string"
              }
            },
            {
              "name": "version",
              "description": "The version that is to be replaced.",
              "required": false,
              "schema": {
                "type": "integer",
                "format": "uint64",
                "minimum": 0,
                "description": "The version that is to be replaced.",
                "default": 0
              }
            }
          ],
          "result": {
            "name": "reply",
            "schema": {
              "$ref": "#/components/schemas/PutReply"
            }
          },
          "errors": [
            {
              "$ref": "#/components/errors/ParseError"
            },
            {
              "$ref": "#/components/errors/InvalidRequest"
            },
            {
              "$ref": "#/components/errors/MethodNotFound"
            },
            {
              "$ref": "#/components/errors/InvalidParams"
            },
            {
              "$ref": "#/components/errors/InternalError"
            },
            {
              "$ref": "#/components/errors/CallFailed"
            }
          ],
          "deprecated": true,
          "x-deprecated": "use kv.write",
          "x-service": "Kv",
          "x-compat": "full",
          "x-idempotency": "idempotent",
          "x-timeout-ms": 2000,
          "x-aliases": [
            "kv.set"
          ]
        }"##]]
    .assert_eq(&format!("{:#}", document["methods"][0]));
    let schemas: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(schemas, ["KvError", "PutArgs", "PutReply"]);
    let errors = document["components"]["errors"].as_object().unwrap();
    let codes: Vec<i64> = errors.values().map(|error| error["code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [-32700, -32600, -32601, -32602, -32603, -32000]);
}

#[test]
fn openrpc_gives_a_message_that_is_no_object_one_position() {
    let method = openrpc_method(MethodDescriptor {
        arguments: schema_of::<Vec<String>>,
        reply: schema_of::<u64>,
        error: Some(schema_of::<KvError>),
        ..METHOD
    });
    assert_eq!(method["paramStructure"], "by-position");
    let schema = json!({ "type": "array", "items": { "type": "string" } });
    assert_eq!(method["params"], json!([{ "name": "message", "required": true, "schema": schema }]));
    assert_eq!(method["result"]["schema"]["format"], "uint64");
    assert_eq!(method["x-error"], json!({ "$ref": "#/components/schemas/KvError" }));

    let unit = openrpc_method(METHOD);
    assert_eq!(unit["params"][0]["schema"], json!({ "type": "null" }));
    assert_eq!(unit["result"], json!({ "name": "reply", "schema": { "type": "null" } }));
    let tagged = openrpc_method(MethodDescriptor { arguments: schema_of::<Shape>, ..METHOD });
    assert_eq!(tagged["params"][0]["schema"], json!({ "$ref": "#/components/schemas/Shape" }));
}

#[test]
fn openrpc_lists_optional_parameters_last_as_the_specification_wants() {
    let method = openrpc_method(MethodDescriptor { arguments: schema_of::<OutOfOrder>, ..METHOD });
    assert_eq!(method["paramStructure"], "by-name");
    assert_eq!(method["params"][0]["name"], "must");
    assert_eq!(method["params"][1]["name"], "may");
    let tuple = &method["params"][0]["schema"];
    assert_eq!(tuple["items"][1], json!({ "$ref": "#/components/schemas/KvError" }));
    assert_eq!(tuple.get("prefixItems"), None);
}

#[test]
fn openrpc_has_the_whole_message_where_parameters_do_not_tell_it_all() {
    let method = openrpc_method(MethodDescriptor { arguments: schema_of::<Drawing>, ..METHOD });
    assert_eq!(method["paramStructure"], "by-name");
    assert_eq!(method["params"].as_array().unwrap().len(), 1);
    assert_eq!(method["x-message"], json!({ "$ref": "#/components/schemas/Drawing" }));
}

#[test]
fn openrpc_has_no_parameters_for_an_empty_message() {
    #[derive(JsonSchema)]
    struct Empty {}
    let parameters = Parameters::Fields(&[]);
    let method = openrpc_method(MethodDescriptor { parameters, arguments: schema_of::<Empty>, ..METHOD });
    assert_eq!((&method["params"], &method["paramStructure"]), (&json!([]), &json!("either")));
}

#[test]
fn the_index_lists_services_methods_and_types() {
    let catalogue = kv();
    let mut index = catalogue.index();
    assert_eq!(index["fingerprint"].take(), json!(catalogue.fingerprint()));
    let listed: Vec<&str> =
        index["types"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(listed, catalogue.document_names().into_iter().collect::<Vec<_>>());
    assert_eq!(
        index["types"][0],
        json!({
            "name": "KvError",
            "description": "Why a key was not written.",
            "href": "_schema/types/KvError.json",
        })
    );
    let methods = index["services"][0]["methods"].take();
    expect![[r#"
        {
          "name": "Kv",
          "prefix": "kv",
          "docs": "A key-value store.",
          "compat": "full",
          "internal": false,
          "fingerprint": "000000000000feed",
          "reserved": [
            "kv.old"
          ],
          "methods": null
        }"#]]
    .assert_eq(&format!("{:#}", index["services"][0]));
    expect![[r#"
        {
          "name": "kv.put",
          "aliases": [
            "kv.set"
          ],
          "docs": "Writes a key if its version is the one given.\n\nAn absent key has version 0.",
          "deprecated": "use kv.write",
          "idempotency": "idempotent",
          "timeout_ms": 2000,
          "retries": 3,
          "hedge_ms": null,
          "detach": true,
          "parameters": [
            "key",
            "value",
            "version"
          ],
          "arguments": {
            "type": "PutArgs",
            "href": "_schema/types/PutArgs.json"
          },
          "reply": {
            "type": "PutReply",
            "href": "_schema/types/PutReply.json"
          },
          "error": null
        }"#]]
    .assert_eq(&format!("{:#}", methods[0]));
    assert_eq!(methods[1]["parameters"], json!(null));
    assert_eq!(methods[1]["error"]["type"], "KvError");
    assert_eq!(methods[2]["reply"]["href"], "_schema/types/kv.sync.reply.json");
}

#[test]
fn files_are_the_same_each_time_and_are_the_documents() {
    let files = kv().files();
    assert_eq!(files, kv().files());
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    expect![[r#"
        [
            "client.ts",
            "docs.html",
            "index.json",
            "openapi.json",
            "openrpc.json",
            "schema.md",
            "types/KvError.json",
            "types/PutArgs.json",
            "types/PutReply.json",
            "types/kv.count.arguments.json",
            "types/kv.count.reply.json",
            "types/kv.sync.arguments.json",
            "types/kv.sync.reply.json",
        ]"#]]
    .assert_eq(&format!("{paths:#?}"));
    for (path, text) in &files {
        assert!(text.ends_with('\n'), "{path}");
        if !path.ends_with(".json") {
            continue;
        }
        let document: Value = serde_json::from_str(text).unwrap();
        assert_references_resolve(&document);
        if let Some(name) = path.strip_prefix("types/") {
            assert_eq!(Some(document), kv().type_document(name.strip_suffix(".json").unwrap()));
        }
    }
}

#[test]
fn a_method_in_plain_text() {
    let catalogue = kv();
    expect![[r#"
        kv.put(key: string, value: string, version?: integer) -> PutReply
          Kv | idempotent | timeout 2000 ms | retries 3 | compat full | also kv.set | deprecated: use kv.write

        Writes a key if its version is the one given.

        An absent key has version 0.

        Arguments: PutArgs
          What to write where.
            key: string
                The key, which may not be empty.
            value: string
            version?: integer, uint64, default 0
                The version that is to be replaced.
          {
            "key": "string",
            "value": "string",
            "version": 0
          }

        Reply: PutReply
            version: integer, uint64
            err: KvError | null
          {
            "version": 0,
            "err": null
          }

        A call that fails is answered with an HTTP status and a code that goes with it, such as 400 and
          {"code":"invalid_argument","message":"what is wrong","details":[{"executed":"no"}]}

        Types:
          KvError
            Why a key was not written.
              "NoKey"
              "Version"

        curl -X POST 'http://127.0.0.1:7101/kv.put' -H 'Content-Type: application/json' -d '{"key":"string","value":"string","version":0}'
    "#]].assert_eq(&catalogue.show("kv.put", "http://127.0.0.1:7101/").unwrap());
    expect![[r#"
        kv.count(list of string) -> integer or KvError
          Kv | read only | hedged after 20 ms | compat full

        Counts keys.

        Arguments:
            list of string
          [
            "string"
          ]

        Reply:
            integer
          0

        Error: KvError
          Why a key was not written.
            "NoKey"
            "Version"
          "NoKey"

        A call that fails is answered with an HTTP status and a code that goes with it, such as 400 and
          {"code":"invalid_argument","message":"what is wrong"}
        and with the method's own error as
          {"code":"failed_precondition","message":"the method answered with an error of its own","details":[{"error":"NoKey"}]}

        curl -X POST 'http://127.0.0.1:7101/kv.count' -H 'Content-Type: application/json' -d '["string"]'
    "#]]
    .assert_eq(&catalogue.show("kv.count", "http://127.0.0.1:7101").unwrap());
    assert_eq!(catalogue.show("kv.set", "http://a"), catalogue.show("kv.put", "http://a"));
    assert_eq!(catalogue.show("kv.get", "http://a"), None);
}

#[test]
fn quotes_in_examples_do_not_end_the_shells_word() {
    #[derive(JsonSchema)]
    struct Quoted {
        #[schemars(example = &"it's")]
        text: String,
    }
    static SAY: MethodDescriptor = MethodDescriptor { name: "say", arguments: schema_of::<Quoted>, ..METHOD };
    let text = common::catalogue(&[&SAY]).show("say", "http://a").unwrap();
    assert!(text.ends_with("-d '{\"text\":\"it'\\''s\"}'\n"), "{text}");
}

mod changed {
    //! `PutArgs` again, with changes that a fingerprint must see and such that it must not.

    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "PutArgs")]
    pub(crate) struct OtherWords {
        /// Other words.
        key: String,
        value: String,
        /// Still other words.
        #[serde(default)]
        version: u64,
    }

    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "PutArgs")]
    pub(crate) struct OtherOrder {
        value: String,
        key: String,
        #[serde(default)]
        version: u64,
    }

    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "PutArgs")]
    pub(crate) struct OtherRequired {
        key: String,
        value: String,
        version: u64,
    }

    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "PutArgs")]
    pub(crate) struct OtherType {
        key: String,
        value: String,
        #[serde(default)]
        version: i64,
    }
}

#[test]
fn the_fingerprint_is_of_promises_not_of_words() {
    const BASE: MethodDescriptor =
        MethodDescriptor { name: "put", aliases: &["a", "b"], arguments: schema_of::<PutArgs>, ..METHOD };
    let of = |method: MethodDescriptor| common::catalogue(&[Box::leak(Box::new(method))]).fingerprint();
    let base = of(BASE);
    assert_eq!(base.len(), 32);
    let same = [
        MethodDescriptor { docs: "Other words.", ..BASE },
        MethodDescriptor { aliases: &["b", "a"], ..BASE },
        MethodDescriptor { arguments: schema_of::<changed::OtherWords>, ..BASE },
        MethodDescriptor { deprecated: Some("soon"), timeout_ms: Some(1), ..BASE },
    ];
    for (index, method) in same.into_iter().enumerate() {
        assert_eq!(of(method), base, "change {index} is none");
    }
    let other = [
        MethodDescriptor { name: "write", ..BASE },
        MethodDescriptor { aliases: &["a"], ..BASE },
        MethodDescriptor { idempotency: Idempotency::ReadOnly, ..BASE },
        MethodDescriptor { reply: schema_of::<u64>, ..BASE },
        MethodDescriptor { error: Some(schema_of::<u64>), ..BASE },
        MethodDescriptor { arguments: schema_of::<changed::OtherOrder>, ..BASE },
        MethodDescriptor { arguments: schema_of::<changed::OtherRequired>, ..BASE },
        MethodDescriptor { arguments: schema_of::<changed::OtherType>, ..BASE },
    ];
    for (index, method) in other.into_iter().enumerate() {
        assert_ne!(of(method), base, "change {index} is one");
    }
}

#[test]
fn the_fingerprint_does_not_depend_on_the_order_of_services() {
    static OTHER: ServiceDescriptor =
        ServiceDescriptor { name: "Other", methods: &[&METHOD_ONLY], ..SERVICE };
    static METHOD_ONLY: MethodDescriptor = MethodDescriptor { name: "only", ..METHOD };
    let fingerprint =
        |services: &[&'static ServiceDescriptor]| Catalogue::new(services).unwrap().fingerprint();
    assert_eq!(fingerprint(&[&KV, &OTHER]), fingerprint(&[&OTHER, &KV]));
    assert_ne!(fingerprint(&[&KV, &OTHER]), fingerprint(&[&KV]));
}

/// A catalogue with two internal services around a public one, in this order.
fn with_internal_services() -> Catalogue {
    const PEERS: ServiceDescriptor = ServiceDescriptor { is_internal: true, ..SERVICE };
    static FIRST: ServiceDescriptor = ServiceDescriptor {
        name: "Gossip",
        methods: &[&MethodDescriptor { name: "gossip.tell", docs: "Tells peers.", ..METHOD }],
        ..PEERS
    };
    static SECOND: ServiceDescriptor = ServiceDescriptor {
        name: "Shop",
        methods: &[&MethodDescriptor { name: "shop.buy", docs: "Buys.", ..METHOD }],
        ..SERVICE
    };
    static THIRD: ServiceDescriptor = ServiceDescriptor {
        name: "Audit",
        methods: &[&MethodDescriptor { name: "audit.note", docs: "Notes.", ..METHOD }],
        ..PEERS
    };
    Catalogue::new(&[&FIRST, &SECOND, &THIRD]).unwrap()
}

#[test]
fn internal_services_come_last_in_every_document_and_are_marked() {
    let catalogue = with_internal_services();
    for (path, text) in catalogue.files() {
        let at = |name: &str| text.find(name);
        let (Some(public), Some(first), Some(second)) = (at("shop.buy"), at("gossip.tell"), at("audit.note"))
        else {
            assert!(path.starts_with("types/"), "{path} lacks a method");
            continue;
        };
        assert!(public < first && first < second, "{path}");
        assert!(text.to_lowercase().contains("internal"), "{path} does not mark internal services");
    }
    let openapi = catalogue.openapi();
    let is_internal = |path: &str| openapi["paths"][path]["post"]["x-internal"].clone();
    assert_eq!(
        ["/shop.buy", "/gossip.tell", "/audit.note"].map(is_internal),
        [json!(null), json!(true), json!(true)]
    );
    assert_eq!(openapi["info"]["title"], "Shop");
    assert_eq!(catalogue.openrpc()["info"]["title"], "Shop");
    assert_eq!(catalogue.openrpc()["methods"][1]["x-internal"], true);
    assert_eq!(catalogue.index()["services"][1]["internal"], true);
    assert_eq!(catalogue.index()["services"][0]["internal"], false);
    assert!(catalogue.show("audit.note", "http://x").unwrap().contains("internal"));
}

#[test]
fn the_page_folds_internal_services_and_offers_no_form_for_them() {
    let page = with_internal_services().html();
    assert!(page.contains("<title>Shop API</title>") && page.contains("<h1>Shop</h1>"));
    let article = |method: &str| {
        let (_, rest) =
            page.split_once(&format!("<article class=\"method\" id=\"method-{method}\"")).unwrap();
        rest.split_once("</article>").unwrap().0
    };
    assert!(article("shop.buy").contains("class=\"try\""));
    assert!(
        !article("gossip.tell").contains("class=\"try\"") && !article("audit.note").contains("class=\"try\"")
    );
    let (public, internal) = page.split_once("id=\"service-Gossip\"").unwrap();
    assert!(!public.split_once("<main").unwrap().1.contains("<details"));
    assert_eq!(internal.matches("<details class=\"internal\"").count(), 2);
}

/// A catalogue of nothing but internal services is still called by their names.
#[test]
fn documents_of_internal_services_alone_have_a_title() {
    static ONLY: ServiceDescriptor =
        ServiceDescriptor { name: "Gossip", is_internal: true, methods: &[&METHOD], ..SERVICE };
    assert_eq!(Catalogue::new(&[&ONLY]).unwrap().openrpc()["info"]["title"], "Gossip");
}

/// Where a server counts bytes, no document speaks of characters.
#[test]
fn lengths_are_told_in_what_is_counted() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Lengths {
        #[schemars(length(min = 2, max = 4), extend("x-length-unit" = "bytes"))]
        name: String,
        #[schemars(length(max = 3))]
        title: String,
    }
    let method: &'static MethodDescriptor =
        Box::leak(Box::new(MethodDescriptor { arguments: schema_of::<Lengths>, ..METHOD }));
    let catalogue = common::catalogue(&[method]);
    for text in [catalogue.html(), catalogue.markdown(), catalogue.show("method", "http://x").unwrap()] {
        assert!(text.contains("2 to 4 bytes") && text.contains("at most 3 characters"), "{text}");
    }
    let document = catalogue.type_document("Lengths").unwrap();
    let wrong = |name: &str, title: &str| -> Vec<String> {
        let misfits = traitwire_schema::check(&document, &json!({ "name": name, "title": title })).unwrap();
        misfits.iter().map(ToString::to_string).collect()
    };
    assert_eq!(wrong("éé", "ééé"), Vec::<String>::new());
    assert!(wrong("ééé", "")[0].contains("2 to 4 bytes, not 6"));
    assert!(wrong("é", "éééé")[0].contains("at most 3 characters, not 4"));
}

/// The page knows in which field a reply says that it refuses, so that it does not show a refusal as a success.
#[test]
fn the_page_knows_where_a_reply_refuses() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Reply {
        error: Option<Why>,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Why {
        error: String,
    }
    let field = |reply| {
        let method: &'static MethodDescriptor = Box::leak(Box::new(MethodDescriptor { reply, ..METHOD }));
        let page = common::catalogue(&[method]).html();
        let (_, rest) = page.split_once(" data-refusal=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    assert_eq!(field(schema_of::<Reply>).as_deref(), Some("error"));
    assert_eq!(field(schema_of::<Result<u8, Why>>).as_deref(), Some("Err"));
    assert_eq!(field(schema_of::<Why>), None);
    assert_eq!(field(schema_of::<Option<u8>>), None);
}
