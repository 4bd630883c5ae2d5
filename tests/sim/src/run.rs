//! Running seeds: faults for a while, then calm, and what must hold at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use traitwire_checker::check;

use crate::cluster::{Cluster, Counts};
use crate::plan::{Plan, SECOND_US, SeededBug};
use crate::trace::Trace;
use crate::violation::{Rule, Violation, ensure};

/// The steps that the checker of histories may take for each key.
const CHECK_STEPS: u64 = 10_000_000;

/// How long it takes at most until a configuration is settled: a handful of changes, each of which needs a learner to catch up.
const SETTLES_US: u64 = 20 * SECOND_US;

/// The longest timer of an election: it is drawn from between two and eight round trips of at most a second. The only node that can
/// win may have set its timer while its links were slow.
const TIMER_MAX_US: u64 = 8 * SECOND_US;

/// How long it takes at most until a node that is behind has more of the log: a call that hangs since before the calm is given up after
/// five seconds, where the links that lost it count as slow.
const GOES_ON_US: u64 = 6 * SECOND_US;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub seed: u64,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// How long the run was in the time of the cluster.
    pub simulated_us: u64,
    /// What there was how often.
    pub counts: Counts,
    /// A number that is the same whenever the same happened.
    pub trace: u64,
    /// The last lines of what happened, if they were wanted.
    pub lines: Vec<String>,
}

/// Runs what a seed draws, without changes of the membership.
pub fn run_seed(seed: u64, bug: Option<SeededBug>) -> Outcome {
    run_plan(Plan::draw(seed, bug), Trace::brief())
}

/// Runs what a seed draws, with changes of the membership.
pub fn run_with_changes(seed: u64, bug: Option<SeededBug>) -> Outcome {
    run_plan(Plan::draw_with_changes(seed, bug), Trace::brief())
}

/// Runs a plan.
pub fn run_brief(plan: Plan) -> Outcome {
    run_plan(plan, Trace::brief())
}

/// Runs a plan and remembers the last part in lines.
pub fn replay(plan: Plan) -> Outcome {
    run_plan(plan, Trace::readable())
}

fn run_plan(plan: Plan, trace: Trace) -> Outcome {
    let seed = plan.seed;
    let busy_us = plan.busy_us;
    let mut cluster = match Cluster::with_trace(plan, trace) {
        Ok(cluster) => cluster,
        Err(violation) => {
            let counts = Counts::default();
            let violation = Some(violation);
            return Outcome { seed, violation, simulated_us: 0, counts, trace: 0, lines: Vec::new() };
        }
    };
    let violation = guard(|| run(&mut cluster, busy_us)).err();
    if violation.is_some() {
        cluster.note_nodes();
    }
    Outcome {
        seed,
        violation,
        simulated_us: cluster.now,
        counts: cluster.counts,
        trace: cluster.trace.hash(),
        lines: cluster.trace.into_lines(),
    }
}

/// Runs something. A panic is a violation like others.
pub fn guard<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation::new(Rule::NoPanic, text.unwrap_or_else(|| "it does not say which".to_owned())))
    })
}

fn run(cluster: &mut Cluster, busy_us: u64) -> Result<(), Violation> {
    cluster.run_for(busy_us)?;
    let result = settle(cluster);
    // A history shows what clients saw of a broken rule, and breaks no liveness.
    check_history(cluster)?;
    result
}

/// Without faults there is a leader soon, what is proposed is committed, and all nodes come to have the same.
///
/// # Errors
/// When that is not so.
pub fn settle(cluster: &mut Cluster) -> Result<(), Violation> {
    cluster.calm_down();
    let timers_us = timers_us(cluster);
    let clusters = cluster.plan.changes.map_or(1, |changes| changes.clusters());
    for which in 0..clusters {
        if cluster.plan.changes.is_some() {
            let within_us = timers_us + 5 * SECOND_US;
            cluster.run_until(within_us, "leader", |cluster| cluster.leader_of_quorum(which).is_some())?;
            cluster.run_until(SETTLES_US, "settled configuration", |cluster| cluster.is_settled(which))?;
        } else {
            let within_us = timers_us + 3 * SECOND_US;
            cluster.run_until(within_us, "leader", |cluster| cluster.leader_of_majority().is_some())?;
        }
        agrees(cluster, which)?;
    }
    Ok(())
}

/// How long nodes may wait for timers that they set before.
fn timers_us(cluster: &Cluster) -> u64 {
    cluster.longest_timer_us().min(TIMER_MAX_US)
}

/// A leader commits a command, and all members come to have it.
fn agrees(cluster: &mut Cluster, which: usize) -> Result<(), Violation> {
    let calm_since = cluster.now_us();
    // What was under way when the calm began may still end one leadership.
    let within_us = timers_us(cluster) + 3 * SECOND_US;
    while !commits_a_command(cluster, which)? {
        ensure(cluster.now_us() < calm_since + within_us, Rule::Liveness, || {
            format!("for {} ms of calm no command was committed", within_us / 1_000)
        })?;
    }
    // How long it takes depends on how far somebody is behind; but it goes on.
    while !cluster.cluster_has_converged(which) {
        let before = cluster.least_applied(which);
        let goes_on =
            |cluster: &Cluster| cluster.least_applied(which) > before || cluster.cluster_has_converged(which);
        cluster.run_until(GOES_ON_US, "progress of the node that is behind", goes_on)?;
    }
    Ok(())
}

/// Lets the leader propose a command, and waits until it is committed or another node leads.
fn commits_a_command(cluster: &mut Cluster, which: usize) -> Result<bool, Violation> {
    let leader = match cluster.plan.changes {
        Some(_) => cluster.leader_of_quorum(which),
        None => cluster.leader_of_majority(),
    };
    let accepted = match leader {
        Some(leader) => cluster.propose(leader, 1)?,
        None => None,
    };
    let Some((index, of_term)) = accepted else {
        cluster.run_for(10_000)?;
        return Ok(false);
    };
    let decided =
        |cluster: &Cluster| cluster.invariants.committed_index(which) >= index || cluster.term() > of_term;
    cluster.run_for(1_000)?;
    let within_us = timers_us(cluster) + SECOND_US;
    cluster.run_until(within_us, "decision about a command", decided)?;
    Ok(cluster.invariants.is_committed(which, index, of_term))
}

/// Whether what the clients were told fits one copy of the store.
pub fn check_history(cluster: &Cluster) -> Result<(), Violation> {
    let verdict = check(cluster.clients.history(), CHECK_STEPS);
    ensure(verdict.is_legal(), Rule::Linearizable, || verdict.to_string())
}
