//! A duration is a number and a unit.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(timeout = "2")]
    async fn a(&self) -> RpcResult<()>;
    #[rpc(timeout = "1.5s")]
    async fn b(&self) -> RpcResult<()>;
    #[rpc(timeout = "2h")]
    async fn c(&self) -> RpcResult<()>;
    #[rpc(timeout = "0s")]
    async fn d(&self) -> RpcResult<()>;
    #[rpc(timeout = "99999999999999999999s")]
    async fn e(&self) -> RpcResult<()>;
    #[rpc(read_only, hedge = "0ms")]
    async fn f(&self) -> RpcResult<()>;
}

fn main() {}
