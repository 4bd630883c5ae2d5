//! Calls with tonic, as its code generator would write them.

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Calls a method of one message in and one message out.
pub async fn unary<A, R>(channel: &Channel, path: &'static str, args: A) -> Result<R, Status>
where
    A: prost::Message + 'static,
    R: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<A, R>::default();
    Ok(grpc.unary(Request::new(args), PathAndQuery::from_static(path), codec).await?.into_inner())
}
