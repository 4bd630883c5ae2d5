//! A server without sockets: it answers the HTTP requests that the transport of a test sends.

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::access::LocalAddress;
use super::router::{self, Origin};
use super::service::Service;
use crate::error::{RpcError, RpcResult};
use crate::transport::{BodyPieces, Network};

/// Answers requests as behind a socket.
pub(super) struct InMemory(pub(super) Service);

#[async_trait]
impl Network for InMemory {
    async fn exchange(&self, request: Request<Bytes>) -> RpcResult<Response<BodyPieces>> {
        let origin = Origin { address: LocalAddress::Unknown, connection: None };
        let response = router::respond(&self.0, origin, request.map(Body::from)).await;
        let (pieces, coming) = mpsc::unbounded_channel();
        let (parts, body) = response.into_parts();
        tokio::spawn(send_all(body, pieces));
        Ok(Response::from_parts(parts, coming))
    }
}

/// Sends a body piece by piece, until the client leaves.
async fn send_all(mut body: Body, pieces: UnboundedSender<RpcResult<Bytes>>) {
    loop {
        let frame = tokio::select! {
            biased;
            () = pieces.closed() => return,
            frame = body.frame() => frame,
        };
        let piece = match frame {
            None => return,
            Some(Ok(frame)) => {
                frame.into_data().map_err(|_| RpcError::internal("a body has no trailers here"))
            }
            Some(Err(error)) => Err(RpcError::unavailable(error.to_string())),
        };
        // The client may leave at this moment.
        let _left = pieces.send(piece);
    }
}
