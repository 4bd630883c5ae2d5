//! Bytes that a server holds for its callers: a budget, and holders that give back what they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Who holds up to this many bytes may use the whole budget. Others leave a quarter of it, so that a few large messages
/// never keep out the many small ones.
const SMALL_BYTES: usize = 64 << 10;

/// How many bytes all holders together may hold.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// Bytes taken from a budget, which get them back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// How many bytes there are.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes are taken.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, if there is room for them.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let mut held = Held { budget: Arc::clone(self), bytes: 0 };
        held.grow(bytes).then_some(held)
    }

    /// Takes `bytes` whether there is room or not: for what is small and must be said.
    pub(super) fn take_anyway(self: &Arc<Self>, bytes: usize) -> Held {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Held { budget: Arc::clone(self), bytes }
    }
}

impl Held {
    /// Takes so many more bytes, if there is room for them.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let Budget { limit, used } = &*self.budget;
        let is_small = self.bytes.saturating_add(more) <= SMALL_BYTES;
        let room = if is_small { *limit } else { limit - limit / 4 };
        let add = |used: usize| used.checked_add(more).filter(|used| *used <= room);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Takes what another holder of the same budget has.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// How many bytes this holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `bytes`, which count for as long as any part of them lives.
    pub(super) fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { bytes, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn large_holders_leave_a_quarter_to_small_ones() {
        let budget = Budget::new(1 << 20);
        let large = budget.take(3 << 18).unwrap();
        assert!(budget.take(SMALL_BYTES + 1).is_none(), "the last quarter is for small holders");
        let mut small = budget.take(SMALL_BYTES).unwrap();
        assert!(!small.grow(1), "it would be a large holder");
        let rest: Vec<_> = std::iter::from_fn(|| budget.take(SMALL_BYTES)).collect();
        assert_eq!((rest.len(), budget.used()), (3, 1 << 20));
        drop((large, rest));
        assert_eq!(budget.used(), SMALL_BYTES);
        assert!(small.grow(1));
    }

    #[test]
    fn bytes_count_until_their_last_part_is_dropped() {
        let budget = Budget::new(100);
        let bytes = budget.take(10).unwrap().keep(Bytes::from_static(b"0123456789"));
        let part = bytes.slice(3..4);
        drop(bytes);
        assert_eq!(budget.used(), 10);
        drop(part);
        assert_eq!(budget.used(), 0);
        let mut one = budget.take(40).unwrap();
        one.merge(budget.take_anyway(80));
        assert_eq!((one.bytes(), budget.used()), (120, 120));
        assert!(budget.take(usize::MAX).is_none() && !one.grow(usize::MAX));
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}
