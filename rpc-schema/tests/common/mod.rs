//! Descriptors to start from, as the attribute would write them.
#![allow(dead_code, reason = "each suite uses some of it")]

pub(crate) mod awkward;
pub(crate) mod hard;
pub(crate) mod many;
pub(crate) mod small;

use serde_json::Value;
use traitwire_schema::{
    Catalogue, Compat, Idempotency, MethodDescriptor, Parameters, ServiceDescriptor, schema_of,
};

/// A method with nothing special: `METHOD.name` and what a test is about are replaced.
pub(crate) const METHOD: MethodDescriptor = MethodDescriptor {
    name: "method",
    aliases: &[],
    docs: "",
    idempotency: Idempotency::None,
    timeout_ms: None,
    retries: None,
    hedge_ms: None,
    detach: true,
    deprecated: None,
    parameters: Parameters::Message,
    arguments: schema_of::<()>,
    reply: schema_of::<()>,
    error: None,
};

/// A service with nothing special.
pub(crate) const SERVICE: ServiceDescriptor = ServiceDescriptor {
    name: "Service",
    prefix: "",
    docs: "",
    compat: Compat::Backward,
    is_internal: false,
    methods: &[],
    reserved: &[],
    fingerprint: 0xfeed,
    file: "src/services/service.rs",
    line: 7,
};

/// A service of these methods, made to last.
pub(crate) fn service(methods: &[&'static MethodDescriptor]) -> &'static ServiceDescriptor {
    Box::leak(Box::new(ServiceDescriptor { methods: methods.to_vec().leak(), ..SERVICE }))
}

/// The catalogue of one service of these methods.
pub(crate) fn catalogue(methods: &[&'static MethodDescriptor]) -> Catalogue {
    Catalogue::new(&[service(methods)]).expect("there are no conflicts")
}

/// Every reference in `document`, wherever it stands.
pub(crate) fn references(document: &Value) -> Vec<&str> {
    match document {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Fails unless every reference in `document` leads somewhere in it.
#[track_caller]
pub(crate) fn assert_references_resolve(document: &Value) {
    for reference in references(document) {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "`{reference}` leads nowhere in {document:#}");
    }
}
