//! What a node has measured of its way to another one, and the times that follow from it.
//!
//! Two questions are asked of a link. How long is a round trip? Elections and the check for a quorum must not be shorter.
//! How many bytes does it carry in a while? Messages are cut to that, and get time in proportion to what is on the way.

use std::collections::BTreeMap;

use super::io::Time;
use super::node::Node;
use crate::services::raft::{LinkDelay, NodeId};

/// The longest round trip that elections adapt to: beyond it, a cluster without a leader would wait too long to try again.
const ROUND_TRIP_MAX_US: u64 = 1_000_000;

/// A measured round trip counts half after this long without another measurement, so that one slow period does not make
/// elections slow for long.
const ROUND_TRIP_HALF_LIFE_US: u64 = 10_000_000;

/// An election takes a pre-vote and a vote, so no timeout of one is shorter than this many round trips.
const ROUND_TRIPS_PER_ELECTION: u64 = 2;

/// Timeouts are drawn from an interval of at least this many round trips: two candidates split the votes if they begin within
/// half a round trip of each other.
const ROUND_TRIPS_OF_SPREAD: u64 = 6;

/// How long small messages may take at least, at most, and while nothing is known of the link. A first message opens a
/// connection, which takes a round trip more.
const SMALL_LIMIT_MIN_US: u64 = 200_000;
const SMALL_LIMIT_MAX_US: u64 = 5_000_000;
const SMALL_LIMIT_UNKNOWN_US: u64 = 2_000_000;

/// How long messages with entries or a piece of a snapshot may take at least, with what they need of the other node's disk, and
/// at most.
const BULK_LIMIT_MIN_US: u64 = 1_000_000;
const BULK_LIMIT_MAX_US: u64 = 30_000_000;

/// By how much a limit exceeds what was measured.
const LIMIT_FACTOR: u64 = 4;

/// The time that a window of bytes is meant to take.
const WINDOW_US: u64 = 500_000;
/// The bytes of a window at least, at most, and before anything was measured (which is 4 Mbit/s).
const WINDOW_MIN: usize = 16 << 10;
const WINDOW_MAX: usize = 64 << 20;
const WINDOW_UNKNOWN: usize = 256 << 10;
/// Fewer bytes say nothing about a link, which may take so many at once, nor does anybody wait for them.
const TELLING_BYTES: usize = 32 << 10;

/// By how much what is on the way may take longer than was measured before the silence behind it means anything.
const BUSY_FACTOR: u64 = 4;

/// For how long at most a node is excused for being silent while much is on the way to it.
pub(super) const BUSY_MAX_US: u64 = 10_000_000;

/// What a node has measured of its way to another one.
///
/// Invariants:
/// - `WINDOW_MIN <= window_bytes <= WINDOW_MAX`.
/// - `round_trip_us <= slowest_us`, once there is a sample.
#[derive(Clone, Debug)]
pub(super) struct Link {
    samples: u64,
    /// The round trip of messages that carry nothing. It falls at once and rises slowly, so that neither a burst of slow answers
    /// nor a full disk makes elections slow.
    round_trip_us: u64,
    /// The same for time limits, which rather wait too long: it rises at once and falls slowly.
    slowest_us: u64,
    measured_at: Time,
    /// How many messages in a row had no answer.
    unanswered: u32,
    /// The bytes that the link carries in [`WINDOW_US`], about.
    window_bytes: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            samples: 0,
            round_trip_us: 0,
            slowest_us: 0,
            measured_at: Time(0),
            unanswered: 0,
            window_bytes: WINDOW_UNKNOWN,
        }
    }
}

impl Link {
    /// A message that carries nothing was answered after this long.
    fn on_round_trip(&mut self, us: u64, now: Time) {
        let before = self.round_trip_at(now);
        self.round_trip_us = match self.samples {
            // The first one has opened a connection, which takes a round trip of its own.
            0 => us / 2,
            1 => us.min(2 * before),
            _ if us < before => us,
            _ => before + (us - before) / 8,
        };
        self.slowest_us = us.max(self.slowest_us - self.slowest_us.saturating_sub(us) / 8);
        self.samples += 1;
        self.measured_at = now;
        self.unanswered = 0;
    }

