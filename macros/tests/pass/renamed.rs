//! traitwire under another name.

mod wire {
    pub(crate) use traitwire::*;
}

#[wire::service(crate = "crate::renamed::wire")]
pub(crate) trait Renamed: Send + Sync {
    async fn sum(&self, one: u8, other: u8) -> wire::RpcResult<u8>;
}

struct Adder;

#[wire::async_trait]
impl Renamed for Adder {
    async fn sum(&self, one: u8, other: u8) -> wire::RpcResult<u8> {
        Ok(one + other)
    }
}

#[tokio::test]
async fn the_path_of_the_runtime_can_be_given() {
    let stub = RenamedStub::new(super::client(RenamedServer::new(Adder)));
    assert_eq!(stub.sum(1, 2).await, Ok(3));
    assert_eq!(RenamedMock::new().on_sum(|one, _| Ok(one)).sum(1, 2).await, Ok(1));
}
