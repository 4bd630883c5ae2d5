//! An annotated trait, its generated server and its generated client, with the usual settings.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::TcpListener;
use traitwire::{RpcClient, RpcResult};

use super::message::{self, Message};

/// Gives back what it gets.
#[traitwire::service]
pub trait Echo: Send + Sync {
    /// Gives back the message.
    async fn echo(&self, message: Message) -> RpcResult<Message>;
}

struct Echoing;

#[traitwire::async_trait]
impl Echo for Echoing {
    async fn echo(&self, message: Message) -> RpcResult<Message> {
        Ok(message)
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    Ok(traitwire::serve(listener, EchoServer::new(Echoing), std::future::pending()).await?)
}

/// A client of the server at this address.
pub fn connect(address: SocketAddr) -> EchoStub {
    EchoStub::new(RpcClient::new(format!("http://{address}"), 1))
}

impl message::Echo for EchoStub {
    async fn echo(&self, message: Message) -> Result<Message> {
        Ok(Echo::echo(self, message).await?)
    }
}
