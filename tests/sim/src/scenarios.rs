//! Runs that are made by hand: one story each, with a bar. Tests run them on the right code; the bank of bugs runs them on
//! wrong code, which must miss the bar.

mod elections;
mod links;
mod logs;
mod partitions;

pub use elections::{
    first_leader, idle_under_heavy_loss, killed_leaders, many_elections, outdated_candidates, partial_cut,
    returning_node, rpc_counts, stands_alone,
};
pub use links::{
    empty_follower, far_away, large_entry, late_piece, overtaking, slow_period, snapshot_ahead_of_disk,
};
pub use logs::{backup, many_entries, ten_entries};
pub use partitions::{
    agreement_under_loss, churn, crash_all, dup_and_reo, figure_8_unreliable, installs, minority_value,
    removed_and_committed, repeated_partitions,
};

use traitwire_kv::services::raft::{Index, NodeId, Term};

use crate::cluster::Cluster;
use crate::plan::{Plan, SeededBug};
use crate::violation::{Rule, Violation, ensure};

/// What a scenario comes to.
pub type Result<T = ()> = std::result::Result<T, Violation>;

/// A cluster without load and faults, with a bug or without.
fn calm(nodes: u64, seed: u64, bug: Option<SeededBug>) -> Result<Cluster> {
    Cluster::new(Plan { bug, ..Plan::calm(nodes, seed) })
}

fn bar(holds: bool, what: impl FnOnce() -> String) -> Result {
    ensure(holds, Rule::Bar, what)
}

/// Waits for a leader that a majority follows.
fn led(cluster: &mut Cluster, within_us: u64) -> Result<u64> {
    cluster.run_until(within_us, "leader", |cluster| cluster.leader_of_majority().is_some())?;
    cluster.leader_of_majority().ok_or_else(|| Violation::new(Rule::Liveness, "the leader is gone again"))
}

/// Lets a node take commands, and gives the index of the first one and the term.
fn takes(cluster: &mut Cluster, id: NodeId, count: u64) -> Result<(Index, Term)> {
    let taken = cluster.propose(id, count)?;
    taken.ok_or_else(|| Violation::new(Rule::Liveness, format!("node {id} takes no command")))
}

/// Proposes at the leader until something is committed that was proposed here, on all nodes of `count`.
fn agree(cluster: &mut Cluster, within_us: u64, count: usize) -> Result<u64> {
    let until = cluster.now_us() + within_us;
    while cluster.now_us() < until {
        let leader = cluster.leader();
        let accepted = match leader {
            Some(leader) => cluster.propose(leader, 1)?,
            None => None,
        };
        let Some((index, term)) = accepted else {
            cluster.run_for(10_000)?;
            continue;
        };
        for _ in 0..200 {
            cluster.run_for(10_000)?;
            let applied = |cluster: &Cluster, id| cluster.applied_index(id) >= index;
            let nodes = (1..=cluster.nodes()).filter(|id| applied(cluster, *id)).count();
            if cluster.is_committed(index, term) && nodes >= count {
                return Ok(index);
            }
            if cluster.committed_index() >= index && !cluster.is_committed(index, term) {
                break;
            }
        }
    }
    Err(Violation::new(
        Rule::Liveness,
        format!("{} ms without agreement on {count} nodes", within_us / 1_000),
    ))
}
