//! The cluster under attack: three nodes, 64 clients that behave well, and what both are like while an attacker is at work.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};
use traitwire::{KVError, KvClient};

use crate::DESCRIPTORS_MAX;
use crate::attacks::{Attack, BIG_KEY, BIG_VALUE_BYTES, FORBIDDEN_KEY, MEDIUM_KEY, MEDIUM_VALUE_BYTES};
use crate::common::kv_cluster::{Cluster, drained, load_at, soon};
use crate::wire::Counts;

const NODES: u64 = 3;
const CLIENTS: usize = 64;
const KEYS: usize = 64;
/// How often a client gets and puts. In a window of the default length each client makes fewer than a hundred calls, so that a
/// single stall of all of them shows at the 99th percentile. Without a pace, the calls that a stall prevents would be missing.
const PACE: Duration = Duration::from_millis(60);
/// How long clients work before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long after an attack its effects still count.
const AFTERMATH: Duration = Duration::from_millis(300);
/// How long the nodes are left alone between an attack and a window without one.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the memory of the nodes is read.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// How often a client comes that has no connection yet, and how long its first call may take.
const NEWCOMER_EVERY: Duration = Duration::from_millis(200);
const NEWCOMER_TIME_MAX: Duration = Duration::from_secs(1);
/// How long after its time an attacker may take to report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster with its load.
pub(crate) struct Bed {
    cluster: Cluster,
    load: JoinHandle<u64>,
    is_over: Arc<AtomicBool>,
    leader: u64,
    term: u64,
    resident_bytes: BTreeMap<u64, u64>,
}

/// What an attack did.
pub(crate) struct Attacked {
    pub(crate) latencies: Vec<Duration>,
    /// By how much the memory of a node grew at most.
    pub(crate) growth_bytes: u64,
    pub(crate) attacker: Counts,
    /// What must not have happened, without what is measured.
    pub(crate) faults: Vec<String>,
    /// The same, of what a stall can cause: a machine that other work keeps busy causes stalls too.
    pub(crate) stalls: Vec<String>,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start_exposed(NODES, DESCRIPTORS_MAX).await;
        let leader = cluster.leader().await;
        let clients: Vec<_> = (0..CLIENTS).map(|_| cluster.client()).collect();
        for (key, bytes) in [(BIG_KEY, BIG_VALUE_BYTES), (MEDIUM_KEY, MEDIUM_VALUE_BYTES)] {
            assert_eq!(soon(clients[0].put(key, &"v".repeat(bytes), 0)).await, Ok(()));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let load = {
            let is_over = Arc::clone(&is_over);
            tokio::spawn(load_at(PACE, clients, KEYS, move || is_over.load(Ordering::Relaxed)))
        };
        tokio::time::sleep(WARM_UP).await;
        let statuses = cluster.status(leader).await.expect("the leader answers");
        let mut bed =
            Self { cluster, load, is_over, leader, term: statuses.term, resident_bytes: BTreeMap::new() };
        bed.resident_bytes = bed.memory();
        bed
    }

    /// The latencies of calls while nobody attacks.
    pub(crate) async fn undisturbed(&self, time: Duration) -> Vec<Duration> {
        tokio::time::sleep(PAUSE).await;
        let begin = self.cluster.recorder.now();
        tokio::time::sleep(time).await;
        let end = self.cluster.recorder.now();
        // Calls at the end of the window are let return.
        tokio::time::sleep(AFTERMATH).await;
        self.cluster.recorder.latencies(begin, end)
    }

