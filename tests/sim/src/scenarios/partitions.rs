//! Partitions, crashes and losses: what was committed stays, and what was not on a majority never comes.

use super::{Result, agree, bar, calm, led, takes};
use crate::cluster::Cluster;
use crate::nemesis::Fault;
use crate::network::{Profile, Span};
use crate::plan::{Plan, SECOND_US, SeededBug};
use crate::run::{check_history, settle};

/// A leader in a minority takes a value that is never committed, and another leader one that is. After they meet, the first
/// value is nowhere.
///
/// # Errors
/// When it is otherwise.
pub fn minority_value(nodes: u64, seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(nodes, seed, bug)?;
    agree(&mut cluster, 5 * SECOND_US, usize_of(nodes))?;
    let old = led(&mut cluster, SECOND_US)?;
    let friends = (nodes - 1) / 2 - 1;
    let group: Vec<_> = (0..=friends).map(|place| (old + place - 1) % nodes + 1).collect();
    cluster.part_from(&group);
    let (lost_index, lost_term) = takes(&mut cluster, old, 3)?;
    cluster.run_for(3 * SECOND_US)?;
    bar(!cluster.is_committed(lost_index, lost_term), || "a minority has committed a value".to_owned())?;
    let (kept_index, kept_term) = {
        let leader = led(&mut cluster, 5 * SECOND_US)?;
        takes(&mut cluster, leader, 1)?
    };
    cluster.run_until(SECOND_US, "commit of the majority", |it| it.is_committed(kept_index, kept_term))?;
    cluster.heal();
    agree(&mut cluster, 5 * SECOND_US, usize_of(nodes))?;
    bar(cluster.is_committed(kept_index, kept_term), || "what a majority has committed is gone".to_owned())?;
    for core in cluster.cores() {
        let has = core.entry(lost_index).is_some_and(|entry| entry.term == lost_term);
        bar(!has, || format!("node {} has a value of a minority", core.id()))?;
    }
    Ok(())
}

/// A command is on two of five nodes. One of them, the leader, loses it to a later leader that has heard of nothing; then
/// the other one is elected, and it is committed after all (Raft, figure 8). Nobody may have been told that it never is.
///
/// # Errors
/// When somebody was, or it is not committed.
pub fn removed_and_committed(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(5, seed, bug)?;
    agree(&mut cluster, 5 * SECOND_US, 5)?;
    let old = led(&mut cluster, SECOND_US)?;
    let friend = old % 5 + 1;
    cluster.part_from(&[old, friend]);
    let (index, term) = takes(&mut cluster, old, 1)?;
    cluster.run_for(3 * SECOND_US)?;
    let new = led(&mut cluster, 5 * SECOND_US)?;
    // The later leader is left alone with the old one, which gets an entry of its term in the place of the command.
    cluster.part_from(&[old, new]);
    cluster.cut_link(old, new, false);
    takes(&mut cluster, new, 1)?;
    cluster.run_until(SECOND_US, "removal of the command", |cluster| {
        let entry = cluster.core(old).and_then(|core| core.entry(index));
        entry.is_some_and(|entry| entry.term != term)
    })?;
    cluster.cut_off(old, true);
    cluster.run_until(10 * SECOND_US, "commit of the command", |it| it.is_committed(index, term))?;
    cluster.heal();
    agree(&mut cluster, 5 * SECOND_US, 5).map(drop)
}

/// Three of five nodes are cut off from the rest, each time others, and each time a value is lost and a value is kept.
///
/// # Errors
/// When the nodes do not agree at the end.
pub fn repeated_partitions(seed: u64) -> Result {
    let mut cluster = calm(5, seed, None)?;
    for _ in 0..4 {
        let leader = led(&mut cluster, 5 * SECOND_US)?;
        takes(&mut cluster, leader, 5)?;
        cluster.part_from(&[leader, leader % 5 + 1]);
        takes(&mut cluster, leader, 5)?;
        cluster.run_for(2 * SECOND_US)?;
        let other = led(&mut cluster, 5 * SECOND_US)?;
        takes(&mut cluster, other, 5)?;
        cluster.run_for(SECOND_US)?;
        cluster.heal();
    }
    agree(&mut cluster, 5 * SECOND_US, 5).map(drop)
}

/// All nodes crash, several times, with snapshots and without. The commit index never falls.
///
/// # Errors
/// When it does, or the nodes do not agree soon.
pub fn crash_all(snapshot_every: u64, seed: u64) -> Result {
    let mut plan = Plan::calm(3, seed);
    plan.host.snapshot_every = snapshot_every;
    plan.core.trailing_entries = 2;
    let mut cluster = Cluster::new(plan)?;
    let mut before = 0;
    for _ in 0..5 {
        for _ in 0..10 {
            agree(&mut cluster, 5 * SECOND_US, 3)?;
        }
        for id in 1..=3 {
            cluster.crash_for(id, 100_000);
        }
        let index = agree(&mut cluster, 10 * SECOND_US, 3)?;
        bar(index > before + 10, || format!("entry {index} came after {before}"))?;
        before = index;
    }
    Ok(())
}

