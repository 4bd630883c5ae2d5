//! Looks at every node of a cluster all the time and compares what they show, since what was seen once must stay true:
//!
//! - No term has two leaders (E4).
//! - The term of a node never falls, not even over a crash; its commit index does not fall while it lives (E5).
//! - What one node has applied at an index is what every node ever applies there.
//!
//! What it has seen is also what tests wait for.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use traitwire_kv::services::raft::{Index, NodeId, Term};

use crate::log_node::{LogNode, Page, State};

/// How long it looks away from a node.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many records it takes from a node at once.
const PAGE_RECORDS: u64 = 2_000;

/// Whether a node has a process, as the test wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    Paused,
    Down,
}

/// Nodes on one side reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where all nodes are, unless a test takes them away.
    Main,
    /// Cut off from all others.
    Alone(NodeId),
    /// With the others that were taken away at the same time.
    Other,
}

/// What is known of a node.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) side: Side,
    pub(crate) line: LogNode,
    /// What it said last, and when it was asked; nothing since its last start.
    pub(crate) seen: Option<(Instant, State)>,
    /// Up to where its records were compared, since its last start.
    pub(crate) applied: Index,
    /// Changes with each start and each end.
    life: u64,
    /// Its highest term.
    term: Term,
}

impl Member {
    /// Whether other nodes of the main side can be expected to reach it.
    pub(crate) fn takes_part(&self) -> bool {
        self.process == Process::Running && self.side == Side::Main
    }

    /// What it says, asked after `since`.
    pub(crate) fn state(&self, since: Instant) -> Option<&State> {
        self.seen.as_ref().filter(|(asked_at, _)| *asked_at >= since).map(|(_, state)| state)
    }
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) nodes: BTreeMap<NodeId, Member>,
    leaders: BTreeMap<Term, NodeId>,
    /// By index, from 1. Nothing where the entry is no record.
    committed: Vec<Option<Value>>,
    /// The first rule that was broken.
    broken: Option<String>,
}

impl View {
    /// Up to where entries were seen committed.
    pub(crate) fn last_committed(&self) -> Index {
        self.committed.len() as Index
    }

    /// The record that was seen committed at an index.
    pub(crate) fn committed(&self, index: Index) -> Option<&Value> {
        self.committed.get(usize::try_from(index.checked_sub(1)?).unwrap())?.as_ref()
    }

    /// All records that were seen committed.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.committed.iter().flatten().cloned().collect()
    }

    /// How many nodes have applied this record at this index.
    pub(crate) fn holders(&self, index: Index, record: &Value) -> usize {
        if self.committed(index) != Some(record) {
            return 0;
        }
        self.nodes.values().filter(|node| node.applied >= index).count()
    }

    /// The leader of the main side: the only one in the newest term of its nodes, as all of them have said after `since`.
    pub(crate) fn leader(&self, since: Instant) -> Option<(NodeId, Term)> {
        let members = self.nodes.iter().filter(|(_, node)| node.takes_part());
        let states: Option<Vec<_>> = members.map(|(id, node)| Some((*id, node.state(since)?))).collect();
        let states = states?;
        let newest = states.iter().map(|(_, state)| state.term).max()?;
        let leads = |(_, state): &&(NodeId, &State)| state.leads && state.term == newest;
        states.iter().find(leads).map(|(id, state)| (*id, state.term))
    }

    /// Whether every running node has said after `since` that it does not lead.
    pub(crate) fn nobody_leads(&self, since: Instant) -> bool {
        let mut running = self.nodes.values().filter(|node| node.process == Process::Running);
        running.all(|node| node.state(since).is_some_and(|state| !state.leads))
    }

    fn note(&mut self, id: NodeId, look: Look) -> Result<(), String> {
        let Look { asked_at, life, state, page } = look;
        if state.leads {
            let leader = *self.leaders.entry(state.term).or_insert(id);
            ensure(leader == id, || format!("{leader} and {id} have both led in term {}", state.term))?;
        }
        let node = self.nodes.get_mut(&id).expect("only nodes of the cluster are looked at");
        if node.life != life {
            // It was killed while it was looked at.
            return Ok(());
        }
        ensure(state.term >= node.term, || {
            format!("the term of {id} fell from {} to {}", node.term, state.term)
        })?;
        node.term = state.term;
        if let Some((_, before)) = node.seen {
            let (before, now) = (before.commit_index, state.commit_index);
            ensure(now >= before, || format!("the commit index of {id} fell from {before} to {now}"))?;
        }
        node.seen = Some((asked_at, state));
        page.map_or(Ok(()), |page| self.compare(id, page))
    }

    /// Compares the next records of a node with those of all others.
    fn compare(&mut self, id: NodeId, mut page: Page) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("only nodes of the cluster are looked at");
        for index in node.applied + 1..=page.up_to {
            let record = page.records.remove(&index);
            let place = usize::try_from(index - 1).unwrap();
            match self.committed.get(place) {
                Some(known) => ensure(*known == record, || {
                    format!("{id} has applied {record:?} at {index}, where {known:?} was committed")
                })?,
                None => self.committed.push(record),
            }
        }
        node.applied = page.up_to;
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// One look at a node.
struct Look {
    asked_at: Instant,
    life: u64,
    state: State,
    page: Option<Page>,
}

