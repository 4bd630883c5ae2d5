//! A client follows the members of its cluster, whatever it was started with.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use traitwire::{RpcClient, RpcError, RpcResult, Services};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::{GetArgs, GetReply, Kv, KvServer, PutArgs, PutReply};
use traitwire_kv::services::member::{
    AddMemberArgs, MemberErr, MemberIdArgs, MemberInfo, MemberList, MemberReply, MemberRole, Members,
    MembersServer, ReplaceMemberArgs,
};
use traitwire_kv::services::raft::{ClusterId, Member, NodeId};
use traitwire_kv::services::rsm::{
    QueryArgs, QueryReply, ReadIndexReply, ReplyErr, Rsm, RsmServer, SessionReply, StatusReply, SubmitArgs,
    SubmitReply,
};

const TIME: Duration = Duration::from_secs(30);
const CLUSTER: ClusterId = ClusterId(1);

/// What is true of the nodes at some time.
#[derive(Default)]
struct Facts {
    members: BTreeMap<NodeId, String>,
    leader: NodeId,
    index: u64,
    down: BTreeSet<String>,
    /// Where it is there, two of three connections break, as this draws.
    breaks: Option<fastrand::Rng>,
    /// The ids of nodes that are not at the URL of their id.
    ids: BTreeMap<String, NodeId>,
    /// How many calls each node has passed on.
    passed_on: BTreeMap<String, usize>,
}

#[derive(Clone)]
struct World(Arc<(Mutex<Facts>, SingleKvServer)>);

/// The node at a URL.
#[derive(Clone)]
struct At {
    url: String,
    world: World,
}

fn url(id: NodeId) -> String {
    format!("http://node-{id}:1")
}

impl World {
    fn new(members: impl IntoIterator<Item = NodeId>, leader: NodeId) -> Self {
        let world = Self(Arc::new((Mutex::default(), SingleKvServer::new())));
        world.become_cluster_of(members, leader);
        world
    }

    fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.0.0.lock().unwrap())
    }

    fn become_cluster_of(&self, members: impl IntoIterator<Item = NodeId>, leader: NodeId) {
        self.change(|facts| {
            facts.members = members.into_iter().map(|id| (id, url(id))).collect();
            facts.leader = leader;
            facts.index += 1;
        });
    }

    fn connect(&self, url: &str) -> RpcClient {
        let at = At { url: url.to_owned(), world: self.clone() };
        let services = Services::new().mount(RsmServer::new(at.clone())).mount(KvServer::new(at.clone()));
        RpcClient::in_process(services.mount(MembersServer::new(at)))
    }

    fn client(&self, ids: impl IntoIterator<Item = NodeId>) -> ClusterKvClient {
        let world = self.clone();
        ClusterKvClient::connecting(ids.into_iter().map(url), move |url| world.connect(url))
    }
}

impl At {
    fn id(&self) -> NodeId {
        if let Some(id) = self.world.change(|facts| facts.ids.get(&self.url).copied()) {
            return id;
        }
        self.url.trim_start_matches("http://node-").trim_end_matches(":1").parse().unwrap()
    }

    async fn leads(&self) -> Result<(), ReplyErr> {
        self.lives().await?;
        let leader = self.world.change(|facts| facts.leader);
        if self.id() == leader {
            return Ok(());
        }
        Err(ReplyErr::WrongLeader { leader: Some(leader), submitted: false })
    }

    async fn lives(&self) -> RpcResult<()> {
        if self.world.change(|facts| facts.down.contains(&self.url)) {
            return Err(RpcError::unavailable("refused").not_executed());
        }
        let breaks =
            self.world.change(|facts| facts.breaks.as_mut().is_some_and(|random| random.u8(..3) > 0));
        if breaks {
            return Err(RpcError::unavailable("connection closed before message completed"));
        }
        Ok(())
    }

    fn pass_on(&self) {
        self.world.change(|facts| *facts.passed_on.entry(self.url.clone()).or_default() += 1);
    }
}

