//! Model -> tokens: one module and one function an emitted item.
//!
//! All paths are absolute and nothing from the prelude is used, so that the code works under `no_implicit_prelude`.
//! Everything has the visibility of the trait, and everything of a method its `#[cfg]`s.

mod arguments;
mod contract;
mod descriptor;
mod methods;
mod mock;
mod server;
mod stub;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemTrait, Path};

use super::model::Service;

/// Everything that becomes of an annotated trait.
pub(super) fn service(service: &Service) -> TokenStream {
    let contract = contract::contract(service);
    let arguments = arguments::all(service);
    let methods = methods::methods(service);
    let descriptor = descriptor::service(service);
    let server = server::server(service);
    let stub = stub::stub(service);
    let mock = mock::mock(service);
    quote! { #contract #arguments #methods #descriptor #server #stub #mock }
}

/// A trait of which no more than itself can be emitted.
pub(super) fn trait_only(item: &ItemTrait, runtime: &Path) -> TokenStream {
    quote! {
        #[#runtime::async_trait]
        #item
    }
}

/// Switches off what a lint would say of generated code: not all of it is used everywhere, it calls methods that are
/// deprecated for people, and what is to be said of the types of a method is said at the trait.
fn quiet() -> TokenStream {
    quote! { #[allow(dead_code, deprecated, unused_qualifications, clippy::all)] }
}
