//! Calls made while others are under way share exchanges: one HTTP exchange costs far more than one JSON message.
//!
//! A few exchanges ([`CoalesceLimits::unanswered`]) wait for their first reply; calls made meanwhile queue, and go
//! together when a first reply arrives, or when the oldest has waited for [`CoalesceLimits::linger`]: a slow call
//! holds up no fast one for longer. A call with nothing under way is sent at once, by itself.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use self::batch::{Waiting, encode, goes_with, latest_deadline, shared_headers};
use super::exchange::{Exchange, check_bytes, piece, refusal};
use crate::call::Call;
use crate::codegen::BoxFuture;
use crate::error::{RpcError, RpcResult};
use crate::jsonrpc::Splitter;

/// How calls made at the same time share exchanges.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoalesceLimits {
    /// Calls of one exchange; 1 turns coalescing off. 1,024 by default.
    pub items: usize,
    /// Bytes of arguments of one exchange. 1 MiB by default; one call that is larger goes alone.
    pub bytes: usize,
    /// Exchanges that wait for their first reply, and one more while few calls are under way. 3 by default: one at the server,
    /// one on its way back, one being prepared.
    pub unanswered: usize,
    /// Calls that are worth one exchange: fewer are not split. 4 by default; more where processor time is dearer than
    /// waiting.
    pub share: usize,
    /// How long a call waits for company at most. 1 ms by default.
    pub linger: Duration,
    /// Calls that wait to be sent; more are refused. 65,536 by default.
    pub queue: usize,
    /// Bytes of one reply. 64 MiB by default.
    pub reply_bytes: usize,
}

impl Default for CoalesceLimits {
    fn default() -> Self {
        Self {
            items: 1_024,
            bytes: 1 << 20,
            unanswered: 3,
            share: 4,
            linger: Duration::from_millis(1),
            queue: 65_536,
            reply_bytes: 64 << 20,
        }
    }
}

impl CoalesceLimits {
    /// Every call is an exchange of its own.
    pub fn off() -> Self {
        Self { items: 1, ..Self::default() }
    }
}

/// Up to how many calls are few: then the time that an exchange takes is nearly all its own, and another one costs no call much.
const FEW_CALLS: usize = 32;

/// Whether the path of a URL can end with this name as it is, so that the server reads the same name. Any other name
/// travels in JSON.
fn is_path_segment(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.bytes().all(is_plain) && !matches!(name, "" | "." | "..")
}

fn given_up() -> RpcError {
    RpcError::unavailable("the exchange was given up")
}

type ReplySender = oneshot::Sender<RpcResult<Bytes>>;
type ReplyReceiver = oneshot::Receiver<RpcResult<Bytes>>;

/// What becomes of a call.
enum Joined {
    /// It is sent at once, by itself.
    Goes(Call, Unanswered),
    /// It waits for its turn, and gets its reply here.
    Waits(ReplyReceiver),
}

struct Queued {
    call: Call,
    reply: ReplySender,
    since: Instant,
}

/// What waits to be sent to one server.
pub(super) struct Lane {
    exchange: Exchange,
    limits: CoalesceLimits,
    /// Never locked while a task is spawned: a runtime that is ending drops it on the spot, and its guards lock.
    state: Mutex<State>,
    /// An exchange has ended its wait while calls queue.
    freed: Notify,
}

#[derive(Default)]
struct State {
    /// The exchanges that wait for their first reply, and the calls they carry.
    unanswered: usize,
    unanswered_calls: usize,
    queue: VecDeque<Queued>,
    /// Whether a task looks after the queue; there is one whenever a call waits.
    lingering: bool,
    /// How many calls the last exchange carried: after a batch the next call waits for company.
    last_items: usize,
}

impl State {
    /// The calls that wait: to be sent, or for the first reply of their exchange.
    fn calls(&self) -> usize {
        self.queue.len() + self.unanswered_calls
    }
}

impl Lane {
    pub(super) fn new(exchange: Exchange, limits: CoalesceLimits) -> Arc<Self> {
        Arc::new(Self { exchange, limits, state: Mutex::default(), freed: Notify::new() })
    }

