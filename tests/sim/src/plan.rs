//! What a run is: how many nodes, what network, which faults how often, what load. A seed draws all of it.

use traitwire_kv::bugs::ServiceBug;
use traitwire_kv::kv_raft::raft::core::{Bug, Options};
use traitwire_kv::services::raft::{Membership, NodeId};

pub use crate::change_plan::{ChangePlan, Changes};
use crate::host_bug::HostBug;
use crate::nemesis::Fault;
use crate::network::{Profile, Span};

/// One second.
pub const SECOND_US: u64 = 1_000_000;

/// What a run is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u64,
    /// How the network treats messages while there are faults.
    pub profile: Profile,
    /// Which faults there are, each as often as it stands here.
    pub faults: Vec<Fault>,
    /// How long it is from one fault to the next.
    pub fault_gap_us: Span,
    /// How long faults go on, and clients ask.
    pub busy_us: u64,
    /// What clients do.
    pub load: Load,
    /// How hosts work.
    pub host: HostSettings,
    /// How the cores are set.
    pub core: CoreSettings,
    /// How the membership changes, if it does.
    pub changes: Option<ChangePlan>,
    /// The bug to run with.
    pub bug: Option<SeededBug>,
}

/// A bug to run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeededBug {
    /// One of the algorithm.
    Core(Bug),
    /// One of what surrounds it.
    Host(HostBug),
    /// One of the state machine, the clients or the lock.
    Service(ServiceBug),
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many there are.
    pub clients: u64,
    /// How many keys they share.
    pub keys: u64,
    /// The chance, in thousandths, that a call is a read.
    pub reads: u32,
    /// How long a client waits after a call before the next one.
    pub think_us: Span,
    /// How long it waits for an answer.
    pub patience_us: u64,
}

/// How hosts work.
#[derive(Clone, Copy, Debug)]
pub struct HostSettings {
    /// How long a sync takes.
    pub sync_us: Span,
    /// How long it takes until committed entries are applied.
    pub apply_us: Span,
    /// How late a timer is.
    pub timer_late_us: Span,
    /// After how many entries a snapshot is taken; 0 for never.
    pub snapshot_every: u64,
    /// How long it takes to save one.
    pub save_us: Span,
    /// The bytes of a piece of one, at most.
    pub piece_bytes: usize,
    /// By how many bytes snapshots are longer than the state.
    pub ballast_bytes: usize,
    /// The bytes of a segment of the log.
    pub segment_bytes: u64,
    /// How long a log is idle before its storage is told.
    pub idle_us: u64,
    /// By how much clocks are fast or slow at most, in millionths.
    pub clock_drift: u64,
}

/// How the cores are set, where it is not as usual.
#[derive(Clone, Copy, Debug)]
pub struct CoreSettings {
    /// See [`Options::append_entries_max`].
    pub append_entries_max: usize,
    /// See [`Options::append_bytes_max`].
    pub append_bytes_max: usize,
    /// See [`Options::inflight_appends_max`].
    pub inflight_appends_max: usize,
    /// See [`Options::uncommitted_bytes_max`].
    pub uncommitted_bytes_max: usize,
    /// See [`Options::reads_max`].
    pub reads_max: usize,
    /// See [`Options::trailing_entries`].
    pub trailing_entries: u64,
    /// See [`Options::company_entries`].
    pub company_entries: u64,
}

impl Plan {
    /// A cluster without load and without faults.
    pub fn calm(nodes: u64, seed: u64) -> Self {
        Self {
            seed,
            nodes,
            profile: Profile::REL,
            faults: Vec::new(),
            fault_gap_us: Span::new(SECOND_US, SECOND_US),
            busy_us: 10 * SECOND_US,
            load: Load {
                clients: 0,
                keys: 4,
                reads: 300,
                think_us: Span::new(1_000, 20_000),
                patience_us: SECOND_US,
            },
            host: HostSettings::USUAL,
            core: CoreSettings::usual(),
            changes: None,
            bug: None,
        }
    }

