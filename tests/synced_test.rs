//! What is acknowledged was synced before, by the majority: seen from outside, in the system calls of the nodes.
//!
//! It runs where strace is and may trace, and says so where it cannot; `TRAITWIRE_STRACE=required` makes that a failure.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use traitwire::KvClient;

use common::kv_cluster::{Cluster, soon};
use common::network::NetworkConfig;
use common::process::{signal, strace_is_required};

/// How many clients put at the same time, and how often each of them.
const CLIENTS: usize = 16;
const PUTS: u64 = 20;

/// Seconds since 1970.
type Seconds = f64;

/// Traces one process until it is dropped.
struct Tracer {
    process: Child,
    file: std::path::PathBuf,
}

impl Tracer {
    /// Begins to trace; nothing where that is not possible here.
    async fn attach(pid: u32, folder: &TempDir) -> Option<Self> {
        let file = folder.path().join(pid.to_string());
        let mut command = Command::new("strace");
        // All threads, wall time, durations, and enough of what is written to find values in it.
        command.args(["-f", "-ttt", "-T", "-s", "1000000", "-e", "trace=pwrite64,fdatasync", "-o"]);
        command.arg(&file).arg("-p").arg(pid.to_string());
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().ok()?;
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let first = soon(lines.next_line()).await.unwrap().unwrap_or_default();
        // The pipe is read on, since the tracer tells of each thread.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        first.contains("attached").then_some(Self { process, file })
    }

    /// Ends the trace and gives it.
    async fn end(mut self) -> String {
        signal(self.process.id().unwrap(), "INT").await;
        soon(self.process.wait()).await.unwrap();
        String::from_utf8_lossy(&std::fs::read(&self.file).unwrap()).into_owned()
    }
}

/// When what was written with each of these values was safe on the disk of the node that was traced.
fn synced_at(trace: &str, values: &[String]) -> BTreeMap<String, Seconds> {
    let mut written: Vec<&String> = Vec::new();
    let mut synced = BTreeMap::new();
    for line in trace.lines() {
        if line.contains("pwrite64(") {
            written.extend(values.iter().filter(|value| line.contains(value.as_str())));
        } else if line.contains("fdatasync") && line.contains(" = 0 <") {
            // Only the thread of the disk writes and syncs, so that all written before was written when the sync began.
            let mut words = line.split_whitespace().skip(1);
            let time: Seconds = words.next().unwrap().parse().unwrap();
            let lasted: Seconds = line.rsplit('<').next().unwrap().trim_end_matches('>').parse().unwrap();
            let end = if line.contains("resumed") { time } else { time + lasted };
            synced.extend(written.drain(..).map(|value| (value.clone(), end)));
        }
    }
    synced
}

/// The values that were acknowledged before `majority` of the nodes had synced them.
fn too_early(
    acknowledged: &BTreeMap<String, Seconds>,
    nodes: &[BTreeMap<String, Seconds>],
    majority: usize,
) -> Vec<String> {
    let is_early = |(value, at): &(&String, &Seconds)| {
        nodes.iter().filter(|node| node.get(*value).is_some_and(|synced| synced < *at)).count() < majority
    };
    acknowledged.iter().filter(is_early).map(|(value, _)| value.clone()).collect()
}

fn now() -> Seconds {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_has_synced_each_put_before_it_is_acknowledged() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.leader().await;
    let folder = tempfile::tempdir().unwrap();
    let mut tracers = Vec::new();
    for node in cluster.nodes.values() {
        let Some(tracer) = Tracer::attach(node.pid(), &folder).await else {
            assert!(!strace_is_required(), "strace is not there, or may not trace");
            eprintln!("not tried: strace is not there, or may not trace");
            return;
        };
        tracers.push(tracer);
    }
    let mut putting = JoinSet::new();
    for place in 0..CLIENTS {
        let client = cluster.client();
        putting.spawn(async move {
            let mut acknowledged = Vec::new();
            for version in 0..PUTS {
                let value = format!("<put {place}.{version}>");
                soon(client.put(&format!("k{place}"), &value, version)).await.unwrap();
                acknowledged.push((value, now()));
            }
            acknowledged
        });
    }
    let acknowledged: BTreeMap<_, _> = putting.join_all().await.into_iter().flatten().collect();
    let values: Vec<_> = acknowledged.keys().cloned().collect();
    let mut nodes = Vec::new();
    for tracer in tracers {
        nodes.push(synced_at(&tracer.end().await, &values));
    }
    assert_eq!(
        too_early(&acknowledged, &nodes, 2),
        Vec::<String>::new(),
        "acknowledged before a majority had it"
    );
    cluster.finish().await;
}

#[test]
fn an_acknowledgement_before_the_sync_is_noticed() {
    let values = ["<put 1>", "<put 2>", "<put 3>"].map(String::from);
    let trace = r#"
7 100.0 pwrite64(9, "...<put 1>...", 13, 0) = 13 <0.1>
7 101.0 fdatasync(9)   = 0 <0.5>
7 102.0 pwrite64(9, "...<put 2>...", 13, 13) = 13 <0.1>
7 103.0 fdatasync(9 <unfinished ...>
7 104.0 <... fdatasync resumed>) = 0 <1.0>
7 105.0 pwrite64(9, "...<put 3>...", 13, 26) = 13 <0.1>
"#;
    let synced = [synced_at(trace, &values)];
    assert_eq!(synced[0], BTreeMap::from([("<put 1>".to_owned(), 101.5), ("<put 2>".to_owned(), 104.0)]));
    let at = |times: [Seconds; 3]| values.iter().cloned().zip(times).collect();
    assert_eq!(too_early(&at([101.6, 104.1, 109.0]), &synced, 1), ["<put 3>"]);
    assert_eq!(too_early(&at([101.4, 103.9, 104.0]), &synced, 1), values);
    assert_eq!(too_early(&at([101.6, 104.1, 109.0]), &synced, 2), values);
}
