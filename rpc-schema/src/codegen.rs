//! The code generator, an ordinary library over token streams: `parse` turns an annotated trait into a [`model`], and
//! `expand` turns the model into the server, the client stub, the descriptor and the mock. The attribute macro and the
//! source scan of build scripts ([`index`]) are thin shells over it.
//!
//! Every mistake is collected and reported on the token that is wrong. The trait is always emitted, and with it as much
//! of what is generated as the mistakes allow, so that one mistake is one error.

mod attributes;
mod cfg;
mod expand;
mod fingerprint;
pub mod index;
mod mistakes;
pub mod model;
mod names;
mod parse;
mod print;
mod validate;

use proc_macro2::TokenStream;
use quote::quote;

use mistakes::Mistakes;
use parse::Parsed;
pub use print::pretty;

/// Expands `#[service(attribute)]` on `item`: the trait, what is generated for it, and a `compile_error!` for each
/// mistake. With the environment variable `TRAITWIRE_EXPAND` set to the name of the trait, or to `1`, the expansion is
/// also printed on standard error.
pub fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let parsed = parse::parse(attribute, item, &mut mistakes);
    let items = match &parsed {
        Parsed::Service(service) => expand::service(service),
        Parsed::TraitOnly(item, runtime) => expand::trait_only(item, runtime),
        Parsed::Conditional(tokens) | Parsed::NoTrait(tokens) => tokens.clone(),
    };
    let errors = mistakes.into_compile_errors();
    let expansion = quote! { #items #errors };
    if let Parsed::Service(service) = &parsed {
        print::print_if_asked(&service.names.service, &expansion);
    }
    expansion
}

/// Parses an annotated trait without expanding it: the model, and all mistakes as one error.
///
/// # Errors
/// Fails if the item is no trait, has a `#[cfg]`, or has any mistake that the macro would report.
pub fn parse(attribute: TokenStream, item: TokenStream) -> syn::Result<model::Service> {
    let mut mistakes = Mistakes::default();
    let parsed = parse::parse(attribute, item, &mut mistakes);
    mistakes.into_result()?;
    match parsed {
        Parsed::Service(service) => Ok(*service),
        Parsed::Conditional(item) => {
            Err(syn::Error::new_spanned(item, "whether this exists, only a compiler knows"))
        }
        Parsed::TraitOnly(..) | Parsed::NoTrait(_) => {
            unreachable!("an item that is no service has at least one mistake")
        }
    }
}
