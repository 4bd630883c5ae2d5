//! Clusters of processes whose nodes reach each other over slow and long links, with the settings that nodes have by default.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use common::process::ServerProcess;
use common::shaper::{Link, LinkConfig};
use tempfile::TempDir;
use tokio::task::JoinSet;
use traitwire::RpcClient;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::services::rsm::{Rsm, RsmStub, StatusReply};

/// How long it may take until there is a leader.
const LEADER_TIME: Duration = Duration::from_secs(10);
/// How long a small put may take.
const PUT_TIME: Duration = Duration::from_secs(5);
/// How often nodes are asked for what they are.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Three nodes. Clients reach them directly.
struct Cluster {
    nodes: BTreeMap<u64, ServerProcess>,
    links: BTreeMap<(u64, u64), Link>,
    folder: TempDir,
    arguments: Vec<OsString>,
}

impl Cluster {
    /// Nodes with the ids in `running` of a cluster of three, and more arguments for them.
    async fn start(config: LinkConfig, running: &[u64], arguments: &[&str]) -> Self {
        let mut links = BTreeMap::new();
        for from in 1..=3 {
            for to in (1..=3).filter(|to| *to != from) {
                links.insert((from, to), Link::start(config).await);
            }
        }
        let arguments = arguments.iter().map(OsString::from).collect();
        let mut cluster =
            Self { nodes: BTreeMap::new(), links, folder: tempfile::tempdir().unwrap(), arguments };
        let mut starting = JoinSet::new();
        for id in running {
            starting.spawn(ServerProcess::start(cluster.arguments_of(*id)));
        }
        for node in starting.join_all().await {
            cluster.add(node);
        }
        cluster
    }

    fn arguments_of(&self, id: u64) -> Vec<OsString> {
        let mut peers = vec![format!("{id}=http://127.0.0.1:{id}")];
        let others = self.links.iter().filter(|((from, _), _)| *from == id);
        peers.extend(others.map(|((_, to), link)| format!("{to}={}", link.url())));
        let mut all: Vec<OsString> = vec!["--id".into(), id.to_string().into(), "--peers".into()];
        all.extend([peers.join(",").into(), "--data".into(), self.folder.path().join(id.to_string()).into()]);
        all.extend(self.arguments.iter().cloned());
        all
    }

    fn add(&mut self, node: ServerProcess) {
        let id = node.id();
        self.links.iter().filter(|((_, to), _)| *to == id).for_each(|(_, link)| link.retarget(node.url()));
        self.nodes.insert(id, node);
    }

    /// A node starts that has never been there.
    async fn start_empty(&mut self, id: u64) {
        let node = ServerProcess::start(self.arguments_of(id)).await;
        self.add(node);
    }

    fn client(&self) -> ClusterKvClient {
        ClusterKvClient::new(self.nodes.values().map(|node| node.url().to_owned()), 1)
    }

    async fn status(&self, id: u64) -> Option<StatusReply> {
        let stub = RsmStub::new(RpcClient::new(self.nodes[&id].url().to_owned(), 0));
        tokio::time::timeout(Duration::from_secs(2), stub.status()).await.ok()?.ok()
    }

    /// Waits until a node leads that all others know, and gives its id and its term.
    async fn leader(&self) -> (u64, u64) {
        let end = Instant::now() + LEADER_TIME;
        loop {
            let mut seen = Vec::new();
            for id in self.nodes.keys() {
                seen.extend(self.status(*id).await.map(|it| (it.leader, it.term)));
            }
            if seen.len() == self.nodes.len()
                && let Some((Some(leader), term)) = seen.first().copied()
                && seen.iter().all(|it| *it == (Some(leader), term))
            {
                return (leader, term);
            }
            assert!(Instant::now() < end, "no leader in {LEADER_TIME:?}: {seen:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn link(delay_ms: u64, bits_per_s: u64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(delay_ms), bytes_per_s: bits_per_s / 8 }
}

/// A leader comes and stays while small puts succeed.
async fn leads_and_puts(cluster: &Cluster) -> (u64, u64) {
    let leader = cluster.leader().await;
    let client = cluster.client();
    for version in 0..10 {
        let put = client.try_put("key", "value", version, PUT_TIME).await;
        assert!(put.is_ok(), "put {version}: {put:?}");
    }
    assert_eq!(cluster.leader().await, leader);
    leader
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trips_of_400_ms_elect_a_leader_that_stays() {
    let cluster = Cluster::start(link(200, 0), &[1, 2, 3], &[]).await;
    leads_and_puts(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_put_over_slow_links_deposes_nobody() {
    // The entry takes 2.4 s to each follower, several election timeouts. They are longer than by default since a build that is
    // not optimized reads 3 MB of JSON for longer than those; the simulator has this case with the default.
    let arguments = ["--election-timeout", "600ms"];
    let cluster = Cluster::start(link(5, 10_000_000), &[1, 2, 3], &arguments).await;
    let leader = leads_and_puts(&cluster).await;
    let large = "x".repeat(2_900_000);
    let put = cluster.client().try_put("large", &large, 0, Duration::from_secs(30)).await;
    assert!(put.is_ok(), "{put:?}");
    // The slower of the followers gets it too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_follower_receives_a_snapshot_over_a_slow_link_under_load() {
    let arguments = ["--snapshot-log-bytes", "400000", "--bootstrap"];
    let mut cluster = Cluster::start(link(150, 4_000_000), &[1, 2], &arguments).await;
    let leader = cluster.leader().await;
    let client = cluster.client();
    for number in 0..30 {
        let value = "v".repeat(100_000);
        client.try_put(&format!("key-{number}"), &value, 0, Duration::from_secs(30)).await.unwrap();
    }
    cluster.start_empty(3).await;
    let end = Instant::now() + Duration::from_secs(40);
    let mut version = 0;
    loop {
        // New snapshots come meanwhile.
        client.try_put("load", &"l".repeat(20_000), version, Duration::from_secs(10)).await.unwrap();
        version += 1;
        let (new, leads) = (cluster.status(3).await, cluster.status(leader.0).await.unwrap());
        assert_eq!((leads.leader, leads.term), (Some(leader.0), leader.1));
        if new.as_ref().is_some_and(|it| it.snapshot_index > 0 && it.applied_index + 10 > leads.commit_index)
        {
            return;
        }
        assert!(Instant::now() < end, "{new:?} is behind {leads:?}");
    }
}
