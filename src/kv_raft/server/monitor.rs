//! Watches a node and logs what an operator wants to know: peers that become unreachable and return, and a cluster without a
//! leader. It also knows for how long the node has been behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use traitwire::RpcError;
use traitwire::log::Excerpt;

use super::others::Others;
use crate::kv_raft::machine::KvMachine;
use crate::kv_raft::raft::{Contacted, KnownMembership, ProblemKind, Raft, Verdict, reason};
use crate::kv_raft::rsm::Rsm;
use crate::services::raft::{Index, Membership, NodeId};
use crate::services::rsm::Rsm as _;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// For how long a peer must not have answered before it counts as unreachable; the longer time holds for a peer that was
/// unreachable lately, so that one which comes and goes does not fill the log.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(1);
const UNREACHABLE_AGAIN_AFTER: Duration = Duration::from_secs(10);
const LATELY: Duration = Duration::from_secs(60);

/// A peer to which nothing was sent for this long is asked for its status. Followers send nothing to each other.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBE_UNREACHABLE_AFTER: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// After how long without a leader that is logged, and how often it is repeated. Elections take less.
const NO_LEADER_AFTER: Duration = Duration::from_secs(3);
const NO_LEADER_REPEAT: Duration = Duration::from_secs(60);

/// How far a node is behind its leader.
pub(super) struct Lag(Mutex<Mark>);

/// A position that was committed at some time.
struct Mark {
    index: Index,
    at: Instant,
}

impl Lag {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Mark { index: 0, at: Instant::now() }))
    }

    /// Notes what the leader has committed and this node has applied.
    fn note(&self, now: Instant, committed: Index, applied: Index) {
        let mut mark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if applied >= mark.index {
            *mark = Mark { index: committed, at: now };
        }
    }

    /// For how long the node has not applied what was committed then.
    pub(super) fn behind(&self, now: Instant, applied: Index) -> Duration {
        let mark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if applied < mark.index { now.saturating_duration_since(mark.at) } else { Duration::ZERO }
    }
}

/// The task.
pub(super) struct Monitor {
    id: NodeId,
    rsm: Arc<Rsm<KvMachine>>,
    others: Arc<Others>,
    peers: BTreeMap<NodeId, Peer>,
    /// How many nodes vote; 0 in a node that belongs to no cluster yet.
    voters: usize,
    /// The index of the membership that was logged last.
    logged_index: Index,
    quorum: Quorum,
    lag: Arc<Lag>,
}

impl Monitor {
    pub(super) fn new(id: NodeId, rsm: Arc<Rsm<KvMachine>>, others: Arc<Others>, lag: Arc<Lag>) -> Self {
        let quorum = Quorum::new(Instant::now());
        Self { id, rsm, others, peers: BTreeMap::new(), voters: 0, logged_index: 0, quorum, lag }
    }

