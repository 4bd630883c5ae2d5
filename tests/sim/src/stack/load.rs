//! Clients of whole nodes: those who read and write keys, and those who contend for the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use traitwire::{Executed, KVError, KvClient, Version};
use traitwire_checker::{Input, Outcome};
use traitwire_kv::call::CallError;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::lock::Lock;

use super::book::Book;
use crate::network::Span;
use crate::violation::{Rule, Violation};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client holds the lock.
const HOLD: Duration = Duration::from_millis(2);

/// A client whose calls stand in the book.
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) way: Way,
    pub(super) book: Arc<Book>,
}

/// What a client knows of the nodes.
pub(super) enum Way {
    /// All of them.
    Cluster(ClusterKvClient),
    /// One, as any server of the key-value service.
    Single(SingleKvClient),
}

/// What a client does until when.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) keys: u64,
    pub(super) think_us: Span,
    pub(super) end: Instant,
}

impl Client {
    /// Reads and writes keys, each write under the version that is known.
    pub(super) async fn work(&self, work: Work, mut random: fastrand::Rng) {
        let mut versions = vec![0; usize::try_from(work.keys).expect("there are few")];
        let mut written = 0;
        while Instant::now() < work.end {
            let place = random.usize(0..versions.len());
            let key = key(place as u64);
            let known = &mut versions[place];
            if random.u8(0..3) == 0 {
                *known = self.get(&key).await.unwrap_or(*known);
            } else {
                written += 1;
                let is_guess = matches!(self.way, Way::Cluster(_)) && random.u8(0..10) == 0;
                let version = if is_guess { random.u64(0..*known + 2) } else { *known };
                let value = format!("{}-{written}", self.id);
                match self.put(&key, value, version).await {
                    Some(Ok(())) => *known = version + 1,
                    // Somebody else was faster, or the outcome is not known.
                    _ => *known = self.get(&key).await.unwrap_or(*known),
                }
            }
            sleep(Duration::from_micros(work.think_us.draw(&mut random))).await;
        }
    }

    /// The version of a key, 0 where it does not exist; nothing when there was no answer.
    pub(super) async fn get(&self, key: &str) -> Option<Version> {
        let call = self.book.invoke(self.id, key, Input::Get);
        let result = match &self.way {
            Way::Cluster(client) => client.try_get(key, PATIENCE).await,
            Way::Single(client) => client.try_get(key, PATIENCE).await,
        };
        match result {
            Ok((value, version)) => {
                self.book.complete(self.id, call, Outcome::Value { value, version });
                Some(version)
            }
            Err(CallError::Kv(KVError::NoKey)) => {
                self.book.complete(self.id, call, Outcome::NoKey);
                Some(0)
            }
            Err(other @ (CallError::Kv(_) | CallError::OtherVersion { .. })) => {
                let what = format!("c{} got {other:?} from a get", self.id);
                self.book.broken(Violation::new(Rule::Linearizable, what));
                None
            }
            Err(CallError::Rpc(error)) => {
                self.book.unknown(self.id, &error.to_string());
                None
            }
        }
    }

    /// What became of a put; nothing when there was no answer.
    async fn put(&self, key: &str, value: String, version: Version) -> Option<Result<(), KVError>> {
        let call = self.book.invoke(self.id, key, Input::Put { value: value.clone(), version });
        let result = match &self.way {
            Way::Cluster(client) => client.try_put(key, &value, version, PATIENCE).await,
            Way::Single(client) => client.try_put(key, &value, version, PATIENCE).await,
        };
        let (outcome, result) = match result {
            Ok(()) => (Outcome::Ok, Ok(())),
            Err(CallError::Kv(error)) => (outcome(error), Err(error)),
            Err(CallError::OtherVersion { .. }) => (outcome(KVError::Version), Err(KVError::Version)),
            Err(CallError::Rpc(error)) => {
                match error.executed() {
                    Executed::No => self.book.never(self.id, value, &error.to_string()),
                    Executed::Unknown => self.book.unknown(self.id, &error.to_string()),
                }
                return None;
            }
        };
        self.book.complete(self.id, call, outcome);
        Some(result)
    }
}

/// The name of a key.
pub(super) fn key(place: u64) -> String {
    format!("k{place}")
}

fn outcome(error: KVError) -> Outcome {
    match error {
        KVError::NoKey => Outcome::NoKey,
        KVError::Version => Outcome::Version,
        KVError::Maybe => Outcome::Maybe,
    }
}

/// The lock, as those see it who contend for it.
#[derive(Default)]
pub(super) struct Contest {
    inside: AtomicBool,
    latest: AtomicU64,
    pub(super) cycles: AtomicU64,
}

impl Contest {
    /// Takes the lock and frees it again and again: nobody else is inside, and tokens rise.
    pub(super) async fn contend(&self, kv: Arc<dyn KvClient>, book: &Book, end: Instant) {
        let lock = Lock::new(kv, "lock");
        while Instant::now() < end {
            let token = lock.acquire().await;
            book.line(|| format!("the lock is held with token {token}"));
            if self.inside.swap(true, Ordering::SeqCst) {
                book.broken(Violation::new(Rule::MutualExclusion, format!("token {token}")));
            }
            let before = self.latest.swap(token, Ordering::SeqCst);
            if token <= before {
                let what = format!("token {token} came after {before}");
                book.broken(Violation::new(Rule::MutualExclusion, what));
            }
            sleep(HOLD).await;
            self.inside.store(false, Ordering::SeqCst);
            let released = lock.release().await;
            book.line(|| format!("token {token}: {released:?}"));
            self.cycles.fetch_add(1, Ordering::SeqCst);
        }
    }
}
