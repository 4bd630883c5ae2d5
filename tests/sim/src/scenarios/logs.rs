//! Logs: how they are brought together, and what that costs.

use traitwire_kv::services::raft::NodeId;

use super::{Result, agree, bar, calm, led, takes};
use crate::cluster::Cluster;
use crate::network::{Profile, Span};
use crate::plan::{Plan, SECOND_US};

/// Ten entries, one after another. Gives the requests that they took.
///
/// # Errors
/// When there were more than 42.
pub fn ten_entries(seed: u64) -> Result<u64> {
    let mut cluster = calm(3, seed, None)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.run_for(SECOND_US / 5)?;
    let before = cluster.counts().requests;
    for _ in 0..10 {
        let (index, term) = takes(&mut cluster, leader, 1)?;
        cluster.run_until(SECOND_US, "commit", |cluster| cluster.is_committed(index, term))?;
    }
    cluster.run_until(SECOND_US, "log that all have applied", Cluster::has_converged)?;
    let requests = cluster.counts().requests - before;
    bar(requests <= 42, || format!("{requests} requests for ten entries"))?;
    Ok(requests)
}

/// Two nodes lead by turns, each without reaching the other or anybody else, so that their logs have entries of different
/// terms at the same indices. Then one of them leads for good, and finds the place up to which the other one agrees. Gives how
/// many answers said that they did not.
///
/// # Errors
/// When there were more of them than terms and two, or it took longer than a minute.
pub fn backup(entries: u64, terms: u64, profile: Profile, seed: u64) -> Result<u64> {
    let mut cluster = calm(5, seed, None)?;
    // Messages are slow enough for a link to be cut before the first one of a new leader arrives.
    cluster.set_profile(Profile { delay_us: Span::new(2_000, 3_000), ..Profile::REL });
    agree(&mut cluster, 5 * SECOND_US, 5)?;
    let (first, second) = (1, 2);
    for _ in 0..terms / 2 {
        for (leads, away) in [(first, second), (second, first)] {
            cluster.cut_off(away, true);
            cluster.cut_off(leads, false);
            lead_by(&mut cluster, leads)?;
            cluster.cut_off(leads, true);
            takes(&mut cluster, leads, entries / terms)?;
            // It stops leading, and others lead whose logs have nothing of this.
            cluster.run_for(SECOND_US)?;
        }
    }
    cluster.part_from(&[first]);
    lead_by(&mut cluster, second)?;
    agree(&mut cluster, 5 * SECOND_US, 4)?;
    let has = cluster.core(first).map_or(0, |core| core.last_index());
    bar(has > entries / 2, || format!("node {first} has only {has} entries"))?;
    cluster.set_profile(profile);
    let before = cluster.counts().conflicts;
    cluster.heal();
    cluster.run_until(60 * SECOND_US, "log that all have", Cluster::has_converged)?;
    let conflicts = cluster.counts().conflicts - before;
    bar((2..=terms + 2).contains(&conflicts), || {
        format!("{conflicts} answers for {terms} terms in conflict")
    })?;
    Ok(conflicts)
}

/// Has the leadership handed over until a node leads.
fn lead_by(cluster: &mut Cluster, id: NodeId) -> Result {
    for _ in 0..20 {
        let leader = led(cluster, 5 * SECOND_US)?;
        if leader == id {
            return Ok(());
        }
        cluster.transfer(leader, Some(id))?;
        for _ in 0..200 {
            if cluster.leader() == Some(id) {
                return Ok(());
            }
            cluster.run_for(1_000)?;
        }
    }
    bar(false, || format!("node {id} does not come to lead"))
}

/// Many small entries from many who submit them. Gives the requests, and the simulated microseconds of the first and of the
/// last tenth.
///
/// # Errors
/// When an entry is lost, or the last tenth took twice as long as the first.
pub fn many_entries(entries: u64, submitters: u64, seed: u64) -> Result<(u64, u64, u64)> {
    let mut plan = Plan::calm(3, seed);
    plan.host.snapshot_every = 5_000;
    plan.host.segment_bytes = 1 << 20;
    let mut cluster = Cluster::new(plan)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    let mut tenths = Vec::new();
    let mut last = (0, 0);
    for _ in 0..10 {
        let begun = cluster.now_us();
        let mut proposed = 0;
        while proposed < entries / 10 {
            for _ in 0..submitters {
                last = takes(&mut cluster, leader, 1)?;
                proposed += 1;
            }
            cluster.run_for(1_000)?;
        }
        cluster.run_until(SECOND_US, "commit of a tenth", |it| it.is_committed(last.0, last.1))?;
        tenths.push(cluster.now_us() - begun);
    }
    cluster.run_until(5 * SECOND_US, "log that all have applied", Cluster::has_converged)?;
    let committed = cluster.committed_index();
    bar(committed == last.0, || format!("{committed} entries are committed, and {} were proposed", last.0))?;
    let (first, last) = (tenths[0], tenths[9]);
    bar(last <= 2 * first, || format!("the first tenth took {first} us and the last one {last} us"))?;
    Ok((cluster.counts().requests, first, last))
}
