//! The documents that a server shows of itself, made once, when they are first asked for.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use traitwire_schema::{Catalogue, ServiceDescriptor};

use crate::error::{Code, RpcError, RpcResult};

/// Every document, as text.
pub(super) struct Documents {
    pub(super) index: Bytes,
    pub(super) openrpc: Bytes,
    pub(super) fingerprint: Bytes,
    types: HashMap<String, Bytes>,
}

impl Documents {
    /// The documents of `services`; an error where two types or methods claim one name.
    pub(super) fn new(services: &[&'static ServiceDescriptor]) -> RpcResult<Self> {
        let catalogue = Catalogue::new(services)
            .map_err(|error| RpcError::new(Code::FailedPrecondition, error.to_string()).not_executed())?;
        let types = catalogue
            .document_names()
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), text(&catalogue.type_document(name)?))))
            .collect();
        Ok(Self {
            index: text(&catalogue.index()),
            openrpc: text(&catalogue.openrpc()),
            fingerprint: text(&json!({ "fingerprint": catalogue.fingerprint() })),
            types,
        })
    }

    /// What `GET /_schema` and the paths below it give; nothing where there is no such document.
    pub(super) fn at(&self, path: &str) -> Option<&Bytes> {
        match path {
            "_schema" => Some(&self.index),
            "_schema/openrpc.json" => Some(&self.openrpc),
            "_schema/fingerprint" => Some(&self.fingerprint),
            _ => self.types.get(path.strip_prefix("_schema/types/")?.strip_suffix(".json")?),
        }
    }
}

fn text(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}
