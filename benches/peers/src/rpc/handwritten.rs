//! The same by hand: an axum handler, and reqwest, one request for each call.

use std::net::SocketAddr;

use anyhow::Result;
use axum::serve::ListenerExt as _;
use axum::{Json, Router, routing};
use tokio::net::TcpListener;

use super::message::{Echo, Message};

/// Serves until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    let app = Router::new().route("/echo", routing::post(async |message: Json<Message>| message));
    let listener = listener.tap_io(|stream| {
        // A connection that is gone already needs it no more.
        let _gone = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

/// A client; clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// A client of the server at this address.
pub fn connect(address: SocketAddr) -> Result<Client> {
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    Ok(Client { http, url: format!("http://{address}/echo") })
}

impl Echo for Client {
    async fn echo(&self, message: Message) -> Result<Message> {
        let reply = self.http.post(&self.url).json(&message).send().await?;
        Ok(reply.error_for_status()?.json().await?)
    }
}
