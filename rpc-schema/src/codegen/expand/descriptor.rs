//! The descriptors: what the service and its methods are, as static data.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::LitInt;
use syn::ext::IdentExt;

use super::super::fingerprint;
use super::super::model::{Method, Service, WireName};
use super::methods::turbofish;
use crate::{Compat, Idempotency};

/// The static descriptor of the service.
pub(super) fn service(service: &Service) -> TokenStream {
    let Service { runtime, visibility, ident, docs, prefix, .. } = service;
    let (name, descriptor, stub) = (&service.names.service, &service.names.descriptor, &service.names.stub);
    let methods = service.methods.iter().map(|Method { cfgs, constant, .. }| {
        quote! { #(#cfgs)* #stub::#constant }
    });
    let reserved = texts(&service.reserved);
    let is_internal = service.is_internal;
    let fingerprint = LitInt::new(&format!("{:#018x}", fingerprint::of(service)), Span::call_site());
    let compat = match service.compat {
        Compat::Full => quote! { Full },
        Compat::Backward => quote! { Backward },
        Compat::None => quote! { None },
    };
    let item_docs =
        format!(" What the service [`{name}`] is: its methods, their attributes and their schemas.");
    // With the span of the trait's name these say where that stands, and not where the attribute does.
    let file = quote_spanned! { ident.span() => ::core::file!() };
    let line = quote_spanned! { ident.span() => ::core::line!() };
    let quiet = super::quiet();
    quote! {
        #[doc = #item_docs]
        #quiet
        #visibility static #descriptor: #runtime::codegen::ServiceDescriptor = #runtime::codegen::ServiceDescriptor {
            name: #name,
            prefix: #prefix,
            docs: #docs,
            compat: #runtime::codegen::Compat::#compat,
            is_internal: #is_internal,
            methods: &[#(#methods),*],
            reserved: &[#(#reserved),*],
            fingerprint: #fingerprint,
            file: #file,
            line: #line,
        };
    }
}

/// The descriptor of a method, a constant of the stub.
pub(super) fn method(service: &Service, method: &Method) -> TokenStream {
    let Service { runtime, visibility, .. } = service;
    let Method { cfgs, constant, docs, detach, .. } = method;
    let name = &method.wire_name.text;
    let aliases = texts(&method.aliases);
    let idempotency = match method.idempotency {
        Idempotency::None => quote! { None },
        Idempotency::Idempotent => quote! { Idempotent },
        Idempotency::ReadOnly => quote! { ReadOnly },
    };
    let timeout_ms = option(method.timeout_ms.map(Literal::u64_unsuffixed));
    let retries = option(method.retries.map(Literal::u32_unsuffixed));
    let hedge_ms = option(method.hedge_ms.map(Literal::u64_unsuffixed));
    let deprecated = option(method.deprecated.as_deref());
    let parameters = parameters(service, method);
    let types = turbofish(service, method);
    let error = option(method.error.as_ref().map(|_| quote! { #runtime::codegen::error_schema #types }));
    let item_docs = format!(" What `{name}` is: its attributes and its schemas.");
    quote! {
        #(#cfgs)*
        #[doc = #item_docs]
        #visibility const #constant: &'static #runtime::codegen::MethodDescriptor = &#runtime::codegen::MethodDescriptor {
            name: #name,
            aliases: &[#(#aliases),*],
            docs: #docs,
            idempotency: #runtime::codegen::Idempotency::#idempotency,
            timeout_ms: #timeout_ms,
            retries: #retries,
            hedge_ms: #hedge_ms,
            detach: #detach,
            deprecated: #deprecated,
            parameters: #parameters,
            arguments: #runtime::codegen::arguments_schema #types,
            reply: #runtime::codegen::reply_schema #types,
            error: #error,
        };
    }
}

fn parameters(service: &Service, method: &Method) -> TokenStream {
    let runtime = &service.runtime;
    if method.parameters.arguments.is_none() {
        return quote! { #runtime::codegen::Parameters::Message };
    }
    let names = method.parameters.list.iter().map(|field| field.ident.unraw().to_string());
    quote! { #runtime::codegen::Parameters::Fields(&[#(#names),*]) }
}

fn option(value: Option<impl quote::ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote! { ::core::option::Option::Some(#value) },
        None => quote! { ::core::option::Option::None },
    }
}

fn texts(names: &[WireName]) -> impl Iterator<Item = &String> {
    names.iter().map(|name| &name.text)
}
