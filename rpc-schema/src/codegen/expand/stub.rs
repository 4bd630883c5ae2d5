//! The client stub: calls of the trait become calls by name, on a server somewhere.

use proc_macro2::TokenStream;
use quote::quote;

use super::super::model::{Method, Service};
use super::methods::turbofish;
use super::{arguments, contract, descriptor};

/// The stub with its constructors, the descriptors of the methods, and its implementation of the trait.
pub(super) fn stub(service: &Service) -> TokenStream {
    let Service { runtime, visibility, .. } = service;
    let (name, stub) = (&service.names.service, &service.names.stub);
    let docs = format!(" Calls [`{name}`] on a server: the client side of the trait.");
    let descriptors = service.methods.iter().map(|method| descriptor::method(service, method));
    let implementation = contract::implementation(service, stub, |method| body(service, method));
    let quiet = super::quiet();
    quote! {
        #[doc = #docs]
        #quiet
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #stub {
            client: #runtime::RpcClient,
        }

        #quiet
        impl #stub {
            #(#descriptors)*

            /// Calls through `client`.
            #visibility fn new(client: #runtime::RpcClient) -> Self {
                Self { client }
            }

            /// Calls the server at `url`, such as `http://127.0.0.1:7101`, with the default settings.
            #visibility fn connect(url: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self::new(#runtime::RpcClient::new(::core::convert::Into::into(url), 0))
            }

            /// The client that carries the calls.
            #visibility fn client(&self) -> &#runtime::RpcClient {
                &self.client
            }
        }

        #implementation
    }
}

fn body(service: &Service, method: &Method) -> TokenStream {
    let runtime = &service.runtime;
    let constant = &method.constant;
    let ask = match &method.error {
        None => quote! { ask },
        Some(_) => quote! { ask_typed },
    };
    let types = turbofish(service, method);
    let arguments = arguments::value(method);
    quote! { #runtime::codegen::#ask #types(&self.client, Self::#constant, #arguments) }
}
