//! A linearizability checker for histories of versioned key-value stores.
//!
//! A [`History`] holds what clients asked and what they were told, with the moments of both. It is *linearizable* if the
//! calls can be put in one order that a single copy of the store, serving one call at a time, would have answered the
//! same way, and in which no call comes before one that had returned when it began.
//!
//! The store: version 0 is an absent key. A put at the version the key has succeeds and raises it by one; so a put at 0
//! creates an absent key at version 1. A put at another version is refused, with `NoKey` if the key is absent and with
//! `Version` if it is not. `Maybe` means: applied once inside the call, or never. A put that never returned may have been
//! applied once at any time since it began, or never.
//!
//! ```
//! use traitwire_checker::{History, Input, Outcome, check};
//!
//! let mut history = History::new();
//! let put = history.invoke(1, "a", Input::Put { value: "x".into(), version: 0 }, 10);
//! history.complete(put, Outcome::Ok, 20);
//! let get = history.invoke(2, "a", Input::Get, 30);
//! history.complete(get, Outcome::NoKey, 40);
//!
//! let verdict = check(&history, 1_000);
//! assert!(!verdict.is_legal(), "client 2 missed a put that was over before it asked");
//! println!("{verdict}");
//! ```
//!
//! Two deciders stand behind it. [`check`] uses the order that versions give away and is exact and nearly linear.
//! [`search`] tries orders, as a general checker does; it is slow on long histories, and there as a second opinion.

mod history;
mod model;
mod moments;
mod report;
mod search;
mod version_order;

pub use history::{CallId, ClientId, History, Input, Operation, Outcome, TIME_MAX, Time, Version};
pub use report::{Verdict, Violation};

use model::{Effect, KeyCalls};
use search::Found;
use version_order::{Conflict, Stop};

/// Decides whether a history is linearizable, in about one step a call. Each key has a budget of `steps_max`.
///
/// A positive answer rests on an order that was found and then replayed; a mistake in the decider would be a panic here,
/// not a wrong `Legal`.
pub fn check(history: &History, steps_max: u64) -> Verdict {
    each_key(history, steps_max, |name, key, steps| match version_order::decide(key, steps) {
        Ok(order) => {
            certify(key, &order);
            Ok(None)
        }
        Err(Stop::Illegal(conflict)) => Ok(Some(Violation::explain(history, name, key, conflict))),
        Err(Stop::OutOfSteps) => Err(OutOfSteps),
    })
}

/// Decides the same by trying orders, one step a try. Each key has a budget of `steps_max`, and each step may keep one bit
/// a call in memory.
pub fn search(history: &History, steps_max: u64) -> Verdict {
    each_key(history, steps_max, |name, key, steps| match search::search(key, steps)? {
        Found::Order => Ok(None),
        Found::Nothing { placed, stuck } => {
            let reason = format!("at most {placed} of {} calls fit into one order", key.calls.len());
            Ok(Some(Violation::new(history, name, key, Conflict { reason, calls: vec![stuck] })))
        }
    })
}

/// Runs a decider on every key. A violation outweighs a key that was given up.
fn each_key(
    history: &History,
    steps_max: u64,
    decide: impl Fn(&str, &KeyCalls, &mut Steps) -> Result<Option<Violation>, OutOfSteps>,
) -> Verdict {
    let mut verdict = Verdict::Legal;
    for (name, key) in &model::split(history) {
        match decide(name, key, &mut Steps::new(steps_max)) {
            Ok(None) => {}
            Ok(Some(violation)) => return Verdict::Illegal(violation),
            Err(OutOfSteps) => verdict = Verdict::Unknown { key: (*name).to_owned(), steps_max },
        }
    }
    verdict
}

/// Replays an order: it must be legal, respect time, and leave out nothing but puts that may never have been applied.
fn certify(key: &KeyCalls, order: &[usize]) {
    let mut state = key.initial;
    let mut latest_begin = 0;
    let mut placed = vec![false; key.calls.len()];
    for position in order {
        let call = &key.calls[*position];
        assert!(!placed[*position], "the order holds {call:?} twice");
        placed[*position] = true;
        assert!(call.end >= latest_begin, "the order puts {call:?} behind a call that began after its end");
        latest_begin = latest_begin.max(call.begin);
        state = state
            .apply(call.effect)
            .unwrap_or_else(|| panic!("the order puts {call:?} where {state:?} holds"));
    }
    for (call, placed) in key.calls.iter().zip(placed) {
        assert!(placed || matches!(call.effect, Effect::Optional { .. }), "the order leaves out {call:?}");
    }
}

/// What is left of a budget, counted in steps so that a verdict never depends on how fast the machine is.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    left: u64,
}

/// The budget is used up; the question stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfSteps;

impl Steps {
    pub(crate) fn new(steps_max: u64) -> Self {
        Self { left: steps_max }
    }

    pub(crate) fn take(&mut self, steps: usize) -> Result<(), OutOfSteps> {
        self.left = self.left.checked_sub(steps as u64).ok_or(OutOfSteps)?;
        Ok(())
    }
}
