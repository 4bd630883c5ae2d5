//! The OpenAPI document of a catalogue: the services as plain HTTP sees them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::errors::{CODES, ErrorCode, TYPED_ERROR, by_status, example_error, example_typed_error};
use crate::text::first_line;
use crate::walk::{holds_reference, resolved};
use crate::{Message, MethodDescriptor, ServiceDescriptor, example};

mod adapt;

use adapt::adapted;

/// The version of the OpenAPI specification that the document follows.
const OPENAPI: &str = "3.1.1";

/// What references to the schemas of an OpenAPI document begin with.
const SCHEMAS: &str = "#/components/schemas/";

/// The error in JSON, by the methods that answer with it. Names of documents end in no such word, so they never meet.
const ERROR: &str = "rpc.Error";
const ERROR_OF_CHANGE: &str = "rpc.ErrorOfChange";
const EXECUTED: &str = "rpc.Executed";
const CODE: &str = "rpc.Code";

/// What is said of all methods together.
const DESCRIPTION: &str = "\
Every method is `POST /{method}` with its arguments as a JSON object, and answers with JSON. An empty body stands for \
`{}`. Any other HTTP method is answered with 405 and `Allow: POST`.\n\n\
An error has a code, and the HTTP status that goes with it. Of a method that may change state, the first of its details \
says whether the request was executed: `no` is a promise that it has no effect, `unknown` that it may have one.\n\n\
The header `Connect-Timeout-Ms` (a whole number of at most 10 digits) says how long the caller waits; without it, the \
default of the method holds (`x-timeout-ms`). A request body that is declared as something other than JSON, text or a form, or as \
compressed, is refused.\n\n\
Each entry of an error's `details` also has the keys `type` and `value` of the Connect protocol: `value` is base64 of the \
entry's JSON without them.";

impl Catalogue {
    /// The OpenAPI document: one `POST` operation a method. Its schemas are those of the type documents, by their names.
    ///
    /// Extensions hold what OpenAPI has no keyword for. An operation has `x-service`, `x-internal`, `x-compat`,
    /// `x-idempotency`, `x-timeout-ms`, `x-retries`, `x-hedge-ms`, `x-aliases` and `x-deprecated` (why, and in favour of
    /// what). A response that is an error has `x-codes`. A tag, which is a service, has `x-internal`, `x-compat` and `x-reserved`.
    ///
    /// - Schemas keep to what the common generators understand: see `openapi/adapt.rs`. An example that holds a key `$ref`
    ///   is left out, since tools follow it as a reference.
    /// - Integers have the bounds of their formats, which tools that make values from schemas need to know.
    /// - The one server is where the document comes from: `_schema/openapi.json` of it, wherever it is mounted.
    /// - The header that carries a deadline is described in words. As a parameter, every tool that tries parameters out
    ///   would call the server broken for keeping a deadline of 0.
    pub fn openapi(&self) -> Value {
        let methods =
            self.services().iter().flat_map(|service| service.methods.iter().map(move |m| (*service, *m)));
        let paths = methods.map(|(service, method)| {
            (format!("/{}", method.name), json!({ "post": self.openapi_operation(service, method) }))
        });
        json!({
            "openapi": OPENAPI,
            "info": { "title": self.title(), "version": self.fingerprint(), "description": DESCRIPTION },
            "servers": [{ "url": "..", "description": "Where this document comes from." }],
            "tags": self.openapi_tags(),
            "paths": paths.collect::<Map<_, _>>(),
            "components": { "schemas": self.openapi_schemas(), "responses": responses() },
        })
    }

    fn openapi_operation(&self, service: &ServiceDescriptor, method: &MethodDescriptor) -> Value {
        let messages = self.messages(method);
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("operationId", json!(method.name));
        put("tags", json!([service.name]));
        if !method.docs.is_empty() {
            put("summary", json!(first_line(method.docs)));
            put("description", json!(method.docs));
        }
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
        for (key, value) in [
            ("x-timeout-ms", method.timeout_ms),
            ("x-retries", method.retries.map(u64::from)),
            ("x-hedge-ms", method.hedge_ms),
        ] {
            if let Some(value) = value {
                put(key, json!(value));
            }
        }
        if !method.aliases.is_empty() {
            put("x-aliases", json!(method.aliases));
        }
        put(
            "requestBody",
            json!({
                "required": !self.takes_empty_object(&messages.arguments.schema),
                "content": self.openapi_content(&messages.arguments),
            }),
        );
        put("responses", self.openapi_responses(method));
        Value::Object(object)
    }

