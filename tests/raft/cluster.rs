//! Nodes as processes, and the networks between each two of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use traitwire_kv::services::raft::{Index, NodeId, Term};

use crate::client::{AGREEMENT_TIMEOUT, Client};
use crate::common::network::NetworkConfig;
use crate::common::process::{ServerProcess, example};
use crate::common::proxy::Proxy;
use crate::log_node::{LogNode, Place, State};
use crate::witness::{Process, Side, View, Witness};

/// How long it may take until there is a leader, once a majority can talk (E2, E3).
pub(crate) const ELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a leader that reaches no majority may go on leading.
const STEP_DOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Where proxies lead before their nodes listen: nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The nodes that run at the same time, of all tests: with more of them for a core, a leader's signs of life come late.
static NODES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((6 * cores).max(7))
});

/// What the nodes have sent to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
}

/// A cluster, of nodes 1 to n. A test ends with [`Cluster::finish`].
pub(crate) struct Cluster {
    processes: BTreeMap<NodeId, ServerProcess>,
    links: BTreeMap<(NodeId, NodeId), Proxy>,
    pub(crate) client: Client,
    _watching: JoinSet<()>,
    _folder: TempDir,
    finished: bool,
    _permit: SemaphorePermit<'static>,
}

impl Cluster {
    pub(crate) async fn start(nodes: usize, config: NetworkConfig) -> Self {
        Self::start_with(nodes, config, &[]).await
    }

    /// Starts nodes with more arguments.
    pub(crate) async fn start_with(nodes: usize, config: NetworkConfig, arguments: &[&str]) -> Self {
        let permit = NODES.acquire_many(u32::try_from(nodes).unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ids = 1..=nodes as NodeId;
        let mut links = BTreeMap::new();
        for (from, to) in ids.clone().flat_map(|from| ids.clone().map(move |to| (from, to))) {
            if from != to {
                links.insert((from, to), Proxy::start(NOWHERE, config.clone()).await);
            }
        }
        let mut starting = JoinSet::new();
        for id in ids {
            let peers = links.iter().filter(|((from, _), _)| *from == id);
            let peers = peers.map(|((_, to), link)| (*to, link.url().to_owned())).collect();
            let mut all = node_arguments(id, &peers, &folder.path().join(id.to_string()));
            all.extend(arguments.iter().map(Into::into));
            starting.spawn(ServerProcess::start_program(example("raft_log"), all));
        }
        let witness = Witness::new();
        let mut processes = BTreeMap::new();
        while let Some(process) = starting.join_next().await {
            let process = process.unwrap();
            connect(&links, &process);
            witness.started(process.id(), process.url());
            processes.insert(process.id(), process);
        }
        let watching = witness.watch();
        let client = Client(witness);
        Self {
            processes,
            links,
            client,
            _watching: watching,
            _folder: folder,
            finished: false,
            _permit: permit,
        }
    }

    /// The ids of all nodes.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.processes.keys().copied().collect()
    }

    pub(crate) fn size(&self) -> usize {
        self.processes.len()
    }

    /// Others than these, from the one with the next id on.
    pub(crate) fn others(&self, than: &[NodeId]) -> Vec<NodeId> {
        let mut ids = self.ids();
        let after_first = than.first().map_or(0, |first| ids.iter().position(|id| id == first).unwrap());
        ids.rotate_left(after_first);
        ids.retain(|id| !than.contains(id));
        ids
    }

    /// A line to a node that no network is between.
    pub(crate) fn node(&self, id: NodeId) -> LogNode {
        self.see(|view| view.nodes[&id].line.clone())
    }

