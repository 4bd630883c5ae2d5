//! TypeScript for a catalogue: the types of all messages, and a client that needs nothing but `fetch`.

mod names;
mod types;

use std::collections::BTreeMap;
use std::fmt::Write;

use names::{Names, camel, of_documents};
use types::{Types, comment_lines, key};

use crate::arguments::Fields;
use crate::text::badge_list;
use crate::{Catalogue, MethodDescriptor, ServiceDescriptor};

/// What is the same for all services.
const RUNTIME: &str = include_str!("typescript/runtime.ts");

impl Catalogue {
    /// One TypeScript module without dependencies: a type for each document of the catalogue and the class `Client`, with
    /// one method for each method of each service. It is made for `tsc --strict` and ES2020 or later.
    ///
    /// - Integers that a `number` may not hold exactly are of the type `WideInteger`, a `number` or, beyond 2^53 - 1, a
    ///   `bigint`. The client reads and writes both without loss, so nobody has to choose between convenience and truth.
    /// - A failed call throws `RpcError`, and `isErrorOf` tells the type of a method's own error.
    /// - A document `Name.written` is the type `NameWritten`. A name that the language or the client needs gets a `_`, and so
    ///   does a member whose name means something to JavaScript: a method `then` would make the service a promise.
    pub fn typescript(&self) -> String {
        let mut names = Names::of_types();
        let documents = self.document_names();
        let types = of_documents(&documents, &mut names);
        let services: Vec<(&ServiceDescriptor, String)> = self
            .services()
            .iter()
            .map(|service| (*service, names.give(&format!("{}Service", service.name))))
            .collect();
        let mut out = String::new();
        let mut add = |text: &str| writeln!(out, "{text}").expect("a string can be written to");
        add(&format!(
            "// The services {} as TypeScript, for ES2020 or later. Fingerprint {}.\n//",
            self.services().iter().map(|service| service.name).collect::<Vec<_>>().join(", "),
            self.fingerprint()
        ));
        add("// Made by `traitwire schema export`; changes are lost when it is made again.\n");
        add(&self.typescript_client(&services));
        for (service, class) in &services {
            add(&self.typescript_service(service, class, &types));
        }
        add(&self.typescript_errors(&types));
        for (document, name) in &types {
            add(&self.typescript_type(document, name, &types));
        }
        out + RUNTIME
    }

    fn typescript_client(&self, services: &[(&ServiceDescriptor, String)]) -> String {
        let mut names = Names::of_members();
        let fields: Vec<(String, &String)> =
            services.iter().map(|(service, class)| (names.give(&camel(service.name)), class)).collect();
        let declared: String = services
            .iter()
            .zip(&fields)
            .map(|((service, _), (field, class))| {
                let docs: Vec<String> = service.docs.lines().map(str::to_owned).collect();
                format!("{}  readonly {field}: {class};\n", comment_lines(&docs, "  "))
            })
            .collect();
        let made: String = fields
            .iter()
            .map(|(field, class)| format!("    this.{field} = new {class}(transport);\n"))
            .collect();
        format!(
            "/** All services of a server, such as `new Client(\"http://127.0.0.1:7101\")`. */\nexport class Client {{\n\
             {declared}\n  constructor(baseUrl: string, options: ClientOptions = {{}}) {{\n    \
             const transport = new Transport(baseUrl, options);\n{made}  }}\n}}\n"
        )
    }

    fn typescript_service(
        &self,
        service: &ServiceDescriptor,
        class: &str,
        types: &BTreeMap<&str, String>,
    ) -> String {
        let mut docs: Vec<String> = service.docs.lines().map(str::to_owned).collect();
        if service.is_internal {
            docs.push(
                "Internal: other parts of the same system call this service, its users do not.".to_owned(),
            );
        }
        let mut names = Names::of_members();
        let prefix = format!("{}.", service.prefix);
        let methods: String = service
            .methods
            .iter()
            .map(|method| {
                let own = method.name.strip_prefix(&prefix).unwrap_or(method.name);
                self.typescript_method(service, method, &names.give(&camel(own)), types)
            })
            .collect();
        format!(
            "{}export class {class} {{\n  constructor(private readonly transport: Transport) {{}}\n{methods}}}\n",
            comment_lines(&docs, "")
        )
    }

