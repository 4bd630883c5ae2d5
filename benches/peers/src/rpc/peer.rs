//! All ways to make a call: how each is served and called.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use tokio::net::TcpListener;

use super::{call, frames, handwritten, jsonrpsee, tarpc, tonic, traitwire};
use crate::harness::sample::Sample;

/// A way to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// This project: generated code over HTTP.
    Traitwire,
    /// axum and reqwest by hand.
    Handwritten,
    /// gRPC.
    Tonic,
    /// JSON-RPC over HTTP.
    JsonrpseeHttp,
    /// JSON-RPC over a WebSocket.
    JsonrpseeWebsocket,
    /// tarpc with JSON.
    TarpcJson,
    /// tarpc with bincode.
    TarpcBincode,
    /// Lines of JSON on a TCP connection, which is the limit.
    Frames,
}

impl Peer {
    /// Its name on the command line and in the table.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Says where it listens and serves until the process ends.
    pub async fn serve(self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        match self {
            Self::Traitwire => traitwire::serve(listener).await,
            Self::Handwritten => handwritten::serve(listener).await,
            Self::Tonic => tonic::serve(listener).await,
            Self::JsonrpseeHttp | Self::JsonrpseeWebsocket => jsonrpsee::serve(listener).await,
            Self::TarpcJson => tarpc::serve_json(listener).await,
            Self::TarpcBincode => tarpc::serve_bincode(listener).await,
            Self::Frames => frames::serve(listener).await,
        }
    }

    /// Calls the server at this address, whose process has this id.
    pub async fn measure(
        self,
        at: SocketAddr,
        server: u32,
        concurrency: usize,
        time: Duration,
    ) -> Result<Sample> {
        match self {
            Self::Traitwire => call(traitwire::connect(at), server, concurrency, time).await,
            Self::Handwritten => call(handwritten::connect(at)?, server, concurrency, time).await,
            Self::Tonic => call(tonic::connect(at).await?, server, concurrency, time).await,
            Self::JsonrpseeHttp => call(jsonrpsee::connect_http(at)?, server, concurrency, time).await,
            Self::JsonrpseeWebsocket => {
                call(jsonrpsee::connect_websocket(at).await?, server, concurrency, time).await
            }
            Self::TarpcJson => call(tarpc::connect_json(at).await?, server, concurrency, time).await,
            Self::TarpcBincode => call(tarpc::connect_bincode(at).await?, server, concurrency, time).await,
            Self::Frames => call(frames::connect(at).await?, server, concurrency, time).await,
        }
    }
}
