//! `traitwire lock NAME -- COMMAND…`.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use traitwire::{KVError, KvClient};
use traitwire_kv::call::CallError;
use traitwire_kv::lock;

use super::output::note;
use super::{Endpoints, Failure};

/// The exit code of a failure of `lock` itself, so that it is not taken for the command's.
const OWN_FAILURE: u8 = 125;

/// How long the server may take to be reached at first.
const REACH_TIME: Duration = Duration::from_secs(5);

/// The lock has no lease: a holder that is killed keeps it, until `--break` frees it. Exit codes: the command's own,
/// 128 + n when signal n ended it, 127 if it was not found, 126 if it cannot be executed, 125 if `lock` itself failed.
#[derive(clap::Args)]
pub(super) struct Lock {
    /// The lock's name.
    name: String,
    /// Free the lock, whoever holds it, and run nothing.
    #[arg(long = "break", conflicts_with = "command")]
    break_it: bool,
    #[command(flatten)]
    endpoints: Endpoints,
    /// The command to run; the fencing token is in TRAITWIRE_LOCK_TOKEN.
    #[arg(last = true, required_unless_present = "break_it")]
    command: Vec<String>,
}

impl Lock {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let client = self.endpoints.kv()?;
        // Waiting for a lock has no end; a server that is not there shows before it begins.
        if let Err(CallError::Rpc(error)) = client.try_get(&self.name, REACH_TIME).await {
            return Err(Failure::with_code(OWN_FAILURE, error));
        }
        let kv: Arc<dyn KvClient> = Arc::new(client);
        if self.break_it {
            return break_lock(kv.as_ref(), &self.name).await;
        }
        let lock = lock::Lock::new(kv, self.name.as_str());
        let token = lock.acquire().await;
        let status = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("TRAITWIRE_LOCK_TOKEN", token.to_string())
            .status()
            .await;
        let released = lock.release().await;
        if released == lock::Released::Lost {
            note(format_args!("traitwire: the lock `{}` was taken away while the command ran", self.name));
        }
        match status {
            Ok(status) => {
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                Ok(u8::try_from(code).unwrap_or(OWN_FAILURE))
            }
            Err(error) => {
                let code = match error.kind() {
                    ErrorKind::NotFound => 127,
                    ErrorKind::PermissionDenied => 126,
                    _ => OWN_FAILURE,
                };
                Err(Failure::with_code(code, format!("cannot run `{}`: {error}", self.command[0])))
            }
        }
    }
}

async fn break_lock(kv: &dyn KvClient, name: &str) -> Result<u8, Failure> {
    loop {
        match kv.get(name).await {
            Ok((holder, _)) if holder.is_empty() => {
                note(format_args!("the lock `{name}` is free"));
                return Ok(0);
            }
            // A refusal means that the holder changed meanwhile: look again.
            Ok((_, version)) => match kv.put(name, "", version).await {
                Ok(()) => {
                    note(format_args!("the lock `{name}` was held and is free now"));
                    return Ok(0);
                }
                Err(KVError::Version | KVError::Maybe | KVError::NoKey) => {}
            },
            Err(KVError::NoKey | KVError::Version | KVError::Maybe) => {
                note(format_args!("the lock `{name}` has never been taken"));
                return Ok(0);
            }
        }
    }
}
