//! Partitions, crashes and loss, alone and together.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use traitwire::{Code, Executed, KVError, KvClient, RpcResult};
use traitwire_kv::services::kv::{Kv, KvStub, PutArgs, PutReply};

use crate::common::kv_cluster::{Cluster, drained, load, soon};
use crate::common::network::NetworkConfig;

/// How long clients work through the faults.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// How often a test looks whether what it waits for has come.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How many puts are under way in one node when something happens to it.
const PUTS_UNDER_WAY: u64 = 100;

/// Puts at one node, each on a key of its own, which end by themselves.
fn puts_at(cluster: &Cluster, node: u64) -> JoinSet<RpcResult<PutReply>> {
    let stub = KvStub::new(cluster.line(node));
    let mut puts = JoinSet::new();
    for put in 0..PUTS_UNDER_WAY {
        let stub = stub.clone();
        puts.spawn(
            async move { stub.put(PutArgs { key: own_key(put), value: String::new(), version: 0 }).await },
        );
    }
    puts
}

fn own_key(put: u64) -> String {
    format!("own {put}")
}

/// How many of the puts of [`puts_at`] have taken effect.
async fn effects(cluster: &Cluster) -> usize {
    let client = cluster.client();
    let mut found = 0;
    for put in 0..PUTS_UNDER_WAY {
        match soon(client.get(&own_key(put))).await {
            Ok((_, version)) => {
                assert_eq!(version, 1, "a put has taken effect twice");
                found += 1;
            }
            Err(KVError::NoKey) => {}
            Err(other) => panic!("a get was answered {other:?}"),
        }
    }
    found
}