#[traitwire::async_trait]
impl Kv for At {
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply> {
        self.lives().await?;
        self.pass_on();
        self.world.0.1.get(args).await
    }

    async fn put(&self, args: PutArgs) -> RpcResult<PutReply> {
        self.lives().await?;
        self.pass_on();
        self.world.0.1.put(args).await
    }
}

#[traitwire::async_trait]
impl Rsm for At {
    async fn open_session(&self) -> Result<SessionReply, ReplyErr> {
        self.leads().await?;
        Ok(SessionReply { session: 1 })
    }

    async fn submit(&self, args: SubmitArgs) -> Result<SubmitReply, ReplyErr> {
        self.leads().await?;
        let command: serde_json::Value = serde_json::from_str(args.command.get()).unwrap();
        let put = serde_json::from_value(command["put"].clone()).unwrap();
        let reply = serde_json::json!({ "put": self.world.0.1.put(put).await? });
        Ok(SubmitReply { reply: serde_json::value::to_raw_value(&reply).unwrap() })
    }

    async fn query(&self, args: QueryArgs) -> Result<QueryReply, ReplyErr> {
        self.leads().await?;
        let question: serde_json::Value = serde_json::from_str(args.question.get()).unwrap();
        let get = serde_json::from_value(question["get"].clone()).unwrap();
        let answer = self.world.0.1.get(get).await?;
        Ok(QueryReply { answer: serde_json::value::to_raw_value(&answer).unwrap() })
    }

    async fn read_index(&self) -> Result<ReadIndexReply, ReplyErr> {
        self.leads().await?;
        Ok(ReadIndexReply { index: 1 })
    }

    async fn status(&self) -> RpcResult<StatusReply> {
        self.lives().await?;
        let status = serde_json::json!({
            "id": self.id(), "role": "follower", "term": 1, "leader": null, "commit_index": 0, "applied_index": 0,
            "last_log_index": 0, "snapshot_index": 0,
        });
        Ok(serde_json::from_value(status).unwrap())
    }
}

#[traitwire::async_trait]
impl Members for At {
    async fn list(&self) -> Result<MemberList, MemberErr> {
        self.lives().await?;
        let node = self.id();
        Ok(self.world.change(|facts| {
            let role = |id| if id == facts.leader { MemberRole::Leader } else { MemberRole::Voter };
            let info = |(id, url): (&NodeId, &String)| MemberInfo {
                id: *id,
                incarnation: None,
                url: Some(url.clone()),
                role: role(*id),
                goal: None,
                behind: None,
                reachable: None,
            };
            MemberList {
                cluster: "test".to_owned(),
                cluster_id: Some(CLUSTER),
                node,
                leader: Some(facts.leader),
                index: facts.index,
                joint: false,
                in_progress: None,
                members: facts.members.iter().map(info).collect(),
            }
        }))
    }

    async fn add(&self, _: AddMemberArgs) -> Result<MemberReply, MemberErr> {
        Err(MemberErr::NotReady)
    }

    async fn promote(&self, _: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        Err(MemberErr::NotReady)
    }

    async fn remove(&self, _: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        Err(MemberErr::NotReady)
    }

    async fn replace(&self, _: ReplaceMemberArgs) -> Result<MemberReply, MemberErr> {
        Err(MemberErr::NotReady)
    }

    async fn rejoin(&self, _: Member) -> Result<MemberReply, MemberErr> {
        Err(MemberErr::NotReady)
    }
}

async fn put(client: &ClusterKvClient, version: u64) {
    client.try_put("k", "v", version, TIME).await.unwrap();
    assert_eq!(client.try_get("k", TIME).await.unwrap(), ("v".to_owned(), version + 1));
}

