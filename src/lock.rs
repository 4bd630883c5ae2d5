//! A distributed lock: one key of a versioned key-value service, through any client of it.
//!
//! The key's value is empty while the lock is free, and otherwise the id of the acquisition that holds it. The id is new
//! for every acquisition: what is read after a put of unknown outcome then says without doubt whether this acquisition
//! has won. A holder that dies keeps the lock, since there are no leases; a server that forgets its keys frees it, which
//! `release` reports as [`Released::Lost`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use traitwire::{KVError, KvClient, Version};

use crate::bugs::{ServiceBug, has};

/// The longest pause before a waiter looks again, at first and later on.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// Rises with every acquisition of a lock: who guards a resource refuses a token lower than one it has seen.
pub type FencingToken = u64;

/// A lock by name. Clones of the `Arc` around it are one holder; two `Lock`s of one name are rivals.
pub struct Lock {
    kv: Arc<dyn KvClient>,
    name: String,
    /// The version of the key while this handle holds the lock.
    held: Mutex<Option<Version>>,
}

/// What a release found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lock was held and is free now.
    Freed,
    /// This handle did not hold the lock.
    NotHeld,
    /// The lock had been taken away meanwhile: broken by somebody, or forgotten by its server.
    Lost,
}

impl Lock {
    /// The lock `name`, kept by `kv`.
    pub fn new(kv: Arc<dyn KvClient>, name: impl Into<String>) -> Self {
        Self { kv, name: name.into(), held: Mutex::new(None) }
    }

