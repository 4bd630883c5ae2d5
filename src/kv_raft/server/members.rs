//! The `member` methods of a node: who belongs to the cluster, and changes of that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::others::Others;
use crate::kv_raft::machine::KvMachine;
use crate::kv_raft::raft::core::{Core, Role};
use crate::kv_raft::rsm::{Rsm, deadline_within};
use crate::services::member::{
    AddMemberArgs, ChangeStep, MemberChange, MemberErr, MemberIdArgs, MemberInfo, MemberList, MemberReply,
    MemberRole, Members, MembersStub, ReplaceMemberArgs,
};
use crate::services::raft::{Goal, Member, Membership, NodeId};

/// How long to wait before the leader is asked again that is not known or not ready yet.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How long a list may take where the caller sets no earlier deadline.
const LIST_TIME: Duration = Duration::from_secs(2);

/// A member that has not answered the leader for this long counts as unreachable in lists.
const REACHABLE_WITHIN: Duration = Duration::from_secs(1);

/// Answers the `member` methods, at the leader itself and elsewhere by passing them on.
pub(super) struct MemberService {
    pub(super) rsm: Arc<Rsm<KvMachine>>,
    pub(super) others: Arc<Others>,
}

/// Where a call is answered.
enum Place {
    Here,
    There(MembersStub),
}

impl MemberService {
    /// Calls wherever the leader is, again and again while nothing has changed and a new try may go better.
    async fn at_leader<T, F, G>(
        &self,
        time: Duration,
        here: impl Fn() -> F,
        there: impl Fn(MembersStub) -> G,
    ) -> Result<T, MemberErr>
    where
        F: Future<Output = Result<T, MemberErr>>,
        G: Future<Output = Result<T, MemberErr>>,
    {
        let end = deadline_within(time);
        loop {
            let call = async {
                match self.leader() {
                    Some(Place::Here) => here().await,
                    Some(Place::There(stub)) => there(stub).await,
                    None => Err(MemberErr::NotLeader { leader: None }),
                }
            };
            let late =
                |_| Err(MemberErr::NoAnswer { message: "no answer in time".to_owned(), submitted: true });
            match timeout_at(end, call).await.unwrap_or_else(late) {
                Err(error) if is_worth_another(&error) && Instant::now() + RETRY_PAUSE < end => {}
                outcome => return outcome,
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Where the leader is, as far as this node knows.
    fn leader(&self) -> Option<Place> {
        let leader = self.rsm.raft().status().leader?;
        if leader == self.rsm.raft().id() {
            return Some(Place::Here);
        }
        self.others.members(leader).map(Place::There)
    }

    /// The members as this node sees them.
    async fn list_here(&self) -> Result<MemberList, MemberErr> {
        let raft = self.rsm.raft();
        let cluster = raft.cluster().to_owned();
        let urls = self.others.urls();
        raft.inspect(move |core| list(cluster, core, |node| urls.get(&node).cloned())).await.ok_or_else(
            || MemberErr::NoAnswer { message: "the node is stopping".to_owned(), submitted: false },
        )
    }
}

/// Whether nothing has changed, and the same call may soon go better.
fn is_worth_another(error: &MemberErr) -> bool {
    match error {
        MemberErr::NotLeader { .. } | MemberErr::NotReady => true,
        MemberErr::NoAnswer { submitted, .. } => !submitted,
        MemberErr::InProgress(_)
        | MemberErr::NoMember { .. }
        | MemberErr::Exists { .. }
        | MemberErr::LastVoter { .. }
        | MemberErr::NoMajority { .. }
        | MemberErr::DiskFull
        | MemberErr::InvalidUrl(_)
        | MemberErr::Unreachable { .. }
        | MemberErr::Unsuitable { .. }
        | MemberErr::Unimplemented(_) => false,
    }
}

/// The members as a core sees them.
fn list(cluster: String, core: &Core, url: impl Fn(NodeId) -> Option<String>) -> MemberList {
    let membership = core.membership();
    let leads = core.role() == Role::Leader;
    let info = |id: NodeId| {
        let member = membership.member(id);
        let is_learner = membership.learners.contains(&id) && !membership.is_voter(id);
        let (behind, reachable) = match core.progress(id) {
            _ if leads && id == core.id() => (Some(0), Some(true)),
            Some((matched, _)) => (
                Some(core.last_index().saturating_sub(matched)),
                core.silent_us(id).map(|us| Duration::from_micros(us) < REACHABLE_WITHIN),
            ),
            None => (None, None),
        };
        MemberInfo {
            id,
            incarnation: member.and_then(|member| member.incarnation),
            url: member.map(|member| member.url.clone()).or_else(|| url(id)),
            role: role(membership, core.leader(), id),
            goal: is_learner.then(|| member.map_or(Goal::Learn, |member| member.goal)),
            behind,
            reachable,
        }
    };
    MemberList {
        cluster,
        cluster_id: membership.cluster_id,
        node: core.id(),
        leader: core.leader(),
        index: core.membership_index(),
        joint: membership.is_joint(),
        in_progress: in_progress(membership),
        members: membership.nodes().into_iter().map(info).collect(),
    }
}

fn role(membership: &Membership, leader: Option<NodeId>, id: NodeId) -> MemberRole {
    if leader == Some(id) {
        MemberRole::Leader
    } else if membership.voters.contains(&id) {
        MemberRole::Voter
    } else if membership.outgoing.contains(&id) {
        MemberRole::Outgoing
    } else {
        MemberRole::Learner
    }
}

/// The change that a membership is in the middle of.
fn in_progress(membership: &Membership) -> Option<MemberChange> {
    if membership.is_joint() {
        return Some(MemberChange { id: changing(membership), step: ChangeStep::Joint });
    }
    let catches_up = |member: &&Member| {
        membership.learners.contains(&member.id) && matches!(member.goal, Goal::Vote | Goal::Replace(_))
    };
    let learner = membership.members.iter().find(catches_up)?;
    Some(MemberChange { id: Some(learner.id), step: ChangeStep::CatchingUp })
}

/// The member that a joint configuration is about.
fn changing(membership: &Membership) -> Option<NodeId> {
    let Membership { voters, outgoing, incoming, .. } = membership;
    let joins = voters.iter().find(|voter| !outgoing.contains(voter));
    let leaves = outgoing.iter().find(|voter| !voters.contains(voter));
    incoming.as_ref().map(|member| member.id).or_else(|| joins.or(leaves).copied())
}

/// Not possible yet.
fn cannot_change() -> MemberErr {
    MemberErr::NoAnswer { message: "this node cannot change the members yet".to_owned(), submitted: false }
}

#[traitwire::async_trait]
impl Members for MemberService {
    async fn list(&self) -> Result<MemberList, MemberErr> {
        if self.rsm.raft().status().leader.is_none() {
            return self.list_here().await;
        }
        let listed =
            self.at_leader(LIST_TIME, || self.list_here(), |stub| async move { stub.list().await }).await;
        match listed {
            Err(MemberErr::NotLeader { .. } | MemberErr::NoAnswer { .. }) => self.list_here().await,
            listed => listed,
        }
    }

    async fn add(&self, _args: AddMemberArgs) -> Result<MemberReply, MemberErr> {
        Err(cannot_change())
    }

    async fn promote(&self, _args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        Err(cannot_change())
    }

    async fn remove(&self, _args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        Err(cannot_change())
    }

    async fn replace(&self, _args: ReplaceMemberArgs) -> Result<MemberReply, MemberErr> {
        Err(cannot_change())
    }

    async fn rejoin(&self, _member: Member) -> Result<MemberReply, MemberErr> {
        Err(cannot_change())
    }
}
