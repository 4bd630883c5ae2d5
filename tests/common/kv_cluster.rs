//! Nodes of the store as processes, with a network between each two and one in front of each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use traitwire::{KVError, KvClient, RpcClient};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::services::rsm::{Rsm, RsmStub, StatusReply};

use super::history::{RecordedClient, Recorder};
use super::network::NetworkConfig;
use super::process::{ServerProcess, free_ports};
use super::proxy::Proxy;
use super::wait::{promised, until, within};

/// How long it may take until there is a leader, once a majority can talk.
pub(crate) const ELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node may take to catch up with the others.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node may take to say what it is. A node that is stopped never does.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long anything else may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long clients may take to end their last calls, once all is well again (V8).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Where proxies lead before their nodes listen: nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";
/// How often a status is asked for while a test waits for it to change.
const STATUS_EVERY: Duration = Duration::from_millis(20);

/// The nodes that run at the same time, of all tests: with more of them for a core, signs of life come late.
static NODES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((5 * cores).max(7))
});

/// A cluster of nodes 1 to n, and the record of its clients.
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u64, ServerProcess>,
    links: BTreeMap<(u64, u64), Proxy>,
    fronts: BTreeMap<u64, Proxy>,
    pub(crate) recorder: Arc<Recorder>,
    clients: AtomicU64,
    folder: TempDir,
    _permit: SemaphorePermit<'static>,
}

impl Cluster {
    /// A cluster with this network between the nodes and in front of them.
    pub(crate) async fn start(nodes: u64, config: NetworkConfig) -> Self {
        Self::start_with(nodes, config.clone(), config, &[]).await
    }

    /// The same with different networks, and more arguments for the nodes.
    pub(crate) async fn start_with(
        nodes: u64,
        between: NetworkConfig,
        in_front: NetworkConfig,
        arguments: &[&str],
    ) -> Self {
        let permit = NODES.acquire_many(u32::try_from(nodes).unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut links, mut fronts) = (BTreeMap::new(), BTreeMap::new());
        for from in 1..=nodes {
            fronts.insert(from, Proxy::start(NOWHERE, in_front.clone()).await);
            for to in (1..=nodes).filter(|to| *to != from) {
                links.insert((from, to), Proxy::start(NOWHERE, between.clone()).await);
            }
        }
        let mut starting = JoinSet::new();
        for id in 1..=nodes {
            // Nobody listens there either, and no two nodes have the same URL.
            let mut peers = vec![format!("{id}=http://127.0.0.1:{id}")];
            let others = links.iter().filter(|((from, _), _)| *from == id);
            peers.extend(others.map(|((_, to), link)| format!("{to}={}", link.url())));
            let data = folder.path().join(id.to_string());
            let mut all: Vec<OsString> = vec!["--id".into(), id.to_string().into(), "--peers".into()];
            all.extend([peers.join(",").into(), "--data".into(), data.into()]);
            all.extend(arguments.iter().map(Into::into));
            starting.spawn(ServerProcess::start(all));
        }
        let cluster = Self::of(starting, links, fronts, folder, permit).await;
        cluster.nodes.keys().for_each(|id| cluster.connect(*id));
        cluster
    }

