//! The types of the methods, said once to the runtime. The runtime's trait demands there what a message must be able to
//! do, and nothing that is generated demands it again: a message that lacks a derive is one error, on its own name.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

use super::super::model::{Method, Service};
use super::arguments;

/// A type, private to the module of the trait, that has the types of every method.
pub(super) fn methods(service: &Service) -> TokenStream {
    let methods = &service.names.methods;
    let docs = format!(" The types of the methods of `{}`.", service.names.service);
    let types = service.methods.iter().map(|method| types(service, method));
    let quiet = super::quiet();
    quote! {
        #[doc = #docs]
        #quiet
        struct #methods;
        #(#types)*
    }
}

fn types(service: &Service, method: &Method) -> TokenStream {
    let runtime = &service.runtime;
    let methods = &service.names.methods;
    let Method { cfgs, reply, .. } = method;
    let index = Literal::usize_unsuffixed(method.index);
    let arguments = arguments::ty(method);
    let error = match &method.error {
        Some(error) => error.to_token_stream(),
        None => quote! { #runtime::RpcError },
    };
    let quiet = super::quiet();
    quote! {
        #(#cfgs)*
        #quiet
        #[automatically_derived]
        impl #runtime::codegen::Method<#index> for #methods {
            type Arguments = #arguments;
            type Reply = #reply;
            type Error = #error;
        }
    }
}

/// The type arguments that pick a method's types: `::<KvMethods, 0>`.
pub(super) fn turbofish(service: &Service, method: &Method) -> TokenStream {
    let methods = &service.names.methods;
    let index = Literal::usize_unsuffixed(method.index);
    quote! { ::<#methods, #index> }
}
