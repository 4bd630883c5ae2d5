//! The part of etcd's API that is used here, and a client of it on tonic. The messages are written by hand with the numbers
//! of etcd's `rpc.proto` and `kv.proto`, so that building needs no `protoc`; fields that are not used are left out, as
//! protobuf allows.

use anyhow::{Result, bail, ensure};
use tonic::transport::{Channel, Endpoint};

use crate::harness::grpc::unary;
use crate::harness::workload::{CALL_TIME, Store};

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    // `serializable` (7) is not set: reads are linearizable.
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

/// Whether the version of a key is equal to this one: `result` (1) and `target` (2) say so by being absent.
#[derive(Clone, PartialEq, prost::Message)]
struct Compare {
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    // One of several in etcd's definition, so that also 0 is sent.
    #[prost(int64, optional, tag = "4")]
    version: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    request_put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// A client of one member; clones share its connection.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

/// A member and the leader that it follows.
#[derive(Clone, Copy)]
pub struct Status {
    /// The member.
    pub member: u64,
    /// Its leader; 0 while it has none.
    pub leader: u64,
}

impl Client {
    /// A client of the member at this URL.
    pub async fn connect(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true).timeout(CALL_TIME);
        Ok(Self { channel: endpoint.connect().await? })
    }

    /// What the member says of itself.
    pub async fn status(&self) -> Result<Status> {
        let path = "/etcdserverpb.Maintenance/Status";
        let reply: StatusResponse = unary(&self.channel, path, StatusRequest {}).await?;
        let member = reply.header.unwrap_or_default().member_id;
        Ok(Status { member, leader: reply.leader })
    }

    /// Writes a value, whatever there was before.
    async fn put_plain(&self, key: &str, value: &str) -> Result<()> {
        let PutResponse {} = unary(&self.channel, "/etcdserverpb.KV/Put", put_request(key, value)).await?;
        Ok(())
    }
}

fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
}

impl Store for Client {
    async fn put(&self, key: &str, value: &str, version: u64) -> Result<()> {
        let compare = Compare { key: key.as_bytes().to_vec(), version: Some(i64::try_from(version)?) };
        let put = RequestOp { request_put: Some(put_request(key, value)) };
        let request = TxnRequest { compare: vec![compare], success: vec![put] };
        let reply: TxnResponse = unary(&self.channel, "/etcdserverpb.KV/Txn", request).await?;
        ensure!(reply.succeeded, "the version is another one");
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<(String, u64)> {
        let request = RangeRequest { key: key.as_bytes().to_vec() };
        let reply: RangeResponse = unary(&self.channel, "/etcdserverpb.KV/Range", request).await?;
        let Some(found) = reply.kvs.into_iter().next() else { bail!("there is no such key") };
        Ok((String::from_utf8(found.value)?, u64::try_from(found.version)?))
    }
}

/// A client whose puts do not look at the version.
#[derive(Clone)]
pub struct Plain(pub Client);

impl Store for Plain {
    async fn put(&self, key: &str, value: &str, _: u64) -> Result<()> {
        self.0.put_plain(key, value).await
    }

    async fn get(&self, key: &str) -> Result<(String, u64)> {
        self.0.get(key).await
    }
}
