//! What an RPC service *is*: descriptors of annotated traits, the documents made from them and, behind the feature
//! `codegen`, the code generator that writes the descriptors.

mod arguments;
mod catalogue;
#[cfg(feature = "codegen")]
pub mod codegen;
mod descriptor;
mod draft07;
mod example;
mod fingerprint;
mod index;
mod nearest;
mod openrpc;
mod text;
mod walk;

pub use arguments::argument_fields;
pub use catalogue::{Catalogue, CatalogueError, Conflict, Message, Messages};
pub use descriptor::{
    Compat, Idempotency, MethodDescriptor, Parameters, SchemaOf, ServiceDescriptor, schema_of,
};
pub use example::example;
pub use nearest::nearest;
