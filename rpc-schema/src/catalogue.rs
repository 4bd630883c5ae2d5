//! The catalogue: all services of a program with the schema of every message, derived once. The documents are made
//! from it.
//!
//! # Names of documents
//!
//! Each type with a name of its own has a document of that name. What serde reads and what it writes can differ: a field
//! with a default may be absent in what is read and never is in what is written. Arguments are read; replies and errors
//! are written. So:
//!
//! - A type that is only read, only written, or the same both ways is one document, `Name`.
//! - A type that differs is two: `Name` as it is read, and `Name.written` as it is written.
//! - A message whose type has no name, such as a number, a list or `()`, has a document named after its method:
//!   `get.arguments`, `get.reply` or `get.error`.
//!
//! Names of types hold no dots, so no two of these meet. All are fit to be a file name and a segment of a URL.

mod conflict;
mod derive;
mod merge;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::Contract;
use serde_json::{Value, json};

pub use conflict::{CatalogueError, Conflict};
use derive::{Derived, Root};
use merge::WRITTEN;

use crate::text::pretty;
use crate::walk::{DEFINITIONS, Definitions, reachable, replace_references};
use crate::{MethodDescriptor, ServiceDescriptor};

/// The dialect of every type document.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// All services of a program with the schema of every message.
#[derive(Clone, Debug)]
pub struct Catalogue {
    services: Vec<&'static ServiceDescriptor>,
    types: Definitions,
    messages: BTreeMap<&'static str, Messages>,
}

/// The messages of one method.
#[derive(Clone, Debug)]
pub struct Messages {
    /// What the method takes, as it is read.
    pub arguments: Message,
    /// What it answers, as it is written.
    pub reply: Message,
    /// Its own error, as it is written, where it has one.
    pub error: Option<Message>,
}

/// One message of one method.
#[derive(Clone, Debug)]
pub struct Message {
    /// The name of the document that describes it.
    pub document: String,
    /// A reference `#/$defs/Name` into [`Catalogue::types`], or the schema itself where the type has no name.
    pub schema: Value,
}

