//! What an RPC service *is*: descriptors of annotated traits, and the documents made from them.
//!
//! `#[traitwire::service]` writes the descriptors, such as `GREETER_SERVICE` for a trait `Greeter`.
//!
//! - [`Catalogue`] makes JSON Schema, OpenAPI, OpenRPC, TypeScript, Markdown and HTML from descriptors.
//! - [`Contract`], [`Lock`] and [`diff`] compare two versions of services and say whom a change breaks.
//! - [`check()`] says whether a JSON value fits a schema, and [`example()`] makes one that does:
//!
//! ```
//! use serde_json::json;
//!
//! let schema = json!({
//!     "type": "object",
//!     "properties": { "key": { "type": "string", "minLength": 1 } },
//!     "required": ["key"],
//! });
//! let good = traitwire_schema::example(&schema);
//! assert_eq!(traitwire_schema::check(&schema, &good), Ok(vec![]));
//! assert_eq!(traitwire_schema::check(&schema, &json!({})).map(|misfits| misfits.len()), Ok(1));
//! ```
//!
//! # Features
//!
//! - `codegen`: the code generator behind the attribute, and the scan for services that build scripts use.

mod arguments;
mod catalogue;
mod check;
#[cfg(feature = "codegen")]
pub mod codegen;
mod contract;
mod descriptor;
pub mod diff;
mod draft07;
mod errors;
mod example;
mod fingerprint;
mod html;
mod index;
mod lock;
mod markdown;
mod nearest;
mod openapi;
mod openrpc;
mod outline;
mod text;
mod typescript;
mod walk;

pub use arguments::argument_fields;
pub use catalogue::{Catalogue, CatalogueError, Conflict, Message, Messages};
pub use check::{Misfit, MisfitKind, TooIntricate, check};
pub use contract::{CONTRACT_FORMAT, Contract, ContractError, Exchange, MethodContract, ServiceContract};
pub use descriptor::{
    Compat, Idempotency, MethodDescriptor, Parameters, SchemaOf, ServiceDescriptor, schema_of,
};
pub use example::example;
pub use html::html_policy;
pub use lock::{Accepted, Allowance, LOCK_FORMAT, Lock, Refusal};
pub use nearest::nearest;
