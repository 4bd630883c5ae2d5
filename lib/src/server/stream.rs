//! A connection's socket, which notes whether the caller reads what is written to it and gives up when it does not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::connections::Connection;

/// How many bytes a caller must read within the time for a write. A few bytes now and then are no progress.
const PROGRESS_BYTES: usize = 64 << 10;

/// How long a connection whose request was refused before its body was there is read on, so that the caller, which is
/// still sending, sees the refusal rather than a reset connection.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes are read at once then.
const LINGER_BYTES: usize = 8 << 10;

/// A socket and what is known of its caller.
pub(super) struct Stream {
    socket: TcpStream,
    connection: Arc<Connection>,
    write_timeout: Duration,
    /// There is one while the caller does not read.
    stall: Option<Stall>,
    linger: Option<Pin<Box<Sleep>>>,
}

struct Stall {
    end: Pin<Box<Sleep>>,
    /// What was written since its begin.
    bytes: usize,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, connection: Arc<Connection>, write_timeout: Duration) -> Self {
        Self { socket, connection, write_timeout, stall: None, linger: None }
    }

    /// Looks at the outcome of a write.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(stall) = &mut self.stall {
                    stall.bytes += bytes;
                    if stall.bytes >= PROGRESS_BYTES {
                        stall.bytes = 0;
                        stall.end.as_mut().reset(end_of_stall(self.write_timeout));
                        self.connection.set_stalled(true);
                    }
                }
                written
            }
            Poll::Pending => {
                let stall = self.stall.get_or_insert_with(|| {
                    self.connection.set_stalled(true);
                    Stall { end: Box::pin(sleep(self.write_timeout)), bytes: 0 }
                });
                ready!(stall.end.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the caller does not read its reply",
                )))
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

fn end_of_stall(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called when all that there is has been written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stall.take().is_some() {
            self.connection.set_stalled(false);
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingers = self.connection.leaves_body();
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
            if !lingers {
                return Poll::Ready(Ok(()));
            }
        }
        let mut linger = self.linger.take().unwrap_or_else(|| Box::pin(sleep(LINGER)));
        let mut scratch = [0; LINGER_BYTES];
        while linger.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => break,
                Poll::Pending => {
                    self.linger = Some(linger);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
