//! JSON-RPC 2.0 at `POST /`: one request, or a batch whose replies are streamed as each call ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use traitwire_schema::MethodDescriptor;

use super::replies::{Replies, Reply};
use super::requests::{Envelope, Item, Running, items, only_item, start, texts};
use super::service::Service;
use crate::error::RpcError;
use crate::jsonrpc::{self, ErrorObject, is_array};

/// How long the head of a streamed response waits for the first reply: whoever watches for heads sees one soon even
/// where all calls of a batch are slow.
const HEAD_WAIT_MAX: Duration = Duration::from_millis(5);

/// Bytes of replies that a caller has not read, and that are expected from the calls under way, while more calls of its
/// batch are started.
const UNREAD_BYTES: usize = 1 << 20;

/// How many calls of a batch are started before the first of them has ended, or has turned out to be slow: nobody knows how
/// large their replies will be.
const FRESH_CALLS_MAX: usize = 128;

/// The same while large replies are expected: a call may cost far more than its reply is worth if there is no room for it. It turns
/// out to be slow later then, since a server that makes large replies is slow in everything.
const FRESH_CALLS_CAREFUL: usize = 1;
const SLOW_AFTER_CAREFUL: Duration = Duration::from_millis(100);

/// How much work is done before other tasks have their turn, in bytes, and how much of it a call is worth besides its
/// arguments and its reply.
const TURN_WORK_BYTES: usize = 256 << 10;
const CALL_WORK_BYTES: usize = 1 << 10;

/// After so much work, a batch is one of those that must leave a core to others.
const LONG_WORK_BYTES: usize = 2 << 20;

/// While others ask too, long work pauses for as long as its bytes take at this rate. It goes at about three times that rate, so
/// that it leaves most of a thread to those whose calls are quick.
const LONG_WORK_BYTES_PER_MS: usize = 256 << 10;

/// What answers a body sent to `/`.
pub(super) enum Answer {
    /// Only notifications came: there is nothing to say.
    Nothing,
    /// All of it.
    Whole(Bytes),
    /// Replies as they come.
    Streamed(Body),
}

pub(super) async fn answer(service: &Service, body: Bytes, envelope: Envelope) -> Answer {
    let answer = if is_array(&body) {
        batch(service, &body, envelope).await
    } else {
        single(service, &body, &envelope).await
    };
    answer.unwrap_or_else(|error| {
        let mut out = Vec::new();
        jsonrpc::write_error(&mut out, "null", &error);
        Answer::Whole(out.into())
    })
}

async fn single(service: &Service, body: &Bytes, envelope: &Envelope) -> Result<Answer, ErrorObject> {
    let Running { id, method, call } = start(service, body, only_item(body)?, envelope, None)?;
    let mut replies = Replies::single(service);
    replies.write(Reply { id, method, result: call.await });
    Ok(replies.whole())
}

async fn batch(service: &Service, body: &Bytes, envelope: Envelope) -> Result<Answer, ErrorObject> {
    let items_max = service.limits().batch_items;
    let mut items = items(body, items_max)?;
    let count = items.left();
    let mut batch = Batch::new(service, envelope);
    let mut owes_reply = false;
    while items.left() > 0 {
        if !batch.may_start() {
            if owes_reply {
                break;
            }
            // As long as only notifications have come, there may be nothing to say: see below.
            batch.step().await;
            continue;
        }
        if let Some(item) = items.next() {
            owes_reply |= batch.start(body, item).await;
        }
    }
    if !owes_reply {
        // As for a notification that comes alone, the response says that all have ended.
        while !batch.running.is_empty() {
            batch.step().await;
        }
        return Ok(Answer::Nothing);
    }
    batch.turn = None;
    if items.left() > 0 {
        let rest = texts(body, items_max)?.into_iter().skip(count - items.left());
        batch.rest = rest.map(|item| body.slice_ref(item.get().as_bytes())).collect();
    }
    drop(items);
    // The head of the response goes with the first replies: alone it would be one more packet, which says nothing.
    if !batch.replies.has_any()
        && let Ok(Some(reply)) = timeout(HEAD_WAIT_MAX, batch.running.next()).await
    {
        batch.write(reply);
    }
    batch.write_ended();
    if batch.is_over() {
        batch.replies.close();
        return Ok(batch.replies.whole());
    }
    let (pieces, mut coming) = mpsc::unbounded_channel();
    tokio::spawn(batch.go_on(pieces));
    let pieces =
        stream::poll_fn(move |context| coming.poll_recv(context).map(|piece| piece.map(Ok::<_, Infallible>)));
    Ok(Answer::Streamed(Body::from_stream(pieces)))
}

/// The calls of a batch, which take turns in one task: a task for each would cost more than most calls do.
struct Batch {
    service: Service,
    envelope: Envelope,
    /// Calls that have not been started.
    rest: VecDeque<Bytes>,
    running: FuturesUnordered<Running>,
    /// How many of those are slow, so that others need not wait until it is known how large their replies are.
    slow: usize,
    /// How many others there may be, and after how long they are slow.
    fresh_max: usize,
    slow_after: Duration,
    replies: Replies,
    /// Work since others had their turn, in bytes.
    worked: usize,
    /// Work before that.
    worked_before: usize,
    /// Held between waits by a batch that has done much already: all of them together must not keep every core busy.
    turn: Option<OwnedSemaphorePermit>,
    /// How many requests the server had got when others had their turn last.
    requests: u64,
}

