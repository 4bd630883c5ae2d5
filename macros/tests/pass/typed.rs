//! `Result<T, E>` with an error of the service's own.
#![allow(unused_qualifications)] // Paths are as good as names, where both would do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::{Code, RpcError, RpcResult};

use super::{client, dispatch};

/// Why money did not move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum BankError {
    /// There is not enough.
    Short { missing: u64 },
    /// The call itself failed.
    Rpc(RpcError),
}

impl From<RpcError> for BankError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

#[traitwire::service]
pub(crate) trait Bank: Send + Sync {
    async fn withdraw(&self, cents: u64) -> Result<u64, BankError>;

    async fn close(&self) -> std::result::Result<(), traitwire::RpcError>;

    async fn name(&self) -> traitwire::RpcResult<String>;
}

struct Empty;

#[traitwire::async_trait]
impl Bank for Empty {
    async fn withdraw(&self, cents: u64) -> Result<u64, BankError> {
        Err(BankError::Short { missing: cents })
    }

    async fn close(&self) -> RpcResult<()> {
        Err(RpcError::new(Code::PermissionDenied, "not yours"))
    }

    async fn name(&self) -> RpcResult<String> {
        Ok("empty".to_owned())
    }
}

#[tokio::test]
async fn the_error_comes_back_as_it_was_given() {
    let stub = BankStub::new(client(BankServer::new(Empty)));
    assert_eq!(stub.withdraw(5).await, Err(BankError::Short { missing: 5 }));
    assert_eq!(stub.close().await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(stub.name().await.as_deref(), Ok("empty"));
}

#[tokio::test]
async fn on_the_wire_it_is_an_error_like_any_other() {
    let reply = dispatch(&BankServer::new(Empty), "withdraw", "5").await;
    let error: RpcError = serde_json::from_str(&reply).unwrap();
    assert!(error.details().iter().any(|detail| detail.to_string().contains("missing")), "{reply}");
}

#[tokio::test]
async fn what_fails_on_the_way_becomes_one_of_its_own() {
    /// A server of something else.
    #[traitwire::service]
    trait Other: Send + Sync {
        async fn other(&self) -> RpcResult<()>;
    }
    let stub = BankStub::new(client(OtherServer::new(OtherMock::new())));
    let Err(BankError::Rpc(error)) = stub.withdraw(5).await else { panic!("the method does not exist") };
    assert_eq!(error.code(), Code::Unimplemented);
}

#[test]
fn the_descriptor_has_its_schema() {
    assert!(BankStub::WITHDRAW.error.is_some());
    assert!(BankStub::CLOSE.error.is_none() && BankStub::NAME.error.is_none());
}