    /// What has been seen.
    pub(crate) fn see<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        self.client.0.see(look)
    }

    /// Waits until the main side has one leader, from now on, and gives it with its term.
    pub(crate) async fn leader(&self) -> (NodeId, Term) {
        let since = Instant::now();
        self.client.0.wait(ELECTION_TIMEOUT, "one leader", |view| view.leader(since)).await
    }

    /// Waits until nobody leads.
    pub(crate) async fn no_leader(&self) {
        let since = Instant::now();
        let nobody = |view: &View| view.nobody_leads(since).then_some(());
        self.client.0.wait(STEP_DOWN_TIMEOUT, "no leader", nobody).await;
    }

    /// Watches for `time` that nobody leads.
    pub(crate) async fn stays_without_leader(&self, time: Duration) {
        let anybody =
            |view: &View| view.nodes.values().find_map(|node| node.seen.filter(|(_, seen)| seen.leads));
        let leader = self.client.0.within(time, anybody).await;
        assert_eq!(leader, None, "a leader without a majority");
    }

    /// Submits a record until `nodes` nodes have applied it, and gives its index.
    pub(crate) async fn agree(&self, record: impl Into<Value>, nodes: usize) -> Index {
        self.client.agree(record, nodes).await
    }

    /// Submits a record to this node, once.
    pub(crate) async fn submit_to(&self, id: NodeId, record: impl Into<Value>) -> Option<Place> {
        self.node(id).append(&record.into()).await.expect("a client reaches every node that runs")
    }

    /// What a node says now.
    pub(crate) async fn state(&self, id: NodeId) -> State {
        self.node(id).state().await.expect("a client reaches every node that runs")
    }

    /// The record that was seen committed at an index, on any node.
    pub(crate) fn committed(&self, index: Index) -> Option<Value> {
        self.see(|view| view.committed(index).cloned())
    }

    /// Waits until these nodes have applied everything up to an index.
    pub(crate) async fn applied(&self, nodes: &[NodeId], index: Index) {
        let what = format!("{nodes:?} have applied {index}");
        let all = |view: &View| nodes.iter().all(|id| view.nodes[id].applied >= index).then_some(());
        self.client.0.wait(AGREEMENT_TIMEOUT, what, all).await;
    }

    /// Takes all links from a node and to it.
    pub(crate) fn cut(&self, id: NodeId) {
        self.move_to(&[id], Side::Alone(id));
    }

    /// Takes these nodes away from the others, together.
    pub(crate) fn part(&self, ids: &[NodeId]) {
        self.move_to(ids, Side::Other);
    }

    /// Brings nodes back to the main side.
    pub(crate) fn heal(&self, ids: &[NodeId]) {
        self.move_to(ids, Side::Main);
    }

    fn move_to(&self, ids: &[NodeId], side: Side) {
        for id in ids {
            self.client.0.change(*id, |node| node.side = side);
        }
        let sides: BTreeMap<_, _> =
            self.see(|view| view.nodes.iter().map(|(id, node)| (*id, node.side)).collect());
        for ((from, to), link) in &self.links {
            if sides[from] == sides[to] { link.heal() } else { link.cut() }
        }
    }

    /// Takes the links between two nodes, in both directions, until nodes are moved.
    pub(crate) fn cut_between(&self, one: NodeId, other: NodeId) {
        self.links[&(one, other)].cut();
        self.links[&(other, one)].cut();
    }

    /// Takes the links from a node, but not those to it, until nodes are moved: it is heard only when it is asked.
    pub(crate) fn cut_from(&self, id: NodeId) {
        for (_, link) in self.links.iter().filter(|((from, _), _)| *from == id) {
            link.cut();
        }
    }

    /// Changes the network between all nodes.
    pub(crate) fn set_network(&self, config: &NetworkConfig) {
        for link in self.links.values() {
            link.set(config.clone());
        }
    }

    /// Ends a node with SIGKILL.
    pub(crate) async fn kill(&mut self, id: NodeId) {
        self.client.0.ends(id);
        self.processes.get_mut(&id).unwrap().kill().await;
    }

    /// Starts a node again, after a SIGKILL if it still runs. Gives how long it took until it listened.
    pub(crate) async fn restart(&mut self, id: NodeId) -> Duration {
        self.kill(id).await;
        let started_at = Instant::now();
        let process = self.processes.get_mut(&id).unwrap();
        process.restart().await;
        let time = started_at.elapsed();
        connect(&self.links, process);
        self.client.0.started(id, process.url());
        time
    }

    /// Ends all nodes, and starts them again.
    pub(crate) async fn restart_all(&mut self) {
        for id in self.ids() {
            self.kill(id).await;
        }
        for id in self.ids() {
            self.restart(id).await;
        }
    }

    /// Stops a node where it is. Its connections stay, and nobody answers.
    pub(crate) async fn pause(&self, id: NodeId) {
        self.client.0.change(id, |node| node.process = Process::Paused);
        self.processes[&id].signal("STOP").await;
    }

    /// Lets a stopped node go on.
    pub(crate) async fn resume(&self, id: NodeId) {
        self.processes[&id].signal("CONT").await;
        self.client.0.change(id, |node| node.process = Process::Running);
    }

    /// What the test has done to a node's process.
    pub(crate) fn process(&self, id: NodeId) -> Process {
        self.see(|view| view.nodes[&id].process)
    }

    /// Lets a node run that is down or stopped.
    pub(crate) async fn bring_back(&mut self, id: NodeId) {
        match self.process(id) {
            Process::Down => drop(self.restart(id).await),
            Process::Paused => self.resume(id).await,
            Process::Running => {}
        }
    }

    /// Whether the test has taken a node from the main side.
    pub(crate) fn is_cut(&self, id: NodeId) -> bool {
        self.see(|view| view.nodes[&id].side != Side::Main)
    }

    /// What the nodes have sent to each other so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let counts = self.links.values().map(Proxy::counts);
        counts.fold(Traffic { calls: 0, bytes: 0 }, |sum, link| Traffic {
            calls: sum.calls + link.calls,
            bytes: sum.bytes + link.request_bytes + link.reply_bytes,
        })
    }

    /// Brings all nodes back, and the whole cluster to one more agreement: then all have the same records, and none has ended
    /// by itself.
    pub(crate) async fn finish(mut self) {
        self.heal(&self.ids());
        for id in self.ids() {
            self.bring_back(id).await;
        }
        let last = self.agree("the last record", self.size()).await;
        self.applied(&self.ids(), self.see(View::last_committed).max(last)).await;
        for (id, process) in &mut self.processes {
            assert!(process.is_running(), "node {id} has ended by itself");
        }
        self.finished = true;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test must end with `finish`");
    }
}

/// The arguments of a node that knows the others by these URLs.
pub(crate) fn node_arguments(id: NodeId, peers: &BTreeMap<NodeId, String>, data: &Path) -> Vec<OsString> {
    let mut arguments = ["--listen", "127.0.0.1:0", "--id"].map(OsString::from).to_vec();
    arguments.extend([id.to_string().into(), "--data".into(), data.into()]);
    for (id, url) in peers {
        arguments.extend(["--peers".into(), format!("{id}={url}").into()]);
    }
    arguments
}

/// Leads the links to a node to where it listens now.
fn connect(links: &BTreeMap<(NodeId, NodeId), Proxy>, process: &ServerProcess) {
    for ((_, to), link) in links {
        if *to == process.id() {
            link.retarget(process.url());
        }
    }
}
