//! Collects mistakes, each with the token that is wrong, so that one run reports all of them.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far, in the order they were found.
#[derive(Default)]
pub(super) struct Mistakes {
    found: Vec<syn::Error>,
}

impl Mistakes {
    /// Reports a mistake on all of `tokens`.
    pub(super) fn on(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new_spanned(tokens, message));
    }

    /// Reports a mistake at a place.
    pub(super) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.found.push(syn::Error::new(span, message));
    }

    /// Reports what the parser of the language itself found.
    pub(super) fn syntax(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// One `compile_error!` each.
    pub(super) fn into_compile_errors(self) -> TokenStream {
        self.found.iter().map(syn::Error::to_compile_error).collect()
    }

    /// All of them as one error, if there are any.
    pub(super) fn into_result(self) -> syn::Result<()> {
        let mut found = self.found.into_iter();
        let Some(mut all) = found.next() else { return Ok(()) };
        all.extend(found);
        Err(all)
    }
}
