//! The fast decision: versions already say in which order the puts of a key took effect.
//!
//! A put that was applied at version `v` made version `v + 1`, so the states of a key are a chain, and all that is open
//! is *when* each version was made. Call that moment `t(n)`. Every call then bounds these moments and nothing else:
//!
//! - the put that made `n` lies around `t(n)`; if no put is known to have made `n`, one of those that may have (no
//!   answer, `Maybe`) does;
//! - a get of version `n` lies, at least in part, between `t(n)` and `t(n + 1)`;
//! - a put at `v` refused with `Version` does not lie wholly inside `t(v) .. t(v + 1)`, nor before the key existed.
//!
//! The chain is walked once. For each version the set of moments at which it can have been made follows from the set of
//! its predecessor, and the history is legal if and only if no needed set is empty. So this decides every history, in
//! about linear time; no guessing is involved. A positive answer comes with an order of the calls, which is replayed.

use std::collections::BTreeMap;

use crate::history::{Time, Version};
use crate::model::{Call, Effect, KeyCalls, NEVER, State, ValueId};
use crate::moments::Moments;
use crate::{OutOfSteps, Steps};

/// Why a key's calls have no legal order, and the calls (by position) that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) reason: String,
    pub(crate) calls: Vec<usize>,
}

/// Why the walk ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Illegal(Conflict),
    OutOfSteps,
}

impl From<OutOfSteps> for Stop {
    fn from(_: OutOfSteps) -> Self {
        Stop::OutOfSteps
    }
}

fn conflict<T>(reason: impl Into<String>, calls: &[usize]) -> Result<T, Stop> {
    Err(Stop::Illegal(Conflict { reason: reason.into(), calls: calls.to_vec() }))
}

/// Finds a legal order of the calls (as positions; puts that were never applied are left out) or the reason why there is
/// none.
pub(crate) fn decide(key: &KeyCalls, steps: &mut Steps) -> Result<Vec<usize>, Stop> {
    let chain = Chain::build(key, steps)?;
    let links = chain.walk(steps)?;
    Ok(chain.order(&links))
}

/// The calls that concern one version.
#[derive(Default)]
struct Epoch {
    /// The put that certainly made this version.
    writer: Option<usize>,
    /// The puts that may have made it.
    candidates: Vec<usize>,
    /// The calls that saw it (for version 0: that saw no key).
    readers: Vec<usize>,
    /// The puts that named it and were told `Version`.
    refused: Vec<usize>,
    /// The refused puts that can have met this version at the earliest.
    awaited: Vec<usize>,
}

/// One step of the walk: the version, when it can have been made, and the puts that can have made it (none for the
/// version that was there from the start).
struct Link {
    version: Version,
    moments: Moments,
    makers: Vec<usize>,
}

struct Chain<'a> {
    calls: &'a [Call],
    initial: State,
    epochs: BTreeMap<Version, Epoch>,
    /// The highest version that certainly existed, and the call that shows it.
    needed: (Version, Option<usize>),
    /// What stands for a version that no call concerns.
    nothing: Epoch,
}

impl<'a> Chain<'a> {
    /// Sorts the calls by the version they concern and finds the conflicts that need no clock.
    fn build(key: &'a KeyCalls, steps: &mut Steps) -> Result<Self, Stop> {
        let KeyCalls { initial, calls } = key;
        let mut chain = Chain {
            calls,
            initial: *initial,
            epochs: BTreeMap::new(),
            needed: (initial.version, None),
            nothing: Epoch::default(),
        };
        for (position, call) in calls.iter().enumerate() {
            steps.take(1)?;
            chain.sort_in(position, call)?;
        }
        Ok(chain)
    }

    fn sort_in(&mut self, position: usize, call: &Call) -> Result<(), Stop> {
        match call.effect {
            Effect::Impossible => conflict("no state of a key gives this answer", &[position]),
            Effect::Absent if self.initial.version > 0 => {
                conflict("the key was reported absent, but it existed from the start", &[position])
            }
            Effect::Absent => {
                self.epochs.entry(0).or_default().readers.push(position);
                Ok(())
            }
            Effect::Read(seen) => self.read(position, seen),
            Effect::Write { at, .. } => self.write(position, at),
            Effect::Optional { at, .. } => {
                // A put at a version before the first or after the last of all can never have been applied.
                if let Some(made) = at.checked_add(1).filter(|made| *made > self.initial.version) {
                    self.epochs.entry(made).or_default().candidates.push(position);
                }
                Ok(())
            }
            Effect::Refused { at } => {
                self.epochs.entry(at).or_default().refused.push(position);
                // The key existed, and not at the version named.
                let first = self.initial.version.max(1);
                let met = if at == first { first.checked_add(1) } else { Some(first) };
                let Some(met) = met else {
                    return conflict(
                        "a put was refused at the last version, which has no next one",
                        &[position],
                    );
                };
                self.need(met, position);
                self.epochs.entry(met).or_default().awaited.push(position);
                Ok(())
            }
        }
    }

