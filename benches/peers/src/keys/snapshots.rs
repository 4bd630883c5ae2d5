//! When a node takes snapshots, and what that means for calls.
//!
//! A node does not tell when it begins a snapshot. But the snapshot is the state at the index that it has in the end, so it
//! has begun when the node applied that index.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use traitwire_kv::services::raft::Index;
use traitwire_kv::services::rsm::{Rsm as _, RsmStub};

use crate::harness::histogram::Histogram;
use crate::harness::load::Call;

/// How often the node is asked.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// How long a snapshot is waited for that has begun under load.
const LAST_SNAPSHOT_TIME: Duration = Duration::from_secs(3);

/// How far a node was at one moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    applied: Index,
    snapshot: Index,
}

/// Looks at a node again and again.
pub struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    looking: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Watch {
    /// Begins to look.
    pub fn start(node: RsmStub) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = seen.clone();
        let looking = tokio::spawn(async move {
            loop {
                // What is seen was so after the question and before the answer; a window had better be too long.
                let asked = Instant::now();
                if let Ok(status) = node.status().await {
                    let (applied, snapshot) = (status.applied_index, status.snapshot_index);
                    let seen = &mut *all.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.last().is_some_and(|last: &Seen| last.snapshot != snapshot) {
                        seen.push(Seen { at: Instant::now(), applied, snapshot });
                    } else {
                        seen.push(Seen { at: asked, applied, snapshot });
                    }
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        Self { seen, looking }
    }

    /// The times in which the node took a snapshot, of all that began before now.
    pub async fn windows(self) -> Vec<Window> {
        let now = Instant::now();
        tokio::time::sleep(LAST_SNAPSHOT_TIME).await;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        windows(&seen).into_iter().filter(|window| window.begin < now).collect()
    }
}

/// A time in which a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    begin: Instant,
    end: Instant,
}

fn windows(seen: &[Seen]) -> Vec<Window> {
    let mut windows = Vec::new();
    for (place, pair) in seen.windows(2).enumerate() {
        let [before, after] = [pair[0], pair[1]];
        if after.snapshot > before.snapshot {
            let earlier = &seen[..=place];
            let begin = earlier.partition_point(|seen| seen.applied < after.snapshot);
            windows.push(Window { begin: earlier[begin.saturating_sub(1)].at, end: after.at });
        }
    }
    windows
}

/// What calls took while a snapshot was taken, and otherwise.
#[derive(Default)]
pub struct Split {
    /// Calls of which any part was in a window.
    pub within: Histogram,
    /// The others.
    pub otherwise: Histogram,
}

impl Split {
    /// Looks at each call.
    pub fn new(calls: &[Call], windows: &[Window]) -> Self {
        let mut split = Self::default();
        for call in calls {
            let is_within = windows.iter().any(|it| call.begin < it.end && call.end > it.begin);
            let side = if is_within { &mut split.within } else { &mut split.otherwise };
            side.add(call.latency(), 1);
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    #[test]
    fn a_snapshot_begins_when_its_index_is_applied() {
        let begin = Instant::now();
        let seen = |(ms, applied, snapshot)| Seen { at: at(begin, ms), applied, snapshot };
        let all = [(0, 10, 0), (5, 20, 0), (10, 30, 0), (15, 40, 25), (20, 50, 25), (25, 60, 60)].map(seen);
        let window = |from, to| Window { begin: at(begin, from), end: at(begin, to) };
        assert_eq!(windows(&all), [window(5, 15), window(20, 25)]);
    }

    #[test]
    fn a_call_that_touches_a_window_is_within() {
        let begin = Instant::now();
        let call = |(from, to)| Call { begin: at(begin, from), end: at(begin, to) };
        let calls = [(0, 5), (4, 12), (12, 13), (14, 30), (15, 16)].map(call);
        let windows = [Window { begin: at(begin, 10), end: at(begin, 15) }];
        let split = Split::new(&calls, &windows);
        assert_eq!((split.within.total(), split.otherwise.total()), (3, 2));
    }
}
