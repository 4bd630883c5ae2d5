//! The single server: the store behind a lock, and nothing a client leaves behind.

use std::sync::{Mutex, MutexGuard, PoisonError};

use traitwire::{KVError, RpcError, RpcResult};

use crate::services::kv::{GetArgs, GetReply, Kv, PutArgs, PutReply};
use crate::store::{KEY_BYTES_MAX, Store};

/// Serves a store that lives in memory: it is gone when the process is.
#[derive(Debug, Default)]
pub struct SingleKvServer {
    store: Mutex<Store>,
}

impl SingleKvServer {
    /// A server with no key.
    pub fn new() -> Self {
        Self::default()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // A put changes the store in its last step, so a panic leaves nothing half done.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[traitwire::async_trait]
impl Kv for SingleKvServer {
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply> {
        check_key(&args.key)?;
        Ok(match self.store().get(&args.key) {
            Some((value, version)) => GetReply { value: value.to_owned(), version, err: None },
            None => GetReply { value: String::new(), version: 0, err: Some(KVError::NoKey) },
        })
    }

    async fn put(&self, args: PutArgs) -> RpcResult<PutReply> {
        check_key(&args.key)?;
        let (version, result) = self.store().put(&args.key, &args.value, args.version);
        Ok(PutReply { version, err: result.err() })
    }
}

/// Refuses a key that no server takes.
pub(crate) fn check_key(key: &str) -> RpcResult<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let bytes = key.len();
        let message = format!("`key` must have 1 to {KEY_BYTES_MAX} bytes, not {bytes}");
        return Err(RpcError::invalid_argument(message));
    }
    Ok(())
}
