//! The specification: what one key does when calls come one after another, and the calls of one key in that form.

use std::collections::BTreeMap;

use crate::history::{History, Input, Operation, Outcome, TIME_MAX, Time, Version};

/// The end of a call that never returned: later than every moment of a history.
pub(crate) const NEVER: Time = u64::MAX;

/// A value by number, so that states are small and cheap to compare.
pub(crate) type ValueId = u32;

/// What one key holds. An absent key has version 0 and the value [`State::ABSENT`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) version: Version,
    pub(crate) value: ValueId,
}

/// What a call says about the moment at which it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The key held this.
    Read(State),
    /// The key did not exist.
    Absent,
    /// The key was at version `at` and now holds `value` at the next one.
    Write { at: Version, value: ValueId },
    /// As `Write`, or nothing at all.
    Optional { at: Version, value: ValueId },
    /// The key existed at another version than `at`.
    Refused { at: Version },
    /// No state of a key gives this answer.
    Impossible,
}

/// One call on one key, with moments shifted by one so that 0 is before all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Where the call stands in [`History::operations`].
    pub(crate) operation: usize,
    pub(crate) begin: Time,
    pub(crate) end: Time,
    pub(crate) effect: Effect,
}

/// The calls on one key. Calls that say nothing (a get without an answer) are left out.
#[derive(Clone, Debug)]
pub(crate) struct KeyCalls {
    pub(crate) initial: State,
    pub(crate) calls: Vec<Call>,
}

impl State {
    pub(crate) const ABSENT: State = State { version: 0, value: 0 };

    /// The state after a call that took effect now, or `None` if the call cannot have been answered so in this state.
    pub(crate) fn apply(self, effect: Effect) -> Option<State> {
        match effect {
            Effect::Read(seen) => (self == seen).then_some(self),
            Effect::Absent => (self.version == 0).then_some(self),
            Effect::Refused { at } => (self.version != 0 && self.version != at).then_some(self),
            Effect::Write { at, value } | Effect::Optional { at, value } => {
                if self.version != at {
                    return None;
                }
                Some(State { version: at.checked_add(1)?, value })
            }
            Effect::Impossible => None,
        }
    }
}

/// Splits a history by key: keys are independent, and a history is legal if each of its keys is.
pub(crate) fn split(history: &History) -> BTreeMap<&str, KeyCalls> {
    let mut values = Values::default();
    let mut keys = BTreeMap::new();
    for (index, operation) in history.operations().iter().enumerate() {
        let key = operation.key.as_str();
        let of_key = keys.entry(key).or_insert_with(|| KeyCalls {
            initial: history
                .initial(key)
                .map_or(State::ABSENT, |(value, version)| State { version, value: values.number(value) }),
            calls: Vec::new(),
        });
        if let Some(effect) = effect(operation, &mut values) {
            let end = operation.completion.as_ref().map_or(NEVER, |(at, _)| at + 1);
            debug_assert!(end == NEVER || end <= TIME_MAX + 1, "the history checked its times");
            of_key.calls.push(Call { operation: index, begin: operation.invoked + 1, end, effect });
        }
    }
    keys
}

fn effect<'a>(operation: &'a Operation, values: &mut Values<'a>) -> Option<Effect> {
    let outcome = operation.completion.as_ref().map(|(_, outcome)| outcome);
    match (&operation.input, outcome) {
        (Input::Get, None) => None,
        (Input::Get, Some(Outcome::Value { version: 0, .. })) => Some(Effect::Impossible),
        (Input::Get, Some(Outcome::Value { value, version })) => {
            Some(Effect::Read(State { version: *version, value: values.number(value) }))
        }
        (Input::Get, Some(Outcome::NoKey)) => Some(Effect::Absent),
        // A put that names version 0 creates an absent key, so it never learns that the key is absent.
        (Input::Put { version: 0, .. }, Some(Outcome::NoKey)) => Some(Effect::Impossible),
        (Input::Put { .. }, Some(Outcome::NoKey)) => Some(Effect::Absent),
        (Input::Put { value, version }, Some(Outcome::Ok)) => {
            Some(Effect::Write { at: *version, value: values.number(value) })
        }
        (Input::Put { value, version }, None | Some(Outcome::Maybe)) => {
            Some(Effect::Optional { at: *version, value: values.number(value) })
        }
        (Input::Put { version, .. }, Some(Outcome::Version)) => Some(Effect::Refused { at: *version }),
        // `History::complete` lets no such pair in.
        (Input::Get, Some(Outcome::Ok | Outcome::Version | Outcome::Maybe))
        | (Input::Put { .. }, Some(Outcome::Value { .. })) => Some(Effect::Impossible),
    }
}

/// Numbers values from 1 in the order in which they are met.
#[derive(Default)]
struct Values<'a> {
    numbers: BTreeMap<&'a str, ValueId>,
}

impl<'a> Values<'a> {
    fn number(&mut self, value: &'a str) -> ValueId {
        let next = ValueId::try_from(self.numbers.len() + 1).expect("a history holds fewer than 2^32 values");
        *self.numbers.entry(value).or_insert(next)
    }
}
