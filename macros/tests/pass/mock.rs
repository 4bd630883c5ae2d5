//! The mock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::{Code, RpcError, RpcResult};

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Failed(String);

impl From<RpcError> for Failed {
    fn from(error: RpcError) -> Self {
        Self(error.message().to_owned())
    }
}

#[traitwire::service(prefix = "tank")]
pub(crate) trait Tank: Send + Sync {
    async fn fill(&self, litres: u8) -> RpcResult<u8>;
    async fn drain(&self) -> Result<(), Failed>;
}

#[tokio::test]
async fn it_answers_as_it_is_told_and_may_count() {
    let level = Arc::new(AtomicU8::new(0));
    let mock = TankMock::new().on_fill({
        let level = level.clone();
        move |litres| Ok(level.fetch_add(litres, Ordering::Relaxed) + litres)
    });
    let tank: Arc<dyn Tank> = Arc::new(mock);
    assert_eq!(tank.fill(2).await, Ok(2));
    assert_eq!(tank.fill(3).await, Ok(5));
    assert_eq!(level.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_method_without_an_answer_says_how_to_give_it_one() {
    let error = TankMock::new().fill(1).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert_eq!(error.message(), "`TankMock` has no answer for `tank.fill`: give it one with `on_fill`");
    let error = TankMock::default().drain().await.unwrap_err();
    assert!(error.0.contains("on_drain"), "{error:?}");
}
