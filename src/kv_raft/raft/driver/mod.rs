//! What gives the core its effects: one task owns it, and everything that happens to the node passes through that task's
//! inbox.
//!
//! `disk` is the thread that writes, `peers` are the ways to the other nodes, `changes` follows the membership.

mod alarm;
mod changes;
mod disk;
mod inbox;
mod peers;
mod proposals;
mod state_log;
mod status;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::alarm::Alarm;
use self::changes::MembershipWatch;
use self::disk::Disk;
use self::peers::{Bounds, Peers};
use self::proposals::Proposals;
use self::state_log::{StateLog, log_received, log_space};
use self::status::status_of;
use super::KnownMembership;
use super::contacts::Contacts;
use super::core::{
    Changed, Committed, Core, DiskSpace, Effects, Event, Input, Persist, ReadOutcome, Reply, Request, Role,
    Time, Token,
};
use super::digests::Digests;
use super::problems::Problems;
use super::storage::{SnapshotAccess, StorageError};
use super::transport::Transport;
use crate::services::raft::{AppendEntriesReply, Index, NodeId};

pub(super) use disk::DiskWatch;
pub(super) use inbox::{Inbound, Inbox, Told};
pub use status::Status;

/// How many messages are taken from the inbox before their effects are carried out.
const MESSAGES_PER_ROUND: usize = 512;

/// The bytes of committed entries that are handed out at once, about.
const APPLY_BYTES: usize = 1 << 20;

/// How many such batches may wait for the state machine.
pub(super) const APPLY_BATCHES_MAX: usize = 16;

/// The task that owns a core.
pub(super) struct Driver {
    core: Core,
    /// The instant of time 0.
    origin: Instant,
    inbox: mpsc::Receiver<Inbound>,
    disk: Disk,
    disk_space: DiskSpace,
    leader_commit_index: Index,
    state_log: StateLog,
    peers: Peers,
    digests: Arc<Digests>,
    problems: Arc<Problems>,
    status: watch::Sender<Status>,
    applies: mpsc::Sender<Committed>,
    /// Up to where committed entries were handed out.
    handed_out: Index,
    /// The next name for a request or a read.
    next_token: Token,
    answers: BTreeMap<Token, oneshot::Sender<Reply>>,
    reads: BTreeMap<Token, Vec<oneshot::Sender<ReadOutcome>>>,
    /// Who waits until this node does not lead.
    transfers: Vec<oneshot::Sender<()>>,
    /// Who waits for the end of a change of the membership.
    changes: BTreeMap<Token, oneshot::Sender<Changed>>,
    membership: watch::Sender<Arc<KnownMembership>>,
    /// Whether a snapshot is being sent, which is kept readable for that.
    sends_snapshot: bool,
    /// What the core is told before anything else.
    backlog: VecDeque<Input>,
    /// What the steps of this round want to persist.
    persist: Option<Persist>,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) core: Core,
    pub(super) digests: Arc<Digests>,
    pub(super) problems: Arc<Problems>,
    pub(super) storage: Box<dyn super::storage::Storage>,
    pub(super) snapshots: SnapshotAccess,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) inbox: (mpsc::WeakSender<Inbound>, mpsc::Receiver<Inbound>),
    pub(super) applies: mpsc::Sender<Committed>,
    pub(super) origin: Instant,
    pub(super) contacts: Arc<Contacts>,
}

impl Driver {
    /// Puts the parts together, and tells where the node's status and its membership can be watched.
    pub(super) fn new(parts: Parts) -> std::io::Result<(Self, watch::Receiver<Status>, MembershipWatch)> {
        let Parts {
            core,
            digests,
            problems,
            storage,
            snapshots,
            transport,
            inbox: (sender, inbox),
            applies,
            origin,
            contacts,
        } = parts;
        let disk = Disk::start(storage)?;
        let state_log = StateLog::new(core.id());
        let disk_space = disk.report().space;
        let (status, watcher) = watch::channel(status_of(&core, disk_space, 0));
        let (membership, membership_watch) = watch::channel(Arc::default());
        let backlog = VecDeque::from([Input::Disk(disk_space)]);
        let mut driver = Self {
            core,
            origin,
            inbox,
            disk,
            disk_space,
            leader_commit_index: 0,
            state_log,
            peers: Peers::new(transport, snapshots, sender, contacts),
            digests,
            problems,
            status,
            applies,
            handed_out: 0,
            next_token: 0,
            answers: BTreeMap::new(),
            reads: BTreeMap::new(),
            transfers: Vec::new(),
            changes: BTreeMap::new(),
            membership,
            sends_snapshot: false,
            backlog,
            persist: None,
        };
        driver.follow_membership();
        Ok((driver, watcher, membership_watch))
    }

