//! What will happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by time; those of one time in the order in which they were added.
///
/// The heap moves small keys only. The events stay in their places.
pub(crate) struct Queue<E> {
    keys: BinaryHeap<Reverse<(u64, u64, usize)>>,
    places: Vec<Option<E>>,
    free: Vec<usize>,
    added: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { keys: BinaryHeap::new(), places: Vec::new(), free: Vec::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: u64, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(event);
                place
            }
            None => {
                self.places.push(Some(event));
                self.places.len() - 1
            }
        };
        self.added += 1;
        self.keys.push(Reverse((at, self.added, place)));
    }

    /// The next event, if it is not after `until`, and its time.
    pub(crate) fn next_until(&mut self, until: u64) -> Option<(u64, E)> {
        let Reverse((at, _, _)) = self.keys.peek()?;
        if *at > until {
            return None;
        }
        let Reverse((at, _, place)) = self.keys.pop()?;
        self.free.push(place);
        let event = self.places[place].take().expect("every key has its event");
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            queue.add(at, event);
        }
        let mut taken = String::new();
        while let Some((_, event)) = queue.next_until(5) {
            taken.push(event);
        }
        assert_eq!(taken, "abcd");
        queue.add(9, 'f');
        assert_eq!(queue.next_until(9), Some((9, 'e')));
        assert_eq!(queue.next_until(9), Some((9, 'f')));
        assert_eq!(queue.next_until(99), None);
    }
}
