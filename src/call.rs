//! What the clients of the key-value service share: deadlines, pauses between attempts, and why a call fails.

use std::time::Duration;

use tokio::time::Instant;
use traitwire::{Code, KVError, RpcError, Version};

/// The longest pause before the first resend; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// The longest pause of all: how late a client notices at most that a server is back.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Why a call with a deadline failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The server's answer.
    #[error(transparent)]
    Kv(#[from] KVError),
    /// The answer to a put: the key has another version than the one given, and nothing was changed.
    #[error("the key has another version: {version}")]
    OtherVersion {
        /// The version it had when the put was refused.
        version: Version,
    },
    /// There was none; a put may have been applied, or may still be.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// What [`KvClient`](traitwire::KvClient) says of a call without a deadline that has ended: the only error that ends one
/// is the refusal of a key that no server takes, and such a key does not exist.
pub(crate) fn definite(error: CallError) -> KVError {
    match error {
        CallError::Kv(error) => error,
        CallError::OtherVersion { .. } => KVError::Version,
        CallError::Rpc(_) => KVError::NoKey,
    }
}

/// What a put's result says, given the version that the server holds.
pub(crate) fn answered(result: Result<(), KVError>, version: Version) -> Result<(), CallError> {
    match result {
        Ok(()) => Ok(()),
        Err(KVError::Version) => Err(CallError::OtherVersion { version }),
        Err(error @ (KVError::NoKey | KVError::Maybe)) => Err(error.into()),
    }
}

/// Ends a call at `end`.
pub(crate) async fn within<T, E: From<RpcError>>(
    end: Option<Instant>,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match end {
        None => call.await,
        Some(end) => tokio::time::timeout_at(end, call)
            .await
            .unwrap_or_else(|_| Err(RpcError::deadline_exceeded("no answer in time").into())),
    }
}

/// Pauses between attempts: longer each time, and never the same for two clients.
#[derive(Default)]
pub(crate) struct Pause {
    attempts: u32,
}

impl Pause {
    /// Waits before the next attempt, or gives the error when another attempt cannot help or comes too late.
    pub(crate) async fn before_another(
        &mut self,
        error: RpcError,
        end: Option<Instant>,
    ) -> Result<(), RpcError> {
        if error.code() == Code::InvalidArgument {
            return Err(error);
        }
        let bound = PAUSE_FIRST.saturating_mul(1 << self.attempts.min(10)).min(PAUSE_MAX);
        let pause = bound.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.attempts += 1;
        if end.is_some_and(|end| Instant::now() + pause >= end) {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
