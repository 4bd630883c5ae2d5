//! The client of a cluster against nodes whose behaviour is scripted, in one process whose clock is virtual.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json, value::to_raw_value};
use tokio::time::Instant;
use traitwire::{KVError, KvClient, RpcClient, RpcError, RpcResult, Services};
use traitwire_kv::call::CallError;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::lock::{Lock, Released};
use traitwire_kv::services::kv::{GetArgs, GetReply, Kv, KvServer, PutArgs, PutReply};
use traitwire_kv::services::rsm::{
    NodeRole, QueryArgs, QueryReply, ReadIndexReply, ReplyErr, Rsm, RsmServer, SessionReply, StatusReply,
    SubmitArgs, SubmitReply,
};

/// What a node does with calls for the leader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Lead,
    Hang,
    /// It hangs when a session is to begin, and leads otherwise.
    HangAtSessions,
    PointAt(u64),
    KnowNoLeader,
    /// Its sessions have always ended already.
    ForgetSessions,
}

/// A node; all nodes of a cluster have one store.
#[derive(Clone)]
struct Node {
    id: u64,
    does: Does,
    /// Whether its status and its key-value service hang too.
    is_mute: bool,
    store: Arc<SingleKvServer>,
}

impl Node {
    async fn leads(&self) -> Result<(), ReplyErr> {
        match self.does {
            Does::Lead | Does::HangAtSessions | Does::ForgetSessions => Ok(()),
            Does::Hang => std::future::pending().await,
            Does::PointAt(leader) => Err(ReplyErr::WrongLeader { leader: Some(leader), submitted: false }),
            Does::KnowNoLeader => Err(ReplyErr::WrongLeader { leader: None, submitted: false }),
        }
    }

    async fn speak(&self) {
        if self.is_mute {
            std::future::pending::<()>().await;
        }
    }
}

#[traitwire::async_trait]
impl Rsm for Node {
    async fn open_session(&self) -> Result<SessionReply, ReplyErr> {
        self.leads().await?;
        if self.does == Does::HangAtSessions {
            std::future::pending::<()>().await;
        }
        Ok(serde_json::from_value(json!({ "session": 1 })).unwrap())
    }

    async fn submit(&self, args: SubmitArgs) -> Result<SubmitReply, ReplyErr> {
        self.leads().await?;
        if self.does == Does::ForgetSessions {
            return Err(ReplyErr::NoSession);
        }
        let command: Value = serde_json::from_str(args.command.get()).unwrap();
        let args: PutArgs = serde_json::from_value(command["put"].clone()).unwrap();
        let reply = self.store.put(args).await.unwrap();
        Ok(SubmitReply { reply: to_raw_value(&json!({ "put": reply })).unwrap() })
    }

    async fn query(&self, args: QueryArgs) -> Result<QueryReply, ReplyErr> {
        self.leads().await?;
        let question: Value = serde_json::from_str(args.question.get()).unwrap();
        let args: GetArgs = serde_json::from_value(question["get"].clone()).unwrap();
        Ok(QueryReply { answer: to_raw_value(&self.store.get(args).await.unwrap()).unwrap() })
    }

    async fn read_index(&self) -> Result<ReadIndexReply, ReplyErr> {
        self.leads().await?;
        Ok(ReadIndexReply { index: 1 })
    }

    async fn status(&self) -> RpcResult<StatusReply> {
        self.speak().await;
        Ok(StatusReply {
            id: self.id,
            role: NodeRole::Follower,
            term: 1,
            leader: None,
            commit_index: 0,
            applied_index: 0,
            last_log_index: 0,
            snapshot_index: 0,
            state_check: None,
            cluster_id: None,
            incarnation: None,
            problem: None,
        })
    }
}

#[traitwire::async_trait]
impl Kv for Node {
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply> {
        self.speak().await;
        self.store.get(args).await
    }

    async fn put(&self, args: PutArgs) -> RpcResult<PutReply> {
        self.speak().await;
        self.store.put(args).await
    }
}

/// Clients of nodes 1, 2, ... which do these things.
fn nodes(does: &[Does], is_mute: bool) -> Vec<RpcClient> {
    let store = Arc::new(SingleKvServer::new());
    let node = |(id, does)| Node { id, does, is_mute, store: store.clone() };
    let nodes = (1..).zip(does.iter().copied()).map(node);
    let services =
        nodes.map(|node| Services::new().mount(RsmServer::new(node.clone())).mount(KvServer::new(node)));
    services.map(RpcClient::in_process).collect()
}