    fn typescript_method(
        &self,
        service: &ServiceDescriptor,
        method: &MethodDescriptor,
        name: &str,
        types: &BTreeMap<&str, String>,
    ) -> String {
        let messages = self.messages(method);
        let (arguments, reply) =
            (&types[messages.arguments.document.as_str()], &types[messages.reply.document.as_str()]);
        let mut docs: Vec<String> = method.docs.lines().map(str::to_owned).collect();
        if !docs.is_empty() {
            docs.push(String::new());
        }
        let is_told = |badge: &String| !badge.starts_with("compat ") && !badge.starts_with("deprecated: ");
        let facts: Vec<String> = badge_list(service, method).into_iter().skip(1).filter(is_told).collect();
        let facts = facts.join(", ");
        docs.push(format!("`{}` on the wire: {facts}.", method.name));
        if let Some(error) = &messages.error {
            let error = &types[error.document.as_str()];
            docs.push(format!("@throws {{RpcError<{error}>}} See `isErrorOf(\"{}\", error)`.", method.name));
        }
        docs.extend(method.deprecated.map(|reason| format!("@deprecated {reason}")));
        let fields = Fields::of(&messages.arguments.schema, self.types());
        let may_be_left_out = fields.is_some_and(|fields| !fields.more && !fields.has_required());
        let default = if may_be_left_out { " = {}" } else { "" };
        let timeout = method.timeout_ms.map(|ms| format!(", timeoutMs: {ms}")).unwrap_or_default();
        format!(
            "\n{}  async {name}(args: {arguments}{default}, options?: CallOptions): Promise<{reply}> {{\n    \
             const facts = {{ readOnly: {}{timeout} }};\n    \
             return (await this.transport.call({}, args, facts, options)) as {reply};\n  }}\n",
            comment_lines(&docs, "  "),
            method.is_read_only(),
            serde_json::Value::from(method.name),
        )
    }

    /// Which errors of their own methods have, and how to know one.
    fn typescript_errors(&self, types: &BTreeMap<&str, String>) -> String {
        let methods = self.services().iter().flat_map(|service| service.methods);
        let errors: String = methods
            .filter_map(|method| Some((method, self.messages(method).error.as_ref()?)))
            .map(|(method, error)| format!("  {}: {};\n", key(method.name), types[error.document.as_str()]))
            .collect();
        let body = if errors.is_empty() { "{}".to_owned() } else { format!("{{\n{errors}}}") };
        format!(
            "/** The errors of their own that methods answer with, by the methods' names on the wire. */\n\
             export interface MethodErrors {body}\n\n\
             /** Whether `error` is one that `method` answered with as its own: then `error.error` is there. */\n\
             export function isErrorOf<M extends keyof MethodErrors>(\n  method: M,\n  error: unknown,\n\
             ): error is RpcError<MethodErrors[M]> & {{ readonly error: MethodErrors[M] }} {{\n  \
             return error instanceof RpcError && error.method === method && error.error !== undefined;\n}}\n"
        )
    }

    fn typescript_type(&self, document: &str, name: &str, types: &BTreeMap<&str, String>) -> String {
        let writer = Types { names: types };
        if let Some(schema) = self.types().get(document) {
            return writer.declaration(name, schema);
        }
        let mut messages = self.services().iter().flat_map(|service| service.methods);
        let schema = messages.find_map(|method| {
            let mut messages = self.messages(method).iter();
            messages.find(|message| message.document == document).map(|message| &message.schema)
        });
        let schema = schema.expect("a document is that of a type or of a message");
        writer.declaration(name, schema)
    }
}
