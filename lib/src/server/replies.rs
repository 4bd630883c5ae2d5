//! The replies to the calls of one request, as pieces of a body that count until their caller has read them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Notify;
use traitwire_schema::MethodDescriptor;

use super::batch::Answer;
use super::budget::Held;
use super::service::{Service, reply_too_large};
use crate::error::{RpcError, RpcResult};
use crate::jsonrpc::{self, ErrorObject};

/// Results of this size are pieces of their own, which are not copied.
const RESULT_PIECE_BYTES: usize = 16 << 10;

/// After one of this size others are expected.
const LARGE_RESULT_BYTES: usize = 256 << 10;

/// Smaller ones are gathered into pieces of this size, which a budget still takes for small.
const PIECE_BYTES: usize = 48 << 10;

/// Up to this size nothing is counted: it is less than what a connection takes anyway.
const UNCOUNTED_BYTES: usize = 1 << 10;

/// How much is taken from the budget at once.
const TAKEN_BYTES: usize = 4 << 10;

/// What came of a call: the id to answer under, none for a notification, and what is known of the method.
pub(super) struct Reply {
    pub(super) id: Option<Box<str>>,
    pub(super) method: Option<&'static MethodDescriptor>,
    pub(super) result: RpcResult<Bytes>,
}

/// The replies that are not sent yet.
pub(super) struct Replies {
    service: Service,
    /// What is not a piece yet, and its bytes in the budget.
    out: Vec<u8>,
    held: Option<Held>,
    pieces: Vec<Bytes>,
    unread: Arc<Unread>,
    /// Whether there has been a reply, so that the next one needs a comma before it.
    has_any: bool,
    results: usize,
    results_bytes: usize,
    full: Option<RpcError>,
}

/// The bytes of pieces that the caller has not read yet.
#[derive(Default)]
struct Unread {
    bytes: AtomicUsize,
    read: Notify,
}

/// A piece of a body; it counts for as long as any part of it lives.
struct Piece {
    bytes: Bytes,
    unread: Arc<Unread>,
    _held: Option<Held>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.unread.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.unread.read.notify_one();
    }
}

impl Replies {
    /// The reply to a single request.
    pub(super) fn single(service: &Service) -> Self {
        Self {
            service: service.clone(),
            out: Vec::with_capacity(128),
            held: None,
            pieces: Vec::new(),
            unread: Arc::default(),
            has_any: false,
            results: 0,
            results_bytes: 0,
            full: None,
        }
    }

    /// The replies of a batch, a JSON array.
    pub(super) fn of_batch(service: &Service) -> Self {
        let mut replies = Self::single(service);
        replies.out.push(b'[');
        replies
    }

    /// Whether there has been a reply.
    pub(super) fn has_any(&self) -> bool {
        self.has_any
    }

    /// Why there is no room for more results, if there is none.
    pub(super) fn full(&self) -> Option<&RpcError> {
        self.full.as_ref()
    }

    /// The bytes that the caller has not read.
    pub(super) fn unread_bytes(&self) -> usize {
        self.unread.bytes.load(Ordering::Relaxed) + self.out.len()
    }

    /// Waits until the caller has read something.
    pub(super) async fn read(&self) {
        self.unread.read.notified().await;
    }

    /// The bytes of a result, as far as can be known from those that there were.
    pub(super) fn average_bytes(&self) -> usize {
        self.results_bytes.checked_div(self.results).unwrap_or(0)
    }

    /// Adds the reply to a call. A notification has none, whatever came of it.
    pub(super) fn write(&mut self, Reply { id, method, result }: Reply) {
        let Some(id) = id else { return };
        let admitted = result.and_then(|result| {
            self.admit(result.len()).map_err(|error| error.about(method))?;
            Ok(result)
        });
        match admitted {
            Ok(result) => self.write_result(&id, result),
            Err(error) => self.write_error(&id, ErrorObject::of(error)),
        }
    }

