//! The OpenRPC document of a catalogue: the services as JSON-RPC sees them.

use serde_json::{Map, Value, json};

use crate::arguments::Fields;
use crate::catalogue::Catalogue;
use crate::draft07::to_draft07;
use crate::text::first_line;
use crate::{Message, MethodDescriptor, ServiceDescriptor};

/// The version of the OpenRPC specification that the document follows.
const OPENRPC: &str = "1.4.1";

/// The name of the one parameter of a method whose message is no object.
const MESSAGE: &str = "message";

/// The errors that every method can answer with, by their names under `components/errors`.
const ERRORS: [(&str, i32, &str); 6] = [
    ("ParseError", -32700, "The request is not JSON."),
    ("InvalidRequest", -32600, "The request is not JSON-RPC."),
    ("MethodNotFound", -32601, "There is no such method."),
    ("InvalidParams", -32602, "The parameters do not fit the method."),
    ("InternalError", -32603, "An invariant of the server is broken."),
    ("CallFailed", -32000, "The call failed."),
];

impl Catalogue {
    /// The OpenRPC document, also the answer to `rpc.discover`. Its schemas are in Draft-07, as OpenRPC demands.
    ///
    /// The fields of a message that is an object are the parameters. They stand in the order of declaration, which is
    /// the order by position, unless a field that may be absent comes before one that may not: OpenRPC wants those last,
    /// so such a method is described by name only. A message that is no object is one parameter by position.
    ///
    /// Extensions hold what OpenRPC has no keyword for: `x-service`, `x-internal`, `x-aliases`, `x-idempotency`, `x-timeout-ms`,
    /// `x-compat`, `x-deprecated` (why and in favour of what), `x-error` (the schema of a method's own error, which comes
    /// as `{"error": ...}` in the details of error -32000) and, where a message has more keys than the parameters listed,
    /// `x-message` (the schema of the whole).
    pub fn openrpc(&self) -> Value {
        let methods =
            self.services().iter().flat_map(|service| service.methods.iter().map(move |m| (*service, *m)));
        let schemas = self.types().iter().map(|(name, schema)| (name.clone(), to_draft07(schema)));
        json!({
            "openrpc": OPENRPC,
            "info": { "title": self.title(), "version": self.fingerprint() },
            "methods": methods.map(|(service, method)| self.openrpc_method(service, method)).collect::<Vec<_>>(),
            "components": {
                "schemas": schemas.collect::<Map<_, _>>(),
                "errors": ERRORS.map(|(name, code, message)| (name.to_owned(), error(code, message)))
                    .into_iter().collect::<Map<_, _>>(),
            },
        })
    }

    fn openrpc_method(&self, service: &ServiceDescriptor, method: &MethodDescriptor) -> Value {
        let messages = self.messages(method);
        let parameters = self.openrpc_parameters(&messages.arguments);
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("name", json!(method.name));
        put("tags", json!([{ "name": service.name }]));
        if !method.docs.is_empty() {
            put("summary", json!(first_line(method.docs)));
            put("description", json!(method.docs));
        }
        put("paramStructure", json!(parameters.structure));
        put("params", Value::Array(parameters.list));
        put("result", json!({ "name": "reply", "schema": to_draft07(&messages.reply.schema) }));
        put(
            "errors",
            ERRORS
                .iter()
                .map(|(name, ..)| json!({ "$ref": format!("#/components/errors/{name}") }))
                .collect(),
        );
        if let Some(reason) = method.deprecated {
            put("deprecated", json!(true));
            put("x-deprecated", json!(reason));
        }
        put("x-service", json!(service.name));
        if service.is_internal {
            put("x-internal", json!(true));
        }
        put("x-compat", json!(service.compat.as_str()));
        put("x-idempotency", json!(method.idempotency.as_str()));
        if let Some(timeout_ms) = method.timeout_ms {
            put("x-timeout-ms", json!(timeout_ms));
        }
        if !method.aliases.is_empty() {
            put("x-aliases", json!(method.aliases));
        }
        if let Some(error) = &messages.error {
            put("x-error", to_draft07(&error.schema));
        }
        if parameters.more {
            put("x-message", to_draft07(&messages.arguments.schema));
        }
        Value::Object(object)
    }

    fn openrpc_parameters(&self, message: &Message) -> OpenrpcParameters {
        let Some(fields) = Fields::of(&message.schema, self.types()) else {
            let schema = to_draft07(&message.schema);
            let list = vec![json!({ "name": MESSAGE, "required": true, "schema": schema })];
            return OpenrpcParameters { list, structure: "by-position", more: false };
        };
        let parameter = |name: &str, schema: &Value| {
            let mut parameter = json!({ "name": name });
            for keyword in ["description", "deprecated"] {
                if let Some(value) = schema.get(keyword) {
                    parameter[keyword] = value.clone();
                }
            }
            parameter["required"] = json!(fields.is_required(name));
            parameter["schema"] = to_draft07(schema);
            parameter
        };
        let is_required = |(name, _): &&(&str, &Value)| fields.is_required(name);
        let in_order = fields.properties.is_sorted_by_key(|property| !is_required(&property));
        let (required, optional): (Vec<_>, Vec<_>) = fields.properties.iter().partition(is_required);
        OpenrpcParameters {
            list: required
                .into_iter()
                .chain(optional)
                .map(|(name, schema)| parameter(name, schema))
                .collect(),
            structure: if in_order && !fields.more { "either" } else { "by-name" },
            more: fields.more,
        }
    }
}

struct OpenrpcParameters {
    list: Vec<Value>,
    structure: &'static str,
    /// Whether the message has more keys than the list.
    more: bool,
}

fn error(code: i32, message: &str) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if code == -32000 {
        error["data"] = json!({
            "type": "object",
            "description": "The error in the JSON of the Connect protocol.",
            "properties": {
                "code": { "type": "string", "description": "One of the 16 codes, such as `unavailable`." },
                "message": { "type": "string", "description": "What went wrong, for a person." },
                "details": {
                    "type": "array",
                    "description": "Of a method that may change state, first whether it was executed; then anything."
                }
            },
            "required": ["code", "message"]
        });
    }
    error
}
