//! `traitwire lock NAME -- COMMAND…`.

mod command;
mod signals;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use traitwire::KvClient;
use traitwire::log::Excerpt;
use traitwire_kv::call::CallError;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::lock::{self, AcquireError, Broken, NotALock, Released, break_lock};

use self::command::Running;
use self::signals::Signals;
use super::output::note;
use super::{Endpoints, Failure, key, seconds};

/// The exit code for a lock that was lost, or could not be confirmed any more (`EX_TEMPFAIL` of sysexits.h).
const LOST: u8 = 75;
/// The exit code of a failure of `lock` itself, so that it is not taken for the command's.
const OWN_FAILURE: u8 = 125;
/// How long the server may take to be reached at first.
const REACH_TIME: Duration = Duration::from_secs(5);
/// How often to ask whether the lock is still held: a broken lock is to be noticed within 10 s.
const CONFIRM_EVERY: Duration = Duration::from_secs(2);
/// How old the last confirmation may become before the lock counts as lost.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(30);
/// How long to try to release the lock of a command that was interrupted or stopped.
const HASTY_RELEASE_TIME: Duration = Duration::from_secs(5);

/// Run a command while holding a lock.
///
/// The command gets the fencing token in TRAITWIRE_LOCK_TOKEN: a number that rises with every acquisition, so that a
/// resource can refuse a late holder. The command runs in a process group of its own, unless `lock` is in the foreground of
/// a terminal, where the command stays in its group to be able to use the terminal.
///
/// HUP, INT, QUIT and TERM are forwarded to the command's process group, or to the command if it has none of its own; USR1,
/// USR2 and ALRM too, without ending anything. A signal that the terminal has sent to the whole group, such as that of
/// Ctrl-C, is not sent twice. `lock` then waits until the command has ended, releases the lock and exits with 128 + n. A
/// signal during the wait for the lock ends the wait, and leaves the lock to others. HUP stays ignored under nohup.
///
/// While the command runs, the lock is confirmed every 2 s. If it was broken, or could not be confirmed for 30 s, the command
/// gets TERM, and after 5 s KILL.
///
/// The lock has no lease: if `lock` itself is killed by KILL, or its machine fails, the lock stays held, and the command may
/// go on, until somebody frees it with --break.
///
/// The lock is the key NAME of the store; `lock` refuses a key that holds an ordinary value, and so does --break.
///
/// Exit codes: the command's own, or 128 + n if signal n ended it; 128 + n if `lock` got signal n, whatever the command
/// returned; 75 the lock was lost or could not be confirmed; 126 the command cannot be executed; 127 it was not found; 2
/// wrong usage; 125 any other failure of `lock` itself.
#[derive(clap::Args)]
pub(super) struct Lock {
    /// The lock's name: a key of 1 to 65,536 bytes.
    #[arg(value_parser = key)]
    name: String,
    /// Free the lock, whoever holds it, and run nothing; the holder's command is stopped.
    #[arg(long = "break", conflicts_with = "command")]
    break_it: bool,
    /// How long to wait for the lock, such as 30, 1.5 or 500ms; without it, there is no bound.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    endpoints: Endpoints,
    /// The command to run, and its arguments.
    #[arg(last = true, required_unless_present = "break_it")]
    command: Vec<OsString>,
}

