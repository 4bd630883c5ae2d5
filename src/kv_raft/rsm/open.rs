//! A whole node from its settings: its data, its raft and its state machine.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::join::Keeper;
use super::{Rsm, RsmOptions, StateMachine, identity};
use crate::kv_raft::raft::core::{Options, Restored};
use crate::kv_raft::raft::storage::wal::{Wal, WalOptions};
use crate::kv_raft::raft::storage::{Identity, RealDisk, Standing, StorageError};
use crate::kv_raft::raft::{Profile, Raft, RpcTransport};
use crate::services::raft::{ClusterId, Membership, NodeId, RunId};
use crate::url::{InvalidUrl, ServerUrl};

/// The bytes of entries that stay in the log after a snapshot, at most, in multiples of what makes a snapshot of a small state due.
const TRAILING_PER_SNAPSHOT: usize = 4;

/// What a node needs to know to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The name of the cluster, the same on all its nodes.
    pub cluster: String,
    /// This node.
    pub id: NodeId,
    /// The URLs of all nodes, including this one. An empty node founds a cluster of them, or of itself where this is empty; later
    /// starts need it only where nodes have moved.
    pub peers: BTreeMap<NodeId, String>,
    /// The URL at which the other nodes reach it, for a node without a list of peers.
    pub url: Option<String>,
    /// Whether an empty node may found a cluster although some of its peers cannot be reached.
    pub bootstrap: bool,
    /// The cluster that an empty node was started to join: it waits until it is added, and founds none.
    pub join: Option<ClusterId>,
    /// The folder of its data; it is made where there is none.
    pub data: PathBuf,
    /// The settings of the state machine.
    pub rsm: RsmOptions,
    /// How long the nodes wait for each other.
    pub timing: RaftTiming,
}

/// How long the nodes of a cluster wait for each other. Where a round trip to a majority takes longer than these times allow,
/// nodes measure that and wait longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// How long a node goes without hearing of a leader before it campaigns, randomized between this and twice this. 200 ms by
    /// default.
    pub election_timeout: Duration,
    /// How often a leader that has nothing to send lets the other nodes hear of it, at most half the election timeout. 50 ms by
    /// default.
    pub heartbeat: Duration,
}

impl RaftTiming {
    /// The bounds of both times.
    const MIN: Duration = Duration::from_millis(1);
    const MAX: Duration = Duration::from_secs(60);

    fn check(self) -> Result<(), ConfigError> {
        let Self { election_timeout, heartbeat } = self;
        for (name, time) in [("election timeout", election_timeout), ("heartbeat", heartbeat)] {
            if !(Self::MIN..=Self::MAX).contains(&time) {
                return Err(ConfigError::Time { name, time });
            }
        }
        if 2 * heartbeat > election_timeout {
            return Err(ConfigError::Heartbeat { heartbeat, election_timeout });
        }
        Ok(())
    }
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self { election_timeout: Duration::from_millis(200), heartbeat: Duration::from_millis(50) }
    }
}

/// What is wrong with a [`NodeConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An id is 0.
    #[error("`0` is not a valid node id: ids begin at 1")]
    ZeroId,
    /// The peers do not include this node.
    #[error("node {id}, which is this node, is missing: list all nodes, for example {id}=http://HOST:PORT")]
    Missing {
        /// This node.
        id: NodeId,
    },
    /// A URL cannot be used.
    #[error("node {id}: {error}")]
    Url {
        /// The node whose URL it is.
        id: NodeId,
        /// What is wrong with it.
        error: InvalidUrl,
    },
    /// A time is out of bounds.
    #[error(
        "the {name} of {time:?} is out of bounds: give a time from {min:?} to {max:?}",
        min = RaftTiming::MIN, max = RaftTiming::MAX
    )]
    Time {
        /// Which time.
        name: &'static str,
        /// How long it is.
        time: Duration,
    },
    /// Followers would miss heartbeats by the way.
    #[error(
        "the heartbeat of {heartbeat:?} is too long for an election timeout of {election_timeout:?}: it may be \
         half of that at most"
    )]
    Heartbeat {
        /// See [`RaftTiming::heartbeat`].
        heartbeat: Duration,
        /// See [`RaftTiming::election_timeout`].
        election_timeout: Duration,
    },
    /// Two nodes have the same URL.
    #[error("nodes {first} and {second} have the same URL, {url}: give each node its own")]
    SharedUrl {
        /// One of the nodes.
        first: NodeId,
        /// The other one.
        second: NodeId,
        /// Their URL.
        url: ServerUrl,
    },
}

