//! What a person reads at a terminal: one method in plain text.

use std::fmt::Write;

use serde_json::Value;

use crate::arguments::Fields;
use crate::outline::type_text;
use crate::walk::resolved;
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
        line(&curl(base_url, method.name, &arguments));
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
    badge_list(service, method).join(" | ")
}

/// What is short to say of a method, the name of its service first.
pub(crate) fn badge_list(service: &ServiceDescriptor, method: &MethodDescriptor) -> Vec<String> {
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
    badges
}

/// A command line that calls `method` of a server at `base_url`.
pub(crate) fn curl(base_url: &str, method: &str, arguments: &Value) -> String {
    // A quote ends a quoted word of the shell; this puts one inside.
    let body = arguments.to_string().replace('\'', r"'\''");
    let base_url = base_url.trim_end_matches('/');
    format!("curl -X POST '{base_url}/{method}' -H 'Content-Type: application/json' -d '{body}'")
}

/// `value` as indented JSON.
pub(crate) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// The first line of a doc comment.
pub(crate) fn first_line(docs: &str) -> &str {
    docs.lines().next().unwrap_or_default()
}
