//! A round: clients work while something goes wrong; then all is healed, the nodes must agree, and the record must be one
//! that a single store could have given, from what the round before left in it.
//!
//! The keys are a ring that is written once before the first round, so that the store does not grow. A round works on a part
//! of it, and in the end reads all of it: a key that nobody has written since must be as it was, however long ago that is,
//! and what is read is where the next round's record begins. That is sound since every call of a round has ended by then,
//! and an ended put takes no effect later: the version that it names is past.
//!
//! A round has preconditions: without a snapshot and a put it would show little. Clients therefore work until both have
//! happened, within a bound. A round that does not get there is [`Unmet`], which is not a broken promise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::JoinSet;
use traitwire::{KVError, KvClient, RpcClient, Version};
use traitwire_checker::{History, Input, Operation, Outcome};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::lock::Lock;
use traitwire_kv::services::rsm::StatusReply;

use crate::common::contention::contend;
use crate::common::history::{RecordedClient, Recorder};
use crate::common::kv_cluster::{Cluster, drained};
use crate::common::network::NetworkConfig;
use crate::common::wait::promised;
use crate::scenario::Scenario;

const NODES: u64 = 5;
/// Clients of the whole cluster that work on keys; the first of them also fight for the lock.
const CLIENTS: usize = 7;
const CONTENDERS: usize = 3;
/// What the record calls the client of a single node.
const PLAIN_CLIENT: u64 = 100;
/// The keys of the ring, and how many of them a round works on.
const KEYS: u64 = 192;
const KEYS_PER_ROUND: u64 = 16;
const VALUE_BYTES: usize = 400;
/// How long a log a node keeps before it takes a snapshot, at least. It takes one after up to four times as much, since the
/// state is larger than this.
const SNAPSHOT_LOG_BYTES: &str = "5000";
/// How long clients go on working, once the time of a round is over, until a snapshot has been taken.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);
/// The key of the lock.
const LOCK: &str = "lock";
/// How many keys are read at once when all of them are.
const READERS: usize = 16;
/// How long what is not needed any more may stay on the disk.
const TIDY_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a node keeps on its disk at most: the segment of the log in use, the one prepared, one that is about to go, each as
/// long as a segment is, and as much again as two snapshots of this state could need.
const DATA_BYTES_MAX: u64 = 3 * (8 << 20) + 2 * (1 << 20);

/// What a key holds.
type Held = (String, Version);

/// The cluster, its clients, and what is known of its keys.
pub(crate) struct Soak {
    cluster: Cluster,
    clients: Vec<ClusterKvClient>,
    /// One for each node, which knows only that and uses the public service. One of them works in a round.
    plain_clients: Vec<SingleKvClient>,
    known: BTreeMap<String, Held>,
}

/// Why a round has shown nothing: something that it needs has not happened, though no promise was broken.
#[derive(Debug)]
pub(crate) struct Unmet(pub(crate) String);

/// What a round was like.
pub(crate) struct Measured {
    /// The calls of clients, without those that read all keys in the end.
    pub(crate) operations: usize,
    pub(crate) maybe: usize,
    pub(crate) p99: Duration,
    /// How often the lock was held.
    pub(crate) lock_cycles: u64,
    /// By how much the term has risen. A term has one leader at most.
    pub(crate) terms: u64,
    /// How far the newest snapshot has moved, in entries.
    pub(crate) snapshot_moved: u64,
    pub(crate) nodes: Vec<NodeMeasured>,
}

/// What a node needs at the end of a round.
pub(crate) struct NodeMeasured {
    pub(crate) id: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) data_bytes: u64,
}

impl Soak {
    /// A cluster whose keys are written.
    pub(crate) async fn start() -> Self {
        Self::start_with(SNAPSHOT_LOG_BYTES).await
    }

