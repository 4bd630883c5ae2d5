//! What a host does for its core: carries out effects, keeps time, waits for answers, and syncs in groups.

use traitwire_kv::kv_raft::raft::core::{
    Effects, Event as CoreEvent, Input, Op, Persist, Proposed, Reply, Request, Role, Time,
};
use traitwire_kv::kv_raft::raft::storage::StorageError;
use traitwire_kv::services::raft::{AppendOutcome, Entry, NodeId, Payload, Sender};

use super::members::body_of_sender;
use super::{Cluster, Event, NodeEvent};
use crate::host_bug::HostBug;
use crate::network::{Fate, Letter, at};
use crate::node::{Asker, Call, CallId, CrashPoint};
use crate::violation::{Rule, Violation};

impl Cluster {
    /// Gives an input to a core, and does what it says must be done. Gives what became of a proposal.
    pub(crate) fn step(&mut self, id: NodeId, input: Input) -> Result<Option<Proposed>, Violation> {
        let node = &mut self.nodes[at(id)];
        let time = Time(node.clock.read(self.now));
        let Some(life) = node.life.as_mut() else { return Ok(None) };
        self.trace.line(self.now, || format!("n{id} <- {}", crate::show::input(&input)));
        let effects = life.core.step(time, input);
        let core = &life.core;
        let sent = effects.requests.len() + 16 * effects.replies.len();
        self.trace.note(&[self.now, id, core.term(), core.commit_index(), core.last_index(), sent as u64]);
        self.trace.line(self.now, || format!("    -> {}", crate::show::effects(core, &effects)));
        self.invariants.after_step(id, core, &effects)?;
        self.carry_out(id, effects)
    }

    fn carry_out(&mut self, id: NodeId, effects: Effects) -> Result<Option<Proposed>, Violation> {
        let Effects { persist, requests, replies, proposed, reads, changes, events } = effects;
        if events.contains(&CoreEvent::Membership)
            && let Some(life) = self.life(id)
        {
            life.contacts_from = None;
        }
        self.follow_contacts(id);
        for (to, request) in requests {
            self.call(id, to, request)?;
        }
        for (token, reply) in replies {
            self.answer(id, token, reply)?;
        }
        for (token, outcome) in reads {
            self.read_is_decided(id, token, outcome)?;
        }
        for (_, changed) in changes {
            self.note_changed(id, &changed)?;
        }
        for event in events {
            self.note_event(id, event)?;
        }
        self.set_timer(id);
        if let (Some(persist), Some(life)) = (persist, self.life(id)) {
            life.queue.push(persist);
            self.begin_sync(id)?;
        }
        Ok(proposed)
    }

    fn note_event(&mut self, id: NodeId, event: CoreEvent) -> Result<(), Violation> {
        match event {
            CoreEvent::State { role, .. } => {
                self.counts.leaders += u64::from(role == Role::Leader);
                if role != Role::Leader && self.plan.has(HostBug::NoLeaderMeansNever) {
                    self.tell_never(id, 0)?;
                }
            }
            CoreEvent::Committed(_) => self.apply_soon(id),
            CoreEvent::Membership => self.note_membership(id),
            CoreEvent::LostData(_) | CoreEvent::Contradicted { .. } => {}
            CoreEvent::Truncated(first) => {
                if self.plan.has(HostBug::RemovedMeansNever) {
                    self.tell_never(id, first)?;
                }
            }
        }
        Ok(())
    }

    /// Sends a request.
    fn call(&mut self, from: NodeId, to: NodeId, mut request: Request) -> Result<(), Violation> {
        self.counts.requests += 1;
        self.counts.vote_requests += u64::from(matches!(request, Request::Vote(_) | Request::PreVote(_)));
        let id = self.clients.name();
        let (now, sent) = (self.now, request.sent());
        let Some(life) = self.life(from) else { return Ok(()) };
        let timeout_us = life.core.time_limit_us(to, &request);
        let piece_bytes = life.core.piece_bytes(to);
        let small_since = (!request.is_bulk()).then_some(now);
        let until = now + timeout_us;
        life.calls.push_back(Call { id, to, sent, small_since, until, open: true });
        let is_watched = until >= life.calls_watched;
        life.calls_watched = life.calls_watched.min(until);
        let number = life.number;
        let mut has_bytes = true;
        if let Request::Snapshot(args) = &mut request {
            let piece = life.snapshots.read(&args.snapshot, args.offset, piece_bytes);
            match piece.map_err(|error| cannot(from, "read a snapshot", &error))? {
                Some((data, last)) => (args.data, args.last) = (data, last),
                // There is a newer one, of which the core is about to hear.
                None => has_bytes = false,
            }
        }
        if !has_bytes {
            life.end_call(id);
            self.add_for(from, 0, NodeEvent::SnapshotGone { of: number, to, sent });
            return Ok(());
        }
        let bytes = bytes_of(&request);
        self.counts.pieces += u64::from(matches!(request, Request::Snapshot(_)));
        self.counts.bytes += bytes as u64;
        if !is_watched {
            self.add_for(from, timeout_us, NodeEvent::CallsExpire(number));
        }
        let Some((to, sender)) = self.address(from, to) else {
            self.report_loss(from, id, Some(0));
            return Ok(());
        };
        match self.network.request(&mut self.random, Letter { from, to, bytes, now }) {
            Fate::Arrives { after_us, again_after_us } => {
                if let Some(after_us) = again_after_us {
                    let (request, sender) = (request.clone(), sender.clone());
                    self.add_for(to, after_us, NodeEvent::Request { from, call: id, request, sender });
                }
                self.add_for(to, after_us, NodeEvent::Request { from, call: id, request, sender });
            }
            Fate::Lost { reported_after_us } => self.report_loss(from, id, reported_after_us),
        }
        Ok(())
    }

