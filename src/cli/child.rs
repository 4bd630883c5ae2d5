//! Servers of this same binary in processes of their own, for commands that need some. None of them outlives the process that
//! started it: each watches its standard input, which closes when that process ends, however it ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::future::poll_fn;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::Failure;

/// How long a server may take until it listens.
const START_TIME: Duration = Duration::from_secs(10);

/// How long a server may take to stop before it is killed.
const STOP_TIME: Duration = Duration::from_secs(6);

/// How long a killed process may take to disappear.
const KILL_TIME: Duration = Duration::from_secs(5);

/// The longest first line of a server that is read.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 10;

/// A log file that is longer is renamed when its node starts, and replaces the one that was renamed before.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How much of the end of a log is shown when its process has ended.
const LOG_LINES_SHOWN: usize = 5;
const LOG_BYTES_SHOWN: u64 = 4 << 10;

/// A process that has reported where it listens. It is killed when this is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    /// The process stops when this is closed.
    stdin: Option<ChildStdin>,
    pid: u32,
    url: String,
    log: Option<PathBuf>,
}

impl Child {
    /// Starts this binary with `arguments` and waits until it reports its URL on standard output. Standard error is appended
    /// to the file `log`, or inherited.
    pub(super) async fn start<A: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
        log: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        let stderr =
            log.as_deref().map_or_else(|| Ok(Stdio::inherit()), |log| open_log(log).map(Stdio::from))?;
        let mut process = Command::new(program)
            .args(arguments.into_iter().map(Into::into))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Ctrl-C in a terminal is for this process, which then stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start a server: {error}")))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take();
        // Known until it is waited for.
        let pid = process.id().unwrap_or_default();
        let mut child = Self { process, stdin, pid, url: String::new(), log };
        let line = async {
            let mut line = String::new();
            let Some(stdout) = stdout else { return Ok(line) };
            BufReader::new(stdout.take(FIRST_LINE_BYTES_MAX)).read_line(&mut line).await.map(|_| line)
        };
        let line = timeout(START_TIME, line)
            .await
            .map_err(|_| child.failed(&format!("did not start within {START_TIME:?}")))?
            .map_err(|error| child.failed(&format!("cannot be read: {error}")))?;
        if line.is_empty() {
            let ended = timeout(STOP_TIME, child.process.wait()).await;
            let how = ended.map_or_else(|_| "closed its output".to_owned(), |ended| describe(ended.ok()));
            return Err(child.failed(&format!("{how} before it listened")));
        }
        let event: Option<Value> = serde_json::from_str(&line).ok();
        match event.as_ref().and_then(|event| event["url"].as_str()) {
            Some(url) => child.url = url.to_owned(),
            None => return Err(child.failed("did not report its URL")),
        }
        Ok(child)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        match timeout(KILL_TIME, self.process.kill()).await {
            Ok(killed) => killed.map_err(Failure::new),
            Err(_) => Err(Failure::new(format!("process {} is still there after SIGKILL", self.pid))),
        }
    }

    /// Asks it to stop.
    fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has stopped, and kills it at `end`.
    async fn stopped_by(&mut self, end: Instant) -> Result<(), Failure> {
        match timeout_at(end, self.process.wait()).await {
            Ok(ended) => ended.map(|_| ()).map_err(Failure::new),
            Err(_) => self.kill().await,
        }
    }

    /// A failure of this process, with the end of its log.
    fn failed(&self, what: &str) -> Failure {
        let log = self.log.as_deref().map(shown_log).unwrap_or_default();
        Failure::new(format!("the server with pid {} {what}{log}", self.pid))
    }
}

