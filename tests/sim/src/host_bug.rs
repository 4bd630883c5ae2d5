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
    /// A node whose folder was wiped has the incarnation that it had before.
    WipedKeepsIncarnation,
    /// A node whose folder was wiped founds a cluster of its own, under the id of the one that it belonged to.
    WipedNodeFounds,
    /// A node believes the list of peers that it is started with over the membership in its log.
    ArgumentsOverLog,
    /// A node starts with the newest membership that it has applied instead of the newest one in its log (the zombie members of
    /// etcd, which had two stores for them).
    MembershipInTwoPlaces,
    /// A node that was admitted to a cluster keeps the cluster's id in memory alone.
    ClusterIdInMemory,
    /// A node that refuses to talk to a candidate is counted as one that votes for it.
    RefusalIsVote,
}

impl HostBug {
    /// Those that need changes of the membership, which are not in [`Self::ALL`].
    pub const MEMBERSHIP: [Self; 6] = [
        Self::WipedKeepsIncarnation,
        Self::WipedNodeFounds,
        Self::ArgumentsOverLog,
        Self::MembershipInTwoPlaces,
        Self::ClusterIdInMemory,
        Self::RefusalIsVote,
    ];

    /// All the others.
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
