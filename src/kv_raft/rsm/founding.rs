//! What a node with an empty folder does: found a cluster, come back to the one that it belonged to, or wait. An empty folder
//! proves nothing, so the other nodes are asked first.
//!
//! The decision is a pure function of what the nodes say of themselves. The task that asks them is in `join.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use traitwire::log::Excerpt;

use crate::services::raft::{ClusterId, Goal, IdentifyReply, Incarnation, Member, Membership, NodeId};

/// What an empty node is.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) cluster: String,
    pub(super) protocol: u32,
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
    /// The cluster that the node belongs to although it has nothing of its log: it was lost, or has not come yet.
    pub(super) cluster_id: Option<ClusterId>,
    /// The URLs of all nodes, including this one.
    pub(super) peers: BTreeMap<NodeId, String>,
    pub(super) bootstrap: bool,
}

/// What became of asking another node.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Identified(IdentifyReply),
    /// It does not know the question: it runs an earlier version.
    Earlier,
    /// It cannot be reached, for this reason.
    Unreachable(String),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Found a cluster with this membership, which has no cluster id yet.
    Found(Membership),
    /// Ask these nodes to be taken back into the cluster that they belong to.
    Rejoin { cluster_id: Option<ClusterId>, at: Vec<NodeId> },
    /// Ask again later.
    Wait(Wait),
}

/// Why an empty node waits. The text is for operators: it names nodes with their URLs and says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nodes cannot be reached.
    Unreachable(Vec<String>),
    /// This node will found the cluster.
    Founder(String),
    /// Several things keep the node waiting.
    Several(Vec<Wait>),
    /// Nodes do not know the question.
    Earlier(Vec<String>),
    /// The URL of a node leads to another one.
    WrongNode { url: String, asked: NodeId, answers: NodeId },
    /// Another node has a copy of this node's folder, or its URL is that of this node.
    SameFolder(String),
    /// A node has another cluster name.
    OtherName { node: String, theirs: String, own: String },
    /// A node speaks another version of the protocol.
    OtherProtocol { node: String, theirs: u32, own: u32 },
    /// The nodes belong to different clusters.
    DifferentClusters(Vec<String>),
    /// The nodes belong to another cluster than this one did.
    OtherCluster { own: ClusterId, others: Vec<String> },
    /// The lists of nodes differ.
    DifferentLists { own: Vec<NodeId>, others: Vec<String> },
    /// Nodes wait to be added to a cluster instead of founding one.
    Joining(Vec<String>),
    /// This node belongs to a cluster of whose log nobody has anything.
    LogLost { cluster_id: ClusterId },
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(nodes) => write!(
                formatter,
                "this node is new and waits for nodes that cannot be reached: {}; a new cluster is founded once all nodes of --peers can be reached and are \
                 empty; `--bootstrap` founds it as soon as a majority is",
                nodes.join(", ")
            ),
            Self::Founder(node) => {
                write!(formatter, "this node is new and waits for {node} to found the cluster")
            }
            Self::Several(waits) => {
                let texts: Vec<_> = waits.iter().map(ToString::to_string).collect();
                formatter.write_str(&texts.join("; "))
            }
            Self::Earlier(nodes) => write!(
                formatter,
                "{} does not have the method `raft.identify`: it runs an earlier version, or is not a node of a cluster",
                nodes.join(", ")
            ),
            Self::WrongNode { url, asked, answers } => write!(
                formatter,
                "node {answers} answers at {}, the URL of node {asked}: check the ids and URLs in --peers",
                Excerpt(url)
            ),
            Self::SameFolder(node) => write!(
                formatter,
                "{node} has the data folder of this node, or a copy of it: check the URLs in --peers, and give each node an \
                 empty folder of its own"
            ),
            Self::OtherName { node, theirs, own } => write!(
                formatter,
                "{node} belongs to the cluster `{}`, and this node to `{}`: check --cluster and the URLs in --peers",
                Excerpt(theirs),
                Excerpt(own)
            ),
            Self::OtherProtocol { node, theirs, own } => write!(
                formatter,
                "{node} speaks version {theirs} of the protocol, and this node version {own}: run the same version of the program"
            ),
            Self::DifferentClusters(nodes) => write!(
                formatter,
                "this node is empty, and the nodes of --peers belong to different clusters: {}; check their URLs",
                nodes.join(", ")
            ),
            Self::OtherCluster { own, others } => write!(
                formatter,
                "this node belongs to the cluster {own} and has nothing of its log, but {}: check the URLs in --peers; to give it to \
                 another cluster, start it with an empty folder",
                others.join(", ")
            ),
            Self::DifferentLists { own, others } => write!(
                formatter,
                "this node is new and was started with the nodes {}, but {}: start all nodes of a new cluster with the same ids \
                 in --peers",
                ids(own),
                others.join(", ")
            ),
            Self::Joining(nodes) => write!(
                formatter,
                "{} was started with --join and waits to be added to a cluster: start it with --peers instead",
                nodes.join(", ")
            ),
            Self::LogLost { cluster_id } => write!(
                formatter,
                "this node belongs to the cluster {cluster_id} and has nothing of its log, and no other node has data: bring back a data \
                 folder, or move the folders of all nodes away to found a new cluster"
            ),
        }
    }
}

