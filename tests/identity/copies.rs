//! Two nodes with copies of one data folder, as after copying a disk: one of them ends and says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::history::Recorder;
use crate::common::kv_cluster::{drained, load_at};
use crate::common::machines::Machines;

/// What a node says that must not run beside another one.
const SAYS: &str = "another process runs as this node with a copy of its data folder, at ";

/// How often a client begins a pair of a get and a put.
const EVERY: Duration = Duration::from_millis(5);

/// The node that the cluster knows goes on, and its copy ends by itself. It names where the other one is.
async fn ends(machines: &mut Machines, copy: u64, original: u64) {
    let url = machines.url(original);
    let (code, log) = machines.ended(copy).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("{SAYS}{url}")), "{log}");
}

/// The copy may be started with the unit file of the original, with its own URL, or without a list.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_node_ends() {
    let mut machines = Machines::founded(3).await;
    let peers = machines.peers([1, 2, 3]);
    let leader = machines.leader().await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    let recorder = Recorder::new();
    for original in [leader % 3 + 1, leader] {
        machines.kill(original).await;
        let copy = machines.copy(original);
        machines.start(original, &[]).await;
        machines.leader().await;
        let clients =
            (1..=2).map(|id| recorder.client(10 * original + id, machines.client([1, 2, 3, copy]))).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let loading = tokio::spawn(load_at(EVERY, clients, 4, move || over.load(Ordering::Relaxed)));
        let own = peers.replace(&machines.url(original), &machines.url(copy));
        for arguments in [&[][..], &["--peers", &peers], &["--peers", &own]] {
            machines.start(copy, arguments).await;
            // The others elect a leader while both are there.
            let led = machines.leader().await;
            if led != original {
                machines.crash_and_restart(led).await;
            }
            ends(&mut machines, copy, original).await;
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(drained(loading, Instant::now()).await > 0);
        recorder.check();
        machines.leader().await;
        machines.settled().await;
        machines.write(&[1, 2, 3], &format!("with {original}")).await;
        machines.check(&[1, 2, 3]).await;
    }
}

/// The copy runs first, where the cluster does not know it. The original comes back, and goes on as the node that it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_ends_when_the_original_returns() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    machines.kill(2).await;
    let copy = machines.copy(2);
    machines.start(copy, &[]).await;
    machines.start(2, &[]).await;
    ends(&mut machines, copy, 2).await;
    machines.settled().await;
    machines.kill(1).await;
    machines.leader().await;
    machines.write(&[2, 3], "after").await;
    machines.check(&[2, 3]).await;
}

/// The copy has taken the place of the original, as on a new machine. Then it is the original that ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_original_of_a_node_that_has_moved_ends() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    let peers = machines.peers([1, 2, 3]);
    machines.kill(2).await;
    let copy = machines.copy(2);
    let own = peers.replace(&machines.url(2), &machines.url(copy));
    machines.start(copy, &["--peers", &own]).await;
    machines.settled().await;
    machines.start(2, &["--peers", &peers]).await;
    ends(&mut machines, 2, copy).await;
    machines.settled().await;
    machines.kill(1).await;
    machines.leader().await;
    machines.write(&[copy, 3], "after").await;
    machines.check(&[copy, 3]).await;
}

/// Alone, both would lead, each with a part of the writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_single_node_ends() {
    let mut machines = Machines::founded(1).await;
    machines.write(&[1], "before").await;
    machines.kill(1).await;
    let copy = machines.copy(1);
    machines.start(1, &[]).await;
    machines.start(copy, &[]).await;
    ends(&mut machines, copy, 1).await;
    machines.write(&[1], "after").await;
    machines.check(&[1]).await;
}
