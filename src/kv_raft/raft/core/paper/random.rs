//! Schedules by lot: messages and answers that come late, twice, in any order or not at all, disks that write when they like,
//! and crashes. A schedule that breaks a rule names the seed that repeats it.

use std::fmt::Debug;

use super::super::scripts::disk::{Disk, SNAPSHOT};
use super::*;
use crate::services::raft::{Command, InstallSnapshotArgs, SnapshotBytes, SnapshotMeta};

/// What the leaders of some terms had in their logs, in the order of the terms, which begin with 1.
///
/// An entry is known by its index and term, so a log is told by the terms of its entries.
struct History {
    reigns: Vec<Reign>,
}

struct Reign {
    log: Vec<Term>,
    /// Up to where entries were committed when this reign ended.
    commit: usize,
}

impl History {
    /// A history as the rules of elections allow it: every leader has all that was committed before it.
    fn draw(random: &mut fastrand::Rng, terms: Term) -> Self {
        let mut reigns: Vec<Reign> = Vec::new();
        for term in 1..=terms {
            let commit = reigns.last().map_or(0, |reign| reign.commit);
            let committed = reigns.last().map_or(vec![], |reign| reign.log[..commit].to_vec());
            let holders: Vec<_> = reigns.iter().filter(|reign| reign.log.starts_with(&committed)).collect();
            let mut log = match random.choice(holders) {
                Some(reign) => reign.log[..random.usize(commit..=reign.log.len())].to_vec(),
                None => vec![],
            };
            let found = log.len();
            log.resize(found + random.usize(0..=3), term);
            let commits = log.len() > found && random.bool();
            let commit = if commits { random.usize(found + 1..=log.len()) } else { commit };
            reigns.push(Reign { log, commit });
        }
        Self { reigns }
    }

    /// What was committed in the end.
    fn committed(&self) -> &[Term] {
        let last = self.reigns.last().unwrap();
        &last.log[..last.commit]
    }

    fn reign(&self, term: Term) -> &Reign {
        &self.reigns[usize::try_from(term).unwrap() - 1]
    }

    /// Something that the leader of this term might have sent.
    fn message(&self, random: &mut fastrand::Rng, term: Term) -> Request {
        let Reign { log, commit } = self.reign(term);
        let term_of = |index: usize| if index == 0 { 0 } else { log[index - 1] };
        if *commit > 0 && random.u8(..8) == 0 {
            let index = random.usize(1..=*commit);
            let membership = Membership::of(1..=3);
            let snapshot = SnapshotMeta {
                last_index: index as Index,
                last_term: term_of(index),
                membership: Box::new(membership),
            };
            let (offset, end) = *random.choice([(0, 4), (4, 8), (0, 8)].iter()).unwrap();
            let data = SnapshotBytes(SNAPSHOT[offset..end].into());
            let (offset, last) = (offset as u64, end == SNAPSHOT.len());
            return Request::Snapshot(InstallSnapshotArgs { term, round: 1, snapshot, offset, data, last });
        }
        let prev = random.usize(0..=log.len());
        let end = (prev + random.usize(0..=3)).min(log.len());
        let after = (prev as Index, term_of(prev));
        Request::Append(append(term, after, &log[prev..end], random.usize(0..=*commit) as Index))
    }
}

/// A node and its disk.
struct Peer {
    options: Options,
    core: Core,
    disk: Disk,
    now: Time,
}

impl Peer {
    fn new(id: NodeId, seed: u64, term: Term, log: &[Term]) -> Self {
        let mut options = options(id, 3);
        (options.seed, options.trailing_entries, options.append_entries_max) = (seed, seed % 3, 2);
        let mut disk = Disk::default();
        disk.written = restored(term, log);
        Self { core: Core::new(options.clone(), disk.written.clone(), Time(0)), options, disk, now: Time(0) }
    }

