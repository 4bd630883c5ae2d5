//! One method is wrong.

#[service]
trait Kv: Send + Sync {
    async fn get(&self, key: &str) -> RpcResult<GetReply>;

    async fn put(&self, args: PutArgs) -> RpcResult<PutReply>;
}