    /// A message had no answer.
    pub(super) fn on_failure(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Entries or a piece of a snapshot were answered after this long, with this many bytes on the way when they were sent.
    pub(super) fn on_bulk(&mut self, bytes: usize, took_us: u64) {
        self.unanswered = 0;
        let carries = |us: u64| {
            let carries = bytes as u64 * WINDOW_US / us.max(1);
            usize::try_from(carries).unwrap_or(usize::MAX).clamp(WINDOW_MIN, WINDOW_MAX)
        };
        // What does not fill the window was carried all the same; but only what does shows how much more cannot be.
        let fills = 2 * bytes >= self.window_bytes;
        let on_the_link_us = took_us.saturating_sub(self.round_trip_us);
        if bytes >= TELLING_BYTES.min(self.window_bytes / 2) {
            let at_least = if fills { carries(on_the_link_us) } else { carries(took_us) };
            if at_least > self.window_bytes {
                self.window_bytes = at_least.min(2 * self.window_bytes);
            }
        }
        if (fills || took_us >= WINDOW_US) && carries(on_the_link_us) < self.window_bytes {
            self.window_bytes = (self.window_bytes + carries(on_the_link_us)).div_ceil(2);
        }
    }

    /// Entries or a piece of a snapshot had no answer after this long.
    pub(super) fn on_bulk_failure(&mut self, took_us: u64) {
        // What fails at once, as a connection that is refused, was not too large.
        if took_us >= WINDOW_US {
            self.window_bytes = (self.window_bytes / 2).max(WINDOW_MIN);
        }
    }

    /// How long a round trip takes; nothing before the first one.
    pub(super) fn round_trip(&self, now: Time) -> Option<u64> {
        (self.samples > 0).then(|| self.round_trip_at(now).min(ROUND_TRIP_MAX_US))
    }

    fn round_trip_at(&self, now: Time) -> u64 {
        let halvings = now.0.saturating_sub(self.measured_at.0) / ROUND_TRIP_HALF_LIFE_US;
        self.round_trip_us >> halvings.min(63)
    }

    /// How long a message that carries nothing may take. A round trip more is for a connection that must be opened, and
    /// twice as much after each message that had no answer is for a link that has become slower.
    fn small_limit_us(&self) -> u64 {
        let known = if self.samples == 0 { SMALL_LIMIT_UNKNOWN_US } else { LIMIT_FACTOR * self.slowest_us };
        let backed_off = known.max(SMALL_LIMIT_MIN_US) << self.unanswered.min(5);
        backed_off.min(SMALL_LIMIT_MAX_US)
    }

    /// How long a message may take with which so many bytes are on the way.
    fn bulk_limit_us(&self, bytes: usize) -> u64 {
        let limit = BULK_LIMIT_MIN_US.max(self.small_limit_us()) + LIMIT_FACTOR * self.transit_us(bytes);
        limit.min(BULK_LIMIT_MAX_US)
    }

    /// How long so many bytes take.
    fn transit_us(&self, bytes: usize) -> u64 {
        bytes as u64 * WINDOW_US / self.window_bytes as u64
    }

    /// For how long a node is excused for being silent with so many bytes on the way to it.
    pub(super) fn busy_us(&self, bytes: usize) -> u64 {
        (BUSY_FACTOR * self.transit_us(bytes)).min(BUSY_MAX_US)
    }

    /// The bytes that fill the link for a while.
    pub(super) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    fn check(&self) {
        assert!((WINDOW_MIN..=WINDOW_MAX).contains(&self.window_bytes), "a link has an impossible window");
        assert!(self.round_trip_us <= self.slowest_us, "the usual round trip is longer than the slowest");
    }
}

/// What a node knows of its links, and what its leader has said of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<NodeId, Link>,
    /// The round trip that a leader has named, and when.
    named: Option<(u64, Time)>,
    /// For how much longer than usual the leader may be silent, since much is on the way.
    pub(super) busy_us: u64,
}

impl Links {
    pub(super) fn get(&self, node: NodeId) -> Option<&Link> {
        self.links.get(&node)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> &mut Link {
        self.links.entry(node).or_default()
    }

    /// The leader has said how slow its links are, or that they are not.
    pub(super) fn on_delay(&mut self, delay: Option<LinkDelay>, now: Time) {
        let LinkDelay { round_trip_ms, busy_ms } = delay.unwrap_or_default();
        self.named = Some((round_trip_ms.saturating_mul(1_000).min(ROUND_TRIP_MAX_US), now));
        self.busy_us = busy_ms.saturating_mul(1_000).min(BUSY_MAX_US);
    }

    pub(super) fn check(&self) {
        self.links.values().for_each(Link::check);
    }

    fn named_round_trip(&self, now: Time) -> u64 {
        self.named.map_or(0, |(us, at)| us >> (now.0.saturating_sub(at.0) / ROUND_TRIP_HALF_LIFE_US).min(63))
    }
}

impl Node {
    /// A node was reached and has answered a message that carries nothing.
    pub(super) fn on_round_trip(&mut self, with: NodeId, us: u64) {
        if with != self.id() && self.membership().has(with) {
            let now = self.now;
            self.links.get_mut(with).on_round_trip(us, now);
        }
    }

