//! Links that are slow or long, and messages that come late over them.

use traitwire_kv::kv_raft::raft::core::{Core, Input, Options, Reply, Request, Restored, Time};
use traitwire_kv::services::raft::{
    InstallSnapshotArgs, Membership, SnapshotBytes, SnapshotMeta, SnapshotProgress,
};

use super::{Result, agree, bar, led, takes};
use crate::cluster::Cluster;
use crate::network::{Profile, Span};
use crate::plan::{Plan, SECOND_US, SeededBug};
use crate::violation::{Rule, Violation};

/// With the usual settings, nodes that are far from each other have a leader within ten seconds; commands are committed in
/// little more than a round trip; and the leader stays. When it crashes, there is another one within ten seconds. Gives how
/// long the first one took.
///
/// # Errors
/// When it is otherwise.
pub fn far_away(nodes: u64, profile: Profile, seed: u64) -> Result<u64> {
    let mut cluster = Cluster::new(Plan { profile, ..Plan::calm(nodes, seed) })?;
    let took_us = cluster.run_until(10 * SECOND_US, "leader", |it| it.leader_of_majority().is_some())?;
    // One that was elected at the same time may still have to learn of the other.
    cluster.run_for(2 * SECOND_US)?;
    let leader = led(&mut cluster, 10 * SECOND_US)?;
    let term = cluster.term();
    for _ in 0..30 {
        let (index, of) = takes(&mut cluster, leader, 1)?;
        let within_us = 3 * profile.delay_us.max + SECOND_US / 10;
        cluster.run_until(within_us, "commit", |it| it.is_committed(index, of))?;
        cluster.run_for(SECOND_US)?;
        let leads = cluster.leader();
        bar(cluster.term() == term && leads == Some(leader), || {
            format!("node {leader} led term {term}, and now {leads:?} leads {}", cluster.term())
        })?;
    }
    cluster.crash_for(leader, SECOND_US / 2);
    let another = |it: &Cluster| it.leader_of_majority().is_some();
    cluster.run_until(10 * SECOND_US, "second leader", another)?;
    Ok(took_us)
}

/// A large entry over links that take seconds for it: the leader stays, and the entry goes once over each link.
///
/// # Errors
/// When it is otherwise.
pub fn large_entry(bytes: usize, bytes_per_s: u64, seed: u64) -> Result {
    let profile = Profile { bytes_per_s, ..Profile::REL };
    let mut cluster = Cluster::new(Plan { profile, ..Plan::calm(3, seed) })?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.run_for(SECOND_US)?;
    let (term, before) = (cluster.term(), cluster.counts().bytes);
    let (index, of) = cluster
        .propose_bytes(leader, bytes)?
        .ok_or_else(|| Violation::new(Rule::Liveness, "the entry is refused".to_owned()))?;
    let within_us = 2 * bytes as u64 * SECOND_US / bytes_per_s + 2 * SECOND_US;
    cluster.run_until(within_us, "commit of the entry", |it| it.is_committed(index, of))?;
    cluster.run_until(within_us, "log that all have", Cluster::has_converged)?;
    cluster.run_for(5 * SECOND_US)?;
    let leads = cluster.leader();
    bar(cluster.term() == term && leads == Some(leader), || {
        format!("node {leader} led term {term}, and after the entry {leads:?} leads {}", cluster.term())
    })?;
    let sent = cluster.counts().bytes - before;
    bar(sent < 2 * bytes as u64 + 100_000, || format!("{sent} bytes were sent for {bytes} to two nodes"))
}

