//! The lock under load: one holder at a time, and everybody's turn.

use std::time::Duration;

use traitwire::KvClient;
use traitwire_kv::lock::{Lock, Released};

use crate::common::contention::contend;
use crate::common::history::Recorder;
use crate::common::network::NetworkConfig;
use crate::{Setting, soon};

/// Handles of one lock, each with a client of its own.
fn locks(setting: &Setting, name: &str, count: usize) -> Vec<Lock> {
    (0..count).map(|_| Lock::new(setting.client(), name)).collect()
}

/// L1, L2, L3: once, twenty times over, and one inside the other.
#[tokio::test]
async fn a_lock_is_taken_and_freed() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let [outer, inner] = ["outer", "inner"].map(|name| Lock::new(setting.client(), name));
    assert_eq!(outer.release().await, Released::NotHeld);
    let mut latest = 0;
    for _ in 0..20 {
        let token = soon(outer.acquire()).await;
        assert!(token > latest, "token {token} came after {latest}");
        latest = token;
        soon(inner.acquire()).await;
        assert_eq!(inner.release().await, Released::Freed);
        assert_eq!(outer.release().await, Released::Freed);
        assert_eq!(outer.release().await, Released::NotHeld);
    }
    setting.recorder.check();
}

/// L4: however many race for a lock that nobody has used, one wins at a time and all get on.
#[tokio::test]
async fn the_first_use_is_a_race_like_any_other() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    for count in [1, 2, 5, 10] {
        for attempt in 0..5 {
            let locks = locks(&setting, &format!("{count}-{attempt}"), count);
            let cycles = contend(locks, Duration::from_millis(200)).await;
            assert!(cycles.iter().all(|cycles| *cycles >= 1), "{cycles:?}");
        }
    }
    setting.recorder.check();
}

/// L5: a crowd gets through.
#[tokio::test]
async fn a_crowd_takes_turns() {
    const SECONDS: u64 = 6;
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let cycles = contend(locks(&setting, "l", 32), Duration::from_secs(SECONDS)).await;
    assert!(cycles.iter().all(|cycles| *cycles >= 1), "{cycles:?}");
    let per_second = cycles.iter().sum::<u64>() / SECONDS;
    assert!(per_second >= 30, "{per_second} acquisitions a second");
    setting.recorder.check();
}

/// L6: the same over networks that lose half, or a tenth.
#[tokio::test]
async fn loss_costs_time_but_never_the_lock() {
    let run = async |config: NetworkConfig, count: usize| {
        let setting = Setting::start(config).await;
        let cycles = contend(locks(&setting, "l", count), Duration::from_secs(3)).await;
        assert!(cycles.iter().all(|cycles| *cycles >= 1), "{cycles:?}");
        setting.recorder.check();
    };
    let (half, tenth) = (NetworkConfig::unreliable, NetworkConfig::lossy);
    tokio::join!(
        run(half(), 1),
        run(half(), 2),
        run(half(), 10),
        run(tenth(), 1),
        run(tenth(), 2),
        run(tenth(), 10)
    );
}

/// L7: with half of everything lost, eight clients all complete a cycle.
#[tokio::test]
async fn nobody_starves_when_half_is_lost() {
    let setting = Setting::start(NetworkConfig::unreliable()).await;
    let cycles = contend(locks(&setting, "l", 8), Duration::from_secs(8)).await;
    assert!(cycles.iter().all(|cycles| *cycles >= 1), "{cycles:?}");
    setting.recorder.check();
}

/// L11: over half a minute, the unluckiest of 32 gets a fifth of a fair share.
#[tokio::test]
async fn turns_are_shared_fairly() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let cycles = contend(locks(&setting, "l", 32), Duration::from_secs(30)).await;
    let mean = cycles.iter().sum::<u64>() as f64 / cycles.len() as f64;
    let least = *cycles.iter().min().unwrap() as f64;
    assert!(least / mean >= 0.2, "the unluckiest had {least} of {mean}: {cycles:?}");
    setting.recorder.check();
}

/// L12: a server that comes back empty has freed its locks. The holder is told when it releases, and the lock goes on.
#[tokio::test]
async fn a_server_that_forgets_frees_its_locks() {
    let mut setting = Setting::start(NetworkConfig::reliable()).await;
    let [told, waiting] = ["told", "waiting"].map(|name| Lock::new(setting.client(), name));
    soon(told.acquire()).await;
    soon(waiting.acquire()).await;
    setting.recorder.check();

    // One release begins while there is no server, the other after there is a new one.
    setting.server.kill().await;
    let in_the_dark = tokio::spawn(async move { waiting.release().await });
    setting.server.restart().await;
    setting.proxy.retarget(setting.server.url());
    assert_eq!(told.release().await, Released::Lost);
    // Its first attempt may have freed the lock before the server was lost, for all it knows.
    assert!(matches!(in_the_dark.await.unwrap(), Released::Freed | Released::Lost));

    // The new server's history begins here.
    setting.recorder = Recorder::new();
    for name in ["told", "waiting"] {
        let lock = Lock::new(setting.client(), name);
        soon(lock.acquire()).await;
        assert_eq!(lock.release().await, Released::Freed);
        assert_eq!(setting.client().get(name).await, Ok((String::new(), 2)));
    }
    setting.recorder.check();
}