    /// Waits until the lock is held by this acquisition, for as long as it takes. A caller that gives up midway may
    /// leave the lock held.
    pub async fn acquire(&self) -> FencingToken {
        let id = format!("{:032x}", fastrand::u128(..));
        let mut pause = PAUSE_FIRST;
        loop {
            let expected = match self.kv.get(&self.name).await {
                // A put whose outcome was not known has won.
                Ok((value, version)) if value == id => return self.holds(version),
                Ok((value, version)) if value.is_empty() => Some(version),
                Err(KVError::NoKey) => Some(0),
                Ok(_) | Err(KVError::Version | KVError::Maybe) => None,
            };
            if let Some(version) = expected {
                match self.kv.put(&self.name, &id, version).await {
                    Ok(()) => return self.holds(version + 1),
                    Err(KVError::Maybe) if has(ServiceBug::LockBelievesMaybe) => {
                        return self.holds(version + 1);
                    }
                    // The next look settles it, and comes at once.
                    Err(KVError::Maybe) => continue,
                    // A rival was faster.
                    Err(KVError::Version | KVError::NoKey) => {}
                }
            }
            tokio::time::sleep(pause.mul_f64(0.1 + 0.9 * fastrand::f64())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Frees the lock if this handle holds it. It never writes a second time: whatever a first put that got no answer
    /// has done, the version it was meant for is past.
    pub async fn release(&self) -> Released {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(version) = held else { return Released::NotHeld };
        let freed = self.kv.put(&self.name, "", version).await;
        if has(ServiceBug::LockFreedByForce)
            && freed == Err(KVError::Maybe)
            && let Ok((_, version)) = self.kv.get(&self.name).await
        {
            let _forced = self.kv.put(&self.name, "", version).await;
        }
        match freed {
            // `Maybe` is a refusal of a resend. While the lock is held only its holder writes the key, so that the
            // first copy was the one that changed it.
            Ok(()) | Err(KVError::Maybe) => Released::Freed,
            Err(KVError::Version | KVError::NoKey) => Released::Lost,
        }
    }

    fn holds(&self, version: Version) -> FencingToken {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        version
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::store::Store;

    /// What happens to the next put.
    #[derive(Clone, Copy)]
    enum Fate {
        /// It is applied and answered.
        Answered,
        /// It is applied, its reply is lost, and the resend meets the new version.
        AppliedMaybe,
        /// A rival's value is written first, so that it is refused; the first copy was lost on the way.
        RivalMaybe(&'static str),
        /// It is applied, its reply is lost, and a rival changes the key before the resend.
        AppliedThenRivalMaybe(&'static str),
    }

    struct Scripted {
        store: Mutex<Store>,
        fates: Mutex<VecDeque<Fate>>,
    }

    impl Scripted {
        fn new(fates: &[Fate]) -> Arc<Self> {
            Arc::new(Self { store: Mutex::default(), fates: Mutex::new(fates.iter().copied().collect()) })
        }

        fn write(&self, key: &str, value: &str) {
            let mut store = self.store.lock().expect("no test panics under the lock");
            let version = store.get(key).map_or(0, |(_, version)| version);
            store.put(key, value, version).1.expect("the version was just read");
        }

        fn value(&self, key: &str) -> String {
            let store = self.store.lock().expect("no test panics under the lock");
            store.get(key).map_or_else(String::new, |(value, _)| value.to_owned())
        }
    }

    #[traitwire::async_trait]
    impl KvClient for Scripted {
        async fn get(&self, key: &str) -> Result<(String, Version), KVError> {
            let store = self.store.lock().expect("no test panics under the lock");
            store.get(key).map(|(value, version)| (value.to_owned(), version)).ok_or(KVError::NoKey)
        }

        async fn put(&self, key: &str, value: &str, version: Version) -> Result<(), KVError> {
            let fate = self.fates.lock().expect("no test panics under the lock").pop_front();
            let fate = fate.unwrap_or(Fate::Answered);
            if let Fate::RivalMaybe(rival) = fate {
                self.write(key, rival);
                return Err(KVError::Maybe);
            }
            let (_, result) =
                self.store.lock().expect("no test panics under the lock").put(key, value, version);
            if let Fate::AppliedThenRivalMaybe(rival) = fate {
                self.write(key, rival);
            }
            match (fate, result) {
                (Fate::Answered, result) => result,
                (_, Ok(())) => Err(KVError::Maybe),
                (_, Err(refusal)) => Err(refusal),
            }
        }
    }

    /// L1, L2: tokens rise strictly from one acquisition to the next.
    #[tokio::test]
    async fn it_can_be_taken_again_and_its_tokens_rise() {
        let kv = Scripted::new(&[]);
        let lock = Lock::new(kv, "l");
        let mut last = 0;
        for _ in 0..20 {
            let token = lock.acquire().await;
            assert!(token > last);
            last = token;
            assert_eq!(lock.release().await, Released::Freed);
        }
        assert_eq!(lock.release().await, Released::NotHeld);
    }

    /// L8: the reply to the acquiring put is lost; the lock is held all the same, and freed by one release.
    #[tokio::test]
    async fn an_acquisition_whose_reply_was_lost_holds_the_lock() {
        let kv = Scripted::new(&[Fate::AppliedMaybe]);
        let lock = Lock::new(kv.clone(), "l");
        assert_eq!(lock.acquire().await, 1);
        assert_ne!(kv.value("l"), "");
        assert_eq!(lock.release().await, Released::Freed);
        assert_eq!(kv.value("l"), "");
    }

    /// L8: the put was lost and a rival has won; the lock is held only after the rival has freed it.
    #[tokio::test(start_paused = true)]
    async fn an_acquisition_that_a_rival_won_waits_for_the_rival() {
        let kv = Scripted::new(&[Fate::RivalMaybe("rival")]);
        let lock = Arc::new(Lock::new(kv.clone(), "l"));
        let acquiring = tokio::spawn({
            let lock = Arc::clone(&lock);
            async move { lock.acquire().await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!acquiring.is_finished());
        assert_eq!(kv.value("l"), "rival");
        kv.write("l", "");
        assert_eq!(acquiring.await.expect("the acquisition does not panic"), 3);
    }

    /// L9: the reply to the release is lost and a rival takes the lock at once; the rival keeps it.
    #[tokio::test]
    async fn a_release_whose_reply_was_lost_leaves_the_next_holder_alone() {
        let kv = Scripted::new(&[Fate::Answered, Fate::AppliedThenRivalMaybe("rival")]);
        let lock = Lock::new(kv.clone(), "l");
        lock.acquire().await;
        assert_eq!(lock.release().await, Released::Freed);
        assert_eq!(kv.value("l"), "rival");
    }

    /// L12: the server forgot its keys while the lock was held; the release returns and says so.
    #[tokio::test]
    async fn a_lock_that_its_server_forgot_is_reported_lost() {
        let kv = Scripted::new(&[]);
        let lock = Lock::new(kv.clone(), "l");
        lock.acquire().await;
        *kv.store.lock().expect("no test panics under the lock") = Store::new();
        assert_eq!(lock.release().await, Released::Lost);
    }
}