/// A node comes back to a cluster whose logs begin after its own: it receives a large snapshot over a slow link while commands
/// go on and newer snapshots are saved, and then it has everything. The leader stays. Gives how long that took.
///
/// # Errors
/// When it is otherwise.
pub fn empty_follower(bytes: usize, profile: Profile, seed: u64) -> Result<u64> {
    let mut plan = Plan { profile, ..Plan::calm(3, seed) };
    plan.host.snapshot_every = 20;
    plan.host.ballast_bytes = bytes;
    plan.host.piece_bytes = 1 << 20;
    plan.core.trailing_entries = 5;
    let mut cluster = Cluster::new(plan)?;
    let leader = led(&mut cluster, 10 * SECOND_US)?;
    let away = leader % 3 + 1;
    cluster.cut_off(away, true);
    for _ in 0..50 {
        takes(&mut cluster, leader, 1)?;
        cluster.run_for(SECOND_US / 10)?;
    }
    cluster.run_for(2 * SECOND_US)?;
    let (term, before) = (cluster.term(), cluster.counts().bytes);
    cluster.cut_off(away, false);
    let begun = cluster.now_us();
    let on_the_link = bytes as u64 * 4 / 3;
    let within_us = 2 * on_the_link * SECOND_US / profile.bytes_per_s + 30 * SECOND_US;
    while cluster.counts().restores == 0 {
        bar(cluster.now_us() - begun < within_us, || {
            format!("no snapshot of {bytes} bytes in {} s: {:?}", within_us / SECOND_US, cluster.counts())
        })?;
        takes(&mut cluster, leader, 1)?;
        cluster.run_for(SECOND_US / 4)?;
    }
    let took_us = cluster.now_us() - begun;
    cluster.run_until(10 * SECOND_US, "log that all have", Cluster::has_converged)?;
    let sent = cluster.counts().bytes - before;
    bar(sent < on_the_link * 5 / 4 + 1_000_000, || format!("{sent} bytes for a snapshot of {bytes}"))?;
    let leads = cluster.leader();
    bar(cluster.term() == term && leads == Some(leader), || {
        format!("node {leader} led term {term}, and after the snapshot {leads:?} leads {}", cluster.term())
    })?;
    Ok(took_us)
}

/// Entries that follow each other overtake each other. Nobody takes that for a conflict, and nothing is sent twice.
///
/// # Errors
/// When it is otherwise.
pub fn overtaking(seed: u64) -> Result {
    let mut plan = Plan::calm(3, seed);
    plan.core.append_entries_max = 1;
    plan.core.inflight_appends_max = 4;
    plan.core.company_entries = 0;
    let mut cluster = Cluster::new(plan)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.run_for(SECOND_US)?;
    cluster.set_profile(Profile { delay_us: Span::new(500, 10_000), ..Profile::REL });
    cluster.run_for(SECOND_US)?;
    let before = cluster.counts();
    for _ in 0..100 {
        takes(&mut cluster, leader, 4)?;
        cluster.run_for(SECOND_US / 20)?;
    }
    cluster.run_until(SECOND_US, "log that all have", Cluster::has_converged)?;
    let (conflicts, bytes) =
        (cluster.counts().conflicts - before.conflicts, cluster.counts().bytes - before.bytes);
    let once: u64 = 2 * cluster.bytes_of_last(leader, 400);
    bar(conflicts == 0 && bytes == once, || {
        format!("{conflicts} conflicts, and {bytes} bytes were sent instead of {once}")
    })
}

/// After a slow period, elections are as quick as before.
///
/// # Errors
/// When they are not.
pub fn slow_period(seed: u64) -> Result<u64> {
    let mut cluster = Cluster::new(Plan { profile: Profile::FAR, ..Plan::calm(3, seed) })?;
    led(&mut cluster, 10 * SECOND_US)?;
    cluster.run_for(20 * SECOND_US)?;
    cluster.set_profile(Profile::REL);
    cluster.run_for(60 * SECOND_US)?;
    let leader = led(&mut cluster, 10 * SECOND_US)?;
    cluster.crash_for(leader, 60 * SECOND_US);
    let another = |it: &Cluster| it.leader_of_majority().is_some();
    let took_us = cluster.run_until(5 * SECOND_US, "leader", another)?;
    bar(took_us <= SECOND_US, || format!("it took {} ms to elect a leader", took_us / 1_000))?;
    agree(&mut cluster, 5 * SECOND_US, 2)?;
    Ok(took_us)
}

