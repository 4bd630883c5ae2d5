//! The documents that a server shows of itself. What they are made of is derived when the server starts, which also finds the
//! names that are in each other's way; they are written once, when one is first asked for.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, ServiceDescriptor, html_policy};

/// What a server shows of itself.
pub(super) struct Documents {
    catalogue: Catalogue,
    written: OnceLock<Written>,
}

/// Every document, by its path.
struct Written {
    by_path: HashMap<String, Document>,
    openrpc: Bytes,
}

/// A document as it is sent.
#[derive(Clone)]
pub(super) struct Document {
    content_type: &'static str,
    text: Bytes,
    /// What a page may do: its Content-Security-Policy.
    policy: Option<HeaderValue>,
}

impl Documents {
    /// The documents of `services`. Names that are in each other's way are logged: the documents say less about them, and as
    /// much as ever about everything else.
    pub(super) fn new(services: &[&'static ServiceDescriptor]) -> Self {
        let (catalogue, conflicts) = Catalogue::with_conflicts(services);
        for conflict in conflicts {
            tracing::warn!("the documents of this server are incomplete: {conflict}");
        }
        Self { catalogue, written: OnceLock::new() }
    }

    fn written(&self) -> &Written {
        self.written.get_or_init(|| Written::new(&self.catalogue))
    }

    /// What `GET /_schema` and the paths below it give; nothing where there is no such document.
    pub(super) fn at(&self, path: &str) -> Option<&Document> {
        self.written().by_path.get(path)
    }

    /// The OpenRPC document as JSON.
    pub(super) fn openrpc(&self) -> &Bytes {
        &self.written().openrpc
    }
}

impl Written {
    fn new(catalogue: &Catalogue) -> Self {
        let openrpc = Bytes::from(catalogue.openrpc().to_string());
        let mut by_path: HashMap<String, Document> = catalogue
            .document_names()
            .into_iter()
            .filter_map(|name| {
                Some((format!("_schema/types/{name}.json"), json(&catalogue.type_document(name)?)))
            })
            .collect();
        by_path.extend(
            [
                ("_schema", json(&catalogue.index())),
                ("_schema/openrpc.json", Document { text: openrpc.clone(), ..json(&Value::Null) }),
                ("_schema/openapi.json", json(&catalogue.openapi())),
                ("_schema/contract.json", json(&catalogue.contract())),
                ("_schema/fingerprint", json(&json!({ "fingerprint": catalogue.fingerprint() }))),
                ("_schema/docs", page(catalogue.html())),
                ("_schema/client.ts", plain("text/typescript; charset=utf-8", catalogue.typescript())),
                ("_schema/schema.md", plain("text/markdown; charset=utf-8", catalogue.markdown())),
            ]
            .map(|(path, document)| (path.to_owned(), document)),
        );
        Self { by_path, openrpc }
    }
}

impl Document {
    /// The response that brings it.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(policy) = &self.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        response
    }
}

fn json(document: &Value) -> Document {
    plain("application/json", document.to_string())
}

fn plain(content_type: &'static str, text: String) -> Document {
    Document { content_type, text: Bytes::from(text), policy: None }
}

fn page(text: String) -> Document {
    // That no other page may frame this one cannot be said inside of it.
    let policy = format!("{}; frame-ancestors 'none'", html_policy());
    let policy = HeaderValue::from_str(&policy).expect("a policy is made of printable letters");
    Document { policy: Some(policy), ..plain("text/html; charset=utf-8", text) }
}
