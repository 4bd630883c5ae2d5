//! The client of a single server: it sends again until there is an answer.

use std::time::Duration;

use tokio::time::Instant;
use traitwire::{KVError, KvClient, RpcClient, Version};

use crate::call::{CallError, Pause, answered, definite, within};
use crate::retry::{Attempt, Put};
use crate::services::kv::{GetArgs, Kv, KvStub, PutArgs};

/// A client of one server.
///
/// [`KvClient`] has no word for "no answer", so its methods send again for as long as it takes; who will not wait drops
/// the call, or uses [`SingleKvClient::try_get`] and [`SingleKvClient::try_put`], which end at a deadline.
#[derive(Clone)]
pub struct SingleKvClient {
    stub: KvStub,
}

impl SingleKvClient {
    /// A client that calls through `client`.
    pub fn new(client: RpcClient) -> Self {
        Self { stub: KvStub::new(client) }
    }

    /// The value of `key` and its version; ends when `time` is over, and never where that is too far off to be told.
    pub async fn try_get(&self, key: &str, time: Duration) -> Result<(String, Version), CallError> {
        self.get_until(key, Instant::now().checked_add(time)).await
    }

    /// Writes `value` if `key` is at `version`; ends as [`SingleKvClient::try_get`] does.
    pub async fn try_put(
        &self,
        key: &str,
        value: &str,
        version: Version,
        time: Duration,
    ) -> Result<(), CallError> {
        self.put_until(key, value, version, Instant::now().checked_add(time)).await
    }

    async fn get_until(&self, key: &str, end: Option<Instant>) -> Result<(String, Version), CallError> {
        let mut pause = Pause::default();
        loop {
            match within(end, self.stub.get(GetArgs { key: key.to_owned() })).await {
                Ok(reply) => {
                    return match reply.err {
                        None => Ok((reply.value, reply.version)),
                        Some(error) => Err(error.into()),
                    };
                }
                Err(error) => pause.before_another(error, end).await?,
            }
        }
    }

    async fn put_until(
        &self,
        key: &str,
        value: &str,
        version: Version,
        end: Option<Instant>,
    ) -> Result<(), CallError> {
        let mut pause = Pause::default();
        let mut put = Put::default();
        loop {
            let args = PutArgs { key: key.to_owned(), value: value.to_owned(), version };
            match within(end, self.stub.put(args)).await {
                Ok(reply) => {
                    let result = put.after(Attempt::Answered(reply.err.map_or(Ok(()), Err)));
                    return answered(result.expect("an answer decides"), reply.version);
                }
                Err(error) => {
                    put.after(Attempt::Failed(error.executed()));
                    pause.before_another(error, end).await.map_err(|error| put.unanswered(error))?;
                }
            }
        }
    }
}

#[traitwire::async_trait]
impl KvClient for SingleKvClient {
    async fn get(&self, key: &str) -> Result<(String, Version), KVError> {
        self.get_until(key, None).await.map_err(definite)
    }

    async fn put(&self, key: &str, value: &str, version: Version) -> Result<(), KVError> {
        self.put_until(key, value, version, None).await.map_err(definite)
    }
}
