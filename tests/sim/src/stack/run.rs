//! A run of whole nodes, from faults to calm, and what must hold then.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use traitwire::KvClient;
use traitwire_kv::bugs::{self, ServiceBug};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_raft::machine::KvMachine;
use traitwire_kv::kv_raft::rsm::{StateMachine, WAIT_MAX};
use traitwire_kv::kv_single::client::SingleKvClient;

use super::book::Book;
use super::load::{Client, Contest, Way, Work, key};
use super::plan::StackPlan;
use super::world::World;
use crate::trace::Trace;
use crate::violation::{Rule, Violation, ensure};

/// How long clients may take to end their last calls, once all is well again.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How long nodes may take to come to the same.
const CONVERGE_MAX: Duration = Duration::from_secs(20);
/// How long it may take until a node leads.
const ELECTION_MAX: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// How long the run was in the time of the cluster.
    pub simulated_us: u64,
    /// How many calls went over the network, those between nodes included.
    pub rpcs: u64,
    /// How many calls clients made.
    pub calls: u64,
    /// How many of them were told `Maybe`.
    pub maybes: u64,
    /// How many of them were told nothing definite.
    pub unknown: u64,
    /// How often the lock was held.
    pub lock_cycles: u64,
    /// A number that is the same whenever the same happened.
    pub trace: u64,
    /// The last lines of what happened, if they were wanted.
    pub lines: Vec<String>,
}

/// What came of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// How many runs there were, and how many of them broke a rule.
    pub runs: u64,
    /// How many of them broke a rule.
    pub violations: u64,
    /// See [`Outcome`].
    pub simulated_us: u64,
    /// See [`Outcome`].
    pub rpcs: u64,
    /// See [`Outcome`].
    pub calls: u64,
    /// See [`Outcome`].
    pub maybes: u64,
    /// See [`Outcome`].
    pub unknown: u64,
    /// See [`Outcome`].
    pub lock_cycles: u64,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.violations += u64::from(outcome.violation.is_some());
        self.simulated_us += outcome.simulated_us;
        self.rpcs += outcome.rpcs;
        self.calls += outcome.calls;
        self.maybes += outcome.maybes;
        self.unknown += outcome.unknown;
        self.lock_cycles += outcome.lock_cycles;
    }

    /// The same as JSON, for runs that took so many seconds.
    pub fn json(&self, seconds: f64) -> serde_json::Value {
        let hours = Duration::from_micros(self.simulated_us).as_secs_f64() / 3_600.0;
        serde_json::json!({
            "seeds": self.runs,
            "violations": self.violations,
            "rpcs": self.rpcs,
            "calls": self.calls,
            "maybes": self.maybes,
            "unknown": self.unknown,
            "lock_cycles": self.lock_cycles,
            "rpcs_per_s": (self.rpcs as f64 / seconds).round(),
            "cluster_hours_per_min": (hours / (seconds / 60.0) * 10.0).round() / 10.0,
        })
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { runs, violations, simulated_us, rpcs, calls, maybes, unknown, lock_cycles } = self;
        let simulated = Duration::from_micros(*simulated_us).as_secs();
        write!(
            formatter,
            "{runs} runs, {violations} broke a rule; {simulated} s of a cluster, {rpcs} RPCs, {calls} calls of clients \
            ({maybes} maybe, {unknown} without an answer), the lock held {lock_cycles} times"
        )
    }
}

/// Runs a plan, and remembers the last part of what happened in lines if they are wanted.
pub fn run_plan(plan: &StackPlan, with_lines: bool) -> Outcome {
    in_virtual_time(plan.seed, async {
        let trace = if with_lines { Trace::readable() } else { Trace::brief() };
        let book = Book::new(trace);
        let contest = Arc::new(Contest::default());
        let (result, rpcs) = match World::new(plan.clone(), book.clone()) {
            Ok(mut world) => (run(&mut world, &contest).await, world.net.calls()),
            Err(violation) => (Err(violation), 0),
        };
        // What clients saw says more than that somebody waits for ever.
        // A copy of a call can be executed although the call itself was refused for good.
        let promises_hold = plan.in_front.duplicate == 0;
        let violation = book.check(promises_hold).and(result).err();
        let [calls, maybes, unknown] = book.counts();
        let simulated_us = book.now_us();
        let lock_cycles = contest.cycles.load(Ordering::SeqCst);
        let (trace, lines) = book.trace();
        Outcome { violation, simulated_us, rpcs, calls, maybes, unknown, lock_cycles, trace, lines }
    })
}

/// The same with a bug.
pub fn run_with_bug(plan: &StackPlan, bug: ServiceBug, with_lines: bool) -> Outcome {
    bugs::seed(Some(bug));
    let outcome = run_plan(plan, with_lines);
    bugs::seed(None);
    outcome
}

