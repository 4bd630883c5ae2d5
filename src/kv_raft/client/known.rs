//! The nodes that a client knows. They follow the members of the cluster, so that a client whose nodes have all been replaced
//! still reaches it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use traitwire::RpcClient;

use crate::services::kv::KvStub;
use crate::services::member::{MemberList, MemberRole, Members as _, MembersStub};
use crate::services::raft::{ClusterId, Index, NodeId};
use crate::services::rsm::{Rsm as _, RsmStub};
use crate::url::ServerUrl;

/// How often a client that is in use asks who belongs to the cluster, and how long the answer may take.
const LEARN_EVERY: Duration = Duration::from_secs(3);
const LEARN_TIME: Duration = Duration::from_secs(1);

/// A node that has answered nothing for this long is lost: what is meant for it goes through others. After a while it gets
/// another chance.
const LOST_AFTER: Duration = Duration::from_millis(1_500);
const LOST_FOR: Duration = Duration::from_secs(10);

/// After how many calls in a row whose connections broke a node counts as silent. A network that loses three of four exchanges
/// breaks that many once in three hundred times; a node at whose address something else closes connections, always.
const BROKEN_MAX: u64 = 20;

/// How many nodes a client learns of, at most.
const NODES_MAX: usize = 64;

/// Makes the client of a node from its URL.
pub(super) type Connect = Box<dyn Fn(&str) -> RpcClient + Send + Sync>;

/// The nodes, and which one is asked first.
pub(super) struct Known {
    nodes: RwLock<Nodes>,
    /// Without it, the client stays with the nodes that it was given.
    connect: Option<Connect>,
    created: Instant,
    /// When the client last began to ask who belongs to the cluster, in milliseconds after it was created.
    learned_ms: AtomicU64,
    /// Whether the client has turned to another node since then: the members have probably changed.
    has_moved: AtomicBool,
    /// Held by the call that asks, so that others wait for its answer instead of asking as well.
    learning: tokio::sync::Mutex<()>,
    newest: Mutex<Option<Newest>>,
}

struct Nodes {
    all: Vec<Arc<Node>>,
    /// The place of the node that is asked first: the leader, as far as is known.
    current: usize,
}

/// What the newest list of members was about.
#[derive(Clone, Copy)]
struct Newest {
    cluster_id: Option<ClusterId>,
    index: Index,
}

/// One node.
pub(super) struct Node {
    /// Nothing for a client that was made by somebody else.
    url: Option<ServerUrl>,
    /// Whether the client was given this node, and so never forgets it.
    is_given: bool,
    /// Whether it is known to belong to the cluster no more.
    is_gone: AtomicBool,
    pub(super) rsm: RsmStub,
    pub(super) kv: KvStub,
    members: MembersStub,
    /// Its id, once it is known; 0 before.
    id: AtomicU64,
    /// Until when calls go to its key-value service; 0 while it is asked as a node that may lead.
    passes_on_until_ms: AtomicU64,
    /// Since when it has answered nothing; 0 where it has.
    silent_since_ms: AtomicU64,
    /// How many calls in a row had a connection that broke.
    broken: AtomicU64,
}

impl Node {
    fn new(client: RpcClient, url: Option<ServerUrl>, is_given: bool) -> Arc<Self> {
        Arc::new(Self {
            url,
            is_given,
            is_gone: AtomicBool::new(false),
            rsm: RsmStub::new(client.clone()),
            kv: KvStub::new(client.clone()),
            members: MembersStub::new(client),
            id: AtomicU64::new(0),
            passes_on_until_ms: AtomicU64::new(0),
            silent_since_ms: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        })
    }

