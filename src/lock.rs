//! A distributed lock: one key of a versioned key-value service, through any client of it.
//!
//! The key's value is empty while the lock is free. While it is held, the value is `traitwire-lock:` and the id of the
//! acquisition. The id is new for every acquisition, so a read after a put of unknown outcome tells whether that put has
//! taken the lock. The marker tells a held lock from an ordinary value: [`break_lock`] and [`Lock::acquire_until`] refuse
//! a key that holds anything else. Earlier versions wrote the id alone; such a lock counts as held, but [`break_lock`]
//! leaves it alone, since an ordinary value may look the same.
//!
//! There are no leases: a holder that dies keeps the lock until somebody breaks it. A server that forgets its keys frees
//! it, which [`Lock::confirm`] and [`Lock::release`] report.

mod attempt;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use traitwire::{KVError, KvClient, Version};

use self::attempt::{Attempt, Step};
use crate::bugs::{ServiceBug, has};

/// The marker of a held lock.
const HELD_MARKER: &str = "traitwire-lock:";
/// The hexadecimal digits of an acquisition's id.
const ID_DIGITS: usize = 32;
/// How long [`Lock::acquire_until`] waits for a single answer of the store.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// The pause before a question is repeated that got no usable answer.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Rises with every acquisition of a lock. A resource that is protected by the lock should refuse a token lower than one
/// it has seen.
pub type FencingToken = u64;

/// A lock by name. Clones of the `Arc` around it are one holder; two `Lock`s of one name are rivals.
///
/// ```
/// use std::sync::Arc;
///
/// use traitwire::RpcClient;
/// use traitwire_kv::kv_single::{client::SingleKvClient, server::SingleKvServer};
/// use traitwire_kv::lock::{Lock, Released};
/// use traitwire_kv::services::kv::KvServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let kv = SingleKvClient::new(RpcClient::in_process(KvServer::new(SingleKvServer::new())));
/// let lock = Lock::new(Arc::new(kv), "backup");
/// let first = lock.acquire().await;
/// assert_eq!(lock.release().await, Released::Freed);
/// let second = lock.acquire().await;
/// assert!(second > first, "a resource can tell a late holder by its token");
/// # }
/// ```
pub struct Lock {
    kv: Arc<dyn KvClient>,
    name: String,
    /// What this handle has written, while it holds the lock.
    held: Mutex<Option<Holding>>,
}

/// The key of a lock while it is held.
#[derive(Clone)]
struct Holding {
    value: String,
    version: Version,
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

/// Why [`Lock::acquire_until`] ended without the lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The caller stopped waiting, and this attempt does not hold the lock.
    #[error("the wait for the lock was cancelled")]
    Cancelled,
    /// The store did not answer for 30 s, and this attempt does not hold the lock.
    #[error("the store did not answer for {} s", ANSWER_TIME.as_secs())]
    NoAnswer,
    /// The attempt has ended, but the store did not confirm in time that it does not hold the lock.
    #[error("the store did not confirm that the lock is not held by this attempt")]
    Unsettled,
    /// The key holds an ordinary value.
    #[error(transparent)]
    NotALock(#[from] NotALock),
}

/// The key of the name holds a value that is not a lock's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key `{}` holds an ordinary value, not a lock (version {version}, {bytes} bytes); it was not changed",
    traitwire::log::Excerpt(name)
)]
pub struct NotALock {
    /// The key.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The length of its value.
    pub bytes: usize,
    /// Whether a lock that an earlier version took would look the same.
    pub may_be_older_lock: bool,
}

/// What [`break_lock`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The lock was held and is free now.
    WasHeld,
    /// The lock was free.
    WasFree,
    /// Nobody has ever taken the lock.
    NeverTaken,
}

impl Lock {
    /// The lock `name`, kept by `kv` in the key of that name.
    pub fn new(kv: Arc<dyn KvClient>, name: impl Into<String>) -> Self {
        Self { kv, name: name.into(), held: Mutex::new(None) }
    }