/// One URL is enough: the leader is asked itself, wherever it is, so that puts have tickets.
#[tokio::test(start_paused = true)]
async fn a_client_of_one_node_learns_of_the_others() {
    let world = World::new([1, 2, 3], 3);
    let client = world.client([1]);
    put(&client, 0).await;
    world.change(|facts| facts.leader = 2);
    put(&client, 1).await;
    assert_eq!(world.change(|facts| facts.passed_on.clone()), BTreeMap::new());
}

/// Members are replaced one after the other while the client is in use, until none is left of those that it was given.
#[tokio::test(start_paused = true)]
async fn a_client_outlives_all_the_nodes_that_it_was_given() {
    let world = World::new([1, 2, 3], 3);
    let client = world.client([1, 2]);
    put(&client, 0).await;
    for round in 1..=20 {
        let members = round + 1..=round + 3;
        world.become_cluster_of(members.clone(), if round % 2 == 0 { round + 3 } else { round + 1 });
        for call in 0..10 {
            put(&client, round * 10 + call - 9).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Those that have left are gone for good.
        world.change(|facts| facts.down.insert(url(round)));
    }
    assert_eq!(world.change(|facts| facts.passed_on.clone()), BTreeMap::new());
}

/// All nodes that the client knows end while others of the cluster come to the URLs that it was given: it finds those.
#[tokio::test(start_paused = true)]
async fn a_client_finds_new_nodes_at_the_urls_that_it_was_given() {
    let world = World::new([1, 2, 3], 3);
    let client = world.client([1, 2, 3]);
    put(&client, 0).await;
    world.become_cluster_of([4, 5, 6], 5);
    world.change(|facts| facts.down = [1, 2, 3].map(url).into());
    world.change(|facts| facts.down.remove(&url(3)));
    for version in 1..=10 {
        put(&client, version).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Nodes 7 and 8 are where 1 and 2 were, and nobody is where 4, 5 and 6 were.
    world.change(|facts| {
        facts.members = [(7, url(1)), (8, url(2))].into();
        facts.ids = [(url(1), 7), (url(2), 8)].into();
        facts.leader = 8;
        facts.index += 1;
        facts.down = (3..=6).map(url).collect();
    });
    let began = tokio::time::Instant::now();
    put(&client, 11).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Nodes may reach each other at URLs that clients cannot reach. Then those that a client reaches pass its calls on.
#[tokio::test(start_paused = true)]
async fn a_leader_out_of_reach_is_reached_through_others() {
    let world = World::new([1, 2, 3], 3);
    world.change(|facts| facts.down.insert(url(3)));
    let client = world.client([1]);
    let began = tokio::time::Instant::now();
    put(&client, 0).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for version in 1..100 {
        put(&client, version).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A connection that breaks shows that there is a node. Calls that go through another node instead pass two bad links.
#[tokio::test(start_paused = true)]
async fn a_leader_to_which_most_connections_break_is_still_asked_itself() {
    // The pauses are drawn from this too.
    fastrand::seed(7);
    let world = World::new([1, 2, 3], 3);
    let client = world.client([1, 2, 3]);
    put(&client, 0).await;
    world.change(|facts| facts.breaks = Some(fastrand::Rng::with_seed(7)));
    for version in 1..400 {
        put(&client, version).await;
    }
    assert_eq!(world.change(|facts| facts.passed_on.clone()), BTreeMap::new());
}

/// A removed node that has become another cluster, or that is behind, does not lead a client astray.
#[tokio::test(start_paused = true)]
async fn old_lists_change_nothing() {
    let world = World::new([1, 2, 3], 3);
    let client = world.client([1, 2, 3]);
    put(&client, 0).await;
    world.become_cluster_of([3, 4, 5], 5);
    tokio::time::sleep(Duration::from_secs(4)).await;
    put(&client, 1).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    put(&client, 2).await;
    // From here on every node tells an old story.
    world.change(|facts| {
        facts.index = 1;
        facts.members = [1, 2, 3].map(|id| (id, url(id))).into();
        facts.down = [1, 2, 3].map(url).into();
    });
    for version in 3..10 {
        put(&client, version).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
}