impl Drop for Child {
    /// Waits for the kill to take effect, so that the folder of the process's data can be removed.
    fn drop(&mut self) {
        /// How often to look, and for how long at most.
        const LOOK_EVERY: Duration = Duration::from_millis(1);
        const LOOKS_MAX: u32 = 1_000;
        // It may have ended.
        let _ended = self.process.start_kill();
        for _ in 0..LOOKS_MAX {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}

/// How a process has ended.
fn describe(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "ended".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Opens a log file to append to, for this user alone.
fn open_log(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    if std::fs::metadata(path).is_ok_and(|it| it.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old")).map_err(failed)?;
    }
    File::options().create(true).append(true).mode(0o600).open(path).map_err(failed)
}

/// The end of a log and where it is, for a message about its process.
fn shown_log(path: &Path) -> String {
    let mut end = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_SHOWN)))?;
        file.take(LOG_BYTES_SHOWN).read_to_end(&mut end)
    });
    let end = String::from_utf8_lossy(&end);
    let lines: Vec<_> = end.lines().collect();
    let lines = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    let shown: String = lines.iter().map(|line| format!("\n  | {line}")).collect();
    match read {
        Ok(_) if !lines.is_empty() => format!("; the end of its log {}:{shown}", path.display()),
        Ok(_) | Err(_) => format!("; its log: {}", path.display()),
    }
}

/// A node that has ended.
pub(super) struct Ended {
    pub(super) id: u64,
    /// What is to be said about it: how it has ended, and the end of its log.
    pub(super) message: String,
}

/// The nodes of a cluster on this machine.
pub(super) struct Nodes {
    peers: String,
    data: PathBuf,
    /// More arguments of each node.
    arguments: Vec<OsString>,
    urls: BTreeMap<u64, String>,
    running: BTreeMap<u64, Child>,
}

impl Nodes {
    /// Starts a node for each port, each with a folder and a log file in `data`.
    pub(super) async fn start(ports: &[u16], data: &Path, arguments: Vec<OsString>) -> Result<Self, Failure> {
        let urls: BTreeMap<u64, String> =
            (1..).zip(ports).map(|(id, port)| (id, format!("http://127.0.0.1:{port}"))).collect();
        let peers: Vec<_> = urls.iter().map(|(id, url)| format!("{id}={url}")).collect();
        let mut nodes =
            Self { peers: peers.join(","), data: data.to_owned(), arguments, urls, running: BTreeMap::new() };
        for id in nodes.urls.keys().copied().collect::<Vec<_>>() {
            let child = nodes.start_node(id).await;
            nodes.add(id, child.map_err(|error| Failure::new(format!("node {id}: {error}")))?);
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
        Self::start(&ports.map_err(Failure::new)?, data, Vec::new()).await
    }

    /// Starts the process of a node that does not run; [`Nodes::add`] takes it.
    pub(super) fn start_node(&self, id: u64) -> impl Future<Output = Result<Child, Failure>> + Send + use<> {
        let address = self.urls[&id].trim_start_matches("http://").to_owned();
        let mut arguments: Vec<OsString> = vec![
            "serve".into(),
            "--stop-with-stdin".into(),
            "--id".into(),
            id.to_string().into(),
            "--listen".into(),
            address.into(),
            "--peers".into(),
            self.peers.clone().into(),
            "--data".into(),
            self.data.join(format!("node-{id}")).into(),
        ];
        arguments.extend(self.arguments.iter().cloned());
        let log = self.log(id);
        async move { Child::start(arguments, Some(log)).await }
    }

    /// Counts a process that was started as the node's.
    pub(super) fn add(&mut self, id: u64, child: Child) {
        self.running.insert(id, child);
    }

    /// The log file of a node.
    pub(super) fn log(&self, id: u64) -> PathBuf {
        self.data.join(format!("node-{id}.log"))
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

    /// Waits until a node has ended by itself, and counts it as not running.
    pub(super) async fn next_ended(&mut self) -> Ended {
        let running = &mut self.running;
        let (id, status) = poll_fn(|context| {
            for (id, child) in running.iter_mut() {
                if let Poll::Ready(status) = pin!(child.process.wait()).poll(context) {
                    return Poll::Ready((*id, status.ok()));
                }
            }
            Poll::Pending
        })
        .await;
        let pid = self.running.remove(&id).map_or(0, |child| child.pid);
        let message = format!("node {id} (pid {pid}) {}{}", describe(status), shown_log(&self.log(id)));
        Ended { id, message }
    }

    /// Stops all nodes, and kills those that do not stop in time.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + STOP_TIME;
        self.running.values_mut().for_each(Child::close_stdin);
        for child in self.running.values_mut() {
            child.stopped_by(end).await?;
        }
        self.running.clear();
        Ok(())
    }
}
