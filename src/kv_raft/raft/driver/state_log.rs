//! One log line for each change of a node's role, term or leader, and of the space on its disk, as long as they do not come too
//! often.

use std::time::Duration;

use tokio::time::Instant;
use traitwire::log::LogThrottle;

use crate::kv_raft::raft::core::{DiskSpace, Op, Persist, Role};
use crate::services::raft::{NodeId, Term};

/// How many lines are written in each window of time. A cluster that elects ever again needs no more to be noticed.
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// What was last seen of a node's state, and how many lines about it were written lately.
pub(super) struct StateLog {
    id: NodeId,
    role: Role,
    leader: Option<NodeId>,
    window: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl StateLog {
    pub(super) fn new(id: NodeId) -> Self {
        Self { id, role: Role::Follower, leader: None, window: None, lines: 0, suppressed: 0 }
    }

    /// Logs a change.
    pub(super) fn note(&mut self, role: Role, term: Term, leader: Option<NodeId>) {
        let (was, followed) = (self.role, self.leader);
        (self.role, self.leader) = (role, leader);
        let Some(suppressed) = self.permit() else { return };
        let suppressed = (suppressed > 0).then_some(suppressed);
        let id = self.id;
        match (role, leader) {
            (Role::Leader, _) => tracing::info!(id, term, suppressed, "became leader"),
            (Role::Candidate, _) => tracing::info!(id, term, suppressed, "became candidate"),
            (Role::PreCandidate, _) => {
                tracing::info!(
                    id,
                    term,
                    lost = followed,
                    suppressed,
                    "hears of no leader and asks for votes"
                );
            }
            (Role::Follower, Some(leader)) => tracing::info!(id, term, leader, suppressed, "follows leader"),
            (Role::Follower, None) if was == Role::Leader => {
                tracing::warn!(id, term, suppressed, "stepped down from leadership");
            }
            (Role::Follower, None) => {
                tracing::info!(id, term, lost = followed, suppressed, "became follower, knows no leader");
            }
        }
    }

    /// Whether a line may be written now, and how many were not since the last one.
    fn permit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.window.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (self.window, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// How often a line about the space on the disk is written.
const SPACE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Logs that the disk has become full, or has space again.
pub(super) fn log_space(space: DiskSpace) {
    static FULL: LogThrottle = LogThrottle::new(SPACE_LOG_INTERVAL);
    static FREE: LogThrottle = LogThrottle::new(SPACE_LOG_INTERVAL);
    match space {
        DiskSpace::Full => {
            if let Some(suppressed) = FULL.permit() {
                tracing::warn!(suppressed, "the disk is full: writes are refused until there is space again");
            }
        }
        DiskSpace::Free => {
            if let Some(suppressed) = FREE.permit() {
                tracing::info!(suppressed, "the disk has space again");
            }
        }
    }
}

/// Logs that the whole of a snapshot was received.
pub(super) fn log_received(persist: &Persist) {
    static RECEIVED: LogThrottle = LogThrottle::new(Duration::from_secs(1));
    for op in &persist.ops {
        if let Op::Install { snapshot, .. } = op
            && let Some(suppressed) = RECEIVED.permit()
        {
            tracing::info!(index = snapshot.last_index, suppressed, "snapshot received from the leader");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_too_often_are_counted_instead() {
        let mut log = StateLog::new(1);
        assert!((0..LINES_MAX).all(|_| log.permit() == Some(0)));
        assert!((0..7).all(|_| log.permit().is_none()));
        tokio::time::advance(WINDOW).await;
        assert_eq!((log.permit(), log.permit()), (Some(7), Some(0)));
    }
}