/// No path of a call takes longer than its caller has given it.
#[tokio::test(start_paused = true)]
async fn calls_end_at_their_deadline() {
    use Does::{ForgetSessions, Hang, HangAtSessions, KnowNoLeader, PointAt};
    let clusters: [(&[Does], bool); 10] = [
        (&[Hang], true),
        (&[Hang, Hang, Hang], false),
        (&[PointAt(9)], true),
        (&[PointAt(9), Hang, Hang], true),
        (&[PointAt(2), Hang], true),
        (&[PointAt(2), PointAt(1)], false),
        (&[PointAt(1)], false),
        (&[KnowNoLeader, KnowNoLeader], true),
        (&[HangAtSessions], true),
        (&[ForgetSessions], true),
    ];
    for (does, is_mute) in clusters {
        for time in [1, 50, 400, 3_000].map(Duration::from_millis) {
            for another_waits in [false, true] {
                let client = ClusterKvClient::over(nodes(does, is_mute));
                let other = client.clone();
                // It holds what it needs for as long as it takes.
                let another = tokio::spawn(async move { other.put("k", "v", 0).await });
                if another_waits {
                    tokio::task::yield_now().await;
                } else {
                    another.abort();
                }
                let case = format!("{does:?}, mute: {is_mute}, {time:?}, another waits: {another_waits}");
                let began = Instant::now();
                let put = client.try_put("k", "v", 0, time).await;
                assert!(began.elapsed() <= time + Duration::from_millis(2), "{case}: {:?}", began.elapsed());
                assert!(matches!(put, Err(CallError::Rpc(_))), "{case}: {put:?}");
                let began = Instant::now();
                let get = client.try_get("k", time).await;
                assert!(began.elapsed() <= time + Duration::from_millis(2), "{case}: {:?}", began.elapsed());
                let reads = matches!(does[0], HangAtSessions | ForgetSessions);
                assert!(reads || matches!(get, Err(CallError::Rpc(_))), "{case}: {get:?}");
                another.abort();
            }
        }
    }
}

async fn check_service(client: ClusterKvClient) {
    const TIME: Duration = Duration::from_secs(5);
    let began = Instant::now();
    assert_eq!(client.try_get("k", TIME).await, Err(KVError::NoKey.into()));
    assert_eq!(client.try_put("k", "v", 7, TIME).await, Err(KVError::NoKey.into()));
    for version in 0..5 {
        assert_eq!(client.try_put("k", &version.to_string(), version, TIME).await, Ok(()));
        let stale = client.try_put("k", "stale", version, TIME).await;
        assert_eq!(stale, Err(CallError::OtherVersion { version: version + 1 }));
        assert_eq!(client.try_get("k", TIME).await, Ok((version.to_string(), version + 1)));
    }
    assert_eq!(client.put("k", "stale", 1).await, Err(KVError::Version));
    let lock = Lock::new(Arc::new(client), "l");
    let token = lock.acquire().await;
    assert!(lock.confirm().await);
    assert_eq!(lock.release().await, Released::Freed);
    assert!(lock.acquire().await > token);
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// A client that knows some nodes of a cluster is served, whichever they are.
#[tokio::test(start_paused = true)]
async fn any_node_is_enough() {
    use Does::{Hang, Lead, PointAt};
    let clusters: [&[Does]; 6] = [
        &[Lead],
        &[PointAt(2), Lead],
        // The leader is none of them.
        &[PointAt(9)],
        &[PointAt(9), PointAt(9)],
        &[PointAt(9), Hang],
        // They are wrong about the leader, who knows better than they do.
        &[PointAt(3), PointAt(1), Lead],
    ];
    for does in clusters {
        check_service(ClusterKvClient::over(nodes(does, false))).await;
    }
}

/// A server that has no cluster, and no service but the key-value one.
#[tokio::test(start_paused = true)]
async fn a_server_without_a_cluster_is_enough() {
    let server = RpcClient::in_process(KvServer::new(SingleKvServer::new()));
    check_service(ClusterKvClient::over([server])).await;
}

/// A put that was passed on without an answer may have been applied: what comes later is no refusal of it.
#[tokio::test(start_paused = true)]
async fn a_put_that_is_passed_on_twice_is_in_doubt() {
    /// Applies the first put without answering it.
    struct LosesOne(SingleKvServer, std::sync::atomic::AtomicBool);

    #[traitwire::async_trait]
    impl Kv for LosesOne {
        async fn get(&self, args: GetArgs) -> RpcResult<GetReply> {
            self.0.get(args).await
        }

        async fn put(&self, args: PutArgs) -> RpcResult<PutReply> {
            let reply = self.0.put(args).await;
            if self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
                reply
            } else {
                Err(RpcError::unavailable("gone"))
            }
        }
    }

    let server = LosesOne(SingleKvServer::new(), false.into());
    let client = ClusterKvClient::over([RpcClient::in_process(KvServer::new(server))]);
    let time = Duration::from_secs(5);
    assert_eq!(client.try_put("k", "v", 0, time).await, Err(KVError::Maybe.into()));
    assert_eq!(client.try_put("k", "v", 0, time).await, Err(CallError::OtherVersion { version: 1 }));
}
