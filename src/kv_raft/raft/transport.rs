//! How a node reaches the others: one small trait, and the one over RPC.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::Duration;

use traitwire::http::{HeaderName, HeaderValue};
use traitwire::{CoalesceLimits, PEER, Retry, RpcClient, RpcError, RpcResult};

use traitwire_schema::Catalogue;

use super::core::{Reply, Request};
use super::own_urls::OwnUrls;
use super::{KnownMembership, Profile};
use crate::index::SERVICES;
use crate::services::raft::{
    ClusterId, Entry, Incarnation, Index, Member, NodeId, Payload, Raft as _, RaftStub, Sender, Term,
};

/// The version of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;

/// The header in which a node tells its peers the fingerprint of its services. It is no field of `Sender`, since nothing
/// depends on it: an operator of a half-upgraded cluster wants to know, the nodes do not.
pub(super) static SCHEMA: HeaderName = HeaderName::from_static("x-traitwire-schema");

/// The fingerprint of this program's services, as `schema probe` and `/_schema/fingerprint` show it.
pub(super) static OWN_SCHEMA: LazyLock<HeaderValue> = LazyLock::new(|| {
    let catalogue = Catalogue::new(SERVICES).expect("a test makes the catalogue of this program");
    HeaderValue::from_str(&catalogue.fingerprint()).expect("hexadecimal digits may stand in a header")
});

/// The terms that a cluster may reach: a new one each nanosecond for ages. Whoever speaks of a later one is not believed, since
/// no term could follow it.
pub(super) const TERMS: RangeInclusive<Term> = 1..=u64::MAX >> 1;

/// Carries messages to the other nodes.
#[traitwire::async_trait]
pub trait Transport: Send + Sync {
    /// Sends a request and waits for its answer. The caller bounds the wait.
    ///
    /// # Errors
    /// When there is no answer; the request may have been received.
    async fn send(&self, to: NodeId, request: Request) -> RpcResult<Reply>;

    /// Takes in who belongs to the cluster now. A request that is sent later is for the incarnations that this names; the
    /// caller waits, so this must be quick.
    fn follow(&self, known: &KnownMembership) {
        let _ = known;
    }
}

/// Entries of at least so many bytes have connections of their own: what is behind them on a slow link comes late.
const LARGE_BYTES: usize = 32 << 10;

/// The deadline of what has such a connection. The core's time limits are shorter.
const LARGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls the `raft` methods of the other nodes.
pub struct RpcTransport {
    cluster: String,
    from: NodeId,
    /// What this node is, where its folder says so.
    profile: Option<Arc<Profile>>,
    /// URLs that go before those in the membership.
    own_urls: Mutex<OwnUrls>,
    /// The ids that messages carry.
    ids: RwLock<Arc<Ids>>,
    peers: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
}

/// What messages say about the sender's cluster and their receivers.
#[derive(Default)]
struct Ids {
    cluster_id: Option<ClusterId>,
    membership_index: Option<Index>,
    incarnations: BTreeMap<NodeId, Incarnation>,
}

/// The ways to a node.
struct Peer {
    /// Where it is; unknown for a client that somebody else has made.
    url: Option<String>,
    /// For votes, heartbeats and small entries.
    small: RaftStub,
    /// For large entries and pieces of snapshots.
    large: RaftStub,
}

impl RpcTransport {
    /// A transport from one node of a cluster to the nodes at these URLs, which go before those in the membership; that of the
    /// node itself is not used.
    pub fn new(cluster: &str, from: NodeId, urls: &BTreeMap<NodeId, String>) -> Self {
        let peers = urls.iter().map(|(id, url)| (*id, Arc::new(Peer::at(from, url)))).collect();
        Self {
            cluster: cluster.to_owned(),
            from,
            profile: None,
            own_urls: Mutex::new(OwnUrls::new(urls)),
            ids: RwLock::default(),
            peers: RwLock::new(peers),
        }
    }

    /// Lets messages name the incarnations of their sender and receiver, and the id of the cluster.
    #[must_use]
    pub fn with_profile(mut self, profile: Arc<Profile>) -> Self {
        self.profile = Some(profile);
        self
    }

    fn sender(&self, to: NodeId) -> Sender {
        let sender = Sender {
            cluster: self.cluster.clone(),
            protocol: PROTOCOL,
            from: self.from,
            to,
            ..Sender::default()
        };
        let Some(profile) = &self.profile else { return sender };
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (from_incarnation, own_cluster) = profile.ids();
        Sender {
            cluster_id: ids.cluster_id.or(own_cluster),
            from_incarnation,
            to_incarnation: ids.incarnations.get(&to).copied(),
            membership_index: ids.membership_index,
            ..sender
        }
    }

