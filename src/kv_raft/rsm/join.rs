//! The task that makes a node a member and keeps it one: it founds a cluster, asks to be taken back after the folder was wiped, and
//! tells the cluster when the node has moved. It also ends a node whose folder was copied. What an empty node does is decided in `founding.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use traitwire::log::Excerpt;

use super::asker::Asker;
use super::founding::{Answer, Decision, Own, decide};
use super::open::NodeConfig;
use crate::kv_raft::raft::core::{Change, Role};
use crate::kv_raft::raft::storage::{IdentityFile, NodeIdentity, Standing};
use crate::kv_raft::raft::{Ended, KnownMembership, PROTOCOL, ProblemKind, Raft};
use crate::services::member::{MemberErr, Members as _};
use crate::services::raft::{ClusterId, Goal, Member, Membership, NodeId};

/// How long to wait before the other nodes are asked again: longer each time while nothing changes.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long the cluster may take to take a node back.
const REJOIN_TIME: Duration = Duration::from_secs(10);

/// How long an ordinary node that is not named by its own membership goes without a leader before it asks to be taken back.
const NO_LEADER_AFTER: Duration = Duration::from_secs(2);

/// The task.
pub(super) struct Keeper {
    raft: Arc<Raft>,
    identity: Arc<IdentityFile>,
    membership: watch::Receiver<Arc<KnownMembership>>,
    id: NodeId,
    cluster: String,
    /// The URLs of the command line.
    peers: BTreeMap<NodeId, String>,
    /// The URL of this node, if it is known.
    url: Option<String>,
    /// The URL of the address that this process listens on, if that says where it is.
    listens_at: Option<String>,
    bootstrap: bool,
    asker: Asker,
    pause: Duration,
    was_member: bool,
    /// Whether this run has looked for another one with a copy of the folder.
    has_looked: bool,
}

impl Keeper {
    pub(super) fn new(raft: Arc<Raft>, identity: Arc<IdentityFile>, config: &NodeConfig) -> Self {
        Self {
            membership: raft.membership(),
            raft,
            identity,
            id: config.id,
            cluster: config.cluster.clone(),
            peers: config.peers.clone(),
            url: config.peers.get(&config.id).or(config.url.as_ref()).cloned(),
            listens_at: config.url.clone(),
            bootstrap: config.bootstrap,
            asker: Asker::new(config.id),
            pause: PAUSE_MIN,
            was_member: false,
            has_looked: false,
        }
    }

    /// Runs until the node ends.
    pub(super) async fn run(mut self) {
        let raft = self.raft.clone();
        tokio::select! {
            _ended = raft.ended() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let known = self.membership.borrow_and_update().clone();
            let settled = if known.membership.nodes().is_empty() {
                self.begin().await;
                false
            } else {
                self.tend(&known).await
            };
            // A node that has nothing to do here waits for the next change of the membership.
            let pause = if settled { PAUSE_MAX } else { self.pause };
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            match timeout(pause, self.membership.changed()).await {
                Ok(Ok(())) => self.pause = PAUSE_MIN,
                Ok(Err(_stopped)) => return,
                Err(_late) => {}
            }
        }
    }

    /// One try of a node without a membership to come to one.
    async fn begin(&mut self) {
        let identity = self.identity.get();
        if identity.standing == Standing::Joining {
            self.wait(waits_to_be_added(identity.cluster_id, self.url.as_deref()));
            return;
        }
        let own_url = self.url.clone().unwrap_or_default();
        let own = Own {
            cluster: self.cluster.clone(),
            protocol: PROTOCOL,
            id: self.id,
            incarnation: identity.incarnation,
            cluster_id: identity.cluster_id,
            peers: if self.peers.is_empty() { [(self.id, own_url)].into() } else { self.peers.clone() },
            bootstrap: self.bootstrap,
        };
        let answers = self.asker.ask(&own.peers, 4 * self.pause).await;
        if self.is_adopted() {
            return;
        }
        match decide(&own, &answers) {
            Decision::Found(membership) => self.found(membership).await,
            Decision::Rejoin { cluster_id, at } => {
                let urls = at.iter().filter_map(|id| own.peers.get(id).cloned()).collect();
                self.rejoin(cluster_id, urls).await;
            }
            Decision::Wait(wait) => self.wait(wait.to_string()),
        }
    }

    /// Whether a leader has begun to tell this node who belongs to its cluster.
    fn is_adopted(&self) -> bool {
        self.raft.status().leader.is_some() || !self.membership.borrow().membership.nodes().is_empty()
    }

    async fn found(&mut self, membership: Membership) {
        let id = self.id;
        let cluster_id = ClusterId::random();
        // Before anything else, so that whatever the node promises from here on is to this cluster.
        let bind = move |identity: &mut NodeIdentity| {
            identity.cluster_id.get_or_insert(cluster_id);
        };
        if !self.note(bind).await || self.identity.ids().1 != Some(cluster_id) {
            // Another cluster has been faster.
            return;
        }
        let members = super::founding::ids(&membership.nodes());
        if self.raft.found(Membership { cluster_id: Some(cluster_id), ..membership }).await {
            // The log is not empty any more, so an empty one will have been lost.
            self.note(|identity| identity.standing = Standing::Member).await;
            tracing::info!(id, %cluster_id, members, "founded the cluster");
        }
    }

