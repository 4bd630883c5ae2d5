//! The other nodes of the cluster, and how this node calls them on behalf of clients.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use traitwire::{Retry, RpcClient};

use crate::kv_raft::raft::own_urls::OwnUrls;
use crate::services::member::MembersStub;
use crate::services::raft::{Membership, NodeId};
use crate::services::rsm::RsmStub;

/// The other nodes. They follow the membership.
pub(super) struct Others {
    id: NodeId,
    /// URLs from the command line, which go before those in the membership.
    own_urls: Mutex<OwnUrls>,
    nodes: RwLock<BTreeMap<NodeId, Other>>,
}

#[derive(Clone)]
struct Other {
    /// Where it is; unknown for a client that somebody else has made.
    url: Option<String>,
    rsm: RsmStub,
    members: MembersStub,
}

impl Other {
    fn new(url: Option<String>, client: RpcClient) -> Self {
        Self { url, rsm: RsmStub::new(client.clone()), members: MembersStub::new(client) }
    }
}

impl Others {
    /// The nodes at these URLs, one of which may be that of node `id` itself.
    pub(super) fn at(id: NodeId, urls: &BTreeMap<NodeId, String>) -> Self {
        let others = urls.iter().filter(|(peer, _)| **peer != id);
        let nodes = others.map(|(peer, url)| (*peer, connect(id, url))).collect();
        Self { id, own_urls: Mutex::new(OwnUrls::new(urls)), nodes: RwLock::new(nodes) }
    }

    /// The nodes that these clients reach.
    pub(super) fn over(id: NodeId, clients: impl IntoIterator<Item = (NodeId, RpcClient)>) -> Self {
        let nodes = clients.into_iter().map(|(peer, client)| (peer, Other::new(None, client))).collect();
        Self { id, own_urls: Mutex::default(), nodes: RwLock::new(nodes) }
    }

    /// Takes in who belongs to the cluster now. Nodes that have left are forgotten, unless the membership says nothing about
    /// where its nodes are.
    pub(super) fn follow(&self, membership: &Membership) {
        let mut own_urls = self.own_urls();
        own_urls.follow(membership);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node, _| membership.has(*node) || membership.members.is_empty());
        for member in membership.members.iter().filter(|member| member.id != self.id) {
            let url = own_urls.of(member);
            match nodes.get(&member.id) {
                Some(other) if other.url.as_ref().is_none_or(|known| *known == *url) => {}
                Some(_) | None => {
                    nodes.insert(member.id, connect(self.id, url));
                }
            }
        }
    }

    fn own_urls(&self) -> MutexGuard<'_, OwnUrls> {
        self.own_urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get<T>(&self, node: NodeId, stub: impl FnOnce(&Other) -> T) -> Option<T> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(&node).map(stub)
    }

    /// The `rsm` methods of a node.
    pub(super) fn rsm(&self, node: NodeId) -> Option<RsmStub> {
        self.get(node, |other| other.rsm.clone())
    }

    /// The `member` methods of a node.
    pub(super) fn members(&self, node: NodeId) -> Option<MembersStub> {
        self.get(node, |other| other.members.clone())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Where the nodes are, this one included if that is known.
    pub(super) fn urls(&self) -> BTreeMap<NodeId, String> {
        let own = self.own_urls().get(self.id).map(|url| (self.id, url.to_owned()));
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let others = nodes.iter().filter_map(|(node, other)| Some((*node, other.url.clone()?)));
        others.chain(own).collect()
    }
}

fn connect(from: NodeId, url: &str) -> Other {
    let client_id = usize::try_from(from).unwrap_or(usize::MAX);
    // What is worth another try is decided by who passes a call on.
    let client = RpcClient::builder(url.to_owned()).client_id(client_id).retry(Retry::never()).build();
    Other::new(Some(url.to_owned()), client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::{Goal, Member};

    fn member(id: NodeId, url: &str) -> Member {
        Member { id, incarnation: None, url: url.to_owned(), goal: Goal::Vote }
    }

    #[test]
    fn other_nodes_follow_the_membership_and_urls_of_the_command_line_go_first() {
        let urls = [(1, "http://a:1"), (2, "http://b:1")].map(|(id, url)| (id, url.to_owned()));
        let others = Others::at(1, &BTreeMap::from(urls));
        others.follow(&Membership::of([1, 2, 3]));
        assert_eq!(others.urls().len(), 2, "a membership without URLs changes nothing");

        let members = vec![member(2, "http://moved:1"), member(3, "http://c:1")];
        others.follow(&Membership { members, ..Membership::of([1, 2, 3]) });
        let urls = [(1, "http://a:1"), (2, "http://b:1"), (3, "http://c:1")];
        assert_eq!(others.urls(), urls.map(|(id, url)| (id, url.to_owned())).into());

        let members = vec![member(3, "http://moved:3"), member(4, "http://d:1")];
        others.follow(&Membership { members, ..Membership::of([1, 3, 4]) });
        let urls = [(1, "http://a:1"), (3, "http://moved:3"), (4, "http://d:1")];
        assert_eq!(others.urls(), urls.map(|(id, url)| (id, url.to_owned())).into());
        assert!(others.rsm(2).is_none() && others.members(4).is_some());
    }
}
