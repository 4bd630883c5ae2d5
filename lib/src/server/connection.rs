//! One connection: HTTP/1.1 on a socket, until its caller leaves, it matters least, or the server stops.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::access::LocalAddress;
use super::connections::{Open, Order, UnderWay};
use super::router::{self, Origin};
use super::service::Service;
use super::stream::Stream;

/// How long a server that stops waits for a caller that does not read its reply.
const STOPPING_STALL: Duration = Duration::from_millis(500);

/// hyper takes no smaller bound for a head.
const HEAD_BYTES_MIN: usize = 8 << 10;

/// Serves a connection to its end.
pub(super) async fn serve_connection(socket: TcpStream, open: Open, service: Service) {
    // Replies are small and each is waited for.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let address = socket.local_addr().map_or(LocalAddress::Unknown, |address| address.ip().into());
    let connection = Arc::clone(&open.connection);
    let respond = service_fn(|request: Request<hyper::body::Incoming>| {
        let service = service.clone();
        let connection = Arc::clone(&connection);
        async move {
            let under_way = connection.begin();
            let origin = Origin { address, connection: Some(&connection) };
            let response = router::respond(&service, origin, request.map(Body::new)).await;
            Ok::<_, Infallible>(response.map(|body| Watched { body, _under_way: under_way }))
        }
    });
    let limits = service.limits();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.head_bytes.max(HEAD_BYTES_MIN));
    let stream = Stream::new(socket, Arc::clone(&connection), limits.write_timeout);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), respond));
    let mut finishes = false;
    loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            order = connection.told() => match order {
                Order::Abort => return,
                Order::Finish => {
                    finishes = true;
                    // One that is idle may still ask, and is told that the server stops.
                    if !connection.is_idle() {
                        serving.as_mut().graceful_shutdown();
                    }
                }
            },
            () = tokio::time::sleep(STOPPING_STALL), if finishes => {
                if connection.stalled_for() >= STOPPING_STALL {
                    return;
                }
            }
        }
    }
}

/// The body of a response, whose request is under way until it was taken.
struct Watched {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
