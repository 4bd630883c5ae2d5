//! What keeps a node from taking part in its cluster, for the log, the status and the health checks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::services::raft::NodeId;

/// How often at most a problem of one kind is logged whose text changes.
const LOG_INTERVAL: Duration = Duration::from_secs(2);

/// What kind of problem it is. A node has at most one of each; the first one is the one to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The node's log contradicts what its leader has committed.
    Contradiction,
    /// The node is not a member of its cluster any more.
    Expelled,
    /// Members of its cluster say that the node is not one of them.
    Refused,
    /// The node that this one reaches at the URL of a peer belongs to another cluster.
    OtherCluster(NodeId),
    /// The node waits to become a member.
    Waiting,
    /// Another node has lost data that it had acknowledged.
    LostData(NodeId),
}

impl ProblemKind {
    /// Whether an operator must act before this goes away, and the node is of no use until then.
    fn is_error(self) -> bool {
        match self {
            Self::Contradiction | Self::Expelled | Self::Refused | Self::OtherCluster(_) => true,
            Self::Waiting | Self::LostData(_) => false,
        }
    }

    /// Whether it keeps the node itself from taking part. A node with a wrong URL for one peer goes on with the others.
    fn is_own(self) -> bool {
        match self {
            Self::Contradiction | Self::Expelled | Self::Refused | Self::Waiting => true,
            Self::OtherCluster(_) | Self::LostData(_) => false,
        }
    }
}

/// The problems that a node has now. Each is logged when it begins, and when it is reported with another text.
#[derive(Debug, Default)]
pub struct Problems(Mutex<BTreeMap<ProblemKind, Problem>>);

#[derive(Debug)]
struct Problem {
    text: String,
    logged: String,
    logged_at: Instant,
}

impl Problems {
    /// Notes a problem, which takes the place of another one of its kind.
    pub fn report(&self, id: NodeId, kind: ProblemKind, text: String) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(problem) = problems.get_mut(&kind) {
            let is_logged = problem.logged == text || now.duration_since(problem.logged_at) < LOG_INTERVAL;
            problem.text.clone_from(&text);
            if is_logged {
                return;
            }
        }
        if kind.is_error() {
            tracing::error!(id, "{text}");
        } else {
            tracing::warn!(id, "{text}");
        }
        problems.insert(kind, Problem { logged: text.clone(), text, logged_at: now });
    }

    /// Notes that there is no such problem any more. Returns whether there was one.
    pub fn resolve(&self, kind: ProblemKind) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind).is_some()
    }

    /// What keeps this node from taking part.
    pub fn own(&self) -> Option<String> {
        self.texts(ProblemKind::is_own)
    }

    /// All of them, as one text.
    pub fn all(&self) -> Option<String> {
        self.texts(|_| true)
    }

    fn texts(&self, is_wanted: impl Fn(ProblemKind) -> bool) -> Option<String> {
        let problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<_> = problems
            .iter()
            .filter(|(kind, _)| is_wanted(**kind))
            .map(|(_, problem)| problem.text.as_str())
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::{ProblemKind, Problems};

    #[test]
    fn a_problem_is_there_until_it_is_resolved() {
        let problems = Problems::default();
        assert_eq!(problems.all(), None);
        problems.report(1, ProblemKind::Waiting, "waits".to_owned());
        problems.report(1, ProblemKind::Waiting, "waits for 2".to_owned());
        problems.report(1, ProblemKind::LostData(3), "node 3 has lost data".to_owned());
        problems.report(1, ProblemKind::Expelled, "expelled".to_owned());
        assert_eq!(problems.own().as_deref(), Some("expelled; waits for 2"));
        assert_eq!(problems.all().as_deref(), Some("expelled; waits for 2; node 3 has lost data"));
        assert!(problems.resolve(ProblemKind::Expelled) && !problems.resolve(ProblemKind::Expelled));
        assert_eq!(problems.own().as_deref(), Some("waits for 2"));
    }
}
