//! Why a command failed: the exit code, and what is said about it, for people and for programs.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use traitwire::{KVError, RpcError};
use traitwire_kv::call::CallError;

use super::output::{note, print_line};

/// The exit code for wrong usage.
pub(super) const USAGE: u8 = 2;
/// The exit code for everything that has none of its own.
const FAILED: u8 = 1;

/// Why a command failed, and with which exit code.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    /// What there is to say, if anything.
    report: Option<Report>,
}

#[derive(Debug)]
struct Report {
    /// For people.
    message: String,
    /// For programs: the error object.
    object: Map<String, Value>,
}

impl Failure {
    /// A failure with exit code 1.
    pub(super) fn new(message: impl Display) -> Self {
        Self::with_code(FAILED, message)
    }

    /// Wrong usage, with exit code 2.
    pub(super) fn usage(message: impl Display) -> Self {
        Self::with_code(USAGE, message)
    }

    /// A failure with an exit code of its own.
    pub(super) fn with_code(code: u8, message: impl Display) -> Self {
        let message = message.to_string();
        let name = if code == USAGE { "usage" } else { "failed" };
        let object = json!({ "code": name, "message": message });
        Self {
            code,
            report: Some(Report { message, object: object.as_object().cloned().unwrap_or_default() }),
        }
    }

    /// A failure that needs no words.
    pub(super) fn silent(code: u8) -> Self {
        Self { code, report: None }
    }

    /// Adds something for programs, or says it better.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(report) = &mut self.report {
            report.object.insert(name.to_owned(), value.into());
        }
        self
    }

    /// A call that failed.
    pub(super) fn rpc(error: &RpcError) -> Self {
        let executed = serde_json::to_value(error.executed()).unwrap_or_default();
        let failure = Self::new(error).with("code", error.code().as_str()).with("message", error.message());
        failure.with("executed", executed)
    }

    /// Reports it, as a JSON object on standard output or as text on standard error, and gives the exit code.
    pub(super) fn finish(self, json: bool) -> ExitCode {
        match self.report {
            // If standard output cannot be written, the exit code has to say it all.
            Some(report) if json => {
                let _unwritten = print_line(json!({ "error": report.object }));
            }
            Some(report) => note(format_args!("traitwire: {}", report.message)),
            None => {}
        }
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.report.as_ref().map_or("", |report| &report.message))
    }
}

impl From<CallError> for Failure {
    /// The exit codes of `kv`.
    fn from(error: CallError) -> Self {
        let (code, name) = match &error {
            CallError::Kv(KVError::NoKey) => (3, "no_key"),
            CallError::Kv(KVError::Version) | CallError::OtherVersion { .. } => (4, "version"),
            CallError::Kv(KVError::Maybe) => (5, "maybe"),
            CallError::Rpc(error) if error.code() == traitwire::Code::InvalidArgument => {
                return Self { code: USAGE, ..Self::rpc(error) };
            }
            CallError::Rpc(error) => return Self::rpc(error),
        };
        let failure = Self::with_code(code, &error).with("code", name);
        match error {
            CallError::OtherVersion { version } => failure.with("version", version),
            CallError::Kv(_) | CallError::Rpc(_) => failure,
        }
    }
}
