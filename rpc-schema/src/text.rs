//! What a person reads at a terminal: one method, or one type, in plain text.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::arguments::Fields;
use crate::errors::{example_error, example_typed_error};
use crate::outline::{Outline, Piece, type_text};
use crate::walk::{named, reachable, resolved};
use crate::{Catalogue, Idempotency, Message, MethodDescriptor, ServiceDescriptor, example};

/// What stands before lines that belong to the line above them.
const INDENT: &str = "  ";

impl Catalogue {
    /// The method that answers to `name` in plain text: signature, badges, documentation, the fields of its messages with
    /// the types that they are of, examples of all of it, and a `curl` line for a server at `base_url`. Nothing if there
    /// is no such method.
    pub fn show(&self, name: &str, base_url: &str) -> Option<String> {
        let (service, method) = self.method(name)?;
        let messages = self.messages(method);
        let arguments = example(&self.message_document(&messages.arguments));
        let mut text = Text::default();
        text.line(&self.signature(method));
        text.indented(&badge_list(service, method).join(" | "));
        if !method.docs.is_empty() {
            text.blank();
            method.docs.lines().for_each(|line| text.line(line));
        }
        self.message("Arguments", &messages.arguments, &mut text);
        self.message("Reply", &messages.reply, &mut text);
        if let Some(error) = &messages.error {
            self.message("Error", error, &mut text);
        }
        self.failures(method, &mut text);
        self.held_types(&messages.iter().collect::<Vec<_>>(), &mut text);
        text.blank();
        text.line(&curl(base_url, method.name, &arguments));
        Some(text.0)
    }

    /// The type document `name` in plain text: what it is for, its fields or forms with the types that they are of, an
    /// example, and the methods that use it. Nothing if there is no such type.
    pub fn show_type(&self, name: &str) -> Option<String> {
        let document = self.type_document(name)?;
        let mut text = Text::default();
        text.line(name);
        let message = self
            .types()
            .get(name)
            .map(|schema| Message { document: name.to_owned(), schema: schema.clone() });
        let of_method = || {
            let methods = self.services().iter().flat_map(|service| service.methods);
            methods
                .flat_map(|method| self.messages(method).iter())
                .find(|message| message.document == name)
                .cloned()
        };
        let message = message.or_else(of_method)?;
        self.outline(&message.schema, &mut text);
        text.json(&example(&document));
        self.held_types(&[&message], &mut text);
        text.blank();
        text.line("Used by:");
        for (method, roles) in self.methods_with(name) {
            text.indented(&format!("{method} ({})", roles.join(", ")));
        }
        Some(text.0)
    }

    /// The methods whose messages hold the type `name`, each with the messages that do.
    fn methods_with(&self, name: &str) -> Vec<(&'static str, Vec<&'static str>)> {
        let holds = |message: &Message| {
            message.document == name || reachable([&message.schema], self.types()).contains(name)
        };
        let methods = self.services().iter().flat_map(|service| service.methods);
        let users = methods.filter_map(|method| {
            let roles = ["arguments", "reply", "error"].into_iter().zip(self.messages(method).iter());
            let roles: Vec<&str> =
                roles.filter(|(_, message)| holds(message)).map(|(role, _)| role).collect();
            (!roles.is_empty()).then_some((method.name, roles))
        });
        users.collect()
    }

    fn message(&self, title: &str, message: &Message, text: &mut Text) {
        text.blank();
        match named(&message.schema) {
            Some(name) => text.line(&format!("{title}: {name}")),
            None => text.line(&format!("{title}:")),
        }
        self.outline(&message.schema, text);
        text.json(&example(&self.message_document(message)));
    }

    /// What a call looks like that fails.
    fn failures(&self, method: &MethodDescriptor, text: &mut Text) {
        let error = self.messages(method).error.as_ref();
        let typed = error
            .map(|error| example_typed_error(example(&self.message_document(error)), method.is_read_only()));
        text.blank();
        text.line(
            "A call that fails is answered with an HTTP status and a code that goes with it, such as 400 and",
        );
        text.indented(&example_error("invalid_argument", "what is wrong", method.is_read_only()).to_string());
        if let Some(typed) = typed {
            text.line("and with the method's own error as");
            text.indented(&typed.to_string());
        }
    }

    /// The types that messages hold, but for those that they are.
    fn held_types(&self, messages: &[&Message], text: &mut Text) {
        let shown: BTreeSet<&str> = messages.iter().map(|message| message.document.as_str()).collect();
        let held = reachable(messages.iter().map(|message| &message.schema), self.types());
        let mut held = held.into_iter().filter(|name| !shown.contains(name)).peekable();
        if held.peek().is_none() {
            return;
        }
        text.blank();
        text.line("Types:");
        for name in held {
            text.line(&format!("{INDENT}{name}"));
            let mut own = Text::default();
            self.outline(&self.types()[name], &mut own);
            own.0.lines().for_each(|line| text.indented(line));
        }
    }

    /// What a schema is for, and its fields or forms.
    fn outline(&self, schema: &Value, text: &mut Text) {
        let schema = resolved(schema, self.types());
        let outline = Outline::of(schema, self.types());
        outline.docs.lines().filter(|line| !line.is_empty()).for_each(|line| text.indented(line));
        let whole = outline.whole.iter().map(|pieces| (words(pieces), String::new(), ""));
        let fields = outline.fields.iter().map(|field| {
            let mark = if field.is_required { "" } else { "?" };
            let old = field.is_deprecated.then_some("deprecated");
            let type_name = std::iter::once(words(&field.pieces));
            let notes = field.notes.iter().cloned().chain(old.map(str::to_owned));
            let facts: Vec<String> = type_name.chain(notes).collect();
            (format!("{}{mark}", field.name), facts.join(", "), field.docs)
        });
        let branches =
            outline.branches.iter().map(|branch| (words(&branch.pieces), String::new(), branch.docs));
        for (name, facts, docs) in whole.chain(fields).chain(branches) {
            let colon = if facts.is_empty() { "" } else { ": " };
            text.indented(&format!("{INDENT}{name}{colon}{facts}"));
            docs.lines().filter(|line| !line.is_empty()).for_each(|line| {
                text.indented(&format!("{INDENT}{INDENT}{INDENT}{line}"));
            });
        }
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
}

/// Text that grows line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn indented(&mut self, line: &str) {
        self.line(&format!("{INDENT}{line}"));
    }

    fn json(&mut self, value: &Value) {
        pretty(value).lines().for_each(|line| self.indented(line));
    }
}

fn words(pieces: &[Piece<'_>]) -> String {
    let words = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Type(name) => name,
    });
    words.collect()
}

/// What is short to say of a method, the name of its service first.
pub(crate) fn badge_list(service: &ServiceDescriptor, method: &MethodDescriptor) -> Vec<String> {
    let mut badges = vec![service.name.to_owned()];
    badges.extend(service.is_internal.then(|| "internal".to_owned()));
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
