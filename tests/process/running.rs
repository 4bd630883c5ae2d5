//! A process whose output is read line by line.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use crate::common::kv_cluster::soon;
use crate::common::process::{guard, signal};
use crate::common::wait::until;

/// How long anything may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    /// What was read of standard error.
    pub(crate) log: Vec<String>,
    _guard: Child,
}

impl Running {
    /// Starts `traitwire` with these arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start_command(Command::new(env!("CARGO_BIN_EXE_traitwire")).args(arguments))
    }

    pub(crate) fn start_command(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.env_remove("RUST_LOG").kill_on_drop(true).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        let (stdin, guard) = (child.stdin.take(), guard(child.id().unwrap()));
        Self { child, stdin, out, err, log: Vec::new(), _guard: guard }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        signal(self.pid(), name).await;
    }

    /// Waits for a line on standard error that contains all of these.
    pub(crate) async fn logged(&mut self, parts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match timeout_at(end, self.err.next_line()).await {
                Ok(Ok(Some(line))) => {
                    self.log.push(line.clone());
                    if parts.iter().all(|part| line.contains(part)) {
                        return line;
                    }
                }
                ended => panic!("{parts:?} is not in {:#?}: {ended:?}", self.log),
            }
        }
    }

    /// Waits until the process listens, and gives its URL.
    pub(crate) async fn url(&mut self) -> String {
        let line = soon(self.out.next_line()).await.unwrap().expect("a line on standard output");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        event["url"].as_str().unwrap().to_owned()
    }

    /// Waits until the process has ended, and reads the rest of what it has logged.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        while let Some(line) = soon(self.err.next_line()).await.unwrap() {
            self.log.push(line);
        }
        soon(self.child.wait()).await.unwrap()
    }
}

/// Waits until a process has this many children, and gives their ids.
pub(crate) async fn children(pid: u32, count: usize) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    until(PATIENCE, format!("{count} children of {pid}"), async || {
        let children = std::fs::read_to_string(&path).ok()?;
        let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        (children.len() == count).then_some(children)
    })
    .await
}

/// Waits until a process that may not be a child of this one is gone.
pub(crate) async fn gone(pid: u32) {
    until(PATIENCE, format!("the end of process {pid}"), async || {
        state(pid).is_none_or(|it| it == 'Z').then_some(())
    })
    .await;
}

/// The state of a process, as proc(5) abbreviates it.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