    fn write_result(&mut self, id: &str, result: Bytes) {
        self.results += 1;
        self.results_bytes += result.len();
        if result.len() >= LARGE_RESULT_BYTES {
            self.service.note_large_reply();
        }
        self.separate();
        if result.len() < RESULT_PIECE_BYTES {
            jsonrpc::write_result(&mut self.out, id, &result);
        } else {
            jsonrpc::write_result_begin(&mut self.out, id);
            let held = self.held.take();
            let out = std::mem::take(&mut self.out).into();
            self.push(out, None);
            self.push(result, held);
            jsonrpc::write_result_end(&mut self.out);
        }
        if self.out.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    /// Adds an error. It is always said; one that is large, such as a method's own, as long as there is room for it.
    pub(super) fn write_error(&mut self, id: &str, error: ErrorObject) {
        self.separate();
        let begin = self.out.len();
        jsonrpc::write_error(&mut self.out, id, &error);
        let bytes = self.out.len() - begin;
        if bytes <= TAKEN_BYTES {
            let missing = self.missing(0);
            if missing > 0 {
                self.keep(self.service.hold_reply_anyway(missing));
            }
        } else {
            self.out.truncate(begin);
            let refused = match self.admit(bytes) {
                Ok(()) => error,
                Err(refused) => ErrorObject::of(match &error.data {
                    Some(error) => refused.executed_like(error),
                    None => refused,
                }),
            };
            jsonrpc::write_error(&mut self.out, id, &refused);
        }
        if self.out.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    /// Makes room for so many bytes.
    fn admit(&mut self, bytes: usize) -> RpcResult<()> {
        let limit = self.service.limits().reply_bytes;
        // A little is always said: it may be what came of a call that has changed something.
        if bytes > UNCOUNTED_BYTES && self.results_bytes.saturating_add(bytes) > limit {
            let error = reply_too_large(limit);
            self.full = Some(error.clone());
            return Err(error);
        }
        if bytes >= RESULT_PIECE_BYTES {
            // It is a piece of its own, and what is there becomes one.
            self.flush();
        }
        let missing = self.missing(bytes);
        if missing > 0 {
            let held = self.service.hold_reply(missing.max(TAKEN_BYTES)).inspect_err(|error| {
                self.full = Some(error.clone());
            })?;
            self.keep(held);
        }
        Ok(())
    }

    /// How many bytes of `out` and `more` are not taken from the budget yet.
    fn missing(&self, more: usize) -> usize {
        let bytes = self.out.len() + more;
        let held = self.held.as_ref().map_or(0, Held::bytes);
        if bytes <= UNCOUNTED_BYTES { 0 } else { bytes.saturating_sub(held) }
    }

    fn keep(&mut self, more: Held) {
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
    }

    /// Makes a piece of what there is.
    fn flush(&mut self) {
        if !self.out.is_empty() {
            let (out, held) = (std::mem::take(&mut self.out), self.held.take());
            self.push(out.into(), held);
        }
    }

    fn push(&mut self, bytes: Bytes, held: Option<Held>) {
        self.unread.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let piece = Piece { bytes, unread: Arc::clone(&self.unread), _held: held };
        self.pieces.push(Bytes::from_owner(piece));
    }

    /// The pieces that there are by now.
    pub(super) fn take(&mut self) -> std::vec::IntoIter<Bytes> {
        self.flush();
        std::mem::take(&mut self.pieces).into_iter()
    }

    /// Ends the array.
    pub(super) fn close(&mut self) {
        self.out.push(b']');
    }

    /// The reply to a single request, or all replies of a batch.
    pub(super) fn whole(mut self) -> Answer {
        if self.out.is_empty() && self.pieces.is_empty() {
            return Answer::Nothing;
        }
        if self.pieces.is_empty() {
            let out = Bytes::from(std::mem::take(&mut self.out));
            return Answer::Whole(match self.held.take() {
                Some(held) => held.keep(out),
                None => out,
            });
        }
        let pieces = self.take().map(Ok::<_, Infallible>);
        Answer::Streamed(Body::from_stream(stream::iter(pieces)))
    }

    /// A comma before every element but the first.
    fn separate(&mut self) {
        if std::mem::replace(&mut self.has_any, true) {
            self.out.push(b',');
        }
    }
}