    /// What a seed draws.
    pub fn draw(seed: u64, bug: Option<SeededBug>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x005E_ED0F_91A4);
        let random = &mut random;
        let nodes = pick(random, &[1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 7]);
        let profile = Profile::draw(random);
        let gap_us = pick(random, &[20_000, 50_000, 100_000, 300_000, 1_000_000]);
        let plan = Self {
            seed,
            nodes,
            profile,
            faults: Fault::draw(random),
            fault_gap_us: Span::new(gap_us / 4, 2 * gap_us),
            busy_us: pick(random, &[5, 10, 20]) * SECOND_US,
            load: Load::draw(random),
            host: HostSettings::draw(random),
            core: CoreSettings::draw(random),
            changes: None,
            bug,
        };
        if random.u8(0..8) == 0 { plan.with_short_leaderships(random) } else { plan }
    }

    /// Leaders come and go while their entries are on their way, one at a time (Raft, figure 8).
    fn with_short_leaderships(self, random: &mut fastrand::Rng) -> Self {
        let mut faults =
            vec![Fault::CrashLeader, Fault::CrashLeaderAtSync, Fault::IsolateLeader, Fault::Heal];
        faults.extend([Fault::LeaderInMinority, Fault::CutOneWay, Fault::PauseLeader]);
        faults.retain(|_| random.u8(0..4) > 0);
        faults.push(Fault::Transfer);
        let slow_us = pick(random, &[2_000, 20_000, 80_000]);
        Self {
            nodes: pick(random, &[3, 5, 5, 5]),
            faults,
            fault_gap_us: Span::new(50_000, pick(random, &[300_000, 600_000])),
            profile: Profile { delay_us: Span::new(slow_us / 20, slow_us), ..self.profile },
            load: Load { think_us: Span::new(1_000, 10_000), reads: 100, ..self.load },
            host: HostSettings { sync_us: Span::new(100, slow_us), ..self.host },
            core: CoreSettings { append_entries_max: 1, inflight_appends_max: 1, ..self.core },
            ..self
        }
    }

    pub(crate) fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        1..=self.nodes
    }

    /// The settings of the core of a node for its next life.
    pub(crate) fn options(&self, id: NodeId, seed: u64) -> Options {
        // A cluster that was founded has its membership in its log alone.
        let membership =
            if self.changes.is_some() { Membership::default() } else { Membership::of(self.node_ids()) };
        let mut options = Options::new(id, membership, seed);
        options.piece_bytes_max = self.host.piece_bytes;
        options.append_entries_max = self.core.append_entries_max;
        options.append_bytes_max = self.core.append_bytes_max;
        options.inflight_appends_max = self.core.inflight_appends_max;
        options.uncommitted_bytes_max = self.core.uncommitted_bytes_max;
        options.reads_max = self.core.reads_max;
        options.trailing_entries = self.core.trailing_entries;
        options.company_entries = self.core.company_entries;
        options.bug = match self.bug {
            Some(SeededBug::Core(bug)) => Some(bug),
            Some(SeededBug::Host(_) | SeededBug::Service(_)) | None => None,
        };
        options
    }

    pub(crate) fn has(&self, bug: HostBug) -> bool {
        self.bug == Some(SeededBug::Host(bug))
    }
}

impl Load {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let think_us = pick(random, &[5_000, 20_000, 50_000, 200_000]);
        Self {
            clients: random.u64(1..=8),
            keys: random.u64(1..=8),
            reads: pick(random, &[100, 300, 600]),
            think_us: Span::new(think_us / 8, think_us),
            patience_us: pick(random, &[200_000, 1_000_000, 3_000_000]),
        }
    }
}

impl HostSettings {
    pub(crate) const USUAL: Self = Self {
        sync_us: Span::new(100, 500),
        apply_us: Span::new(0, 50),
        timer_late_us: Span::new(0, 100),
        snapshot_every: 0,
        save_us: Span::new(1_000, 5_000),
        piece_bytes: 1 << 16,
        ballast_bytes: 0,
        segment_bytes: 1 << 16,
        idle_us: 50_000,
        clock_drift: 0,
    };

    fn draw(random: &mut fastrand::Rng) -> Self {
        let sync_us = pick(random, &[500, 2_000, 5_000, 30_000]);
        let apply_us = pick(random, &[0, 100, 3_000, 20_000]);
        Self {
            sync_us: Span::new(100, sync_us),
            apply_us: Span::new(0, apply_us),
            timer_late_us: Span::new(0, pick(random, &[0, 1_000, 10_000])),
            snapshot_every: pick(random, &[0, 2, 5, 15, 50]),
            save_us: Span::new(500, pick(random, &[1_000, 20_000, 300_000])),
            piece_bytes: pick(random, &[16, 50, 200, 1 << 16]),
            ballast_bytes: 0,
            segment_bytes: pick(random, &[1 << 11, 1 << 13, 1 << 15]),
            idle_us: pick(random, &[1_000, 10_000, 100_000]),
            clock_drift: pick(random, &[0, 10_000, 100_000]),
        }
    }
}

impl CoreSettings {
    fn usual() -> Self {
        let options = Options::new(1, Membership::of([1]), 0);
        Self {
            append_entries_max: options.append_entries_max,
            append_bytes_max: options.append_bytes_max,
            inflight_appends_max: options.inflight_appends_max,
            uncommitted_bytes_max: options.uncommitted_bytes_max,
            reads_max: options.reads_max,
            trailing_entries: options.trailing_entries,
            company_entries: options.company_entries,
        }
    }

    fn draw(random: &mut fastrand::Rng) -> Self {
        let usual = Self::usual();
        Self {
            append_entries_max: pick(random, &[1, 2, 8, usual.append_entries_max]),
            append_bytes_max: pick(random, &[50, 200, usual.append_bytes_max, usual.append_bytes_max]),
            inflight_appends_max: pick(random, &[1, 2, 4]),
            uncommitted_bytes_max: pick(random, &[400, 4_000, usual.uncommitted_bytes_max]),
            reads_max: pick(random, &[2, usual.reads_max, usual.reads_max]),
            trailing_entries: pick(random, &[0, 0, 3, 20]),
            company_entries: pick(random, &[0, 2, usual.company_entries]),
        }
    }
}

/// One of several.
pub(crate) fn pick<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())]
}