    /// Watches until it is aborted.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut membership = self.rsm.raft().membership();
        let known = membership.borrow_and_update().clone();
        self.follow(&known.membership);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = membership.changed() => {
                    let known = membership.borrow_and_update().clone();
                    self.log_membership(&known);
                    self.follow(&known.membership);
                    continue;
                }
            }
            let now = Instant::now();
            let status = self.rsm.raft().status();
            self.lag.note(now, status.leader_commit_index, self.rsm.applied_index());
            self.look_at_peers(now);
            if status.leader.is_some() {
                self.rsm.raft().problems().resolve(ProblemKind::Refused);
            }
            // A node that belongs to no cluster says otherwise what it waits for.
            let is_led = status.leader.is_some() || self.voters == 0;
            if let Some(change) = self.quorum.observe(now, is_led) {
                self.log_quorum(change, status.term, status.leader);
            }
        }
    }

    /// Takes in who belongs to the cluster.
    fn follow(&mut self, membership: &Membership) {
        self.others.follow(membership);
        self.voters = membership.voters.len();
        let (now, urls, nodes) = (Instant::now(), self.others.urls(), membership.nodes());
        self.peers.retain(|peer, state| nodes.contains(peer) && urls.get(peer) == Some(&state.url));
        for peer in nodes.into_iter().filter(|peer| *peer != self.id) {
            if let Some(url) = urls.get(&peer) {
                self.peers.entry(peer).or_insert_with(|| Peer::new(url.clone(), now));
            }
        }
    }

    fn log_membership(&mut self, known: &KnownMembership) {
        let KnownMembership { index, membership, .. } = known;
        // It is the same one, and committed now.
        if self.logged_index == *index {
            return;
        }
        self.logged_index = *index;
        let ids = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let outgoing = Some(ids(&membership.outgoing)).filter(|ids| !ids.is_empty());
        let learners = Some(ids(&membership.learners)).filter(|ids| !ids.is_empty());
        let (id, voters) = (self.id, ids(&membership.voters));
        tracing::info!(id, index, voters, outgoing, learners, "membership changed");
    }

    fn look_at_peers(&mut self, now: Instant) {
        let id = self.id;
        for (peer, state) in &mut self.peers {
            let contacted = self.rsm.raft().contacts().take(*peer);
            let url = state.url.as_str();
            note_verdict(self.rsm.raft(), (*peer, url), &contacted);
            match state.contact.observe(now, contacted) {
                Some(ContactChange::Reachable(after)) => {
                    let after_ms = after.map(millis);
                    tracing::info!(id, peer, url, after_ms, "peer reachable");
                }
                Some(ContactChange::Unreachable(error)) => {
                    let (code, error) = (error.code(), reason(error.message()).to_owned());
                    tracing::warn!(id, peer, url, %code, error = %Excerpt(&error), "peer unreachable");
                }
                None => {}
            }
            if state.contact.is_probe_due(now)
                && let Some(stub) = self.others.rsm(*peer)
            {
                let (peer, rsm) = (*peer, self.rsm.clone());
                tokio::spawn(async move {
                    let late = |_| Err(RpcError::deadline_exceeded("no answer in time"));
                    let answer = timeout(PROBE_TIMEOUT, stub.status()).await.unwrap_or_else(late);
                    rsm.raft().contacts().note(peer, answer.as_ref());
                });
            }
        }
    }

    fn log_quorum(&self, change: QuorumChange, term: u64, leader: Option<NodeId>) {
        let id = self.id;
        match change {
            QuorumChange::Missing(duration) => {
                let unreachable: Vec<_> = self
                    .peers
                    .iter()
                    .filter(|(_, peer)| peer.contact.failing.is_some())
                    .map(|(peer, state)| format!("{peer}={}", state.url))
                    .collect();
                let unreachable = unreachable.join(",");
                let voters = self.voters;
                tracing::warn!(
                    id,
                    term,
                    for_ms = millis(duration),
                    unreachable,
                    voters,
                    "no leader: reads and writes fail until a majority of the voters can reach each other"
                );
            }
            QuorumChange::Back(after) => {
                tracing::info!(id, term, leader, after_ms = millis(after), "there is a leader again");
            }
        }
    }
}