    fn step(&mut self, input: Input) -> Effects {
        let effects = self.core.step(self.now, input);
        self.disk.waiting.extend(effects.persist.clone());
        effects
    }

    fn write_one(&mut self) -> Effects {
        match self.disk.write_one() {
            Some(position) => self.step(Input::Durable(position)),
            None => Effects::default(),
        }
    }

    fn restart(&mut self) {
        self.disk.crash();
        self.core = Core::new(self.options.clone(), self.disk.written.clone(), self.now);
    }

    /// The terms of the log after its base, and the base.
    fn log(&self) -> (usize, Vec<Term>) {
        let base = self.core.base_index();
        let terms = (base + 1..=self.core.last_index()).map(|index| self.core.entry(index).unwrap().term);
        (usize::try_from(base).unwrap(), terms.collect())
    }

    /// The same of what is written.
    fn written(&self) -> (usize, Vec<Term>) {
        let terms = self.disk.written.entries.iter().map(|entry| entry.term);
        (usize::try_from(self.disk.written.base_index).unwrap(), terms.collect())
    }
}

/// Whether a log has this beginning, where what is before its base counts as equal.
fn begins_with((base, log): &(usize, Vec<Term>), expected: &[Term]) -> bool {
    expected.len() <= *base || log.starts_with(&expected[*base..])
}

/// Tries schedules, and names the one that fails.
fn try_all(count: u64, schedule: impl Fn(&mut fastrand::Rng, u64)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the seed is {}", self.0);
            }
        }
    }
    for seed in 0..count {
        let named = Named(seed);
        schedule(&mut fastrand::Rng::with_seed(seed), seed);
        drop(named);
    }
}

fn assert_that(rule: &str, holds: bool, peer: &Peer, more: impl Debug) {
    assert!(holds, "{rule}: {:?}, written {:?}, {more:?}", peer.log(), peer.written());
}

/// 5.3 and 5.4.3, as a follower sees them: whatever leaders have sent, and in whichever order it comes, its log is one that
/// those leaders had, what it has acknowledged of the committed entries stays, and it commits nothing else.
#[test]
pub(super) fn a_follower_keeps_what_it_has_acknowledged() {
    try_all(8_000, |random, seed| {
        let history = History::draw(random, 5);
        let committed = history.committed();
        let mut peer = Peer::new(1, seed, 0, &[]);
        // What is safe here of all that is committed; and what this term's leader was promised.
        let (mut safe, mut promised, mut commit) = (0, (0, 0), 0);
        for _ in 0..60 {
            let effects = match random.u8(..10) {
                0 => {
                    peer.restart();
                    (commit, promised) = (0, (0, 0));
                    continue;
                }
                1..5 => peer.write_one(),
                5.. => {
                    let term =
                        (peer.core.term() + random.u64(0..=2)).clamp(1, 6) - u64::from(random.u8(..4) == 0);
                    let request = history.message(random, term.clamp(1, 5));
                    peer.step(Input::Request { from: 2, token: term, request })
                }
            };
            for (_, reply) in effects.replies {
                if let Reply::Append(AppendEntriesReply {
                    term,
                    outcome: AppendOutcome::Matched(index),
                    ..
                }) = reply
                {
                    let index = usize::try_from(index).unwrap();
                    promised = promised.max((term, index));
                    // Only what was committed by then: leaders of later terms may not have the rest.
                    safe = safe.max(index.min(history.reign(term).commit));
                }
            }
            let log = peer.log();
            for (index, term) in log.1.iter().enumerate() {
                let expected = &history.reign(*term).log[..=log.0 + index];
                assert_that("log matching", begins_with(&log, expected), &peer, expected);
            }
            if promised.0 == peer.core.term() && promised.0 > 0 {
                let expected = &history.reign(promised.0).log[..promised.1];
                assert_that("a promise", begins_with(&log, expected), &peer, expected);
                assert_that("a promise", begins_with(&peer.written(), expected), &peer, expected);
            }
            let expected = &committed[..safe];
            let is_safe = begins_with(&log, expected) && begins_with(&peer.written(), expected);
            assert_that("what was acknowledged is there", is_safe, &peer, expected);
            let now = usize::try_from(peer.core.commit_index()).unwrap();
            let is_committed =
                (commit..=committed.len()).contains(&now) && begins_with(&log, &committed[..now]);
            assert_that("only what is committed", is_committed, &peer, (now, committed));
            commit = now;
        }
    });
}

