//! The signals that `lock` forwards, and who has sent them.

use std::io;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc;

use crate::cli::signals::ignores_hangups;

/// What asks a process to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
/// What is for the command alone. Unhandled, each would end `lock` and leave the lock held.
const PASSED_ON: [i32; 3] = [SIGUSR1, SIGUSR2, SIGALRM];
/// How many signals wait to be forwarded; more of them are dropped, as the kernel drops a signal that is pending already.
const QUEUE_LEN: usize = 64;

/// The signals that this process gets.
pub(super) struct Signals {
    queue: mpsc::Receiver<Signal>,
}

/// A signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    pub(super) number: i32,
    /// Whether the terminal has sent it, to all processes of its foreground group.
    pub(super) is_terminals: bool,
}

impl Signal {
    /// Whether it asks to end.
    pub(super) fn is_ending(self) -> bool {
        ENDING.contains(&self.number)
    }
}

impl Signals {
    /// Takes over the handling of signals, for as long as the process runs.
    pub(super) fn listen() -> io::Result<Self> {
        // INT and QUIT are handled even where a shell has set them to be ignored, in the background of a script: somebody who
        // sends one to `lock` wants it to end.
        let is_handled = |number: &i32| *number != SIGHUP || !ignores_hangups();
        let numbers = ENDING.into_iter().chain(PASSED_ON).filter(is_handled);
        let mut signals = SignalsInfo::<WithOrigin>::new(numbers)?;
        let (sender, queue) = mpsc::channel(QUEUE_LEN);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in signals.forever() {
                let is_terminals = matches!(origin.cause, Cause::Kernel);
                let _dropped = sender.try_send(Signal { number: origin.signal, is_terminals });
            }
        })?;
        Ok(Self { queue })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        match self.queue.recv().await {
            Some(signal) => signal,
            // The thread that sends them lives as long as the process.
            None => std::future::pending().await,
        }
    }

    /// The number of the next signal that asks to end.
    pub(super) async fn ending(&mut self) -> i32 {
        loop {
            let signal = self.next().await;
            if signal.is_ending() {
                return signal.number;
            }
        }
    }
}

/// The exit code of a process that a signal has ended.
pub(super) fn exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
