//! JSON-RPC with jsonrpsee: one server for both ways to reach it, HTTP with a request for each call, and WebSocket.

use std::net::SocketAddr;

use anyhow::Result;
use jsonrpsee_core::client::ClientT;
use jsonrpsee_core::params::ArrayParams;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee_server::types::ErrorObjectOwned;
use jsonrpsee_server::{RpcModule, ServerBuilder, ServerConfig};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use std::sync::Arc;
use tokio::net::TcpListener;

use super::message::{Echo, Message};

/// How many calls and connections there may be: more than there ever are. The usual bounds are lower.
const CALLS: u32 = 1 << 16;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    let mut module = RpcModule::new(());
    module.register_async_method("echo", async |params, _, _| {
        let message: Message = params.one()?;
        Ok::<_, ErrorObjectOwned>(message)
    })?;
    let config = ServerConfig::builder().max_connections(CALLS).set_message_buffer_capacity(CALLS).build();
    let server = ServerBuilder::new().set_config(config).build_from_tcp(listener.into_std()?)?;
    server.start(module).stopped().await;
    Ok(())
}

/// A client of the server at this address, over HTTP.
pub fn connect_http(address: SocketAddr) -> Result<Client<HttpClient>> {
    Ok(Client(Arc::new(HttpClientBuilder::default().build(format!("http://{address}"))?)))
}

/// A client of the server at this address, over one WebSocket.
pub async fn connect_websocket(address: SocketAddr) -> Result<Client<WsClient>> {
    let client = WsClientBuilder::new().max_concurrent_requests(CALLS as usize);
    Ok(Client(Arc::new(client.build(format!("ws://{address}")).await?)))
}

/// A client; clones share its connections.
pub struct Client<C>(Arc<C>);

impl<C> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: ClientT + Send + Sync + 'static> Echo for Client<C> {
    async fn echo(&self, message: Message) -> Result<Message> {
        let mut params = ArrayParams::new();
        params.insert(message)?;
        Ok(self.0.request("echo", params).await?)
    }
}