    /// The same, with another size of the log from which on a snapshot is taken.
    pub(crate) async fn start_with(snapshot_log_bytes: &str) -> Self {
        let reliable = NetworkConfig::reliable();
        let arguments = ["--snapshot-log-bytes", snapshot_log_bytes];
        let cluster = Cluster::start_with(NODES, reliable.clone(), reliable, &arguments).await;
        let clients = (1..=CLIENTS).map(|id| ClusterKvClient::new(cluster.urls(), id)).collect();
        let plain = (CLIENTS + 1..).zip(cluster.urls());
        let plain_clients = plain.map(|(id, url)| SingleKvClient::new(RpcClient::new(url, id))).collect();
        let mut soak = Self { cluster, clients, plain_clients, known: BTreeMap::new() };
        let recorder = Recorder::new();
        let client = recorder.client(1, soak.clients[0].clone());
        for number in 0..KEYS {
            let written = client.put(&key(number), &value("first "), 0).await;
            promised!(written == Ok(()), "the first put of a key was answered {written:?}");
        }
        soak.known = soak.read_all(&recorder).await;
        recorder.check();
        soak
    }

    /// Runs a round. A promise that is broken is a panic.
    pub(crate) async fn round(
        &mut self,
        seed: u64,
        scenario: Scenario,
        time: Duration,
    ) -> Result<Measured, Unmet> {
        self.round_within(seed, scenario, time, SNAPSHOT_TIMEOUT).await
    }

    /// The same, with another bound for what must have happened.
    pub(crate) async fn round_within(
        &mut self,
        seed: u64,
        scenario: Scenario,
        time: Duration,
        snapshot_timeout: Duration,
    ) -> Result<Measured, Unmet> {
        let mut random = Rng::with_seed(seed);
        self.cluster.reseed(&mut random);
        let before = self.cluster.settle().await;
        let begins_with = self.known.iter().fold(History::new(), |history, (key, (value, version))| {
            history.with_initial(key, value, *version)
        });
        let recorder = Recorder::going_on_from(begins_with);
        let clients = self.recorded(&recorder);
        let locks = clients[..CONTENDERS].iter().map(|client| Lock::new(client.clone(), LOCK)).collect();

        self.cluster.set_network(&scenario.network());
        let end = Instant::now() + time;
        let plain = random.choice(&self.plain_clients).expect("there is one for each node").clone();
        let workers = clients.into_iter().chain([recorder.client(PLAIN_CLIENT, plain)]);
        let stop = Arc::new(AtomicBool::new(false));
        let working = tokio::spawn(work(workers.collect(), seed, random.fork(), Arc::clone(&stop)));
        let contending = tokio::spawn(contend(locks, time));
        scenario.disturb(&mut self.cluster, &mut random, end).await;
        let has_snapshot = self.has_snapshot_after(newest_snapshot(&before), snapshot_timeout).await;
        stop.store(true, Ordering::Relaxed);
        self.cluster.set_network(&NetworkConfig::reliable());
        self.cluster.heal();
        let healed = Instant::now();
        drained(working, healed).await;
        let lock_cycles: Vec<u64> = drained(contending, healed).await;

        let history = recorder.history();
        let after = self.cluster.settle().await;
        self.known = self.read_all(&recorder).await;
        recorder.check();
        let nodes = self.measure_nodes().await;
        if !has_snapshot {
            return Err(Unmet(format!(
                "no node took a snapshot within {snapshot_timeout:?} after the faults, though {} operations were done",
                history.operations().len()
            )));
        }
        let measured = Measured::of(&history, &before, &after)?;
        Ok(Measured { lock_cycles: lock_cycles.iter().sum(), nodes, ..measured })
    }

