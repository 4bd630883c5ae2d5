//! Bugs of what surrounds the algorithm: its host, its storage and its disk. The bugs of the algorithm itself are beside it.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostBug {
    /// The core hears that its changes are durable when their sync begins.
    ConfirmBeforeSync,
    /// A sync that failed is taken for one that did not.
    IgnoreFailedSync,
    /// The disk does nothing when it is told to sync a file.
    DiskIgnoresSync,
    /// The disk does nothing when it is told to sync names.
    DiskIgnoresNameSync,
    /// The core hears that a snapshot is saved when its saving begins.
    SnapshotReportedEarly,
    /// A node that starts does not know whom it has voted for.
    RestartWithoutVote,
    /// A node that starts does not know its term.
    RestartWithoutTerm,
    /// An answer is taken for one of another node.
    ReplyOfAnotherNode,
    /// Whoever waits for an entry that was removed from a log is told that it is in none.
    RemovedMeansNever,
    /// Whoever waits at a node that stops leading is told that the command is in no log.
    NoLeaderMeansNever,
    /// Whoever waits for an index gets the result of whatever is committed there.
    MatchByIndexAlone,
    /// A read is answered before the state is as new as it must be.
    ReadBeforeApplied,
    /// A snapshot leaves out the versions.
    SnapshotWithoutVersions,
    /// A snapshot is named after what is committed instead of what is in it.
    SnapshotNamedAhead,
    /// A snapshot that the core gives to the state machine is passed over.
    SnapshotPassedOver,
    /// Entries are applied as they are appended.
    ApplyBeforeCommitted,
}

impl HostBug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::ConfirmBeforeSync,
        Self::IgnoreFailedSync,
        Self::DiskIgnoresSync,
        Self::DiskIgnoresNameSync,
        Self::SnapshotReportedEarly,
        Self::RestartWithoutVote,
        Self::RestartWithoutTerm,
        Self::ReplyOfAnotherNode,
        Self::RemovedMeansNever,
        Self::NoLeaderMeansNever,
        Self::MatchByIndexAlone,
        Self::ReadBeforeApplied,
        Self::SnapshotWithoutVersions,
        Self::SnapshotNamedAhead,
        Self::SnapshotPassedOver,
        Self::ApplyBeforeCommitted,
    ];
}
