//! The structs that carry several parameters, or none, as one JSON object.
//!
//! A struct has one type parameter a field, with the field's type as its default: so what the derives demand of a type is
//! demanded where the struct is named with its types, once, and not in every function that a derive writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use super::super::fingerprint::tokens_text;
use super::super::model::{Method, Service};

/// The structs of all methods that need one.
pub(super) fn all(service: &Service) -> TokenStream {
    let structs = service.methods.iter().filter_map(|method| {
        let arguments = method.parameters.arguments.as_ref()?;
        Some(one(service, method, arguments))
    });
    let structs: TokenStream = structs.collect();
    if structs.is_empty() {
        return structs;
    }
    quote! {
        // The derive of schemars calls `into` as the prelude allows it to.
        #[allow(unused_imports)]
        use ::core::convert::Into as _;
        #structs
    }
}

fn one(service: &Service, method: &Method, arguments: &Ident) -> TokenStream {
    let Service { runtime, visibility, .. } = service;
    let fields = &method.parameters.list;
    let cfgs = &method.cfgs;
    let types = fields.iter().map(|field| &field.ty);
    let parameters: Vec<Ident> = (0..fields.len()).map(|i| format_ident!("T{i}")).collect();
    let names = fields.iter().map(|field| &field.ident);
    let name = arguments.to_string();
    let docs = format!(" The arguments of `{}`.", method.wire_name.text);
    let serde = path_text(&quote! { #runtime::codegen::serde });
    let schemars = path_text(&quote! { #runtime::codegen::schemars });
    let quiet = super::quiet();
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        #quiet
        #[allow(missing_docs)]
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            #runtime::codegen::serde::Serialize,
            #runtime::codegen::serde::Deserialize,
            #runtime::codegen::schemars::JsonSchema,
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars, rename = #name)]
        #visibility struct #arguments<#(#parameters = #types),*> {
            #(#visibility #names: #parameters,)*
        }
    }
}

/// The type of a method's arguments: the message, or the struct with the types of its fields.
pub(super) fn ty(method: &Method) -> TokenStream {
    let types: Vec<_> = method.parameters.list.iter().map(|parameter| &parameter.ty).collect();
    let Some(arguments) = &method.parameters.arguments else { return quote! { #(#types)* } };
    let (Some(first), Some(last)) = (types.first(), types.last()) else { return quote! { #arguments } };
    // What a type cannot do is reported on the types.
    let arguments = Ident::new(&arguments.to_string(), first.span());
    let close = quote_spanned! { last.span() => > };
    quote! { #arguments<#(#types),* #close }
}

/// The expression that makes the arguments from the parameters.
pub(super) fn value(method: &Method) -> TokenStream {
    let names = method.parameters.list.iter().map(|parameter| &parameter.ident);
    match &method.parameters.arguments {
        None => quote! { #(#names)* },
        Some(arguments) => quote! { #arguments { #(#names),* } },
    }
}

fn path_text(path: &TokenStream) -> String {
    tokens_text(path).replace(' ', "")
}