    pub(super) fn report_loss(&mut self, caller: NodeId, call: CallId, after_us: Option<u64>) {
        if let Some(after_us) = after_us {
            self.add_for(caller, after_us, NodeEvent::Broken { call });
        }
    }

    /// A request has come to a node.
    pub(super) fn at_request(
        &mut self,
        id: NodeId,
        (place, call): (NodeId, CallId),
        request: Request,
        sender: Option<&Sender>,
    ) -> Result<(), Violation> {
        let token = self.clients.name();
        if let Some(sender) = sender
            && !self.admits(id, sender)?
        {
            self.refuse(id, (place, call), &request);
            return Ok(());
        }
        let body = sender.and_then(body_of_sender).unwrap_or(at(place));
        let from = sender.map_or(place, |sender| sender.from);
        match self.life(id) {
            Some(life) => {
                life.askers.insert(token, Asker { place, call, body });
                self.step(id, Input::Request { from, token, request }).map(drop)
            }
            // Nobody listens there.
            None => {
                self.hang_up(id, place, call);
                Ok(())
            }
        }
    }

    /// A connection ends without an answer.
    pub(super) fn hang_up(&mut self, id: NodeId, caller: NodeId, call: CallId) {
        if !self.network.is_cut(id, caller) {
            let after_us = self.network.report(&mut self.random);
            self.report_loss(caller, call, after_us);
        }
    }

    fn answer(&mut self, id: NodeId, token: u64, reply: Reply) -> Result<(), Violation> {
        let Some(asker) = self.life(id).and_then(|life| life.askers.remove(&token)) else {
            return Ok(());
        };
        let Asker { place: to, call, body } = asker;
        self.invariants.on_answer(id, body, &reply)?;
        let letter = Letter { from: id, to, bytes: 0, now: self.now };
        match self.network.reply(&mut self.random, letter) {
            Fate::Arrives { after_us, again_after_us } => {
                if let Some(after_us) = again_after_us {
                    self.add_for(to, after_us, NodeEvent::Reply { from: id, call, reply: reply.clone() });
                }
                self.add_for(to, after_us, NodeEvent::Reply { from: id, call, reply });
            }
            Fate::Lost { reported_after_us } => self.report_loss(to, call, reported_after_us),
        }
        Ok(())
    }

    pub(super) fn at_reply(
        &mut self,
        id: NodeId,
        place: NodeId,
        call: CallId,
        reply: Reply,
    ) -> Result<(), Violation> {
        let mut from = self.nodes[at(place)].id;
        if call < self.nodes[at(id)].first_call {
            return Ok(());
        }
        let awaited = self.life(id).and_then(|life| life.end_call(call));
        let was_awaited = awaited.is_some();
        if let Some(Call { to, small_since: Some(since), .. }) = awaited {
            let us = self.now - since;
            self.step(id, Input::RoundTrip { with: to, us })?;
        }
        if let Some(call) = &awaited {
            from = call.to;
        }
        let stale = self.network.profile.deliver_stale;
        if !was_awaited && !self.chance(stale) {
            return Ok(());
        }
        if let Reply::Append(reply) = &reply {
            self.counts.conflicts += u64::from(matches!(reply.outcome, AppendOutcome::Conflict(_)));
        }
        if self.plan.has(HostBug::ReplyOfAnotherNode) && self.chance(100) {
            from = self.plan.node_ids().find(|other| *other != id && *other != from).unwrap_or(from);
        }
        self.step(id, Input::Reply { from, reply }).map(drop)
    }

    pub(super) fn expire_calls(&mut self, id: NodeId) -> Result<(), Violation> {
        let now = self.now;
        while let Some(call) = self.life(id).and_then(|life| life.expire_call(now)) {
            self.step(id, Input::Failed { to: call.to, sent: call.sent })?;
        }
        let Some(life) = self.life(id) else { return Ok(()) };
        let number = life.number;
        life.calls_watched =
            life.calls.iter().filter(|call| call.open).map(|call| call.until).min().unwrap_or(u64::MAX);
        if life.calls_watched < u64::MAX {
            let after_us = life.calls_watched - now;
            self.add_for(id, after_us, NodeEvent::CallsExpire(number));
        }
        Ok(())
    }