/// A piece of an older snapshot comes late, in the midst of a newer one, which goes on.
///
/// # Errors
/// When it does not.
pub fn late_piece(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut follower = core(2, seed, bug);
    let mut random = fastrand::Rng::with_seed(seed);
    let piece_bytes = random.usize(1..1_000);
    let mut takes = |last_index, offset: usize, is_last| {
        let snapshot = SnapshotMeta { last_index, last_term: 1, membership: Box::new(Membership::of(1..=3)) };
        let (offset, data) = (offset as u64, SnapshotBytes(vec![7; piece_bytes].into()));
        let args = InstallSnapshotArgs { term: 1, round: 1, snapshot, offset, data, last: is_last };
        follower.step_and_write(Input::Request { from: 1, token: 1, request: Request::Snapshot(args) })
    };
    takes(10, 0, false);
    let pieces = random.usize(2..20);
    for piece in 0..pieces {
        let is_last = piece + 1 == pieces;
        let progress = takes(20, piece * piece_bytes, is_last);
        let next = SnapshotProgress::Next(((piece + 1) * piece_bytes) as u64);
        let expected = if is_last { SnapshotProgress::Installed } else { next };
        bar(progress.as_ref() == Some(&expected), || {
            format!("piece {piece} of {pieces} is answered by {progress:?} instead of {expected:?}")
        })?;
        takes(10, random.usize(..2) * piece_bytes, random.bool());
    }
    Ok(())
}

/// The others commit what the disk of the leader does not have yet, and a snapshot is due. The leader crashes, and starts
/// with what it has.
///
/// # Errors
/// When it cannot, or anything of it is wrong.
pub fn snapshot_ahead_of_disk(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut plan = Plan { bug, ..Plan::calm(3, seed) };
    plan.host.snapshot_every = 2;
    let mut cluster = Cluster::new(plan)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    agree(&mut cluster, 5 * SECOND_US, 3)?;
    cluster.stall_disk(leader, SECOND_US / 2);
    let (index, term) = takes(&mut cluster, leader, 5)?;
    cluster.run_until(SECOND_US, "commit", |it| it.is_committed(index + 4, term))?;
    cluster.run_for(SECOND_US / 10)?;
    let named = cluster.core(leader).and_then(|core| core.snapshot_meta(core.commit_index()));
    bar(named.is_none(), || {
        format!("node {leader} names a snapshot that its disk does not have: {named:?}")
    })?;
    cluster.crash_for(leader, SECOND_US / 10);
    cluster.run_for(5 * SECOND_US)?;
    agree(&mut cluster, 5 * SECOND_US, 3).map(drop)
}

/// One node and its disk, without a cluster.
struct Alone {
    core: Core,
}

fn core(id: u64, seed: u64, bug: Option<SeededBug>) -> Alone {
    let mut options = Options::new(id, Membership::of(1..=3), seed);
    options.bug = bug.and_then(|bug| match bug {
        SeededBug::Core(bug) => Some(bug),
        SeededBug::Host(_) | SeededBug::Service(_) => None,
    });
    Alone { core: Core::new(options, Restored::default(), Time(0)) }
}

impl Alone {
    /// What it answers to a piece of a snapshot once its disk has all that it was given.
    fn step_and_write(&mut self, input: Input) -> Option<SnapshotProgress> {
        let mut effects = self.core.step(Time(0), input);
        if let Some(persist) = effects.persist.take() {
            let more = self.core.step(Time(0), Input::Durable(persist.position));
            effects.replies.extend(more.replies);
        }
        effects.replies.into_iter().find_map(|(_, reply)| match reply {
            Reply::Snapshot(reply) => Some(reply.progress),
            _ => None,
        })
    }
}
