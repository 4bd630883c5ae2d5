//! Which connections are open, so that a full server can close those that matter least, and a stopping one waits for
//! those that are in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a caller may hold up a connection, by a slow body or an unread reply, before the connection may be closed to
/// make room for others.
const HELD_UP_MAX: Duration = Duration::from_secs(1);

/// At least one connection in this many is closed when there is no room, so that finding them costs each newcomer little.
const EVICTED_PART: usize = 64;

/// How many connections of peers are never closed to make room. Without authentication, anybody can claim to be a peer.
const PEERS_KEPT_MAX: usize = 64;

/// The open connections.
pub(super) struct Connections {
    since: Instant,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    closed: Notify,
}

/// One open connection.
pub(super) struct Connection {
    since: Instant,
    /// When the last request has arrived or its response was taken, in microseconds after `since`.
    changed_us: AtomicU64,
    /// Since when the caller does not read what is written, in microseconds after `since`; 0 while it does.
    stalled_us: AtomicU64,
    /// The requests whose responses have not been taken yet.
    requests: AtomicUsize,
    /// Whether the request's body is still arriving.
    reads_body: AtomicBool,
    /// Whether a response has been taken.
    is_proven: AtomicBool,
    /// Whether a request of a peer has come.
    is_peer: AtomicBool,
    /// Whether a request was answered before its body was there.
    leaves_body: AtomicBool,
    aborts: AtomicBool,
    told: Notify,
}

/// What a connection is to do.
pub(super) enum Order {
    /// To end as soon as the response under way is there.
    Finish,
    /// To end at once.
    Abort,
}

/// A connection that is open for as long as this lives.
pub(super) struct Open {
    id: u64,
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
}

/// A request that is under way on a connection for as long as this lives.
pub(super) struct UnderWay(Arc<Connection>);

