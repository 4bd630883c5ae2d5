//! A network that tests bring: it carries the HTTP requests of an [`HttpTransport`](crate::HttpTransport) instead of sockets.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::{Body, Request, Response};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{RpcError, RpcResult};

/// The pieces of a response body as they arrive; an error breaks the connection. The receiver is dropped when the client
/// leaves.
pub type BodyPieces = UnboundedReceiver<RpcResult<Bytes>>;

/// Carries HTTP requests in place of sockets.
#[async_trait]
pub trait Network: Send + Sync {
    /// Sends a request and gives the head of its response. The future is dropped when the client leaves.
    async fn exchange(&self, request: http::Request<Bytes>) -> RpcResult<http::Response<BodyPieces>>;
}

pub(super) async fn execute(network: &dyn Network, request: Request) -> RpcResult<Response> {
    let body = request.body().and_then(Body::as_bytes).map_or_else(Bytes::new, Bytes::copy_from_slice);
    let mut sent = http::Request::new(body);
    *sent.method_mut() = request.method().clone();
    *sent.uri_mut() = request.url().path().parse().map_err(|error: http::uri::InvalidUri| {
        RpcError::internal(format!("`{}` is not a path: {error}", request.url().path()))
    })?;
    *sent.headers_mut() = request.headers().clone();
    let response = network.exchange(sent).await?;
    Ok(response.map(into_body).into())
}

fn into_body(mut pieces: BodyPieces) -> Body {
    let frames = stream::poll_fn(move |context| {
        pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    Body::wrap(StreamBody::new(frames))
}

#[async_trait]
impl<N: Network + ?Sized> Network for Arc<N> {
    async fn exchange(&self, request: http::Request<Bytes>) -> RpcResult<http::Response<BodyPieces>> {
        (**self).exchange(request).await
    }
}
