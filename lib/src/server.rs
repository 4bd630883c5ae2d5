//! The server's side of a call: from an HTTP request to a handler and back.

mod batch;
mod body;
mod connections;
mod documents;
mod handler;
mod health;
mod http;
mod limits;
#[cfg(any(test, feature = "testing"))]
mod network;
mod positions;
mod router;
mod service;

pub(crate) use handler::Handler;
pub use health::Probe;
pub use http::{HttpServer, serve};
pub use limits::Limits;
