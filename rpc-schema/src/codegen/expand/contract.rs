//! The trait itself, and the signatures that implementations of it share.
//!
//! `#[async_trait]` names `Box` without a path, which does not resolve under `no_implicit_prelude`, so the trait is
//! written here in the form that `async_trait` gives it (its `expand.rs`: one lifetime a reference and `'async_trait`, bound
//! in a `where` clause). Implementations annotated with `#[async_trait]` match it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Ident, ReturnType, TypeParamBound};

use super::super::model::{Method, Service};

/// The trait, as written but for `#[rpc]`.
pub(super) fn contract(service: &Service) -> TokenStream {
    let Service { attributes, visibility, ident, supertraits, broken, runtime, .. } = service;
    let methods = service.methods.iter().map(|method| trait_method(service, method));
    // Methods that are wrong may have any signature: `async_trait` knows what to do with it. The others are not `async`
    // any more, so that it leaves them alone.
    let async_trait = (!broken.is_empty()).then(|| quote! { #[#runtime::async_trait] });
    quote! {
        #(#attributes)*
        #async_trait
        #visibility trait #ident: #supertraits {
            #(#methods)*
            #(#broken)*
        }
    }
}

fn trait_method(service: &Service, method: &Method) -> TokenStream {
    let attributes = &method.item.attrs;
    match &method.item.default {
        None => {
            let signature = signature(service, method, &TokenStream::new());
            quote! { #(#attributes)* #signature; }
        }
        Some(body) => {
            let sync = (!has_sync(service)).then(|| quote! { ::core::marker::Sync + });
            let signature = signature(service, method, &sync.into_token_stream());
            let body = default_body(method, body);
            quote! {
                #(#attributes)*
                #[allow(clippy::diverging_sub_expression, clippy::let_unit_value, clippy::needless_return)]
                #signature { #body }
            }
        }
    }
}

/// A default body: the block in a future that owns the parameters.
fn default_body(method: &Method, body: &syn::Block) -> TokenStream {
    let output = output(method);
    let reply = Ident::new("reply", Span::mixed_site());
    let parameters = method.parameters.list.iter().map(|parameter| {
        let (mutability, ident) = (&parameter.mutability, &parameter.ident);
        quote! { let #mutability #ident = #ident; }
    });
    quote! {
        ::std::boxed::Box::pin(async move {
            // Says what the block returns, for `?` and `return` in the body.
            if let ::core::option::Option::Some(#reply) = ::core::option::Option::None::<#output> {
                return #reply;
            }
            #(#parameters)*
            let #reply: #output = #body;
            #[allow(unreachable_code)]
            #reply
        })
    }
}

/// The signature of a method, in the trait or an implementation of it; `self_bounds` are further bounds on `Self`, each
/// with a plus behind it.
pub(super) fn signature(service: &Service, method: &Method, self_bounds: &TokenStream) -> TokenStream {
    let ident = method.ident();
    let parameters = method.parameters.list.iter().map(|parameter| {
        let (ident, ty) = (&parameter.ident, &parameter.ty);
        quote! { #ident: #ty }
    });
    let future = future(service, &output(method));
    quote! {
        fn #ident<'life0, 'async_trait>(&'life0 self, #(#parameters),*) -> #future
        where
            'life0: 'async_trait,
            Self: #self_bounds 'async_trait
    }
}

/// What an `async` method returns once it is one that can be called through `dyn`.
pub(super) fn future(service: &Service, output: &impl ToTokens) -> TokenStream {
    let runtime = &service.runtime;
    quote! { #runtime::codegen::BoxFuture<'async_trait, #output> }
}

/// The return type as it is written.
pub(super) fn output(method: &Method) -> TokenStream {
    match &method.item.sig.output {
        ReturnType::Type(_, ty) => ty.to_token_stream(),
        ReturnType::Default => quote! { () },
    }
}

/// An implementation of the trait on `ident`; the methods that are wrong get a body that is never run.
pub(super) fn implementation(
    service: &Service,
    ident: &Ident,
    body: impl Fn(&Method) -> TokenStream,
) -> TokenStream {
    let Service { ident: contract, runtime, .. } = service;
    let methods = service.methods.iter().map(|method| {
        let cfgs = &method.cfgs;
        let signature = signature(service, method, &TokenStream::new());
        let body = body(method);
        quote! { #(#cfgs)* #signature { #body } }
    });
    let broken = service.broken.iter().map(|item| {
        let cfgs = super::super::cfg::cfgs(&item.attrs);
        let signature = &item.sig;
        quote! {
            #(#cfgs)*
            #[allow(unused_variables)]
            #signature { ::core::unreachable!() }
        }
    });
    let async_trait = (!service.broken.is_empty()).then(|| quote! { #[#runtime::async_trait] });
    let quiet = super::quiet();
    quote! {
        #quiet
        #[automatically_derived]
        #async_trait
        impl #contract for #ident {
            #(#methods)*
            #(#broken)*
        }
    }
}

fn has_sync(service: &Service) -> bool {
    service.supertraits.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().is_some_and(|segment| segment.ident == "Sync")
        }
        _ => false,
    })
}
