//! What a service is, as static data: the macro writes these, everything else reads them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// How a type's schema is asked for; the generator's settings choose the contract.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`, as a plain function that a static can hold.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One annotated trait.
#[derive(Debug)]
pub struct ServiceDescriptor {
    /// The trait's name, such as `Kv`.
    pub name: &'static str,
    /// The wire prefix, without the dot; empty when methods have bare names.
    pub prefix: &'static str,
    /// The trait's doc comment.
    pub docs: &'static str,
    /// What `schema check` holds this service to.
    pub compat: Compat,
    /// Whether the service is for other parts of the same system, such as its nodes, and not for its users. Documents
    /// show internal services last.
    pub is_internal: bool,
    /// The methods, in the order of the trait.
    pub methods: &'static [&'static MethodDescriptor],
    /// Wire names that once existed and may not be used again.
    pub reserved: &'static [&'static str],
    /// A hash of names, attributes and types as they are written in the source.
    pub fingerprint: u64,
    /// The source file that holds the trait.
    pub file: &'static str,
    /// The line of the trait in that file, counted from 1.
    pub line: u32,
}

/// One method of an annotated trait.
#[derive(Debug)]
pub struct MethodDescriptor {
    /// The name on the wire, prefix included, such as `raft.append_entries`.
    pub name: &'static str,
    /// Further wire names that reach this method.
    pub aliases: &'static [&'static str],
    /// The method's doc comment.
    pub docs: &'static str,
    /// What a client may repeat by itself.
    pub idempotency: Idempotency,
    /// The default deadline of a call, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often a client repeats a call that failed; `None` leaves it to the client.
    pub retries: Option<u32>,
    /// After how many milliseconds without a reply a second copy is sent; read-only methods alone.
    pub hedge_ms: Option<u64>,
    /// Whether the handler runs to its end when its caller leaves.
    pub detach: bool,
    /// Why and in favour of what the method is deprecated.
    pub deprecated: Option<&'static str>,
    /// Where the arguments come from: one message, or one field a parameter.
    pub parameters: Parameters,
    /// The schema of the arguments.
    pub arguments: SchemaOf,
    /// The schema of the reply.
    pub reply: SchemaOf,
    /// The schema of the method's own error, where it has one.
    pub error: Option<SchemaOf>,
}

/// What a client may repeat by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idempotency {
    /// Changes state: never repeated by the client.
    None,
    /// Changes state, the same way however often it runs.
    Idempotent,
    /// Changes nothing.
    ReadOnly,
}

/// How a method's parameters become one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// The trait method has one parameter, which is the message.
    Message,
    /// The message is an object with these fields, in this order.
    Fields(&'static [&'static str]),
}

/// How strictly `schema check` treats a change of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// Old and new must understand each other both ways.
    Full,
    /// Old clients must go on working against a new server.
    Backward,
    /// Changes are reported only.
    None,
}

impl ServiceDescriptor {
    /// The method with this wire name or alias.
    pub fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        self.methods.iter().copied().find(|method| method.answers_to(name))
    }
}

impl MethodDescriptor {
    /// Whether `name` is this method's wire name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Whether a call changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.idempotency == Idempotency::ReadOnly
    }
}

impl Idempotency {
    /// The word used in documents: `none`, `idempotent` or `read_only`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idempotent => "idempotent",
            Self::ReadOnly => "read_only",
        }
    }
}

impl Compat {
    /// The word used in attributes and documents: `full`, `backward` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Backward => "backward",
            Self::None => "none",
        }
    }
}
