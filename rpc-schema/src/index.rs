//! The index of a catalogue, the document at `GET /_schema`: what there is and where its schemas are.

use serde_json::{Value, json};

use crate::arguments::Fields;
use crate::{Catalogue, Message, MethodDescriptor, ServiceDescriptor};

impl Catalogue {
    /// The index: services, their methods and all type documents. Links are relative to the URL of the index, `_schema`,
    /// so that they hold wherever the server is mounted.
    pub fn index(&self) -> Value {
        let types = self.document_names().into_iter().map(|name| {
            let description = self.types().get(name).and_then(|schema| schema.get("description"));
            json!({ "name": name, "description": description, "href": href(name) })
        });
        json!({
            "fingerprint": self.fingerprint(),
            "services": self.services().iter().map(|service| self.index_service(service)).collect::<Vec<_>>(),
            "types": types.collect::<Vec<_>>(),
        })
    }

    fn index_service(&self, service: &ServiceDescriptor) -> Value {
        json!({
            "name": service.name,
            "prefix": service.prefix,
            "docs": service.docs,
            "compat": service.compat.as_str(),
            "internal": service.is_internal,
            "fingerprint": format!("{:016x}", service.fingerprint),
            "reserved": service.reserved,
            "methods": service.methods.iter().map(|method| self.index_method(method)).collect::<Vec<_>>(),
        })
    }

    fn index_method(&self, method: &MethodDescriptor) -> Value {
        let messages = self.messages(method);
        let fields = Fields::of(&messages.arguments.schema, self.types());
        let fields = fields.map(|fields| fields.properties.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        json!({
            "name": method.name,
            "aliases": method.aliases,
            "docs": method.docs,
            "deprecated": method.deprecated,
            "idempotency": method.idempotency.as_str(),
            "timeout_ms": method.timeout_ms,
            "retries": method.retries,
            "hedge_ms": method.hedge_ms,
            "detach": method.detach,
            "parameters": fields,
            "arguments": link(&messages.arguments),
            "reply": link(&messages.reply),
            "error": messages.error.as_ref().map(link),
        })
    }
}

fn link(message: &Message) -> Value {
    json!({ "type": message.document, "href": href(&message.document) })
}

fn href(name: &str) -> String {
    format!("_schema/types/{name}.json")
}