    /// How long it takes to reach a majority and have its answers; 0 while that is not known.
    pub(super) fn round_trip_us(&self) -> u64 {
        let id = self.id();
        let reached = |node| {
            // The quorum's value is the highest that a majority reaches, so short trips are high numbers. Of a node that has
            // never answered nothing is expected.
            let trip = if node == id { Some(0) } else { self.links.get(node)?.round_trip(self.now) };
            trip.map(|us| u64::MAX - us)
        };
        let named = self.links.named_round_trip(self.now);
        let trips = self.links.links.values().filter_map(|link| link.round_trip(self.now));
        let slowest = trips.max().unwrap_or(0);
        if ROUND_TRIPS_OF_SPREAD * slowest <= self.options.election_timeout_us
            || self.membership().voters.is_empty()
        {
            // Nothing depends on so short a time, and this is asked for with every message.
            return named.max(slowest);
        }
        let own = self.quorum_value(|node| reached(node).unwrap_or(u64::MAX - slowest));
        named.max(u64::MAX - own)
    }

    /// How long a node goes without a leader before it campaigns: as configured, or longer where a round trip is long.
    pub(super) fn election_timeout_us(&self) -> u64 {
        self.options.election_timeout_us.max(ROUND_TRIPS_PER_ELECTION * self.round_trip_us())
    }

    /// The length of an election timeout, randomized.
    pub(super) fn draw_election_timeout_us(&mut self) -> u64 {
        let round_trip_us = self.round_trip_us();
        let shortest = self.election_timeout_us();
        let spread = self.options.election_timeout_us.max(ROUND_TRIPS_OF_SPREAD * round_trip_us);
        self.random.u64(shortest..=shortest + spread)
    }

    /// How often a leader lets a node hear of it: at most some 16 times in a round trip.
    pub(super) fn heartbeat_us(&self, to: NodeId) -> u64 {
        let round_trip_us = self.links.get(to).and_then(|link| link.round_trip(self.now)).unwrap_or(0);
        self.options.heartbeat_us.max(round_trip_us / 16)
    }

    /// What a leader tells its followers of its links, with so many bytes on the way to one of them. Nothing where it is not
    /// slower than they expect anyway.
    pub(super) fn link_delay(&self, to: NodeId, bytes_on_the_way: usize) -> Option<LinkDelay> {
        let base_us = self.options.election_timeout_us;
        let round_trip_us = self.round_trip_us();
        let busy_us = self.busy_us(to, bytes_on_the_way);
        let is_far = ROUND_TRIPS_OF_SPREAD * round_trip_us > base_us;
        let round_trip_ms = if is_far { round_trip_us.div_ceil(1_000) } else { 0 };
        (is_far || busy_us > 0).then(|| LinkDelay { round_trip_ms, busy_ms: busy_us.div_ceil(1_000) })
    }

    /// For how long a node may be silent beyond what is usual, with so many bytes on the way to it; 0 where they take less
    /// time than a few heartbeats.
    pub(super) fn busy_us(&self, to: NodeId, bytes_on_the_way: usize) -> u64 {
        let unknown = Link::default();
        let link = self.links.get(to).unwrap_or(&unknown);
        let busy_us = link.busy_us(bytes_on_the_way);
        let matters = bytes_on_the_way >= TELLING_BYTES.min(link.window_bytes / 4);
        if matters && busy_us > self.options.election_timeout_us / 2 { busy_us } else { 0 }
    }

    /// Within which time so many bytes, and the news that they have come, have made their way, as far as is known.
    pub(super) fn arrives_within_us(&self, to: NodeId, bytes: usize) -> u64 {
        // Where answers are uneven, to ask too early costs a message; to ask too late holds up what has been lost.
        let arrives_within_us = |link: &Link| 2 * link.round_trip_at(self.now) + link.busy_us(bytes);
        self.links.get(to).map_or_else(|| arrives_within_us(&Link::default()), arrives_within_us)
    }

    /// How long a message to a node may take, with so many bytes on the way, its own included; 0 for one that carries nothing.
    pub(super) fn time_limit_us(&self, to: NodeId, bytes_on_the_way: usize) -> u64 {
        let unknown = Link::default();
        let link = self.links.get(to).unwrap_or(&unknown);
        if bytes_on_the_way == 0 { link.small_limit_us() } else { link.bulk_limit_us(bytes_on_the_way) }
    }

    /// The bytes that one message may bring to a node.
    pub(super) fn window_bytes(&self, to: NodeId) -> usize {
        self.links.get(to).map_or(WINDOW_UNKNOWN, Link::window_bytes)
    }

    /// The bytes of a piece of a snapshot.
    pub(super) fn piece_bytes(&self, to: NodeId) -> usize {
        self.window_bytes(to).min(self.options.piece_bytes_max)
    }
}
