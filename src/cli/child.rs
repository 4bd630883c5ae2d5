//! A server of this same binary in a process of its own, for commands that need one.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::Failure;

/// How long a server may take to listen.
const START_TIME: Duration = Duration::from_secs(10);

/// A process that has said where it listens; it is killed when this is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: u32,
    url: String,
}

impl Child {
    /// Starts this binary with `arguments` and waits for its line on standard output.
    pub(super) async fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::new)?;
        let ended = || Failure::new("the server ended at once");
        let pid = process.id().ok_or_else(ended)?;
        let stdout = process.stdout.take().ok_or_else(ended)?;
        let line = tokio::time::timeout(START_TIME, BufReader::new(stdout).lines().next_line())
            .await
            .map_err(|_| Failure::new("the server did not start in time"))?
            .map_err(Failure::new)?
            .ok_or_else(ended)?;
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
}
