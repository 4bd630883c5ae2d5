//! Our algorithm by hand: three `Core`s, each with a storage in memory that is written at once.

use std::hint::black_box;
use std::time::Instant;

use traitwire_kv::kv_raft::raft::core::{
    Committed, Core, Effects, Input, Options, Persist, Reply, Request, Role, Time,
};
use traitwire_kv::kv_raft::raft::storage::{Memory, Storage};
use traitwire_kv::services::raft::{Command, Index, Membership, NodeId, Payload};

use super::by_hand::Cluster;
use super::{ELECTION_TIMEOUT, HEARTBEAT, NODES, PAYLOAD};

/// The bytes of committed entries that the state machine gets at once, about.
const APPLY_BYTES: usize = 1 << 20;

/// The settings of a node; but for the times they are the usual ones.
pub fn options(id: NodeId) -> Options {
    Options {
        election_timeout_us: us(ELECTION_TIMEOUT),
        heartbeat_us: us(HEARTBEAT),
        ..Options::new(id, Membership::of(1..=NODES), id)
    }
}

/// A command.
pub fn command() -> Command {
    Command::from_json(PAYLOAD.to_owned()).expect("the payload is JSON")
}

fn us(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("it is short")
}

/// Three nodes; `nodes[i]` is node `i + 1`.
pub struct Cores {
    origin: Instant,
    now: Time,
    nodes: Vec<Node>,
    /// The place of the leader; the first one as long as there is none.
    leader: usize,
}

struct Node {
    core: Core,
    storage: Box<dyn Storage>,
    inbox: Vec<Message>,
    /// What the steps of this round want to persist.
    persist: Option<Persist>,
    handed_out: Index,
}

enum Message {
    Request(NodeId, Request),
    Reply(NodeId, Reply),
}

impl Cores {
    /// Nodes without a past.
    pub fn start() -> Self {
        let node = |id| {
            let opened = Memory::default().open();
            Node {
                core: Core::new(options(id), opened.restored, Time(0)),
                storage: opened.storage,
                inbox: Vec::new(),
                persist: None,
                handed_out: 0,
            }
        };
        Self { origin: Instant::now(), now: Time(0), nodes: (1..=NODES).map(node).collect(), leader: 0 }
    }

    fn step(&mut self, place: usize, input: Input) {
        let node = &mut self.nodes[place];
        let id = node.core.id();
        let Effects { persist, requests, replies, .. } = node.core.step(self.now, input);
        if let Some(persist) = persist {
            match &mut node.persist {
                Some(batch) => {
                    batch.position = persist.position;
                    batch.ops.extend(persist.ops);
                }
                None => node.persist = Some(persist),
            }
        }
        for (to, request) in requests {
            self.nodes[place_of(to)].inbox.push(Message::Request(id, request));
        }
        // A request is named after who asked.
        for (asker, reply) in replies {
            self.nodes[place_of(asker)].inbox.push(Message::Reply(id, reply));
        }
    }

    /// Takes what has come to a node, writes, and gives how many commands its state machine got.
    fn turn(&mut self, place: usize) -> usize {
        for message in std::mem::take(&mut self.nodes[place].inbox) {
            self.step(
                place,
                match message {
                    Message::Request(from, request) => Input::Request { from, token: from, request },
                    Message::Reply(from, reply) => Input::Reply { from, reply },
                },
            );
        }
        if self.nodes[place].core.next_deadline() <= self.now {
            self.step(place, Input::Timeout);
        }
        while let Some(Persist { position, ops }) = self.nodes[place].persist.take() {
            let storage = &mut self.nodes[place].storage;
            storage.append(&ops).and_then(|()| storage.sync()).expect("memory does not fail");
            self.step(place, Input::Durable(position));
        }
        self.nodes[place].apply()
    }
}

impl Node {
    fn apply(&mut self) -> usize {
        let mut count = 0;
        while self.handed_out < self.core.commit_index() {
            let Committed::Entries { entries, .. } = self.core.committed(self.handed_out, APPLY_BYTES) else {
                break;
            };
            self.handed_out += entries.len() as u64;
            let is_command = |payload: &Payload| matches!(payload, Payload::Command(_));
            count += black_box(entries).iter().filter(|entry| is_command(&entry.payload)).count();
        }
        count
    }
}

fn place_of(id: NodeId) -> usize {
    usize::try_from(id - 1).expect("there are few nodes")
}

impl Cluster for Cores {
    fn is_ready(&self) -> bool {
        self.nodes[self.leader].core.role() == Role::Leader
    }

    fn propose(&mut self, count: usize) {
        let commands = (0..count).map(|_| command()).collect();
        self.step(self.leader, Input::Propose(commands));
    }

    fn round(&mut self, now: Instant) -> usize {
        self.now = Time(us(now - self.origin));
        for after in 1..self.nodes.len() {
            self.turn((self.leader + after) % self.nodes.len());
        }
        let count = self.turn(self.leader);
        if !self.is_ready() {
            let leads = |node: &Node| node.core.role() == Role::Leader;
            self.leader = self.nodes.iter().position(leads).unwrap_or(0);
        }
        count
    }
}
