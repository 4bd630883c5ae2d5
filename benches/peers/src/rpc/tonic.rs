//! gRPC with tonic: what its code generator would write is written by hand, so that building needs no `protoc`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use anyhow::Result;
use futures_util::future::{BoxFuture, Ready, ready};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::message::{Echo, Message};
use crate::harness::grpc::unary;

/// How many calls may be under way on a connection: more than are ever made.
const STREAMS: u32 = 1 << 16;

/// The service; every path of it is the one method.
#[derive(Clone)]
struct Echoing;

impl NamedService for Echoing {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<Body>> for Echoing {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut grpc = Grpc::new(ProstCodec::<Message, Message>::default());
            Ok(grpc.unary(Method, request).await)
        })
    }
}

/// The method.
struct Method;

impl Service<Request<Message>> for Method {
    type Response = Response<Message>;
    type Error = Status;
    type Future = Ready<Result<Response<Message>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = Server::builder().max_concurrent_streams(STREAMS);
    Ok(server.add_service(Echoing).serve_with_incoming(incoming).await?)
}

/// A client; clones share its connection.
#[derive(Clone)]
pub struct Client(Channel);

/// A client of the server at this address.
pub async fn connect(address: SocketAddr) -> Result<Client> {
    Ok(Client(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?))
}

impl Echo for Client {
    async fn echo(&self, message: Message) -> Result<Message> {
        Ok(unary(&self.0, "/bench.Echo/Echo", message).await?)
    }
}
