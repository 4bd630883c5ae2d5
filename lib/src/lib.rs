//! One annotated trait is the whole contract of a service: this crate is what the code generated from it runs on, and
//! what hand-written servers and clients use beside it.

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
