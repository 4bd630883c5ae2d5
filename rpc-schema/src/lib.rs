//! What an RPC service *is*: descriptors of annotated traits, the documents made from them and, behind the feature
//! `codegen`, the code generator that writes the descriptors.

mod arguments;
#[cfg(feature = "codegen")]
pub mod codegen;
mod descriptor;
mod nearest;

pub use arguments::argument_fields;
pub use descriptor::{
    Compat, Idempotency, MethodDescriptor, Parameters, SchemaOf, ServiceDescriptor, schema_of,
};
pub use nearest::nearest;
