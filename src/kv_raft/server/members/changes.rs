//! Changes of the members, made at the leader.

use std::time::Duration;

use traitwire::{Code, Retry, RpcClient, RpcError};

use super::MemberService;
use super::admission::{Admission, Cluster, admit};
use super::list::addresses;
use crate::kv_raft::raft::ChangeError;
use crate::kv_raft::raft::core::{Change, ChangeRefusal, MEMBERS_MAX, URL_BYTES_MAX};
use crate::services::member::{
    ChangeStep, MemberAddress, MemberChange, MemberErr, MemberIdArgs, MemberList, MemberReply,
};
use crate::services::raft::{Goal, IdentifyReply, Member, Membership, NodeId, Raft as _, RaftStub};
use crate::url::ServerUrl;

/// How long a node may take to say which one it is.
const IDENTIFY_TIME: Duration = Duration::from_secs(2);

impl MemberService {
    /// Adds the node at a URL, with what happens to it once it has caught up.
    pub(super) async fn add_here(&self, url: &str, goal: Goal) -> Result<MemberReply, MemberErr> {
        let url: ServerUrl = url.parse().map_err(|error| MemberErr::InvalidUrl(format!("{error}")))?;
        let node = identify(&url).await?;
        let membership = self.membership();
        let cluster = Cluster { name: self.rsm.raft().cluster(), membership: &membership };
        match admit(&cluster, &url, &node, goal)? {
            Admission::IsMember(id) => Ok(unchanged(id)),
            Admission::Returns(member) => self.change(member.id, Change::Rejoin(member)).await,
            Admission::New(member) => self.change(member.id, Change::Add(member)).await,
        }
    }

    pub(super) async fn promote_here(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        let membership = self.membership();
        check_member(&membership, args.id)?;
        if membership.voters.contains(&args.id) || goal(&membership, args.id) != Goal::Learn {
            return Ok(unchanged(args.id));
        }
        self.change(args.id, Change::Promote(args.id)).await
    }

    pub(super) async fn remove_here(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        check_member(&self.membership(), args.id)?;
        self.change(args.id, Change::Remove(args.id)).await
    }

    pub(super) async fn replace_here(&self, id: NodeId, url: &str) -> Result<MemberReply, MemberErr> {
        let membership = self.membership();
        let is_new = |member: &&Member| {
            let is_at_url = url.parse::<ServerUrl>().ok().is_some_and(|url| member.url.parse() == Ok(url));
            is_at_url && member.id != id
        };
        // The same call has succeeded before, and the answer was lost: the old node has left, or leaves with the joint configuration.
        let leaves = !membership.voters.contains(&id) && !membership.learners.contains(&id);
        if leaves && membership.members.iter().any(|member| is_new(&member)) {
            return self.add_here(url, Goal::Vote).await;
        }
        check_member(&membership, id)?;
        if !membership.voters.contains(&id) {
            let reason = format!("node {id} does not vote; remove that node, and add this one");
            return Err(MemberErr::Unsuitable { url: url.to_owned(), reason });
        }
        self.add_here(url, Goal::Replace(id)).await
    }

    pub(super) async fn rejoin_here(&self, member: Member) -> Result<MemberReply, MemberErr> {
        let url: ServerUrl = member.url.parse().map_err(|error| MemberErr::InvalidUrl(format!("{error}")))?;
        let membership = self.membership();
        check_member(&membership, member.id)?;
        let known = membership.member(member.id);
        let is_same = |it: &Member| it.incarnation == member.incarnation && it.url == member.url;
        // The member that a joint configuration brings back becomes a learner by itself.
        if known.is_some_and(is_same) || membership.incoming.as_deref().is_some_and(is_same) {
            return Ok(unchanged(member.id));
        }
        // The caller may be anybody: only the node itself, at its URL, confirms that it is the one.
        let node = match identify(&url).await {
            Ok(node) => node,
            Err(error) => self.identify_where_it_is_reached(member.id, &url).await.ok_or(error)?,
        };
        let unsuitable = |reason: String| MemberErr::Unsuitable { url: url.to_string(), reason };
        if (node.id, node.incarnation) != (member.id, member.incarnation) || node.incarnation.is_none() {
            return Err(unsuitable(format!("it is not node {} with that data folder", member.id)));
        }
        if node.cluster != self.rsm.raft().cluster()
            || node.cluster_id.is_some_and(|theirs| Some(theirs) != membership.cluster_id)
        {
            return Err(unsuitable("it belongs to another cluster".to_owned()));
        }
        match known {
            Some(known) if known.incarnation == member.incarnation => {
                self.check_that_it_runs_once(known, &node).await?;
                let members = vec![Member { url: member.url, ..known.clone() }];
                self.change(member.id, Change::Describe { cluster_id: None, members }).await
            }
            known => {
                self.check_that_old_node_is_gone(known, &member).await?;
                self.change(member.id, Change::Rejoin(member)).await
            }
        }
    }

