//! Proposals that wait together go together: one write, one message to each node.

use super::{Driver, Told};
use crate::kv_raft::raft::core::{Input, Proposed, Refusal};
use crate::services::raft::Command;

/// Proposals that are made in one step.
pub(super) struct Proposals {
    commands: Vec<Command>,
    /// Who is told, each about so many commands.
    told: Vec<(Told, u64)>,
}

impl Proposals {
    pub(super) fn first(commands: Vec<Command>, told: Told) -> Self {
        let told = vec![(told, commands.len() as u64)];
        Self { commands, told }
    }

    pub(super) fn add(&mut self, commands: Vec<Command>, told: Told) {
        self.told.push((told, commands.len() as u64));
        self.commands.extend(commands);
    }
}

impl Driver {
    pub(super) fn propose(&mut self, proposals: Proposals) {
        let now = self.now();
        let effects = self.core.step(now, Input::Propose(proposals.commands));
        let proposed = effects.proposed.unwrap_or(Proposed::Refused(Refusal::NotLeader(None)));
        let mut before = 0;
        for (told, count) in proposals.told {
            let own = match proposed {
                Proposed::Accepted { first, term } => Proposed::Accepted { first: first + before, term },
                Proposed::Refused(refusal) => Proposed::Refused(refusal),
            };
            before += count;
            told(own);
        }
        self.take_effects(effects);
    }
}
