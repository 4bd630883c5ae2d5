//! Methods with a body in the trait.

use traitwire::{RpcError, RpcResult};

/// Brings `Send + Sync` along, so that the service need not write them.
pub(crate) trait Base: Send + Sync {
    fn factor(&self) -> u64;
}

#[traitwire::service]
pub(crate) trait Halves: Base {
    async fn half(&self, number: u64) -> RpcResult<u64>;

    /// `?`, `return`, calls of other methods and a parameter that is changed.
    async fn quarter(&self, mut number: u64, times: u8) -> RpcResult<u64> {
        if times == 0 {
            return Ok(number);
        }
        for _ in 0..times {
            number = self.half(self.half(number).await?).await?;
        }
        Ok(number * self.factor())
    }

    async fn never(&self) -> RpcResult<u64> {
        Err(RpcError::unavailable("not today"))
    }

    async fn diverges(&self) -> Result<(), RpcError> {
        panic!("nobody calls this")
    }
}

struct Exact;

impl Base for Exact {
    fn factor(&self) -> u64 {
        1
    }
}

impl Base for HalvesStub {
    fn factor(&self) -> u64 {
        unreachable!("bodies run at the server")
    }
}

impl Base for HalvesMock {
    fn factor(&self) -> u64 {
        1
    }
}

#[traitwire::async_trait]
impl Halves for Exact {
    async fn half(&self, number: u64) -> RpcResult<u64> {
        if number.is_multiple_of(2) { Ok(number / 2) } else { Err(RpcError::invalid_argument("odd")) }
    }

    async fn never(&self) -> RpcResult<u64> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_default_body_runs_at_the_server_and_can_be_replaced() {
    let stub = HalvesStub::new(super::client(HalvesServer::new(Exact)));
    assert_eq!(stub.quarter(32, 2).await, Ok(2));
    assert_eq!(stub.quarter(5, 0).await, Ok(5));
    assert_eq!(stub.quarter(6, 1).await.unwrap_err().message(), "odd");
    assert_eq!(stub.never().await, Ok(0));
}
