//! A cluster of our own nodes, as processes on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;
use traitwire::{Retry, RpcClient};
use traitwire_kv::services::raft::{Index, NodeId};
use traitwire_kv::services::rsm::{NodeRole, Rsm as _, RsmStub, StatusReply};

use super::child::{Child, free_ports, temporary_folder};

/// How often to ask again where a node must come to something.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// How long a cluster may take to have a leader.
const ELECTION_TIME: Duration = Duration::from_secs(20);

/// Which program the nodes run.
#[derive(clap::Args, Clone, Debug)]
pub struct Program {
    /// The `traitwire` program.
    #[arg(
        long,
        value_name = "PATH",
        env = "TRAITWIRE_BIN",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/traitwire")
    )]
    traitwire: PathBuf,
}

impl Program {
    /// That the program is there.
    pub fn check(&self) -> Result<()> {
        if self.traitwire.is_file() {
            return Ok(());
        }
        bail!(
            "there is no program at {}: build it with `cargo build --release` in the folder of the project, or name it \
             with --traitwire or TRAITWIRE_BIN",
            self.traitwire.display()
        )
    }
}

/// What a cluster is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many nodes it has.
    pub nodes: usize,
    /// After how many bytes of log a node makes a snapshot; nothing for what is usual.
    pub snapshot_log_bytes: Option<usize>,
}

/// Some nodes, whose processes and data are gone when this is dropped.
pub struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    program: PathBuf,
    peers: String,
    shape: Shape,
    // Below the nodes: the folder goes when nobody writes into it any more.
    folder: tempfile::TempDir,
}

struct Node {
    url: String,
    stub: RsmStub,
    /// Nothing while it does not run.
    child: Option<Child>,
}

impl Cluster {
    /// Starts nodes with nothing in them and waits until one leads and all know it.
    pub async fn start(program: &Program, folder: &Path, shape: Shape) -> Result<Self> {
        let ports = free_ports(shape.nodes)?;
        let node = |port: u16| {
            let url = format!("http://127.0.0.1:{port}");
            let client = RpcClient::builder(url.clone()).retry(Retry::never()).build();
            Node { url, stub: RsmStub::new(client), child: None }
        };
        let nodes: BTreeMap<_, _> = (1..).zip(ports.into_iter().map(node)).collect();
        let peers: Vec<_> = nodes.iter().map(|(id, node)| format!("{id}={}", node.url)).collect();
        let mut cluster = Self {
            program: program.traitwire.clone(),
            peers: peers.join(","),
            shape,
            folder: temporary_folder(folder)?,
            nodes,
        };
        for id in cluster.ids() {
            cluster.start_node(id).await?;
        }
        cluster.leader_known_to_all().await?;
        Ok(cluster)
    }

    /// The ids of all nodes.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The URLs of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.values().map(|node| node.url.clone()).collect()
    }

    /// The processes of the nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.values().filter_map(|node| node.child.as_ref()).map(Child::id).collect()
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("ids come from this cluster")
    }

    fn data(&self, id: NodeId) -> PathBuf {
        self.folder.path().join(format!("node-{id}"))
    }

    /// Starts a node that does not run, and waits until it listens.
    pub async fn start_node(&mut self, id: NodeId) -> Result<()> {
        let mut command = Command::new(&self.program);
        let address = self.nodes[&id].url.trim_start_matches("http://");
        command.args(["serve", "--listen", address, "--peers", &self.peers, "--id", &id.to_string()]);
        command.arg("--data").arg(self.data(id));
        if let Some(bytes) = self.shape.snapshot_log_bytes {
            command.args(["--snapshot-log-bytes", &bytes.to_string()]);
        }
        let log = self.folder.path().join(format!("node-{id}.log"));
        let mut child = Child::start(&mut command, &log)?;
        child.first_line().await.with_context(|| format!("node {id}"))?;
        self.node(id).child = Some(child);
        Ok(())
    }

    /// Kills a node, as a crash would.
    pub fn kill(&mut self, id: NodeId) {
        self.node(id).child = None;
    }

    /// Removes all that a node has on disk. It must not run.
    pub fn remove_data(&self, id: NodeId) -> Result<()> {
        let data = self.data(id);
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))
    }

    /// What a node says of itself.
    pub async fn status(&self, id: NodeId) -> Result<StatusReply> {
        Ok(self.nodes[&id].stub.status().await?)
    }

    /// A way to ask a node what it says of itself.
    pub fn stub(&self, id: NodeId) -> RsmStub {
        self.nodes[&id].stub.clone()
    }

    /// The node that leads, once every node that runs follows it.
    pub async fn leader_known_to_all(&self) -> Result<NodeId> {
        let end = Instant::now() + ELECTION_TIME;
        while Instant::now() < end {
            if let Some(leader) = self.leader_of_all().await {
                return Ok(leader);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        bail!("after {ELECTION_TIME:?} there is no leader whom all nodes follow")
    }

    /// Waits until every node has applied all there is, each within `time`; gives the node that leads.
    pub async fn all_applied(&mut self, time: Duration) -> Result<NodeId> {
        let leader = self.leader_known_to_all().await?;
        let applied = self.status(leader).await?.applied_index;
        for id in self.ids() {
            self.applied(id, applied, time).await?;
        }
        Ok(leader)
    }

    async fn leader_of_all(&self) -> Option<NodeId> {
        let mut leaders = Vec::new();
        for (id, _) in self.nodes.iter().filter(|(_, node)| node.child.is_some()) {
            let status = self.status(*id).await.ok()?;
            leaders.push((status.leader?, status.term));
        }
        let first = *leaders.first()?;
        let leads = self.status(first.0).await.ok()?.role == NodeRole::Leader;
        (leads && leaders.iter().all(|leader| *leader == first)).then_some(first.0)
    }

    /// Waits until a node has applied the log up to `index`; ends with an error if that takes longer than `time`.
    pub async fn applied(&mut self, id: NodeId, index: Index, time: Duration) -> Result<StatusReply> {
        let end = Instant::now() + time;
        loop {
            let status = self.status(id).await;
            if let Ok(status) = &status
                && status.applied_index >= index
            {
                return Ok(status.clone());
            }
            if Instant::now() >= end {
                bail!("node {id} has not come to index {index} within {time:?}: {status:?}");
            }
            if let Some(child) = &mut self.node(id).child
                && child.has_ended()
            {
                return Err(child.failed("has ended"));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}
