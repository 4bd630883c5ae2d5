//! The server's side of a call: from an HTTP request to a handler and back.

mod access;
mod batch;
mod body;
mod budget;
mod connection;
mod connections;
mod content;
mod descriptors;
mod documents;
mod handler;
mod health;
mod http;
mod limits;
#[cfg(any(test, feature = "testing"))]
mod network;
mod positions;
mod replies;
mod requests;
mod router;
mod service;
mod stream;

pub use access::{AllowedHost, AllowedOrigin, InvalidAddress};
pub use descriptors::raise_descriptor_limit;
pub(crate) use handler::Handler;
pub use health::Probe;
pub use http::{HttpServer, serve};
pub use limits::Limits;