impl Catalogue {
    /// Derives the schemas of all messages of `services`.
    ///
    /// # Errors
    /// Fails if one wire name is claimed twice, if two different types have one name, or if a name cannot be part of a
    /// URL. The error names every conflict, where it comes from and what to do.
    pub fn new(services: &[&'static ServiceDescriptor]) -> Result<Self, CatalogueError> {
        CatalogueError::unless_none(conflict::wire_names(services))?;
        let roots = Root::all(services);
        // Every message runs under both contracts, also under the one that it is not used in: only so do two types of
        // one name meet if one of them is only read and the other only written.
        let read = checked(&roots, &Contract::Deserialize)?;
        let written = checked(&roots, &Contract::Serialize)?;
        Ok(Self::of(services.to_vec(), &roots, read, written))
    }

    /// The catalogue of services whose names may be in each other's way, with everything that is.
    ///
    /// A type whose name another type has too stands in all documents as one that allows everything; a type whose name cannot
    /// be part of a URL gets another name; a method whose name another one has already is left out. All else is as in
    /// [`Catalogue::new`], and the same services always give the same catalogue.
    pub fn with_conflicts(services: &[&'static ServiceDescriptor]) -> (Self, Vec<Conflict>) {
        if let Ok(catalogue) = Self::new(services) {
            return (catalogue, Vec::new());
        }
        let mut conflicts = conflict::wire_names(services);
        let services = conflict::without_conflicts(services);
        let roots = Root::all(&services);
        let read = settle::settle(&roots, &Contract::Deserialize);
        let written = settle::settle(&roots, &Contract::Serialize);
        for conflict in read.conflicts.iter().chain(&written.conflicts) {
            if !conflicts.contains(conflict) {
                conflicts.push(conflict.clone());
            }
        }
        let shared: BTreeSet<String> = read.shared().union(written.shared()).cloned().collect();
        let (read, written) = (read.with_shared_of(&shared), written.with_shared_of(&shared));
        (Self::of(services, &roots, read, written), conflicts)
    }

    fn of(
        mut services: Vec<&'static ServiceDescriptor>,
        roots: &[Root],
        read: Derived,
        written: Derived,
    ) -> Self {
        let (types, messages) = merge::merge(roots, read, written);
        // A reader looks for the services that people call. The sort keeps the order of the others.
        services.sort_by_key(|service| service.is_internal);
        Self { services, types, messages }
    }

    /// The services, in the order in which they were given, except that internal ones come last.
    pub fn services(&self) -> &[&'static ServiceDescriptor] {
        &self.services
    }

    /// What the documents are called: the names of the services, without internal ones unless there are no others.
    pub(crate) fn title(&self) -> String {
        let is_internal = self.services.iter().all(|service| service.is_internal);
        let named = self.services.iter().filter(|service| service.is_internal == is_internal);
        named.map(|service| service.name).collect::<Vec<_>>().join(", ")
    }

    /// The service and the method that answer to `name`, which may be an alias.
    pub fn method(&self, name: &str) -> Option<(&'static ServiceDescriptor, &'static MethodDescriptor)> {
        self.services.iter().find_map(|service| Some((*service, service.method(name)?)))
    }

    /// The messages of `method`.
    ///
    /// # Panics
    /// Panics if `method` belongs to none of the catalogue's services.
    pub fn messages(&self, method: &MethodDescriptor) -> &Messages {
        self.messages.get(method.name).expect("the method belongs to a service of the catalogue")
    }

    /// The schemas of all types that have a name, by the names of their documents. References read `#/$defs/Name`.
    pub fn types(&self) -> &BTreeMap<String, Value> {
        &self.types
    }

    /// The names of all type documents, sorted.
    pub fn document_names(&self) -> BTreeSet<&str> {
        let messages = self.messages.values().flat_map(Messages::iter);
        self.types
            .keys()
            .map(String::as_str)
            .chain(messages.map(|message| message.document.as_str()))
            .collect()
    }

    /// The type document `name`: JSON Schema 2020-12 that needs no other document.
    pub fn type_document(&self, name: &str) -> Option<Value> {
        if let Some(schema) = self.types.get(name) {
            let title = name.strip_suffix(WRITTEN).unwrap_or(name);
            return Some(self.document(schema, Some(name), title));
        }
        let (method, role) = name.rsplit_once('.')?;
        let mut messages = self.messages.get(method)?.iter();
        let message = messages.find(|message| message.document == name)?;
        Some(self.document(&message.schema, None, &format!("The {role} of {method}")))
    }

    /// The schema of `message` as a document of its own, as [`Catalogue::type_document`] gives it.
    pub fn message_document(&self, message: &Message) -> Value {
        self.type_document(&message.document).expect("every message has a document")
    }

    /// Everything that is written for people and programs who have no server to ask: path and text of each file, sorted.
    /// `client.ts`, `docs.html`, `schema.md` and, as indented JSON, `index.json`, `openapi.json`, `openrpc.json` and
    /// `types/Name.json`.
    pub fn files(&self) -> Vec<(String, String)> {
        let file = |path: &str, document: &Value| (path.to_owned(), json_file(document));
        let mut files = vec![
            ("client.ts".to_owned(), self.typescript()),
            ("docs.html".to_owned(), self.html()),
            file("index.json", &self.index()),
            file("openapi.json", &self.openapi()),
            file("openrpc.json", &self.openrpc()),
            ("schema.md".to_owned(), self.markdown()),
        ];
        files.extend(self.document_names().into_iter().map(|name| {
            let document = self.type_document(name).expect("the name is one of the catalogue's");
            file(&format!("types/{name}.json"), &document)
        }));
        files
    }

    /// `schema` with what it refers to; where `itself` names it among the types, references to it become `#`.
    fn document(&self, schema: &Value, itself: Option<&str>, title: &str) -> Value {
        let mut needed = reachable([schema], &self.types);
        needed.retain(|name| Some(*name) != itself);
        let target = |name: &str| {
            if Some(name) == itself { "#".to_owned() } else { format!("{DEFINITIONS}{name}") }
        };
        let aimed = |schema: &Value| {
            let mut schema = schema.clone();
            replace_references(&mut schema, &target);
            schema
        };
        let mut document = json!({ "$schema": DIALECT, "title": title });
        let object = document.as_object_mut().expect("it was just made as an object");
        match aimed(schema) {
            Value::Object(schema) => object.extend(schema),
            Value::Bool(false) => _ = object.insert("not".to_owned(), json!({})),
            // The schema `true` allows everything, as does a document that says nothing more.
            _ => {}
        }
        if !needed.is_empty() {
            let definitions = needed.into_iter().map(|name| (name.to_owned(), aimed(&self.types[name])));
            object.insert("$defs".to_owned(), Value::Object(definitions.collect()));
        }
        document
    }
}

impl Messages {
    /// The arguments, the reply and, where there is one, the error.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        [&self.arguments, &self.reply].into_iter().chain(&self.error)
    }
}

/// A JSON document as the text of a file.
fn json_file(document: &Value) -> String {
    format!("{}\n", pretty(document))
}

fn checked(roots: &[Root], contract: &Contract) -> Result<Derived, CatalogueError> {
    let derived = derive::derive(roots, contract);
    CatalogueError::unless_none(derive::conflicts(roots, &derived, contract))?;
    Ok(derived)
}
