//! A cluster in simulated time: the events, and what each does.

mod ends;
mod host;
mod idle;
mod look;
mod members;
mod serve;
mod snapshot;

use traitwire_kv::kv_raft::raft::core::{Core, Input, Reply, Request, Sent, Time};
use traitwire_kv::services::raft::{NodeId, Sender};

use crate::client::{ClientEvent, Clients};
use crate::clock::Clock;
use crate::disk::{Lies, SimDisk};
use crate::host_bug::HostBug;
use crate::invariants::Invariants;
use crate::machine::mix;
use crate::nemesis::{Fault, Undo};
use crate::network::{Network, at, draw};
use crate::node::{CallId, Life, Node};
use crate::operator::Operators;
use crate::plan::Plan;
use crate::queue::Queue;
use crate::trace::Trace;
use crate::violation::{Rule, Violation, ensure};

/// A cluster, with its network, its clients and those who watch it.
pub struct Cluster {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) queue: Queue<Event>,
    pub(crate) random: fastrand::Rng,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) clients: Clients,
    pub(crate) invariants: Invariants,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Since when events are counted to find storms, and how many there were before.
    window: (u64, u64),
    /// Whether faults and clients have come to their end.
    pub(crate) calm: bool,
    /// Who changes the membership, if anybody does.
    pub(crate) operators: Option<Box<Operators>>,
}

/// So many events in so short a time are a storm.
const STORM_EVENTS: u64 = 50_000;
const STORM_WINDOW_US: u64 = 100_000;

/// What there was how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Requests from node to node.
    pub requests: u64,
    /// Of these, the ones for votes, pre-votes included.
    pub vote_requests: u64,
    /// Answers, heard by a leader, that a log does not contain the entry before the sent ones.
    pub conflicts: u64,
    /// Nodes that began to lead.
    pub leaders: u64,
    /// Pieces of snapshots.
    pub pieces: u64,
    /// Bytes of entries and of pieces of snapshots that were sent.
    pub bytes: u64,
    /// Snapshots that a state machine was given.
    pub restores: u64,
    /// Nodes that went down.
    pub crashes: u64,
    /// Commands that were proposed and not refused.
    pub proposals: u64,
    /// Changes of the membership that took effect, as the node said that was asked for them.
    pub changes: u64,
    /// Configurations in which the voters change that a leader began.
    pub joint: u64,
    /// Data folders that were wiped.
    pub wipes: u64,
    /// Messages that were kept from a core because of who sent them, or for whom they were.
    pub refused_senders: u64,
}

/// What happens.
pub(crate) enum Event {
    Node(NodeId, NodeEvent),
    Client(ClientEvent),
    /// A node that pauses goes on.
    Resume(NodeId),
    /// A node that is down starts.
    Start(NodeId),
    /// The next fault.
    Fault,
    /// A fault ends.
    Undo(Undo),
    /// The operator of a cluster does something.
    Operator(usize),
    /// A node whose folder was wiped asks to be a member again.
    Rejoin(NodeId),
}

impl Event {
    /// A number for the trace.
    fn kind(&self) -> u64 {
        match self {
            Self::Client(_) => 1,
            Self::Resume(_) => 2,
            Self::Start(_) => 3,
            Self::Fault => 4,
            Self::Undo(_) => 5,
            Self::Operator(_) => 0x0C,
            Self::Rejoin(_) => 0x0D,
            Self::Node(id, _) => 5 + id,
        }
    }
}

/// What happens at a node. Where it belongs to one life of the node, that is named.
pub(crate) enum NodeEvent {
    Request { from: NodeId, call: CallId, request: Request, sender: Option<Box<Sender>> },
    Reply { from: NodeId, call: CallId, reply: Reply },
    Broken { call: CallId },
    SnapshotGone { of: u64, to: NodeId, sent: Sent },
    CallsExpire(u64),
    Deadline(u64),
    Synced(u64),
    Saved(u64),
    Apply(u64),
    Idle(u64),
    LookForSpace(u64),
    Stop(u64),
    Client(crate::client::OperationId),
}

impl Cluster {
    /// A cluster whose nodes start now, with empty disks.
    ///
    /// # Errors
    /// When that breaks a rule.
    pub fn new(plan: Plan) -> Result<Self, Violation> {
        Self::with_trace(plan, Trace::brief())
    }

