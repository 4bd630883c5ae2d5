//! Bugs that replicated state machines, their clients and locks have had, to be switched on one at a time: whoever tests them
//! can see whether the tests would have found them. Without the feature `bugs` none of them can be reached.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceBug {
    /// The ids of entries are few, so that two commands that wait can have the same one.
    IdsCollide,
    /// A node that stops leading tells those who wait that their commands are in no log.
    DeposedMeansNever,
    /// A read is answered from the state of any node that thinks it leads.
    ReadWithoutAsking,
    /// A read is answered before what it must see is applied.
    ReadTooEarly,
    /// A command that comes again with its ticket is run again.
    TicketRunsTwice,
    /// A snapshot does not hold the sessions.
    SnapshotWithoutSessions,
    /// A node passes a call on once more although the first copy may have been executed.
    PassOnAgain,
    /// A client takes a new ticket each time it sends a command again.
    TicketPerTry,
    /// A client says of a put what the answer to its last copy says.
    MaybeAsVersion,
    /// A client whose time is over says what it knows of the last copy alone.
    LastErrorCounts,
    /// Who asks for a lock takes `Maybe` for success.
    LockBelievesMaybe,
    /// Who frees a lock and is told `Maybe` writes once more, under the version that is there now.
    LockFreedByForce,
}

impl ServiceBug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::IdsCollide,
        Self::DeposedMeansNever,
        Self::ReadWithoutAsking,
        Self::ReadTooEarly,
        Self::TicketRunsTwice,
        Self::SnapshotWithoutSessions,
        Self::PassOnAgain,
        Self::TicketPerTry,
        Self::MaybeAsVersion,
        Self::LastErrorCounts,
        Self::LockBelievesMaybe,
        Self::LockFreedByForce,
    ];
}

#[cfg(feature = "bugs")]
std::thread_local! {
    static SEEDED: std::cell::Cell<Option<ServiceBug>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on for this thread, or all of them off.
#[cfg(feature = "bugs")]
pub fn seed(bug: Option<ServiceBug>) {
    SEEDED.set(bug);
}

/// Whether to behave like this.
#[cfg(feature = "bugs")]
pub(crate) fn has(bug: ServiceBug) -> bool {
    SEEDED.get() == Some(bug)
}

/// Without the feature `bugs` there is none.
#[cfg(not(feature = "bugs"))]
pub(crate) const fn has(_: ServiceBug) -> bool {
    false
}
