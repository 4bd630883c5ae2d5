//! One put and one bad network: what a client says of a put it had to send more than once, and what it costs the server
//! and the network.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use traitwire::{KVError, KvClient};

use crate::common::network::{Fate, NetworkConfig};
use crate::common::process::thread_cpu_time;
use crate::{Setting, soon};

/// One version of a key after the other, each put repeated until it is certain that it was applied. Gives how often it was
/// not certain at once.
async fn rounds(setting: &Setting, key: &str, rounds: u64) -> u64 {
    let kv = setting.client();
    let mut unclear = 0;
    for round in 0..rounds {
        let value = |attempt: u64| format!("round {round}, attempt {attempt}");
        let mut attempt = 0;
        loop {
            match kv.put(key, &value(attempt), round).await {
                Err(KVError::Maybe) => unclear += 1,
                Ok(()) if attempt == 0 => break,
                // With nobody else there, it was the first call that won.
                Err(KVError::Version) if attempt > 0 => break,
                other => panic!("round {round}, attempt {attempt}: {other:?}"),
            }
            attempt += 1;
        }
        assert_eq!(kv.get(key).await, Ok((value(0), round + 1)));
    }
    unclear
}

/// K10: a client alone on its key never loses a put and never wins twice; and sometimes it is in doubt, since a plain server
/// keeps no record of whom it has answered. With half of everything lost a round takes some sixteen exchanges, so four
/// clients share the hundred rounds.
#[tokio::test]
async fn a_lonely_client_is_in_doubt_but_never_wrong() {
    let (half, tenth) =
        (Setting::start(NetworkConfig::unreliable()).await, Setting::start(NetworkConfig::lossy()).await);
    let of_half = async |key| rounds(&half, key, 25).await;
    let (a, b, c, d, e) =
        tokio::join!(of_half("a"), of_half("b"), of_half("c"), of_half("d"), rounds(&tenth, "k", 100));
    for (in_doubt, rounds) in [(a + b + c + d, "half"), (e, "a tenth")] {
        assert!(in_doubt >= 1, "{rounds} of the replies were lost, and no put was ever in doubt");
    }
    half.recorder.check();
    tenth.recorder.check();
}

/// Who else writes the key of a scripted put.
#[derive(Clone, Copy, Debug)]
enum Rival {
    /// Nobody; the key is at the version that the put names.
    Nobody,
    /// Somebody has won that version before the first attempt.
    WonBefore,
    /// Nobody, and the key does not exist, though the put names a version.
    KeyIsAbsent,
}

/// What a client must say of a put whose exchanges had these fates before the network got better.
fn right_answer(rival: Rival, fates: [Fate; 3]) -> Result<(), KVError> {
    let first_is_answered = fates[0] == Fate::Deliver;
    // The first attempt that reaches the server decides, and `Ok` is told only by its own reply.
    let decisive = fates.into_iter().find(|fate| *fate != Fate::DropRequest);
    match rival {
        Rival::Nobody if decisive == Some(Fate::DropReply) => Err(KVError::Maybe),
        Rival::Nobody => Ok(()),
        Rival::WonBefore if first_is_answered => Err(KVError::Version),
        Rival::KeyIsAbsent if first_is_answered => Err(KVError::NoKey),
        // An attempt whose request was lost looks no different from one that was executed.
        Rival::WonBefore | Rival::KeyIsAbsent => Err(KVError::Maybe),
    }
}

/// K11: every case of three fates and three rivals has exactly one right answer, and the value is there if and only if the
/// put won.
#[tokio::test]
async fn every_fate_of_a_put_has_one_right_answer() {
    const FATES: [Fate; 3] = [Fate::Deliver, Fate::DropRequest, Fate::DropReply];
    let setting = &Setting::start(NetworkConfig::reliable()).await;
    let (kv, beside) = (setting.client(), setting.client_beside_the_network());
    for rival in [Rival::Nobody, Rival::WonBefore, Rival::KeyIsAbsent] {
        for case in 0..27 {
            let fates = [FATES[case / 9], FATES[case / 3 % 3], FATES[case % 3]];
            let key = format!("{rival:?} {fates:?}");
            if !matches!(rival, Rival::KeyIsAbsent) {
                beside.put(&key, "start", 0).await.unwrap();
            }
            if matches!(rival, Rival::WonBefore) {
                beside.put(&key, "rival", 1).await.unwrap();
            }
            setting.proxy.script(fates);
            let answer = kv.put(&key, "own", 1).await;
            assert_eq!(answer, right_answer(rival, fates), "{key}");
            let expected = match rival {
                Rival::Nobody => Ok(("own".to_owned(), 2)),
                Rival::WonBefore => Ok(("rival".to_owned(), 2)),
                Rival::KeyIsAbsent => Err(KVError::NoKey),
            };
            assert_eq!(beside.get(&key).await, expected, "{key}");
            // An answer may have come before the script was over.
            while setting.proxy.script_left() > 0 {
                soon(kv.get(&key)).await.ok();
            }
        }
    }
    setting.recorder.check();
}