impl NodeConfig {
    /// Checks the settings without touching anything.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.id == 0 || self.peers.contains_key(&0) {
            return Err(ConfigError::ZeroId);
        }
        if !self.peers.is_empty() && !self.peers.contains_key(&self.id) {
            return Err(ConfigError::Missing { id: self.id });
        }
        let mut checked: Vec<(NodeId, ServerUrl)> = Vec::new();
        for (id, url) in &self.peers {
            let url: ServerUrl = url.parse().map_err(|error| ConfigError::Url { id: *id, error })?;
            if let Some((first, _)) = checked.iter().find(|(_, earlier)| *earlier == url) {
                return Err(ConfigError::SharedUrl { first: *first, second: *id, url });
            }
            checked.push((*id, url));
        }
        self.timing.check()
    }
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its settings are wrong. Nothing was touched.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its data cannot be used: in use, damaged, of another node, or not to be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The folder is of an earlier version, whose log does not say who belongs to the cluster, and the settings do not either.
    #[error(
        "{path}: the log is of an earlier version and belongs to a cluster with node {other}: list all nodes with --peers, for \
         example {id}=http://HOST:PORT,{other}=http://HOST:PORT",
        path = path.display()
    )]
    NeedsPeers {
        /// The folder of its data.
        path: PathBuf,
        /// This node.
        id: NodeId,
        /// Another node of the cluster.
        other: NodeId,
    },
    /// The system does not give what it needs.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The folder of its data.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl<M: StateMachine> Rsm<M> {
    /// Opens a node's data and starts it with `machine`, which is in its first state. Must be called within a tokio
    /// runtime. The others reach it once [`Raft::server`] of [`Rsm::raft`] is served at its URL.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &NodeConfig, machine: M) -> Result<Arc<Self>, OpenError> {
        config.check()?;
        let NodeConfig { cluster, id, peers, data, rsm, timing, .. } = config;
        let failed = |error| OpenError::Io { path: data.clone(), error };
        let disk = Arc::new(RealDisk::new(data).map_err(failed)?);
        let found = identity::read(&*disk, config)?;
        let whose = Identity { cluster: cluster.clone(), node: *id };
        let opened = Wal::open(disk.clone(), whose, WalOptions::default())?;
        log_recovery(*id, &opened.restored);
        let file = Arc::new(identity::settle(disk, config, found, &opened.restored)?);
        let static_members = file.get().static_members;
        let membership = Membership::of(static_members.keys().copied());
        identity::warn_of_peers(config, identity::membership(&opened.restored).unwrap_or(&membership));
        let mut options = Options::new(*id, membership, fastrand::u64(..));
        options.incarnation = Some(file.ids().0);
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        (options.election_timeout_us, options.heartbeat_us) =
            (us(timing.election_timeout), us(timing.heartbeat));
        if rsm.snapshot_log_bytes > 0 {
            // What stays of the log for followers that are behind is in proportion to what a snapshot of a small state replaces.
            let trailing_bytes = rsm.snapshot_log_bytes.saturating_mul(TRAILING_PER_SNAPSHOT);
            options.trailing_bytes_max = options.trailing_bytes_max.min(trailing_bytes);
        }
        let joins = file.standing() == Standing::Joining;
        let urls = if peers.is_empty() { static_members } else { peers.clone() };
        let profile = Profile {
            cluster: cluster.clone(),
            identity: Some(file.clone()),
            peers: urls.clone(),
            bootstrap: config.bootstrap,
            joins,
            run: Some(RunId::random()),
        };
        let transport =
            Arc::new(RpcTransport::new(cluster, *id, &urls).with_profile(Arc::new(profile.clone())));
        let (raft, applies) = Raft::start(profile, options, opened, transport).map_err(failed)?;
        tokio::spawn(Keeper::new(raft.clone(), file, config).run());
        Ok(Self::start(raft, applies, machine, *rsm))
    }
}

fn log_recovery(id: NodeId, restored: &Restored) {
    let last_index = restored.base_index + restored.entries.len() as u64;
    let snapshot_index = restored.snapshot.as_ref().map(|snapshot| snapshot.last_index);
    if restored.term == 0 && last_index == 0 && snapshot_index.is_none() {
        tracing::info!(id, "the data folder is new");
    } else {
        let term = restored.term;
        tracing::info!(id, term, last_index, snapshot_index, "recovered the log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_work_are_refused() {
        let check = |election_timeout_ms, heartbeat_ms| {
            let [election_timeout, heartbeat] =
                [election_timeout_ms, heartbeat_ms].map(Duration::from_millis);
            RaftTiming { election_timeout, heartbeat }.check().map_err(|error| error.to_string())
        };
        for (election_timeout, heartbeat) in [(200, 50), (2, 1), (100, 50), (60_000, 30_000)] {
            assert_eq!(check(election_timeout, heartbeat), Ok(()));
        }
        for (election_timeout, heartbeat, reason) in [
            (0, 50, "the election timeout of 0ns is out of bounds"),
            (60_001, 50, "the election timeout of 60.001s is out of bounds"),
            (200, 0, "the heartbeat of 0ns is out of bounds"),
            (200, 101, "the heartbeat of 101ms is too long for an election timeout of 200ms"),
        ] {
            let refused = check(election_timeout, heartbeat).unwrap_err();
            assert!(refused.starts_with(reason), "{refused}");
        }
    }

    fn check(id: NodeId, peers: &[(NodeId, &str)]) -> Result<(), String> {
        let config = NodeConfig {
            cluster: "c".to_owned(),
            id,
            peers: peers.iter().map(|(id, url)| (*id, (*url).to_owned())).collect(),
            url: None,
            bootstrap: false,
            join: None,
            data: "/nonexistent".into(),
            rsm: RsmOptions::default(),
            timing: RaftTiming::default(),
        };
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        assert_eq!(check(1, &[]), Ok(()));
        assert_eq!(check(7, &[(7, "http://a:1"), (u64::MAX, "http://b:1")]), Ok(()));
        for (id, peers, reason) in [
            (0, &[][..], "`0` is not a valid node id"),
            (1, &[(0, "http://a:1"), (1, "http://b:1")], "`0` is not a valid node id"),
            (3, &[(1, "http://a:1"), (2, "http://b:1")], "node 3, which is this node, is missing"),
            (1, &[(1, "http://a:1"), (2, "b:1")], "node 2: `b:1` is not a valid server URL"),
            (1, &[(1, "ftp://a:1")], "`ftp` is not supported"),
            (1, &[(1, "http://a:1"), (4, "http://A:1/")], "nodes 1 and 4 have the same URL"),
        ] {
            let error = check(id, peers).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