/// Sees all nodes of a cluster.
pub(crate) struct Witness(watch::Sender<View>);

impl Witness {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(View::default())))
    }

    /// Looks at the nodes until what this gives is dropped.
    pub(crate) fn watch(self: &Arc<Self>) -> JoinSet<()> {
        let mut looking = JoinSet::new();
        let ids: Vec<_> = self.0.borrow().nodes.keys().copied().collect();
        for id in ids {
            let witness = Arc::clone(self);
            looking.spawn(async move {
                loop {
                    witness.look(id).await;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            });
        }
        looking
    }

    async fn look(&self, id: NodeId) {
        let (line, life, applied) = self.see(|view| {
            let node = &view.nodes[&id];
            (node.line.clone(), node.life, node.applied)
        });
        let asked_at = Instant::now();
        // A node that is not there says nothing; whether it should be there is seen by who waits for it.
        let Ok(state) = line.state().await else { return };
        let page =
            if state.applied_index > applied { line.list(applied, PAGE_RECORDS).await.ok() } else { None };
        self.0.send_modify(|view| {
            if let Err(broken) = view.note(id, Look { asked_at, life, state, page }) {
                view.broken.get_or_insert(broken);
            }
        });
    }

    /// Notes that a node was started, there.
    pub(crate) fn started(&self, id: NodeId, url: &str) {
        self.0.send_modify(|view| {
            let line = LogNode::new(url);
            let before = view.nodes.get(&id);
            let member = Member {
                process: Process::Running,
                side: before.map_or(Side::Main, |before| before.side),
                line,
                seen: None,
                applied: 0,
                life: before.map_or(1, |before| before.life + 1),
                term: before.map_or(0, |before| before.term),
            };
            view.nodes.insert(id, member);
        });
    }

    /// Notes that a node is about to be killed: whatever it still says is not waited for.
    pub(crate) fn ends(&self, id: NodeId) {
        self.change(id, |node| {
            node.process = Process::Down;
            node.life += 1;
            (node.seen, node.applied) = (None, 0);
        });
    }

    /// Notes what the test does to a node.
    pub(crate) fn change(&self, id: NodeId, change: impl FnOnce(&mut Member)) {
        self.0.send_modify(|view| change(view.nodes.get_mut(&id).expect("a node of the cluster")));
    }

    /// Looks at what was seen. Fails the test if a rule is broken.
    pub(crate) fn see<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        let view = self.0.borrow();
        assert_eq!(view.broken, None);
        look(&view)
    }

    /// Waits for what `condition` looks for; nothing when it does not come in time.
    pub(crate) async fn within<T>(
        &self,
        time: Duration,
        mut condition: impl FnMut(&View) -> Option<T>,
    ) -> Option<T> {
        let mut views = self.0.subscribe();
        let found = async {
            loop {
                if let Some(found) = self.see(&mut condition) {
                    return found;
                }
                views.changed().await.expect("the witness lives as long as its borrow");
            }
        };
        tokio::time::timeout(time, found).await.ok()
    }

    /// Waits for what `condition` looks for. Fails the test when it does not come in time.
    pub(crate) async fn wait<T>(
        &self,
        time: Duration,
        what: impl Display,
        condition: impl FnMut(&View) -> Option<T>,
    ) -> T {
        match self.within(time, condition).await {
            Some(found) => found,
            None => panic!("not within {time:?}: {what}\n{}", self.see(describe)),
        }
    }
}

/// The nodes, for a failed test.
fn describe(view: &View) -> String {
    let line = |(id, node): (&NodeId, &Member)| {
        let Member { process, side, seen, applied, .. } = node;
        let seen = seen.map(|(asked_at, state)| (asked_at.elapsed(), state));
        format!("{id}: {process:?}, {side:?}, compared up to {applied}, {seen:?}")
    };
    view.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
}
