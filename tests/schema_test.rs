//! Every method that is served is in every document, and the documents that are checked in are fresh.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use traitwire::{Code, RpcClient, Server};
use traitwire_kv::index::SERVICES;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;
use traitwire_schema::Catalogue;

/// What to run when a document is not fresh.
const REGENERATE: &str = "cargo run -- schema export rpc-schema/schemas";

#[test]
fn the_documents_that_are_checked_in_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rpc-schema/schemas");
    let mut expected = BTreeSet::new();
    for (path, text) in Catalogue::new(SERVICES).unwrap().files() {
        let found = std::fs::read_to_string(folder.join(&path)).unwrap_or_default();
        assert!(found == text, "{path} is not fresh: run `{REGENERATE}`");
        expected.insert(folder.join(path));
    }
    for below in [folder.clone(), folder.join("types")] {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || expected.contains(&path), "{} belongs to no method", path.display());
        }
    }
}

#[test]
fn every_method_and_every_document_is_described() {
    let catalogue = Catalogue::new(SERVICES).unwrap();
    for service in catalogue.services() {
        for method in service.methods {
            assert!(!method.docs.trim().is_empty(), "`{}` has no doc comment", method.name);
            let docs = method.docs.lines().next().unwrap();
            let text = catalogue.show(method.name, "http://x").unwrap();
            assert!(text.contains(docs), "{text}");
            for (path, text) in catalogue.files().iter().filter(|(path, _)| !path.starts_with("types/")) {
                assert!(
                    text.contains(method.name) && text.contains(&escaped(path, docs)),
                    "{path}: {}",
                    method.name
                );
            }
        }
    }
    for (name, schema) in catalogue.types() {
        assert!(schema.get("description").is_some(), "the type `{name}` has no doc comment");
    }
    let count = SERVICES.iter().map(|service| service.methods.len()).sum::<usize>();
    assert_eq!(catalogue.openrpc()["methods"].as_array().unwrap().len(), count);
    assert_eq!(catalogue.openapi()["paths"].as_object().unwrap().len(), count);
}

/// `docs` as a document of this name holds them.
fn escaped(path: &str, docs: &str) -> String {
    match path {
        "docs.html" => docs.replace('&', "&amp;").replace('\'', "&#39;").replace('"', "&quot;"),
        _ if path.ends_with(".json") => json!(docs).to_string().trim_matches('"').to_owned(),
        _ => docs.to_owned(),
    }
}

/// The statuses in documents are those that a server answers with.
#[test]
fn the_error_table_is_the_runtimes() {
    let openapi = Catalogue::new(SERVICES).unwrap().openapi();
    let schema = &openapi["components"]["schemas"]["rpc.Code"]["enum"];
    let codes: Vec<Code> = serde_json::from_value(schema.clone()).unwrap();
    assert_eq!(codes.len(), 16);
    for code in codes {
        let name = format!("error.{}.read", code.http_status().as_u16());
        let listed = openapi["components"]["responses"][&name]["x-codes"].as_array().unwrap();
        assert!(listed.contains(&json!(code.as_str())), "{code} is not in {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_with_their_types_and_the_page_with_its_policy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, KvServer::new(SingleKvServer::new()), std::future::pending()));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let catalogue = Catalogue::new(&KvServer::new(SingleKvServer::new()).services()).unwrap();
    for (path, content_type, text) in [
        ("openapi.json", "application/json", catalogue.openapi().to_string()),
        ("client.ts", "text/typescript; charset=utf-8", catalogue.typescript()),
        ("schema.md", "text/markdown; charset=utf-8", catalogue.markdown()),
        ("docs", "text/html; charset=utf-8", catalogue.html()),
    ] {
        let response = http.get(format!("{url}/_schema/{path}")).send().await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(
            (response.status().as_u16(), &headers["content-type"]),
            (200, &content_type.parse().unwrap())
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers.contains_key("content-security-policy"), path == "docs");
        assert!(response.text().await.unwrap() == text, "{path}");
        let head = http.head(format!("{url}/_schema/{path}")).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], text.len().to_string().as_str());
    }
    let page = http.get(format!("{url}/_schema/docs")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    for rule in ["default-src 'none'", "script-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_shows_its_documents() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, KvServer::new(SingleKvServer::new()), std::future::pending()));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let response = http.get(format!("{url}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let health = http.get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "ok\n"));
    let (status, openrpc) = get("/_schema/openrpc.json").await;
    assert_eq!((status, &openrpc["methods"][0]["name"]), (200, &json!("get")));
    let (status, index) = get("/_schema").await;
    assert_eq!((status, &index["services"][0]["name"]), (200, &json!("Kv")));
    assert_eq!(get("/_schema/types/PutArgs.json").await.0, 200);
    assert_eq!(get("/_schema/fingerprint").await.0, 200);
    assert_eq!(get("/_schema/types/Nothing.json").await.1["code"], "not_found");
    assert_eq!(get("/get").await.0, 405);
    let discovered: Value = http
        .post(&url)
        .json(&json!({"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(discovered["result"], openrpc);
    // By position, the fields come in the order of the message; an array where the object belongs is refused.
    let call = |params: Value| json!({"jsonrpc": "2.0", "method": "put", "params": params, "id": 1});
    let put: Value =
        http.post(&url).json(&call(json!(["k", "v", 0]))).send().await.unwrap().json().await.unwrap();
    assert_eq!(put["result"], json!({"version": 1, "err": null}));
    let put: Value =
        http.post(&url).json(&call(json!(["k", "v", 0, 1]))).send().await.unwrap().json().await.unwrap();
    assert_eq!(put["error"]["code"], -32602);
    let client = RpcClient::new(url.clone(), 0);
    assert!(client.try_call::<_, Value>("put", &json!(["k", "v", 1])).await.is_err());
}