/// K11: a rival that wins between two attempts, of which the first was lost.
#[tokio::test]
async fn a_rival_between_two_attempts_leaves_doubt() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let (kv, rival) = (setting.client(), setting.client_beside_the_network());
    for (key, first) in [("request lost", Fate::DropRequest), ("reply lost", Fate::DropReply)] {
        rival.put(key, "start", 0).await.unwrap();
        setting.proxy.script([first, Fate::Hold]);
        let (answer, ()) = tokio::join!(kv.put(key, "own", 1), async {
            let resend = setting.proxy.next_held().await;
            let (_, version) = rival.get(key).await.unwrap();
            rival.put(key, "rival", version).await.unwrap();
            resend.decide(Fate::Deliver);
        });
        assert_eq!(answer, Err(KVError::Maybe));
        let (value, version) = rival.get(key).await.unwrap();
        let versions = if first == Fate::DropRequest { 2 } else { 3 };
        assert_eq!((value.as_str(), version), ("rival", versions), "{key}");
    }
    setting.recorder.check();
}

/// K12: while nothing gets through, clients neither flood the network nor burn the CPU, and soon after it heals all of them
/// have their answer.
#[tokio::test]
async fn a_blackout_is_waited_out_quietly() {
    const BLACKOUT: Duration = Duration::from_secs(10);
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let clients: Vec<_> = (0..32).map(|_| setting.client()).collect();
    for (number, kv) in clients.iter().enumerate() {
        kv.put(&number.to_string(), "before", 0).await.unwrap();
    }
    setting.proxy.cut();
    let before = setting.proxy.counts().exchanges_of;
    let cpu_before = thread_cpu_time();
    let mut puts = JoinSet::new();
    for (number, kv) in clients.into_iter().enumerate() {
        puts.spawn(async move { kv.put(&number.to_string(), "after", 1).await });
    }
    tokio::time::sleep(BLACKOUT).await;
    let cpu_share = (thread_cpu_time() - cpu_before).as_secs_f64() / BLACKOUT.as_secs_f64();
    let tries = setting.proxy.counts().exchanges_of;
    for (client, after) in &tries {
        let tries_per_s = (after - before[client]) / BLACKOUT.as_secs();
        assert!((1..=100).contains(&tries_per_s), "client {client} made {tries_per_s} tries a second");
    }
    // All clients and the network run in this thread, so that it could not show more than one core.
    assert!(cpu_share < 0.5, "32 waiting clients take {cpu_share} of a core");
    setting.proxy.heal();
    let answers = tokio::time::timeout(Duration::from_secs(1), puts.join_all()).await;
    assert_eq!(answers.expect("all calls return within a second"), vec![Ok(()); 32]);
    setting.recorder.check();
}

/// K14: a copy of a put that arrives after others have written is refused.
#[tokio::test]
async fn a_copy_that_comes_late_is_refused() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let kv = setting.client();
    for (version, value) in ["first", "second", "third"].into_iter().enumerate() {
        kv.put("k", value, version as u64).await.unwrap();
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (version, value) in ["first", "second", "third"].into_iter().enumerate() {
        let copy = json!({ "key": "k", "value": value, "version": version }).to_string();
        let response = http.post(format!("{}/put", setting.server.url())).body(copy).send().await.unwrap();
        let reply: Value = response.json().await.unwrap();
        assert_eq!(reply, json!({ "version": 3, "err": "Version" }));
    }
    assert_eq!(kv.get("k").await, Ok(("third".to_owned(), 3)));
    setting.recorder.check();
}

/// A server that hangs, for longer than a call's deadline, holds up its clients no longer than it hangs.
#[tokio::test]
async fn a_server_that_hangs_is_asked_again() {
    const HANG: Duration = Duration::from_millis(2_500);
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let kv = setting.client();
    kv.put("k", "before", 0).await.unwrap();
    setting.server.signal("STOP").await;
    let start = Instant::now();
    let (answer, ()) = tokio::join!(kv.put("k", "after", 1), async {
        tokio::time::sleep(HANG).await;
        setting.server.signal("CONT").await;
    });
    assert!(matches!(answer, Ok(()) | Err(KVError::Maybe)), "{answer:?}");
    assert!(start.elapsed() < HANG + Duration::from_secs(1), "it took {:?}", start.elapsed());
    assert_eq!(kv.get("k").await, Ok(("after".to_owned(), 2)));
    setting.recorder.check();
}
