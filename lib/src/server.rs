//! The server's side of a call: from an HTTP request to a handler and back.

mod batch;
mod connections;
mod documents;
mod handler;
mod http;
mod limits;
mod positions;

pub(crate) use handler::Handler;
pub use http::{HttpServer, serve};
pub use limits::Limits;
