//! A JSON-RPC client written by others calls a server.
#![allow(clippy::unwrap_used)]

use jsonrpsee_core::client::ClientT;
use jsonrpsee_core::params::{ArrayParams, BatchRequestBuilder, ObjectParams};
use jsonrpsee_http_client::HttpClient;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::{GetReply, KvServer, PutReply};

#[tokio::test(flavor = "multi_thread")]
async fn jsonrpsee_calls_by_name_by_position_and_in_batches() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, KvServer::new(SingleKvServer::new()), std::future::pending()));
    let client = HttpClient::builder().build(url).unwrap();

    let mut by_position = ArrayParams::new();
    by_position.insert("k").unwrap();
    by_position.insert("v").unwrap();
    by_position.insert(0).unwrap();
    let put: PutReply = client.request("put", by_position).await.unwrap();
    assert_eq!((put.version, put.err), (1, None));

    let mut by_name = ObjectParams::new();
    by_name.insert("key", "k").unwrap();
    let got: GetReply = client.request("get", by_name.clone()).await.unwrap();
    assert_eq!((got.value.as_str(), got.version), ("v", 1));

    let mut batch = BatchRequestBuilder::new();
    batch.insert("get", by_name.clone()).unwrap();
    batch.insert("nothing", by_name).unwrap();
    let replies = client.batch_request::<GetReply>(batch).await.unwrap();
    assert_eq!((replies.num_successful_calls(), replies.num_failed_calls()), (1, 1));
}
