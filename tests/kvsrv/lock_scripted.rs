//! The lock when a decisive message is lost, step by step.

use traitwire::KvClient;
use traitwire_kv::lock::{Lock, Released};

use crate::common::network::{Fate, NetworkConfig};
use crate::{Setting, soon};

/// L8: the put that takes the lock is applied, but its reply is lost. The client finds out that it holds the lock.
#[tokio::test]
async fn an_acquisition_whose_reply_is_lost_is_recognised() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let lock = Lock::new(setting.client(), "l");
    let beside = setting.client_beside_the_network();
    // The look, the put, the put again, and the look that settles it.
    setting.proxy.script([Fate::Deliver, Fate::DropReply, Fate::Deliver, Fate::Deliver]);
    let token = soon(lock.acquire()).await;
    assert_eq!(setting.proxy.script_left(), 0, "it was not in doubt, or did not look");
    let (holder, version) = beside.get("l").await.unwrap();
    assert_eq!((token, version), (1, 1), "it took the lock twice");
    assert_ne!(holder, "");
    assert_eq!(lock.release().await, Released::Freed);
    assert_eq!(beside.get("l").await, Ok((String::new(), 2)));
    setting.recorder.check();
}

/// L8: the put is lost, and a rival takes the lock before it is sent again. The client finds out that it does not hold the
/// lock, waits, and gets it when the rival is done.
#[tokio::test]
async fn an_acquisition_that_lost_to_a_rival_waits() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let lock = Lock::new(setting.client(), "l");
    let rival = Lock::new(setting.client_beside_the_network(), "l");
    setting.proxy.script([Fate::Deliver, Fate::DropRequest, Fate::Hold, Fate::Hold, Fate::Hold]);
    let (token, ()) = tokio::join!(soon(lock.acquire()), async {
        let put_again = setting.proxy.next_held().await;
        assert_eq!(soon(rival.acquire()).await, 1);
        put_again.decide(Fate::Deliver);
        // It looks, sees the rival, and looks again later: it did not take itself for the holder.
        setting.proxy.next_held().await.decide(Fate::Deliver);
        let look = setting.proxy.next_held().await;
        assert_eq!(rival.release().await, Released::Freed);
        look.decide(Fate::Deliver);
    });
    assert_eq!(token, 3);
    assert_eq!(lock.release().await, Released::Freed);
    setting.recorder.check();
}

/// L9: the put that frees the lock is applied, but its reply is lost, and a rival has the lock when it is sent again. The
/// release returns, and the rival keeps the lock.
#[tokio::test]
async fn a_release_whose_reply_is_lost_leaves_the_rival_alone() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let lock = Lock::new(setting.client(), "l");
    let beside = setting.client_beside_the_network();
    let rival = Lock::new(setting.client_beside_the_network(), "l");
    soon(lock.acquire()).await;
    setting.proxy.script([Fate::DropReply, Fate::Hold]);
    let (released, rivals) = tokio::join!(soon(lock.release()), async {
        let put_again = setting.proxy.next_held().await;
        assert_eq!(soon(rival.acquire()).await, 3);
        let rivals = beside.get("l").await;
        put_again.decide(Fate::Deliver);
        rivals
    });
    assert_eq!(released, Released::Freed);
    assert_eq!(beside.get("l").await, rivals, "the release touched the rival's lock");
    assert_eq!(rival.release().await, Released::Freed);
    assert_eq!(soon(lock.acquire()).await, 5);
    setting.recorder.check();
}

/// L9: the same with a lost request: nothing was freed, so nobody got in, and the second put frees the lock.
#[tokio::test]
async fn a_release_whose_request_is_lost_is_sent_again() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let lock = Lock::new(setting.client(), "l");
    let beside = setting.client_beside_the_network();
    soon(lock.acquire()).await;
    setting.proxy.script([Fate::DropRequest, Fate::Hold]);
    let (released, held) = tokio::join!(soon(lock.release()), async {
        let put_again = setting.proxy.next_held().await;
        let held = beside.get("l").await;
        put_again.decide(Fate::Deliver);
        held
    });
    let (holder, version) = held.unwrap();
    assert_ne!(holder, "");
    assert_eq!((released, version), (Released::Freed, 1));
    assert_eq!(beside.get("l").await, Ok((String::new(), 2)));
    setting.recorder.check();
}
