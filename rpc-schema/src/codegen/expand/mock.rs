//! The mock: a table of closures that implements the trait, for tests of the user's own code.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Ident;

use super::super::model::{Method, Service};
use super::super::names::mock_setter;
use super::contract;
use super::methods::turbofish;

/// The mock, which exists where the runtime has its feature `testing`.
pub(super) fn mock(service: &Service) -> TokenStream {
    let Service { runtime, visibility, .. } = service;
    let (name, mock) = (&service.names.service, &service.names.mock);
    let docs = format!(
        " A [`{name}`] for tests, which answers as it is told. A method without an answer is `unimplemented`."
    );
    let fields = service.methods.iter().map(field);
    let setters = service.methods.iter().map(|method| setter(service, method));
    let implementation = contract::implementation(service, mock, |method| body(service, method));
    let quiet = super::quiet();
    quote! {
        #runtime::codegen::if_testing! {
            #[doc = #docs]
            #quiet
            #[allow(missing_debug_implementations)]
            #[derive(::core::default::Default)]
            #visibility struct #mock {
                #(#fields,)*
            }

            #quiet
            impl #mock {
                /// A mock without answers.
                #visibility fn new() -> Self {
                    ::core::default::Default::default()
                }

                #(#setters)*
            }

            #implementation
        }
    }
}

fn field(method: &Method) -> TokenStream {
    let cfgs = &method.cfgs;
    let ident = method.ident();
    let closure = closure(method);
    quote! {
        #(#cfgs)*
        #ident: ::core::option::Option<
            ::std::boxed::Box<dyn #closure + ::core::marker::Send + ::core::marker::Sync>
        >
    }
}

fn setter(service: &Service, method: &Method) -> TokenStream {
    let visibility = &service.visibility;
    let cfgs = &method.cfgs;
    let ident = method.ident();
    let setter = mock_setter(ident);
    let closure = closure(method);
    let docs = format!(" Answers `{}` with what `answer` gives.", method.wire_name.text);
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        #[must_use]
        #visibility fn #setter(
            mut self,
            answer: impl #closure + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.#ident = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
    }
}

fn body(service: &Service, method: &Method) -> TokenStream {
    let runtime = &service.runtime;
    let ident = method.ident();
    let parameters: Vec<&Ident> = method.parameters.list.iter().map(|parameter| &parameter.ident).collect();
    let message = format!(
        "`{}` has no answer for `{}`: give it one with `{}`",
        service.names.mock,
        method.wire_name.text,
        mock_setter(ident),
    );
    // A parameter may be called `answer` too.
    let answer = Ident::new("answer", Span::mixed_site());
    let types = turbofish(service, method);
    let error = quote! { #runtime::codegen::unanswered #types(#message) };
    quote! {
        ::std::boxed::Box::pin(async move {
            match &self.#ident {
                ::core::option::Option::Some(#answer) => #answer(#(#parameters),*),
                ::core::option::Option::None => ::core::result::Result::Err(#error),
            }
        })
    }
}

fn closure(method: &Method) -> TokenStream {
    let types = method.parameters.list.iter().map(|parameter| &parameter.ty);
    let output = contract::output(method);
    quote! { ::core::ops::Fn(#(#types),*) -> #output }
}
