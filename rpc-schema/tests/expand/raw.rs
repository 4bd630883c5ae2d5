//! Conditions, raw names, aliases, a default body and another path of the runtime.

#[service(crate = "crate::wire", reserved("remove"))]
pub(crate) trait Files: Base {
    #[cfg(unix)]
    #[rpc(name = "chmod", aliases("mode", "fs.mode"), detach = false)]
    async fn r#mod(&self, r#type: Vec<u8>) -> RpcResult<()>;

    #[rpc(read_only)]
    async fn size(&self, mut path: String) -> RpcResult<u64> {
        path.push('/');
        Ok(path.len() as u64)
    }
}
