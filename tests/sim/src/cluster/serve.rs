//! Clients and the nodes that serve them.

use traitwire_kv::kv_raft::raft::core::{Input, Proposed, ReadOutcome, Refusal, Token};
use traitwire_kv::services::raft::{Index, NodeId, Term};

use super::{Cluster, Event, NodeEvent};
use crate::client::{ClientEvent, OperationId, Told};
use crate::host_bug::HostBug;
use crate::machine::{Put, PutResult};
use crate::violation::Violation;

/// The chance, in thousandths, that commands which change nothing are proposed together with one that does.
const FILLED: u32 = 50;

impl Cluster {
    pub(super) fn at_client(&mut self, event: ClientEvent) -> Result<(), Violation> {
        match event {
            ClientEvent::Begins(_) if self.calm => {}
            ClientEvent::Begins(client) => {
                let id = self.clients.begin(client, &mut self.random);
                let patience_us = self.clients.patience_us();
                self.add(patience_us, Event::Client(ClientEvent::GivesUp(id)));
                self.add(0, Event::Client(ClientEvent::Asks(id)));
            }
            ClientEvent::Asks(id) => {
                if let Some((_, node)) = self.clients.ask(id) {
                    let after_us = self.network.profile.delay_us.draw(&mut self.random);
                    self.add_for(node, after_us, NodeEvent::Client(id));
                }
            }
            ClientEvent::Told(id, told) => {
                let Some(client) = self.clients.operation(id).map(|operation| operation.client) else {
                    return Ok(());
                };
                match self.clients.tell(id, told, &mut self.random) {
                    Some(true) => self.begin_next(client),
                    Some(false) => {
                        let after_us = self.random.u64(1_000..30_000);
                        self.add(after_us, Event::Client(ClientEvent::Asks(id)));
                    }
                    None => {}
                }
            }
            ClientEvent::GivesUp(id) => {
                if let Some(client) = self.clients.give_up(id, &mut self.random) {
                    self.begin_next(client);
                }
            }
        }
        Ok(())
    }

    fn begin_next(&mut self, client: usize) {
        let after_us = self.clients.think_us(&mut self.random);
        self.add(after_us, Event::Client(ClientEvent::Begins(client)));
    }

    fn tell(&mut self, id: OperationId, told: Told) {
        let after_us = self.network.profile.delay_us.draw(&mut self.random);
        self.add(after_us, Event::Client(ClientEvent::Told(id, told)));
    }

    /// A client's call has come to a node.
    pub(super) fn serve(&mut self, id: NodeId, operation: OperationId) -> Result<(), Violation> {
        let Some(wanted) = self.clients.operation(operation).copied() else { return Ok(()) };
        let name = self.clients.name();
        if self.life(id).is_none() {
            self.tell(operation, Told::NotHere(None));
            return Ok(());
        }
        if self.invariants.cluster(id) != 0 {
            self.tell(operation, Told::NotHere(None));
            return Ok(());
        }
        let Some(life) = self.life(id) else { return Ok(()) };
        let Some(version) = wanted.put_at else {
            life.reads.insert(name, operation);
            self.invariants.on_read(name);
            return self.step(id, Input::Read(name)).map(drop);
        };
        let put = Put { id: name, key: wanted.key, version, value: wanted.value };
        let mut commands = vec![put.command()];
        if self.chance(FILLED) {
            for _ in 0..self.random.u64(1..30) {
                let id = self.clients.name();
                commands.push(Put { id, key: wanted.key, version: u64::MAX, value: 0 }.command());
            }
        }
        match self.step(id, Input::Propose(commands))? {
            Some(Proposed::Accepted { first, term }) => {
                self.counts.proposals += 1;
                if let Some(life) = self.life(id) {
                    life.waiters.entry((first, term)).or_default().push((name, operation));
                }
            }
            Some(Proposed::Refused(refusal)) => {
                self.invariants.on_told_never(name)?;
                let other = self.other_place(id, refusal);
                self.tell(operation, Told::NotHere(other));
            }
            // The node has crashed meanwhile.
            None => {}
        }
        Ok(())
    }

    /// Where the node is that a refusal names.
    fn other_place(&self, at: NodeId, refusal: Refusal) -> Option<NodeId> {
        other_node(refusal).and_then(|id| self.place_of(at, id))
    }

    pub(super) fn read_is_decided(
        &mut self,
        id: NodeId,
        token: Token,
        outcome: ReadOutcome,
    ) -> Result<(), Violation> {
        let early = self.plan.has(HostBug::ReadBeforeApplied);
        let Some(life) = self.life(id) else { return Ok(()) };
        let Some(operation) = life.reads.remove(&token) else { return Ok(()) };
        match outcome {
            ReadOutcome::Ready(index) => {
                life.ready_reads.push((if early { 0 } else { index }, operation));
                self.serve_ready_reads(id);
            }
            ReadOutcome::Refused(refusal) => {
                let other = self.other_place(id, refusal);
                self.tell(operation, Told::NotHere(other));
            }
        }
        Ok(())
    }

    /// Answers the reads for which the state is new enough.
    pub(super) fn serve_ready_reads(&mut self, id: NodeId) {
        let Some(life) = self.life(id) else { return };
        let applied = life.applied;
        let ready: Vec<_> = life.ready_reads.extract_if(.., |(index, _)| *index <= applied).collect();
        for (_, operation) in ready {
            let Some(key) = self.clients.operation(operation).map(|operation| operation.key) else {
                continue;
            };
            let Some(life) = self.life(id) else { return };
            let held = life.machine.get(key);
            self.tell(operation, Told::Got(held));
        }
    }

    /// An entry was applied: whoever waits for it gets its result, and whoever waits for another one at its index can stop.
    pub(super) fn resolve_waiters(
        &mut self,
        id: NodeId,
        index: Index,
        term: Term,
        result: Option<(Put, PutResult)>,
    ) -> Result<(), Violation> {
        let by_index = self.plan.has(HostBug::MatchByIndexAlone);
        let Some(life) = self.life(id) else { return Ok(()) };
        // Most entries have nobody waiting at this node.
        if life.waiters.first_key_value().is_none_or(|((first, _), _)| *first > index) {
            return Ok(());
        }
        let later = life.waiters.split_off(&(index + 1, 0));
        let resolved = std::mem::replace(&mut life.waiters, later);
        for ((at, of), waiters) in resolved {
            for (command, operation) in waiters {
                match result {
                    Some((_, result)) if at == index && (of == term || by_index) => {
                        self.invariants.on_told_applied(command)?;
                        self.tell(operation, Told::Put(result));
                    }
                    Some(_) | None => {
                        self.invariants.on_told_never(command)?;
                        self.tell(operation, Told::NotHere(None));
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells whoever waits for entries from an index on, rightly or wrongly, that they are in no log.
    pub(super) fn tell_never(&mut self, id: NodeId, first: Index) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let waiters = life.waiters.split_off(&(first, 0));
        for (command, operation) in waiters.into_values().flatten() {
            self.invariants.on_told_never(command)?;
            self.tell(operation, Told::NotHere(None));
        }
        Ok(())
    }
}

fn other_node(refusal: Refusal) -> Option<NodeId> {
    match refusal {
        Refusal::NotLeader(leader) => leader,
        Refusal::Transferring | Refusal::TooMuch | Refusal::DiskFull => None,
    }
}
