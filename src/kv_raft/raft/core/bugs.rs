//! Bugs that implementations of Raft have had, to be switched on one at a time: whoever tests the algorithm can see
//! whether the tests would have found them. Without the feature `bugs` none of them can be reached.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A leader commits entries of earlier terms by counting (Raft, figure 8).
    CommitOldTermByCounting,
    /// A leader counts itself before its own disk has the entries.
    CountSelfBeforeDurable,
    /// A leader takes the next index to send for what a follower has.
    MatchFromNext,
    /// A leader believes replies of earlier terms.
    BelieveOldReplies,
    /// A vote is answered before it is durable.
    AnswerVoteBeforeDurable,
    /// Entries are acknowledged before they are durable.
    AnswerAppendBeforeDurable,
    /// A heartbeat is acknowledged up to the entry before it, durable or not.
    AnswerHeartbeatBeforeDurable,
    /// A second candidate gets the vote of the same term.
    VoteTwice,
    /// The disk gets the term without the vote.
    ForgetVote,
    /// The vote of the term before is kept in a new one.
    KeepVoteInNewTerm,
    /// Logs are compared by their length alone.
    CompareLogsByLength,
    /// Logs are compared by their last term alone.
    CompareLogsByTerm,
    /// A follower cuts its log after what a message brings, with or without a conflict.
    TruncateWithoutConflict,
    /// A follower commits up to its last entry instead of the last one that the leader vouched for.
    CommitByLastIndex,
    /// A message without entries is taken as a success, whatever comes before it.
    HeartbeatSkipsPrevCheck,
    /// A message is taken as a success if the log is long enough, whatever the terms.
    SkipPrevTermCheck,
    /// A leader answers reads without asking whether it still leads.
    ReadWithoutQuorum,
    /// A leader that has committed nothing in its term answers reads with what it knows.
    ReadBeforeOwnCommit,
    /// A leader takes any answer, also to an earlier message, as confirmation of a read.
    ReadConfirmedByOldRound,
    /// A snapshot replaces a newer state.
    InstallOldSnapshot,
    /// A snapshot removes the entries after it, although they fit.
    DropSuffixOnInstall,
    /// A snapshot leaves entries after it that do not fit.
    KeepSuffixOnInstall,
    /// A snapshot is reported as installed before it is durable.
    AnswerInstallBeforeDurable,
    /// A new leader writes no entry of its own, so that earlier ones wait for the next command.
    NoBlankEntry,
    /// Any request for a vote restarts the election timer.
    RestartTimerOnAnyVoteRequest,
    /// Votes are given while the leader is alive, and asked for without asking first.
    NoStickiness,
    /// A leader that reaches nobody goes on leading.
    NoCheckQuorum,
    /// A failed message waits for the next heartbeat.
    NoRetry,
    /// A late piece of an older snapshot restarts the transfer of a newer one.
    LatePieceRestarts,
    /// A snapshot is named after entries that are committed, but not yet on this node's own disk.
    SnapshotAheadOfDisk,
    /// Learners count in majorities.
    LearnersCount,
    /// While the voters change, a majority of the new ones is enough.
    CountOnlyNewMajority,
    /// A leader leaves a joint configuration before it is committed.
    LeaveJointBeforeCommit,
    /// A leader never leaves a joint configuration.
    NeverLeaveJoint,
    /// A leader changes the membership before it has committed an entry of its own term (Ongaro's note of 2015).
    ChangeWithoutOwnTerm,
    /// A leader begins a change while another one is not committed.
    SecondChangeDuringFirst,
    /// A node campaigns although no committed membership is known to name it.
    CampaignOnUncommittedMembership,
    /// A node goes by the newest membership that is committed, not by the newest one in its log.
    UseCommittedMembership,
    /// A member that comes back with an empty folder stays a voter.
    RejoinKeepsVoter,
    /// A membership stays in force when its entry is removed from the log.
    ForgetMembershipOnTruncate,
    /// A snapshot names the newest membership, not the one after its last entry.
    SnapshotWithNewestMembership,
    /// A message for, or from, another incarnation is taken.
    AcceptOtherIncarnation,
    /// A message of another cluster is taken.
    AcceptOtherCluster,
    /// A leader that was removed goes on leading.
    RemovedLeaderStays,
}

impl Bug {
    /// Those of changes of the membership, which are not in [`Self::ALL`].
    pub const MEMBERSHIP: [Self; 14] = [
        Self::LearnersCount,
        Self::CountOnlyNewMajority,
        Self::LeaveJointBeforeCommit,
        Self::NeverLeaveJoint,
        Self::ChangeWithoutOwnTerm,
        Self::SecondChangeDuringFirst,
        Self::CampaignOnUncommittedMembership,
        Self::UseCommittedMembership,
        Self::RejoinKeepsVoter,
        Self::ForgetMembershipOnTruncate,
        Self::SnapshotWithNewestMembership,
        Self::AcceptOtherIncarnation,
        Self::AcceptOtherCluster,
        Self::RemovedLeaderStays,
    ];

    /// All the others.
    pub const ALL: [Self; 30] = [
        Self::CommitOldTermByCounting,
        Self::CountSelfBeforeDurable,
        Self::MatchFromNext,
        Self::BelieveOldReplies,
        Self::AnswerVoteBeforeDurable,
        Self::AnswerAppendBeforeDurable,
        Self::AnswerHeartbeatBeforeDurable,
        Self::VoteTwice,
        Self::ForgetVote,
        Self::KeepVoteInNewTerm,
        Self::CompareLogsByLength,
        Self::CompareLogsByTerm,
        Self::TruncateWithoutConflict,
        Self::CommitByLastIndex,
        Self::HeartbeatSkipsPrevCheck,
        Self::SkipPrevTermCheck,
        Self::ReadWithoutQuorum,
        Self::ReadBeforeOwnCommit,
        Self::ReadConfirmedByOldRound,
        Self::InstallOldSnapshot,
        Self::DropSuffixOnInstall,
        Self::KeepSuffixOnInstall,
        Self::AnswerInstallBeforeDurable,
        Self::NoBlankEntry,
        Self::RestartTimerOnAnyVoteRequest,
        Self::NoStickiness,
        Self::NoCheckQuorum,
        Self::NoRetry,
        Self::LatePieceRestarts,
        Self::SnapshotAheadOfDisk,
    ];
}
