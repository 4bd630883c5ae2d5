//! What ends a command from outside: signals, and the end of its standard input.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    /// Its name, such as `SIGTERM`.
    pub(super) name: &'static str,
    number: u8,
}

const HANGUP: Signal = Signal { name: "SIGHUP", number: 1 };
const INTERRUPT: Signal = Signal { name: "SIGINT", number: 2 };
const QUIT: Signal = Signal { name: "SIGQUIT", number: 3 };
const TERMINATE: Signal = Signal { name: "SIGTERM", number: 15 };

impl Signal {
    /// The exit code of a process that this signal has ended, as shells report it.
    pub(super) fn exit_code(self) -> u8 {
        128 + self.number
    }
}

/// Receives SIGTERM, SIGINT, SIGQUIT and SIGHUP for the rest of the process's life.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Starts to receive. SIGHUP stays ignored in a process that was started with `nohup`.
    pub(super) fn new() -> io::Result<Self> {
        let mut streams = Vec::new();
        for it in [TERMINATE, INTERRUPT, QUIT, HANGUP] {
            if it != HANGUP || !is_ignored(it) {
                streams.push((it, signal(SignalKind::from_raw(it.number.into()))?));
            }
        }
        Ok(Self(streams))
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(context) == Poll::Ready(Some(())) {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Runs a command until it has ended or a signal ends it, with the exit code that shells report for that signal. The command is
/// dropped then, and with it the processes that it has started.
pub(super) async fn or_signal(command: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let mut signals = Signals::new().map_err(Failure::new)?;
    tokio::select! {
        result = command => result,
        signal = signals.next() => Ok(signal.exit_code()),
    }
}

/// Waits until standard input is closed, which also happens when the process at its other end is killed. Without `watch` it
/// waits forever.
pub(super) fn stdin_closed(watch: bool) -> io::Result<impl Future<Output = ()>> {
    let (closed, wait) = oneshot::channel();
    let watcher = if watch {
        // A thread of its own, since nothing can interrupt a read that blocks: it ends with the process.
        let read = move || {
            let _nothing_to_read = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _gone = closed.send(());
        };
        std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
        None
    } else {
        Some(closed)
    };
    Ok(async move {
        let _not_watched = watcher;
        let _closed = wait.await;
    })
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does.
pub(super) fn ignores_hangups() -> bool {
    is_ignored(HANGUP)
}

/// Whether this process was started with the signal ignored, as far as the system tells.
fn is_ignored(signal: Signal) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

fn ignores(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1.
    mask.is_some_and(|mask| mask & 1 << (signal.number - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001005\n";
        assert!(ignores(status, HANGUP) && ignores(status, QUIT));
        assert!(!ignores(status, INTERRUPT) && !ignores(status, TERMINATE));
        assert!(!ignores("", HANGUP) && !ignores("SigIgn:\tx\n", HANGUP));
    }
}
