//! Backups of running clusters, and what is started from them: processes, as an operator meets them.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "backup/killed.rs"]
mod killed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinHandle;
use traitwire::KvClient;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use common::kv_cluster::{Cluster, soon};
use common::machines::Machines;
use common::network::NetworkConfig;
use common::process::ServerProcess;

/// How soon a restored cluster must serve.
const SERVES_WITHIN: Duration = Duration::from_secs(10);

/// A folder with room for files, and the endpoints of a cluster.
struct Desk {
    folder: TempDir,
    endpoints: String,
}

impl Desk {
    fn new(endpoints: impl Into<String>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), endpoints: endpoints.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that runs in the folder.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env("TRAITWIRE_ENDPOINTS", &self.endpoints);
        command.env("TRAITWIRE", env!("CARGO_BIN_EXE_traitwire")).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } =
            soon(self.command(program, arguments).output()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    async fn traitwire(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run(env!("CARGO_BIN_EXE_traitwire"), arguments).await
    }

    async fn shell(&self, script: &str) -> (i32, String, String) {
        self.run("bash", &["-c", &format!("set -o pipefail; {script}")]).await
    }

    /// Runs a command that must succeed, and reads the JSON object that it prints.
    async fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, error) = self.traitwire(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {error}");
        serde_json::from_str(&out).unwrap()
    }

    /// The names of the files in the folder.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Starts a node with one of the folders.
    async fn serve(&self, data: &str, id: &str) -> ServerProcess {
        ServerProcess::start(["--id", id, "--data", self.path(data).to_str().unwrap()]).await
    }
}

/// A node alone, whose data is in the folder `node` of the desk.
async fn single() -> (ServerProcess, Desk) {
    let mut desk = Desk::new("");
    let server = ServerProcess::start(["--data", desk.path("node").to_str().unwrap()]).await;
    desk.endpoints = server.url().to_owned();
    (server, desk)
}

fn client(url: &str) -> ClusterKvClient {
    ClusterKvClient::new([url.to_owned()], 7)
}

async fn put_all(url: &str, keys: std::ops::Range<usize>) {
    let client = client(url);
    for key in keys {
        soon(client.put(&format!("key {key}"), "value\n\"of a key\"", 0)).await.unwrap();
    }
}

/// Writes keys one after the other, so that a consistent state has the first ones and none after a gap.
struct Writing {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writing {
    fn start(cluster: &Cluster) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, stopped, client) = (acknowledged.clone(), stop.clone(), cluster.client());
        let task = tokio::spawn(async move {
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                client.put(&format!("order {number}"), &number.to_string(), 0).await.unwrap();
                count.store(number + 1, Ordering::SeqCst);
            }
        });
        Self { acknowledged, stop, task }
    }

    async fn reached(&self, count: u64) -> u64 {
        soon(async {
            while self.acknowledged.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
                assert!(!self.task.is_finished(), "the writer has failed");
            }
        })
        .await;
        self.acknowledged.load(Ordering::SeqCst)
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        soon(self.task).await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

