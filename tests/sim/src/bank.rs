//! The bank of bugs: each is run until something finds it, so that a rule or a bar which finds nothing is missed.

use std::fmt::Write as _;

use traitwire_kv::bugs::ServiceBug;
use traitwire_kv::kv_raft::raft::core::Bug;

use crate::host_bug::HostBug;
use crate::plan::SeededBug;
use crate::run::{guard, run_seed, run_with_changes};
use crate::scenarios;
use crate::stack::{self, StackPlan};
use crate::violation::Violation;

/// How many seeds a bug is run with, at most.
pub const SEEDS_MAX: u64 = 3_000;

/// How many seeds a scenario is run with, at most.
const SCENARIO_SEEDS_MAX: u64 = 50;

/// What found a bug.
#[derive(Clone, Debug)]
pub struct Killer {
    /// The random runs, or the name of a scenario.
    pub by: &'static str,
    /// How many seeds it took.
    pub seeds: u64,
    /// The rule that was broken.
    pub violation: Violation,
}

/// A bug, and what found it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The bug.
    pub bug: SeededBug,
    /// What found it, if anything did.
    pub killer: Option<Killer>,
}

/// All bugs.
pub fn all() -> Vec<SeededBug> {
    let core = Bug::ALL.into_iter().chain(Bug::MEMBERSHIP).map(SeededBug::Core);
    let host = HostBug::ALL.into_iter().chain(HostBug::MEMBERSHIP).map(SeededBug::Host);
    core.chain(host).chain(ServiceBug::ALL.into_iter().map(SeededBug::Service)).collect()
}

/// The name of a bug, as it stands in the code.
pub fn name(bug: SeededBug) -> String {
    match bug {
        SeededBug::Core(bug) => format!("{bug:?}"),
        SeededBug::Host(bug) => format!("{bug:?}"),
        SeededBug::Service(bug) => format!("{bug:?}"),
    }
}

/// A scenario that looks for a bug in particular.
type Scenario = fn(u64, Option<SeededBug>) -> scenarios::Result;

/// The scenarios that are tried before the random runs, for bugs that cost time and not safety.
fn scenario_for(bug: SeededBug) -> Option<(&'static str, Scenario)> {
    let bug = match bug {
        SeededBug::Core(bug) => bug,
        SeededBug::Host(HostBug::RemovedMeansNever) => {
            return Some(("removed_and_committed", scenarios::removed_and_committed));
        }
        SeededBug::Host(_) | SeededBug::Service(_) => return None,
    };
    Some(match bug {
        Bug::NoRetry => {
            ("idle_under_heavy_loss", |seed, bug| scenarios::idle_under_heavy_loss(seed, bug).map(drop))
        }
        Bug::NoStickiness => ("returning_node", scenarios::returning_node),
        Bug::LatePieceRestarts => ("late_piece", scenarios::late_piece),
        Bug::SnapshotAheadOfDisk => ("snapshot_ahead_of_disk", scenarios::snapshot_ahead_of_disk),
        Bug::NoCheckQuorum => ("stands_alone", scenarios::stands_alone),
        Bug::RestartTimerOnAnyVoteRequest => ("outdated_candidates", scenarios::outdated_candidates),
        _ => return None,
    })
}

/// Whether a bug shows only where the membership changes.
fn needs_changes(bug: SeededBug) -> bool {
    match bug {
        SeededBug::Core(bug) => Bug::MEMBERSHIP.contains(&bug),
        SeededBug::Host(bug) => HostBug::MEMBERSHIP.contains(&bug),
        SeededBug::Service(_) => false,
    }
}

/// Looks for a bug.
pub fn find(bug: SeededBug, seeds_max: u64) -> Entry {
    let killer = match scenario_for(bug) {
        Some((by, scenario)) => {
            first(by, SCENARIO_SEEDS_MAX, |seed| guard(|| scenario(seed, Some(bug))).err())
        }
        None => match bug {
            SeededBug::Core(_) | SeededBug::Host(_) if needs_changes(bug) => {
                first("runs with changes of the membership", seeds_max, |seed| {
                    run_with_changes(seed, Some(bug)).violation
                })
            }
            SeededBug::Core(_) | SeededBug::Host(_) => {
                first("random runs", seeds_max, |seed| run_seed(seed, Some(bug)).violation)
            }
            SeededBug::Service(bug) => first("random runs of whole nodes", seeds_max, |seed| {
                stack::run_with_bug(&StackPlan::draw(seed), bug, false).violation
            }),
        },
    };
    Entry { bug, killer }
}

fn first(by: &'static str, seeds_max: u64, run: impl Fn(u64) -> Option<Violation>) -> Option<Killer> {
    (1..=seeds_max).find_map(|seed| run(seed).map(|violation| Killer { by, seeds: seed, violation }))
}

/// The whole bank as a page.
pub fn page(entries: &[Entry]) -> String {
    let mut page = String::from(
        "# The bank of bugs\n\n\
        Each bug was switched on alone, in the code that serves, and run until something found it. Written by\n\
        `cargo run --release -p traitwire-sim -- bugs --write`.\n\n\
        | bug | what it is | found by | seeds | rule that was broken |\n\
        |---|---|---|---|---|\n",
    );
    for Entry { bug, killer } in entries {
        let (by, seeds, rule) = match killer {
            Some(killer) => (killer.by, killer.seeds.to_string(), killer.violation.rule.name()),
            None => ("nothing", "-".to_owned(), "-"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {by} | {seeds} | {rule} |", name(*bug), describe(*bug));
    }
    page
}

/// What a bug is, in the words that stand at it in the code.
fn describe(bug: SeededBug) -> String {
    let source = match bug {
        SeededBug::Core(_) => include_str!("../../../src/kv_raft/raft/core/bugs.rs"),
        SeededBug::Host(_) => include_str!("host_bug.rs"),
        SeededBug::Service(_) => include_str!("../../../src/bugs.rs"),
    };
    let variant = format!("    {},", name(bug));
    let before = source.lines().take_while(|line| *line != variant);
    let doc = before.collect::<Vec<_>>().into_iter().rev().map_while(|line| line.trim().strip_prefix("/// "));
    let lines: Vec<_> = doc.collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" ")
}
