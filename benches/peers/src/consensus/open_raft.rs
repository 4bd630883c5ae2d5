//! openraft: three nodes as tasks, with storages in memory. Requests go to the other node as they are, without a network.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{Config, Raft, SnapshotPolicy};

use super::clients::{Cluster, Leader};
use super::open_raft_store::{Command, LogStore, StateMachine, Types};
use super::{ELECTION_TIMEOUT, HEARTBEAT, NODES, PAYLOAD};

type Nodes = Arc<OnceLock<BTreeMap<u64, Raft<Types>>>>;
type CallResult<T, E = RaftError<u64>> = Result<T, RPCError<u64, (), E>>;

/// Makes the ways from one node to the others.
struct Router {
    nodes: Nodes,
}

/// The way to one node.
struct Direct {
    to: u64,
    nodes: Nodes,
}

impl RaftNetworkFactory<Types> for Router {
    type Network = Direct;

    async fn new_client(&mut self, target: u64, (): &()) -> Direct {
        Direct { to: target, nodes: self.nodes.clone() }
    }
}

impl Direct {
    #[expect(clippy::result_large_err, reason = "openraft's trait wants this error")]
    fn node<E: std::error::Error>(&self) -> CallResult<&Raft<Types>, E> {
        let node = self.nodes.get().and_then(|nodes| nodes.get(&self.to));
        node.ok_or_else(|| RPCError::Unreachable(Unreachable::new(&std::io::Error::other("not there yet"))))
    }

    fn failed<E: std::error::Error>(&self) -> impl FnOnce(E) -> RPCError<u64, (), E> {
        let to = self.to;
        move |error| RPCError::RemoteError(RemoteError::new(to, error))
    }
}

impl RaftNetwork<Types> for Direct {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> CallResult<AppendEntriesResponse<u64>> {
        self.node()?.append_entries(request).await.map_err(self.failed())
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> CallResult<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        self.node()?.install_snapshot(request).await.map_err(self.failed())
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _: RPCOption) -> CallResult<VoteResponse<u64>> {
        self.node()?.vote(request).await.map_err(self.failed())
    }
}

fn config() -> Config {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).expect("it is short");
    Config {
        election_timeout_min: ms(ELECTION_TIMEOUT),
        election_timeout_max: 2 * ms(ELECTION_TIMEOUT),
        heartbeat_interval: ms(HEARTBEAT),
        max_payload_entries: 4_096,
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    }
}

/// Three nodes.
pub struct Rafts {
    nodes: BTreeMap<u64, Raft<Types>>,
    leader: u64,
}

impl Cluster for Rafts {
    type Leader = Raft<Types>;

    async fn start() -> Self {
        let config = Arc::new(config().validate().expect("the settings are valid"));
        let shared = Nodes::default();
        let mut nodes = BTreeMap::new();
        for id in 1..=NODES {
            let router = Router { nodes: shared.clone() };
            let node =
                Raft::new(id, config.clone(), router, LogStore::default(), StateMachine::default()).await;
            nodes.insert(id, node.expect("the storage is empty"));
        }
        assert!(shared.set(nodes.clone()).is_ok(), "the nodes are set once");
        let members: BTreeMap<u64, ()> = (1..=NODES).map(|id| (id, ())).collect();
        nodes[&1].initialize(members).await.expect("the storage is empty");
        let metrics = nodes[&1].wait(None).metrics(|it| it.current_leader.is_some(), "a leader").await;
        let leader =
            metrics.ok().and_then(|it| it.current_leader).expect("node 1 runs, and follows somebody");
        Self { nodes, leader }
    }

    fn leader(&self) -> Raft<Types> {
        self.nodes[&self.leader].clone()
    }

    async fn stop(self) {
        for node in self.nodes.values() {
            node.shutdown().await.expect("the node runs until then");
        }
    }
}

impl Leader for Raft<Types> {
    async fn commit(&self) {
        self.client_write(Command(Arc::from(PAYLOAD))).await.expect("the node leads and takes commands");
    }
}
