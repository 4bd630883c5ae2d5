//! Reading a request's body within the limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::Instant;

use super::budget::{Budget, Held};
use super::limits::Limits;
use super::service::{Service, stopping};
use crate::error::{Code, RpcError};

/// Why a body is refused.
type Refusal = (StatusCode, RpcError);

/// The bodies that a server holds: those that have arrived count for as long as any part of them lives, since a handler
/// may outlive its caller, and the calls of a batch the head of their response.
pub(super) struct Bodies {
    budget: Arc<Budget>,
    /// The bodies that come in pieces and are not there yet, by age.
    arriving: Mutex<BTreeMap<u64, Arc<Arriving>>>,
    next: AtomicU64,
}

struct Arriving {
    since: Instant,
    /// Nothing once the body was given up to make room for others.
    buffer: Mutex<Option<Buffer>>,
}

struct Buffer {
    bytes: Vec<u8>,
    /// As many bytes as the vector has room for.
    held: Held,
}

/// How long a body may be arriving before it is given up for others when there is no room for all.
const ARRIVING_MAX: Duration = Duration::from_secs(1);

/// How much room is made at once for what a body says it has. More comes when it is needed.
const RESERVED_BYTES_MAX: usize = 256 << 10;

impl Bodies {
    /// Bodies that hold `limit` bytes together.
    pub(super) fn new(limit: usize, body_bytes: usize) -> Self {
        let limit = limit.max(body_bytes.saturating_mul(2));
        Self { budget: Budget::new(limit), arriving: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Gives up bodies that have been arriving for too long, the oldest first, until `has_room`.
    fn make_room(&self, mut has_room: impl FnMut() -> bool, except: u64) -> bool {
        let mut arriving = self.lock();
        while !has_room() {
            let oldest = arriving.iter().find(|(number, _)| **number != except);
            let Some((&number, body)) = oldest.filter(|(_, body)| body.since.elapsed() >= ARRIVING_MAX)
            else {
                return false;
            };
            drop(body.lock().take());
            arriving.remove(&number);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Arriving>>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    fn lock(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that comes in pieces; it is registered with the others while it arrives.
struct Pieces<'a> {
    bodies: &'a Bodies,
    number: u64,
    body: Arc<Arriving>,
    announced: usize,
}

impl<'a> Pieces<'a> {
    fn new(bodies: &'a Bodies, held: Held, announced: usize, since: Instant) -> Self {
        let number = bodies.next.fetch_add(1, Ordering::Relaxed);
        let buffer = Mutex::new(Some(Buffer { bytes: Vec::new(), held }));
        let body = Arc::new(Arriving { since, buffer });
        bodies.lock().insert(number, Arc::clone(&body));
        Self { bodies, number, body, announced }
    }

    /// Adds a piece; false when there is no room for it.
    fn add(&self, piece: &[u8]) -> bool {
        self.try_add(piece) || self.bodies.make_room(|| self.try_add(piece), self.number)
    }

    fn try_add(&self, piece: &[u8]) -> bool {
        let mut buffer = self.body.lock();
        let Some(Buffer { bytes, held }) = buffer.as_mut() else { return false };
        let needed = bytes.len() + piece.len();
        if needed > bytes.capacity() {
            // Twice as much each time, so that pieces of one byte are not copied again and again; no more than was announced.
            let doubled = needed.max(bytes.capacity() * 2);
            let capacity = match self.announced {
                0 => doubled,
                announced => doubled.max(announced.min(RESERVED_BYTES_MAX)).min(announced.max(needed)),
            };
            if !held.grow(capacity.saturating_sub(held.bytes())) {
                return false;
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(piece);
        true
    }

    fn finish(self) -> Option<Bytes> {
        let Buffer { bytes, held } = self.body.lock().take()?;
        Some(held.keep(Bytes::from(bytes)))
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        self.bodies.lock().remove(&self.number);
    }
}

/// What has arrived of a body.
enum Arrived<'a> {
    Nothing,
    /// A body that comes in one piece, as nearly all do, is not copied.
    Whole(Bytes, Held),
    Pieces(Pieces<'a>),
    /// It is read to its end and dropped, so that the peer, which is still sending, can read the refusal.
    Refused(Refusal),
}

/// Reads a body within the limits.
pub(super) async fn read(
    service: &Service,
    bodies: &Bodies,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, Refusal> {
    let limits = service.limits();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let is_over = announced > limits.body_bytes;
    // Who waits for leave to send it, or wants to send without end, is answered at once.
    if is_over && (headers.contains_key(header::EXPECT) || announced > limits.refused_body_bytes) {
        return Err(too_large(limits));
    }
    let since = Instant::now();
    let mut total = 0_usize;
    let mut arrived = if is_over { Arrived::Refused(too_large(limits)) } else { Arrived::Nothing };
    while let Some(frame) = next_frame(service, &mut body, since, total).await? {
        let frame = frame.map_err(|error| {
            let error = RpcError::new(Code::InvalidArgument, format!("the body broke off: {error}"));
            (StatusCode::BAD_REQUEST, error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total > limits.body_bytes && !matches!(arrived, Arrived::Refused(_)) {
            arrived = Arrived::Refused(too_large(limits));
        }
        arrived = match arrived {
            Arrived::Refused(refusal) if total > limits.refused_body_bytes => return Err(refusal),
            Arrived::Refused(refusal) => Arrived::Refused(refusal),
            before => add(before, data, bodies, announced, since),
        };
    }
    match arrived {
        Arrived::Nothing => Ok(Bytes::new()),
        Arrived::Whole(bytes, held) => Ok(held.keep(bytes)),
        Arrived::Pieces(pieces) => pieces.finish().ok_or_else(|| no_room(bodies)),
        Arrived::Refused(refusal) => Err(refusal),
    }
}

fn add<'a>(
    before: Arrived<'a>,
    data: Bytes,
    bodies: &'a Bodies,
    announced: usize,
    since: Instant,
) -> Arrived<'a> {
    let pieces = match before {
        Arrived::Refused(_) => return before,
        Arrived::Nothing => {
            let mut held = bodies.budget.take(data.len());
            if held.is_none() {
                // No number is as large as this one.
                bodies.make_room(
                    || {
                        held = bodies.budget.take(data.len());
                        held.is_some()
                    },
                    u64::MAX,
                );
            }
            return match held {
                Some(held) => Arrived::Whole(data, held),
                None => Arrived::Refused(no_room(bodies)),
            };
        }
        Arrived::Whole(begin, held) => {
            let pieces = Pieces::new(bodies, held, announced, since);
            if !pieces.add(&begin) {
                return Arrived::Refused(no_room(bodies));
            }
            pieces
        }
        Arrived::Pieces(pieces) => pieces,
    };
    if pieces.add(&data) { Arrived::Pieces(pieces) } else { Arrived::Refused(no_room(bodies)) }
}

type NextFrame = Option<Result<hyper::body::Frame<Bytes>, axum::Error>>;

/// Waits for more of a body, until it is too slow or the server stops.
async fn next_frame(
    service: &Service,
    body: &mut Body,
    since: Instant,
    total: usize,
) -> Result<NextFrame, Refusal> {
    let mut frame = body.frame();
    if let Some(frame) = (&mut frame).now_or_never() {
        return Ok(frame);
    }
    let limits = service.limits();
    let at_rate = Duration::from_secs(u64::try_from(total / limits.body_rate.max(1)).unwrap_or(u64::MAX));
    let slow = async {
        match since.checked_add(limits.body_timeout.saturating_add(at_rate)) {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        frame = frame => Ok(frame),
        () = slow => {
            let error = RpcError::deadline_exceeded("the body took too long to arrive").not_executed();
            Err((StatusCode::REQUEST_TIMEOUT, error))
        }
        () = service.stopped() => {
            let error = stopping();
            Err((error.code().http_status(), error))
        }
    }
}

fn too_large(limits: &Limits) -> Refusal {
    let error = RpcError::resource_exhausted(format!("a body may have {} bytes", limits.body_bytes));
    (StatusCode::PAYLOAD_TOO_LARGE, error)
}

fn no_room(bodies: &Bodies) -> Refusal {
    let limit = bodies.budget.limit();
    let error =
        RpcError::resource_exhausted(format!("the request bodies under way hold the limit of {limit} bytes"));
    (error.code().http_status(), error)
}