/// What is on the way: from, to, and what; an answer with what it answers.
type Letter = (NodeId, NodeId, Result<Request, (Reply, Sent)>);

/// A leader, its two followers and what is on the way between them. Whoever asks gets an answer or hears that there will be
/// none, as a host promises it.
struct Trio {
    peers: [Peer; 3],
    letters: Vec<Letter>,
    /// Who waits for an answer, from whom, and to what.
    asked: BTreeMap<u64, (NodeId, NodeId, Sent)>,
    last_token: u64,
}

impl Trio {
    fn draw(random: &mut fastrand::Rng, seed: u64) -> Self {
        let history = History::draw(random, 4);
        let committed = history.committed();
        let holders: Vec<_> =
            history.reigns.iter().filter(|reign| reign.log.starts_with(committed)).collect();
        // The leader and one follower have what is committed; the other one has what it has.
        let mut log = |reigns: &[&Reign], least: usize| {
            let reign = reigns[random.usize(..reigns.len())];
            reign.log[..random.usize(least.min(reign.log.len())..=reign.log.len())].to_vec()
        };
        let all: Vec<_> = history.reigns.iter().collect();
        let logs = [log(&holders, committed.len()), log(&holders, committed.len()), log(&all, 0)];
        let peers = [0, 1, 2].map(|index| Peer::new(index as NodeId + 1, seed, 4, &logs[index]));
        let mut trio = Self { peers, letters: vec![], asked: BTreeMap::new(), last_token: 0 };
        trio.peers[0].now = Time(2 * ELECTION);
        trio.step(1, Input::Timeout);
        trio.step(1, Input::Reply { from: 2, reply: Reply::PreVote(VoteReply { term: 5, granted: true }) });
        trio.write(1);
        trio.step(1, Input::Reply { from: 2, reply: Reply::Vote(VoteReply { term: 5, granted: true }) });
        trio
    }

    fn leader(&self) -> &Peer {
        &self.peers[0]
    }

    fn peer(&mut self, id: NodeId) -> &mut Peer {
        &mut self.peers[usize::try_from(id).unwrap() - 1]
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let effects = self.peer(id).step(input);
        self.send(id, effects);
    }

    fn write(&mut self, id: NodeId) {
        let effects = self.peer(id).write_one();
        self.send(id, effects);
    }

    fn send(&mut self, id: NodeId, effects: Effects) {
        for (to, mut request) in effects.requests {
            if let Request::Snapshot(args) = &mut request {
                let offset = usize::try_from(args.offset).unwrap();
                let end = (offset + 3).min(SNAPSHOT.len());
                args.data = SnapshotBytes(SNAPSHOT[offset..end].into());
                args.last = end == SNAPSHOT.len();
            }
            self.letters.push((id, to, Ok(request)));
        }
        for (token, reply) in effects.replies {
            let (asks, _, sent) = self.asked.remove(&token).unwrap();
            self.letters.push((id, asks, Err((reply, sent))));
        }
    }

    fn arrive(&mut self, (from, to, letter): Letter) {
        match letter {
            Ok(request) => {
                self.last_token += 1;
                let token = self.last_token;
                self.asked.insert(token, (from, to, request.sent()));
                self.step(to, Input::Request { from, token, request });
            }
            Err((reply, _)) => self.step(to, Input::Reply { from, reply }),
        }
    }

    fn lose(&mut self, (from, to, letter): Letter) {
        match letter {
            Ok(request) => self.step(from, Input::Failed { to, sent: request.sent() }),
            Err((_, sent)) => self.step(to, Input::Failed { to: from, sent }),
        }
    }

