//! The general decision: the search of Wing and Gong, with Lowe's memory of configurations already seen (as in
//! Porcupine). It knows nothing about versions beyond the specification, so it serves as a second opinion on the fast
//! decision; on hard histories its time grows exponentially and the budget ends it.

use std::collections::HashSet;

use crate::history::Time;
use crate::model::{Call, Effect, KeyCalls, State};
use crate::{OutOfSteps, Steps};

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An order exists.
    Order,
    /// None exists. `placed` calls at most could be put in order before `stuck` had to be and could not.
    Nothing { placed: usize, stuck: usize },
}

/// Looks for a legal order of the calls.
pub(crate) fn search(key: &KeyCalls, steps: &mut Steps) -> Result<Found, OutOfSteps> {
    Search::new(key).run(steps)
}

/// The beginning or the end of a call.
#[derive(Clone, Copy, Debug)]
struct Event {
    call: usize,
    is_begin: bool,
}

/// A call that was placed, and how to take that back.
struct Placed {
    begin: usize,
    before: State,
    branch: Branch,
}

/// The two things that can have become of a put whose fate is not known. Other calls have only the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    Applied,
    Never,
}

struct Search<'a> {
    calls: &'a [Call],
    /// Beginnings and ends in the order of time; those of placed calls are unlinked.
    events: Vec<Event>,
    /// For each call, where its beginning and its end stand in `events`.
    places: Vec<(usize, usize)>,
    links: Links,
    state: State,
    placed: Vec<Placed>,
    chosen: BitSet,
    seen: HashSet<(BitSet, State)>,
}

impl<'a> Search<'a> {
    fn new(key: &'a KeyCalls) -> Self {
        let calls = &key.calls[..];
        let mut timed: Vec<(Time, bool, usize)> = Vec::with_capacity(2 * calls.len());
        for (position, call) in calls.iter().enumerate() {
            // Beginnings sort first, so calls that touch are concurrent.
            timed.push((call.begin, false, position));
            timed.push((call.end, true, position));
        }
        timed.sort_unstable();
        let mut places = vec![(0, 0); calls.len()];
        let mut events = Vec::with_capacity(timed.len());
        for (index, (_, is_end, call)) in timed.into_iter().enumerate() {
            if is_end {
                places[call].1 = index;
            } else {
                places[call].0 = index;
            }
            events.push(Event { call, is_begin: !is_end });
        }
        Search {
            calls,
            links: Links::new(events.len()),
            events,
            places,
            state: key.initial,
            placed: Vec::new(),
            chosen: BitSet::new(calls.len()),
            seen: HashSet::new(),
        }
    }

    fn run(&mut self, steps: &mut Steps) -> Result<Found, OutOfSteps> {
        let mut deepest = (0, 0);
        let mut at = self.links.first();
        let mut branches = [Branch::Applied, Branch::Never].as_slice();
        while let Some(index) = at {
            steps.take(1)?;
            let Event { call, is_begin } = self.events[index];
            if is_begin {
                if branches.iter().any(|branch| self.place(call, *branch)) {
                    at = self.links.first();
                } else {
                    at = self.links.next(index);
                }
                branches = &[Branch::Applied, Branch::Never];
                continue;
            }
            // This call had to take effect by now. Undo the latest choice and take the one after it.
            if deepest.0 <= self.placed.len() {
                deepest = (self.placed.len(), call);
            }
            let Some(undone) = self.unplace() else {
                return Ok(Found::Nothing { placed: deepest.0, stuck: deepest.1 });
            };
            branches = if undone.branch == Branch::Applied { &[Branch::Never] } else { &[] };
            at = Some(undone.begin);
        }
        Ok(Found::Order)
    }

    /// Lets the call take effect now, if the state allows it and this leads to nothing already tried.
    fn place(&mut self, call: usize, branch: Branch) -> bool {
        let effect = self.calls[call].effect;
        let next = match (branch, effect) {
            (Branch::Applied, _) => self.state.apply(effect),
            (Branch::Never, Effect::Optional { .. }) => Some(self.state),
            (
                Branch::Never,
                Effect::Read(_)
                | Effect::Absent
                | Effect::Write { .. }
                | Effect::Refused { .. }
                | Effect::Impossible,
            ) => None,
        };
        let Some(next) = next else { return false };
        self.chosen.insert(call);
        if !self.seen.insert((self.chosen.clone(), next)) {
            self.chosen.remove(call);
            return false;
        }
        let (begin, end) = self.places[call];
        self.links.unlink(begin);
        self.links.unlink(end);
        self.placed.push(Placed { begin, before: self.state, branch });
        self.state = next;
        true
    }

    fn unplace(&mut self) -> Option<Placed> {
        let undone = self.placed.pop()?;
        let call = self.events[undone.begin].call;
        let (begin, end) = self.places[call];
        self.links.relink(end);
        self.links.relink(begin);
        self.chosen.remove(call);
        self.state = undone.before;
        Some(undone)
    }
}

/// A doubly linked list over `0..len`. Relinking in the opposite order of unlinking restores it exactly.
struct Links {
    /// Index `len` is the head and the end.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Links {
    fn new(len: usize) -> Self {
        let ring = len + 1;
        Self {
            next: (0..ring).map(|index| (index + 1) % ring).collect(),
            previous: (0..ring).map(|index| (index + len) % ring).collect(),
        }
    }

    fn head(&self) -> usize {
        self.next.len() - 1
    }

    fn first(&self) -> Option<usize> {
        self.next(self.head())
    }

    fn next(&self, index: usize) -> Option<usize> {
        Some(self.next[index]).filter(|next| *next != self.head())
    }

    fn unlink(&mut self, index: usize) {
        let (previous, next) = (self.previous[index], self.next[index]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn relink(&mut self, index: usize) {
        let (previous, next) = (self.previous[index], self.next[index]);
        self.next[previous] = index;
        self.previous[next] = index;
    }
}

/// A set of calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, member: usize) {
        self.0[member / 64] |= 1 << (member % 64);
    }

    fn remove(&mut self, member: usize) {
        self.0[member / 64] &= !(1 << (member % 64));
    }
}