    /// Sets the timer if the core wants to hear from it earlier than before.
    pub(crate) fn set_timer(&mut self, id: NodeId) {
        let late_us = self.plan.host.timer_late_us;
        let node = &mut self.nodes[at(id)];
        let Some(life) = &mut node.life else { return };
        let due = node.clock.when(life.deadline().0, self.now);
        if due < life.timer_at {
            let late_us = late_us.draw(&mut self.random);
            life.timer_at = due;
            let number = life.number;
            self.queue.add(due.saturating_add(late_us), Event::Node(id, NodeEvent::Deadline(number)));
        }
    }

    pub(super) fn at_deadline(&mut self, id: NodeId) -> Result<(), Violation> {
        // Too early is harmless, and so it is tried.
        let may_be_early = self.random.u8(0..8) == 0;
        let node = &mut self.nodes[at(id)];
        let Some(life) = &mut node.life else { return Ok(()) };
        if self.now < life.timer_at {
            // A newer timer is set for later.
            return Ok(());
        }
        life.timer_at = u64::MAX;
        let is_due = node.clock.read(self.now) >= life.deadline().0;
        if is_due || may_be_early {
            return self.step(id, Input::Timeout).map(drop);
        }
        self.set_timer(id);
        Ok(())
    }

    /// Gives all that waits to the disk, unless it is busy.
    fn begin_sync(&mut self, id: NodeId) -> Result<(), Violation> {
        let sync_us = self.plan.host.sync_us.draw(&mut self.random);
        let now = self.now;
        let node = self.node(id);
        let stalled_us = node.stalled_until.saturating_sub(now);
        let crashes = node.crashes_at(CrashPoint::Given);
        let Some(life) = node.life.as_mut().filter(|life| life.syncing.is_none() && !life.queue.is_empty())
        else {
            return Ok(());
        };
        let batch = std::mem::take(&mut life.queue);
        let last = batch.last().map_or(0, |persist| persist.position);
        let number = life.number;
        if crashes {
            self.crash(id);
            return Ok(());
        }
        life.syncing = Some(batch);
        self.add_for(id, sync_us + stalled_us, NodeEvent::Synced(number));
        if self.node(id).crashes_at(CrashPoint::Syncing) {
            self.crash(id);
            return Ok(());
        }
        if self.plan.has(HostBug::ConfirmBeforeSync) {
            self.step(id, Input::Durable(last))?;
        }
        Ok(())
    }

    pub(super) fn at_synced(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let Some(batch) = life.syncing.take() else { return Ok(()) };
        let written = write(&mut *life.storage, &batch);
        let ops = ops_of(&batch);
        match written {
            Ok(()) => self.invariants.on_synced(id, ops)?,
            Err(_) if self.node(id).disk_may_fail && self.plan.has(HostBug::IgnoreFailedSync) => {}
            // A sync is never tried again: the node stops, and starts with what its disk has.
            Err(_) if self.node(id).disk_may_fail => {
                self.kill(id);
                return Ok(());
            }
            Err(error) => return Err(cannot(id, "write", &error)),
        }
        if self.node(id).crashes_at(CrashPoint::Synced) {
            self.crash(id);
            return Ok(());
        }
        self.tell_space(id)?;
        let last = batch.last().map_or(0, |persist| persist.position);
        self.step(id, Input::Durable(last))?;
        self.apply_soon(id);
        if self.node(id).crashes_at(CrashPoint::Confirmed) {
            self.crash(id);
            return Ok(());
        }
        self.begin_sync(id)?;
        let idle_us = self.plan.host.idle_us;
        if let Some(life) = self.life(id)
            && life.syncing.is_none()
        {
            let number = life.number;
            self.add_for(id, idle_us, NodeEvent::Idle(number));
        }
        Ok(())
    }
}

/// What a request carries on its link.
fn bytes_of(request: &Request) -> usize {
    match request {
        Request::Append(args) => args.entries.iter().map(bytes_of_entry).sum(),
        // In base64.
        Request::Snapshot(args) => args.data.0.len() / 3 * 4,
        Request::PreVote(_) | Request::Vote(_) | Request::TimeoutNow(_) => 0,
    }
}

/// What an entry adds to the message that brings it.
pub(super) fn bytes_of_entry(entry: &Entry) -> usize {
    40 + match &entry.payload {
        Payload::Command(command) => command.json().len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

/// Writes and syncs a batch.
pub(super) fn write(
    storage: &mut dyn traitwire_kv::kv_raft::raft::storage::Storage,
    batch: &[Persist],
) -> Result<(), StorageError> {
    for persist in batch {
        storage.append(&persist.ops)?;
    }
    storage.sync()
}

/// How many operations a batch has that change the log, the term or the vote.
pub(super) fn ops_of(batch: &[Persist]) -> usize {
    let counts = |op: &&Op| !matches!(op, Op::SnapshotPiece { .. });
    batch.iter().flat_map(|persist| &persist.ops).filter(counts).count()
}

/// A disk that works has failed.
pub(super) fn cannot(id: NodeId, what: &str, error: &StorageError) -> Violation {
    Violation::new(Rule::Storage, format!("node {id} cannot {what}: {error}"))
}
