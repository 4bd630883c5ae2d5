//! The `member` methods of a node: who belongs to the cluster, and changes of that.

mod admission;
mod changes;
mod list;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use self::changes::stopping;
use self::list::list;
use super::others::Others;
use crate::kv_raft::machine::KvMachine;
use crate::kv_raft::rsm::{Rsm, deadline_within};
use crate::services::member::{
    AddMemberArgs, MemberErr, MemberIdArgs, MemberList, MemberReply, Members, MembersStub, ReplaceMemberArgs,
};
use crate::services::raft::{Goal, Member};

/// How long to wait before the leader is asked again that is not known or not ready yet.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How long to go on while nothing has changed and a new try may go better. The caller may go on for longer.
const RETRY_TIME: Duration = Duration::from_secs(3);

/// How long a change may take where the caller sets no earlier deadline, and a list.
const CHANGE_TIME: Duration = Duration::from_secs(30);
const LIST_TIME: Duration = Duration::from_secs(2);

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
        let (end, last_try) = (deadline_within(time), Instant::now() + RETRY_TIME);
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
                Err(error)
                    if is_worth_another(&error) && Instant::now() + RETRY_PAUSE < end.min(last_try) => {}
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
        raft.inspect(move |core| list(cluster, core, |node| urls.get(&node).cloned()))
            .await
            .ok_or_else(stopping)
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

#[traitwire::async_trait]
impl Members for MemberService {
    async fn list(&self) -> Result<MemberList, MemberErr> {
        if self.rsm.raft().status().leader.is_none() {
            return self.list_here().await;
        }
        let there = |stub: MembersStub| async move { stub.list().await };
        match self.at_leader(LIST_TIME, || self.list_here(), there).await {
            Err(MemberErr::NotLeader { .. } | MemberErr::NoAnswer { .. }) => self.list_here().await,
            listed => listed,
        }
    }

    async fn add(&self, args: AddMemberArgs) -> Result<MemberReply, MemberErr> {
        let goal = if args.learner { Goal::Learn } else { Goal::Vote };
        let there = |stub: MembersStub| {
            let args = args.clone();
            async move { stub.add(args).await }
        };
        self.at_leader(CHANGE_TIME, || self.add_here(&args.url, goal), there).await
    }

    async fn promote(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        let there = |stub: MembersStub| async move { stub.promote(args).await };
        self.at_leader(CHANGE_TIME, || self.promote_here(args), there).await
    }

    async fn remove(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr> {
        let there = |stub: MembersStub| async move { stub.remove(args).await };
        self.at_leader(CHANGE_TIME, || self.remove_here(args), there).await
    }

    async fn replace(&self, args: ReplaceMemberArgs) -> Result<MemberReply, MemberErr> {
        let there = |stub: MembersStub| {
            let args = args.clone();
            async move { stub.replace(args).await }
        };
        self.at_leader(CHANGE_TIME, || self.replace_here(args.id, &args.url), there).await
    }

    async fn rejoin(&self, member: Member) -> Result<MemberReply, MemberErr> {
        let there = |stub: MembersStub| {
            let member = member.clone();
            async move { stub.rejoin(member).await }
        };
        self.at_leader(CHANGE_TIME, || self.rejoin_here(member.clone()), there).await
    }
}