impl Connections {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            closed: Notify::new(),
        })
    }

    /// Takes in one more. Where there are `limit` already, some that matter least are closed; nothing where all of them
    /// are in use.
    pub(super) fn add(self: &Arc<Self>, limit: usize) -> Option<Open> {
        let mut open = self.lock();
        if open.len() >= limit && !make_room(&mut open, limit / EVICTED_PART) {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(self.since));
        open.insert(id, Arc::clone(&connection));
        Some(Open { id, connection, all: Arc::clone(self) })
    }

    /// Closes some connections that matter least, as when descriptors have run out; whether there are any.
    pub(super) fn make_room(&self) -> bool {
        let mut open = self.lock();
        let count = open.len() / EVICTED_PART;
        make_room(&mut open, count)
    }

    /// Closes the connection whose caller has not read its reply for longest, if that is long.
    pub(super) fn close_most_stalled(&self) {
        let open = self.lock();
        let stalled = open.values().filter(|one| one.stalled_for() >= HELD_UP_MAX);
        if let Some(one) = stalled.max_by_key(|one| one.stalled_for()) {
            one.abort();
        }
    }

    /// Tells all connections to finish, and waits until those that are in use have.
    pub(super) async fn finish(&self) {
        for one in self.lock().values() {
            one.told.notify_one();
        }
        loop {
            let closed = self.closed.notified();
            if self.lock().values().all(|one| one.is_idle()) {
                return;
            }
            closed.await;
        }
    }

    /// Ends all connections at once.
    pub(super) fn abort(&self) {
        for one in self.lock().values() {
            one.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes up to `count` connections, and at least one if there is one that may be closed.
fn make_room(open: &mut HashMap<u64, Arc<Connection>>, count: usize) -> bool {
    let peers = open.values().filter(|one| one.is_peer.load(Ordering::Relaxed)).count();
    let keeps_peers = peers <= PEERS_KEPT_MAX;
    let mut candidates: Vec<_> =
        open.iter().filter_map(|(id, one)| Some((one.worth(keeps_peers)?, *id))).collect();
    if candidates.is_empty() {
        return false;
    }
    let last = count.clamp(1, candidates.len()) - 1;
    candidates.select_nth_unstable(last);
    for (_, id) in &candidates[..=last] {
        if let Some(one) = open.remove(id) {
            one.abort();
        }
    }
    true
}

/// Why a connection may be closed to make room: the first kinds go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expendable {
    /// Nothing has been said on it yet.
    Unproven,
    /// Nothing is under way.
    Idle,
    /// Its caller does not read.
    Stalled,
    /// Its caller is slow to send.
    Sending,
}

impl Connection {
    fn new(since: Instant) -> Self {
        let connection = Self {
            since,
            changed_us: AtomicU64::new(0),
            stalled_us: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            reads_body: AtomicBool::new(false),
            is_proven: AtomicBool::new(false),
            is_peer: AtomicBool::new(false),
            leaves_body: AtomicBool::new(false),
            aborts: AtomicBool::new(false),
            told: Notify::new(),
        };
        connection.changed();
        connection
    }

    /// A request has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.changed();
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    pub(super) fn set_reads_body(&self, reads: bool) {
        self.reads_body.store(reads, Ordering::Relaxed);
    }

    pub(super) fn set_peer(&self) {
        self.is_peer.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_leaves_body(&self) {
        self.leaves_body.store(true, Ordering::Relaxed);
    }

    pub(super) fn leaves_body(&self) -> bool {
        self.leaves_body.load(Ordering::Relaxed)
    }

    /// The caller has stopped reading, or goes on.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled_us.store(if stalled { self.now_us().max(1) } else { 0 }, Ordering::Relaxed);
    }

    /// For how long the caller has not read what is written.
    pub(super) fn stalled_for(&self) -> Duration {
        match self.stalled_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.now_us().saturating_sub(since)),
        }
    }

    /// Whether no response is to be given or read.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0 && self.stalled_us.load(Ordering::Relaxed) == 0
    }

    /// Waits until the connection is to end.
    pub(super) async fn told(&self) -> Order {
        self.told.notified().await;
        if self.aborts.load(Ordering::Relaxed) { Order::Abort } else { Order::Finish }
    }

    fn abort(&self) {
        self.aborts.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }

    /// What closing this connection would cost, least first; nothing where it must not be closed.
    fn worth(&self, keeps_peers: bool) -> Option<(Expendable, u64)> {
        if keeps_peers && self.is_peer.load(Ordering::Relaxed) {
            return None;
        }
        let changed_us = self.changed_us.load(Ordering::Relaxed);
        let stalled_us = self.stalled_us.load(Ordering::Relaxed);
        if stalled_us > 0 {
            let is_long = self.stalled_for() >= HELD_UP_MAX;
            return is_long.then_some((Expendable::Stalled, stalled_us));
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            let is_long = Duration::from_micros(self.now_us().saturating_sub(changed_us)) >= HELD_UP_MAX;
            let is_slow = self.reads_body.load(Ordering::Relaxed) && is_long;
            return is_slow.then_some((Expendable::Sending, changed_us));
        }
        let is_proven = self.is_proven.load(Ordering::Relaxed);
        Some((if is_proven { Expendable::Idle } else { Expendable::Unproven }, changed_us))
    }

    fn changed(&self) {
        self.changed_us.store(self.now_us(), Ordering::Relaxed);
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.is_proven.store(true, Ordering::Relaxed);
        self.0.changed();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
        self.all.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn is_told_to_abort(open: &Open) -> bool {
        open.connection.aborts.load(Ordering::Relaxed)
    }

    /// Who has said nothing goes before who is idle after a request; who is served, and peers, stay.
    #[test]
    fn the_connections_that_matter_least_make_room() {
        let all = Connections::new();
        let open: Vec<_> = (0..5).map(|_| all.add(5).unwrap()).collect();
        let [served, peer, idle, _, _] = open.as_slice() else { panic!("there are five") };
        let _under_way = served.connection.begin();
        drop(peer.connection.begin());
        peer.connection.set_peer();
        drop(idle.connection.begin());
        let aborted = || open.iter().map(is_told_to_abort).collect::<Vec<_>>();
        let sixth = all.add(5).unwrap();
        assert_eq!(aborted(), [false, false, false, true, false]);
        let seventh = all.add(5).unwrap();
        assert_eq!(aborted(), [false, false, false, true, true], "{}", is_told_to_abort(&sixth));
        let busy: Vec<_> = [&sixth, &seventh].map(|one| one.connection.begin()).into();
        let eighth = all.add(5).unwrap();
        assert_eq!(aborted(), [false, false, true, true, true]);
        let _busy = (busy, eighth.connection.begin());
        assert!(all.add(5).is_none(), "all that are left are in use");
    }

    #[test]
    fn pretended_peers_are_kept_up_to_a_bound() {
        let all = Connections::new();
        let open: Vec<_> = (0..=PEERS_KEPT_MAX).map(|_| all.add(100).unwrap()).collect();
        for one in &open[1..] {
            one.connection.set_peer();
        }
        assert!(all.make_room() && is_told_to_abort(&open[0]));
        assert!(!all.make_room(), "the rest are peers");
        let more = all.add(100).unwrap();
        more.connection.set_peer();
        assert!(all.make_room(), "these are too many to be peers");
    }

    /// Callers that do not read, or are slow to send, may be closed only after a while.
    #[test]
    fn the_held_up_make_room_after_a_while() {
        let since = Instant::now().checked_sub(2 * HELD_UP_MAX).unwrap();
        let all = Arc::new(Connections {
            since,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            closed: Notify::new(),
        });
        let (stalled, sending) = (all.add(9).unwrap(), all.add(9).unwrap());
        let (_one, _two) = (stalled.connection.begin(), sending.connection.begin());
        stalled.connection.set_stalled(true);
        sending.connection.set_reads_body(true);
        all.close_most_stalled();
        assert!(!all.make_room() && !is_told_to_abort(&stalled));
        let open = [&stalled, &sending].map(|one| Arc::clone(&one.connection));
        // As if all of this had begun when the server did.
        stalled.connection.stalled_us.store(1, Ordering::Relaxed);
        sending.connection.changed_us.store(1, Ordering::Relaxed);
        all.close_most_stalled();
        assert!(is_told_to_abort(&stalled) && !is_told_to_abort(&sending));
        assert!(
            all.make_room() && all.make_room() && open.iter().all(|one| one.aborts.load(Ordering::Relaxed))
        );
    }
}
