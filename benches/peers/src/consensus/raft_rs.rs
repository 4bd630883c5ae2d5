//! raft-rs by hand: three `RawNode`s, each with its `MemStorage`, which is written at once.
//!
//! The settings are those of its biggest user, TiKV, where they bear on speed: messages with entries are merged, and
//! followers hear of a commit with the next entries. A batch of commands is proposed as one message.

use std::hint::black_box;
use std::time::{Duration, Instant};

use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use super::by_hand::Cluster;
use super::{ELECTION_TIMEOUT, HEARTBEAT, NODES, PAYLOAD};

/// How often the nodes are told that time passes.
const TICK: Duration = Duration::from_millis(10);

/// Three nodes; `nodes[i]` is node `i + 1`.
pub struct RawNodes {
    nodes: Vec<Node>,
    ticked_at: Instant,
    /// The place of the leader; the first one as long as there is none.
    leader: usize,
}

struct Node {
    raw: RawNode<MemStorage>,
    inbox: Vec<Message>,
}

fn ticks(duration: Duration) -> usize {
    usize::try_from(duration.as_millis() / TICK.as_millis()).expect("it is short")
}

fn config(id: u64) -> Config {
    Config {
        id,
        election_tick: ticks(ELECTION_TIMEOUT),
        heartbeat_tick: ticks(HEARTBEAT),
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 256,
        check_quorum: true,
        pre_vote: true,
        batch_append: true,
        skip_bcast_commit: true,
        ..Config::default()
    }
}

impl RawNodes {
    /// Nodes without a past.
    pub fn start() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let voters: Vec<_> = (1..=NODES).collect();
            let storage = MemStorage::new_with_conf_state((voters, vec![]));
            let raw = RawNode::new(&config(id), storage, &logger).expect("the settings are valid");
            Node { raw, inbox: Vec::new() }
        };
        Self { nodes: (1..=NODES).map(node).collect(), ticked_at: Instant::now(), leader: 0 }
    }

    /// Takes what has come to a node, writes, and gives how many commands its state machine got.
    fn turn(&mut self, place: usize) -> usize {
        let node = &mut self.nodes[place];
        for message in std::mem::take(&mut node.inbox) {
            node.raw.step(message).expect("messages come from nodes of the cluster");
        }
        let mut count = 0;
        while self.nodes[place].raw.has_ready() {
            count += self.on_ready(place);
        }
        count
    }

    fn on_ready(&mut self, place: usize) -> usize {
        let raw = &mut self.nodes[place].raw;
        let storage = raw.store().clone();
        let mut ready = raw.ready();
        let messages = ready.take_messages();
        let mut count = applied(ready.take_committed_entries());
        if !ready.entries().is_empty() {
            storage.wl().append(ready.entries()).expect("the entries follow each other");
        }
        if let Some(state) = ready.hs() {
            storage.wl().set_hardstate(state.clone());
        }
        let persisted = ready.take_persisted_messages();
        let mut light = raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            storage.wl().mut_hard_state().set_commit(commit);
        }
        let later = light.take_messages();
        count += applied(light.take_committed_entries());
        raw.advance_apply();
        for message in messages.into_iter().chain(persisted).chain(later) {
            let to = usize::try_from(message.to - 1).expect("there are few nodes");
            self.nodes[to].inbox.push(message);
        }
        count
    }
}

/// How many commands are among the entries.
fn applied(entries: Vec<Entry>) -> usize {
    let is_command =
        |entry: &&Entry| entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty();
    black_box(entries).iter().filter(is_command).count()
}

impl Cluster for RawNodes {
    fn is_ready(&self) -> bool {
        self.nodes[self.leader].raw.raft.state == StateRole::Leader
    }

    fn propose(&mut self, count: usize) {
        let entry = |_| Entry { data: PAYLOAD.as_bytes().to_vec().into(), ..Entry::default() };
        let node = &mut self.nodes[self.leader];
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = node.raw.raft.id;
        message.entries = (0..count).map(entry).collect::<Vec<_>>().into();
        node.raw.step(message).expect("there is no limit to what may be under way");
    }

    fn round(&mut self, now: Instant) -> usize {
        if now - self.ticked_at >= TICK {
            self.ticked_at = now;
            self.nodes.iter_mut().for_each(|node| {
                node.raw.tick();
            });
        }
        for after in 1..self.nodes.len() {
            self.turn((self.leader + after) % self.nodes.len());
        }
        let count = self.turn(self.leader);
        if !self.is_ready() {
            let leads = |node: &Node| node.raw.raft.state == StateRole::Leader;
            self.leader = self.nodes.iter().position(leads).unwrap_or(0);
        }
        count
    }
}