    fn crash(&mut self, id: NodeId) {
        self.peer(id).restart();
        let lost: Vec<_> = self.asked.extract_if(.., |_, (_, asked, _)| *asked == id).collect();
        for (_, (asks, to, sent)) in lost {
            self.step(asks, Input::Failed { to, sent });
        }
    }

    /// One thing that happens.
    fn go_on(&mut self, random: &mut fastrand::Rng) {
        let chosen = (!self.letters.is_empty()).then(|| random.usize(..self.letters.len()));
        match (random.u8(..16), chosen) {
            (0, _) => self.step(1, Input::Propose(vec![Command::new("a").unwrap()])),
            (1, _) => {
                self.peers[0].now = self.leader().now.after_us(25 * MS);
                self.step(1, Input::Timeout);
            }
            (2, _) => {
                let index = random.u64(0..=self.leader().core.commit_index());
                if let Some(snapshot) = self.leader().core.snapshot_meta(index) {
                    self.peers[0].disk.written.snapshot = Some(snapshot.clone());
                    self.step(1, Input::SnapshotSaved(snapshot));
                }
            }
            (3, _) => self.crash(random.u64(2..=3)),
            (4..8, _) | (_, None) => self.write(random.u64(1..=3)),
            (8, Some(chosen)) => {
                let letter = self.letters.swap_remove(chosen);
                self.lose(letter);
            }
            (9..12, Some(chosen)) => self.arrive(self.letters[chosen].clone()),
            (12.., Some(chosen)) => {
                let letter = self.letters.swap_remove(chosen);
                self.arrive(letter);
            }
        }
    }

    /// Everything arrives and is written until there is nothing to say; then the next sign of life is due.
    fn settle(&mut self) {
        for _ in 0..6 {
            for _ in 0..2_000 {
                (1..=3).for_each(|id| self.write(id));
                if self.letters.is_empty() {
                    break;
                }
                let letter = self.letters.remove(0);
                self.arrive(letter);
            }
            self.peers[0].now = self.leader().now.after_us(50 * MS);
            self.step(1, Input::Timeout);
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let leader = self.leader();
        let (base, log) = leader.log();
        let commit = usize::try_from(leader.core.commit_index()).unwrap();
        // What the leader has compacted is committed and was checked then.
        let committed = &log[..commit - base];
        let has_all = |peer: &&Peer| {
            let (its_base, its_log) = peer.written();
            its_base >= commit
                || committed.is_empty()
                || (its_base + its_log.len() >= commit
                    && its_log[commit - its_base - 1] == committed[committed.len() - 1])
        };
        let holders = self.peers.iter().filter(has_all).count();
        assert_that("a majority has written what is committed", holders >= 2, leader, commit);
        for peer in &self.peers[1..] {
            let is_committed = peer.core.commit_index() <= leader.core.commit_index();
            assert_that("a follower commits after the leader", is_committed, peer, commit);
        }
    }
}

/// 5.3 and 5.4, as a leader sees them: it commits nothing that is not on two disks of three; and once everything arrives, all
/// logs are its own.
#[test]
pub(super) fn a_leader_commits_what_a_majority_has_written() {
    try_all(3_000, |random, seed| {
        let mut trio = Trio::draw(random, seed);
        for _ in 0..150 {
            trio.go_on(random);
            if trio.leader().core.role() != Role::Leader {
                return;
            }
            trio.check();
        }
        trio.settle();
        trio.check();
        let leader = trio.leader();
        assert_eq!(leader.core.role(), Role::Leader);
        let end = |peer: &Peer| (peer.core.last_index(), peer.core.commit_index(), peer.core.durable_index());
        let last = leader.core.last_index();
        assert_eq!([0, 1, 2].map(|index| end(&trio.peers[index])), [(last, last, last); 3]);
    });
}
