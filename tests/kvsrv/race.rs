//! Clients that overwrite one key, each with what it last read.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use traitwire::{KVError, KvClient, Version};

use crate::Setting;
use crate::common::history::RecordedClient;
use crate::common::network::NetworkConfig;

/// How the puts of a race ended.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    ok: u64,
    maybe: u64,
    refused: u64,
}

/// Lets clients read and overwrite `key` for `time`. Gives what became of their puts and the version in the end.
async fn race(setting: &Setting, key: &'static str, clients: usize, time: Duration) -> (Tally, Version) {
    let end = Instant::now() + time;
    let mut racers = JoinSet::new();
    for racer in 0..clients {
        racers.spawn(race_one(setting.client(), key, racer, end));
    }
    let mut all = Tally::default();
    for tally in racers.join_all().await {
        assert!(tally.ok + tally.maybe + tally.refused > 0, "a client finished no put at all");
        all.ok += tally.ok;
        all.maybe += tally.maybe;
        all.refused += tally.refused;
    }
    let (_, version) = setting.client_beside_the_network().get(key).await.unwrap();
    (all, version)
}

async fn race_one(kv: Arc<RecordedClient>, key: &str, racer: usize, end: Instant) -> Tally {
    let mut tally = Tally::default();
    for number in 0_u64.. {
        let version = match kv.get(key).await {
            Ok((_, version)) => version,
            Err(KVError::NoKey) => 0,
            Err(other) => panic!("a get was answered {other:?}"),
        };
        match kv.put(key, &format!("{racer}-{number}"), version).await {
            Ok(()) => tally.ok += 1,
            Err(KVError::Maybe) => tally.maybe += 1,
            Err(KVError::Version) => tally.refused += 1,
            Err(KVError::NoKey) => panic!("the key was read before, or its put named version 0"),
        }
        if Instant::now() >= end {
            break;
        }
    }
    tally
}

/// K8: each version has one winner, and without loss nobody is left in doubt.
#[tokio::test]
async fn without_loss_the_version_is_the_number_of_wins() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    for (key, clients, seconds) in [("two", 2, 1), ("five", 5, 1), ("ten", 10, 2)] {
        let (tally, version) = race(&setting, key, clients, Duration::from_secs(seconds)).await;
        assert_eq!(version, tally.ok, "{tally:?}");
        assert_eq!(tally.maybe, 0, "{tally:?}");
        assert!(tally.refused > 0, "this was no race: {tally:?}");
    }
    setting.recorder.check();
}

/// K9: with half of everything lost, the version is between the certain wins and all that may have been wins.
#[tokio::test]
async fn with_loss_the_version_is_within_what_clients_know() {
    for (clients, seconds) in [(2, 4), (5, 8)] {
        let setting = Setting::start(NetworkConfig::unreliable()).await;
        let (tally, version) = race(&setting, "k", clients, Duration::from_secs(seconds)).await;
        assert!((tally.ok..=tally.ok + tally.maybe).contains(&version), "version {version}, {tally:?}");
        setting.recorder.check();
    }
}

/// K14: copies of puts arrive up to half a second late and change nothing.
#[tokio::test]
async fn late_copies_are_applied_once() {
    let setting = Setting::start(NetworkConfig::reliable().with_duplicates()).await;
    let (tally, version) = race(&setting, "k", 5, Duration::from_secs(3)).await;
    assert_eq!((version, tally.maybe), (tally.ok, 0), "{tally:?}");
    assert!(setting.proxy.counts().duplicates > 0, "there were no copies");
    setting.recorder.check();
}

/// K14: the same when replies come late too, some later than their calls' deadlines.
#[tokio::test]
async fn late_copies_and_late_replies_do_no_harm() {
    let config = NetworkConfig::reliable().with_duplicates().with_late_replies();
    let setting = Setting::start(config).await;
    let (tally, version) = race(&setting, "k", 10, Duration::from_secs(4)).await;
    assert!((tally.ok..=tally.ok + tally.maybe).contains(&version), "version {version}, {tally:?}");
    setting.recorder.check();
}
