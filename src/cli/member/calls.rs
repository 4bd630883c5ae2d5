//! Calls to whichever member answers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use traitwire::{Retry, RpcClient};
use traitwire_kv::services::member::{MemberErr, MemberList, Members as _, MembersStub};

/// How long to go on where no node answers, and how long to wait before all of them are tried again.
const ANSWER_TIME: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for a node that knows the leader: elections and restarts take less.
const LEADER_TIME: Duration = Duration::from_secs(3);

/// The members that a command calls. It learns of others from lists, since those that it was given may leave.
pub(super) struct Calls {
    given: Vec<MembersStub>,
    learned: BTreeMap<String, MembersStub>,
    /// The place of the node that has answered last.
    current: usize,
    time: Duration,
    may_have_acted: bool,
}

impl Calls {
    pub(super) fn new(clients: impl Iterator<Item = RpcClient>, time: Duration) -> Self {
        let given = clients.map(MembersStub::new).collect();
        let time = time.min(ANSWER_TIME);
        Self { given, learned: BTreeMap::new(), current: 0, time, may_have_acted: false }
    }

    /// Whether a call was sent that may have taken effect although it was not answered.
    pub(super) fn may_have_acted(&self) -> bool {
        self.may_have_acted
    }

    fn stubs(&self) -> Vec<MembersStub> {
        self.given.iter().chain(self.learned.values()).cloned().collect()
    }

    /// Calls one node after the other until one answers.
    pub(super) async fn call<T, F>(&mut self, call: impl Fn(MembersStub) -> F) -> Result<T, MemberErr>
    where
        F: Future<Output = Result<T, MemberErr>>,
    {
        let end = Instant::now() + self.time;
        loop {
            let stubs = self.stubs();
            let mut last = None;
            for step in 0..stubs.len() {
                let place = (self.current + step) % stubs.len();
                let error = match call(stubs[place].clone()).await {
                    Err(error) if is_worth_another(&error) => error,
                    outcome => {
                        self.current = place;
                        return outcome.map_err(|error| self.in_doubt(error));
                    }
                };
                self.may_have_acted |= error.may_be_submitted();
                last = Some(error);
            }
            if let Some(error) = last
                && Instant::now() + PAUSE >= end
            {
                return Err(self.in_doubt(error));
            }
            sleep(PAUSE).await;
        }
    }

    /// An answer about no effect does not hold for an earlier copy of the call that was not answered.
    fn in_doubt(&self, error: MemberErr) -> MemberErr {
        match error {
            MemberErr::NoAnswer { message, .. } if self.may_have_acted => {
                MemberErr::NoAnswer { message, submitted: true }
            }
            MemberErr::NotLeader { .. } | MemberErr::NotReady if self.may_have_acted => {
                MemberErr::NoAnswer { message: error.to_string(), submitted: true }
            }
            error => error,
        }
    }

    /// The members, from a node that knows the leader if there is one soon.
    pub(super) async fn list_with_leader(&mut self) -> Result<MemberList, MemberErr> {
        let end = Instant::now() + self.time.min(LEADER_TIME);
        loop {
            let list = self.list().await?;
            if list.leader.is_some() || Instant::now() + PAUSE >= end {
                return Ok(list);
            }
            self.current += 1;
            sleep(PAUSE).await;
        }
    }

    /// The members, from any node.
    pub(super) async fn list(&mut self) -> Result<MemberList, MemberErr> {
        let list = self.call(|stub| async move { stub.list().await }).await?;
        for url in list.members.iter().filter_map(|member| member.url.as_deref()) {
            if !self.learned.contains_key(url) {
                let client = RpcClient::builder(url).retry(Retry::never()).build();
                self.learned.insert(url.to_owned(), MembersStub::new(client));
            }
        }
        Ok(list)
    }
}

/// Whether another node may answer better. A change that is made twice is one change.
fn is_worth_another(error: &MemberErr) -> bool {
    match error {
        MemberErr::NotLeader { .. } | MemberErr::NotReady | MemberErr::NoAnswer { .. } => true,
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