/// Notes what a peer's refusal says about this node.
fn note_verdict(raft: &Raft, (peer, url): (NodeId, &str), contacted: &Contacted) {
    let problems = raft.problems();
    match contacted {
        Contacted::Not => {}
        Contacted::Answered => {
            problems.resolve(ProblemKind::OtherCluster(peer));
        }
        Contacted::Failed(error) => {
            let said = Excerpt(error.message());
            match Verdict::of(error) {
                Some(Verdict::Expelled) if raft.status().leader.is_none() => {
                    let text = format!(
                        "node {peer} ({url}) refuses this node: {said}; stop it, or start it with an empty folder to let it rejoin"
                    );
                    problems.report(raft.id(), ProblemKind::Refused, text);
                }
                Some(Verdict::OtherCluster) => {
                    let text = format!(
                        "node {peer} ({url}) belongs to another cluster: {said}; check the URLs of the peers"
                    );
                    problems.report(raft.id(), ProblemKind::OtherCluster(peer), text);
                }
                Some(Verdict::Expelled) | None => {}
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Peer {
    url: String,
    contact: PeerContact,
}

impl Peer {
    fn new(url: String, now: Instant) -> Self {
        Self { url, contact: PeerContact::new(now) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Unknown,
    Reachable,
    Unreachable,
}

/// Whether a peer is reachable, from what is observed.
struct PeerContact {
    reach: Reach,
    changed: Instant,
    /// When it last became unreachable.
    down: Option<Instant>,
    /// Since when it has not answered what was sent to it.
    failing: Option<Instant>,
    /// When something was last sent to it, about.
    contacted: Instant,
}

#[derive(Debug, PartialEq)]
enum ContactChange {
    /// It answers, perhaps again, after so long.
    Reachable(Option<Duration>),
    Unreachable(RpcError),
}

impl PeerContact {
    fn new(now: Instant) -> Self {
        Self { reach: Reach::Unknown, changed: now, down: None, failing: None, contacted: now }
    }

    fn observe(&mut self, now: Instant, contacted: Contacted) -> Option<ContactChange> {
        match contacted {
            Contacted::Not => None,
            Contacted::Answered => {
                (self.failing, self.contacted) = (None, now);
                let was_down = self.reach == Reach::Unreachable;
                let after = was_down.then(|| now.saturating_duration_since(self.changed));
                self.enter(Reach::Reachable, now).then_some(ContactChange::Reachable(after))
            }
            Contacted::Failed(error) => {
                self.contacted = now;
                let since = *self.failing.get_or_insert(now);
                let was_lately = self.down.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
                let patience = if was_lately { UNREACHABLE_AGAIN_AFTER } else { UNREACHABLE_AFTER };
                let is_down = now.saturating_duration_since(since) >= patience;
                if !is_down || !self.enter(Reach::Unreachable, now) {
                    return None;
                }
                self.down = Some(now);
                Some(ContactChange::Unreachable(error))
            }
        }
    }

    /// Whether that is a change.
    fn enter(&mut self, reach: Reach, now: Instant) -> bool {
        let is_change = self.reach != reach;
        if is_change {
            (self.reach, self.changed) = (reach, now);
        }
        is_change
    }

    /// Whether nothing was sent to it for so long that somebody must; a probe is sent then.
    fn is_probe_due(&mut self, now: Instant) -> bool {
        let pause = if self.reach == Reach::Reachable { PROBE_AFTER } else { PROBE_UNREACHABLE_AFTER };
        let is_due = now.saturating_duration_since(self.contacted) >= pause;
        if is_due {
            self.contacted = now;
        }
        is_due
    }
}

/// Whether there is a leader, from what is observed.
struct Quorum {
    /// Since when there is none.
    missing: Option<Instant>,
    /// When that was last logged.
    logged: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum QuorumChange {
    /// There has been no leader for this long.
    Missing(Duration),
    /// There is one again, after this long.
    Back(Duration),
}

impl Quorum {
    fn new(now: Instant) -> Self {
        Self { missing: Some(now), logged: None }
    }

    fn observe(&mut self, now: Instant, has_leader: bool) -> Option<QuorumChange> {
        if has_leader {
            let missing = self.missing.take();
            let logged = self.logged.take();
            return logged.and(missing).map(|since| QuorumChange::Back(now.saturating_duration_since(since)));
        }
        let missing = now.saturating_duration_since(*self.missing.get_or_insert(now));
        let is_due = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= NO_LEADER_REPEAT);
        if missing < NO_LEADER_AFTER || !is_due {
            return None;
        }
        self.logged = Some(now);
        Some(QuorumChange::Missing(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Contacted {
        Contacted::Failed(RpcError::unavailable("refused"))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_is_reported_once_when_it_goes_and_once_when_it_returns() {
        let start = Instant::now();
        let mut peer = PeerContact::new(start);
        assert_eq!(peer.observe(start, Contacted::Answered), Some(ContactChange::Reachable(None)));
        let gone = start + LATELY;
        let mut lines = Vec::new();
        for tick in 0..100 {
            lines.extend(peer.observe(gone + LOOK_EVERY * tick, failed()));
        }
        assert_eq!(lines, [ContactChange::Unreachable(RpcError::unavailable("refused"))]);
        let back = gone + secs(21);
        let after = ContactChange::Reachable(Some(secs(20)));
        assert_eq!(peer.observe(back, Contacted::Answered), Some(after));
        assert_eq!(peer.observe(back, Contacted::Answered), None);
    }

    #[test]
    fn a_lost_message_is_not_an_unreachable_peer_and_one_that_flaps_is_reported_rarely() {
        let start = Instant::now();
        let mut peer = PeerContact::new(start);
        let mut lines = 0;
        for tick in 0..3_000 {
            // Two seconds without an answer, and two with answers, for ten minutes.
            let contacted = if tick / 10 % 2 == 0 { failed() } else { Contacted::Answered };
            lines += usize::from(peer.observe(start + LOOK_EVERY * tick, contacted).is_some());
        }
        assert!(lines <= 2 * 10 + 2, "{lines} lines in ten minutes");
        let mut peer = PeerContact::new(start);
        for tick in 0..3_000 {
            let contacted = if tick % 4 == 0 { Contacted::Answered } else { failed() };
            let change = peer.observe(start + LOOK_EVERY * tick, contacted);
            assert!(tick == 0 || change.is_none(), "{change:?}");
        }
    }

    #[test]
    fn the_reason_comes_without_the_url() {
        let message =
            "error sending request for url (http://a:1/x): client error (Connect): dns error: no such host";
        assert_eq!(reason(message), "client error (Connect): dns error: no such host");
        assert_eq!(reason("this node belongs to another cluster"), "this node belongs to another cluster");
    }

    #[test]
    fn a_silent_link_is_probed() {
        let start = Instant::now();
        let mut peer = PeerContact::new(start);
        peer.observe(start, Contacted::Answered);
        let probes = (0..100).filter(|tick| peer.is_probe_due(start + LOOK_EVERY * *tick)).count();
        assert_eq!(probes, 3, "in 20 seconds");
    }

    #[test]
    fn a_missing_leader_is_reported_after_a_while_and_then_rarely() {
        let start = Instant::now();
        let mut quorum = Quorum::new(start);
        assert_eq!(quorum.observe(start + secs(2), false), None);
        assert_eq!(quorum.observe(start + secs(2), true), None, "an election is no outage");
        let lines: Vec<_> = (10..140).filter_map(|at| quorum.observe(start + secs(at), false)).collect();
        assert_eq!(lines, [3, 63, 123].map(|at| QuorumChange::Missing(secs(at))));
        assert_eq!(quorum.observe(start + secs(140), true), Some(QuorumChange::Back(secs(130))));
        assert_eq!(quorum.observe(start + secs(141), true), None);
    }

    #[test]
    fn a_node_is_behind_while_it_lacks_what_was_committed_a_while_ago() {
        let start = Instant::now();
        let lag = Lag::new();
        lag.note(start, 100, 0);
        lag.note(start + secs(1), 5_000, 99);
        assert_eq!(lag.behind(start + secs(2), 99), secs(2));
        // Under load it never has the newest entry, and is not behind all the same.
        lag.note(start + secs(3), 9_000, 4_000);
        assert_eq!(
            (lag.behind(start + secs(4), 4_000), lag.behind(start + secs(4), 9_000)),
            (secs(1), secs(0))
        );
    }
}
