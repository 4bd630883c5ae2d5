//! What a person reads at a terminal: one method in plain text.

use std::fmt::Write;

use serde_json::Value;

use crate::arguments::Fields;
use crate::walk::{DEFINITIONS, resolved};
use crate::{Catalogue, Idempotency, MethodDescriptor, ServiceDescriptor, example};

impl Catalogue {
    /// The method that answers to `name` in plain text: signature, badges, documentation, fields, examples, and a `curl`
    /// line for a server at `base_url`. Nothing if there is no such method.
    pub fn show(&self, name: &str, base_url: &str) -> Option<String> {
        let (service, method) = self.method(name)?;
        let messages = self.messages(method);
        let arguments = example(&self.message_document(&messages.arguments));
        let mut text = String::new();
        let mut line =
            |line: &str| writeln!(text, "{}", line.trim_end()).expect("a string can be written to");

        line(&self.signature(method));
        line(&format!("  {}", badges(service, method)));
        if !method.docs.is_empty() {
            line("");
            method.docs.lines().for_each(&mut line);
        }
        line("");
        line("Arguments:");
        for field in self.field_lines(&messages.arguments.schema) {
            line(&field);
        }
        line(&pretty(&arguments));
        for (title, message) in [("Reply:", Some(&messages.reply)), ("Error:", messages.error.as_ref())] {
            let Some(message) = message else { continue };
            line("");
            line(title);
            for field in self.field_lines(&message.schema) {
                line(&field);
            }
            line(&pretty(&example(&self.message_document(message))));
        }
        line("");
        // A quote ends a quoted word of the shell; this puts one inside.
        let body = arguments.to_string().replace('\'', r"'\''");
        let base_url = base_url.trim_end_matches('/');
        line(&format!(
            "curl -X POST '{base_url}/{}' -H 'Content-Type: application/json' -d '{body}'",
            method.name
        ));
        Some(text)
    }

    /// The method as one line, such as `put(key: string, version: integer) -> PutReply`.
    fn signature(&self, method: &MethodDescriptor) -> String {
        let messages = self.messages(method);
        let parameters = match Fields::of(&messages.arguments.schema, self.types()) {
            Some(fields) => {
                let parameter = |(name, schema): &(&str, &Value)| {
                    let mark = if fields.is_required(name) { "" } else { "?" };
                    format!("{name}{mark}: {}", type_text(schema))
                };
                let rest = fields.more.then(|| "...".to_owned());
                fields.properties.iter().map(parameter).chain(rest).collect::<Vec<_>>().join(", ")
            }
            None => type_text(&messages.arguments.schema),
        };
        let error = messages.error.as_ref().map(|error| format!(" or {}", type_text(&error.schema)));
        let reply = type_text(&messages.reply.schema);
        format!("{}({parameters}) -> {reply}{}", method.name, error.unwrap_or_default())
    }

    /// One line for each field of an object that is documented.
    fn field_lines(&self, schema: &Value) -> Vec<String> {
        let docs = resolved(schema, self.types()).get("description").and_then(Value::as_str);
        let fields = Fields::of(schema, self.types());
        let properties = fields.iter().flat_map(|fields| &fields.properties);
        let docs = docs.map(|docs| format!("  {}", first_line(docs)));
        let fields = properties.filter_map(|(name, schema)| {
            let docs = schema.get("description")?.as_str()?;
            Some(format!("  {name}: {}", first_line(docs)))
        });
        docs.into_iter().chain(fields).collect()
    }
}

/// What is short to say of a method, on one line.
fn badges(service: &ServiceDescriptor, method: &MethodDescriptor) -> String {
    let mut badges = vec![service.name.to_owned()];
    badges.push(match method.idempotency {
        Idempotency::None => "changes state".to_owned(),
        Idempotency::Idempotent => "idempotent".to_owned(),
        Idempotency::ReadOnly => "read only".to_owned(),
    });
    badges.extend(method.timeout_ms.map(|ms| format!("timeout {ms} ms")));
    badges.extend(method.retries.map(|retries| format!("retries {retries}")));
    badges.extend(method.hedge_ms.map(|ms| format!("hedged after {ms} ms")));
    badges.push(format!("compat {}", service.compat.as_str()));
    if !method.aliases.is_empty() {
        badges.push(format!("also {}", method.aliases.join(", ")));
    }
    badges.extend(method.deprecated.map(|reason| format!("deprecated: {reason}")));
    badges.join(" | ")
}

/// The type of a schema in a few words.
fn type_text(schema: &Value) -> String {
    let list = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    let joined =
        |schemas: &Vec<Value>, between| schemas.iter().map(type_text).collect::<Vec<_>>().join(between);
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.strip_prefix(DEFINITIONS).unwrap_or(reference).to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = list("enum") {
        return values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(branches) = list("oneOf").or_else(|| list("anyOf")) {
        return joined(branches, " | ");
    }
    let one = |name: &str| match name {
        "array" => match (list("prefixItems"), schema.get("items")) {
            (Some(items), _) => format!("[{}]", joined(items, ", ")),
            (None, Some(item)) => format!("list of {}", type_text(item)),
            (None, None) => "list".to_owned(),
        },
        "object" => {
            let patterns =
                schema.get("patternProperties").and_then(|patterns| patterns.as_object()?.values().next());
            let values =
                patterns.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()));
            values.map_or_else(|| "object".to_owned(), |values| format!("map of {}", type_text(values)))
        }
        name => name.to_owned(),
    };
    match schema.get("type") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" | ")
        }
        Some(Value::String(name)) => one(name),
        _ => "any".to_owned(),
    }
}

/// `value` as indented JSON.
pub(crate) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// The first line of a doc comment.
pub(crate) fn first_line(docs: &str) -> &str {
    docs.lines().next().unwrap_or_default()
}
