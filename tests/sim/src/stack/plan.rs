//! What a run of whole nodes is.

use super::world::FaultKind;
use crate::network::{Profile, Span};
use crate::plan::SECOND_US;

/// What a run is.
#[derive(Clone, Debug)]
pub struct StackPlan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u64,
    /// How the network between nodes treats messages while there are faults.
    pub between: Profile,
    /// The same between clients and nodes.
    pub in_front: Profile,
    /// Which faults there are, each as often as it stands here.
    pub faults: Vec<FaultKind>,
    /// How long it is from one fault to the next.
    pub fault_gap_us: Span,
    /// How long faults go on, and clients ask.
    pub busy_us: u64,
    /// Clients of the cluster.
    pub clients: u64,
    /// Clients of one node each, which know nothing of clusters.
    pub single_clients: u64,
    /// Clients that contend for one lock.
    pub lock_clients: u64,
    /// How many keys the clients share.
    pub keys: u64,
    /// How long a client waits after a call before the next one.
    pub think_us: Span,
    /// After how many bytes of log a snapshot is taken; 0 for never.
    pub snapshot_log_bytes: usize,
    /// How many entries stay in the log after a snapshot.
    pub trailing_entries: u64,
}

/// A scenario with a name.
pub struct Row {
    /// What it is called in the table of scenarios.
    pub id: &'static str,
    nodes: u64,
    profile: Profile,
    faults: &'static [FaultKind],
    clients: u64,
    lock_clients: u64,
    keys: u64,
    snapshots: bool,
}

use FaultKind::{
    CutOneWay, Halves, Heal, Isolate, IsolateLeader, Kill, KillAll, KillLeader, PowerLossAtWrite,
};

const CRASHES: &[FaultKind] = &[Kill, Kill, KillLeader, PowerLossAtWrite, KillAll];
const PARTITIONS: &[FaultKind] = &[Halves, Halves, Isolate, IsolateLeader, CutOneWay, Heal];
const BOTH: &[FaultKind] =
    &[Kill, KillLeader, PowerLossAtWrite, KillAll, Halves, Halves, IsolateLeader, Heal];
const CHAOS: &[FaultKind] = &[Kill, KillLeader];

const fn row(id: &'static str, nodes: u64, profile: Profile, faults: &'static [FaultKind]) -> Row {
    Row { id, nodes, profile, faults, clients: 0, lock_clients: 0, keys: 4, snapshots: false }
}

impl Row {
    const fn clients(self, clients: u64) -> Self {
        Self { clients, ..self }
    }

    const fn locks(self, lock_clients: u64) -> Self {
        Self { lock_clients, ..self }
    }

    const fn keys(self, keys: u64) -> Self {
        Self { keys, ..self }
    }

    const fn snapshots(self) -> Self {
        Self { snapshots: true, ..self }
    }

    /// The scenario with everything that is left to chance decided by `seed`.
    pub fn plan(&self, seed: u64) -> StackPlan {
        let is_chaos = self.faults == CHAOS;
        StackPlan {
            nodes: self.nodes,
            between: self.profile,
            in_front: self.profile,
            faults: self.faults.to_vec(),
            fault_gap_us: if is_chaos { Span::new(25_000, 100_000) } else { Span::new(100_000, 1_500_000) },
            busy_us: 8 * SECOND_US,
            clients: self.clients,
            lock_clients: self.lock_clients,
            keys: self.keys,
            snapshot_log_bytes: if self.snapshots { 1_000 } else { 0 },
            ..StackPlan::calm(seed)
        }
    }
}

/// The scenarios of the replicated store, its lock and its snapshots.
pub const ROWS: &[Row] = &[
    row("V1", 5, Profile::REL, &[]).clients(5),
    row("V2", 3, Profile::REL, &[KillLeader]).clients(1),
    row("V3", 5, Profile::REL, &[KillAll]).clients(1),
    row("V7", 5, Profile::U50, &[]).clients(5),
    row("V8", 5, Profile::REL, PARTITIONS).clients(5),
    row("V9", 5, Profile::REL, CRASHES).clients(5),
    row("V10", 5, Profile::REL, BOTH).clients(3),
    row("V12 with a tenth lost", 5, Profile::U10, CRASHES).clients(5),
    row("V12 with half lost", 5, Profile::U50, CRASHES).clients(5),
    row("V13", 5, Profile::U10, BOTH).clients(5),
    row("V14", 7, Profile::U10, BOTH).clients(15).keys(100),
    row("V16", 5, Profile::REL, &[]).locks(5),
    row("V17", 5, Profile::REL, &[]).locks(32),
    row("V18", 5, Profile::U50, &[]).locks(2),
    row("V19", 5, Profile::U50, &[]).locks(8),
    row("V20", 5, Profile::REL, CHAOS).locks(2),
    row("V21", 5, Profile::REL, &[KillLeader]).locks(2),
    row("V22", 5, Profile::U50, CHAOS).locks(4),
    row("C8", 3, Profile::REL, PARTITIONS).clients(3).snapshots(),
    row("C11 with loss", 5, Profile::U10, &[]).clients(20).snapshots(),
    row("C11 with loss and crashes", 5, Profile::U10, CRASHES).clients(20).snapshots(),
    row("C12", 7, Profile::U10, BOTH).clients(15).keys(100).snapshots(),
    row("X6 with what comes twice", 5, Profile::DUP, BOTH).clients(5).locks(2),
    row("X6 with what comes late", 5, Profile::REO, BOTH).clients(5).locks(2),
];

impl StackPlan {
    /// How many clients there are, with the one that looks at the end.
    pub(super) fn all_clients(&self) -> u64 {
        self.clients + self.single_clients + self.lock_clients + 1
    }

    /// Three nodes without load and without faults.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            nodes: 3,
            between: Profile::REL,
            in_front: Profile::REL,
            faults: Vec::new(),
            fault_gap_us: Span::new(SECOND_US, SECOND_US),
            busy_us: SECOND_US,
            clients: 0,
            single_clients: 0,
            lock_clients: 0,
            keys: 4,
            think_us: Span::new(1_000, 20_000),
            snapshot_log_bytes: 0,
            trailing_entries: 10,
        }
    }

    /// What a seed draws.
    pub fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes = pick(&mut random, &[1, 3, 3, 3, 5, 5, 7]);
        let between = Profile::draw(&mut random);
        let in_front = if random.bool() { between } else { Profile::draw(&mut random) };
        let mut faults: Vec<_> = FaultKind::ALL.into_iter().filter(|_| random.u8(0..3) > 0).collect();
        if random.u8(0..8) == 0 {
            faults.clear();
        }
        let gap_max = pick(&mut random, &[100_000, 500_000, 2_000_000]);
        Self {
            seed,
            nodes,
            between,
            in_front,
            faults,
            fault_gap_us: Span::new(gap_max / 10, gap_max),
            busy_us: random.u64(2..10) * SECOND_US,
            clients: random.u64(1..8),
            single_clients: random.u64(0..4),
            lock_clients: pick(&mut random, &[0, 0, 2, 5]),
            keys: pick(&mut random, &[1, 3, 20]),
            think_us: Span::new(0, pick(&mut random, &[2_000, 20_000, 100_000])),
            snapshot_log_bytes: pick(&mut random, &[0, 1_000, 10_000]),
            trailing_entries: pick(&mut random, &[0, 10, 1_000]),
        }
    }
}

fn pick<T: Copy>(random: &mut fastrand::Rng, of: &[T]) -> T {
    *random.choice(of.iter()).expect("there are some")
}
