//! What goes into the core and what comes out of it.

mod change;

use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, Command, Entry, Index, InstallSnapshotArgs, InstallSnapshotReply,
    Membership, NodeId, Round, SnapshotBytes, SnapshotMeta, Term, TimeoutNowArgs, TimeoutNowReply, VoteArgs,
    VoteReply,
};

pub use change::{Change, ChangeRefusal, Changed};

/// A time, in microseconds since an origin that the host chooses and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A time that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time so many microseconds later.
    #[must_use]
    pub fn after_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }
}

/// Names a request that waits for its answer, or a read; the host chooses it.
pub type Token = u64;

/// Counts what the host was told to persist; all of it is one ordered stream.
pub type Position = u64;

/// A message that wants an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `raft.pre_vote`.
    PreVote(VoteArgs),
    /// `raft.request_vote`.
    Vote(VoteArgs),
    /// `raft.append_entries`.
    Append(AppendEntriesArgs),
    /// `raft.install_snapshot`. As the core sends it, it has no bytes: see [`Effects::requests`].
    Snapshot(InstallSnapshotArgs),
    /// `raft.timeout_now`.
    TimeoutNow(TimeoutNowArgs),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To [`Request::PreVote`].
    PreVote(VoteReply),
    /// To [`Request::Vote`].
    Vote(VoteReply),
    /// To [`Request::Append`].
    Append(AppendEntriesReply),
    /// To [`Request::Snapshot`].
    Snapshot(InstallSnapshotReply),
    /// To [`Request::TimeoutNow`].
    TimeoutNow(TimeoutNowReply),
}

/// Which request it was that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A pre-vote for this term.
    PreVote(Term),
    /// A vote for this term.
    Vote(Term),
    /// Entries of this term and round.
    Append(Term, Round),
    /// A piece of a snapshot, of this term and round.
    Snapshot(Term, Round),
    /// The call to campaign, of this term.
    TimeoutNow(Term),
}

impl Request {
    /// What is needed to report that it failed.
    pub fn sent(&self) -> Sent {
        match self {
            Self::PreVote(args) => Sent::PreVote(args.term),
            Self::Vote(args) => Sent::Vote(args.term),
            Self::Append(args) => Sent::Append(args.term, args.round),
            Self::Snapshot(args) => Sent::Snapshot(args.term, args.round),
            Self::TimeoutNow(args) => Sent::TimeoutNow(args.term),
        }
    }

    /// Whether it brings entries or a piece of a snapshot, so that how long it takes depends on more than the round trip.
    pub fn is_bulk(&self) -> bool {
        match self {
            Self::Append(args) => !args.entries.is_empty(),
            Self::Snapshot(_) => true,
            Self::PreVote(_) | Self::Vote(_) | Self::TimeoutNow(_) => false,
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time of [`Core::next_deadline`](super::Core::next_deadline) has come. Too early is harmless.
    Timeout,
    /// A node of the cluster asks; the answer comes as an effect, perhaps of a later step.
    Request {
        /// Who asks.
        from: NodeId,
        /// Names the request in [`Effects::replies`].
        token: Token,
        /// What it asks.
        request: Request,
    },
    /// A node has answered. Late, repeated and reordered answers are harmless.
    Reply {
        /// Who answers.
        from: NodeId,
        /// The answer.
        reply: Reply,
    },
    /// There will be no answer. The request may have been received.
    Failed {
        /// Who was asked.
        to: NodeId,
        /// What it was asked.
        sent: Sent,
    },
    /// A node has answered a request that carries neither entries nor a piece of a snapshot, and that took so long. The host
    /// says so before it gives the answer itself.
    RoundTrip {
        /// Who has answered.
        with: NodeId,
        /// From sending to the answer, in microseconds.
        us: u64,
    },
    /// A piece of a snapshot was not sent, since the host does not have that snapshot any more.
    SnapshotGone {
        /// To whom it was to be sent.
        to: NodeId,
        /// Which message it was.
        sent: Sent,
    },
    /// Clients want these commands in the log; see [`Effects::proposed`].
    Propose(Vec<Command>),
    /// A client wants to read; see [`Effects::reads`].
    Read(Token),
    /// Everything up to this position is safe on the disk.
    Durable(Position),
    /// The state as of this index is safe on the disk as a snapshot, so entries up to it can go.
    SnapshotSaved(SnapshotMeta),
    /// What was received of a snapshot is gone from the disk, so the snapshot is wanted from its beginning.
    SnapshotGivenUp,
    /// The disk takes no more entries, or does so again.
    Disk(DiskSpace),
    /// An operator, or a node of the cluster, wants another membership; see [`Effects::changes`].
    Change {
        /// Names the change in [`Effects::changes`].
        token: Token,
        /// What is to change.
        change: Change,
    },
    /// A new cluster begins with this membership, which names this node as a voter. Ignored by a node that has a log, a term or a
    /// membership.
    Found(Membership),
    /// This node is to hand its leadership over, to a certain node or to whoever has most of the log.
    Transfer(Option<NodeId>),
}

/// Whether the disk takes entries. A vote always finds space, in a reserve that the storage keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSpace {
    /// It does.
    Free,
    /// It does not.
    Full,
}

/// What the host must do after a step, in any order. Messages that must wait for the disk are not here yet: the core
/// holds them until [`Input::Durable`] names their position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Write this, after everything that came before, and then say [`Input::Durable`].
    pub persist: Option<Persist>,
    /// Send these. A [`Request::Snapshot`] has no bytes and `last` is false: the host puts in the bytes at its offset.
    pub requests: Vec<(NodeId, Request)>,
    /// Answer these.
    pub replies: Vec<(Token, Reply)>,
    /// What became of [`Input::Propose`].
    pub proposed: Option<Proposed>,
    /// Reads that are decided.
    pub reads: Vec<(Token, ReadOutcome)>,
    /// Changes of the membership that are decided.
    pub changes: Vec<(Token, Changed)>,
    /// What there is to tell to whoever waits or watches.
    pub events: Vec<Event>,
}

