//! How the membership changes in a run: who founds the clusters, who joins them, and how often an operator does something.
//!
//! All of it is drawn from a random stream of its own, so that what a seed draws without changes stays what it was.

use crate::network::Span;
use crate::plan::{Plan, SECOND_US, SeededBug, pick};

/// How the membership changes in a run.
#[derive(Clone, Copy, Debug)]
pub struct ChangePlan {
    /// How many nodes found each cluster. The second cluster may have none; its nodes have the same ids as those of the first.
    pub founders: [u64; 2],
    /// How long it is from one action of the operators to the next.
    pub gap_us: Span,
    /// The chance, in thousandths, that an action is a folder that is wiped.
    pub wipes: u32,
    /// The chance, in thousandths, that a message goes to a node of the other cluster, or to any other node.
    pub wrong_urls: u32,
    /// The chance, in thousandths, that the operators do something without a look at what is going on.
    pub careless: u32,
    /// The chance, in thousandths, that an operator adds a node without asking it for its cluster first.
    pub mistaken: u32,
}

/// The nodes that are there to be added, and those of both clusters.
const SPARES: [u64; 4] = [1, 2, 2, 3];

impl ChangePlan {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let gap_us = pick(random, &[30_000, 100_000, 300_000, 1_000_000]);
        Self {
            founders: [pick(random, &[1, 2, 3, 3, 3, 3, 4, 5]), pick(random, &[0, 0, 0, 1, 3])],
            gap_us: Span::new(gap_us / 4, 2 * gap_us),
            wipes: pick(random, &[0, 50, 200, 500]),
            wrong_urls: pick(random, &[0, 0, 10, 100]),
            careless: pick(random, &[20, 100, 500]),
            mistaken: pick(random, &[0, 0, 100, 500]),
        }
    }

    /// Whether there is a second cluster.
    pub(crate) fn clusters(&self) -> usize {
        1 + usize::from(self.founders[1] > 0)
    }
}

/// In which runs the membership changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Changes {
    /// In none.
    None,
    /// In one run of four.
    #[default]
    Some,
    /// In all.
    All,
}

impl Changes {
    /// What a seed draws.
    pub fn plan(self, seed: u64, bug: Option<SeededBug>) -> Plan {
        match self {
            Self::All => Plan::draw_with_changes(seed, bug),
            Self::Some if seed.is_multiple_of(4) => Plan::draw_with_changes(seed, bug),
            Self::Some | Self::None => Plan::draw(seed, bug),
        }
    }
}

impl Plan {
    /// What a seed draws, with changes of the membership.
    pub fn draw_with_changes(seed: u64, bug: Option<SeededBug>) -> Self {
        let plan = Self::draw(seed, bug);
        let random = &mut fastrand::Rng::with_seed(seed ^ 0x00C4_A26E_D5EE);
        let changes = ChangePlan::draw(random);
        let spares = pick(random, &SPARES);
        let slower = pick(random, &[1, 1, 3, 10]);
        let Span { min, max } = plan.fault_gap_us;
        Self {
            nodes: changes.founders.iter().sum::<u64>() + spares,
            fault_gap_us: Span::new(slower * min, slower * max),
            busy_us: pick(random, &[5, 10]) * SECOND_US,
            changes: Some(changes),
            ..plan
        }
    }
}