/// A follower is away, cut off or down, while others go on and forget; then it gets a snapshot in pieces. Gives how many
/// snapshots were taken over.
///
/// # Errors
/// When the nodes do not agree after each round, or a log is much longer than it may be.
pub fn installs(crash: bool, profile: Profile, seed: u64) -> Result<u64> {
    let mut plan = Plan { profile, ..Plan::calm(3, seed) };
    plan.host.snapshot_every = 10;
    plan.host.piece_bytes = 10;
    plan.core.trailing_entries = 5;
    plan.load.clients = 2;
    let mut cluster = Cluster::new(plan)?;
    for round in 0..5 {
        let leader = led(&mut cluster, 10 * SECOND_US)?;
        let away = (leader + round % 2) % 3 + 1;
        if crash {
            cluster.crash_for(away, 2 * SECOND_US);
        } else {
            cluster.cut_off(away, true);
        }
        cluster.run_for(2 * SECOND_US)?;
        cluster.cut_off(away, false);
        agree(&mut cluster, 10 * SECOND_US, 3)?;
        // What a transfer needs is kept until the first snapshot after its end.
        cluster.run_for(SECOND_US)?;
        for core in cluster.cores() {
            let kept = core.last_index() - core.base_index();
            bar(kept <= 200, || format!("node {} keeps {kept} entries", core.id()))?;
        }
    }
    settle(&mut cluster)?;
    check_history(&cluster)?;
    bar(cluster.counts().restores >= 3, || format!("only {} snapshots", cluster.counts().restores))?;
    Ok(cluster.counts().restores)
}

/// A busy cluster under faults and losses. Everything that a client saw committed is there at the end, and each client gets
/// something done.
///
/// # Errors
/// When it is otherwise.
pub fn churn(profile: Profile, seed: u64, bug: Option<SeededBug>) -> Result {
    let mut plan = Plan { profile, bug, ..Plan::calm(5, seed) };
    plan.faults = vec![Fault::Crash, Fault::CrashLeader, Fault::Isolate, Fault::IsolateLeader, Fault::Kill];
    plan.fault_gap_us = Span::new(300_000, 1_500_000);
    plan.load.clients = 3;
    let clients = 3;
    let mut cluster = Cluster::new(plan)?;
    cluster.run_for(20 * SECOND_US)?;
    settle(&mut cluster)?;
    check_history(&cluster)?;
    for client in 0..clients {
        let done = cluster.calls_done(client);
        bar(done > 0, || format!("client {client} got nothing done"))?;
    }
    Ok(())
}

/// Figure 8 of the Raft paper by chance: leaders take commands and are cut off or crash before or after they are on a
/// majority. A tenth of the messages is lost at first; then replies come late.
///
/// # Errors
/// When the nodes do not agree in the end.
pub fn figure_8_unreliable(rounds: u64, seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(5, seed, bug)?;
    cluster.set_profile(Profile::U10);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        if round == rounds / 5 {
            cluster.set_profile(Profile::REO);
        }
        let leader = cluster.leader();
        for id in 1..=5 {
            cluster.propose(id, 1)?;
        }
        let wait_us =
            if random.u8(0..10) == 0 { random.u64(0..SECOND_US / 2) } else { random.u64(0..13_000) };
        cluster.run_for(wait_us)?;
        if let Some(leader) = leader
            && random.bool()
        {
            if random.bool() {
                cluster.crash_for(leader, random.u64(10_000..SECOND_US));
            } else {
                cluster.cut_off(leader, true);
            }
        }
        if random.u8(0..3) == 0 {
            cluster.cut_off(random.u64(1..=5), false);
        }
    }
    settle(&mut cluster)
}

/// Many commands, one after another, where much is lost: each is agreed on soon.
///
/// # Errors
/// When one is not.
pub fn agreement_under_loss(profile: Profile, rounds: u64, seed: u64) -> Result {
    let mut cluster = calm(5, seed, None)?;
    cluster.set_profile(profile);
    for _ in 0..rounds {
        agree(&mut cluster, 10 * SECOND_US, 3)?;
    }
    settle(&mut cluster)
}

/// Every message may come twice and every reply late, under load and faults.
///
/// # Errors
/// When a rule is broken.
pub fn dup_and_reo(seed: u64, bug: Option<SeededBug>) -> Result {
    let profile = Profile { duplicate: 300, deliver_stale: 1_000, ..Profile::REO };
    let mut plan = Plan { profile, ..Plan::draw(seed, bug) };
    plan.faults.push(Fault::CrashLeader);
    let mut cluster = Cluster::new(plan)?;
    cluster.run_for(10 * SECOND_US)?;
    settle(&mut cluster)?;
    check_history(&cluster)
}

fn usize_of(nodes: u64) -> usize {
    usize::try_from(nodes).expect("clusters are small")
}