    fn read(&mut self, position: usize, seen: State) -> Result<(), Stop> {
        if seen.version < self.initial.version {
            return conflict("a version was read that the key had left before the first call", &[position]);
        }
        if seen.version == self.initial.version && seen.value != self.initial.value {
            return conflict("the version there from the start was read with another value", &[position]);
        }
        self.need(seen.version, position);
        self.epochs.entry(seen.version).or_default().readers.push(position);
        Ok(())
    }

    fn write(&mut self, position: usize, at: Version) -> Result<(), Stop> {
        if at < self.initial.version {
            return conflict(
                "a put succeeded at a version the key had left before the first call",
                &[position],
            );
        }
        let Some(made) = at.checked_add(1) else {
            return conflict("a put succeeded at the last version, which has no next one", &[position]);
        };
        self.need(made, position);
        match self.epochs.entry(made).or_default().writer.replace(position) {
            Some(rival) => conflict(format!("two puts both succeeded at version {at}"), &[rival, position]),
            None => Ok(()),
        }
    }

    fn need(&mut self, version: Version, position: usize) {
        if version > self.needed.0 {
            self.needed = (version, Some(position));
        }
    }

    /// Walks the versions upwards. Past the highest needed one, a put that may have been applied is taken to have been
    /// only where a refusal asks for it.
    fn walk(&self, steps: &mut Steps) -> Result<Vec<Link>, Stop> {
        let mut links =
            vec![Link { version: self.initial.version, moments: Moments::before_all(), makers: Vec::new() }];
        let mut floor = None;
        loop {
            let last = links.last().expect("the walk starts with one link");
            let here = self.epoch(last.version);
            if last.version >= self.needed.0 && self.unsettled(last).is_none() {
                return Ok(links);
            }
            let Some(next) = last.version.checked_add(1) else {
                return conflict(
                    "a put was refused at the last version, which has no next one",
                    &here.refused,
                );
            };
            steps.take(1 + here.refused.len() + last.moments.len() + self.epoch(next).candidates.len())?;
            let makers = self.makers(last, next)?;
            let moments = self.moments(last, next, &makers);
            let Some(start) = moments.first() else {
                return self.no_moment(next, &makers, floor);
            };
            // Remember whose beginning holds back this version and so all later ones.
            if last.moments.first().is_some_and(|before| start > before) {
                floor =
                    here.readers.iter().chain(&makers).copied().find(|call| self.calls[*call].begin == start);
            }
            links.push(Link { version: next, moments, makers });
        }
    }

    /// A put refused at the last version, if it lies wholly after the making of that version however late that was.
    fn unsettled(&self, last: &Link) -> Option<usize> {
        let latest = last.moments.last().expect("a link has a moment");
        self.epoch(last.version).refused.iter().copied().find(|refused| self.calls[*refused].begin > latest)
    }

    /// The puts that can have made the version after `last`, given the value it was seen with.
    fn makers(&self, last: &Link, version: Version) -> Result<Vec<usize>, Stop> {
        let made = self.epoch(version);
        if let Some(writer) = made.writer {
            let written = self.written(writer);
            return match made.readers.iter().find(|reader| Some(self.seen(**reader)) != written) {
                Some(reader) => conflict(
                    format!("version {version} was written with another value than read"),
                    &[writer, *reader],
                ),
                None => Ok(vec![writer]),
            };
        }
        let Some(reader) = made.readers.first() else {
            if !made.candidates.is_empty() {
                return Ok(made.candidates.clone());
            }
            if let (true, Some(shows)) = (version <= self.needed.0, self.needed.1) {
                return conflict(
                    format!("version {version} must have existed, but no put made it"),
                    &[shows],
                );
            }
            let refused =
                self.unsettled(last).expect("only a refusal asks for a version past the needed ones");
            let reason =
                format!("a put was refused at version {0} while the key was at version {0}", last.version);
            return conflict(reason, &[&last.makers[..], &[refused]].concat());
        };
        let seen = self.seen(*reader);
        if let Some(other) = made.readers.iter().find(|other| self.seen(**other) != seen) {
            return conflict(format!("version {version} was read with two values"), &[*reader, *other]);
        }
        let fitting: Vec<_> =
            made.candidates.iter().copied().filter(|put| self.written(*put) == Some(seen)).collect();
        if fitting.is_empty() {
            let reason = format!("version {version} was read with a value that no put can have given it");
            return conflict(reason, &[&made.candidates[..], &[*reader]].concat());
        }
        Ok(fitting)
    }

