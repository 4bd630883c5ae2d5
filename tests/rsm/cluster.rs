//! The cluster of the tests: nodes that call each other directly, with links that can be cut, and storage in memory that
//! outlives a node.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::task::JoinSet;
use traitwire::{RpcError, RpcResult};
use traitwire_kv::kv_raft::raft::core::{Options, Reply, Request, Role};
use traitwire_kv::kv_raft::raft::storage::Memory;
use traitwire_kv::kv_raft::raft::{PROTOCOL, Raft, RaftService, Transport};
use traitwire_kv::kv_raft::rsm::{Rsm, RsmError, RsmOptions, StateMachine};
use traitwire_kv::services::raft::{Membership, NodeId, Raft as _, Sender};

pub(crate) const CLUSTER: &str = "test";
pub(crate) const NODES: u64 = 3;
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A count. A command is what to add, a reply the new count. `"panic"` makes it panic.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) count: u64,
    /// What it adds to each command although it should not.
    pub(crate) wrong: AtomicU64,
    pub(crate) fault: Option<Fault>,
}

/// What a count cannot do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Restoring fails with this.
    Restore(io::ErrorKind),
    /// Reading a snapshot panics.
    Snapshot,
}

impl Count {
    pub(crate) fn wrong(by: u64) -> Self {
        Self { wrong: by.into(), ..Self::default() }
    }
}

impl StateMachine for Count {
    fn apply(&mut self, command: &str) -> String {
        assert_ne!(command, "\"panic\"", "the command says so");
        let wrong = self.wrong.load(Ordering::Relaxed);
        self.count += serde_json::from_str::<u64>(command).unwrap_or(0) + wrong;
        self.count.to_string()
    }

    fn snapshot(&self) -> Box<dyn Read + Send> {
        assert!(self.fault != Some(Fault::Snapshot), "this snapshot cannot be made");
        Box::new(io::Cursor::new(self.count.to_string()))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        if let Some(Fault::Restore(kind)) = self.fault {
            return Err(kind.into());
        }
        self.count = serde_json::from_reader(snapshot)?;
        Ok(())
    }

    fn check(snapshot: &mut dyn Read) -> io::Result<()> {
        serde_json::from_reader::<_, u64>(snapshot)?;
        Ok(())
    }
}

/// Who can be reached.
#[derive(Clone, Default)]
pub(crate) struct Board(pub(crate) Arc<Mutex<Reachable>>);

#[derive(Default)]
pub(crate) struct Reachable {
    pub(crate) services: BTreeMap<NodeId, Arc<RaftService>>,
    pub(crate) cut: BTreeSet<NodeId>,
    /// The nodes of a version that does not say what its state has come to.
    pub(crate) silent: BTreeSet<NodeId>,
}

/// The way from one node to the others.
struct Line {
    from: NodeId,
    board: Board,
}

#[traitwire::async_trait]
impl Transport for Line {
    async fn send(&self, to: NodeId, request: Request) -> RpcResult<Reply> {
        let (peer, is_silent) = {
            let board = self.board.0.lock().unwrap();
            let is_cut = board.cut.contains(&self.from) || board.cut.contains(&to);
            (board.services.get(&to).filter(|_| !is_cut).cloned(), board.silent.contains(&to))
        };
        let peer = peer.ok_or_else(|| RpcError::unavailable("cut"))?;
        let sender = Sender {
            cluster: CLUSTER.to_owned(),
            protocol: PROTOCOL,
            from: self.from,
            to,
            ..Sender::default()
        };
        Ok(match request {
            Request::PreVote(args) => Reply::PreVote(peer.pre_vote(sender, args).await?),
            Request::Vote(args) => Reply::Vote(peer.request_vote(sender, args).await?),
            Request::Append(args) => {
                let mut reply = peer.append_entries(sender, args).await?;
                reply.digest = reply.digest.filter(|_| !is_silent);
                Reply::Append(reply)
            }
            Request::Snapshot(args) => Reply::Snapshot(peer.install_snapshot(sender, args).await?),
            Request::TimeoutNow(args) => Reply::TimeoutNow(peer.timeout_now(sender, args).await?),
        })
    }
}

pub(crate) struct Cluster {
    pub(crate) board: Board,
    disks: BTreeMap<NodeId, Memory>,
    pub(crate) nodes: BTreeMap<NodeId, Arc<Rsm<Count>>>,
    options: RsmOptions,
}

impl Cluster {
    pub(crate) fn start(options: RsmOptions) -> Self {
        Self::of(NODES, options)
    }