    /// The same over clients that exist already, one for everything that goes to a node.
    pub fn over(cluster: &str, from: NodeId, clients: impl IntoIterator<Item = (NodeId, RpcClient)>) -> Self {
        let stub = RaftStub::new;
        let peer = |client: RpcClient| Peer { url: None, small: stub(client.clone()), large: stub(client) };
        let peers = clients.into_iter().map(|(id, client)| (id, Arc::new(peer(client)))).collect();
        let own_urls = Mutex::default();
        let (ids, peers) = (RwLock::default(), RwLock::new(peers));
        Self { cluster: cluster.to_owned(), from, profile: None, own_urls, ids, peers }
    }

    fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }
}

impl Peer {
    fn at(from: NodeId, url: &str) -> Self {
        let builder = || {
            // The core decides what is sent again.
            let client_id = usize::try_from(from).unwrap_or(usize::MAX);
            let client = RpcClient::builder(url.to_owned()).client_id(client_id).retry(Retry::never());
            let client = client.header(PEER.clone(), HeaderValue::from_static("1"));
            client.header(SCHEMA.clone(), OWN_SCHEMA.clone())
        };
        let large = builder().coalesce(CoalesceLimits::off()).timeout(LARGE_TIMEOUT).build();
        let (small, large) = (RaftStub::new(builder().build()), RaftStub::new(large));
        Self { url: Some(url.to_owned()), small, large }
    }
}

#[traitwire::async_trait]
impl Transport for RpcTransport {
    async fn send(&self, to: NodeId, request: Request) -> RpcResult<Reply> {
        let unknown = || RpcError::unavailable(format!("no URL is known for node {to}"));
        let peer = self.peer(to).ok_or_else(unknown)?;
        let peer = if is_large(&request) { &peer.large } else { &peer.small };
        let sender = self.sender(to);
        let reply = match request {
            Request::PreVote(args) => Reply::PreVote(peer.pre_vote(sender, args).await?),
            Request::Vote(args) => Reply::Vote(peer.request_vote(sender, args).await?),
            Request::Append(args) => Reply::Append(peer.append_entries(sender, args).await?),
            Request::Snapshot(args) => Reply::Snapshot(peer.install_snapshot(sender, args).await?),
            Request::TimeoutNow(args) => Reply::TimeoutNow(peer.timeout_now(sender, args).await?),
        };
        let term = term_of(&reply);
        // A node that has answered nothing yet may be in term 0.
        if term > *TERMS.end() {
            return Err(RpcError::internal(format!(
                "node {to} is in term {term}, which no cluster can reach"
            )));
        }
        Ok(reply)
    }

    fn follow(&self, known: &KnownMembership) {
        let members = known.membership.members.iter().chain(&known.leaving);
        let incarnation = |member: &Member| Some((member.id, member.incarnation?));
        // Those of the membership last: they go before those that are leaving.
        let leaving_first = known.leaving.iter().chain(&known.membership.members);
        let ids = Ids {
            cluster_id: known.membership.cluster_id,
            membership_index: Some(known.index),
            incarnations: leaving_first.filter_map(incarnation).collect(),
        };
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ids);
        let mut own_urls = self.own_urls.lock().unwrap_or_else(PoisonError::into_inner);
        own_urls.follow(&known.membership);
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for member in members.filter(|member| member.id != self.from) {
            let url = own_urls.of(member);
            match peers.get(&member.id) {
                Some(peer) if peer.url.as_ref().is_none_or(|known| *known == *url) => {}
                Some(_) | None => {
                    peers.insert(member.id, Arc::new(Peer::at(self.from, url)));
                }
            }
        }
        // A membership without members says nothing about where its nodes are.
        if !known.membership.members.is_empty() {
            peers.retain(|node, _| known.membership.has(*node) || known.addressee(*node).is_some());
        }
    }
}

fn is_large(request: &Request) -> bool {
    let bytes = |entry: &Entry| match &entry.payload {
        Payload::Command(command) => command.json().len(),
        Payload::Blank | Payload::Membership(_) => 0,
    };
    match request {
        Request::Append(args) => args.entries.iter().map(bytes).sum::<usize>() >= LARGE_BYTES,
        Request::Snapshot(_) => true,
        Request::PreVote(_) | Request::Vote(_) | Request::TimeoutNow(_) => false,
    }
}

fn term_of(reply: &Reply) -> Term {
    match reply {
        Reply::PreVote(reply) | Reply::Vote(reply) => reply.term,
        Reply::Append(reply) => reply.term,
        Reply::Snapshot(reply) => reply.term,
        Reply::TimeoutNow(reply) => reply.term,
    }
}
