//! Clients that fight for one lock, and the proof that it is one: never two inside, and tokens that only rise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use traitwire_kv::lock::Lock;

use super::wait::{promised, within};

/// How long a client stays inside.
const HOLD: Duration = Duration::from_millis(2);
/// How long the last cycles may take once time is up.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Lets each lock handle acquire and release for `time`, and gives how many cycles each of them completed: one at least,
/// since a cycle that has begun is completed.
pub(crate) async fn contend(locks: Vec<Lock>, time: Duration) -> Vec<u64> {
    let inside = Arc::new(AtomicBool::new(false));
    let latest = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + time;
    let drained = time + DRAIN_TIMEOUT;
    let mut contenders = JoinSet::new();
    for (number, lock) in locks.into_iter().enumerate() {
        let (inside, latest) = (Arc::clone(&inside), Arc::clone(&latest));
        contenders.spawn(async move {
            let mut cycles = 0;
            loop {
                let token = lock.acquire().await;
                promised!(!inside.swap(true, Ordering::SeqCst), "two clients hold the lock");
                let before = latest.swap(token, Ordering::SeqCst);
                promised!(token > before, "token {token} came after {before}");
                tokio::time::sleep(HOLD).await;
                inside.store(false, Ordering::SeqCst);
                lock.release().await;
                cycles += 1;
                if Instant::now() >= end {
                    break;
                }
            }
            (number, cycles)
        });
    }
    let mut cycles = within(drained, "every client to release the lock", contenders.join_all()).await;
    cycles.sort_unstable();
    cycles.into_iter().map(|(_, cycles)| cycles).collect()
}