    /// One tag for each name of a service: two versions of a trait may share one.
    fn openapi_tags(&self) -> Vec<Value> {
        let mut names = BTreeSet::new();
        self.services()
            .iter()
            .filter(|service| names.insert(service.name))
            .map(|service| tag(service))
            .collect()
    }

    fn openapi_responses(&self, method: &MethodDescriptor) -> Value {
        let messages = self.messages(method);
        let mut responses = Map::new();
        let reply = json!({ "description": "The reply.", "content": self.openapi_content(&messages.reply) });
        responses.insert("200".to_owned(), reply);
        for (status, codes) in by_status() {
            let shared =
                json!({ "$ref": format!("#/components/responses/{}", response_name(status, method)) });
            let response = match &messages.error {
                Some(error) if codes.iter().any(|code| code.name == TYPED_ERROR) => {
                    self.typed_response(method, error, &codes)
                }
                _ => shared,
            };
            responses.insert(status.to_string(), response);
        }
        Value::Object(responses)
    }

    /// The response that also carries the method's own error.
    fn typed_response(&self, method: &MethodDescriptor, error: &Message, codes: &[&ErrorCode]) -> Value {
        let mut response = response(error_schema(method.is_read_only()), codes);
        response["description"] = json!(format!(
            "{}\n\n`{TYPED_ERROR}` also comes with an error of the method's own in its details; so does any other code \
             that such an error has by itself.",
            response["description"].as_str().unwrap_or_default()
        ));
        let content = &mut response["content"]["application/json"];
        content["schema"] = json!({ "$ref": format!("{SCHEMAS}{}", typed_error_name(method)) });
        let own = example_typed_error(example(&self.message_document(error)), method.is_read_only());
        if holds_reference(&own) {
            return response;
        }
        let general = content.as_object_mut().and_then(|content| content.shift_remove("example"));
        content["examples"] = json!({
            "general": { "value": general },
            "of_the_method": { "summary": "The method's own error.", "value": own },
        });
        response
    }

    fn openapi_content(&self, message: &Message) -> Value {
        let mut content = json!({ "schema": { "$ref": format!("{SCHEMAS}{}", message.document) } });
        let example = example(&self.message_document(message));
        if !holds_reference(&example) {
            content["example"] = example;
        }
        json!({ "application/json": content })
    }

    fn openapi_schemas(&self) -> Value {
        let mut schemas: Map<String, Value> =
            self.types().iter().map(|(name, schema)| (name.clone(), adapted(schema))).collect();
        let messages = self.services().iter().flat_map(|service| service.methods);
        for message in messages.flat_map(|method| self.messages(method).iter()) {
            if !schemas.contains_key(&message.document) {
                schemas.insert(message.document.clone(), adapted(&message.schema));
            }
        }
        schemas.extend(error_schemas());
        schemas.extend(self.typed_error_schemas());
        Value::Object(schemas)
    }

    /// For each method with an error of its own, the schema of what it answers with where that may be in it.
    fn typed_error_schemas(&self) -> impl Iterator<Item = (String, Value)> {
        let methods = self.services().iter().flat_map(|service| service.methods);
        methods.filter_map(|method| {
            let error = self.messages(method).error.as_ref()?;
            // Spelled out: generators cannot merge these details with those of the general error.
            let mut schema = if method.is_read_only() { error_of_read() } else { error_of_change() };
            let details = &mut schema["properties"]["details"];
            details["description"] = json!("The error of the method itself stands under `error`.");
            details["items"] = json!({
                "type": "object",
                "properties": { "error": { "$ref": format!("{SCHEMAS}{}", error.document) } }
            });
            Some((typed_error_name(method), schema))
        })
    }