    /// Asks a member at the URL at which this node reaches it: its command line may say that this is another one.
    async fn identify_where_it_is_reached(&self, id: NodeId, announced: &ServerUrl) -> Option<IdentifyReply> {
        let url: ServerUrl = self.others.urls().get(&id)?.parse().ok()?;
        if url == *announced {
            return None;
        }
        identify(&url).await.ok()
    }

    /// Refuses a member's place to another node while that member is alive: two nodes have the same id.
    async fn check_that_old_node_is_gone(
        &self,
        known: Option<&Member>,
        member: &Member,
    ) -> Result<(), MemberErr> {
        let Some(known) = known.filter(|known| known.incarnation.is_some() && known.url != member.url) else {
            return Ok(());
        };
        let Ok(old) = known.url.parse() else { return Ok(()) };
        match identify(&old).await {
            Ok(node) if node.id == known.id && node.incarnation == known.incarnation => {
                let reason = format!("it is alive at {old}; start the other node with another `--id`");
                Err(MemberErr::Exists { id: known.id, reason })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Refuses a new URL to a node that also runs at its old one: one of the two has a copy of the data folder.
    async fn check_that_it_runs_once(&self, known: &Member, node: &IdentifyReply) -> Result<(), MemberErr> {
        let Ok(old) = known.url.parse() else { return Ok(()) };
        match identify(&old).await {
            Ok(there) if there.incarnation == node.incarnation && there.run != node.run => {
                let reason = format!("another process runs with a copy of its data folder at {old}");
                Err(MemberErr::Exists { id: known.id, reason })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The newest membership of this node.
    fn membership(&self) -> Membership {
        self.rsm.raft().membership().borrow().membership.clone()
    }

    async fn change(&self, id: NodeId, change: Change) -> Result<MemberReply, MemberErr> {
        match self.rsm.raft().change(change).await {
            Ok(index) => Ok(MemberReply { id, index }),
            Err(error @ ChangeError::Unknown) => {
                Err(MemberErr::NoAnswer { message: error.to_string(), submitted: true })
            }
            Err(ChangeError::Refused(refusal)) => Err(refused(id, refusal, &self.list_here().await?)),
        }
    }
}

/// Asks the node at a URL which one it is.
async fn identify(url: &ServerUrl) -> Result<IdentifyReply, MemberErr> {
    let client = RpcClient::builder(url.as_str()).timeout(IDENTIFY_TIME).retry(Retry::never()).build();
    RaftStub::new(client).identify().await.map_err(|error: RpcError| {
        let url = url.to_string();
        match error.code() {
            Code::Unimplemented | Code::NotFound => MemberErr::Unsuitable {
                url,
                reason: "it is not a node of this version of traitwire with a data folder".to_owned(),
            },
            _ => MemberErr::Unreachable { url, reason: error.message().to_owned() },
        }
    })
}

fn unchanged(id: NodeId) -> MemberReply {
    MemberReply { id, index: 0 }
}

pub(super) fn stopping() -> MemberErr {
    MemberErr::NoAnswer { message: "the node is stopping".to_owned(), submitted: false }
}

fn check_member(membership: &Membership, id: NodeId) -> Result<(), MemberErr> {
    if membership.has(id) {
        return Ok(());
    }
    Err(MemberErr::NoMember { id, members: membership.nodes() })
}

fn goal(membership: &Membership, id: NodeId) -> Goal {
    membership.member(id).map_or(Goal::Learn, |member| member.goal)
}

/// Why a core has refused a change of the member `id`.
fn refused(id: NodeId, refusal: ChangeRefusal, list: &MemberList) -> MemberErr {
    match refusal {
        ChangeRefusal::NotLeader(leader) => {
            let leader = leader.map(|leader| addresses(list, &[leader])[0].clone());
            MemberErr::NotLeader { leader }
        }
        ChangeRefusal::NotReady | ChangeRefusal::Transferring => MemberErr::NotReady,
        ChangeRefusal::InProgress { node } => {
            let known = list.in_progress.filter(|change| node.is_none() || change.id == node);
            let step = known.map_or(ChangeStep::Committing, |change| change.step);
            MemberErr::InProgress(MemberChange { id: node.or(known.and_then(|change| change.id)), step })
        }
        ChangeRefusal::NoMember(id) => {
            MemberErr::NoMember { id, members: list.members.iter().map(|member| member.id).collect() }
        }
        ChangeRefusal::Exists(id) => {
            let reason = addresses(list, &[id])[0].url.clone().unwrap_or_default();
            MemberErr::Exists { id, reason }
        }
        ChangeRefusal::LastVoter => MemberErr::LastVoter { id },
        ChangeRefusal::NoMajority { missing } => {
            let missing: Vec<MemberAddress> = addresses(list, &missing);
            MemberErr::NoMajority { missing }
        }
        ChangeRefusal::DiskFull => MemberErr::DiskFull,
        ChangeRefusal::TooLarge => MemberErr::Unsuitable {
            url: addresses(list, &[id])[0].url.clone().unwrap_or_default(),
            reason: format!(
                "a cluster may have {MEMBERS_MAX} nodes, each with a URL of up to {URL_BYTES_MAX} bytes; remove a member first, or \
                 use a shorter URL"
            ),
        },
    }
}