/// Runs something in one thread, whose clock stands still while anything can be done, and whose lots are drawn by `seed`.
pub(super) fn in_virtual_time<T>(seed: u64, run: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O asks nothing of the system").block_on(run)
}

async fn run(world: &mut World, contest: &Arc<Contest>) -> Result<(), Violation> {
    let end = Instant::now() + Duration::from_micros(world.plan.busy_us);
    let mut working = begin_work(world, contest, end);
    world.go_wrong().await?;
    world.calm_down().await?;
    let drained = tokio::time::timeout(DRAIN_MAX, async {
        while let Some(ended) = working.join_next().await {
            ended.map_err(|panic| Violation::new(Rule::NoPanic, panic.to_string()))?;
        }
        Ok(())
    });
    let late = |_| Err(Violation::new(Rule::Liveness, format!("a client still waits after {DRAIN_MAX:?}")));
    drained.await.unwrap_or_else(late)?;
    converge(world).await?;
    read_all(world).await;
    nobody_waits(world).await
}

/// Lets all clients work.
fn begin_work(world: &World, contest: &Arc<Contest>, end: Instant) -> JoinSet<()> {
    let StackPlan { nodes, clients, single_clients, lock_clients, keys, think_us, seed, .. } = world.plan;
    let work = Work { keys, think_us, end };
    let mut random = fastrand::Rng::with_seed(!seed);
    let mut working = JoinSet::new();
    for number in 1..=clients + single_clients + lock_clients {
        let id = nodes + number;
        let book = world.book.clone();
        if number > clients + single_clients {
            // Every other one knows one node alone, so that it is told `Maybe` at times.
            let kv: Arc<dyn KvClient> = if number.is_multiple_of(2) {
                Arc::new(cluster_client(world, id))
            } else {
                Arc::new(single_client(world, id, random.u64(1..=nodes)))
            };
            let contest = contest.clone();
            working.spawn(async move { contest.contend(kv, &book, end).await });
            continue;
        }
        let way = if number <= clients {
            Way::Cluster(cluster_client(world, id))
        } else {
            Way::Single(single_client(world, id, random.u64(1..=nodes)))
        };
        let client = Client { id, way, book };
        let random = random.fork();
        working.spawn(async move { client.work(work, random).await });
    }
    working
}

fn cluster_client(world: &World, id: u64) -> ClusterKvClient {
    ClusterKvClient::over((1..=world.plan.nodes).map(|node| world.net.client(id, None, node)))
}

fn single_client(world: &World, id: u64, node: u64) -> SingleKvClient {
    SingleKvClient::new(world.net.client(id, None, node))
}

/// All nodes come to the same index, and to the same state there.
pub(super) async fn converge(world: &World) -> Result<(), Violation> {
    world.leader_besides(&[], ELECTION_MAX).await?;
    let end = Instant::now() + CONVERGE_MAX;
    let nodes = || (1..=world.plan.nodes).filter_map(|id| world.rsm(id));
    loop {
        let committed = nodes().map(|rsm| rsm.raft().status().commit_index).max();
        let applied: BTreeSet<_> = nodes().map(|rsm| rsm.applied_index()).collect();
        if applied.len() == 1 && applied.last() == committed.as_ref() {
            break;
        }
        ensure(Instant::now() < end, Rule::Liveness, || {
            format!("{committed:?} is committed, and applied is {applied:?}")
        })?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Nothing happens between one look and the next.
    let states: BTreeSet<_> = nodes().map(|rsm| rsm.peek(lines)).collect();
    ensure(states.len() == 1, Rule::EqualReplicas, || format!("{states:?}"))
}

/// The state as sorted lines, one a key.
fn lines(machine: &KvMachine) -> Vec<String> {
    let mut state = String::new();
    machine.snapshot().read_to_string(&mut state).expect("a snapshot of this machine is text in memory");
    let mut lines: Vec<_> = state.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Reads all keys once more: what was acknowledged is still there.
async fn read_all(world: &World) {
    let id = world.plan.nodes + world.plan.all_clients();
    let client = Client { id, way: Way::Cluster(cluster_client(world, id)), book: world.book.clone() };
    for place in 0..world.plan.keys {
        client.get(&key(place)).await;
    }
}

/// Nothing is left of those who have gone.
async fn nobody_waits(world: &World) -> Result<(), Violation> {
    for id in 1..=world.plan.nodes {
        let end = Instant::now() + WAIT_MAX;
        let waiting = || world.rsm(id).map_or(0, |rsm| rsm.waiting());
        while waiting() > 0 {
            ensure(Instant::now() <= end, Rule::Liveness, || {
                format!("{} commands still wait at node {id}", waiting())
            })?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