/// How many of the keys that are written in order a node has; panics at a gap.
async fn in_order(url: &str, written: u64) -> u64 {
    let client = client(url);
    let mut count = 0;
    for number in 0..=written {
        match soon(client.get(&format!("order {number}"))).await {
            Ok((value, version)) => {
                assert_eq!((value, version), (number.to_string(), 1));
                assert_eq!(count, number, "key {count} is missing, and key {number} is there");
                count = number + 1;
            }
            Err(error) => assert_eq!(error, traitwire::KVError::NoKey),
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_under_load_are_one_state_with_everything_acknowledged_before() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.leader().await;
    let desk = Desk::new(cluster.urls().join(","));
    let writing = Writing::start(&cluster);
    let before = writing.reached(50).await;
    let (one, two) = tokio::join!(
        desk.json(&["backup", "--out", "one", "--json"]),
        desk.json(&["backup", "--out", "two", "--json"])
    );
    let after = writing.end().await;
    for (name, report) in [("one", &one), ("two", &two)] {
        let shown = desk.json(&["debug", "snapshot", name, "--json"]).await;
        assert_eq!((&shown["kind"], &shown["revision"]), (&"backup".into(), &report["revision"]));
        let data = format!("data of {name}");
        let restored = desk.json(&["restore", name, "--data", &data, "--json"]).await;
        assert_eq!(restored["revision"], report["revision"]);
        let began = Instant::now();
        let node = desk.serve(&data, "1").await;
        soon(client(node.url()).get("order 0")).await.unwrap();
        assert!(began.elapsed() < SERVES_WITHIN, "{:?}", began.elapsed());
        let found = in_order(node.url(), after).await;
        assert!((before..=after).contains(&found), "{found} keys, {before} before and {after} after");
        assert_eq!(shown["keys"], found);
        // It goes on from the revision of the backup.
        put_all(node.url(), 0..1).await;
    }
    cluster.finish().await;
}

/// The file begins again with the state of the other node.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_on_with_another_node_when_the_one_that_it_reads_from_dies() {
    let mut machines = Machines::founded(3).await;
    let client = machines.client([1, 2, 3]);
    let value = "v".repeat(1 << 20);
    for key in 0..12 {
        soon(client.put(&format!("large {key}"), &value, 0)).await.unwrap();
    }
    machines.settled().await;
    // The first node that does not lead is read from.
    let read = if machines.leader().await == 1 { 2 } else { 1 };
    let desk = Desk::new([1, 2, 3].map(|id| machines.url(id)).join(","));
    let mut backup = desk.command(env!("CARGO_BIN_EXE_traitwire"), &["backup", "--out", "b", "--json"]);
    let mut child = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = || {
        let files = fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap());
        files.into_iter().any(|file| file.metadata().is_ok_and(|it| it.len() > 0))
    };
    soon(async {
        while !has_begun() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    machines.kill(read).await;
    assert!(child.try_wait().unwrap().is_none(), "the backup ended before the node did");
    let output = soon(child.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(report["node"], read, "{report}");
    assert_eq!(desk.files(), ["b"]);
    assert_eq!(desk.json(&["debug", "snapshot", "b", "--json"]).await["keys"], 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_is_another_one_of_one_node() {
    let (_server, desk) = single().await;
    put_all(&desk.endpoints, 0..30).await;
    let (code, _, error) = desk
        .shell("\"$TRAITWIRE\" backup --out - | \"$TRAITWIRE\" restore - --data new --id 7 --cluster other")
        .await;
    assert_eq!(code, 0, "{error}");
    let snapshot = fs::read_dir(desk.path("new")).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = snapshot.into_iter().find(|path| path.extension().is_some_and(|it| it == "snap")).unwrap();
    let shown = desk.json(&["debug", "snapshot", snapshot.to_str().unwrap(), "--json"]).await;
    let membership = &shown["membership"];
    assert_eq!((&shown["kind"], &shown["keys"]), (&"snapshot".into(), &30.into()));
    assert_eq!((&membership["voters"], &membership["members"][0]["id"]), (&[7].into(), &7.into()));
    assert!(membership["cluster_id"].is_string() && membership["members"][0]["incarnation"].is_string());
    let again = desk.json(&["backup", "--out", "b", "--json"]).await;
    assert_ne!(again["cluster_id"], membership["cluster_id"]);

    // Neither another node nor another cluster opens the folder.
    let data = desk.path("new");
    for arguments in [["--id", "7", "--cluster", "traitwire"], ["--id", "1", "--cluster", "other"]] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let (code, _, error) = desk.traitwire(&[&serve[..], &arguments].concat()).await;
        assert_eq!((code, error.contains("belongs to node 7")), (1, true), "{error}");
    }
    let data = data.to_str().unwrap();
    let node = ServerProcess::start(["--id", "7", "--cluster", "other", "--data", data]).await;
    put_all(node.url(), 30..31).await;
    assert_eq!(client(node.url()).get("key 7").await.unwrap().0, "value\n\"of a key\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_damaged_or_cut_off_are_refused_with_the_position_and_nothing_is_left() {
    let (_server, desk) = single().await;
    put_all(&desk.endpoints, 0..20).await;
    desk.json(&["backup", "--out", "good", "--json"]).await;
    let good = fs::read(desk.path("good")).unwrap();
    let mut random = fastrand::Rng::with_seed(common::seed());
    for _ in 0..6 {
        let at = random.usize(1..good.len());
        let mut damaged = good.clone();
        if random.bool() {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << random.u8(..8);
        }
        fs::write(desk.path("bad"), &damaged).unwrap();
        for arguments in [&["debug", "snapshot", "bad"][..], &["restore", "bad", "--data", "data"]] {
            let (code, out, error) = desk.traitwire(arguments).await;
            let says_where = error.contains("at byte") || at < 8 && error.contains("signature");
            assert!(
                code == 1 && out.is_empty() && says_where,
                "changed at {at}: {arguments:?}: {out}{error}"
            );
        }
        assert!(!desk.path("data").exists(), "changed at {at}");
        // An empty folder that was there stays, and stays empty.
        fs::create_dir(desk.path("data")).unwrap();
        assert_eq!(desk.traitwire(&["restore", "bad", "--data", "data"]).await.0, 1);
        fs::remove_dir(desk.path("data")).unwrap();
    }
    let (code, _, error) = desk.traitwire(&["restore", "good", "--data", "node"]).await;
    assert_eq!((code, error.contains("is not empty")), (1, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_leaves_no_file() {
    let (mut server, desk) = single().await;
    put_all(&desk.endpoints, 0..30).await;
    let files = desk.files();
    // No file may grow beyond a kilobyte, as on a full disk.
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$TRAITWIRE\" ";
    let (code, _, error) = desk.shell(&format!("{limited} backup --out b")).await;
    assert_eq!((code, error.contains("cannot write")), (1, true), "{error}");
    assert_eq!(desk.files(), files);
    let (code, _, error) = desk.shell("exec \"$TRAITWIRE\" backup --out - > /dev/full").await;
    assert_eq!((code, error.contains("No space left")), (1, true), "{error}");

    desk.json(&["backup", "--out", "b", "--json"]).await;
    let (code, _, error) = desk.shell(&format!("{limited} restore b --data data")).await;
    assert_eq!((code, desk.path("data").exists()), (1, false), "{error}");

    let before = fs::read(desk.path("b")).unwrap();
    for (out, reason) in [("b", "exists"), ("node", "not a regular file"), ("no/where", "cannot write")] {
        let (code, _, error) = desk.traitwire(&["backup", "--out", out]).await;
        assert_eq!((code, error.contains(reason)), (1, true), "{error}");
    }
    assert!(fs::read(desk.path("b")).unwrap() == before);
    put_all(&desk.endpoints, 30..31).await;
    assert_eq!(desk.traitwire(&["backup", "--out", "b", "--force"]).await.0, 0);
    assert!(fs::read(desk.path("b")).unwrap() != before);
    assert_eq!(desk.traitwire(&["backup", "--out", "-", "--json"]).await.0, 2);
    server.kill().await;
    let (code, _, error) = desk.traitwire(&["backup", "--out", "c"]).await;
    assert_eq!((code, error.contains(&desk.endpoints), desk.path("c").exists()), (1, true, false), "{error}");
}

/// What a killed client has begun takes a place for a while, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_leaves_the_node_as_it_was() {
    let (_server, desk) = single().await;
    let value = "v".repeat(1 << 20);
    for key in 0..4 {
        soon(client(&desk.endpoints).put(&format!("large {key}"), &value, 0)).await.unwrap();
    }
    let mut backup = desk.command(env!("CARGO_BIN_EXE_traitwire"), &["backup", "--out", "-"]);
    // Nobody reads the pipe, so the backup does not end.
    let mut child = backup.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    let out = child.stdout.as_mut().unwrap();
    soon(tokio::io::AsyncReadExt::read_exact(out, &mut first)).await.unwrap();
    assert_eq!(&first, b"TWBKUP");
    soon(child.kill()).await.unwrap();
    put_all(&desk.endpoints, 0..3).await;
    desk.json(&["backup", "--out", "b", "--json"]).await;
    assert_eq!(desk.json(&["debug", "snapshot", "b", "--json"]).await["keys"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_leaves_a_folder_that_does_not_open_and_is_run_again() {
    let (_server, desk) = single().await;
    put_all(&desk.endpoints, 0..20).await;
    desk.json(&["backup", "--out", "b", "--json"]).await;
    let backup = fs::read(desk.path("b")).unwrap();
    let mut restore = desk.command(env!("CARGO_BIN_EXE_traitwire"), &["restore", "-", "--data", "data"]);
    let mut child = restore.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(&backup[..backup.len() - 1]).await.unwrap();
    stdin.flush().await.unwrap();
    let unfinished = |data: &Path| {
        fs::read_dir(data).is_ok_and(|mut names| {
            names.any(|entry| entry.is_ok_and(|it| it.file_name().to_string_lossy().ends_with(".tmp")))
        })
    };
    common::wait::until(Duration::from_secs(20), "a snapshot that is being written", async || {
        unfinished(&desk.path("data")).then_some(())
    })
    .await;
    let (code, _, error) = desk.traitwire(&["restore", "b", "--data", "data"]).await;
    assert_eq!((code, error.contains("in use by another process")), (1, true), "{error}");
    soon(child.kill()).await.unwrap();

    for arguments in [&["serve", "--listen", "127.0.0.1:0", "--data", "data"][..], &["debug", "wal", "data"]]
    {
        let (code, out, error) = desk.traitwire(arguments).await;
        let says_why = (out + &error).contains("a restore into this folder has not finished");
        assert!(code == 1 && says_why, "{arguments:?}: {error}");
    }
    let (code, _, error) = desk.traitwire(&["debug", "recover", "data", "--force-new-cluster"]).await;
    assert_eq!((code, error.contains("run `traitwire restore` again")), (1, true), "{error}");
    assert_eq!(desk.traitwire(&["restore", "b", "--data", "data"]).await.0, 0);
    let node = desk.serve("data", "1").await;
    assert_eq!(client(node.url()).get("key 19").await.unwrap().1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_node_has_all_that_its_folder_had() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let writing = Writing::start(&cluster);
    writing.reached(40).await;
    let written = writing.end().await;
    cluster.agreed().await;
    let desk = Desk::new(cluster.urls().join(","));
    let data = cluster.data(leader);
    let recover = ["debug", "recover", data.to_str().unwrap(), "--force-new-cluster"];
    let (code, _, error) = desk.traitwire(&recover).await;
    assert_eq!((code, error.contains("in use by another process")), (1, true), "{error}");
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for id in cluster.ids() {
        last.insert(id, cluster.status(id).await.unwrap().last_log_index);
        cluster.kill(id).await;
    }
    let (code, _, error) = desk.traitwire(&recover[..3]).await;
    assert_eq!((code, error.contains("add --force-new-cluster")), (2, true), "{error}");
    let report = desk.json(&[&recover[..], &["--json"]].concat()).await;
    assert!(report["last_index_before"].as_u64().unwrap() >= last[&leader], "{report}");
    // A second recovery finds what the first one has left.
    let again = desk.json(&[&recover[..], &["--json"]].concat()).await;
    assert_eq!(again["last_index_before"], report["revision"]);
    assert_eq!(again["cluster_id_before"], report["cluster_id"]);
    assert_ne!(again["cluster_id"], report["cluster_id"]);
    let id = leader.to_string();
    let node = ServerProcess::start(["--id", &id, "--data", data.to_str().unwrap()]).await;
    assert_eq!(in_order(node.url(), written).await, written);
    put_all(node.url(), 0..1).await;

    for (folder, reason) in [("nowhere", "there is no log"), ("", "there is no log")] {
        let folder = desk.path(folder);
        let (code, _, error) =
            desk.traitwire(&["debug", "recover", folder.to_str().unwrap(), "--force-new-cluster"]).await;
        assert_eq!((code, error.contains(reason)), (1, true), "{error}");
    }
}
