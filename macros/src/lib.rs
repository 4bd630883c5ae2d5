//! The `#[service]` attribute: one annotated trait becomes a server, a typed client, a descriptor and a mock.

use proc_macro::TokenStream;

/// Makes a trait the whole contract of a service. See the crate `traitwire`, which re-exports it.
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    traitwire_schema::codegen::expand(attribute.into(), item.into()).into()
}