    fn id(&self) -> Option<NodeId> {
        Some(self.id.load(Ordering::Relaxed)).filter(|id| *id > 0)
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

impl Known {
    /// The nodes that these clients reach.
    pub(super) fn over(clients: impl IntoIterator<Item = RpcClient>) -> Self {
        Self::new(clients.into_iter().map(|client| Node::new(client, None, true)).collect(), None)
    }

    /// The nodes at these URLs, and those that they say belong to the cluster.
    pub(super) fn at(urls: impl IntoIterator<Item = String>, connect: Connect) -> Self {
        let node = |url: String| Node::new(connect(&url), url.parse().ok(), true);
        let nodes = urls.into_iter().map(node).collect();
        Self::new(nodes, Some(connect))
    }

    fn new(all: Vec<Arc<Node>>, connect: Option<Connect>) -> Self {
        assert!(!all.is_empty(), "a client needs a node to ask");
        let current = fastrand::usize(..all.len());
        Self {
            nodes: RwLock::new(Nodes { all, current }),
            connect,
            created: Instant::now(),
            learned_ms: AtomicU64::new(0),
            has_moved: AtomicBool::new(false),
            learning: tokio::sync::Mutex::default(),
            newest: Mutex::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Nodes> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Nodes> {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        // 0 means never.
        millis(self.created.elapsed()).max(1)
    }

    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.read().all.len()
    }

    /// The node that is asked first.
    pub(super) fn current(&self) -> Arc<Node> {
        let nodes = self.read();
        nodes.all[nodes.current].clone()
    }

    /// Asks another node first than this one. Another call may have done so already.
    pub(super) fn move_on(&self, from: &Arc<Node>) {
        let mut nodes = self.write();
        let (current, count) = (nodes.current, nodes.all.len());
        if Arc::ptr_eq(&nodes.all[current], from) {
            let following = || (1..=count).map(|step| (current + step) % count);
            let is_usable = |node: &Node| !node.is_gone() && !self.is_lost(node);
            // Where none is left, those come into question again that had left the cluster: another node may be in their place.
            let usable = following().find(|place| is_usable(&nodes.all[*place]));
            nodes.current = usable.or_else(|| following().next()).unwrap_or(current);
            self.has_moved.store(true, Ordering::Relaxed);
        }
    }

    /// Asks this node first.
    pub(super) fn prefer(&self, node: &Arc<Node>) {
        let mut nodes = self.write();
        if let Some(place) = nodes.all.iter().position(|known| Arc::ptr_eq(known, node)) {
            nodes.current = place;
            self.has_moved.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a node is asked to pass calls on.
    pub(super) fn passes_on(&self, node: &Node) -> bool {
        match node.passes_on_until_ms.load(Ordering::Relaxed) {
            0 => false,
            until_ms if self.now_ms() < until_ms => true,
            _ => {
                node.passes_on_until_ms.store(0, Ordering::Relaxed);
                false
            }
        }
    }

    /// Lets a node pass calls on for a while.
    pub(super) fn let_pass_on(&self, node: &Node, time: Duration) {
        let until_ms = self.now_ms().saturating_add(millis(time));
        node.passes_on_until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// Notes that a node has answered a call.
    pub(super) fn note_answer(&self, node: &Node) {
        // Looked at first: a line of the cache that is only read stays where it is.
        if node.silent_since_ms.load(Ordering::Relaxed) > 0 {
            node.silent_since_ms.store(0, Ordering::Relaxed);
        }
        if node.broken.load(Ordering::Relaxed) > 0 {
            node.broken.store(0, Ordering::Relaxed);
        }
        // It may be another node at the same URL.
        if node.is_gone() {
            node.id.store(0, Ordering::Relaxed);
            node.is_gone.store(false, Ordering::Relaxed);
        }
    }

    /// Notes that the connection broke under a call. That happens at nodes that can be reached.
    pub(super) fn note_break(&self, node: &Node) {
        if node.broken.fetch_add(1, Ordering::Relaxed) + 1 >= BROKEN_MAX {
            self.note_silence(node);
        }
    }

    /// Notes that a node has not answered a call.
    pub(super) fn note_silence(&self, node: &Node) {
        let (now_ms, since) = (self.now_ms(), &node.silent_since_ms);
        let again_ms = millis(LOST_AFTER + LOST_FOR);
        let old = since.load(Ordering::Relaxed);
        if old == 0 || now_ms.saturating_sub(old) > again_ms {
            since.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Whether a node has answered nothing for a while.
    fn is_lost(&self, node: &Node) -> bool {
        let since_ms = node.silent_since_ms.load(Ordering::Relaxed);
        let silent_ms = self.now_ms().saturating_sub(since_ms);
        since_ms > 0 && (millis(LOST_AFTER)..millis(LOST_AFTER + LOST_FOR)).contains(&silent_ms)
    }

    /// The node with this id, unless it has answered nothing for a while: a node may be reachable for the others alone.
    fn with_id(&self, id: NodeId) -> Option<Arc<Node>> {
        let nodes = self.read();
        let mut found = nodes.all.iter().filter(|node| node.id() == Some(id));
        found.find(|node| !self.is_lost(node)).cloned()
    }

    /// The node with this id, which `from` has named. Nodes are asked for their ids when those are first needed, and `from` for
    /// the members where none of them has it.
    pub(super) async fn find(&self, id: NodeId, from: &Arc<Node>, until: Instant) -> Option<Arc<Node>> {
        if let Some(found) = self.with_id(id) {
            return Some(found);
        }
        let ask = async {
            let _asking = self.learning.lock().await;
            if let Some(found) = self.with_id(id) {
                return Some(found);
            }
            self.identify(Some(id)).await;
            if let Some(found) = self.with_id(id) {
                return Some(found);
            }
            self.learn_from(from).await;
            self.with_id(id)
        };
        timeout_at(until, ask).await.ok().flatten()
    }

    /// Asks the nodes for the ids that are not known yet, until one has the id that is looked for.
    async fn identify(&self, wanted: Option<NodeId>) {
        let mut asked = tokio::task::JoinSet::new();
        let unknown: Vec<_> = self.read().all.iter().filter(|node| node.id().is_none()).cloned().collect();
        for node in unknown {
            asked.spawn(async move {
                let status = timeout(LEARN_TIME, node.rsm.status()).await.ok().and_then(Result::ok)?;
                node.id.store(status.id, Ordering::Relaxed);
                Some(status.id)
            });
        }
        while let Some(answer) = asked.join_next().await {
            if wanted.is_some() && answer.ok().flatten() == wanted {
                return;
            }
        }
    }

    /// Asks for the members once more if that is due, without making the caller wait, who knows the time.
    pub(super) fn keep_learning(self: &Arc<Self>, from: &Arc<Node>, now: Instant) {
        let now_ms = millis(now.saturating_duration_since(self.created)).max(1);
        let learned_ms = self.learned_ms.load(Ordering::Relaxed);
        let is_due = now_ms >= learned_ms + millis(LEARN_EVERY) || self.has_moved.load(Ordering::Relaxed);
        if self.connect.is_none() || !is_due {
            return;
        }
        let began =
            self.learned_ms.compare_exchange(learned_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if began.is_ok() {
            self.has_moved.store(false, Ordering::Relaxed);
            let (known, from) = (self.clone(), from.clone());
            tokio::spawn(async move {
                let _asking = known.learning.lock().await;
                known.identify(None).await;
                known.learn_from(&from).await;
            });
        }
    }

    async fn learn_from(&self, from: &Arc<Node>) {
        if self.connect.is_none() {
            return;
        }
        self.learned_ms.store(self.now_ms(), Ordering::Relaxed);
        if let Ok(Ok(list)) = timeout(LEARN_TIME, from.members.list()).await {
            self.take_in(&list);
        }
    }

    /// Takes in who belongs to the cluster.
    fn take_in(&self, list: &MemberList) {
        let Some(connect) = &self.connect else { return };
        if list.members.is_empty() || !self.is_newest(list) {
            return;
        }
        let ids: BTreeSet<_> = list.members.iter().map(|member| member.id).collect();
        let mut nodes = self.write();
        let current = nodes.all[nodes.current].clone();
        for node in &nodes.all {
            node.is_gone.store(node.id().is_some_and(|id| !ids.contains(&id)), Ordering::Relaxed);
        }
        for member in list.members.iter().filter(|member| member.role != MemberRole::Learner) {
            let Some(url) = member.url.as_deref().and_then(|url| url.parse::<ServerUrl>().ok()) else {
                continue;
            };
            // Where the client was given another way to a node that works, it stays with that.
            let is_known = |node: &&Arc<Node>| {
                node.url.as_ref() == Some(&url)
                    || (node.is_given && node.id() == Some(member.id) && !self.is_lost(node))
            };
            match nodes.all.iter().find(is_known) {
                Some(node) => {
                    node.id.store(member.id, Ordering::Relaxed);
                    node.is_gone.store(false, Ordering::Relaxed);
                }
                None if nodes.all.len() < NODES_MAX => {
                    let node = Node::new(connect(url.as_str()), Some(url), false);
                    node.id.store(member.id, Ordering::Relaxed);
                    nodes.all.push(node);
                }
                None => {}
            }
        }
        // A member has one URL: what was learned before of it, or of a node that has left, is out of date.
        let urls: Vec<(NodeId, ServerUrl)> = list
            .members
            .iter()
            .filter_map(|member| Some((member.id, member.url.as_deref()?.parse().ok()?)))
            .collect();
        let is_current = |node: &Node| {
            urls.iter().any(|(id, url)| node.id() == Some(*id) && node.url.as_ref() == Some(url))
        };
        nodes.all.retain(|node| node.is_given || is_current(node));
        let place = |wanted: &dyn Fn(&Arc<Node>) -> bool| nodes.all.iter().position(wanted);
        let stays = place(&|node| Arc::ptr_eq(node, &current) && !node.is_gone());
        let leads = || place(&|node| list.leader.is_some() && node.id() == list.leader);
        let any = || place(&|node| !node.is_gone());
        nodes.current = stays.or_else(leads).or_else(any).unwrap_or(0);
    }

    /// Whether a list is of the client's cluster, and not from a node that is behind.
    fn is_newest(&self, list: &MemberList) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newest = match *newest {
            Some(Newest { cluster_id: Some(id), .. }) if list.cluster_id != Some(id) => false,
            Some(Newest { index, .. }) => index <= list.index,
            None => true,
        };
        if is_newest {
            *newest = Some(Newest { cluster_id: list.cluster_id, index: list.index });
        }
        is_newest
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