/// One step of the ordered stream to the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Persist {
    /// One more than that of the step before.
    pub position: Position,
    /// What to write, in order, and all of it or nothing of it where the disk allows.
    pub ops: Vec<Op>,
}

/// What to write to the disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The term and the vote in it.
    Vote {
        /// The term that the node is in.
        term: Term,
        /// Whom it has voted for in that term.
        voted_for: Option<NodeId>,
    },
    /// Remove the entries from this index on.
    Truncate(Index),
    /// Add entries at the end of the log.
    Append {
        /// The index of the first one, one after the last entry of the log.
        first: Index,
        /// At least one.
        entries: Vec<Entry>,
    },
    /// Keep a piece of a snapshot that is being received. Offset 0 begins anew.
    SnapshotPiece {
        /// Which snapshot.
        snapshot: SnapshotMeta,
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        data: SnapshotBytes,
        /// Whether the snapshot is complete with it.
        last: bool,
    },
    /// The complete received snapshot is the state now. The log keeps the entries after it, or has none any more.
    Install {
        /// Which snapshot.
        snapshot: SnapshotMeta,
        /// Whether the entries after it are kept.
        keep_suffix: bool,
    },
    /// Entries up to this one, the index and its term, are no longer needed.
    Compact {
        /// The last entry that goes.
        index: Index,
        /// The term of that entry.
        term: Term,
    },
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// The commands are in this node's log, the first one at this index, and may be committed.
    Accepted {
        /// The index of the first command.
        first: Index,
        /// The term that the entries carry. An entry of another term at their index is another entry.
        term: Term,
    },
    /// The commands are in no log and never will be.
    Refused(Refusal),
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Whoever has applied the log up to this index sees everything that was committed when the read was asked for.
    Ready(Index),
    /// It cannot be answered here.
    Refused(Refusal),
}

/// Why a proposal or a read was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead; the node that does, if it is known.
    NotLeader(Option<NodeId>),
    /// This node is handing its leadership over.
    Transferring,
    /// Too much is under way: [`Options::uncommitted_bytes_max`](super::Options::uncommitted_bytes_max) or
    /// [`Options::reads_max`](super::Options::reads_max).
    TooMuch,
    /// The disk is full.
    DiskFull,
}

/// What a node has done, for whoever waits or watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The role has changed, the term, or the leader that this node follows.
    State {
        /// What the node is now.
        role: Role,
        /// Its term.
        term: Term,
        /// The leader of that term, if it is known.
        leader: Option<NodeId>,
    },
    /// The newest membership of this node's log is another one, committed or not, or is known to be committed by now; see
    /// [`Core::membership`](super::Core::membership).
    Membership,
    /// A node has less of the log than it has acknowledged: its disk has lost data.
    LostData(NodeId),
    /// The leader has another entry at this index than the one that this node knows to be committed. One of the two has lost
    /// data; this node cannot follow any more.
    Contradicted {
        /// Where.
        index: Index,
    },
    /// Entries up to this index are committed.
    Committed(Index),
    /// The entries from this index on were removed from this node's log. They were not committed; but where another node
    /// has them they may still be, so whoever waits for one of them has learned nothing.
    Truncated(Index),
}

/// What a node is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether an election would be won.
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// What a node finds on its disk when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The term it was in; 0 on an empty disk.
    pub term: Term,
    /// Whom it has voted for in that term.
    pub voted_for: Option<NodeId>,
    /// The newest complete snapshot.
    pub snapshot: Option<SnapshotMeta>,
    /// The index before the first entry: the last one compacted, at most that of the snapshot.
    pub base_index: Index,
    /// The term of the entry at `base_index`.
    pub base_term: Term,
    /// The entries after `base_index`. Where there is a snapshot, they reach at least to its last index, or `base_index`
    /// is that index.
    pub entries: Vec<Entry>,
}