    /// When the version after `last` can have been made.
    fn moments(&self, last: &Link, version: Version, makers: &[usize]) -> Moments {
        let here = self.epoch(last.version);
        let refusals = Refusals::of(self.calls, &here.refused);
        let after_last = last.moments.followers(|from| refusals.limit(from));
        let earliest = here.readers.iter().map(|reader| self.calls[*reader].begin).max().unwrap_or(0);
        let latest = self.deadline(version).map_or(NEVER, |call| self.calls[call].end);
        if earliest > latest {
            return Moments::union(Vec::new());
        }
        let windows = makers.iter().map(|put| (self.calls[*put].begin, self.calls[*put].end)).collect();
        after_last.intersect(&Moments::union(vec![(earliest, latest)])).intersect(&Moments::union(windows))
    }

    /// The call that ended first of those that need the version to be made by their end.
    fn deadline(&self, version: Version) -> Option<usize> {
        let made = self.epoch(version);
        made.readers.iter().chain(&made.awaited).copied().min_by_key(|call| self.calls[*call].end)
    }

    fn no_moment<T>(&self, version: Version, makers: &[usize], floor: Option<usize>) -> Result<T, Stop> {
        let here = self.epoch(version - 1);
        let last_reader = here.readers.iter().copied().max_by_key(|reader| self.calls[*reader].begin);
        let hurried = here.refused.iter().copied().min_by_key(|refused| self.calls[*refused].end);
        let involved = [floor, last_reader, self.deadline(version), hurried];
        let mut calls: Vec<_> = makers.iter().copied().chain(involved.into_iter().flatten()).collect();
        calls.sort_unstable();
        calls.dedup();
        conflict(format!("there is no moment at which version {version} can have been made"), &calls)
    }

    fn epoch(&self, version: Version) -> &Epoch {
        self.epochs.get(&version).unwrap_or(&self.nothing)
    }

    fn seen(&self, reader: usize) -> ValueId {
        match self.calls[reader].effect {
            Effect::Read(seen) => seen.value,
            other => unreachable!("{other:?} is no read of an existing key"),
        }
    }

    fn written(&self, put: usize) -> Option<ValueId> {
        match self.calls[put].effect {
            Effect::Write { value, .. } | Effect::Optional { value, .. } => Some(value),
            Effect::Read(_) | Effect::Absent | Effect::Refused { .. } | Effect::Impossible => None,
        }
    }

    /// Fixes the moment of each version, from the last backwards and as late as the next one allows, and sorts the calls
    /// accordingly.
    fn order(&self, links: &[Link]) -> Vec<usize> {
        let mut made_at = vec![0; links.len()];
        let mut limit = NEVER;
        for (link, moment) in links.iter().zip(&mut made_at).rev() {
            limit = link
                .moments
                .latest_until(limit)
                .expect("each moment of a link follows one of the link before");
            *moment = limit;
        }
        let base = self.initial.version;
        let mut placed = Vec::with_capacity(self.calls.len());
        for (link, moment) in links.iter().zip(&made_at).skip(1) {
            let around = |put: &usize| (self.calls[*put].begin..=self.calls[*put].end).contains(moment);
            let maker =
                link.makers.iter().copied().find(around).expect("a link's moments lie in its makers' calls");
            placed.push((link.version, 0, *moment, maker));
        }
        for (position, call) in self.calls.iter().enumerate() {
            let version = match call.effect {
                Effect::Read(seen) => seen.version,
                Effect::Absent => 0,
                Effect::Refused { at } => {
                    let reached = made_at.partition_point(|moment| *moment <= call.end) as Version - 1 + base;
                    // The version a refused put named is the one it did not meet; it met the one before.
                    if reached == at { at - 1 } else { reached }
                }
                Effect::Write { .. } | Effect::Optional { .. } | Effect::Impossible => continue,
            };
            let made = usize::try_from(version - base).expect("a version read has a link");
            placed.push((version, 1, made_at[made].max(call.begin), position));
        }
        placed.sort_unstable();
        placed.into_iter().map(|(_, _, _, position)| position).collect()
    }
}

/// The puts refused at one version, arranged to say by when the next version must have been made.
struct Refusals {
    /// Beginnings, latest first, each with the earliest end among those that begin no earlier.
    by_begin: Vec<(Time, Time)>,
}

impl Refusals {
    fn of(calls: &[Call], refused: &[usize]) -> Self {
        let mut by_begin: Vec<_> = refused.iter().map(|put| (calls[*put].begin, calls[*put].end)).collect();
        by_begin.sort_unstable_by(|left, right| right.cmp(left));
        let mut earliest_end = NEVER;
        for (_, end) in &mut by_begin {
            earliest_end = earliest_end.min(*end);
            *end = earliest_end;
        }
        Self { by_begin }
    }

    /// If the version was made at `made_at`, refusals that began later must end after the next version is made.
    fn limit(&self, made_at: Time) -> Time {
        let later = self.by_begin.partition_point(|(begin, _)| *begin > made_at);
        self.by_begin[..later].last().map_or(NEVER, |(_, end)| *end)
    }
}
