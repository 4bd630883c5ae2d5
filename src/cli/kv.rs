//! `traitwire kv get` and `traitwire kv put`.

use std::time::Duration;

use serde_json::json;
use traitwire::KVError;
use traitwire_kv::call::CallError;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use super::output::{note, print_line};
use super::{Endpoints, Failure};

/// Exit codes: 3 the key does not exist, 4 it has another version, 5 the put may or may not have been applied.
#[derive(clap::Subcommand)]
pub(super) enum Kv {
    /// Print a key's value and version.
    Get {
        /// The key.
        key: String,
        #[command(flatten)]
        options: Options,
    },
    /// Write a key if its version is the one given.
    Put {
        /// The key.
        key: String,
        /// The new value.
        value: String,
        /// The version the key has now; 0 if it does not exist.
        #[arg(long, default_value_t = 0)]
        version: u64,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How many seconds to wait for an answer.
    #[arg(long, default_value_t = 5)]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn client(&self) -> Result<(ClusterKvClient, Duration), Failure> {
        Ok((self.endpoints.kv()?, Duration::from_secs(self.timeout)))
    }
}

impl Kv {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Get { key, options } => {
                let (client, time) = options.client()?;
                let (value, version) = client.try_get(&key, time).await.map_err(failure)?;
                if options.json {
                    print_line(json!({ "value": value, "version": version }))?;
                } else {
                    print_line(value)?;
                    note(format_args!("version {version}"));
                }
            }
            Self::Put { key, value, version, options } => {
                let (client, time) = options.client()?;
                client.try_put(&key, &value, version, time).await.map_err(failure)?;
                if options.json {
                    print_line(json!({ "version": version + 1 }))?;
                } else {
                    note(format_args!("version {}", version + 1));
                }
            }
        }
        Ok(0)
    }
}

fn failure(error: CallError) -> Failure {
    let code = match error {
        CallError::Kv(KVError::NoKey) => 3,
        CallError::Kv(KVError::Version) => 4,
        CallError::Kv(KVError::Maybe) => 5,
        CallError::Rpc(_) => 1,
    };
    Failure::with_code(code, error)
}