pub(super) fn ids<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> String {
    ids.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What an empty node does, given what the other nodes of its list have answered.
pub(super) fn decide(own: &Own, answers: &BTreeMap<NodeId, Answer>) -> Decision {
    let view = View { own, answers };
    if let Some(wait) = view.mistakes() {
        return Decision::Wait(wait);
    }
    let with_data: Vec<_> = view.identified().filter(|(_, reply)| has_data(reply)).collect();
    if !with_data.is_empty() || view.earlier().next().is_some() {
        return view.rejoin(&with_data);
    }
    if let Some(cluster_id) = own.cluster_id {
        let unreachable = view.unreachable();
        return Decision::Wait(match unreachable.is_empty() {
            true => Wait::LogLost { cluster_id },
            false => Wait::Unreachable(unreachable),
        });
    }
    view.found()
}

/// Whether a node may have promised something. A node that has been admitted to a cluster belongs to it, even if it has no log yet.
fn has_data(reply: &IdentifyReply) -> bool {
    reply.has_data || reply.cluster_id.is_some()
}

struct View<'a> {
    own: &'a Own,
    answers: &'a BTreeMap<NodeId, Answer>,
}

impl View<'_> {
    fn identified(&self) -> impl Iterator<Item = (NodeId, &IdentifyReply)> {
        self.answers.iter().filter_map(|(id, answer)| match answer {
            Answer::Identified(reply) => Some((*id, reply)),
            Answer::Earlier | Answer::Unreachable(_) => None,
        })
    }

    fn earlier(&self) -> impl Iterator<Item = NodeId> {
        self.answers.iter().filter_map(|(id, answer)| matches!(answer, Answer::Earlier).then_some(*id))
    }

    fn url(&self, id: NodeId) -> &str {
        self.own.peers.get(&id).map_or("", String::as_str)
    }

    fn name(&self, id: NodeId) -> String {
        format!("node {id} ({})", Excerpt(self.url(id)))
    }

    /// Those that cannot be reached, each with the reason.
    fn unreachable(&self) -> Vec<String> {
        let unreachable = self.answers.iter().filter_map(|(id, answer)| match answer {
            Answer::Unreachable(reason) => {
                Some(format!("node {id} ({}: {})", Excerpt(self.url(*id)), Excerpt(reason)))
            }
            Answer::Identified(_) | Answer::Earlier => None,
        });
        unreachable.collect()
    }

    /// What an operator has to correct before anything else is certain, with whatever else is missing.
    fn mistakes(&self) -> Option<Wait> {
        let mut mistakes: Vec<_> =
            self.identified().filter_map(|(asked, reply)| self.mistake(asked, reply)).collect();
        if mistakes.is_empty() {
            return None;
        }
        let earlier: Vec<_> = self.earlier().map(|id| self.name(id)).collect();
        mistakes.extend((!earlier.is_empty()).then_some(Wait::Earlier(earlier)));
        let unreachable = self.unreachable();
        mistakes.extend((!unreachable.is_empty()).then_some(Wait::Unreachable(unreachable)));
        Some(Wait::Several(mistakes))
    }

    fn mistake(&self, asked: NodeId, reply: &IdentifyReply) -> Option<Wait> {
        let own = self.own;
        if reply.incarnation == Some(own.incarnation) {
            return Some(Wait::SameFolder(self.name(asked)));
        }
        if reply.cluster != own.cluster {
            let (theirs, own) = (reply.cluster.clone(), own.cluster.clone());
            return Some(Wait::OtherName { node: self.name(asked), theirs, own });
        }
        if reply.protocol != own.protocol {
            let (theirs, own) = (reply.protocol, own.protocol);
            return Some(Wait::OtherProtocol { node: self.name(asked), theirs, own });
        }
        let url = self.url(asked).to_owned();
        (reply.id != asked).then_some(Wait::WrongNode { url, asked, answers: reply.id })
    }

    /// Some nodes have data, or may have: this one was wiped, or is new to their cluster.
    fn rejoin(&self, with_data: &[(NodeId, &IdentifyReply)]) -> Decision {
        let clusters: BTreeSet<_> = with_data.iter().map(|(_, reply)| reply.cluster_id).collect();
        let belongs = |(id, reply): &(NodeId, &IdentifyReply)| match reply.cluster_id {
            Some(cluster) => format!("{} belongs to the cluster {cluster}", self.name(*id)),
            None => format!("{} belongs to a cluster without an id", self.name(*id)),
        };
        let named: BTreeSet<_> = clusters.iter().flatten().copied().collect();
        if named.len() > 1 {
            return Decision::Wait(Wait::DifferentClusters(with_data.iter().map(belongs).collect()));
        }
        let named = named.first().copied();
        if let (Some(own), Some(theirs)) = (self.own.cluster_id, named)
            && own != theirs
        {
            let others = with_data.iter().map(belongs).collect();
            return Decision::Wait(Wait::OtherCluster { own, others });
        }
        let at = with_data.iter().map(|(id, _)| *id).chain(self.earlier()).collect();
        Decision::Rejoin { cluster_id: named, at }
    }

    /// Nobody who can be reached has data.
    fn found(&self) -> Decision {
        let own = self.own;
        let listed: Vec<_> = own.peers.keys().copied().collect();
        let joining: Vec<_> =
            self.identified().filter(|(_, reply)| reply.joins).map(|(id, _)| self.name(id)).collect();
        if !joining.is_empty() {
            return Decision::Wait(Wait::Joining(joining));
        }
        let differs = |(id, reply): (NodeId, &IdentifyReply)| {
            (reply.peers != listed).then(|| format!("{} with {}", self.name(id), ids(&reply.peers)))
        };
        let others: Vec<_> = self.identified().filter_map(differs).collect();
        if !others.is_empty() {
            return Decision::Wait(Wait::DifferentLists { own: listed, others });
        }
        let unreachable = self.unreachable();
        let reachable: BTreeSet<_> = self.identified().map(|(id, _)| id).chain([own.id]).collect();
        let founder = if unreachable.is_empty() {
            reachable.first().copied()
        } else if 2 * reachable.len() > listed.len() {
            let flagged = self.identified().filter(|(_, reply)| reply.bootstrap).map(|(id, _)| id);
            flagged.chain(own.bootstrap.then_some(own.id)).min()
        } else {
            None
        };
        match founder {
            None => Decision::Wait(Wait::Unreachable(unreachable)),
            Some(founder) if founder == own.id => Decision::Found(self.membership(&reachable)),
            Some(founder) => Decision::Wait(Wait::Founder(self.name(founder))),
        }
    }

    /// The nodes that can be reached vote; the others do once they have been reached.
    fn membership(&self, reachable: &BTreeSet<NodeId>) -> Membership {
        let own = self.own;
        let member = |(id, url): (&NodeId, &String)| {
            let (incarnation, announced) = match self.answers.get(id) {
                Some(Answer::Identified(reply)) => (reply.incarnation, reply.url.clone()),
                Some(Answer::Earlier | Answer::Unreachable(_)) => (None, None),
                None => (Some(own.incarnation), None),
            };
            Member { id: *id, incarnation, url: announced.unwrap_or_else(|| url.clone()), goal: Goal::Vote }
        };
        let learners = own.peers.keys().copied().filter(|id| !reachable.contains(id)).collect();
        let mut members: Vec<_> = own.peers.iter().map(member).collect();
        let urls: BTreeSet<_> = members.iter().map(|member| &member.url).collect();
        if urls.len() < members.len() {
            // Nodes announce the same URL: those of this node's list differ.
            members.iter_mut().zip(own.peers.values()).for_each(|(member, url)| member.url.clone_from(url));
        }
        Membership { learners, members, ..Membership::of(reachable.iter().copied()) }
    }
}

#[cfg(test)]
mod tests;
