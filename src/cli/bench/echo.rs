//! The service that is measured, once as an annotated trait and once by hand, with one message for both.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use traitwire::{RpcClient, RpcResult};

use super::{Case, load};
use crate::cli::output::print_line;
use crate::cli::signals::stdin_closed;

/// Gives back what it gets.
#[traitwire::service]
pub(crate) trait Echo: Send + Sync {
    /// Gives back the message.
    async fn echo(&self, message: Message) -> RpcResult<Message>;
}

/// About 100 bytes as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Message {
    /// 16 bytes.
    pub(super) key: String,
    /// 64 bytes.
    pub(super) value: String,
    /// Any number.
    pub(super) version: u64,
}

impl Message {
    pub(super) fn new(version: u64) -> Self {
        Self { key: "k".repeat(16), value: "v".repeat(64), version }
    }
}

struct Echoing;

#[traitwire::async_trait]
impl Echo for Echoing {
    async fn echo(&self, message: Message) -> RpcResult<Message> {
        Ok(message)
    }
}

/// Serves the echo until the process is killed, or the process that started it has ended.
pub(super) async fn serve(case: Case) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let _unread = print_line(json!({ "event": "listening", "url": url }));
    let closed = stdin_closed(true)?;
    match case {
        Case::Traitwire => traitwire::serve(listener, EchoServer::new(Echoing), closed).await,
        Case::Handwritten => {
            let echo = axum::routing::post(async |message: axum::Json<Message>| message);
            let app = axum::Router::new().route("/echo", echo);
            // The delay of small packets would make the hand-written server look worse than it is.
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::warn!(%error, "cannot set TCP_NODELAY");
                }
            });
            tokio::select! {
                served = axum::serve(listener, app) => served,
                () = closed => Ok(()),
            }
        }
    }
}

/// One client, shared by all workers.
#[derive(Clone)]
pub(super) enum Client {
    Traitwire(EchoStub),
    Handwritten { http: reqwest::Client, url: String },
}

impl Client {
    pub(super) fn new(case: Case, url: &str) -> reqwest::Result<Self> {
        Ok(match case {
            Case::Traitwire => Self::Traitwire(EchoStub::new(RpcClient::new(url.to_owned(), 1))),
            Case::Handwritten => {
                let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
                Self::Handwritten { http, url: format!("{url}/echo") }
            }
        })
    }
}

/// Calls through a client that all workers share.
pub(super) struct Worker {
    client: Client,
    message: Message,
}

pub(super) fn workers(client: &Client, count: usize) -> Vec<Worker> {
    (0..count).map(|worker| Worker { client: client.clone(), message: Message::new(worker as u64) }).collect()
}

impl load::Worker for Worker {
    async fn call(&mut self) -> bool {
        let message = &self.message;
        match &self.client {
            Client::Traitwire(stub) => stub.echo(message.clone()).await.is_ok_and(|reply| reply == *message),
            Client::Handwritten { http, url } => {
                let reply = async { http.post(url).json(message).send().await?.json::<Message>().await };
                reply.await.is_ok_and(|reply| reply == *message)
            }
        }
    }
}
