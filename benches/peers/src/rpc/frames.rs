//! The limit: bare JSON on one TCP connection, a line for each message, and one write for all that is there. It has no
//! names of methods to look up, no errors, no deadlines, no bounds, and a call cannot be given up.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

use super::message::{Echo, Message};

/// How many bytes are read at once.
const READ_BYTES: usize = 1 << 16;

/// A call or its reply.
#[derive(Serialize, Deserialize)]
struct Frame {
    id: usize,
    message: Message,
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.push(b'\n');
        Ok(())
    }
}

/// Waits for bytes and takes all frames that are whole; nothing at the end of the connection.
async fn read(
    stream: &mut (impl AsyncReadExt + Unpin),
    bytes: &mut Vec<u8>,
    mut take: impl FnMut(Frame) -> Result<()>,
) -> Result<Option<()>> {
    bytes.reserve(READ_BYTES);
    if stream.read_buf(bytes).await? == 0 {
        return Ok(None);
    }
    let mut begin = 0;
    while let Some(length) = memchr::memchr(b'\n', &bytes[begin..]) {
        take(serde_json::from_slice(&bytes[begin..begin + length])?)?;
        begin += length + 1;
    }
    bytes.drain(..begin);
    Ok(Some(()))
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer_all(stream));
    }
}

async fn answer_all(mut stream: TcpStream) -> Result<()> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    while read(&mut stream, &mut input, |frame| frame.write(&mut output)).await?.is_some() {
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}

/// A client; clones share its connection.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

#[derive(Default)]
struct Shared {
    calls: Mutex<Calls>,
    /// Wakes the task that writes.
    is_there: Notify,
}

#[derive(Default)]
struct Calls {
    /// What is not written yet.
    outgoing: Vec<u8>,
    /// Who waits for the reply with the number that is the place.
    waiting: Vec<Option<oneshot::Sender<Message>>>,
    /// The places where nobody waits.
    free: Vec<usize>,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of the server at this address.
pub async fn connect(address: SocketAddr) -> Result<Client> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let shared = Arc::new(Shared::default());
    tokio::spawn(write_all(writer, shared.clone()));
    tokio::spawn(read_all(reader, shared.clone()));
    Ok(Client(shared))
}

async fn write_all(mut writer: OwnedWriteHalf, shared: Arc<Shared>) -> Result<()> {
    let mut outgoing = Vec::new();
    loop {
        shared.is_there.notified().await;
        std::mem::swap(&mut shared.calls().outgoing, &mut outgoing);
        writer.write_all(&outgoing).await?;
        outgoing.clear();
    }
}

async fn read_all(mut reader: OwnedReadHalf, shared: Arc<Shared>) -> Result<()> {
    let mut input = Vec::new();
    let take = |Frame { id, message }| {
        let mut calls = shared.calls();
        let waiter = calls.waiting.get_mut(id).and_then(Option::take).context("nobody has called")?;
        calls.free.push(id);
        drop(calls);
        // Who has gone needs no reply.
        let _gone = waiter.send(message);
        Ok(())
    };
    while let Ok(Some(())) = read(&mut reader, &mut input, take).await {}
    // Who waits still is told that there will be no reply.
    shared.calls().waiting.clear();
    Ok(())
}

impl Echo for Client {
    async fn echo(&self, message: Message) -> Result<Message> {
        let (sender, reply) = oneshot::channel();
        {
            let calls = &mut *self.0.calls();
            let id = calls.free.pop().unwrap_or_else(|| {
                calls.waiting.push(None);
                calls.waiting.len() - 1
            });
            Frame { id, message }.write(&mut calls.outgoing)?;
            calls.waiting[id] = Some(sender);
        }
        self.0.is_there.notify_one();
        Ok(reply.await?)
    }
}
