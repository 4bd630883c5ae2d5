//! The cluster of a story: nodes, the links between them and their disks, all of which wait to be told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::paper::bugs;
use super::super::{
    Committed, Core, Effects, Event, Input, Options, Reply, Request, Role, Sent, Time, Token,
};
use super::disk::{Disk, SNAPSHOT};
use super::members::{self, Identity};
use super::{commands, words};
use crate::services::raft::{
    Command, Entry, Index, Membership, NodeId, Payload, Sender, SnapshotBytes, Term,
};

/// A directed link.
type Link = (NodeId, NodeId);

/// What is on the way.
#[derive(Clone)]
pub(super) enum Letter {
    Request(Request, Box<Sender>),
    /// With what it answers.
    Reply(Reply, Sent),
}

/// A cluster. Everything that two nodes could disagree about is checked at every step.
pub(super) struct Cluster {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<NodeId, Machine>,
    pub(super) links: BTreeMap<Link, VecDeque<Letter>>,
    pub(super) copies: BTreeMap<Link, Vec<Letter>>,
    pub(super) cut: BTreeSet<Link>,
    pub(super) autosync: bool,
    /// Whether messages, writes and the roles of those that do not lead are told.
    detailed: bool,
    piece_bytes: usize,
    pub(super) last_token: Token,
    pub(super) last_read: Token,
    /// What the state machines were given, whichever node was first.
    applied: BTreeMap<Index, Entry>,
    leaders: BTreeMap<Term, NodeId>,
    trace: String,
}

/// One node's process, if it runs, and its disk.
pub(super) struct Machine {
    pub(super) options: Options,
    pub(super) identity: Identity,
    pub(super) core: Option<Core>,
    pub(super) disk: Disk,
    applied: Index,
    /// The requests that wait for this node's answer.
    asked: BTreeMap<Token, (NodeId, Sent)>,
}

impl Cluster {
    /// `nodes`, and where the defaults do not serve: `entries` a message, messages under way (`window`), `trailing` entries
    /// kept by a snapshot, bytes of a `piece` of a snapshot, `retries`, bytes `uncommitted`. With `new`, nodes are empty and have
    /// incarnations until `found` makes a cluster of the first ones.
    pub(super) fn new(settings: &str) -> Self {
        let mut cluster = Self {
            now: Time(0),
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            copies: BTreeMap::new(),
            cut: BTreeSet::new(),
            autosync: true,
            detailed: true,
            piece_bytes: SNAPSHOT.len(),
            last_token: 0,
            last_read: 0,
            applied: BTreeMap::new(),
            leaders: BTreeMap::new(),
            trace: String::new(),
        };
        let settings: BTreeMap<_, usize> = settings.split(' ').map(commands::setting).collect();
        for id in 1..=settings["nodes"] as NodeId {
            let membership = Membership::of(1..=settings["nodes"] as NodeId);
            let mut options = bugs::seeded(Options::new(id, membership, id));
            let identity = Identity::new(&mut options, settings.contains_key("new"));
            (options.trailing_entries, options.company_entries) = (0, 0);
            for (name, value) in &settings {
                match *name {
                    "nodes" | "new" => {}
                    "entries" => options.append_entries_max = *value,
                    "window" => options.inflight_appends_max = *value,
                    "trailing" => options.trailing_entries = *value as u64,
                    "retries" => options.retries_max = u32::try_from(*value).unwrap(),
                    "uncommitted" => options.uncommitted_bytes_max = *value,
                    "piece" => cluster.piece_bytes = *value,
                    other => panic!("there is no setting {other}"),
                }
            }
            let core = Core::new(options.clone(), Disk::default().written, cluster.now);
            let (disk, asked) = (Disk::default(), BTreeMap::new());
            cluster
                .nodes
                .insert(id, Machine { options, identity, core: Some(core), disk, applied: 0, asked });
        }
        cluster
    }

    pub(super) fn trace(self) -> String {
        self.trace
    }

    pub(super) fn tell(&mut self, line: impl AsRef<str>) {
        self.trace.push_str(line.as_ref());
        self.trace.push('\n');
    }

    /// Tells the outline only of what happens.
    pub(super) fn in_short(&mut self, act: impl FnOnce(&mut Self)) {
        let detailed = std::mem::replace(&mut self.detailed, false);
        act(self);
        self.detailed = detailed;
    }

    pub(super) fn time_out(&mut self, id: NodeId) {
        let deadline = self.machine(id).core.as_ref().unwrap().next_deadline();
        self.now = self.now.max(deadline);
        self.step(id, |_| Input::Timeout);
    }

