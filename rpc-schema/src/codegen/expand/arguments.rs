//! The structs that carry several parameters, or none, as one JSON object.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Ident;

use super::super::fingerprint::tokens_text;
use super::super::model::{Method, Parameter, Parameters, Service};

/// The structs of all methods that need one.
pub(super) fn all(service: &Service) -> TokenStream {
    let structs = service.methods.iter().filter_map(|method| match &method.parameters {
        Parameters::Fields { arguments, fields } => Some(one(service, method, arguments, fields)),
        Parameters::Message(_) => None,
    });
    structs.collect()
}

fn one(service: &Service, method: &Method, arguments: &Ident, fields: &[Parameter]) -> TokenStream {
    let Service { runtime, visibility, .. } = service;
    let cfgs = &method.cfgs;
    let fields = fields.iter().map(|Parameter { ident, ty, .. }| quote! { #visibility #ident: #ty });
    let docs = format!("The arguments of `{}`.", method.wire_name.text);
    let serde = path_text(&quote! { #runtime::codegen::serde });
    let schemars = path_text(&quote! { #runtime::codegen::schemars });
    let quiet = super::quiet();
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        #quiet
        #[allow(missing_docs)]
        #[derive(
            #runtime::codegen::serde::Serialize,
            #runtime::codegen::serde::Deserialize,
            #runtime::codegen::schemars::JsonSchema,
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #visibility struct #arguments {
            #(#fields,)*
        }
    }
}

/// The type of a method's arguments: the message, or the struct.
pub(super) fn ty(method: &Method) -> TokenStream {
    match &method.parameters {
        Parameters::Message(parameter) => parameter.ty.to_token_stream(),
        Parameters::Fields { arguments, .. } => arguments.to_token_stream(),
    }
}

/// The expression that makes the arguments from the parameters.
pub(super) fn value(method: &Method) -> TokenStream {
    match &method.parameters {
        Parameters::Message(parameter) => parameter.ident.to_token_stream(),
        Parameters::Fields { arguments, fields } => {
            let names = fields.iter().map(|field| &field.ident);
            quote! { #arguments { #(#names),* } }
        }
    }
}

fn path_text(path: &TokenStream) -> String {
    tokens_text(path).replace(' ', "")
}
