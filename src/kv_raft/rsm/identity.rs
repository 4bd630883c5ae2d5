//! Which node a data folder belongs to: decided when the folder is opened, from what is in it and from how the node is started.

use std::sync::Arc;

use super::open::{NodeConfig, OpenError};
use crate::kv_raft::raft::core::Restored;
use crate::kv_raft::raft::storage::{Disk, IdentityFile, NodeIdentity, Standing};
use crate::services::raft::{Incarnation, Membership, NodeId, Payload};

/// Reads whose folder it is, before anything in it is touched.
pub(super) fn read(disk: &dyn Disk, config: &NodeConfig) -> Result<Option<NodeIdentity>, OpenError> {
    let found = IdentityFile::read(disk)?;
    if let Some(found) = &found
        && (found.node != config.id || found.cluster != config.cluster)
    {
        let what = format!(
            "belongs to node {} of cluster `{}`, and this is node {} of cluster `{}`",
            found.node, found.cluster, config.id, config.cluster
        );
        return Err(IdentityFile::foreign(disk, what).into());
    }
    Ok(found)
}

/// Decides who the node is, now that its log is known and the folder is locked, and writes that down.
pub(super) fn settle(
    disk: Arc<dyn Disk>,
    config: &NodeConfig,
    found: Option<NodeIdentity>,
    restored: &Restored,
) -> Result<IdentityFile, OpenError> {
    let id = config.id;
    let had_file = found.is_some();
    let mut identity = found.unwrap_or_else(|| NodeIdentity::new(id, config.cluster.clone()));
    match (is_empty(restored), had_file) {
        (true, _) => begin(&mut identity, config),
        (false, true) => identity.standing = Standing::Member,
        (false, false) => {
            if let Some(cluster_id) = membership(restored).and_then(|it| it.cluster_id) {
                return Err(IdentityFile::missing(&*disk, cluster_id).into());
            }
            identity.static_members = members_of_earlier_version(config, restored)?;
            identity.standing = Standing::Member;
            let (incarnation, members) = (identity.incarnation, names(identity.static_members.keys()));
            tracing::info!(id, %incarnation, members, "the data folder is of an earlier version: it has an identity now");
        }
    }
    if config.bootstrap && !is_empty(restored) {
        tracing::warn!(id, "ignored --bootstrap: the node has data, so its cluster was founded before");
    }
    // Also what was read is written once more: its last sync may have failed.
    Ok(IdentityFile::create(disk, identity)?)
}

/// What an empty log makes of a node.
fn begin(identity: &mut NodeIdentity, config: &NodeConfig) {
    let id = config.id;
    match identity.standing {
        // It was bound to a cluster, and has not said so to anybody.
        Standing::New => identity.cluster_id = None,
        Standing::Joining | Standing::LogLost => {}
        Standing::Member => {
            let (before, cluster_id) = (identity.incarnation, identity.cluster_id.map(|it| it.to_string()));
            identity.incarnation = Incarnation::random();
            identity.standing = Standing::LogLost;
            identity.static_members.clear();
            tracing::error!(
                id, %before, cluster_id,
                "the log of this folder is gone: the node does not vote until it has rejoined its cluster and caught up"
            );
        }
    }
    if let Some(cluster_id) = config.join
        && identity.standing == Standing::New
    {
        identity.cluster_id = Some(cluster_id);
        identity.standing = Standing::Joining;
    }
}

/// Whether a node has neither a term nor entries nor a snapshot: it has promised nothing, or does not know any more.
pub(super) fn is_empty(restored: &Restored) -> bool {
    let Restored { term, voted_for, snapshot, base_index, base_term: _, entries } = restored;
    *term == 0 && voted_for.is_none() && snapshot.is_none() && *base_index == 0 && entries.is_empty()
}

/// The newest membership that a log or its snapshot names.
pub(super) fn membership(restored: &Restored) -> Option<&Membership> {
    let in_log = restored.entries.iter().rev().find_map(|entry| match &entry.payload {
        Payload::Membership(membership) => Some(&**membership),
        Payload::Blank | Payload::Command(_) => None,
    });
    in_log.or_else(|| restored.snapshot.as_ref().map(|snapshot| &*snapshot.membership))
}

/// The members of a cluster of an earlier version, whose log does not name them.
fn members_of_earlier_version(
    config: &NodeConfig,
    restored: &Restored,
) -> Result<std::collections::BTreeMap<NodeId, String>, OpenError> {
    if !config.peers.is_empty() {
        return Ok(config.peers.clone());
    }
    let other = restored.voted_for.filter(|node| *node != config.id);
    let named = membership(restored).into_iter().flat_map(Membership::nodes).find(|node| *node != config.id);
    match other.or(named) {
        // Alone, it would lead on the log of others.
        Some(other) => Err(OpenError::NeedsPeers { path: config.data.clone(), id: config.id, other }),
        None => Ok([(config.id, config.url.clone().unwrap_or_default())].into()),
    }
}

/// Compares the nodes of the command line with those of the membership, which counts.
pub(super) fn warn_of_peers(config: &NodeConfig, membership: &Membership) {
    let (listed, members): (Vec<_>, _) = (config.peers.keys().copied().collect(), membership.nodes());
    if !listed.is_empty() && !members.is_empty() && listed != members {
        let (peers, members) = (names(&listed), names(&members));
        tracing::warn!(
            id = config.id,
            peers,
            members,
            "--peers does not list the members of the cluster: it only says where they are, and members without a URL there are \
             reached at the one that they had"
        );
    }
}

fn names<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> String {
    super::founding::ids(ids)
}