    /// Attacks for a while.
    pub(crate) async fn attack(&mut self, attack: Attack, time: Duration) -> Attacked {
        let before = self.memory();
        let begin = self.cluster.recorder.now();
        let arguments = self.attacker_arguments(attack, time);
        let mut attacker = std::pin::pin!(run_attacker(&arguments, time));
        let mut growth_bytes = 0;
        let mut samples = tokio::time::interval(SAMPLE_EVERY);
        let mut arrivals = tokio::time::interval(NEWCOMER_EVERY);
        let mut newcomers = JoinSet::new();
        let attacker = loop {
            tokio::select! {
                counts = &mut attacker => break counts,
                _ = samples.tick() => growth_bytes = growth_bytes.max(self.growth(&before)),
                _ = arrivals.tick() => {
                    let client = self.cluster.client();
                    newcomers.spawn(async move {
                        let answer = tokio::time::timeout(NEWCOMER_TIME_MAX, client.get(&key(0))).await;
                        answer.is_ok()
                    });
                }
            }
        };
        tokio::time::sleep(AFTERMATH).await;
        let end = self.cluster.recorder.now();
        growth_bytes = growth_bytes.max(self.growth(&before));
        let latencies = self.cluster.recorder.latencies(begin, end);
        let faults = self.faults();
        let mut stalls = self.changes_of_leader().await;
        let newcomers = newcomers.join_all().await;
        let unanswered = newcomers.iter().filter(|is_answered| !**is_answered).count();
        if unanswered > 0 {
            let count = newcomers.len();
            stalls.push(format!(
                "{unanswered} of {count} new clients were not answered within {NEWCOMER_TIME_MAX:?}"
            ));
        }
        Attacked { latencies, growth_bytes, attacker, faults, stalls }
    }

    fn attacker_arguments(&self, attack: Attack, time: Duration) -> Vec<String> {
        let nodes = self.cluster.nodes.iter();
        let targets: Vec<_> =
            nodes.map(|(id, node)| format!("{id}={}", node.url().trim_start_matches("http://"))).collect();
        let (attack, leader, term) = (attack.name(), self.leader.to_string(), self.term.to_string());
        let seconds = time.as_secs_f64().to_string();
        [
            ("--attacker", attack),
            ("--targets", targets.join(",")),
            ("--leader", leader),
            ("--term", term),
            ("--seconds", seconds),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// The nodes that have ended.
    fn faults(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, node) in &mut self.cluster.nodes {
            if !node.is_running() {
                faults.push(format!("node {id} has ended; {}", node.last_output()));
            }
        }
        faults
    }

    /// The nodes that do not follow the leader of the beginning any more.
    async fn changes_of_leader(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (leader, term) = (self.leader, self.term);
        for id in self.cluster.ids() {
            match self.cluster.status(id).await {
                Some(status) if (status.leader, status.term) == (Some(leader), term) => {}
                Some(status) => faults.push(format!(
                    "node {id} follows {:?} in term {}, not {leader} in term {term}",
                    status.leader, status.term
                )),
                None => faults.push(format!("node {id} does not say what it is")),
            }
        }
        faults
    }

    /// The memory of the nodes that run.
    fn memory(&self) -> BTreeMap<u64, u64> {
        let nodes = self.cluster.nodes.iter();
        nodes.filter_map(|(id, node)| Some((*id, node.resident_bytes()?))).collect()
    }

    fn growth(&self, before: &BTreeMap<u64, u64>) -> u64 {
        let grown = self.memory().into_iter().map(|(id, bytes)| bytes.saturating_sub(before[&id]));
        grown.max().unwrap_or(0)
    }

    /// By how much the memory of a node has grown since the cluster began to serve.
    pub(crate) fn growth_in_all(&self) -> u64 {
        self.growth(&self.resident_bytes)
    }

    /// Ends the load and checks what clients saw, with a last read of every key. A promise that is broken is a panic.
    pub(crate) async fn check(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let puts = drained(self.load, Instant::now()).await;
        assert!(puts > 0, "nothing was written at all");
        let reader = self.cluster.client();
        for key in (0..KEYS).map(key).chain([BIG_KEY, MEDIUM_KEY].map(str::to_owned)) {
            let _recorded = soon(reader.get(&key)).await;
        }
        let forbidden = soon(reader.get(FORBIDDEN_KEY)).await;
        assert_eq!(forbidden, Err(KVError::NoKey), "a request that must be refused has written");
        self.cluster.finish().await;
    }

    /// Gives up a cluster that an attack has harmed.
    pub(crate) fn abandon(self) {
        self.load.abort();
    }
}

/// The keys of the load.
fn key(number: usize) -> String {
    format!("k{number}")
}

/// The value at a percentile of sorted values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

/// Runs this program as an attacker, with as many descriptors as it may have, and gives what it reports.
async fn run_attacker(arguments: &[String], time: Duration) -> Counts {
    let program = std::env::current_exe().expect("a test is a program");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(time + REPORT_TIMEOUT, output).await.expect("an attacker ends in time");
    let output = output.expect("this program can be started").stdout;
    serde_json::from_slice(&output)
        .unwrap_or_else(|error| panic!("{error} in the attacker's {:?}", String::from_utf8_lossy(&output)))
}
