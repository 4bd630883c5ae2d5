//! The key-value service through generated code: in process, over HTTP, and as a mock.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::{Value, json};
use traitwire::{Code, Executed, KVError, KvClient, RpcClient, Server};
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::lock::{Lock, Released};
use traitwire_kv::services::kv::{GetArgs, GetReply, Kv, KvMock, KvServer, KvStub};

fn server() -> KvServer<SingleKvServer> {
    KvServer::new(SingleKvServer::new())
}

/// K1 to K4, K6: exact results through the stub, the dispatch table and JSON.
#[tokio::test]
async fn versions_are_exact() {
    let kv = SingleKvClient::new(RpcClient::in_process(server()));
    assert_eq!(kv.get("k").await, Err(KVError::NoKey));
    assert_eq!(kv.put("k", "x", 7).await, Err(KVError::NoKey));
    for version in 0..50 {
        assert_eq!(kv.put("k", &version.to_string(), version).await, Ok(()));
        assert_eq!(kv.get("k").await, Ok((version.to_string(), version + 1)));
    }
    assert_eq!(kv.put("k", "stale", 3).await, Err(KVError::Version));
    assert_eq!(kv.put("empty", "", 0).await, Ok(()));
    assert_eq!(kv.get("empty").await, Ok((String::new(), 1)));
}

/// K7: what is wrong is named, and said to have had no effect where that matters.
#[tokio::test]
async fn bad_arguments_name_the_field() {
    let client = RpcClient::in_process(server());
    let call = |method: &'static str, args: Value| {
        let client = client.clone();
        async move { client.try_call::<_, Value>(method, &args).await.unwrap_err() }
    };
    for version in [json!(1.5), json!(-1), json!("1")] {
        let error = call("put", json!({"key": "k", "value": "v", "version": version})).await;
        assert_eq!((error.code(), error.executed()), (Code::InvalidArgument, Executed::No));
        assert!(error.message().contains("`version`"), "{error}");
    }
    let error = call("put", json!({"key": "k"})).await;
    assert!(error.message().contains("value"), "{error}");
    let error = call("gett", json!({})).await;
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(error.message().contains("`get`"), "{error}");
    for key in [String::new(), "k".repeat(65_537)] {
        assert_eq!(call("get", json!({ "key": key })).await.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn dispatch_answers_with_the_reply_or_the_error_object() {
    let server = server();
    let reply = server.dispatch("put", r#"{"key":"k","value":"v","version":0}"#.to_owned()).await;
    assert_eq!(reply, r#"{"version":1,"err":null}"#);
    let error: Value = serde_json::from_str(&server.dispatch("put", "{".to_owned()).await).unwrap();
    assert_eq!(error["code"], "invalid_argument");
}

#[tokio::test]
async fn a_mock_is_a_service_like_any_other() {
    let mock = KvMock::new().on_get(|args| Ok(GetReply { value: args.key, version: 9, err: None }));
    let service: Arc<dyn Kv> = Arc::new(KvStub::new(RpcClient::in_process(KvServer::new(mock))));
    assert_eq!(service.get(GetArgs { key: "k".to_owned() }).await.unwrap().value, "k");
}

/// L4 over a real socket: workers that count under the lock lose no step.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_over_http_admits_one_at_a_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, server(), std::future::pending()));
    let workers: Vec<_> = (0..10)
        .map(|id| {
            let kv: Arc<dyn KvClient> = Arc::new(SingleKvClient::new(RpcClient::new(url.clone(), id)));
            tokio::spawn(async move {
                let lock = Lock::new(Arc::clone(&kv), "lock");
                for _ in 0..5 {
                    lock.acquire().await;
                    let (count, version) = kv.get("count").await.unwrap_or(("0".to_owned(), 0));
                    let next = count.parse::<u64>().unwrap() + 1;
                    assert_eq!(kv.put("count", &next.to_string(), version).await, Ok(()));
                    assert_eq!(lock.release().await, Released::Freed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let kv = SingleKvClient::new(RpcClient::new(url, 0));
    assert_eq!(kv.get("count").await, Ok(("50".to_owned(), 50)));
}
