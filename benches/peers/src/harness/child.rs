//! Servers as processes of their own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// How long a server may take to say that it listens: it may have a million keys to read first.
const START_TIME: Duration = Duration::from_secs(120);

/// How much of what a server has said is shown when it fails.
const LOG_LINES: usize = 5;

/// How long a process may take to disappear after it was killed.
const KILL_TIME: Duration = Duration::from_secs(10);

/// A process that is killed when this is dropped, or when the process that started it has gone.
pub struct Child {
    process: std::process::Child,
    guard: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a process; what it says on standard error is appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn();
        let mut process = process.with_context(|| format!("cannot start {name}"))?;
        match guard(process.id()) {
            Ok(guard) => Ok(Self { process, guard, log: log.to_owned() }),
            Err(error) => {
                let _ended = process.kill();
                Err(error)
            }
        }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The first line that it writes on standard output.
    pub async fn first_line(&mut self) -> Result<String> {
        let stdout = self.process.stdout.take().context("the line was read before")?;
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(START_TIME, read).await;
        let line = line.map_err(|_| self.failed("has not started in time"))???;
        if line.is_empty() { Err(self.failed("has ended at once")) } else { Ok(line) }
    }

    /// An error with the last words of the process.
    pub fn failed(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut last: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
        last.reverse();
        anyhow!("a server {what}; it said last:\n{}", last.join("\n"))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let end = Instant::now() + KILL_TIME;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Before its input is closed, and before the id of the process can belong to another one.
        let _ended = self.guard.kill();
        let _gone = self.guard.wait();
    }
}

/// A process that kills another one when this one has gone, even if it was killed.
fn guard(pid: u32) -> Result<std::process::Child> {
    let script = "read -r never; kill -KILL \"$0\" 2>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, &pid.to_string()]).stdin(Stdio::piped()).process_group(0);
    command.spawn().context("cannot start a shell")
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports of this machine that nobody listens on.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, so that no two are the same.
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// A folder for data that is removed in the end, on the file system of the folder that it is made in.
pub fn temporary_folder(inside: &Path) -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("bench-data-").tempdir_in(inside);
    made.with_context(|| format!("cannot make a folder in {}", inside.display()))
}