impl Lock {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        // First of all: from here on no signal ends this process while it may hold the lock.
        let mut signals =
            Signals::listen().map_err(|error| own_failure(format!("cannot handle signals: {error}")))?;
        let deadline = self.timeout.and_then(|time| Instant::now().checked_add(time));
        let client = self.endpoints.kv();
        tokio::select! {
            reached = self.reach(&client) => reached?,
            signal = signals.ending() => return Ok(signals::exit_code(signal)),
        }
        if self.break_it {
            return self.break_it(&client).await;
        }
        let lock = Arc::new(lock::Lock::new(Arc::new(client), self.name.as_str()));
        let token = match self.acquire(&lock, &mut signals, deadline).await? {
            Ok(token) => token,
            Err(signal) => return Ok(signals::exit_code(signal)),
        };
        let running = match Running::start(&self.command, token) {
            Ok(running) => running,
            Err(failure) => {
                self.release(&lock, &mut signals, None, HASTY_RELEASE_TIME).await;
                return Err(failure);
            }
        };
        self.hold(&lock, running, &mut signals).await
    }

    /// Waiting for a lock may take long; a server that is not there shows before the wait begins.
    async fn reach(&self, client: &ClusterKvClient) -> Result<(), Failure> {
        let time = self.timeout.map_or(REACH_TIME, |time| time.min(REACH_TIME));
        match client.try_get(&self.name, time).await {
            Ok(_) | Err(CallError::Kv(_) | CallError::OtherVersion { .. }) => Ok(()),
            Err(CallError::Rpc(error)) => Err(own_failure(error)),
        }
    }

    /// Waits for the lock; the inner error is a signal that has ended the wait.
    async fn acquire(
        &self,
        lock: &lock::Lock,
        signals: &mut Signals,
        deadline: Option<Instant>,
    ) -> Result<Result<lock::FencingToken, i32>, Failure> {
        let mut signalled = None;
        let cancelled = async {
            tokio::select! {
                signal = signals.ending() => signalled = Some(signal),
                () = async {
                    match deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        };
        let acquired = lock.acquire_until(cancelled).await;
        let name = Excerpt(&self.name);
        match (acquired, signalled) {
            (Ok(token), _) => Ok(Ok(token)),
            (Err(AcquireError::Unsettled), signal) => {
                let message = format!(
                    "the wait for the lock `{name}` was given up while the store does not answer; if it turns out to be \
                     held by nobody, free it with --break"
                );
                note(format_args!("traitwire: {message}"));
                signal.map(Err).ok_or_else(|| Failure::silent(OWN_FAILURE))
            }
            (Err(_), Some(signal)) => Ok(Err(signal)),
            (Err(AcquireError::Cancelled), None) => {
                let time = self.timeout.unwrap_or_default();
                Err(own_failure(format!("the lock `{name}` was not free within {time:?}")))
            }
            (Err(AcquireError::NotALock(error)), None) => Err(own_failure(hint(&error))),
            (Err(error @ AcquireError::NoAnswer), None) => {
                Err(own_failure(format!("cannot wait for the lock `{name}`: {error}")))
            }
        }
    }

    /// Waits until the command has ended, or ends it when the lock is lost; then releases the lock.
    async fn hold(
        &self,
        lock: &lock::Lock,
        mut running: Running,
        signals: &mut Signals,
    ) -> Result<u8, Failure> {
        let mut signalled = None;
        let ended = {
            let mut lost = std::pin::pin!(lost(lock));
            loop {
                tokio::select! {
                    // In this order: a signal that reached the command too came before its end.
                    biased;
                    signal = signals.next() => running.forward(signal, &mut signalled),
                    ended = running.ended() => break Ok(ended),
                    loss = &mut lost => break Err(loss),
                }
            }
        };
        let name = Excerpt(&self.name);
        let (code, time) = match ended {
            Ok(code) => (code, if signalled.is_some() { HASTY_RELEASE_TIME } else { UNCONFIRMED_MAX }),
            Err(loss) => {
                note(format_args!("traitwire: {}: the command is stopped", loss.text(&name)));
                running.stop(signals, &mut signalled).await;
                if matches!(loss, Loss::Taken) {
                    return Ok(signalled.map_or(LOST, signals::exit_code));
                }
                (Ok(LOST), HASTY_RELEASE_TIME)
            }
        };
        let released = self.release(lock, signals, signalled, time).await;
        match (released.signalled, released.is_certain) {
            (Some(signal), _) => Ok(signals::exit_code(signal)),
            (None, true) => code,
            (None, false) => Ok(LOST),
        }
    }

    /// Releases the lock within `time`, or soon after a signal.
    async fn release(
        &self,
        lock: &lock::Lock,
        signals: &mut Signals,
        signalled: Option<i32>,
        time: Duration,
    ) -> Release {
        let name = Excerpt(&self.name);
        let released = async {
            // Where the server has forgotten the lock, a rival may hold it at the same version.
            if lock.confirm().await { lock.release().await } else { Released::Lost }
        };
        let mut released = std::pin::pin!(timeout(time, released));
        let mut signalled_now = None;
        let outcome = tokio::select! {
            outcome = &mut released => outcome.ok(),
            signal = signals.ending() => {
                signalled_now = Some(signal);
                timeout(HASTY_RELEASE_TIME, released).await.ok().and_then(Result::ok)
            }
        };
        match outcome {
            Some(Released::Freed) => {}
            Some(Released::Lost | Released::NotHeld) => {
                note(format_args!("traitwire: the lock `{name}` was taken away while the command ran"));
            }
            None => note(format_args!(
                "traitwire: the store does not answer, so the lock `{name}` may stay held; free it with --break"
            )),
        }
        Release { is_certain: outcome == Some(Released::Freed), signalled: signalled.or(signalled_now) }
    }

    async fn break_it(&self, client: &ClusterKvClient) -> Result<u8, Failure> {
        let name = Excerpt(&self.name);
        let kv: &dyn KvClient = client;
        let time = self.timeout.unwrap_or(UNCONFIRMED_MAX);
        match timeout(time, break_lock(kv, &self.name)).await {
            Ok(Ok(Broken::WasHeld)) => note(format_args!("the lock `{name}` was held and is free now")),
            Ok(Ok(Broken::WasFree)) => note(format_args!("the lock `{name}` is free")),
            Ok(Ok(Broken::NeverTaken)) => note(format_args!("the lock `{name}` has never been taken")),
            Ok(Err(error)) => return Err(own_failure(hint(&error))),
            Err(_) => return Err(own_failure(format!("the lock `{name}` was not broken within {time:?}"))),
        }
        Ok(0)
    }
}

/// How a release ended.
struct Release {
    /// Whether the lock was held up to its release.
    is_certain: bool,
    signalled: Option<i32>,
}

/// Why a lock counts as lost.
enum Loss {
    Taken,
    Unconfirmed,
}

impl Loss {
    fn text(&self, name: &Excerpt<'_>) -> String {
        match self {
            Self::Taken => format!("the lock `{name}` was taken away"),
            Self::Unconfirmed => {
                format!("the lock `{name}` could not be confirmed for {} s", UNCONFIRMED_MAX.as_secs())
            }
        }
    }
}

/// Completes when the lock is lost.
async fn lost(lock: &lock::Lock) -> Loss {
    let mut confirmed = Instant::now();
    loop {
        tokio::time::sleep(CONFIRM_EVERY).await;
        let asked = Instant::now();
        match timeout_at(confirmed + UNCONFIRMED_MAX, lock.confirm()).await {
            Ok(true) => confirmed = asked,
            Ok(false) => return Loss::Taken,
            Err(_) => return Loss::Unconfirmed,
        }
    }
}

/// What is wrong with a key that is not a lock, and what to do.
fn hint(error: &NotALock) -> String {
    if !error.may_be_older_lock {
        return error.to_string();
    }
    let NotALock { name, version, .. } = error;
    format!(
        "{error}; it may be a lock that an earlier version took: if you are sure, free it with \
         `traitwire kv put '{}' '' --version {version}`",
        Excerpt(name)
    )
}

fn own_failure(message: impl std::fmt::Display) -> Failure {
    Failure::with_code(OWN_FAILURE, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use traitwire::{KVError, Version};

    use super::*;

    /// A store of one key that can be out of reach for some time.
    #[derive(Default)]
    struct OneKey {
        key: Mutex<(String, Version)>,
        gone_until: Mutex<Option<Instant>>,
    }

    impl OneKey {
        async fn reach(&self) {
            let until = *self.gone_until.lock().expect("no test panics under the lock");
            if let Some(until) = until {
                tokio::time::sleep_until(until).await;
            }
        }
    }

    #[traitwire::async_trait]
    impl KvClient for OneKey {
        async fn get(&self, _key: &str) -> Result<(String, Version), KVError> {
            self.reach().await;
            Ok(self.key.lock().expect("no test panics under the lock").clone())
        }

        async fn put(&self, _key: &str, value: &str, version: Version) -> Result<(), KVError> {
            self.reach().await;
            let mut key = self.key.lock().expect("no test panics under the lock");
            if key.1 != version {
                return Err(KVError::Version);
            }
            *key = (value.to_owned(), version + 1);
            Ok(())
        }
    }

    /// How long the lock counts as held once the store is out of reach, and then there again or not.
    async fn lost_after(gone: Option<Duration>, is_broken: bool) -> (Duration, bool) {
        let kv = Arc::new(OneKey::default());
        let lock = lock::Lock::new(kv.clone(), "l");
        lock.acquire().await;
        let began = Instant::now();
        // Not from the start, so that some confirmation has succeeded before.
        tokio::select! {
            _ = lost(&lock) => panic!("a lock that is held was taken for lost"),
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
        }
        let since = Instant::now();
        assert!(since - began >= Duration::from_secs(600));
        if is_broken {
            break_lock(kv.as_ref(), "l").await.expect("it is a lock");
        }
        *kv.gone_until.lock().expect("no test panics under the lock") = gone.map(|gone| since + gone);
        let loss = timeout(Duration::from_secs(120), lost(&lock)).await;
        (since.elapsed(), matches!(loss, Ok(Loss::Taken)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_counts_as_lost_in_time_and_not_before() {
        let seconds = Duration::from_secs;
        // Broken: noticed within 10 s.
        let (after, is_taken) = lost_after(None, true).await;
        assert!(after < seconds(10) && is_taken, "{after:?}");
        // Out of reach for less than 30 s: still held, or broken meanwhile.
        assert_eq!(lost_after(Some(seconds(29)), false).await, (seconds(120), false));
        let (after, is_taken) = lost_after(Some(seconds(25)), true).await;
        assert!((seconds(25)..seconds(26)).contains(&after) && is_taken, "{after:?}");
        // For longer: not certain any more.
        let (after, is_taken) = lost_after(Some(seconds(3_600)), false).await;
        assert!((seconds(30)..seconds(31)).contains(&after) && !is_taken, "{after:?}");
    }
}