    pub(crate) fn of(nodes: u64, options: RsmOptions) -> Self {
        let disks = (1..=nodes).map(|id| (id, Memory::default())).collect();
        let mut cluster = Self { board: Board::default(), disks, nodes: BTreeMap::new(), options };
        (1..=nodes).for_each(|id| cluster.start_node(id, Count::default()));
        cluster
    }

    pub(crate) fn start_node(&mut self, id: NodeId, machine: Count) {
        let mut options = Options::new(id, Membership::of(self.disks.keys().copied()), fastrand::u64(..));
        options.trailing_entries = 10;
        let line = Arc::new(Line { from: id, board: self.board.clone() });
        let (raft, applies) = Raft::start(CLUSTER, options, self.disks[&id].open(), line).unwrap();
        self.board.0.lock().unwrap().services.insert(id, raft.service());
        self.nodes.insert(id, Rsm::start(raft, applies, machine, self.options));
    }

    pub(crate) async fn stop_node(&mut self, id: NodeId) {
        self.board.0.lock().unwrap().services.remove(&id);
        self.nodes.remove(&id).unwrap().stop().await;
    }

    /// Starts all nodes again.
    pub(crate) async fn restart(&mut self) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.stop_node(id).await;
        }
        for id in self.disks.keys().copied().collect::<Vec<_>>() {
            self.start_node(id, Count::default());
        }
    }

    /// Waits until a node has ended by itself.
    pub(crate) async fn failure(&self, id: NodeId) -> Arc<RsmError> {
        let ended = tokio::time::timeout(PATIENCE, self.nodes[&id].ended()).await;
        let failure = ended.unwrap_or_else(|_| panic!("node {id} goes on")).unwrap_err();
        // Nobody can speak to a process that has ended.
        self.board.0.lock().unwrap().services.remove(&id);
        failure
    }

    pub(crate) fn cut(&self, id: NodeId) {
        self.board.0.lock().unwrap().cut.insert(id);
    }

    pub(crate) fn heal(&self) {
        self.board.0.lock().unwrap().cut.clear();
    }

    /// Waits for a leader that nobody is cut off from.
    pub(crate) async fn leader(&self) -> Arc<Rsm<Count>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let cut = self.board.0.lock().unwrap().cut.clone();
            let ended = |id: &NodeId| !self.board.0.lock().unwrap().services.contains_key(id);
            let here =
                self.nodes.iter().filter(|(id, _)| !cut.contains(id) && !ended(id)).map(|(_, node)| node);
            let leading = here.filter(|node| node.raft().status().role == Role::Leader);
            if let Some(leader) = leading.max_by_key(|node| node.raft().status().term) {
                return leader.clone();
            }
            assert!(Instant::now() < end, "no leader");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Adds at whoever leads until it is certain that it was added.
    pub(crate) async fn add(&self, by: u64) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.leader().await.submit(&number(by), None).await {
                Ok(reply) => return reply.get().parse().unwrap(),
                Err(error) => {
                    assert!(!error.may_be_submitted(), "{error}");
                    assert!(Instant::now() < end, "no leader takes a command: {error}");
                }
            }
        }
    }

    /// Adds ones at the leader, many at once but not so many that the nodes have no time for each other. Where the leader
    /// ends meanwhile it is not certain of all of them that they were added; says of how many.
    pub(crate) async fn add_ones(&self, mut count: u64) -> u64 {
        let mut uncertain = 0;
        while count > 0 {
            let leader = self.leader().await;
            let mut adding = JoinSet::new();
            for _ in 0..count.min(250) {
                let leader = leader.clone();
                adding.spawn(async move { leader.submit(&number(1), None).await });
            }
            for outcome in adding.join_all().await {
                let maybe = outcome.as_ref().is_err_and(|error| error.may_be_submitted());
                count -= u64::from(outcome.is_ok() || maybe);
                uncertain += u64::from(maybe);
            }
        }
        uncertain
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until every node has counted to this.
    pub(crate) async fn all_count(&self, expected: u64) {
        let end = Instant::now() + PATIENCE;
        let counts =
            || -> Vec<_> { self.nodes.values().map(|node| node.peek(|count| count.count)).collect() };
        while counts().iter().any(|count| *count != expected) {
            assert!(Instant::now() < end, "{:?} and not {expected}", counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn number(by: u64) -> Box<RawValue> {
    RawValue::from_string(by.to_string()).unwrap()
}