    /// Waits until a node has a snapshot beyond `index`; false if that takes longer than `bound`.
    async fn has_snapshot_after(&self, index: u64, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        loop {
            for id in self.cluster.ids() {
                let status = self.cluster.status(id).await;
                if status.is_some_and(|status| status.snapshot_index > index) {
                    return true;
                }
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The clients of a round, which write into its record.
    fn recorded(&self, recorder: &Arc<Recorder>) -> Vec<Arc<RecordedClient>> {
        (1..).zip(&self.clients).map(|(id, client)| recorder.client(id, client.clone())).collect()
    }

    /// Reads all keys, and gives what they hold.
    async fn read_all(&self, recorder: &Arc<Recorder>) -> BTreeMap<String, Held> {
        let clients = self.recorded(recorder);
        let keys: Vec<_> = (0..KEYS).map(key).chain([LOCK.to_owned()]).collect();
        let mut reading = JoinSet::new();
        for (client, part) in clients.iter().cycle().zip(keys.chunks(keys.len().div_ceil(READERS))) {
            let (client, part) = (client.clone(), part.to_vec());
            reading.spawn(async move {
                let mut found = Vec::new();
                for key in part {
                    match client.get(&key).await {
                        Ok(held) => found.push((key, held)),
                        Err(KVError::NoKey) => {}
                        Err(other) => unreachable!("the recorder has failed a get answered {other:?}"),
                    }
                }
                found
            });
        }
        reading.join_all().await.into_iter().flatten().collect()
    }

    async fn measure_nodes(&self) -> Vec<NodeMeasured> {
        let mut nodes = Vec::new();
        for (id, process) in &self.cluster.nodes {
            let data = self.cluster.data(*id);
            let end = Instant::now() + TIDY_TIMEOUT;
            let data_bytes = loop {
                let files = std::fs::read_dir(&data).unwrap();
                // A file may go at this moment.
                let bytes = files.map(|file| file.unwrap().metadata().map_or(0, |it| it.len())).sum();
                if bytes <= DATA_BYTES_MAX {
                    break bytes;
                }
                promised!(Instant::now() < end, "node {id} keeps {bytes} bytes on its disk");
                tokio::time::sleep(LOOK_EVERY).await;
            };
            nodes.push(NodeMeasured {
                id: *id,
                resident_bytes: process.resident_bytes().expect("the node runs"),
                descriptors: process.descriptors(),
                data_bytes,
            });
        }
        nodes
    }
}

impl Measured {
    fn of(history: &History, before: &[StatusReply], after: &[StatusReply]) -> Result<Self, Unmet> {
        let completions =
            || history.operations().iter().filter_map(|it| it.completion.as_ref().map(|end| (it, end)));
        let mut times: Vec<_> = completions().map(|(it, (at, _))| at - it.invoked).collect();
        times.sort_unstable();
        let is_put = |it: &Operation| matches!(it.input, Input::Put { .. });
        if !completions().any(|(it, (_, outcome))| is_put(it) && *outcome == Outcome::Ok) {
            return Err(Unmet(format!("none of {} operations was a put that succeeded", times.len())));
        }
        let term = |statuses: &[StatusReply]| statuses.iter().map(|it| it.term).max().unwrap_or(0);
        Ok(Self {
            operations: history.operations().len(),
            maybe: completions().filter(|(_, (_, outcome))| *outcome == Outcome::Maybe).count(),
            p99: Duration::from_nanos(times[times.len() * 99 / 100]),
            lock_cycles: 0,
            terms: term(after).saturating_sub(term(before)),
            snapshot_moved: newest_snapshot(after).saturating_sub(newest_snapshot(before)),
            nodes: Vec::new(),
        })
    }
}

/// The index of the newest snapshot that any node has.
fn newest_snapshot(statuses: &[StatusReply]) -> u64 {
    statuses.iter().map(|it| it.snapshot_index).max().unwrap_or(0)
}

fn key(number: u64) -> String {
    format!("k{number}")
}

/// A value as long as all are.
fn value(text: &str) -> String {
    format!("{text:v<VALUE_BYTES$}")
}

/// Clients that read and write the keys of the round with this seed until they are told to stop.
async fn work(clients: Vec<Arc<RecordedClient>>, seed: u64, mut random: Rng, stop: Arc<AtomicBool>) {
    let mut running = JoinSet::new();
    for (place, client) in clients.into_iter().enumerate() {
        running.spawn(work_alone(client, format!("{seed}-{place}"), seed, random.fork(), Arc::clone(&stop)));
    }
    running.join_all().await;
}

async fn work_alone(
    client: Arc<RecordedClient>,
    name: String,
    seed: u64,
    mut random: Rng,
    stop: Arc<AtomicBool>,
) {
    let first = (seed % KEYS) * KEYS_PER_ROUND;
    // What it has seen last: some puts go by that, and meet what others have written since.
    let mut seen = BTreeMap::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = key((first + random.u64(..KEYS_PER_ROUND)) % KEYS);
        if !seen.contains_key(&key) || random.bool() {
            // A key that is not there was lost. The check of the record says more about that than can be said here.
            let version = client.get(&key).await.map_or(0, |(_, version)| version);
            seen.insert(key.clone(), version);
        }
        if random.u8(..4) == 0 {
            continue;
        }
        let version = seen.remove(&key).unwrap_or(0);
        if client.put(&key, &value(&format!("{name}-{number} ")), version).await.is_ok() {
            seen.insert(key, version + 1);
        }
    }
}