    /// Sends a call, from now on, and gives its reply. The many calls that wait for others carry no room for themselves or an
    /// exchange.
    pub(super) fn send(self: &Arc<Self>, call: Call) -> BoxFuture<'_, RpcResult<Bytes>> {
        if self.limits.items <= 1 || call.arguments.len() >= self.limits.bytes {
            return Box::pin(self.alone(call));
        }
        match self.join(call) {
            Ok(Joined::Waits(reply)) => Box::pin(async { reply.await.unwrap_or_else(|_| Err(given_up())) }),
            Ok(Joined::Goes(call, unanswered)) => Box::pin(async {
                let _unanswered = unanswered;
                self.alone(call).await
            }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn join(self: &Arc<Self>, call: Call) -> RpcResult<Joined> {
        let mut state = self.lock();
        let free = self.has_room(&state);
        if free && state.last_items <= 1 && state.queue.is_empty() {
            return Ok(Joined::Goes(call, self.unanswered(&mut state, 1)));
        }
        if state.queue.len() >= self.limits.queue {
            return Err(RpcError::resource_exhausted(format!("{} calls wait to be sent", self.limits.queue)));
        }
        let (reply, waiting) = oneshot::channel();
        state.queue.push_back(Queued { call, reply, since: Instant::now() });
        let starts = !std::mem::replace(&mut state.lingering, true);
        drop(state);
        if starts {
            let lingering = Lingering { lane: Arc::clone(self), ended: false };
            // With nothing under way this only lets the callers that are ready to run join.
            tokio::spawn(Self::linger(lingering, free));
        }
        Ok(Joined::Waits(waiting))
    }

    /// Sends what has waited long enough and what there is room for, until nothing waits.
    async fn linger(mut lingering: Lingering, at_once: bool) {
        let lane = Arc::clone(&lingering.lane);
        if at_once {
            tokio::task::yield_now().await;
        } else {
            lane.room_within(lane.limits.linger).await;
        }
        loop {
            while let Some((batch, unanswered)) = lane.next_batch() {
                tokio::spawn(Arc::clone(&lane).run(batch, unanswered));
            }
            let Some(waited) = lingering.waited() else { return };
            lane.room_within(lane.limits.linger.saturating_sub(waited)).await;
        }
    }

    /// Waits until an exchange has ended its wait, for `time` at most.
    async fn room_within(&self, time: Duration) {
        let _either = tokio::time::timeout(time, self.freed.notified()).await;
    }

    fn unanswered(self: &Arc<Self>, state: &mut State, calls: usize) -> Unanswered {
        state.unanswered += 1;
        state.unanswered_calls += calls;
        Unanswered { lane: Arc::clone(self), calls }
    }

    /// How many exchanges may wait for their first reply, with as many calls as are under way.
    fn exchanges_max(&self, state: &State) -> usize {
        let is_few = state.calls() <= FEW_CALLS;
        self.limits.unanswered.max(1) + usize::from(is_few)
    }

    fn has_room(&self, state: &State) -> bool {
        state.unanswered < self.exchanges_max(state)
    }

    /// The next exchange, if there is room for it or a call has waited for long enough: the calls at the front that
    /// fit together, up to an equal share of all that are under way. With everything in one exchange, client and server
    /// would wait for each other in turn.
    fn next_batch(self: &Arc<Self>) -> Option<(Vec<Queued>, Unanswered)> {
        let mut state = self.lock();
        let due = state.queue.front()?.since.elapsed() >= self.limits.linger;
        if !due && !self.has_room(&state) {
            return None;
        }
        let share = state.calls().div_ceil(self.exchanges_max(&state));
        let items_max = share.max(self.limits.share).min(self.limits.items);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.queue.front() {
            let fits = batch.len() < items_max && bytes + next.call.arguments.len() <= self.limits.bytes;
            let together = batch.first().is_none_or(|first: &Queued| goes_with(&first.call, &next.call));
            if !batch.is_empty() && (!fits || !together) {
                break;
            }
            let queued = state.queue.pop_front().expect("the queue has a front");
            // A call whose caller has left is not sent.
            if !queued.reply.is_closed() {
                bytes += queued.call.arguments.len();
                batch.push(queued);
            }
        }
        if batch.is_empty() {
            return None;
        }
        state.last_items = batch.len();
        let unanswered = self.unanswered(&mut state, batch.len());
        Some((batch, unanswered))
    }

    /// Sends one call in an exchange of its own, which ends with the future.
    async fn alone(&self, call: Call) -> RpcResult<Bytes> {
        if is_path_segment(&call.method) {
            return self.exchange.lone(call, self.limits.reply_bytes).await;
        }
        let (reply, waiting) = oneshot::channel();
        self.exchange(vec![Queued { call, reply, since: Instant::now() }], None).await;
        waiting.await.unwrap_or_else(|_| Err(given_up()))
    }

    async fn run(self: Arc<Self>, mut batch: Vec<Queued>, unanswered: Unanswered) {
        if batch.len() > 1 {
            return self.exchange(batch, Some(unanswered)).await;
        }
        let Queued { call, mut reply, .. } = batch.swap_remove(0);
        let result = tokio::select! {
            biased;
            result = self.alone(call) => result,
            () = reply.closed() => return,
        };
        // The caller may leave at this moment.
        let _left = reply.send(result);
    }

    /// Sends calls in one exchange and hands out their replies. When all callers have left, the exchange is dropped, which
    /// closes its connection: so the server stops working on calls that change nothing.
    async fn exchange(&self, batch: Vec<Queued>, unanswered: Option<Unanswered>) {
        let headers = shared_headers(&batch[0].call);
        let deadline = latest_deadline(&batch);
        let body = encode(&batch, deadline);
        let mut waiting = Waiting::new(batch);
        let posted = waiting.unless_all_leave(self.exchange.post("", body, &headers, deadline)).await;
        let error = match posted {
            None => return,
            Some(Err(error)) => error,
            Some(Ok(response)) => match self.receive(response, &mut waiting, unanswered).await {
                None => return,
                Some(error) => error,
            },
        };
        waiting.fail(&error);
    }

    /// Hands out replies as they arrive. Gives the error of the calls that got none, or nothing when all callers have left.
    async fn receive(
        &self,
        mut response: reqwest::Response,
        waiting: &mut Waiting,
        unanswered: Option<Unanswered>,
    ) -> Option<RpcError> {
        if !response.status().is_success() {
            return waiting.unless_all_leave(refusal(response)).await;
        }
        let mut unanswered = unanswered;
        let mut splitter = Splitter::default();
        loop {
            match waiting.unless_all_leave(piece(&mut response)).await? {
                Err(error) => return Some(error),
                Ok(None) => {
                    return Some(RpcError::unavailable("the server did not answer this call of a batch"));
                }
                Ok(Some(piece)) => splitter.push(piece),
            }
            while let Some(object) = splitter.next_object() {
                if let Err(error) = waiting.deliver(&object) {
                    return Some(error);
                }
            }
            drop(unanswered.take());
            if let Err(error) = check_bytes(splitter.held_bytes(), self.limits.reply_bytes) {
                return Some(error);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange that has had no reply yet; its end makes room for the next.
struct Unanswered {
    lane: Arc<Lane>,
    calls: usize,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut state = self.lane.lock();
        state.unanswered -= 1;
        state.unanswered_calls -= self.calls;
        if !state.queue.is_empty() {
            self.lane.freed.notify_one();
        }
    }
}

/// The task that looks after the queue. It is dropped before its end with the runtime it runs on, which may be any of
/// those that use the client: the calls it leaves behind fail, and the next call starts another.
struct Lingering {
    lane: Arc<Lane>,
    ended: bool,
}

impl Lingering {
    /// How long the oldest call in the queue has waited; where there is none, the task's work is done.
    fn waited(&mut self) -> Option<Duration> {
        let mut state = self.lane.lock();
        let waited = state.queue.front().map(|oldest| oldest.since.elapsed());
        self.ended = waited.is_none();
        state.lingering = !self.ended;
        waited
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let left_behind = {
            let mut state = self.lane.lock();
            state.lingering = false;
            std::mem::take(&mut state.queue)
        };
        for queued in left_behind {
            let error = RpcError::unavailable("the runtime that was to send the call has ended");
            let _left = queued.reply.send(Err(error.not_executed()));
        }
    }
}
