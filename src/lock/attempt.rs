//! One attempt to take a lock, which leaves nothing behind when it is given up.

use std::sync::Arc;
use std::time::Duration;

use traitwire::{KVError, KvClient, Version};

use super::{HELD_MARKER, RETRY_PAUSE};
use crate::bugs::{ServiceBug, has};

/// The longest pause before a waiter looks again, at first and later on.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(40);
/// How long an attempt that is given up may take to make sure that it does not hold the lock.
const WITHDRAW_TIME: Duration = Duration::from_secs(5);

/// One attempt to take a lock.
///
/// Invariant: a put of this attempt can still change the key only at version `pending`, or not at all if there is none.
pub(super) struct Attempt {
    kv: Arc<dyn KvClient>,
    name: String,
    /// What the key holds once this attempt has won; unique to it.
    value: String,
    pending: Option<Version>,
    pause: Duration,
    /// Whether the caller has left. Dropped with the runtime that settles it, such an attempt starts nothing more.
    is_abandoned: bool,
}

/// How one look at the lock ended.
pub(super) enum Step {
    /// The attempt holds the lock since this version of the key.
    Won(Version),
    /// Something has changed: look again at once.
    Again,
    /// The key has this value; look again after a pause.
    Occupied {
        /// What the key holds; empty when a rival was faster.
        value: String,
        /// Its version.
        version: Version,
    },
}

impl Attempt {
    pub(super) fn new(kv: Arc<dyn KvClient>, name: &str) -> Self {
        let value = format!("{HELD_MARKER}{:032x}", fastrand::u128(..));
        Self { kv, name: name.to_owned(), value, pending: None, pause: PAUSE_FIRST, is_abandoned: false }
    }

    /// What the key holds once this attempt has won.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Looks at the lock, and takes it if it is free.
    pub(super) async fn step(&mut self) -> Step {
        let (value, version) = match self.kv.get(&self.name).await {
            Ok(found) => found,
            Err(KVError::NoKey) => (String::new(), 0),
            // Not an answer to a get.
            Err(KVError::Version | KVError::Maybe) => {
                return Step::Occupied { value: String::new(), version: 0 };
            }
        };
        if value == self.value {
            // A put whose outcome was not known has won.
            return self.won(version);
        }
        // Puts that are meant for an earlier version can only be refused. A key that has gone back was forgotten by its
        // server, and the messages to that server with it.
        self.pending = self.pending.filter(|pending| *pending == version);
        if !value.is_empty() {
            return Step::Occupied { value, version };
        }
        self.pending = Some(version);
        match self.kv.put(&self.name, &self.value, version).await {
            Ok(()) => self.won(version + 1),
            Err(KVError::Maybe) if has(ServiceBug::LockBelievesMaybe) => self.won(version + 1),
            // The next look settles it.
            Err(KVError::Maybe) => Step::Again,
            // A rival was faster.
            Err(KVError::Version | KVError::NoKey) => Step::Occupied { value, version },
        }
    }

    /// Waits before the next look: longer each time, and never the same for two waiters.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(0.1 + 0.9 * fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Makes sure that this attempt neither holds the lock nor takes it later; gives whether that is certain.
    pub(super) async fn withdraw(mut self) -> bool {
        let withdrawn = tokio::time::timeout(WITHDRAW_TIME, self.settle()).await.is_ok();
        // What could not be settled by now would not be by the task that a drop starts.
        self.pending = None;
        withdrawn
    }

    /// Once the key is past the version that a put of this attempt is meant for, that put can only be refused. So a free
    /// key is written once more, as free.
    async fn settle(&mut self) {
        while let Some(pending) = self.pending {
            let (value, version) = match self.kv.get(&self.name).await {
                Ok(found) => found,
                Err(KVError::NoKey) => (String::new(), 0),
                Err(KVError::Version | KVError::Maybe) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            };
            let is_own = value == self.value;
            // Another version: see `step`.
            let is_past = !is_own && version != pending;
            let may_write = is_own || value.is_empty();
            if is_past || (may_write && self.kv.put(&self.name, "", version).await == Ok(())) {
                self.pending = None;
            } else {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// The attempt is over, and no other put of it can change the key: all were meant for versions that are past.
    fn won(&mut self, version: Version) -> Step {
        self.pending = None;
        Step::Won(version)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.pending.is_none() || self.is_abandoned {
            return;
        }
        // The caller has stopped waiting midway. Without a runtime, no put is under way either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut abandoned = Self {
                kv: self.kv.clone(),
                name: std::mem::take(&mut self.name),
                value: std::mem::take(&mut self.value),
                pending: self.pending.take(),
                pause: self.pause,
                is_abandoned: true,
            };
            runtime.spawn(async move {
                let settled = tokio::time::timeout(WITHDRAW_TIME, abandoned.settle()).await;
                abandoned.pending = None;
                if settled.is_err() {
                    let name = traitwire::log::Excerpt(&abandoned.name);
                    tracing::warn!("an abandoned attempt may still hold the lock `{name}`");
                }
            });
        }
    }
}
