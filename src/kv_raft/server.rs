//! One node of the replicated store: its own part of the cluster, and the services that it offers.

mod backups;
mod members;
mod monitor;
mod others;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use traitwire::{RpcClient, RpcError, RpcResult, Services};

use self::backups::Backups;
use self::members::MemberService;
use self::monitor::{Lag, Monitor};
use self::others::Others;
use super::machine::{KvCommand, KvMachine, KvQuestion, KvReply};
use super::raft::core::Role;
use super::rsm::{NodeConfig, OpenError, Rsm, RsmError, deadline};
use crate::bugs::{ServiceBug, has};
use crate::kv_single::server::check_key;
use crate::services::backup::BackupServer;
use crate::services::kv::{GetArgs, GetReply, Kv, KvServer, PutArgs, PutReply};
use crate::services::member::MembersServer;
use crate::services::raft::NodeId;
use crate::services::rsm::{
    NodeRole, QueryArgs, QueryReply, ReadIndexReply, ReplyErr, Rsm as RsmService, RsmServer, RsmStub,
    SessionReply, StatusReply, SubmitArgs, SubmitReply,
};

/// How long to wait before asking again where the leader is.
const LEADER_PAUSE: Duration = Duration::from_millis(20);

/// A disk that has been at work on one batch for this long hangs: `/livez` fails.
const DISK_HANGS_AFTER: Duration = Duration::from_secs(10);

/// A node that does not have what the leader had committed this long ago is far behind: `/readyz` fails.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// One node of the replicated store.
pub struct Node {
    id: NodeId,
    rsm: Arc<Rsm<KvMachine>>,
    others: Arc<Others>,
    lag: Arc<Lag>,
    monitor: Option<AbortHandle>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end_monitor();
    }
}

