//! Which connections are open, so that a full server can close the one that has been idle for longest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The open connections.
pub(super) struct Connections {
    since: Instant,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    closed: Notify,
}

/// One open connection.
pub(super) struct Connection {
    started: Instant,
    idle_since_us: AtomicU64,
    requests: AtomicUsize,
    /// Tells the connection to end as soon as it is idle.
    pub(super) end: Notify,
}

/// A connection that is open for as long as this lives.
pub(super) struct Open {
    id: u64,
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Connections {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            closed: Notify::new(),
        })
    }

    /// Takes in one more; where there are more than `limit`, the one that is idle for longest is told to end.
    pub(super) fn add(self: &Arc<Self>, limit: usize) -> Open {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            started: self.since,
            idle_since_us: AtomicU64::new(micros(self.since)),
            requests: AtomicUsize::new(0),
            end: Notify::new(),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= limit {
            let idle = open.iter().filter(|(_, one)| one.requests.load(Ordering::Relaxed) == 0);
            let oldest =
                idle.min_by_key(|(_, one)| one.idle_since_us.load(Ordering::Relaxed)).map(|(id, _)| *id);
            if let Some(one) = oldest.and_then(|id| open.remove(&id)) {
                one.end.notify_one();
            }
        }
        open.insert(id, Arc::clone(&connection));
        Open { id, connection, all: Arc::clone(self) }
    }

    /// Tells all connections to end, and waits until they have.
    pub(super) async fn end_all(&self) {
        loop {
            let closed = self.closed.notified();
            {
                let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                if open.is_empty() {
                    return;
                }
                for one in open.values() {
                    one.end.notify_one();
                }
            }
            closed.await;
        }
    }
}

impl Connection {
    /// A request has arrived, or its response is ready.
    pub(super) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The handler of a request has ended.
    pub(super) fn request_ended(&self) {
        self.idle_since_us.store(micros(self.started), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.all.closed.notify_waiters();
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
