//! What an RPC service *is*: descriptors of annotated traits, the documents made from them and, behind the feature
//! `codegen`, the code generator that writes the descriptors.

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