    /// A cluster without networks of the test: nodes and clients reach each other directly, and so can anything else. Each
    /// node may have this many descriptors open.
    pub(crate) async fn start_exposed(nodes: u64, descriptors_max: usize) -> Self {
        let permit = NODES.acquire_many(u32::try_from(nodes).unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let count = u16::try_from(nodes).unwrap();
        let ports = free_ports(count);
        let addresses: Vec<_> = (ports..ports + count).map(|port| format!("127.0.0.1:{port}")).collect();
        let peers: Vec<_> = (1..).zip(&addresses).map(|(id, at)| format!("{id}=http://{at}")).collect();
        let mut starting = JoinSet::new();
        for (id, address) in (1_u64..).zip(addresses) {
            let mut arguments: Vec<OsString> = vec!["serve".into(), "--id".into(), id.to_string().into()];
            arguments.extend(["--listen".into(), address.into()]);
            arguments.extend(["--peers".into(), peers.join(",").into()]);
            arguments.extend(["--data".into(), folder.path().join(id.to_string()).into()]);
            starting.spawn(ServerProcess::start_limited(descriptors_max, arguments));
        }
        Self::of(starting, BTreeMap::new(), BTreeMap::new(), folder, permit).await
    }

    async fn of(
        starting: JoinSet<ServerProcess>,
        links: BTreeMap<(u64, u64), Proxy>,
        fronts: BTreeMap<u64, Proxy>,
        folder: TempDir,
        permit: SemaphorePermit<'static>,
    ) -> Self {
        let nodes = starting.join_all().await.into_iter().map(|node| (node.id(), node)).collect();
        let (recorder, clients) = (Recorder::new(), AtomicU64::new(0));
        Self { nodes, links, fronts, recorder, clients, folder, _permit: permit }
    }

    fn connect(&self, id: u64) {
        let url = self.nodes[&id].url();
        self.fronts.get(&id).into_iter().for_each(|front| front.retarget(url));
        self.links.iter().filter(|((_, to), _)| *to == id).for_each(|(_, link)| link.retarget(url));
    }

    /// A new client of all nodes, recorded, behind the networks in front.
    pub(crate) fn client(&self) -> Arc<RecordedClient> {
        let id = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        self.recorder.client(id, ClusterKvClient::new(self.urls(), usize::try_from(id).unwrap()))
    }

    /// Where clients reach the nodes, in the order of their ids: the networks in front of them, which stay where they are when
    /// nodes move, or the nodes themselves if there are no networks.
    pub(crate) fn urls(&self) -> Vec<String> {
        let front = |(id, node): (&u64, &ServerProcess)| {
            self.fronts.get(id).map_or(node.url(), |front| front.url()).to_owned()
        };
        self.nodes.iter().map(front).collect()
    }

    /// A new client of one node alone, recorded, which knows nothing of clusters. No network is in front of it.
    pub(crate) fn client_of(&self, node: u64) -> Arc<RecordedClient> {
        let id = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        self.recorder.client(id, SingleKvClient::new(self.line(node)))
    }

    /// A line to one node that no network is between.
    pub(crate) fn line(&self, id: u64) -> RpcClient {
        RpcClient::new(self.nodes[&id].url().to_owned(), 0)
    }

    /// The folder of a node's data.
    pub(crate) fn data(&self, id: u64) -> PathBuf {
        self.folder.path().join(id.to_string())
    }

    pub(crate) async fn status(&self, id: u64) -> Option<StatusReply> {
        let answer = tokio::time::timeout(STATUS_TIMEOUT, RsmStub::new(self.line(id)).status()).await;
        answer.ok()?.ok()
    }

    /// Waits until a node among these leads, and says which.
    pub(crate) async fn leader_among(&self, ids: &[u64]) -> u64 {
        until(ELECTION_TIMEOUT, format!("a leader among {ids:?}"), || async {
            let mut leaders = Vec::new();
            for id in ids {
                let status = self.status(*id).await;
                leaders.extend(status.filter(|it| it.leader == Some(*id)).map(|it| (it.term, *id)));
            }
            leaders.into_iter().max().map(|(_, leader)| leader)
        })
        .await
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) async fn leader(&self) -> u64 {
        self.leader_among(&self.ids()).await
    }

    /// The nodes other than this one.
    pub(crate) fn others(&self, than: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|id| *id != than).collect()
    }

    /// Waits until a node has applied the log up to an index.
    pub(crate) async fn caught_up(&self, id: u64, index: u64) -> StatusReply {
        until(CATCH_UP_TIMEOUT, format!("node {id} to apply the log up to {index}"), || async {
            self.status(id).await.filter(|status| status.applied_index >= index)
        })
        .await
    }

    /// Waits until all nodes have applied all that is committed, and the same, and gives what they say.
    pub(crate) async fn agreed(&self) -> Vec<StatusReply> {
        let end = Instant::now() + CATCH_UP_TIMEOUT;
        loop {
            let mut statuses = Vec::new();
            for id in self.ids() {
                statuses.extend(self.status(id).await);
            }
            let first = statuses.first().map(|it| (it.term, it.leader, it.commit_index));
            let is_same = |it: &StatusReply| {
                first == Some((it.term, it.leader, it.commit_index)) && it.applied_index == it.commit_index
            };
            if statuses.len() == self.nodes.len() && statuses.iter().all(is_same) {
                return statuses;
            }
            promised!(Instant::now() < end, "the nodes do not agree: {statuses:?}");
            tokio::time::sleep(STATUS_EVERY).await;
        }
    }

    /// Cuts a node off from its peers; clients still reach it.
    pub(crate) fn cut(&self, id: u64) {
        self.links.iter().filter(|((from, to), _)| *from == id || *to == id).for_each(|(_, link)| link.cut());
    }