impl Node {
    /// Opens the node's data and starts it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn start(config: &NodeConfig) -> Result<Self, OpenError> {
        let rsm = Rsm::open(config, KvMachine::default())?;
        let mut node = Self::new(config.id, rsm, Others::at(config.id, &config.peers));
        let (rsm, others, lag) = (node.rsm.clone(), node.others.clone(), node.lag.clone());
        let monitor = Monitor::new(config.id, rsm, others, lag);
        node.monitor = Some(tokio::spawn(monitor.run()).abort_handle());
        Ok(node)
    }

    /// A node of what runs already, which reaches the other nodes through these clients.
    pub fn over(
        id: NodeId,
        rsm: Arc<Rsm<KvMachine>>,
        others: impl IntoIterator<Item = (NodeId, RpcClient)>,
    ) -> Self {
        Self::new(id, rsm, Others::over(id, others))
    }

    fn new(id: NodeId, rsm: Arc<Rsm<KvMachine>>, others: Others) -> Self {
        Self { id, rsm, others: Arc::new(others), lag: Arc::new(Lag::new()), monitor: None }
    }

    /// What the node offers: to its peers, to clients of the cluster, and to whoever knows only the key-value service.
    pub fn services(&self) -> Services {
        let backups = Arc::new(Backups::default());
        let front = Front { id: self.id, rsm: self.rsm.clone(), others: self.others.clone(), backups };
        let front = Arc::new(front);
        let members = MemberService { rsm: self.rsm.clone(), others: self.others.clone() };
        Services::new()
            .mount(self.rsm.raft().server())
            .mount(RsmServer::from_arc(front.clone()))
            .mount(KvServer::from_arc(front.clone()))
            .mount(MembersServer::new(members))
            .mount(BackupServer::from_arc(front))
    }

    /// What the node is and how far it has come.
    pub fn status(&self) -> StatusReply {
        status(self.id, &self.rsm)
    }

    /// Where the members of the cluster are, this node included.
    pub fn member_urls(&self) -> Vec<String> {
        let membership = self.rsm.raft().membership();
        let known = membership.borrow();
        known.membership.members.iter().map(|member| member.url.clone()).collect()
    }

    /// Whether the disk works.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_disk(&self) -> Result<(), String> {
        match self.rsm.raft().disk_busy_for() {
            Some(busy) if busy >= DISK_HANGS_AFTER => {
                Err(format!("one write has taken {} s and is not done", busy.as_secs()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this node knows a leader.
    ///
    /// # Errors
    /// That it does not.
    pub fn check_leader(&self) -> Result<(), String> {
        match self.rsm.raft().status().leader {
            Some(_) => Ok(()),
            None => Err("no leader known".to_owned()),
        }
    }

    /// Whether this node has applied what was committed a while ago.
    ///
    /// # Errors
    /// How far it is behind.
    pub fn check_log(&self) -> Result<(), String> {
        let applied = self.rsm.applied_index();
        let behind = self.lag.behind(Instant::now(), applied);
        if behind < BEHIND_MAX {
            return Ok(());
        }
        let committed = self.rsm.raft().status().leader_commit_index;
        let entries = committed.saturating_sub(applied);
        Err(format!("{entries} entries behind the leader, for {} s", behind.as_secs()))
    }

    /// Whether this node takes part in its cluster.
    ///
    /// # Errors
    /// What keeps it from that.
    pub fn check_member(&self) -> Result<(), String> {
        self.rsm.raft().problems().own().map_or(Ok(()), Err)
    }

    fn end_monitor(&self) {
        if let Some(monitor) = &self.monitor {
            monitor.abort();
        }
    }

    /// Hands the leadership over if this node has it, and ends.
    pub async fn stop(&self) {
        self.end_monitor();
        if !self.others.is_empty() {
            self.rsm.raft().transfer(None).await;
        }
        self.rsm.stop().await;
    }

    /// Waits until the node has ended by itself: its disk has failed or its state has gone wrong.
    pub async fn failed(&self) -> Arc<RsmError> {
        match self.rsm.ended().await {
            Err(error) => error,
            // It was stopped.
            Ok(()) => std::future::pending().await,
        }
    }
}

fn status(id: NodeId, rsm: &Rsm<KvMachine>) -> StatusReply {
    let status = rsm.raft().status();
    let role = match status.role {
        Role::Leader => NodeRole::Leader,
        _ if !status.is_voter => NodeRole::Learner,
        Role::Follower => NodeRole::Follower,
        Role::PreCandidate | Role::Candidate => NodeRole::Candidate,
    };
    let (incarnation, cluster_id) = rsm.raft().profile().ids();
    StatusReply {
        id,
        role,
        term: status.term,
        leader: status.leader,
        commit_index: status.commit_index,
        applied_index: rsm.applied_index(),
        last_log_index: status.last_index,
        snapshot_index: status.snapshot_index,
        state_check: rsm.state_check(),
        cluster_id,
        incarnation,
        problem: rsm.raft().problems().all(),
    }
}

/// The services in front of the state machine.
struct Front {
    id: NodeId,
    rsm: Arc<Rsm<KvMachine>>,
    others: Arc<Others>,
    backups: Arc<Backups>,
}

/// Where a call is answered.
enum At {
    Here(Arc<Rsm<KvMachine>>),
    There(RsmStub),
}

impl Front {
    /// Where the leader is, as far as this node knows.
    fn leader(&self) -> Option<At> {
        match self.rsm.raft().status().leader {
            Some(leader) if leader == self.id => Some(At::Here(self.rsm.clone())),
            Some(leader) => self.others.rsm(leader).map(At::There),
            None => None,
        }
    }

    /// Says why no leader is known, where this node knows it.
    fn explained(&self, error: ReplyErr) -> ReplyErr {
        match (&error, self.rsm.raft().problems().own()) {
            (ReplyErr::WrongLeader { leader: None, submitted }, Some(message)) => {
                ReplyErr::NoAnswer { message, submitted: *submitted }
            }
            _ => error,
        }
    }

    /// Calls wherever the leader is, again and again while it certainly has not acted on it.
    async fn at_leader<T, F: Future<Output = Result<T, ReplyErr>>>(
        &self,
        command_bytes: usize,
        call: impl Fn(At) -> F,
    ) -> Result<T, ReplyErr> {
        let end = deadline(command_bytes);
        let mut last = ReplyErr::WrongLeader { leader: None, submitted: false };
        loop {
            if let Some(at) = self.leader() {
                let late = |_| ReplyErr::NoAnswer { message: "no answer in time".into(), submitted: true };
                last = match tokio::time::timeout_at(end, call(at)).await.map_err(late).flatten() {
                    Err(error) if is_worth_another(&error) => error,
                    outcome => return outcome,
                };
            }
            if Instant::now() + LEADER_PAUSE >= end {
                return Err(self.explained(last));
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
    }
}

async fn submit_put(at: At, command: Box<RawValue>) -> Result<PutReply, ReplyErr> {
    let reply = match at {
        At::Here(rsm) => rsm.submit(&command, None).await?,
        At::There(stub) => stub.submit(SubmitArgs { ticket: None, command }).await?.reply,
    };
    put_reply(&reply)
}

async fn ask_get(at: At, args: GetArgs) -> Result<GetReply, ReplyErr> {
    match at {
        At::Here(rsm) => rsm.read(|machine| machine.get(&args.key)).await,
        At::There(stub) => {
            let question = to_raw_value(&KvQuestion::Get(args)).map_err(no_json)?;
            let answer = stub.query(QueryArgs { question }).await?.answer;
            serde_json::from_str(answer.get()).map_err(no_json)
        }
    }
}

/// What a put's reply says.
pub(super) fn put_reply(reply: &RawValue) -> Result<PutReply, ReplyErr> {
    match serde_json::from_str(reply.get()).map_err(no_json)? {
        KvReply::Put(reply) => Ok(reply),
        KvReply::Invalid(message) => Err(ReplyErr::Invalid(message)),
    }
}

pub(super) fn no_json(error: serde_json::Error) -> ReplyErr {
    ReplyErr::NoAnswer { message: format!("the answer cannot be understood: {error}"), submitted: true }
}

/// Whether the same call may go better elsewhere or later, and cannot take effect twice.
fn is_worth_another(error: &ReplyErr) -> bool {
    match error {
        ReplyErr::WrongLeader { submitted, .. } | ReplyErr::NoAnswer { submitted, .. } => {
            !submitted || has(ServiceBug::PassOnAgain)
        }
        ReplyErr::NoSession
        | ReplyErr::TooManyUnanswered
        | ReplyErr::Exhausted(_)
        | ReplyErr::Invalid(_)
        | ReplyErr::Unimplemented(_) => false,
    }
}

#[traitwire::async_trait]
impl Kv for Front {
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply> {
        check_key(&args.key)?;
        Ok(self.at_leader(0, |at| ask_get(at, args.clone())).await?)
    }

    async fn put(&self, args: PutArgs) -> RpcResult<PutReply> {
        check_key(&args.key)?;
        let command = KvCommand::put(&args.key, &args.value, args.version)
            .map_err(|error| RpcError::internal(error.to_string()))?;
        Ok(self.at_leader(command.get().len(), |at| submit_put(at, command.clone())).await?)
    }
}

#[traitwire::async_trait]
impl RsmService for Front {
    async fn open_session(&self) -> Result<SessionReply, ReplyErr> {
        Ok(SessionReply { session: self.rsm.open_session().await? })
    }

    async fn submit(&self, args: SubmitArgs) -> Result<SubmitReply, ReplyErr> {
        match serde_json::from_str(args.command.get()) {
            Ok(KvCommand::Put(put)) => check_key(&put.key)?,
            Err(error) => return Err(ReplyErr::Invalid(format!("this is no command: {error}"))),
        }
        Ok(SubmitReply { reply: self.rsm.submit(&args.command, args.ticket).await? })
    }

    async fn query(&self, args: QueryArgs) -> Result<QueryReply, ReplyErr> {
        let question: KvQuestion = serde_json::from_str(args.question.get())
            .map_err(|error| ReplyErr::Invalid(format!("this is no question: {error}")))?;
        let KvQuestion::Get(args) = question;
        check_key(&args.key)?;
        let reply = self.rsm.read(|machine| machine.get(&args.key)).await?;
        Ok(QueryReply { answer: to_raw_value(&reply).map_err(no_json)? })
    }

    async fn read_index(&self) -> Result<ReadIndexReply, ReplyErr> {
        Ok(ReadIndexReply { index: self.rsm.read_index().await? })
    }

    async fn status(&self) -> RpcResult<StatusReply> {
        Ok(status(self.id, &self.rsm))
    }
}
