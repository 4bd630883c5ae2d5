//! tarpc over one TCP connection, with JSON and with bincode.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::StreamExt as _;
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::{ClientMessage, Response, Transport, client, serde_transport, server};
use tokio::net::{TcpListener, TcpStream};
use tokio_serde::formats::{Bincode, Json};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::message::{self, Message};

/// How many calls may be under way and wait: more than there ever are. The usual bounds are lower.
const CALLS: usize = 1 << 16;

/// Gives back what it gets.
#[tarpc::service]
trait Echo {
    /// Gives back the message.
    async fn echo(message: Message) -> Message;
}

#[derive(Clone)]
struct Echoing;

impl Echo for Echoing {
    async fn echo(self, _: Context, message: Message) -> Message {
        message
    }
}

/// Serves JSON until the process ends.
pub async fn serve_json(listener: TcpListener) -> Result<()> {
    serve(listener, |stream| serde_transport::new(framed(stream), Json::default())).await
}

/// Serves bincode until the process ends.
pub async fn serve_bincode(listener: TcpListener) -> Result<()> {
    serve(listener, |stream| serde_transport::new(framed(stream), Bincode::default())).await
}

fn framed(stream: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    Framed::new(stream, LengthDelimitedCodec::new())
}

async fn serve<T>(listener: TcpListener, transport: impl Fn(TcpStream) -> T) -> Result<()>
where
    T: Transport<Response<EchoResponse>, ClientMessage<EchoRequest>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let config = server::Config { pending_response_buffer: CALLS };
        let channel = BaseChannel::new(config, transport(stream));
        let answers = channel.execute(Echoing.serve());
        tokio::spawn(answers.for_each(async |answer| {
            tokio::spawn(answer);
        }));
    }
}

/// A client; clones share its connection.
#[derive(Clone)]
pub struct Client(EchoClient);

/// A client of the server at this address, with JSON.
pub async fn connect_json(address: SocketAddr) -> Result<Client> {
    Ok(client_over(serde_transport::new(framed(stream_to(address).await?), Json::default())))
}

/// A client of the server at this address, with bincode.
pub async fn connect_bincode(address: SocketAddr) -> Result<Client> {
    Ok(client_over(serde_transport::new(framed(stream_to(address).await?), Bincode::default())))
}

async fn stream_to(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn client_over<T>(transport: T) -> Client
where
    T: Transport<ClientMessage<EchoRequest>, Response<EchoResponse>> + Send + 'static,
{
    let mut config = client::Config::default();
    (config.max_in_flight_requests, config.pending_request_buffer) = (CALLS, CALLS);
    Client(EchoClient::new(config, transport).spawn())
}

impl message::Echo for Client {
    async fn echo(&self, message: Message) -> Result<Message> {
        Ok(self.0.echo(context::current(), message).await?)
    }
}
