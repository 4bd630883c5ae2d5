//! `traitwire debug recover DIR --force-new-cluster`: what is left when the rest of a cluster is lost for good.

use std::path::PathBuf;

use serde_json::json;
use traitwire::log::Excerpt;
use traitwire_kv::kv_raft::backup::{Recovered, recover};
use traitwire_kv::kv_raft::machine::KvMachine;

use super::super::Failure;
use super::super::output::print_line;

/// Make a new cluster of one node out of a node's data folder, when a majority of its cluster is lost for good.
///
/// Everything that the folder has is kept, whether a majority had it or not. What was acknowledged and never reached this node is
/// lost, so choose the folder with the newest entries (`traitwire debug wal` shows them). The cluster gets a new id and this node a
/// new incarnation: the other nodes of the old cluster refuse it, and join the new one with empty folders.
///
/// The node must not run. If the recovery is interrupted, the folder does not open until it is run again. Copy the folder first if
/// you may want to try another way.
///
/// Exit codes: 0 the node can be started; 1 the folder cannot be used; 2 wrong usage.
#[derive(clap::Args)]
pub(crate) struct Recover {
    /// The node's folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Confirm that the rest of the cluster is given up.
    #[arg(long)]
    force_new_cluster: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Recover {
    pub(super) fn run(self) -> Result<u8, Failure> {
        if !self.force_new_cluster {
            return Err(Failure::usage(
                "a recovery gives up the rest of the cluster: writes that were acknowledged and never reached this node are lost, \
                 and the other nodes cannot come back with their data. If a majority of the cluster can still be started, start \
                 it instead. To go on, add --force-new-cluster",
            ));
        }
        let recovered = recover(&self.folder, KvMachine::default()).map_err(Failure::new)?;
        let Recovered { cluster, node, cluster_id_before, members_before, .. } = &recovered;
        let Recovered { last_index, last_term, committed_index, cluster_id, snapshot, .. } = &recovered;
        if self.json {
            print_line(json!({
                "data": self.folder.display().to_string(), "id": node, "cluster": cluster,
                "cluster_id": cluster_id, "cluster_id_before": cluster_id_before, "members_before": members_before,
                "last_index_before": last_index, "last_term_before": last_term,
                "committed_index_before": committed_index, "revision": snapshot.last_index,
            }))?;
            return Ok(0);
        }
        let before =
            cluster_id_before.map_or_else(|| "an earlier cluster".to_owned(), |id| format!("cluster {id}"));
        let members: Vec<_> = members_before.iter().map(ToString::to_string).collect();
        print_line(format_args!(
            "{}: node {node} of cluster `{}` is alone in the new cluster {cluster_id}",
            self.folder.display(),
            Excerpt(cluster)
        ))?;
        let members =
            if members.is_empty() { "that its log does not name".to_owned() } else { members.join(", ") };
        print_line(format_args!("it was part of {before}, with the nodes {members}"))?;
        print_line(format_args!(
            "kept: all entries up to index {last_index} of term {last_term}. Those after index {committed_index} may not have been \
             acknowledged to anybody"
        ))?;
        print_line(format_args!(
            "lost: what the other nodes have acknowledged after index {last_index}. Their folders are of no use to this cluster: \
             they join it with empty ones"
        ))?;
        Ok(0)
    }
}
