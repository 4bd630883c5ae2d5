//! Sets of moments as sorted, disjoint, closed intervals.

use crate::history::Time;

/// A set of moments. Invariants: intervals are sorted by start, none overlap, each has `start <= end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moments(Vec<(Time, Time)>);

impl Moments {
    /// The single moment before every call.
    pub(crate) fn before_all() -> Self {
        Self(vec![(0, 0)])
    }

    /// The union of intervals given in any order.
    pub(crate) fn union(mut intervals: Vec<(Time, Time)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(Time, Time)> = Vec::with_capacity(intervals.len());
        for (start, end) in intervals {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => merged.push((start, end)),
            }
        }
        Self(merged)
    }

    /// How many intervals the set is made of: the cost of walking it.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> Option<Time> {
        self.0.first().map(|interval| interval.0)
    }

    pub(crate) fn last(&self) -> Option<Time> {
        self.0.last().map(|interval| interval.1)
    }

    /// The latest moment of the set that is not after `limit`.
    pub(crate) fn latest_until(&self, limit: Time) -> Option<Time> {
        let later = self.0.partition_point(|interval| interval.0 <= limit);
        let (_, end) = self.0[..later].last()?;
        Some(limit.min(*end))
    }

    pub(crate) fn intersect(&self, other: &Moments) -> Moments {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (start, end) = (a.0.max(b.0), a.1.min(b.1));
            if start <= end {
                both.push((start, end));
            }
            if a.1 < b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        Moments(both)
    }

    /// The moments that can follow one of this set, where `limit(from)` is the last moment that may follow `from`. The
    /// limit must not fall as `from` rises and must not lie before `from`, so the best predecessor is the latest one.
    pub(crate) fn followers(&self, limit: impl Fn(Time) -> Time) -> Moments {
        Moments::union(self.0.iter().map(|(start, end)| (*start, limit(*end))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NEVER;

    fn set(intervals: &[(Time, Time)]) -> Moments {
        Moments::union(intervals.to_vec())
    }

    #[test]
    fn union_sorts_and_merges() {
        assert_eq!(set(&[(7, 9), (1, 3), (3, 5), (8, 8)]), Moments(vec![(1, 5), (7, 9)]));
    }

    #[test]
    fn intersection_keeps_what_both_hold() {
        assert_eq!(
            set(&[(1, 5), (7, 9)]).intersect(&set(&[(0, 1), (3, 7)])),
            Moments(vec![(1, 1), (3, 5), (7, 7)])
        );
        assert_eq!(set(&[(1, 2)]).intersect(&set(&[(3, 4)])), Moments(vec![]));
    }

    #[test]
    fn latest_until_looks_back_over_gaps() {
        let moments = set(&[(1, 3), (7, 9)]);
        let latest: Vec<_> = [0, 2, 5, 8, 20].map(|limit| moments.latest_until(limit)).to_vec();
        assert_eq!(latest, [None, Some(2), Some(3), Some(8), Some(9)]);
    }

    #[test]
    fn followers_stop_at_the_limit_of_the_latest_predecessor() {
        let moments = set(&[(1, 3), (7, 9)]);
        assert_eq!(moments.followers(|_| NEVER), Moments(vec![(1, NEVER)]));
        assert_eq!(moments.followers(|from| if from < 7 { 5 } else { 11 }), Moments(vec![(1, 5), (7, 11)]));
    }
}