    /// Whether `{}`, for which an empty body stands, is a value of `schema`.
    fn takes_empty_object(&self, schema: &Value) -> bool {
        let schema = resolved(schema, self.types());
        let list = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
        let is_object = match schema.get("type") {
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            Some(name) => name == "object",
            None => true,
        };
        let none = |keyword: &str| list(keyword).is_none_or(Vec::is_empty);
        let takes = |branch: &Value| self.takes_empty_object(branch);
        is_object
            && schema != &Value::Bool(false)
            && none("required")
            && ["const", "enum", "not"].iter().all(|keyword| schema.get(*keyword).is_none())
            && list("allOf").is_none_or(|parts| parts.iter().all(takes))
            && ["anyOf", "oneOf"]
                .iter()
                .all(|keyword| list(keyword).is_none_or(|branches| branches.iter().any(takes)))
    }
}

fn tag(service: &ServiceDescriptor) -> Value {
    let mut tag = json!({ "name": service.name });
    if !service.docs.is_empty() {
        tag["description"] = json!(service.docs);
    }
    tag["x-compat"] = json!(service.compat.as_str());
    if service.is_internal {
        tag["x-internal"] = json!(true);
    }
    if !service.reserved.is_empty() {
        tag["x-reserved"] = json!(service.reserved);
    }
    tag
}

/// The name of the schema of errors of methods that change nothing, or of others.
fn error_schema(is_read_only: bool) -> &'static str {
    if is_read_only { ERROR } else { ERROR_OF_CHANGE }
}

/// The name of the schema of errors of a method that has its own. Names of documents never begin with `rpc.`.
fn typed_error_name(method: &MethodDescriptor) -> String {
    format!("rpc.ErrorOf.{}", method.name)
}

fn response_name(status: u16, method: &MethodDescriptor) -> String {
    let kind = if method.is_read_only() { "read" } else { "change" };
    format!("error.{status}.{kind}")
}

fn responses() -> Map<String, Value> {
    let mut responses = Map::new();
    for (status, codes) in by_status() {
        for (kind, base) in [("change", ERROR_OF_CHANGE), ("read", ERROR)] {
            responses.insert(format!("error.{status}.{kind}"), response(base, &codes));
        }
    }
    responses
}

/// A response with one of `codes`.
fn response(base: &str, codes: &[&ErrorCode]) -> Value {
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.name, code.docs)).collect();
    let names: Vec<&str> = codes.iter().map(|code| code.name).collect();
    json!({
        "description": lines.join("\n\n"),
        // In the schema, the codes would make an error type of its own for each status in a generated client.
        "x-codes": names,
        "content": { "application/json": {
            "schema": { "$ref": format!("{SCHEMAS}{base}") },
            "example": example_error(codes[0].name, codes[0].docs, base == ERROR),
        } }
    })
}

fn error_schemas() -> [(String, Value); 4] {
    let codes: Vec<&str> = CODES.iter().map(|code| code.name).collect();
    let schemas = [
        (CODE, json!({ "type": "string", "enum": codes, "description": "What went wrong, for a program." })),
        (
            EXECUTED,
            json!({
                "type": "object",
                "description": "Whether a request that failed may have taken effect: `no` is a promise.",
                "properties": { "executed": { "type": "string", "enum": ["no", "unknown"] } },
                "required": ["executed"]
            }),
        ),
        (ERROR, error_of_read()),
        (ERROR_OF_CHANGE, error_of_change()),
    ];
    schemas.map(|(name, schema)| (name.to_owned(), schema))
}

fn error_of_read() -> Value {
    error_object(
        "Why a call failed, in the JSON of the Connect protocol.",
        json!({ "type": "array", "description": "Further values.", "items": {} }),
        &["code", "message"],
    )
}

fn error_of_change() -> Value {
    error_object(
        "Why a call failed that may change state, and first whether it was executed.",
        json!({
            "type": "array",
            "description": "Whether the request was executed, and then further values.",
            "minItems": 1,
            "prefixItems": [{ "$ref": format!("{SCHEMAS}{EXECUTED}") }],
            "items": {},
        }),
        &["code", "message", "details"],
    )
}

/// Both kinds of errors are spelled out: generators make more of that than of one that is built on the other.
fn error_object(description: &str, details: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "code": { "$ref": format!("{SCHEMAS}{CODE}") },
            "message": { "type": "string", "description": "What went wrong, for a person." },
            "details": details,
        },
        "required": required,
    })
}
