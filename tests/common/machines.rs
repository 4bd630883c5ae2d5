//! Machines with a node each, which a test operates as an operator would: with arguments of its choice, on ports that stay, and with
//! folders that it may wipe.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use traitwire::RpcClient;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::services::rsm::{NodeRole, Rsm, RsmStub, StatusReply};

use super::process::{ServerProcess, free_ports};
use super::wait::{promised, until, within};

/// How long anything may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node may take to say what it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a status is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Machines 1 to n, and the writes that were acknowledged.
pub(crate) struct Machines {
    ports: BTreeMap<u64, u16>,
    folder: TempDir,
    pub(crate) running: BTreeMap<u64, ServerProcess>,
    acknowledged: BTreeMap<String, String>,
}

/// Copies the files of a data folder to another one, which is made anew.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl Machines {
    pub(crate) fn new(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = free_ports(u16::try_from(count).unwrap());
        let ports = (1..=count).zip(first..).collect();
        Self { ports, folder, running: BTreeMap::new(), acknowledged: BTreeMap::new() }
    }

    /// Machines whose nodes were all started with each other's URLs and have founded a cluster.
    pub(crate) async fn founded(count: u64) -> Self {
        let mut machines = Self::new(count);
        let peers = machines.peers(machines.ids());
        for id in machines.ids() {
            machines.start_with_peers(id, &peers, &[]).await;
        }
        machines.leader().await;
        machines
    }

    /// Starts the first machines as a cluster; the others are left for later.
    pub(crate) async fn start_cluster(&mut self, count: u64) {
        let peers = self.peers(1..=count);
        for id in 1..=count {
            self.start_with_peers(id, &peers, &[]).await;
        }
        self.leader().await;
    }

    /// The machines whose nodes run.
    pub(crate) fn ids_running(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    /// Kills a node and starts it again as it was started before.
    pub(crate) async fn crash_and_restart(&mut self, id: u64) {
        self.running.get_mut(&id).expect("it runs").restart().await;
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.ports.keys().copied().collect()
    }

    pub(crate) fn url(&self, id: u64) -> String {
        format!("http://127.0.0.1:{}", self.ports[&id])
    }

    pub(crate) fn data(&self, id: u64) -> PathBuf {
        self.folder.path().join(id.to_string())
    }

    /// A list for `--peers`.
    pub(crate) fn peers(&self, ids: impl IntoIterator<Item = u64>) -> String {
        let peers: Vec<_> = ids.into_iter().map(|id| format!("{id}={}", self.url(id))).collect();
        peers.join(",")
    }

    fn arguments(&self, id: u64, more: &[&str]) -> Vec<OsString> {
        let listen = format!("127.0.0.1:{}", self.ports[&id]);
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--listen".into(), listen.into()];
        arguments.extend(["--data".into(), self.data(id).into()]);
        arguments.extend(more.iter().map(Into::into));
        arguments
    }

    /// Starts the node of a machine with these arguments beside those that say where it listens and where its data is.
    pub(crate) async fn start(&mut self, id: u64, more: &[&str]) {
        let process = ServerProcess::start_traitwire(self.arguments(id, more)).await;
        self.running.insert(id, process);
    }

    pub(crate) async fn start_with_peers(&mut self, id: u64, peers: &str, more: &[&str]) {
        let id_text = id.to_string();
        let arguments: Vec<_> =
            ["--id", &id_text, "--peers", peers].into_iter().chain(more.iter().copied()).collect();
        self.start(id, &arguments).await;
    }

    /// Starts a node that ends by itself, and gives what it says.
    pub(crate) async fn fails_to_start(&self, id: u64, more: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
        command.args(self.arguments(id, more)).kill_on_drop(true);
        let output = within(PATIENCE, "a start to be refused", command.output()).await;
        let Output { status, stderr, .. } = output.unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }

    pub(crate) async fn kill(&mut self, id: u64) {
        self.running.remove(&id).expect("it runs").kill().await;
    }

    pub(crate) async fn kill_all(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.kill(id).await;
        }
    }

    /// A new machine whose data folder is a copy of that of this one, whose node does not run.
    pub(crate) fn copy(&mut self, id: u64) -> u64 {
        let copy = 1 + self.ports.keys().max().expect("there are machines");
        self.ports.insert(copy, free_ports(1));
        copy_folder(&self.data(id), &self.data(copy));
        copy
    }

    /// Gives a machine another address. Its node does not run.
    pub(crate) fn move_elsewhere(&mut self, id: u64) {
        assert!(!self.running.contains_key(&id), "node {id} runs");
        self.ports.insert(id, free_ports(1));
    }

    /// Waits until the node of a machine has ended by itself, and gives its exit code and what it has logged.
    pub(crate) async fn ended(&mut self, id: u64) -> (Option<i32>, String) {
        let mut process = self.running.remove(&id).expect("it runs");
        let code = process.ended().await;
        (code, process.lines().join("\n"))
    }

    /// Removes what the node of a machine has kept.
    pub(crate) fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.data(id)).unwrap();
    }

    /// Removes the files of a node that begin with this.
    pub(crate) fn remove_files(&self, id: u64, prefix: &str) {
        for entry in std::fs::read_dir(self.data(id)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with(prefix) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    pub(crate) fn process(&self, id: u64) -> &ServerProcess {
        &self.running[&id]
    }

    pub(crate) async fn status(&self, id: u64) -> Option<StatusReply> {
        let stub = RsmStub::new(RpcClient::new(self.url(id), 0));
        tokio::time::timeout(STATUS_TIMEOUT, stub.status()).await.ok()?.ok()
    }

    /// Waits until the status of a node is one that `is_right` accepts, and gives it.
    pub(crate) async fn status_when(
        &self,
        id: u64,
        what: &str,
        is_right: impl Fn(&StatusReply) -> bool,
    ) -> StatusReply {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status(id).await;
            if let Some(status) = status.clone().filter(&is_right) {
                return status;
            }
            promised!(tokio::time::Instant::now() < end, "node {id} is not {what}: {status:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the problem of a node has all of these parts.
    pub(crate) async fn problem(&self, id: u64, parts: &[&str]) -> StatusReply {
        self.status_when(id, &format!("one with the problem {parts:?}"), |status| {
            status.problem.as_ref().is_some_and(|problem| parts.iter().all(|part| problem.contains(part)))
        })
        .await
    }

    /// Waits until a node that runs leads, and says which.
    pub(crate) async fn leader(&self) -> u64 {
        self.leader_of(&self.ids_running()).await
    }

    /// Waits until one of these nodes leads, and says which.
    pub(crate) async fn leader_of(&self, ids: &[u64]) -> u64 {
        until(PATIENCE, format!("a leader among {ids:?}"), async || {
            for id in ids {
                if self.status(*id).await.is_some_and(|status| status.role == NodeRole::Leader) {
                    return Some(*id);
                }
            }
            None
        })
        .await
    }

    /// Waits until all nodes that run have applied the same and nothing keeps them from taking part.
    pub(crate) async fn settled(&self) -> Vec<StatusReply> {
        until(
            PATIENCE,
            format!("nodes that agree and have no problems: {:?}", self.running.keys()),
            async || {
                let mut statuses = Vec::new();
                for id in self.running.keys() {
                    statuses.push(self.status(*id).await?);
                }
                let first = statuses.first()?.clone();
                let agrees = |status: &StatusReply| {
                    status.leader.is_some()
                        && status.role != NodeRole::Learner
                        && status.problem.is_none()
                        && (status.leader, status.applied_index, status.cluster_id)
                            == (first.leader, first.commit_index, first.cluster_id)
                };
                statuses.iter().all(agrees).then_some(statuses)
            },
        )
        .await
    }

    pub(crate) fn client(&self, ids: impl IntoIterator<Item = u64>) -> ClusterKvClient {
        ClusterKvClient::new(ids.into_iter().map(|id| self.url(id)), 1)
    }

    /// Writes some keys that must be there from now on.
    pub(crate) async fn write(&mut self, ids: &[u64], name: &str) {
        let client = self.client(ids.iter().copied());
        for number in 0..5 {
            let (key, value) = (format!("{name}-{number}"), format!("{name} {number}"));
            client.try_put(&key, &value, 0, PATIENCE).await.expect("a majority can be reached");
            self.acknowledged.insert(key, value);
        }
    }

    /// Reads what was acknowledged: none of it is missing.
    pub(crate) async fn check(&self, ids: &[u64]) {
        let client = self.client(ids.iter().copied());
        for (key, value) in &self.acknowledged {
            let found = client.try_get(key, PATIENCE).await;
            promised!(
                found.as_ref().is_ok_and(|(found, _)| found == value),
                "`{key}` was acknowledged: {found:?}"
            );
        }
    }

    /// A put to one node, which must be refused and have no effect: gives the error.
    pub(crate) async fn refused(&self, id: u64) -> traitwire::RpcError {
        use traitwire_kv::services::kv::{Kv, KvStub, PutArgs};
        let put = PutArgs { key: "refused".to_owned(), value: "x".to_owned(), version: 0 };
        let client = RpcClient::builder(self.url(id)).retry(traitwire::Retry::never()).build();
        let error = within(PATIENCE, "a put to be refused", KvStub::new(client).put(put))
            .await
            .expect_err("it is refused");
        assert_eq!(
            (error.code(), error.executed()),
            (traitwire::Code::Unavailable, traitwire::Executed::No),
            "{error}"
        );
        error
    }

    /// What `/readyz` says.
    pub(crate) async fn readiness(&self, id: u64) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let response = client.get(format!("{}/readyz?verbose", self.url(id))).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}