    /// Asks for this node to be taken back as the member that it was.
    async fn rejoin(&mut self, cluster_id: Option<ClusterId>, urls: Vec<String>) {
        let member = self.as_member(self.url.clone().unwrap_or_default(), Goal::Vote);
        let cluster = cluster_id.map_or_else(|| "without an id".to_owned(), |it| it.to_string());
        let mut reasons = Vec::new();
        for url in urls {
            let stub = self.asker.members(&url);
            let refused = match timeout(REJOIN_TIME, stub.rejoin(member.clone())).await {
                Ok(Ok(_)) => {
                    self.wait(format!(
                        "this node rejoins the cluster {cluster}: it catches up before it votes"
                    ));
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => MemberErr::NoAnswer { message: "no answer in time".to_owned(), submitted: true },
            };
            if let MemberErr::NoMember { .. } = refused {
                let add = self.url.as_deref().unwrap_or("URL");
                self.raft.problems().report(self.id, ProblemKind::Expelled, format!(
                    "the cluster {cluster} has no node {}: add this one with `traitwire member add {}`, after starting it with an \
                     empty folder and --join",
                    self.id, Excerpt(add)
                ));
                return;
            }
            let reason = format!("{}: {refused}", Excerpt(&url));
            reasons.push(reason);
        }
        if self.is_adopted() {
            return;
        }
        self.raft.problems().resolve(ProblemKind::Expelled);
        self.wait(format!(
            "this node is empty and its peers belong to the cluster {cluster}: it waits to be taken back ({})",
            reasons.join("; ")
        ));
    }

    /// One look at a node that has a membership. Returns whether there is nothing to do until that changes.
    async fn tend(&mut self, known: &KnownMembership) -> bool {
        if !known.is_member {
            return self.tend_stranger(known).await;
        }
        self.was_member = true;
        let stored = known.membership.member(self.id).map(|own| own.url.clone()).unwrap_or_default();
        let moved = self.url.clone().filter(|url| *url != stored && self.announces(known));
        if self.meets_copy(known, &stored, moved.is_some()).await {
            return false;
        }
        self.raft.problems().resolve(ProblemKind::Waiting);
        // The cluster has taken it in after saying that it has no such node, or the removal of it was undone.
        self.raft.problems().resolve(ProblemKind::Expelled);
        self.remember(known).await;
        if known.membership.cluster_id.is_none() {
            return self.give_id(known).await;
        }
        match moved {
            Some(url) => {
                self.announce(known, url).await;
                false
            }
            None => true,
        }
    }

    /// Ends this node if another process answers as this one, with a copy of its folder, where the cluster reaches it. The cluster
    /// would take both for one node, which would vote twice, and acknowledge what only the other one has.
    async fn meets_copy(&mut self, known: &KnownMembership, stored: &str, has_moved: bool) -> bool {
        let Some(run) = self.raft.profile().run else { return false };
        let status = self.raft.status();
        let looks_again = std::mem::replace(&mut self.has_looked, true);
        // The messages of a leader are for the process that the cluster reaches.
        let is_reached = status.leader.is_some() && status.role != Role::Leader;
        if is_reached && looks_again && !has_moved {
            return false;
        }
        let mut urls = Vec::new();
        if status.leader.is_none() && looks_again {
            // The cluster may have been told that this node has moved.
            urls = self.asker.elsewhere(self.id, stored, self.urls_of_others(known)).await;
        }
        if !stored.is_empty() && self.listens_at.as_deref() != Some(stored) {
            urls.push(stored.to_owned());
        }
        for url in urls {
            if self.asker.is_copy(&url, (self.identity.ids().0, run)).await {
                self.raft.end(Ended::Copied { url: Excerpt(&url).to_string() }).await;
                return true;
            }
        }
        false
    }

    fn urls_of_others(&self, known: &KnownMembership) -> Vec<String> {
        let others = known.membership.members.iter().filter(|member| member.id != self.id);
        others.map(|it| self.peers.get(&it.id).unwrap_or(&it.url).clone()).collect()
    }

    /// Whether the URL that this node knows of itself is the one to use: one of the command line, or one that it alone needs.
    fn announces(&self, known: &KnownMembership) -> bool {
        self.peers.contains_key(&self.id) || known.membership.nodes().len() == 1
    }

    /// What a node does whose membership does not name it, or names another incarnation, or may be undone.
    async fn tend_stranger(&mut self, known: &KnownMembership) -> bool {
        let cluster_id = known.cluster_id.or(known.membership.cluster_id);
        if self.was_member {
            let text = format!(
                "this node is not a member of its cluster any more: it was removed. Stop it; to add it again, start it with an empty \
                 folder and `--join`, and run `traitwire member add {}`",
                Excerpt(self.url.as_deref().unwrap_or("URL"))
            );
            self.raft.problems().report(self.id, ProblemKind::Expelled, text);
            return true;
        }
        if self.hears_leader().await.is_some() {
            // It applies what happened before it was a member.
            self.wait("this node is not a member yet: it catches up with its cluster".to_owned());
            return false;
        }
        self.rejoin(cluster_id, self.urls_of_others(known)).await;
        false
    }

    /// The leader, if this node hears of one in time.
    async fn hears_leader(&self) -> Option<NodeId> {
        let mut status = self.raft.watch();
        let hears = timeout(NO_LEADER_AFTER, status.wait_for(|status| status.leader.is_some())).await;
        hears.ok()?.ok()?.leader
    }

    /// This node as a member of its cluster.
    fn as_member(&self, url: String, goal: Goal) -> Member {
        Member { id: self.id, incarnation: Some(self.identity.ids().0), url, goal }
    }

    /// Lets the identity file say which cluster the node belongs to, once that is certain.
    async fn remember(&self, known: &KnownMembership) {
        let identity = self.identity.get();
        if let Some(cluster_id) = known.cluster_id
            && (identity.cluster_id != Some(cluster_id) || !identity.static_members.is_empty())
        {
            self.note(move |identity| {
                identity.cluster_id = Some(cluster_id);
                identity.static_members.clear();
            })
            .await;
        }
    }

    /// Tells the cluster where this node is now.
    async fn announce(&mut self, known: &KnownMembership, url: String) {
        let goal = known.membership.member(self.id).map_or(Goal::Vote, |own| own.goal);
        let member = self.as_member(url, goal);
        if self.raft.status().role == Role::Leader {
            let describe = Change::Describe { cluster_id: None, members: vec![member] };
            if let Err(error) = self.raft.change(describe).await {
                tracing::debug!(id = self.id, %error, "the cluster does not know the new URL of this node yet");
            }
            return;
        }
        // The leader may reach this node only once it knows the new URL.
        let url_of = |leader| self.peers.get(&leader).or(known.membership.member(leader).map(|it| &it.url));
        let at = match self.hears_leader().await {
            Some(leader) => url_of(leader).cloned().into_iter().collect(),
            None => self.urls_of_others(known),
        };
        for at in at {
            let stub = self.asker.members(&at);
            match timeout(REJOIN_TIME, stub.rejoin(member.clone())).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::debug!(id = self.id, at, %error, "the cluster does not know the new URL of this node yet");
                }
                Err(_) => {}
            }
        }
    }

    /// Gives a cluster of an earlier version its id, as its leader, once all nodes have been heard.
    async fn give_id(&mut self, known: &KnownMembership) -> bool {
        if self.raft.status().role != Role::Leader {
            return false;
        }
        let nodes = known.membership.nodes();
        let static_members = self.identity.get().static_members;
        let url = |id: &NodeId| self.peers.get(id).or(static_members.get(id)).cloned().unwrap_or_default();
        let urls: BTreeMap<_, _> = nodes.iter().map(|id| (*id, url(id))).collect();
        let answers = self.asker.ask(&urls, 4 * self.pause).await;
        let mut members = Vec::new();
        for (id, url) in urls {
            let (incarnation, url) = match answers.get(&id) {
                None => (Some(self.identity.ids().0), url),
                Some(Answer::Identified(reply))
                    if reply.id == id && reply.cluster == self.cluster && reply.cluster_id.is_none() =>
                {
                    // An empty one does not vote until it has rejoined.
                    (reply.incarnation.filter(|_| reply.has_data), reply.url.clone().unwrap_or(url))
                }
                Some(_) => return false,
            };
            members.push(Member { id, incarnation, url, goal: Goal::Vote });
        }
        let cluster_id = ClusterId::random();
        let describe = Change::Describe { cluster_id: Some(cluster_id), members };
        if self.raft.change(describe).await.is_ok() {
            tracing::info!(id = self.id, %cluster_id, "the cluster, which is of an earlier version, has an id now");
        }
        false
    }

    /// Changes the identity file. Returns whether that is on the disk.
    async fn note(&self, change: impl FnOnce(&mut NodeIdentity) + Send + 'static) -> bool {
        let file = self.identity.clone();
        match self.raft.with_disk(move || file.update(change)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(id = self.id, "cannot write the identity of this node: {error}");
                false
            }
            // The runtime is shutting down.
            Err(_) => false,
        }
    }

    fn wait(&self, text: String) {
        self.raft.problems().report(self.id, ProblemKind::Waiting, text);
    }
}

fn waits_to_be_added(cluster_id: Option<ClusterId>, url: Option<&str>) -> String {
    let cluster = cluster_id.map_or_else(String::new, |it| format!(" {it}"));
    let url = url.unwrap_or("URL");
    format!(
        "this node waits to be added to the cluster{cluster}: run `traitwire member add {}`, and name one of the cluster's nodes with \
         --endpoints",
        Excerpt(url)
    )
}
