//! When a client repeats a call by itself: only what may be repeated, later each time, and never so much that the
//! repeats become the load.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use traitwire_schema::{Idempotency, MethodDescriptor};

use crate::error::{Code, RpcError};

/// How a client repeats calls of methods that are `read_only` or `idempotent`; others are never repeated.
#[derive(Clone, Debug)]
pub struct Retry {
    /// How often a call is repeated where its method does not say. 2 by default.
    pub retries: u32,
    /// The longest pause before the first repeat; it doubles with each further one. 10 ms by default.
    pub pause_first: Duration,
    /// The longest pause of all. 500 ms by default.
    pub pause_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 2, pause_first: Duration::from_millis(10), pause_max: Duration::from_millis(500) }
    }
}

impl Retry {
    /// Never, where a method does not say otherwise: for those who decide themselves what is sent again.
    pub fn never() -> Self {
        Self { retries: 0, ..Self::default() }
    }

    /// How often a call of `method` is sent at most.
    pub(crate) fn attempts(&self, method: &MethodDescriptor) -> u32 {
        match method.idempotency {
            Idempotency::None => 1,
            Idempotency::Idempotent | Idempotency::ReadOnly => {
                1_u32.saturating_add(method.retries.unwrap_or(self.retries))
            }
        }
    }

    /// Whether the same call may go better a moment later.
    pub(crate) fn is_worth(error: &RpcError) -> bool {
        error.code() == Code::Unavailable
    }

    /// The pause after the attempt with this number, counted from 1: anything up to the bound, so that clients that
    /// failed together do not return together.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let bound = self.pause_first.saturating_mul(1 << doublings).min(self.pause_max);
        bound.mul_f64(fastrand::f64())
    }
}

/// What a repeat costs, and what the budget holds at most, in successes.
const REPEAT_COST: u32 = 10;
const BUDGET_MAX: u32 = 1_000;

/// Lets one repeat through for every ten calls that succeed, and a hundred in a row to begin with.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(BUDGET_MAX))
    }
}

impl RetryBudget {
    pub(crate) fn succeeded(&self) {
        if self.0.load(Ordering::Relaxed) < BUDGET_MAX {
            // A race may pass the maximum by a few: it bounds the load, not a count that anything relies on.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether one more repeat is within the budget.
    pub(crate) fn take(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(REPEAT_COST))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_bounds_repeats_to_a_tenth_of_the_successes() {
        let budget = RetryBudget::default();
        let burst = (0..1_000).filter(|_| budget.take()).count();
        assert_eq!(burst, 100);
        for _ in 0..50 {
            budget.succeeded();
        }
        assert_eq!((0..1_000).filter(|_| budget.take()).count(), 5);
    }

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        let retry = Retry::default();
        for attempt in 1..40 {
            assert!(retry.pause(attempt) <= retry.pause_max);
        }
        assert!(retry.pause(1) <= retry.pause_first);
    }
}
