//! No bytes from outside make any service panic: each gets a reply, or an error that blames the caller.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use proptest::prelude::*;
use traitwire::{Bytes, Code, Executed, Server};
use traitwire_kv::index::SERVICES;
use traitwire_kv::kv_raft::rsm::{NodeConfig, RaftTiming, RsmOptions};
use traitwire_kv::kv_raft::server::Node;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

/// A node with its folder, a cluster of one.
static NODE: LazyLock<(Node, tempfile::TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let config = NodeConfig {
        cluster: "bytes".to_owned(),
        id: 1,
        peers: [].into(),
        url: None,
        bootstrap: false,
        join: None,
        data: folder.path().to_owned(),
        rsm: RsmOptions::default(),
        timing: RaftTiming::default(),
    };
    (RUNTIME.block_on(async { Node::start(&config) }).unwrap(), folder)
});

/// Every service of this crate; the test fails when the index names one that is not served here.
fn servers() -> Vec<Box<dyn Server>> {
    let node = NODE.0.services();
    assert_eq!(node.services().len(), SERVICES.len());
    vec![Box::new(node), Box::new(KvServer::new(SingleKvServer::new()))]
}

fn method() -> impl Strategy<Value = String> {
    let names: Vec<_> = SERVICES.iter().flat_map(|service| service.methods).map(|it| it.name).collect();
    prop_oneof![4 => proptest::sample::select(names).prop_map(str::to_owned), 1 => "[a-z._]{0,8}"]
}

/// Bytes, text, JSON of any shape, and arguments that nearly fit.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "\"[a-z\\\\u0-9]{0,6}\"",
    ];
    let nearly =
        ("(key|value|version|other)", json.clone(), json.clone(), json).prop_map(|(field, a, b, c)| {
            format!("{{\"{field}\":{a},\"key\":{b},\"version\":{c},\"value\":\"\"}}").into_bytes()
        });
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        "[\\[\\]{}\",:0-9a-z.\\\\-]{0,64}".prop_map(String::into_bytes),
        (1_usize..10_000).prop_map(|depth| "[".repeat(depth).into_bytes()),
        (1_usize..10_000).prop_map(|depth| format!("{{\"key\":{}", "[".repeat(depth)).into_bytes()),
        nearly,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_get_a_typed_answer(name in method(), body in body()) {
        for server in servers() {
            let text = String::from_utf8(body.clone());
            let result = RUNTIME.block_on(server.try_dispatch(&name, Bytes::from(body.clone())));
            if let Err(error) = &result {
                // The last two: a node that does not lead yet, or a message of no node of the cluster.
                let expected =
                    [Code::InvalidArgument, Code::Unimplemented, Code::Unavailable, Code::FailedPrecondition];
                prop_assert!(expected.contains(&error.code()), "{error}");
                prop_assert!(error.executed() == Executed::No, "{error:?}");
            }
            if let Ok(text) = text {
                let reply = RUNTIME.block_on(server.dispatch(&name, text));
                prop_assert!(serde_json::from_str::<serde_json::Value>(&reply).is_ok(), "{reply}");
            }
        }
    }
}
