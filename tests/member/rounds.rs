//! All nodes of a cluster under load are replaced, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::history::Recorder;
use crate::common::kv_cluster::{drained, load_at};
use crate::common::machines::Machines;
use crate::operator::{done, join, member, voters};

/// How many rounds to replace all nodes; `TRAITWIRE_MEMBER_ROUNDS=10` is the long form.
fn rounds() -> u64 {
    std::env::var("TRAITWIRE_MEMBER_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// How many clients there are, and how often each begins a pair of a get and a put.
const CLIENTS: u64 = 8;
const EVERY: Duration = Duration::from_millis(5);

fn p99(latencies: &[Duration]) -> Duration {
    latencies[latencies.len() * 99 / 100]
}

/// Clients that know the first three nodes alone see one store, whose nodes are replaced one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_under_load_are_replaced_in_rounds() {
    let mut machines = Machines::new(6);
    machines.start_cluster(3).await;
    let recorder = Recorder::new();
    let clients = (1..=CLIENTS).map(|id| recorder.client(id, machines.client([1, 2, 3]))).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let loading = tokio::spawn(load_at(EVERY, clients, 32, move || over.load(Ordering::Relaxed)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = recorder.now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let normal = p99(&recorder.latencies(began, recorder.now()));
    // Which machine each member is on: ids are never used again, machines are.
    let mut machine_of: Vec<(u64, u64)> = vec![(1, 1), (2, 2), (3, 3)];
    let mut free: Vec<u64> = vec![4, 5, 6];
    let mut changing = Vec::new();
    for _round in 0..rounds() {
        for place in 0..3 {
            let (old, old_machine) = machine_of[place];
            let at = machine_of[(place + 1) % 3].1;
            let machine = free.remove(0);
            let new = join(&mut machines, machine, at).await;
            let url = machines.url(machine);
            let began = recorder.now();
            done(member(&machines, &[at], &["replace", &old.to_string(), &url]).await);
            changing.extend(recorder.latencies(began, recorder.now()));
            machine_of[place] = (new, machine);
            machines.kill(old_machine).await;
            machines.wipe(old_machine);
            free.push(old_machine);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    drained(loading, Instant::now()).await;
    changing.sort_unstable();
    eprintln!(
        "p99 of gets and puts: {normal:?} normally, {:?} during {} changes",
        p99(&changing),
        3 * rounds()
    );
    let at: Vec<u64> = machine_of.iter().map(|(_, machine)| *machine).collect();
    let mut ids: Vec<u64> = machine_of.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(voters(&machines, &at).await, ids);
    recorder.check();
}