/// Waits until a node has so many more entries than at `before`.
async fn has_grown(cluster: &Cluster, node: u64, before: u64) {
    let grown = async {
        while cluster.status(node).await.is_none_or(|status| status.last_log_index < before + PUTS_UNDER_WAY)
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    soon(grown).await;
}

/// M4: puts at a leader that only clients reach, and its log has them. None is acknowledged, all are answered within a
/// second of the heal as perhaps executed, and none takes effect, since another one leads when the nodes meet again.
#[tokio::test]
async fn a_leader_that_is_cut_off_acknowledges_nothing() {
    const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    assert_eq!(soon(cluster.client().put("k", "x", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    let before = cluster.status(leader).await.unwrap().last_log_index;
    cluster.cut(leader);
    let puts = puts_at(&cluster, leader);
    has_grown(&cluster, leader, before).await;
    cluster.leader_among(&cluster.others(leader)).await;
    cluster.heal();
    let answers =
        tokio::time::timeout(ANSWER_TIME_MAX, puts.join_all()).await.expect("all are answered in time");
    for answer in answers {
        let error = answer.expect_err("a put that no majority has was acknowledged");
        assert_eq!((error.code(), error.executed()), (Code::Unavailable, Executed::Unknown), "{error}");
    }
    assert_eq!(effects(&cluster).await, 0);
    cluster.finish().await;
}

/// M6: a node is told to end, or killed, while a hundred puts wait in it that cannot be committed. All return.
#[tokio::test]
async fn a_node_that_ends_leaves_nobody_waiting() {
    const ANSWER_TIME_MAX: Duration = Duration::from_secs(11);
    const END_TIME_MAX: Duration = Duration::from_secs(5);
    for is_killed in [false, true] {
        let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
        assert_eq!(soon(cluster.client().put("k", "x", 0)).await, Ok(()));
        let leader = cluster.leader().await;
        let before = cluster.status(leader).await.unwrap().last_log_index;
        cluster.cut(leader);
        let puts = puts_at(&cluster, leader);
        has_grown(&cluster, leader, before).await;
        let began = Instant::now();
        if is_killed {
            cluster.kill(leader).await;
        } else {
            cluster.nodes[&leader].signal("TERM").await;
        }
        let answers = tokio::time::timeout(ANSWER_TIME_MAX, puts.join_all()).await.expect("all return");
        println!("killed: {is_killed}; the last put returned after {:?}", began.elapsed());
        for answer in answers {
            let error = answer.expect_err("a put that no majority has was acknowledged");
            assert_eq!(error.executed(), Executed::Unknown, "{error}");
        }
        if !is_killed {
            let node = cluster.nodes.get_mut(&leader).unwrap();
            let code = tokio::time::timeout_at((began + END_TIME_MAX).into(), node.ended()).await;
            assert_eq!(code.expect("it ends in time"), Some(0));
        }
        cluster.restart(leader).await;
        cluster.finish().await;
    }
}

/// V7: half of all requests and half of all replies are lost everywhere; of twenty puts, nineteen take
/// at most five seconds each.
#[tokio::test]
async fn half_of_everything_is_lost() {
    const PUT_TIME_MAX: Duration = Duration::from_secs(5);
    let cluster = Cluster::start(5, NetworkConfig::unreliable()).await;
    let client = cluster.client();
    let mut times = Vec::new();
    let mut version = 0;
    for put in 0..20 {
        let began = Instant::now();
        match soon(client.put("k", &put.to_string(), version)).await {
            Ok(()) => version += 1,
            Err(KVError::Maybe) => version = soon(client.get("k")).await.map_or(0, |(_, version)| version),
            Err(other) => panic!("the only client was refused: {other:?}"),
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("half is lost: p50 {:?}, p95 {:?}", times[10], times[18]);
    assert!(times[18] <= PUT_TIME_MAX, "{times:?}");
    cluster.finish().await;
}

/// V8: the nodes are parted anew again and again, for one client and for five.
#[tokio::test]
async fn partitions_come_and_go() {
    for clients in [1, 5] {
        let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
        let clients: Vec<_> = (0..clients).map(|_| cluster.client()).collect();
        let end = Instant::now() + LOAD_TIME;
        let loading = tokio::spawn(load(clients, 3, LOAD_TIME));
        while Instant::now() < end {
            let mut ids = cluster.ids();
            fastrand::shuffle(&mut ids);
            cluster.part(&ids[..fastrand::usize(1..3)]);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(200..900))).await;
        }
        cluster.heal();
        assert!(drained(loading, end).await > 0, "nothing was done at all");
        cluster.finish().await;
    }
}

/// V9: all nodes are killed at once, three times, while clients work.
#[tokio::test]
async fn all_nodes_crash_while_clients_work() {
    const UP: Duration = Duration::from_millis(900);
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let clients: Vec<_> = (0..5).map(|_| cluster.client()).collect();
    let end = Instant::now() + LOAD_TIME;
    let loading = tokio::spawn(load(clients, 3, LOAD_TIME));
    for _ in 0..3 {
        tokio::time::sleep(UP).await;
        cluster.restart_all().await;
    }
    assert!(drained(loading, end).await > 0, "nothing was done at all");
    cluster.finish().await;
}

/// Trap 59: a leader is stopped for so long that another one is elected, and the key is overwritten there. The questions that
/// wait when it goes on came after that, so that the old value is no answer to them.
#[tokio::test]
async fn a_leader_that_sleeps_answers_nothing_stale() {
    const ROUNDS: u64 = 6;
    const READERS: usize = 20;
    /// How long a question needs to be on its way.
    const SEND_TIME: Duration = Duration::from_millis(30);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let writer = cluster.client();
    for version in 0..ROUNDS {
        assert_eq!(soon(writer.put("k", &version.to_string(), version * 2)).await, Ok(()));
        let leader = cluster.leader().await;
        let readers: Vec<_> = (0..READERS).map(|_| cluster.client_of(leader)).collect();
        for reader in &readers {
            // From now on each has a connection.
            soon(reader.get("k")).await.unwrap();
        }
        cluster.nodes[&leader].signal("STOP").await;
        cluster.leader_among(&cluster.others(leader)).await;
        let new = format!("{version}, overwritten");
        assert_eq!(soon(writer.put("k", &new, version * 2 + 1)).await, Ok(()));
        let mut reading = JoinSet::new();
        for reader in readers {
            reading.spawn(async move { reader.get("k").await });
        }
        tokio::time::sleep(SEND_TIME).await;
        cluster.nodes[&leader].signal("CONT").await;
        while let Some(answer) = soon(reading.join_next()).await {
            assert_eq!(answer.unwrap(), Ok((new.clone(), version * 2 + 2)));
        }
    }
    cluster.finish().await;
}

/// Trap 59: a leader that is cut off from the others goes on for a while, and those that know only it go on asking it.
#[tokio::test]
async fn a_leader_that_is_cut_off_answers_nothing_stale() {
    const ROUNDS: usize = 5;
    const TIME_APART: Duration = Duration::from_millis(800);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    for _ in 0..ROUNDS {
        let leader = cluster.leader().await;
        let end = Instant::now() + TIME_APART;
        cluster.cut(leader);
        let writing =
            load(cluster.others(leader).iter().map(|id| cluster.client_of(*id)).collect(), 1, TIME_APART);
        let mut reading = JoinSet::new();
        for reader in (0..4).map(|_| cluster.client_of(leader)) {
            reading.spawn(async move {
                while Instant::now() < end {
                    let _any = reader.get("k0").await;
                }
            });
        }
        assert!(soon(writing).await > 0, "nothing was written at all");
        cluster.heal();
        soon(reading.join_all()).await;
    }
    cluster.finish().await;
}

/// Calls that their callers give up midway are in the record as puts that may yet take effect, once.
#[tokio::test]
async fn calls_that_are_given_up_take_effect_once_or_never() {
    const CLIENTS: usize = 6;
    let mut cluster = Cluster::start(3, NetworkConfig::lossy()).await;
    let end = Instant::now() + LOAD_TIME;
    let mut running = JoinSet::new();
    for place in 0..CLIENTS {
        let client = cluster.client();
        running.spawn(async move {
            let mut given_up = 0;
            for number in 0_u64.. {
                if Instant::now() >= end {
                    break;
                }
                let version = client.get("k").await.map_or(0, |(_, version)| version);
                let patience = Duration::from_millis(fastrand::u64(0..80));
                let value = format!("{place}-{number}");
                let put = tokio::time::timeout(patience, client.put("k", &value, version)).await;
                given_up += u64::from(put.is_err());
            }
            given_up
        });
    }
    tokio::time::sleep(LOAD_TIME / 2).await;
    let leader = cluster.leader().await;
    cluster.restart(leader).await;
    let given_up: u64 = soon(running.join_all()).await.into_iter().sum();
    let (_, version) = soon(cluster.client().get("k")).await.unwrap();
    println!("{given_up} puts were given up, {version} have taken effect");
    assert!(given_up > 0 && version > 0);
    cluster.finish().await;
}

/// Clients work while nodes are killed, started again and, where it is asked for, parted.
async fn chaos(nodes: u64, clients: usize, keys: usize, network: NetworkConfig, parts: bool, more: &[&str]) {
    let mut cluster = Cluster::start_with(nodes, network.clone(), network, more).await;
    let clients: Vec<_> = (0..clients).map(|_| cluster.client()).collect();
    let end = Instant::now() + LOAD_TIME;
    let loading = tokio::spawn(load(clients, keys, LOAD_TIME));
    while Instant::now() < end {
        let ids = cluster.ids();
        if parts {
            let mut shuffled = ids.clone();
            fastrand::shuffle(&mut shuffled);
            cluster.part(&shuffled[..fastrand::usize(1..=ids.len() / 2)]);
        }
        let victim = ids[fastrand::usize(..ids.len())];
        cluster.kill(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..500))).await;
        cluster.restart(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..500))).await;
    }
    cluster.heal();
    let done = drained(loading, end).await;
    println!("{nodes} nodes: {done} puts, the last {:?} after the faults", end.elapsed());
    assert!(done > 0, "nothing was done at all");
    // What is acknowledged is still there when all have crashed: the record of these reads says so.
    cluster.restart_all().await;
    let client = cluster.client();
    for key in 0..keys {
        let _found = soon(client.get(&format!("k{key}"))).await;
    }
    cluster.finish().await;
}

/// V10: crashes and partitions.
#[tokio::test]
async fn nodes_crash_and_are_parted() {
    chaos(5, 3, 3, NetworkConfig::reliable(), true, &[]).await;
}

/// V12: crashes over networks that lose a tenth, and a half.
#[tokio::test]
async fn nodes_crash_while_messages_are_lost() {
    chaos(5, 5, 3, NetworkConfig::lossy(), false, &[]).await;
    chaos(3, 5, 3, NetworkConfig::unreliable(), false, &[]).await;
}

/// V13, V14, C12: everything at once, with many clients, many keys, seven nodes and small snapshots.
#[tokio::test]
async fn everything_goes_wrong_at_once() {
    chaos(7, 15, 100, NetworkConfig::lossy(), true, &["--snapshot-log-bytes", "20000"]).await;
}

/// X6: copies and late replies everywhere.
#[tokio::test]
async fn messages_come_twice_and_late() {
    let network = NetworkConfig::reliable().with_duplicates().with_late_replies();
    let cluster = Cluster::start(3, network).await;
    let clients = (0..5).map(|_| cluster.client()).collect();
    assert!(soon(load(clients, 2, LOAD_TIME)).await > 0, "nothing was done at all");
    cluster.finish().await;
}
