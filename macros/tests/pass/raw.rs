//! Raw identifiers: in Rust with `r#`, on the wire without.

use traitwire::RpcResult;

use super::dispatch;

#[traitwire::service]
pub(crate) trait r#Loop: Send + Sync {
    async fn r#match(&self, r#type: String, r#in: String) -> RpcResult<String>;

    #[rpc(name = "type")]
    async fn kind(&self, r#struct: u8) -> RpcResult<u8>;
}

struct Echo;

#[traitwire::async_trait]
impl r#Loop for Echo {
    async fn r#match(&self, r#type: String, r#in: String) -> RpcResult<String> {
        Ok(r#type + &r#in)
    }

    async fn kind(&self, r#struct: u8) -> RpcResult<u8> {
        Ok(r#struct)
    }
}

#[tokio::test]
async fn the_wire_has_plain_names() {
    assert_eq!((LOOP_SERVICE.name, LoopStub::MATCH.name, LoopStub::KIND.name), ("Loop", "match", "type"));
    let server = LoopServer::new(Echo);
    assert_eq!(dispatch(&server, "match", r#"{"type":"a","in":"b"}"#).await, "\"ab\"");
    assert_eq!(dispatch(&server, "type", "7").await, "7");
    let mock = LoopMock::new().on_match(|_, _| Ok("mocked".to_owned())).on_kind(Ok);
    assert_eq!(mock.r#match(String::new(), String::new()).await.as_deref(), Ok("mocked"));
    assert_eq!(mock.kind(1).await, Ok(1));
}
