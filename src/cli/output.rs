//! Writing to standard output and standard error. `println!` and its siblings panic when the reader of a pipe has gone or
//! a device is full; the commands use these functions instead, and clippy keeps it that way.

use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write};

use super::Failure;

/// The exit code for a closed pipe: what a shell reports for a program that SIGPIPE ended.
const CLOSED_PIPE: u8 = 128 + 13;

/// Writes a line to standard output.
pub(super) fn print_line(line: impl Display) -> Result<(), Failure> {
    print_text(format_args!("{line}\n"))
}

/// Writes text to standard output as it is, without adding a line break.
pub(super) fn print_text(text: impl Display) -> Result<(), Failure> {
    // Formatted first, so that the lock is not held meanwhile and one write carries it all.
    print_bytes(text.to_string().as_bytes())
}

/// Writes bytes to standard output.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| write_failure(&error))
}

/// What a failed write to standard output means for the command: a reader that has gone ends it silently, anything else,
/// such as a full device, is reported.
pub(super) fn write_failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(CLOSED_PIPE),
        _ => Failure::new(format!("cannot write to standard output: {error}")),
    }
}

/// Writes a line to standard error, on which nothing depends: if it cannot be written, it is lost.
pub(super) fn note(line: impl Display) {
    let mut text = String::new();
    let _formatted = writeln!(text, "{line}");
    let _lost = io::stderr().lock().write_all(text.as_bytes());
}
