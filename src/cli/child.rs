//! Servers of this same binary in processes of their own, for commands that need some.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::Failure;

/// How long a server may take to listen.
const START_TIME: Duration = Duration::from_secs(10);

/// How long a server may take to end.
const STOP_TIME: Duration = Duration::from_secs(6);

/// A process that has said where it listens; it is killed when this is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: u32,
    url: String,
}

impl Child {
    /// Starts this binary with `arguments` and waits for its line on standard output.
    pub(super) async fn start<A: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        let mut process = Command::new(program)
            .args(arguments.into_iter().map(Into::into))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::new)?;
        let ended = || Failure::new("the server ended at once");
        let pid = process.id().ok_or_else(ended)?;
        let stdout = process.stdout.take().ok_or_else(ended)?;
        let mut errors = BufReader::new(process.stderr.take().ok_or_else(ended)?).lines();
        let line = tokio::time::timeout(START_TIME, BufReader::new(stdout).lines().next_line())
            .await
            .map_err(|_| Failure::new("the server did not start in time"))?
            .map_err(Failure::new)?;
        let Some(line) = line else {
            let why = errors.next_line().await.map_err(Failure::new)?.unwrap_or_default();
            return Err(Failure::new(format!("a server ended at once: {why}")));
        };
        // What it says later goes nowhere, but a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
        let event: Value = serde_json::from_str(&line).map_err(Failure::new)?;
        let url =
            event["url"].as_str().ok_or_else(|| Failure::new("the server did not say its URL"))?.to_owned();
        Ok(Self { process, pid, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        self.process.kill().await.map_err(Failure::new)
    }

    /// Tells it to end and waits until it has.
    async fn stop(&mut self) -> Result<(), Failure> {
        let told = Command::new("kill").arg(self.pid.to_string()).stderr(Stdio::null()).status().await;
        told.map_err(Failure::new)?;
        match tokio::time::timeout(STOP_TIME, self.process.wait()).await {
            Ok(ended) => ended.map(|_| ()).map_err(Failure::new),
            Err(_) => self.kill().await,
        }
    }
}

/// The nodes of a cluster.
pub(super) struct Nodes {
    peers: String,
    data: std::path::PathBuf,
    urls: BTreeMap<u64, String>,
    running: BTreeMap<u64, Child>,
}

impl Nodes {
    /// Starts a node for each port, each with a folder in `data`.
    pub(super) async fn start(ports: &[u16], data: &Path) -> Result<Self, Failure> {
        let urls: BTreeMap<u64, String> =
            (1..).zip(ports).map(|(id, port)| (id, format!("http://127.0.0.1:{port}"))).collect();
        let peers: Vec<_> = urls.iter().map(|(id, url)| format!("{id}={url}")).collect();
        let mut nodes =
            Self { peers: peers.join(","), data: data.to_owned(), urls, running: BTreeMap::new() };
        for id in nodes.urls.keys().copied().collect::<Vec<_>>() {
            nodes.start_node(id).await?;
        }
        Ok(nodes)
    }

    /// The same on ports that are free.
    pub(super) async fn start_anywhere(count: usize, data: &Path) -> Result<Self, Failure> {
        // All are held until all are known, so that no two are the same.
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(TcpListener::bind("127.0.0.1:0").await.map_err(Failure::new)?);
        }
        let ports: Result<Vec<_>, _> = held.iter().map(|it| it.local_addr().map(|at| at.port())).collect();
        drop(held);
        Self::start(&ports.map_err(Failure::new)?, data).await
    }

    async fn start_node(&mut self, id: u64) -> Result<(), Failure> {
        let address = self.urls[&id].trim_start_matches("http://").to_owned();
        let folder = self.data.join(format!("node-{id}"));
        let arguments: Vec<OsString> = vec![
            "serve".into(),
            "--id".into(),
            id.to_string().into(),
            "--listen".into(),
            address.into(),
            "--peers".into(),
            self.peers.clone().into(),
            "--data".into(),
            folder.into(),
        ];
        self.running.insert(id, Child::start(arguments).await?);
        Ok(())
    }

    /// The URLs of all nodes, as `--endpoints` takes them.
    pub(super) fn endpoints(&self) -> String {
        self.urls().collect::<Vec<_>>().join(",")
    }

    /// The URLs of all nodes.
    pub(super) fn urls(&self) -> impl Iterator<Item = String> {
        self.urls.values().cloned()
    }

    /// The nodes that run.
    pub(super) fn running(&self) -> impl Iterator<Item = (u64, &Child)> {
        self.running.iter().map(|(id, child)| (*id, child))
    }

    /// Kills a node, as a crash would.
    pub(super) async fn kill(&mut self, id: u64) -> Result<(), Failure> {
        match self.running.remove(&id) {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Waits until any node has ended by itself.
    pub(super) async fn any_ended(&mut self) -> u64 {
        /// How often to look.
        const LOOK_EVERY: Duration = Duration::from_millis(200);
        loop {
            for (id, child) in &mut self.running {
                if !matches!(child.process.try_wait(), Ok(None)) {
                    return *id;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends all nodes.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        for child in self.running.values_mut() {
            child.stop().await?;
        }
        self.running.clear();
        Ok(())
    }
}