    /// Tells whether the disk hangs.
    pub(super) fn disk_watch(&self) -> DiskWatch {
        self.disk.watch()
    }

    /// Runs until the node is stopped, or its disk fails.
    ///
    /// # Errors
    /// When the disk has failed. Everybody who waits is told that there is no answer.
    pub(super) async fn run(mut self) -> Result<(), Arc<StorageError>> {
        let mut round = Vec::with_capacity(MESSAGES_PER_ROUND);
        let mut alarm = Alarm::new(self.origin);
        loop {
            self.step_backlog();
            if self.now() >= self.core.next_deadline() {
                self.step(Input::Timeout);
            }
            self.step_backlog();
            self.carry_out();
            let applies = self.applies.clone();
            let has_room = self.disk.has_room();
            // Where a snapshot waits for the disk there is more to come, but nothing to make room for.
            let is_held_up = self.has_more_to_hand_out() && applies.capacity() == 0;
            tokio::select! {
                // What the disk says is news at most once a batch, and the deadline is looked at in each round.
                biased;
                report = self.disk.changed() => {
                    if let Some(error) = report.failed {
                        return Err(error);
                    }
                    self.backlog.push_back(Input::Durable(report.durable));
                    if std::mem::replace(&mut self.disk_space, report.space) != report.space {
                        log_space(report.space);
                        self.backlog.push_back(Input::Disk(report.space));
                    }
                }
                count = self.inbox.recv_many(&mut round, MESSAGES_PER_ROUND), if has_room => {
                    if count == 0 || !self.take(&mut round) {
                        self.carry_out();
                        return self.disk.close().await;
                    }
                }
                _ = applies.reserve(), if is_held_up => {}
                () = alarm.by(self.core.next_deadline()) => {}
            }
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn step_backlog(&mut self) {
        while let Some(input) = self.backlog.pop_front() {
            self.step(input);
        }
    }

    /// Takes a round of messages. False when the node is to stop.
    fn take(&mut self, round: &mut Vec<Inbound>) -> bool {
        let mut messages = round.drain(..).peekable();
        while let Some(message) = messages.next() {
            match message {
                Inbound::Request { from, request, answer } => {
                    let token = self.token();
                    self.answers.insert(token, answer);
                    let committed = committed_by(&request);
                    self.step(Input::Request { from, token, request });
                    if self.core.leader() == Some(from) {
                        self.leader_commit_index = self.leader_commit_index.max(committed);
                    }
                }
                Inbound::Reply { from, reply, round_trip } => {
                    if let Some(took) = round_trip {
                        self.note_round_trip(from, took);
                    }
                    if let Reply::Append(AppendEntriesReply { digest: Some(digest), .. }) = &reply {
                        self.digests.hear(from, *digest);
                    }
                    self.step(Input::Reply { from, reply });
                }
                Inbound::Failed { to, sent } => self.step(Input::Failed { to, sent }),
                Inbound::SnapshotGone { to, sent } => self.step(Input::SnapshotGone { to, sent }),
                Inbound::Propose { commands, told } => {
                    let mut proposals = Proposals::first(commands, told);
                    // Those that wait together go together: one write, one message to each node.
                    while let Some(Inbound::Propose { .. }) = messages.peek()
                        && let Some(Inbound::Propose { commands, told }) = messages.next()
                    {
                        proposals.add(commands, told);
                    }
                    self.propose(proposals);
                }
                Inbound::Read { answer } => {
                    let mut answers = vec![answer];
                    // Those that wait together are one question.
                    while let Some(Inbound::Read { .. }) = messages.peek()
                        && let Some(Inbound::Read { answer }) = messages.next()
                    {
                        answers.push(answer);
                    }
                    let token = self.token();
                    self.reads.insert(token, answers);
                    self.step(Input::Read(token));
                }
                Inbound::SnapshotSaved(snapshot) => self.step(Input::SnapshotSaved(snapshot)),
                Inbound::SnapshotGivenUp => self.step(Input::SnapshotGivenUp),
                Inbound::Transfer { to, handed_over } => {
                    self.transfers.retain(|waiting| !waiting.is_closed());
                    self.transfers.push(handed_over);
                    self.step(Input::Transfer(to));
                }
                Inbound::Change { change, answer } => self.change(change, answer),
                Inbound::Found { membership, answer } => self.found(membership, answer),
                Inbound::Inspect(look) => look(&self.core),
                Inbound::Stop => return false,
            }
        }
        true
    }

    fn note_round_trip(&mut self, with: NodeId, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.step(Input::RoundTrip { with, us });
        let round_trip_us = self.core.round_trip_us(with).unwrap_or(0);
        self.peers.note_round_trip(with, round_trip_us, self.core.options().election_timeout_us);
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        self.next_token
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        let effects = self.core.step(now, input);
        self.take_effects(effects);
    }

    /// Carries out the effects of a step, but for what `carry_out` does once for a whole round.
    fn take_effects(&mut self, effects: Effects) {
        let Effects { persist, requests, replies, proposed: _, reads, changes, events } = effects;
        // What is sent in this step may be for members that it has added.
        if events.contains(&Event::Membership) {
            self.follow_membership();
        }
        if let Some(persist) = persist {
            log_received(&persist);
            match &mut self.persist {
                Some(batch) => {
                    batch.position = persist.position;
                    batch.ops.extend(persist.ops);
                }
                None => self.persist = Some(persist),
            }
        }
        for (to, request) in requests {
            let time = Duration::from_micros(self.core.time_limit_us(to, &request));
            let bounds = Bounds { time, piece_bytes: self.core.piece_bytes(to) };
            if let Err(sent) = self.peers.send(to, request, bounds) {
                self.backlog.push_back(Input::Failed { to, sent });
            }
        }
        for (token, reply) in replies {
            if let Some(answer) = self.answers.remove(&token) {
                let _gone = answer.send(reply);
            }
        }
        for (token, outcome) in reads {
            for answer in self.reads.remove(&token).into_iter().flatten() {
                let _gone = answer.send(outcome);
            }
        }
        self.answer_changes(changes);
        for event in events {
            match event {
                Event::State { role, term, leader } => self.state_log.note(role, term, leader),
                Event::Truncated(from) => tracing::debug!(from, "removed entries that were not committed"),
                Event::LostData(node) => self.report_lost_data(node),
                Event::Contradicted { index } => self.report_contradiction(index),
                Event::Committed(_) | Event::Membership => {}
            }
        }
    }

    /// What is done once for a whole round: the disk gets one batch, the state machine what is committed, and whoever
    /// watches the new status.
    fn carry_out(&mut self) {
        if let Some(batch) = self.persist.take() {
            self.disk.write(batch);
        }
        while self.has_more_to_hand_out()
            && let Ok(permit) = self.applies.try_reserve()
        {
            let committed = self.core.committed(self.handed_out, APPLY_BYTES);
            match &committed {
                Committed::Nothing => break,
                Committed::Entries { first, entries } => self.handed_out = first + entries.len() as u64 - 1,
                Committed::Snapshot(snapshot) => self.handed_out = snapshot.last_index,
            }
            permit.send(committed);
        }
        // A term that a crash may take back is not told.
        if self.core.term_is_durable() {
            let status = status_of(&self.core, self.disk_space, self.leader_commit_index);
            self.status.send_if_modified(|old| std::mem::replace(old, status) != status);
        }
        let sends_snapshot = self.core.sends_snapshot();
        if std::mem::replace(&mut self.sends_snapshot, sends_snapshot) && !sends_snapshot {
            self.peers.release_snapshots();
        }
        if self.core.role() != Role::Leader {
            for waiting in self.transfers.drain(..) {
                let _gone = waiting.send(());
            }
        }
    }

    fn has_more_to_hand_out(&self) -> bool {
        self.handed_out < self.core.commit_index() && !self.applies.is_closed()
    }
}

/// Up to where entries are committed if the sender of this request leads.
fn committed_by(request: &Request) -> Index {
    match request {
        Request::Append(args) => args.commit,
        Request::Snapshot(args) => args.snapshot.last_index,
        Request::PreVote(_) | Request::Vote(_) | Request::TimeoutNow(_) => 0,
    }
}