impl Batch {
    fn new(service: &Service, envelope: Envelope) -> Self {
        let (fresh_max, slow_after) = if service.expects_large_replies() {
            (FRESH_CALLS_CAREFUL, SLOW_AFTER_CAREFUL)
        } else {
            (FRESH_CALLS_MAX, HEAD_WAIT_MAX)
        };
        Self {
            service: service.clone(),
            envelope,
            rest: VecDeque::new(),
            running: FuturesUnordered::new(),
            slow: 0,
            fresh_max,
            slow_after,
            replies: Replies::of_batch(service),
            worked: 0,
            worked_before: 0,
            turn: None,
            requests: service.requests(),
        }
    }

    /// Whether one more call may be started: not before the caller has read most of what there is for it, and is expected
    /// from the calls under way.
    fn may_start(&self) -> bool {
        let unread = self.replies.unread_bytes();
        let fresh = self.running.len().saturating_sub(self.slow);
        let expected = fresh.saturating_mul(self.replies.average_bytes());
        let is_within = fresh < self.fresh_max && unread.saturating_add(expected) < UNREAD_BYTES;
        is_within || (fresh == 0 && unread < UNREAD_BYTES) || self.replies.full().is_some()
    }

    /// Starts a call, or refuses it when the replies are too large already; whether its caller waits for a reply.
    async fn start(&mut self, body: &Bytes, item: Item<'_>) -> bool {
        self.worked += CALL_WORK_BYTES + item.bytes();
        let owes_reply = match start(&self.service, body, item, &self.envelope, self.replies.full()) {
            Err(error) => {
                self.replies.write_error("null", error);
                true
            }
            Ok(mut running) => {
                let owes_reply = running.id.is_some();
                // Most calls end in their first step; only the others are kept and waited for.
                match first_step(&mut running).await {
                    Poll::Ready(reply) => self.write(reply),
                    Poll::Pending => self.running.push(running),
                }
                owes_reply
            }
        };
        self.take_turns().await;
        owes_reply
    }

    /// Lets others have their turn after so much work; whether it did.
    async fn take_turns(&mut self) -> bool {
        if self.worked < TURN_WORK_BYTES {
            return false;
        }
        let worked = std::mem::take(&mut self.worked);
        self.worked_before += worked;
        let requests = self.service.requests();
        let others_ask = std::mem::replace(&mut self.requests, requests) != requests;
        let is_long = self.worked_before >= LONG_WORK_BYTES || self.service.expects_large_replies();
        if is_long && others_ask {
            // With the permit: the pauses of many such batches must not be filled with their work.
            if self.turn.is_none() {
                self.turn = self.service.long_turn().await;
            }
            tokio::time::sleep(Duration::from_millis((worked / LONG_WORK_BYTES_PER_MS) as u64)).await;
        }
        self.turn = None;
        tokio::task::yield_now().await;
        if self.worked_before >= LONG_WORK_BYTES {
            self.turn = self.service.long_turn().await;
        }
        true
    }

    fn write(&mut self, reply: Reply) {
        self.worked += CALL_WORK_BYTES + reply.result.as_ref().map_or(0, Bytes::len);
        self.slow = self.slow.min(self.running.len());
        let was_full = self.replies.full().is_some();
        self.replies.write(reply);
        if !was_full && let Some(error) = self.replies.full().cloned() {
            self.give_up(&error);
        }
    }

    /// Gives up the calls that change nothing: there is no room for their replies.
    fn give_up(&mut self, error: &RpcError) {
        for running in std::mem::take(&mut self.running) {
            if running.method.is_some_and(MethodDescriptor::is_read_only) {
                let result = Err(error.clone().about(running.method));
                self.replies.write(Reply { id: running.id, method: running.method, result });
            } else {
                self.running.push(running);
            }
        }
        self.slow = self.running.len();
    }

    /// Writes the replies of the calls that have ended by now, up to a turn's work.
    fn write_ended(&mut self) {
        while self.worked < TURN_WORK_BYTES
            && let Some(Some(reply)) = self.running.next().now_or_never()
        {
            self.write(reply);
        }
    }

    /// Waits until a call has ended, the caller has read something, or those under way turn out to be slow.
    async fn step(&mut self) {
        self.turn = None;
        let waits = self.running.len() > self.slow;
        tokio::select! {
            Some(reply) = self.running.next() => self.write(reply),
            () = self.replies.read() => {}
            () = tokio::time::sleep(self.slow_after), if waits => self.slow = self.running.len(),
        }
    }

    fn is_over(&self) -> bool {
        self.running.is_empty() && self.rest.is_empty()
    }

    /// Gives the replies as they come until the caller has left or has all. Calls under way go on whether or not the caller
    /// reads; the others wait until it does.
    async fn go_on(mut self, pieces: mpsc::UnboundedSender<Bytes>) {
        loop {
            while self.may_start()
                && let Some(item) = self.rest.pop_front()
            {
                // It was one element of the batch, so it is JSON.
                if let Ok(raw) = serde_json::from_slice::<&RawValue>(&item) {
                    self.start(&item, Item::Text(raw)).await;
                }
            }
            self.write_ended();
            let is_last = self.is_over();
            if is_last {
                self.replies.close();
            }
            let left = self.replies.take().any(|piece| pieces.send(piece).is_err());
            if is_last || left {
                return;
            }
            if self.take_turns().await {
                continue;
            }
            self.turn = None;
            if self.rest.is_empty() {
                tokio::select! {
                    Some(reply) = self.running.next() => self.write(reply),
                    () = pieces.closed() => return,
                }
            } else {
                tokio::select! {
                    () = self.step() => {}
                    () = pieces.closed() => return,
                }
            }
        }
    }
}

/// Runs a call for as long as it need not wait.
async fn first_step(running: &mut Running) -> Poll<Reply> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *running).poll(context))).await
}
