//! Clusters whose nodes are values that one thread steps: no runtime, no channels, messages go from hand to hand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::measure::{Sample, Watch};
use super::{Amount, WARM_UP};
use crate::harness::histogram::Histogram;

/// How long an election may take.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Three nodes, of which one leads after a while.
pub trait Cluster {
    /// Whether there is a leader that takes commands.
    fn is_ready(&self) -> bool;

    /// Gives the leader so many commands at once.
    fn propose(&mut self, count: usize);

    /// Lets each node take what has come to it, the leader last, and do what follows from it. Gives how many commands the
    /// leader's state machine got meanwhile.
    fn round(&mut self, now: Instant) -> usize;
}

/// Keeps so many commands outstanding for a while.
pub fn run(mut cluster: impl Cluster, amount: Amount) -> Sample {
    let begin = Instant::now();
    while !cluster.is_ready() {
        let now = Instant::now();
        assert!(now - begin < ELECTION_TIMEOUT, "nobody is elected");
        cluster.round(now);
    }
    let mut load = Load { cluster, waiting: VecDeque::new(), free: amount.outstanding };
    load.until(Instant::now() + WARM_UP);
    let watch = Watch::start();
    let commits = load.until(Instant::now() + amount.duration);
    watch.stop(&commits)
}

struct Load<C> {
    cluster: C,
    /// The commands that are not committed: since when, and how many.
    waiting: VecDeque<(Instant, usize)>,
    /// How many more may be outstanding.
    free: usize,
}

impl<C: Cluster> Load<C> {
    fn until(&mut self, end: Instant) -> Histogram {
        let mut commits = Histogram::default();
        let mut now = Instant::now();
        while now < end {
            if self.free > 0 {
                self.waiting.push_back((now, self.free));
                self.cluster.propose(std::mem::take(&mut self.free));
            }
            let count = self.cluster.round(now);
            now = Instant::now();
            self.committed(count, now, &mut commits);
        }
        commits
    }

    /// Commands are committed in the order in which they were proposed.
    fn committed(&mut self, mut count: usize, now: Instant, commits: &mut Histogram) {
        self.free += count;
        while count > 0 {
            let (since, waiting) = self.waiting.front_mut().expect("only what was proposed is committed");
            let done = count.min(*waiting);
            commits.add(now - *since, done as u64);
            *waiting -= done;
            count -= done;
            if *waiting == 0 {
                self.waiting.pop_front();
            }
        }
    }
}