    /// Parts these nodes from the others.
    pub(crate) fn part(&self, ids: &[u64]) {
        for ((from, to), link) in &self.links {
            if ids.contains(from) == ids.contains(to) { link.heal() } else { link.cut() }
        }
    }

    /// Loses what a node sends its peers of itself, and the answers to that; what they ask it, it answers.
    pub(crate) fn cut_from(&self, id: u64) {
        self.links.iter().filter(|((from, _), _)| *from == id).for_each(|(_, link)| link.cut());
    }

    /// Loses what its peers send a node of themselves, and its answers to that; what it asks them, they answer.
    pub(crate) fn cut_to(&self, id: u64) {
        self.links.iter().filter(|((_, to), _)| *to == id).for_each(|(_, link)| link.cut());
    }

    pub(crate) fn heal(&self) {
        self.links.values().for_each(Proxy::heal);
    }

    fn networks(&self) -> impl Iterator<Item = &Proxy> {
        self.links.values().chain(self.fronts.values())
    }

    /// Changes the network between the nodes and in front of them.
    pub(crate) fn set_network(&self, config: &NetworkConfig) {
        self.networks().for_each(|network| network.set(config.clone()));
    }

    /// Draws the choices of all networks from this generator from now on.
    pub(crate) fn reseed(&self, random: &mut fastrand::Rng) {
        self.networks().for_each(|network| network.reseed(random.u64(..)));
    }

    pub(crate) async fn kill(&mut self, id: u64) {
        self.nodes.get_mut(&id).unwrap().kill().await;
    }

    pub(crate) async fn restart(&mut self, id: u64) {
        self.nodes.get_mut(&id).unwrap().restart().await;
        self.connect(id);
    }

    /// Heals the links of nodes that all run: they come to the same index, and none has ended by itself. Gives what they say.
    pub(crate) async fn settle(&mut self) -> Vec<StatusReply> {
        self.heal();
        self.leader().await;
        let statuses = self.agreed().await;
        for (id, node) in &mut self.nodes {
            promised!(node.is_running(), "node {id} has ended by itself");
        }
        statuses
    }

    /// Ends a test whose nodes all run: they agree, and the record is one that a single store could have given.
    pub(crate) async fn finish(mut self) {
        self.settle().await;
        self.recorder.check();
    }

    /// Kills all nodes at once, and then starts them again.
    pub(crate) async fn restart_all(&mut self) {
        for node in self.nodes.values_mut() {
            node.kill().await;
        }
        for id in self.ids() {
            self.restart(id).await;
        }
    }
}

/// Clients that read and overwrite keys for `time`, each with what it last read. Gives how many puts were Ok.
pub(crate) async fn load(clients: Vec<Arc<RecordedClient>>, keys: usize, time: Duration) -> u64 {
    let end = Instant::now() + time;
    load_at(Duration::ZERO, clients, keys, move || Instant::now() >= end).await
}

/// The same until `is_over`; each client begins a pair of a get and a put `every` so often at most.
pub(crate) async fn load_at(
    every: Duration,
    clients: Vec<Arc<RecordedClient>>,
    keys: usize,
    is_over: impl Fn() -> bool + Clone + Send + 'static,
) -> u64 {
    let mut running = JoinSet::new();
    for (place, client) in clients.into_iter().enumerate() {
        let is_over = is_over.clone();
        running.spawn(async move {
            let mut done = 0;
            for number in 0_u64.. {
                if is_over() {
                    break;
                }
                let next = tokio::time::Instant::now() + every;
                let key = format!("k{}", fastrand::usize(..keys));
                let version = match client.get(&key).await {
                    Ok((_, version)) => version,
                    Err(KVError::NoKey) => 0,
                    Err(other) => unreachable!("the recorder has failed a get answered {other:?}"),
                };
                done += u64::from(client.put(&key, &format!("{place}-{number}"), version).await.is_ok());
                if !every.is_zero() {
                    tokio::time::sleep_until(next).await;
                }
            }
            done
        });
    }
    running.join_all().await.into_iter().sum()
}

/// Waits until clients that work until `end` have ended their last calls.
pub(crate) async fn drained<T>(loading: tokio::task::JoinHandle<T>, end: Instant) -> T {
    let bound = (end + DRAIN_TIMEOUT).saturating_duration_since(Instant::now());
    match within(bound, "the clients to end their last calls", loading).await {
        Ok(result) => result,
        // What the client has panicked with says whether it is a broken promise.
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Fails the test if the future takes longer than anything in a test should, and says where it was waited for.
#[track_caller]
pub(crate) fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    within(PATIENCE, "this to end", future)
}