    /// Waits until this acquisition holds the lock, without a bound. Any value of the key that is not empty counts as
    /// somebody else's lock.
    ///
    /// If the future is dropped midway, a background task makes sure that the abandoned attempt does not keep the lock;
    /// [`Lock::acquire_until`] does the same and waits for it.
    pub async fn acquire(&self) -> FencingToken {
        let mut attempt = Attempt::new(self.kv.clone(), &self.name);
        loop {
            match attempt.step().await {
                Step::Won(version) => return self.holds(&attempt, version),
                Step::Again => {}
                Step::Occupied { .. } => attempt.pause().await,
            }
        }
    }

    /// Waits until this acquisition holds the lock or `cancelled` completes. An attempt that ends without the lock is
    /// withdrawn first: no put of it takes the lock later.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn acquire_until(
        &self,
        cancelled: impl Future<Output = ()>,
    ) -> Result<FencingToken, AcquireError> {
        let mut attempt = Attempt::new(self.kv.clone(), &self.name);
        let taken = async {
            loop {
                let step = tokio::time::timeout(ANSWER_TIME, attempt.step()).await;
                match step.map_err(|_| AcquireError::NoAnswer)? {
                    Step::Won(version) => return Ok(version),
                    Step::Again => {}
                    Step::Occupied { value, version } => {
                        if KeyState::of(&value) == KeyState::Ordinary {
                            return Err(NotALock::new(&self.name, &value, version).into());
                        }
                        attempt.pause().await;
                    }
                }
            }
        };
        let outcome = tokio::select! {
            taken = taken => taken,
            () = cancelled => Err(AcquireError::Cancelled),
        };
        match outcome {
            Ok(version) => Ok(self.holds(&attempt, version)),
            Err(_) if !attempt.withdraw().await => Err(AcquireError::Unsettled),
            Err(error) => Err(error),
        }
    }

    /// Asks the store whether this handle still holds the lock, for as long as it takes.
    pub async fn confirm(&self) -> bool {
        let Some(holding) = self.held().clone() else { return false };
        loop {
            match self.kv.get(&self.name).await {
                Ok((value, version)) => return value == holding.value && version == holding.version,
                Err(KVError::NoKey) => return false,
                // Not an answer to a get.
                Err(KVError::Version | KVError::Maybe) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Frees the lock if this handle holds it. It never writes a second time: whatever a first put that got no answer
    /// has done, the version it was meant for is past.
    pub async fn release(&self) -> Released {
        let held = self.held().take();
        let Some(Holding { version, .. }) = held else { return Released::NotHeld };
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

    fn holds(&self, attempt: &Attempt, version: Version) -> FencingToken {
        *self.held() = Some(Holding { value: attempt.value().to_owned(), version });
        version
    }

    fn held(&self) -> MutexGuard<'_, Option<Holding>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees the lock `name`, whoever holds it. The holder finds out by [`Lock::confirm`] or when it releases.
///
/// # Errors
/// When the key holds a value that is not certainly a lock's; it stays as it is.
pub async fn break_lock(kv: &dyn KvClient, name: &str) -> Result<Broken, NotALock> {
    loop {
        match kv.get(name).await {
            Err(KVError::NoKey) => return Ok(Broken::NeverTaken),
            Ok((value, version)) => match KeyState::of(&value) {
                KeyState::Free => return Ok(Broken::WasFree),
                KeyState::Held => {
                    if kv.put(name, "", version).await == Ok(()) {
                        return Ok(Broken::WasHeld);
                    }
                    // The holder changed meanwhile, or this put did it: the next look tells.
                }
                KeyState::Ordinary | KeyState::HeldByEarlierVersion => {
                    return Err(NotALock::new(name, &value, version));
                }
            },
            Err(KVError::Version | KVError::Maybe) => {}
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

impl NotALock {
    fn new(name: &str, value: &str, version: Version) -> Self {
        let may_be_older_lock = KeyState::of(value) == KeyState::HeldByEarlierVersion;
        Self { name: name.to_owned(), version, bytes: value.len(), may_be_older_lock }
    }
}

/// What a key's value says of the lock of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    Free,
    Held,
    /// Only an id, as earlier versions wrote it; it may just as well be a user's value.
    HeldByEarlierVersion,
    Ordinary,
}

impl KeyState {
    fn of(value: &str) -> Self {
        let is_id = |text: &str| {
            text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match value.strip_prefix(HELD_MARKER) {
            Some(id) if is_id(id) => Self::Held,
            None if value.is_empty() => Self::Free,
            None if is_id(value) => Self::HeldByEarlierVersion,
            Some(_) | None => Self::Ordinary,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;

    use super::*;
    use crate::store::Store;

    /// What happens to the next put.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        /// It is applied and answered.
        Answered,
        /// It is applied, its reply is lost, and the resend meets the new version.
        AppliedMaybe,
        /// A rival's value is written first, so that it is refused; the first copy was lost on the way.
        RivalMaybe(&'static str),
        /// It is applied, its reply is lost, and a rival changes the key before the resend.
        AppliedThenRivalMaybe(&'static str),
        /// It is not answered, and may be delivered later.
        Hangs,
        /// It is applied and not answered.
        AppliedHangs,
    }

    #[derive(Default)]
    struct Scripted {
        store: Mutex<Store>,
        fates: Mutex<VecDeque<Fate>>,
        /// Value and version of the puts that hang.
        hanging: Mutex<Vec<(String, Version)>>,
        /// Completes a wait for the next put that hangs.
        hangs: tokio::sync::Notify,
        /// Whether gets are not answered either.
        is_gone: std::sync::atomic::AtomicBool,
    }

    impl Scripted {
        fn new(fates: &[Fate]) -> Arc<Self> {
            Arc::new(Self { fates: Mutex::new(fates.iter().copied().collect()), ..Self::default() })
        }

        /// Delivers, late, what hung.
        fn deliver_late(&self, key: &str) {
            for (value, version) in self.hanging.lock().unwrap().drain(..) {
                let _refused = self.store.lock().unwrap().put(key, &value, version);
            }
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
            if self.is_gone.load(std::sync::atomic::Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
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
            let is_gone = self.is_gone.load(std::sync::atomic::Ordering::Relaxed);
            let result = match fate {
                Fate::Hangs => Ok(()),
                _ if is_gone => Ok(()),
                _ => self.store.lock().expect("no test panics under the lock").put(key, value, version).1,
            };
            if matches!(fate, Fate::Hangs | Fate::AppliedHangs) || is_gone {
                self.hanging.lock().unwrap().push((value.to_owned(), version));
                self.hangs.notify_one();
                std::future::pending::<()>().await;
            }
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

    /// Whatever has become of its put, an attempt that is given up leaves the lock free, and does not take it later.
    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_leaves_the_lock_to_others() {
        let fates = [Fate::Hangs, Fate::AppliedHangs].map(|first| {
            [[first, Fate::Answered], [first, Fate::AppliedMaybe], [first, Fate::RivalMaybe("")]]
        });
        for (before, fates) in
            (0..3).flat_map(|before| fates.as_flattened().iter().map(move |it| (before, it)))
        {
            for is_dropped in [true, false] {
                let kv = Scripted::new(&[]);
                (0..before).for_each(|_| kv.write("l", ""));
                kv.fates.lock().unwrap().extend(fates);
                let lock = Lock::new(kv.clone(), "l");
                if is_dropped {
                    tokio::select! {
                        token = lock.acquire() => panic!("acquired with {token}"),
                        () = kv.hangs.notified() => {}
                    }
                    // The task that settles it has come to its end by then.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                } else {
                    let acquired = lock.acquire_until(kv.hangs.notified()).await;
                    assert_eq!(acquired, Err(AcquireError::Cancelled));
                }
                kv.deliver_late("l");
                assert_eq!(kv.value("l"), "", "{before} writes, then {fates:?}, dropped: {is_dropped}");
                let next = Lock::new(kv.clone(), "l").acquire().await;
                assert!(next > before + 1, "token {next} after {before} writes and an attempt");
            }
        }
    }

    /// A runtime that ends drops the waits that it runs, and takes no task that would settle them.
    #[test]
    fn a_wait_may_end_with_its_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let kv = Scripted::new(&[Fate::Hangs]);
        let lock = Lock::new(kv.clone(), "l");
        runtime.spawn(async move { lock.acquire().await });
        runtime.block_on(kv.hangs.notified());
        drop(runtime);
        assert_eq!(kv.hanging.lock().unwrap().len(), 1, "the attempt was made, and nothing came after it");
    }

    /// A wait ends within its bounds when the store is gone, and says whether it may hold the lock.
    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_store_that_is_gone_has_a_bound() {
        let began = tokio::time::Instant::now();
        let kv = Scripted::new(&[]);
        kv.is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
        let lock = Lock::new(kv.clone(), "l");
        assert_eq!(lock.acquire_until(std::future::pending()).await, Err(AcquireError::NoAnswer));
        assert!(began.elapsed() <= ANSWER_TIME + Duration::from_secs(1));

        let kv = Scripted::new(&[Fate::Hangs]);
        let lock = Lock::new(kv.clone(), "l");
        let cancelled = async {
            kv.hangs.notified().await;
            kv.is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let began = tokio::time::Instant::now();
        assert_eq!(lock.acquire_until(cancelled).await, Err(AcquireError::Unsettled));
        assert!(began.elapsed() <= Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_finds_out_that_its_lock_was_broken() {
        let kv = Scripted::new(&[]);
        let lock = Lock::new(kv.clone(), "l");
        assert!(!lock.confirm().await);
        for _ in 0..2 {
            lock.acquire().await;
            assert!(lock.confirm().await);
            assert_eq!(break_lock(kv.as_ref(), "l").await, Ok(Broken::WasHeld));
            assert!(!lock.confirm().await);
            assert_eq!(lock.release().await, Released::Lost);
            assert_eq!(break_lock(kv.as_ref(), "l").await, Ok(Broken::WasFree));
        }
        // A server that forgets, and a rival that brings the key to the same version.
        lock.acquire().await;
        let version = kv.get("l").await.unwrap().1;
        *kv.store.lock().unwrap() = Store::new();
        (0..version).for_each(|_| kv.write("l", "traitwire-lock:00000000000000000000000000000000"));
        assert!(!lock.confirm().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_in_doubt_is_looked_at_again() {
        let kv = Scripted::new(&[Fate::Answered, Fate::AppliedMaybe]);
        Lock::new(kv.clone(), "l").acquire().await;
        assert_eq!(break_lock(kv.as_ref(), "l").await, Ok(Broken::WasFree));
        assert_eq!(kv.get("l").await, Ok((String::new(), 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn ordinary_values_are_neither_broken_nor_waited_for() {
        let id = "0123456789abcdef0123456789abcdef";
        for (value, older) in [
            ("production".to_owned(), false),
            (" ".to_owned(), false),
            ("{\"a\":1}".to_owned(), false),
            (id.to_uppercase(), false),
            (id[1..].to_owned(), false),
            (format!("{id}0"), false),
            (id.to_owned(), true),
            (HELD_MARKER.to_owned(), false),
            (format!("{HELD_MARKER}{}", &id[1..]), false),
            (format!("{HELD_MARKER}{id}\n"), false),
            (format!(" {HELD_MARKER}{id}"), false),
        ] {
            let kv = Scripted::new(&[]);
            kv.write("config", &value);
            let found = break_lock(kv.as_ref(), "config").await.unwrap_err();
            assert_eq!((found.version, found.bytes, found.may_be_older_lock), (1, value.len(), older));
            let lock = Lock::new(kv.clone(), "config");
            let waited =
                tokio::time::timeout(Duration::from_secs(60), lock.acquire_until(std::future::pending()));
            // A lock of an earlier version is waited for: to take it would be worse.
            let refused = waited.await.ok().map(|result| result.unwrap_err());
            assert_eq!(refused, (!older).then_some(AcquireError::NotALock(found)), "{value}");
            assert_eq!(kv.get("config").await, Ok((value, 1)));
        }
        let kv = Scripted::new(&[]);
        assert_eq!(break_lock(kv.as_ref(), "l").await, Ok(Broken::NeverTaken));
        assert_eq!(kv.get("l").await, Err(KVError::NoKey));
    }
}
