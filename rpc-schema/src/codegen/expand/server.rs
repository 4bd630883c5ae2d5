//! The server adapter: calls by name become calls of the trait.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::super::model::{Method, Service};
use super::contract::future;
use super::methods::turbofish;

/// The adapter with its constructors and the implementation of the runtime's `Server`.
pub(super) fn server(service: &Service) -> TokenStream {
    let adapter = adapter(service);
    let respond = respond(service);
    let implementation = implementation(service);
    quote! { #adapter #respond #implementation }
}

fn adapter(service: &Service) -> TokenStream {
    let visibility = &service.visibility;
    let (name, server) = (&service.names.service, &service.names.server);
    let docs = format!(" Serves an implementation of [`{name}`]: calls by name become calls of the trait.");
    let quiet = super::quiet();
    quote! {
        #[doc = #docs]
        #quiet
        #[allow(missing_debug_implementations)]
        #visibility struct #server<T: ?::core::marker::Sized> {
            inner: ::std::sync::Arc<T>,
        }

        #quiet
        impl<T> #server<T> {
            /// Serves `inner`.
            #visibility fn new(inner: T) -> Self {
                Self { inner: ::std::sync::Arc::new(inner) }
            }
        }

        #quiet
        impl<T: ?::core::marker::Sized> #server<T> {
            /// Serves what others hold too.
            #visibility fn from_arc(inner: ::std::sync::Arc<T>) -> Self {
                Self { inner }
            }
        }

        #[automatically_derived]
        impl<T: ?::core::marker::Sized> ::core::clone::Clone for #server<T> {
            fn clone(&self) -> Self {
                Self { inner: ::core::clone::Clone::clone(&self.inner) }
            }
        }
    }
}

/// The one `match` on the name.
fn respond(service: &Service) -> TokenStream {
    let Service { ident, runtime, .. } = service;
    let (server, descriptor) = (&service.names.server, &service.names.descriptor);
    let arms = service.methods.iter().map(|method| arm(service, method));
    let quiet = super::quiet();
    quote! {
        #quiet
        impl<T: #ident + ?::core::marker::Sized> #server<T> {
            #[allow(unused_variables)]
            async fn respond(
                &self,
                name: &str,
                arguments: &str,
            ) -> ::core::result::Result<::std::string::String, #runtime::RpcError> {
                match name {
                    #(#arms)*
                    _ => ::core::result::Result::Err(#runtime::codegen::unknown_method(&[&#descriptor], name)),
                }
            }
        }
    }
}

fn arm(service: &Service, method: &Method) -> TokenStream {
    let Service { ident: contract, runtime, .. } = service;
    let stub = &service.names.stub;
    let Method { cfgs, constant, .. } = method;
    let ident = method.ident();
    let names = method.wire_names().map(|name| &name.text);
    let fields = method.parameters.list.iter().map(|field| &field.ident);
    let call = match (&method.parameters.arguments, fields.len()) {
        (None, _) => quote! { |arguments| <T as #contract>::#ident(&*self.inner, arguments) },
        (Some(_), 0) => quote! { |_| <T as #contract>::#ident(&*self.inner) },
        (Some(_), _) => quote! { |arguments| <T as #contract>::#ident(&*self.inner, #(arguments.#fields),*) },
    };
    let types = turbofish(service, method);
    let answer = match &method.error {
        None => quote! { #runtime::codegen::answer #types(#stub::#constant, arguments, #call).await },
        Some(_) => answer_typed(service, method, &call),
    };
    quote! {
        #(#cfgs)*
        #(#names)|* => {
            #answer
        }
    }
}

/// The answer of a method with an error type of its own, which may say what the error is on the wire.
fn answer_typed(service: &Service, method: &Method, call: &TokenStream) -> TokenStream {
    let Service { runtime, .. } = service;
    let (stub, methods, constant) = (&service.names.stub, &service.names.methods, &method.constant);
    let index = Literal::usize_unsuffixed(method.index);
    let types = turbofish(service, method);
    quote! {
        {
            #[allow(unused_imports)]
            use #runtime::codegen::{Said as _, Unsaid as _};
            let status = (&#runtime::codegen::Probe::<
                <#methods as #runtime::codegen::Method<#index>>::Error,
            >::new()).status();
            #runtime::codegen::answer_typed #types(#stub::#constant, arguments, status, #call).await
        }
    }
}

fn implementation(service: &Service) -> TokenStream {
    let Service { ident, runtime, .. } = service;
    let (server, descriptor) = (&service.names.server, &service.names.descriptor);
    let text = future(service, &quote! { ::std::string::String });
    let bytes = quote! { #runtime::codegen::Bytes };
    let result = future(service, &quote! { ::core::result::Result<#bytes, #runtime::RpcError> });
    quote! {
        #[automatically_derived]
        impl<T: #ident + ?::core::marker::Sized + 'static> #runtime::Server for #server<T> {
            fn dispatch<'life0, 'life1, 'async_trait>(
                &'life0 self,
                name: &'life1 str,
                arguments: ::std::string::String,
            ) -> #text
            where
                'life0: 'async_trait,
                'life1: 'async_trait,
                Self: 'async_trait,
            {
                ::std::boxed::Box::pin(async move {
                    #runtime::codegen::to_wire(self.respond(name, &arguments).await)
                })
            }

            fn try_dispatch<'life0, 'life1, 'async_trait>(
                &'life0 self,
                name: &'life1 str,
                arguments: #bytes,
            ) -> #result
            where
                'life0: 'async_trait,
                'life1: 'async_trait,
                Self: 'async_trait,
            {
                ::std::boxed::Box::pin(async move {
                    self.respond(name, #runtime::codegen::text(&arguments)?).await.map(::core::convert::Into::into)
                })
            }

            fn method(
                &self,
                name: &str,
            ) -> ::core::option::Option<&'static #runtime::codegen::MethodDescriptor> {
                #descriptor.method(name)
            }

            fn services(&self) -> ::std::vec::Vec<&'static #runtime::codegen::ServiceDescriptor> {
                ::std::vec![&#descriptor]
            }
        }
    }
}
