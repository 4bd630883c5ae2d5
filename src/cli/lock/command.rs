//! The command that runs under a lock: how it starts, gets signals, and is stopped.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::{Pid, Signal as Number};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};
use traitwire::log::Excerpt;

use super::signals::{Signal, Signals, exit_code};
use super::{Failure, OWN_FAILURE, own_failure};

/// How long a command that lost its lock has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether a process group that was told to end has ended: nothing reports the end of one.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The exit codes of shells for a command that does not exist, and one that cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// A command that runs.
pub(super) struct Running {
    child: Child,
    pid: Pid,
    /// Whether it leads a process group of its own.
    has_group: bool,
}

impl Running {
    /// Starts the command.
    pub(super) fn start(command: &[OsString], token: u64) -> Result<Self, Failure> {
        let has_group = !is_in_foreground();
        let mut process = Command::new(&command[0]);
        process.args(&command[1..]).env("TRAITWIRE_LOCK_TOKEN", token.to_string());
        if has_group {
            process.process_group(0);
        }
        let child = process.spawn().map_err(|error| {
            let code = match error.kind() {
                ErrorKind::NotFound => NOT_FOUND,
                // There are too many processes.
                ErrorKind::WouldBlock | ErrorKind::OutOfMemory => OWN_FAILURE,
                _ => NOT_EXECUTABLE,
            };
            let program = command[0].to_string_lossy();
            Failure::with_code(code, format!("cannot run `{}`: {error}", Excerpt(&program)))
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| own_failure("the command has no process id"))?;
        Ok(Self { child, pid, has_group })
    }

    /// Waits until the command has ended, and gives its exit code.
    pub(super) async fn ended(&mut self) -> Result<u8, Failure> {
        let status = self.child.wait().await;
        let status = status.map_err(|error| own_failure(format!("cannot wait for the command: {error}")))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.unwrap_or_else(|| status.signal().map_or(OWN_FAILURE, exit_code)))
    }

    /// Forwards a signal, and notes the first one that asks to end.
    pub(super) fn forward(&self, signal: Signal, first: &mut Option<i32>) {
        if signal.is_ending() && first.is_none() {
            *first = Some(signal.number);
        }
        // What the terminal sends to the foreground group has reached a command in that group.
        let has_it = signal.is_terminals && !self.has_group;
        if !has_it && let Some(number) = Number::from_named_raw(signal.number) {
            self.send(number);
            // A stopped process handles it only once it continues.
            self.send(Number::CONT);
        }
    }

    /// Ends the command: TERM, and KILL for what is left of it after a while.
    pub(super) async fn stop(&mut self, signals: &mut Signals, first: &mut Option<i32>) {
        let end = Instant::now() + GRACE;
        self.send(Number::TERM);
        self.send(Number::CONT);
        while self.is_there() && Instant::now() < end {
            tokio::select! {
                signal = signals.next() => self.forward(signal, first),
                // Reaps the command, which counts as there until then.
                _ = timeout_at(end.min(Instant::now() + LOOK_EVERY), self.child.wait()) => {
                    if self.child.id().is_none() {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
            }
        }
        if self.is_there() {
            self.send(Number::KILL);
        }
        let _reaped = self.child.wait().await;
    }

    /// Whether the command runs, or anything else in its group.
    fn is_there(&self) -> bool {
        if self.has_group {
            rustix::process::test_kill_process_group(self.pid).is_ok()
        } else {
            self.child.id().is_some()
        }
    }

    fn send(&self, signal: Number) {
        // It may have ended meanwhile, which is no failure.
        let _sent = if self.has_group {
            rustix::process::kill_process_group(self.pid, signal)
        } else if self.child.id().is_some() {
            rustix::process::kill_process(self.pid, signal)
        } else {
            Ok(())
        };
    }
}

/// Whether this process is in the foreground of its terminal, if it has one. A command in another group could not read from
/// that terminal, and Ctrl-Z would not stop it.
fn is_in_foreground() -> bool {
    let terminal = File::options().read(true).open("/dev/tty");
    terminal.is_ok_and(|terminal| {
        rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp())
    })
}
