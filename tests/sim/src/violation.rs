//! What a run can find to be wrong.

use std::fmt;

/// A promise that the system makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A term has at most one leader.
    OneLeader,
    /// A node votes for at most one candidate of a term, restarts included.
    OneVote,
    /// Two logs that have an entry of one index and term have the same entries up to there.
    LogMatching,
    /// A leader has every entry that was committed in an earlier term.
    LeaderCompleteness,
    /// What a node acknowledges is on its disk, synced.
    DurableAnswer,
    /// What is committed is on the disks of a majority, synced.
    DurableQuorum,
    /// What is committed at an index never changes.
    CommittedForEver,
    /// Terms, and commit indices between restarts, never go back.
    NeverBack,
    /// Nodes that have applied the log up to the same index have the same state.
    EqualReplicas,
    /// A command is applied once, and never if somebody was told that it is in no log.
    AppliedOnce,
    /// A read sees everything that was committed when it was asked for.
    FreshReads,
    /// The clients' histories are linearizable.
    Linearizable,
    /// A disk gives back what was synced, and of the rest a prefix.
    Storage,
    /// Once faults have ended there is a leader, and commands are committed and applied everywhere.
    Liveness,
    /// A configuration follows a committed one, in a term in which the leader has committed an entry, and every two quorums of the
    /// two share a node with its folder.
    OneChange,
    /// A leader is a voter of its own newest configuration, with its folder, and has the votes of a quorum of it.
    ElectedByVoters,
    /// A node goes by the newest configuration in its log, and snapshots name the one after their last entry.
    NewestConfiguration,
    /// What belongs to one cluster is in the logs of no other.
    ClustersApart,
    /// Nodes do not drown each other in messages.
    NoStorm,
    /// One client at a time holds the lock, with tokens that rise.
    MutualExclusion,
    /// A node ends only when it is made to.
    StaysUp,
    /// The bar of a scenario.
    Bar,
    /// The code's own assertions hold.
    NoPanic,
}

impl Rule {
    /// What the rule is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneLeader => "one leader a term",
            Self::OneVote => "one vote a term",
            Self::LogMatching => "log matching",
            Self::LeaderCompleteness => "leader completeness",
            Self::DurableAnswer => "acknowledged when durable",
            Self::DurableQuorum => "committed on a durable quorum",
            Self::CommittedForEver => "committed for ever",
            Self::NeverBack => "never back",
            Self::EqualReplicas => "equal replicas",
            Self::AppliedOnce => "applied once",
            Self::FreshReads => "fresh reads",
            Self::Linearizable => "linearizable",
            Self::Storage => "storage keeps what it synced",
            Self::Liveness => "liveness",
            Self::OneChange => "one change at a time",
            Self::ElectedByVoters => "elected by voters",
            Self::NewestConfiguration => "newest configuration",
            Self::ClustersApart => "clusters apart",
            Self::NoStorm => "no storm of messages",
            Self::MutualExclusion => "mutual exclusion",
            Self::StaysUp => "nodes stay up",
            Self::Bar => "bar",
            Self::NoPanic => "an assertion of the code",
        }
    }
}

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// How.
    pub what: String,
}

impl Violation {
    /// A rule, and how it was broken.
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.rule.name(), self.what)
    }
}

impl std::error::Error for Violation {}

/// Ends a step where a rule is broken.
pub(crate) fn ensure(holds: bool, rule: Rule, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
}
