//! One small service that has something of everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire_schema::{Catalogue, Compat, Idempotency, MethodDescriptor, ServiceDescriptor, schema_of};

use super::{METHOD, SERVICE};

/// What to write where.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct PutArgs {
    /// The key, which may not be empty.
    pub(crate) key: String,
    pub(crate) value: String,
    /// The version that is to be replaced.
    #[serde(default)]
    pub(crate) version: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct PutReply {
    pub(crate) version: u64,
    pub(crate) err: Option<KvError>,
}

/// Why a key was not written.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) enum KvError {
    NoKey,
    Version,
}

pub(crate) static PUT: MethodDescriptor = MethodDescriptor {
    name: "kv.put",
    aliases: &["kv.set"],
    docs: "Writes a key if its version is the one given.\n\nAn absent key has version 0.",
    idempotency: Idempotency::Idempotent,
    timeout_ms: Some(2000),
    retries: Some(3),
    deprecated: Some("use kv.write"),
    arguments: schema_of::<PutArgs>,
    reply: schema_of::<PutReply>,
    ..METHOD
};

pub(crate) static COUNT: MethodDescriptor = MethodDescriptor {
    name: "kv.count",
    docs: "Counts keys.",
    idempotency: Idempotency::ReadOnly,
    hedge_ms: Some(20),
    detach: false,
    arguments: schema_of::<Vec<String>>,
    reply: schema_of::<u64>,
    error: Some(schema_of::<KvError>),
    ..METHOD
};

pub(crate) static SYNC: MethodDescriptor = MethodDescriptor { name: "kv.sync", ..METHOD };

pub(crate) static KV: ServiceDescriptor = ServiceDescriptor {
    name: "Kv",
    prefix: "kv",
    docs: "A key-value store.",
    compat: Compat::Full,
    is_internal: false,
    methods: &[&PUT, &COUNT, &SYNC],
    reserved: &["kv.old"],
    ..SERVICE
};

pub(crate) fn kv() -> Catalogue {
    Catalogue::new(&[&KV]).expect("there are no conflicts")
}