    pub(super) fn run_until(&mut self, end: Time) {
        loop {
            self.deliver_all();
            let deadlines =
                self.nodes.iter().filter_map(|(id, it)| Some((it.core.as_ref()?.next_deadline(), *id)));
            match deadlines.min() {
                Some((deadline, id)) if deadline <= end => {
                    self.now = self.now.max(deadline);
                    self.step(id, |_| Input::Timeout);
                }
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    pub(super) fn deliver_all(&mut self) {
        for _ in 0..1_000 {
            let Some(link) =
                self.links.iter().find(|(_, letters)| !letters.is_empty()).map(|(link, _)| *link)
            else {
                return;
            };
            self.deliver(link);
        }
        panic!("the nodes do not stop talking:\n{}", self.trace);
    }

    pub(super) fn deliver(&mut self, link: Link) {
        let letters = std::mem::take(self.links.entry(link).or_default());
        letters.into_iter().for_each(|letter| self.arrive(link, letter));
    }

    pub(super) fn arrive(&mut self, (from, to): Link, letter: Letter) {
        if self.machine(to).core.is_none() {
            return;
        }
        if let Letter::Request(request, sender) = &letter
            && let Err(refusal) = self.machine(to).admit(sender)
        {
            self.tell(format!("n{to} refuses n{from}: {}", refusal.kind()));
            let sent = request.sent();
            self.machine(from).note_refusal(&refusal);
            return self.step(from, |_| Input::Failed { to, sent });
        }
        self.step(to, |cluster| match letter {
            Letter::Request(request, _) => {
                let token = cluster.token();
                cluster.machine(to).asked.insert(token, (from, request.sent()));
                Input::Request { from, token, request }
            }
            Letter::Reply(reply, _) => Input::Reply { from, reply },
        });
    }

    pub(super) fn fail(&mut self, link: Link) {
        let (from, to) = link;
        for letter in std::mem::take(self.links.entry(link).or_default()) {
            match letter {
                Letter::Request(request, _) => {
                    self.step(from, |_| Input::Failed { to, sent: request.sent() });
                }
                Letter::Reply(_, sent) => self.step(to, |_| Input::Failed { to: from, sent }),
            }
        }
    }

    pub(super) fn cut(&mut self, one: NodeId, other: NodeId) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub(super) fn sync(&mut self, id: NodeId, steps: usize) {
        for _ in 0..steps {
            let Some(position) = self.machine(id).disk.write_one() else { return };
            self.step(id, |_| Input::Durable(position));
        }
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        let machine = self.machine(id);
        machine.core = None;
        machine.asked.clear();
        machine.disk.crash();
    }

    pub(super) fn restart(&mut self, id: NodeId) {
        let now = self.now;
        self.machine(id).restart_at(now);
    }

    pub(super) fn lose(&mut self, id: NodeId, from: Index) {
        let machine = self.machine(id);
        assert!(machine.core.is_none(), "a disk loses nothing while its node runs");
        let kept = from - 1 - machine.disk.written.base_index;
        machine.disk.written.entries.truncate(usize::try_from(kept).unwrap());
    }

    pub(super) fn log(&mut self, id: NodeId, entries: &[&str]) {
        let entry = |word: &&str| {
            let (command, term) = word.split_once('@').unwrap();
            let payload = Payload::Command(Command::new(command).unwrap());
            Entry { term: term.parse().unwrap(), payload }
        };
        let written = &mut self.machine(id).disk.written;
        written.entries = entries.iter().map(entry).collect();
        written.term = written.entries.last().unwrap().term;
        self.restart(id);
    }

    pub(super) fn status(&mut self) {
        let lines: Vec<_> = self.nodes.iter().map(|(id, machine)| machine.status(*id)).collect();
        lines.into_iter().for_each(|line| self.tell(line));
    }

    pub(super) fn step(&mut self, id: NodeId, input: impl FnOnce(&mut Self) -> Input) {
        let input = input(self);
        let now = self.now;
        let core = self.machine(id).core.as_mut().unwrap_or_else(|| panic!("n{id} does not run"));
        let led = core.role() == Role::Leader;
        let effects = core.step(now, input);
        let who = format!("n{id}@{}", core.term());
        self.tell_effects(&who, led, &effects);
        if effects.events.iter().any(|event| matches!(event, Event::State { role: Role::Leader, .. })) {
            let term = self.machine(id).core.as_ref().unwrap().term();
            let leader = *self.leaders.entry(term).or_insert(id);
            assert_eq!(leader, id, "two leaders in term {term}");
        }
        self.carry_out(id, effects);
        self.apply(id);
        self.machine(id).note_cluster();
        if self.autosync {
            self.sync(id, usize::MAX);
        }
    }

    fn tell_effects(&mut self, who: &str, led: bool, effects: &Effects) {
        for event in &effects.events {
            let is_minor = matches!(event, Event::State { role, .. } if *role != Role::Leader) && !led;
            if self.detailed || !is_minor {
                self.tell(format!("{who} {}", words::event(event)));
            }
        }
        let changes = effects.changes.iter().map(members::outcome);
        for answer in words::answers(effects).into_iter().chain(changes) {
            self.tell(format!("{who} {answer}"));
        }
        if let Some(persist) = &effects.persist
            && self.detailed
            && !self.autosync
        {
            self.tell(format!("{who} {}", words::persist(persist)));
        }
    }

    fn carry_out(&mut self, id: NodeId, effects: Effects) {
        let piece_bytes = self.piece_bytes;
        self.machine(id).disk.waiting.extend(effects.persist);
        for (to, mut request) in effects.requests {
            if let Request::Snapshot(args) = &mut request {
                let offset = usize::try_from(args.offset).unwrap();
                let end = (offset + piece_bytes).min(SNAPSHOT.len());
                args.data = SnapshotBytes(SNAPSHOT[offset..end].to_vec().into());
                args.last = end == SNAPSHOT.len();
            }
            let sender = Box::new(self.machine(id).sender(to));
            self.send((id, to), Letter::Request(request, sender));
        }
        for (token, reply) in effects.replies {
            let asked = self.machine(id).asked.remove(&token);
            let (to, sent) = asked.expect("every request is answered once");
            self.send((id, to), Letter::Reply(reply, sent));
        }
    }

    fn send(&mut self, link: Link, letter: Letter) {
        let (from, to) = link;
        let is_cut = self.cut.contains(&link);
        if self.detailed {
            let core = self.machine(from).core.as_ref().unwrap();
            let who = format!("n{from}@{} {}", core.term(), words::role(core.role()));
            let lost = if is_cut { " (lost)" } else { "" };
            self.tell(match &letter {
                Letter::Request(request, _) => format!("{who} -> n{to} {}{lost}", words::request(request)),
                Letter::Reply(reply, _) => format!("{who} -> n{to} re {}{lost}", words::reply(reply)),
            });
        }
        if !is_cut {
            self.links.entry(link).or_default().push_back(letter);
        }
    }

    /// Gives the state machine what is committed: the same on all nodes, for ever.
    fn apply(&mut self, id: NodeId) {
        loop {
            let machine = self.machine(id);
            match machine.core.as_ref().unwrap().committed(machine.applied, usize::MAX) {
                Committed::Nothing => return,
                Committed::Snapshot(snapshot) => {
                    assert!(snapshot.last_index > machine.applied, "the state went back");
                    machine.applied = snapshot.last_index;
                }
                Committed::Entries { first, entries } => {
                    assert_eq!(first, machine.applied + 1, "the state machine is given everything in order");
                    machine.applied += entries.len() as u64;
                    for (index, entry) in (first..).zip(entries) {
                        let known = self.applied.entry(index).or_insert_with(|| entry.clone());
                        assert_eq!(*known, entry, "n{id} applies another entry {index}");
                    }
                }
            }
        }
    }

    fn token(&mut self) -> Token {
        self.last_token += 1;
        self.last_token
    }

    pub(super) fn machine(&mut self, id: NodeId) -> &mut Machine {
        self.nodes.get_mut(&id).unwrap_or_else(|| panic!("there is no n{id}"))
    }
}

impl Machine {
    /// Starts with what the disk holds.
    pub(super) fn restart_at(&mut self, now: Time) {
        self.core = Some(Core::new(self.options.clone(), self.disk.written.clone(), now));
        self.applied = 0;
        self.asked.clear();
    }

    fn status(&self, id: NodeId) -> String {
        let Some(core) = &self.core else { return format!("n{id} is down") };
        let (base, commit) = (core.base_index(), core.commit_index());
        let log = |indexes: std::ops::RangeInclusive<Index>| {
            words::entries(indexes.filter_map(|index| core.entry(index)))
        };
        let compacted = if base > 0 { format!("..{base} ") } else { String::new() };
        let (committed, rest) = (log(base + 1..=commit), log(commit + 1..=core.last_index()));
        let role = words::role(core.role());
        let standing = members::standing(core, &self.identity);
        format!("n{id}@{} {role}{standing} [{compacted}{committed} | {rest}]", core.term())
    }
}
