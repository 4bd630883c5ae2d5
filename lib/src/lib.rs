//! RPC services from annotated Rust traits, over JSON and HTTP.
//!
//! [`macro@service`] turns a trait into a server, a typed client and the descriptor from which OpenAPI, OpenRPC and
//! TypeScript documents are made. This crate is the runtime of that code.
//!
//! ```
//! use traitwire::{RpcResult, async_trait};
//!
//! #[traitwire::service]
//! pub trait Greeter: Send + Sync {
//!     /// Greets somebody.
//!     #[rpc(read_only)]
//!     async fn greet(&self, name: String) -> RpcResult<String>;
//! }
//!
//! struct Friendly;
//!
//! #[async_trait]
//! impl Greeter for Friendly {
//!     async fn greet(&self, name: String) -> RpcResult<String> {
//!         Ok(format!("hello, {name}"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! tokio::spawn(traitwire::serve(listener, GreeterServer::new(Friendly), std::future::pending()));
//!
//! assert_eq!(GreeterStub::connect(url).greet("Ada".to_owned()).await?, "hello, Ada");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - To write a service: [`macro@service`], [`RpcResult`] and [`RpcError`].
//! - To serve it: [`serve()`], or [`HttpServer`] with [`Limits`] and layers; [`Services`] for several on one port.
//! - To call it: the generated stub, over an [`RpcClient`].
//! - Around every call, on either side: [`Layer`].
//!
//! # Features
//!
//! - `testing`: mocks of annotated traits, and a transport that loses and delays calls.

mod call;
mod client;
#[doc(hidden)]
pub mod codegen;
mod error;
mod jsonrpc;
mod layer;
pub mod log;
mod mount;
mod persister;
mod retry;
mod rpc;
mod server;
mod transport;

pub use async_trait::async_trait;
pub use axum::http;
pub use bytes::Bytes;
pub use call::{CLIENT_ID, Call, CallContext, PEER, TIMEOUT_MS, TRACEPARENT};
pub use client::{KVError, KvClient, Version};
pub use error::{Code, Executed, RpcError, RpcResult};
pub use layer::{Layer, Next};
pub use mount::Services;
pub use persister::Persister;
pub use retry::Retry;
pub use rpc::{RpcClient, RpcClientBuilder, Server};
pub use server::{
    AllowedHost, AllowedOrigin, HttpServer, InvalidAddress, Limits, Probe, raise_descriptor_limit, serve,
};
pub use traitwire_macros::service;
pub use traitwire_schema::{Compat, Idempotency, MethodDescriptor, Parameters, ServiceDescriptor, schema_of};
#[cfg(any(test, feature = "testing"))]
pub use transport::{BodyPieces, Network};
pub use transport::{CoalesceLimits, HttpTransport, InProcess, Transport};
#[cfg(feature = "testing")]
pub use transport::{Faults, FaultyTransport};