    pub(crate) fn with_trace(plan: Plan, trace: Trace) -> Result<Self, Violation> {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let drift = plan.host.clock_drift;
        let lies =
            Lies { files: plan.has(HostBug::DiskIgnoresSync), names: plan.has(HostBug::DiskIgnoresNameSync) };
        let node = |id| {
            let rate = random.u64(1_000_000 - drift..=1_000_000 + drift);
            let clock = Clock::new(random.u64(0..1_000_000), rate);
            Node::new(id, clock, SimDisk::new(lies, random.u64(..)))
        };
        let nodes = plan.node_ids().map(node).collect();
        let mut cluster = Self {
            now: 0,
            queue: Queue::new(),
            random,
            nodes,
            network: Network::new(plan.nodes, plan.profile),
            clients: Clients::new(plan.load, plan.nodes),
            invariants: Invariants::new(plan.nodes, plan.changes.is_some()),
            trace,
            counts: Counts::default(),
            window: (0, 0),
            calm: false,
            operators: None,
            plan,
        };
        if let Some(changes) = cluster.plan.changes {
            cluster.prepare_clusters(&changes);
        }
        for id in cluster.plan.node_ids() {
            cluster.start(id)?;
        }
        if let Some(changes) = cluster.plan.changes {
            cluster.found_clusters(&changes)?;
        }
        for client in 0..cluster.clients.count() {
            let after_us = cluster.clients.think_us(&mut cluster.random);
            cluster.add(after_us, Event::Client(ClientEvent::Begins(client)));
        }
        if !cluster.plan.faults.is_empty() {
            cluster.add_next_fault();
        }
        Ok(cluster)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When a rule is broken, at the first event that breaks it.
    pub fn run_for(&mut self, us: u64) -> Result<(), Violation> {
        let until = self.now + us;
        while let Some((at, event)) = self.queue.next_until(until) {
            self.now = at;
            self.handle(event)?;
        }
        self.now = until;
        Ok(())
    }

    pub(crate) fn add(&mut self, after_us: u64, event: Event) {
        self.queue.add(self.now + after_us, event);
    }

    pub(crate) fn add_for(&mut self, id: NodeId, after_us: u64, event: NodeEvent) {
        self.add(after_us, Event::Node(id, event));
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[at(id)]
    }

    /// What is lost when the node stops, of a node that is up.
    pub(crate) fn life(&mut self, id: NodeId) -> Option<&mut Life> {
        self.nodes[at(id)].life.as_deref_mut()
    }

    /// Ends runs in which messages bring forth ever more messages.
    fn check_storm(&mut self) -> Result<(), Violation> {
        let (since, events) = self.window;
        if self.now >= since + STORM_WINDOW_US {
            self.window = (self.now, self.counts.events);
        }
        let count = self.counts.events - events;
        ensure(count < STORM_EVENTS, Rule::NoStorm, || format!("{count} events since {since} us"))
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        self.counts.events += 1;
        self.check_storm()?;
        self.trace.note(&[self.now, event.kind()]);
        match event {
            Event::Node(id, event) => match &mut self.node(id).paused {
                Some(held) => {
                    held.push(event);
                    Ok(())
                }
                None => self.at_node(id, event),
            },
            Event::Client(event) => self.at_client(event),
            Event::Resume(id) => {
                for event in self.node(id).paused.take().unwrap_or_default() {
                    self.at_node(id, event)?;
                }
                Ok(())
            }
            Event::Start(id) if self.node(id).down_until > self.now => Ok(()),
            Event::Start(id) => self.start(id),
            Event::Fault if self.calm => Ok(()),
            Event::Fault => {
                self.add_next_fault();
                let fault = self.plan.faults[self.random.usize(0..self.plan.faults.len())];
                self.inflict(fault)
            }
            Event::Undo(undo) => {
                self.undo(undo);
                Ok(())
            }
            Event::Operator(cluster) => self.operate(cluster),
            Event::Rejoin(id) => self.rejoin(id),
        }
    }

    fn at_node(&mut self, id: NodeId, event: NodeEvent) -> Result<(), Violation> {
        match event {
            NodeEvent::Request { from, call, request, sender } => {
                return self.at_request(id, (from, call), request, sender.as_deref());
            }
            NodeEvent::Client(operation) => return self.serve(id, operation),
            NodeEvent::Reply { .. }
            | NodeEvent::Broken { .. }
            | NodeEvent::SnapshotGone { .. }
            | NodeEvent::CallsExpire(_)
            | NodeEvent::Deadline(_)
            | NodeEvent::Synced(_)
            | NodeEvent::Saved(_)
            | NodeEvent::Apply(_)
            | NodeEvent::Idle(_)
            | NodeEvent::LookForSpace(_)
            | NodeEvent::Stop(_) => {}
        }
        let Some(life) = self.life(id) else { return Ok(()) };
        let number = life.number;
        match event {
            NodeEvent::Reply { from, call, reply } => self.at_reply(id, from, call, reply),
            NodeEvent::Broken { call } => match life.end_call(call) {
                Some(call) => self.step(id, Input::Failed { to: call.to, sent: call.sent }).map(drop),
                None => Ok(()),
            },
            NodeEvent::SnapshotGone { of, to, sent } if of == number => {
                self.step(id, Input::SnapshotGone { to, sent }).map(drop)
            }
            NodeEvent::CallsExpire(of) if of == number => self.expire_calls(id),
            NodeEvent::Deadline(of) if of == number => self.at_deadline(id),
            NodeEvent::Synced(of) if of == number => self.at_synced(id),
            NodeEvent::Saved(of) if of == number => self.at_saved(id),
            NodeEvent::Apply(of) if of == number => self.apply(id),
            NodeEvent::Idle(of) if of == number => self.at_idle(id),
            NodeEvent::LookForSpace(of) if of == number => self.look_for_space(id),
            NodeEvent::Stop(of) if of == number => self.stop(id),
            NodeEvent::SnapshotGone { .. }
            | NodeEvent::CallsExpire(_)
            | NodeEvent::Deadline(_)
            | NodeEvent::Synced(_)
            | NodeEvent::Saved(_)
            | NodeEvent::Apply(_)
            | NodeEvent::Idle(_)
            | NodeEvent::LookForSpace(_)
            | NodeEvent::Stop(_) => Ok(()),
            NodeEvent::Request { .. } | NodeEvent::Client(_) => Ok(()),
        }
    }

    /// A node that is down starts with what is on its disk.
    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), Violation> {
        if self.node(id).life.is_some() {
            return Ok(());
        }
        let settings = self.plan.host;
        let node = self.node(id);
        node.lives += 1;
        let number = node.lives;
        let opened = match node.open(&settings) {
            Ok(opened) => opened,
            // It waits for somebody to make space.
            Err(error) if is_full(&error) => {
                self.node(id).disk.kill();
                self.add(100_000, Event::Start(id));
                return Ok(());
            }
            Err(_) if self.node(id).disk_may_fail => {
                let node = self.node(id);
                node.disk_may_fail = node.disk.is_full();
                node.disk.kill();
                self.add(100_000, Event::Start(id));
                return Ok(());
            }
            Err(error) => {
                return Err(Violation::new(Rule::Storage, format!("node {id} cannot start: {error}")));
            }
        };
        let mut restored = opened.restored;
        self.invariants.on_restart(id, &restored)?;
        if self.plan.has(HostBug::RestartWithoutVote) {
            restored.voted_for = None;
        }
        if self.plan.has(HostBug::RestartWithoutTerm) {
            (restored.term, restored.voted_for) =
                (restored.entries.last().map_or(restored.base_term, |it| it.term), None);
        }
        let seed = mix(mix(self.plan.seed, id), number);
        let options = self.options_of(id, seed);
        self.misread_membership(id, &mut restored);
        let now = Time(self.nodes[at(id)].clock.read(self.now));
        let life =
            Life::begin(number, opened.storage, restored, |restored| Core::new(options, restored, now));
        self.trace.line(self.now, || {
            let core = &life.core;
            format!("n{id} starts: term {}, log {}..={}", core.term(), core.base_index(), core.last_index())
        });
        self.node(id).life = Some(Box::new(life));
        self.follow_contacts(id);
        self.set_timer(id);
        self.apply_soon(id);
        if self.plan.changes.is_some() { self.found_anew(id) } else { Ok(()) }
    }

    pub(crate) fn add_next_fault(&mut self) {
        let after_us = self.plan.fault_gap_us.draw(&mut self.random);
        self.add(after_us, Event::Fault);
    }

    /// Whether something of this chance in thousandths happens.
    pub(crate) fn chance(&mut self, chance: u32) -> bool {
        draw(&mut self.random, chance)
    }

    /// Names a fault in the trace.
    pub(crate) fn note_fault(&mut self, fault: Fault) {
        self.trace.note(&[self.now, 0xFA]);
        self.trace.line(self.now, || format!("-- {fault:?}"));
    }
}

/// Whether the disk has no space, and is otherwise well.
pub(crate) fn is_full(error: &traitwire_kv::kv_raft::raft::storage::StorageError) -> bool {
    use traitwire_kv::kv_raft::raft::storage::StorageError;
    matches!(error, StorageError::Io { error, .. } if error.kind() == std::io::ErrorKind::StorageFull)
}
