//! Elections: how soon there is a leader, how long it stays, and what that costs.

use super::{Result, bar, calm, led};
use crate::cluster::Cluster;
use crate::network::Profile;
use crate::plan::{SECOND_US, SeededBug};

/// How long three nodes take to have their first leader, which then leads the same term for a minute.
///
/// # Errors
/// When the term changes, or a rule is broken.
pub fn first_leader(seed: u64, bug: Option<SeededBug>) -> Result<u64> {
    let mut cluster = calm(3, seed, bug)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    let after_us = cluster.now_us();
    let term = cluster.term();
    cluster.run_for(60 * SECOND_US)?;
    let (later, leads) = (cluster.term(), cluster.leader());
    bar(later == term && leads == Some(leader), || {
        format!("node {leader} led term {term}; after a minute of rest {leads:?} leads term {later}")
    })?;
    Ok(after_us)
}

/// The leader and others are cut off, again and again, and each time there is a new leader soon. Calls to who is cut off hang.
///
/// # Errors
/// When it takes longer than five seconds.
pub fn many_elections(nodes: u64, cut: u64, rounds: u64, seed: u64) -> Result {
    let mut cluster = calm(nodes, seed, None)?;
    cluster.set_profile(Profile::H7);
    for round in 0..rounds {
        let leader = led(&mut cluster, 5 * SECOND_US)?;
        let away: Vec<_> = (0..cut).map(|place| (leader + place * (1 + round % 2)) % nodes + 1).collect();
        for id in &away {
            cluster.cut_off(*id, true);
        }
        let begun = cluster.now_us();
        led(&mut cluster, 5 * SECOND_US)?;
        let term = cluster.term();
        let rest_us = (2 * SECOND_US).saturating_sub(cluster.now_us() - begun);
        cluster.run_for(rest_us)?;
        bar(cluster.term() <= term + 1, || "a minority without links has ended leaderships".to_owned())?;
        for id in &away {
            cluster.cut_off(*id, false);
        }
    }
    Ok(())
}

/// The leader of five loses its power, again and again. Gives how long each time there was no leader, shortest first.
///
/// # Errors
/// When a rule is broken.
pub fn killed_leaders(times: usize, seed: u64) -> Result<Vec<u64>> {
    let mut cluster = calm(5, seed, None)?;
    let mut gaps_us = Vec::new();
    for _ in 0..times {
        let leader = led(&mut cluster, 5 * SECOND_US)?;
        cluster.run_for(SECOND_US)?;
        cluster.crash_for(leader, SECOND_US / 2);
        let another = |it: &Cluster| it.leader_of_majority().is_some();
        gaps_us.push(cluster.run_until(5 * SECOND_US, "leader", another)?);
    }
    gaps_us.sort_unstable();
    Ok(gaps_us)
}

/// The requests until three nodes have a leader, and those in each second of rest.
///
/// # Errors
/// When there are more than 30, or more than 60.
pub fn rpc_counts(seed: u64) -> Result<(u64, u64)> {
    let mut cluster = calm(3, seed, None)?;
    led(&mut cluster, 5 * SECOND_US)?;
    let first = cluster.counts().requests;
    bar(first <= 30, || format!("{first} requests until there was a leader"))?;
    cluster.run_for(10 * SECOND_US)?;
    let idle = (cluster.counts().requests - first) / 10;
    bar(idle <= 60, || format!("{idle} requests a second without anything to do"))?;
    Ok((first, idle))
}

/// Two minutes of rest where half of all requests and half of all replies are lost. Gives the thousandths of the time in
/// which there was a leader, and how often the term changed.
///
/// # Errors
/// When there was none for more than a twentieth of the time, or the term changed more than three times a minute.
pub fn idle_under_heavy_loss(seed: u64, bug: Option<SeededBug>) -> Result<(u64, u64)> {
    const STEP_US: u64 = 10_000;
    const STEPS: u64 = 120 * SECOND_US / STEP_US;
    let mut cluster = calm(5, seed, bug)?;
    cluster.set_profile(Profile::U50);
    led(&mut cluster, 10 * SECOND_US)?;
    let begun = cluster.term();
    let mut with_leader = 0;
    for _ in 0..STEPS {
        cluster.run_for(STEP_US)?;
        with_leader += u64::from(cluster.leader_of_majority().is_some());
    }
    let (thousandths, changes) = (with_leader * 1_000 / STEPS, cluster.term() - begun);
    bar(thousandths >= 950 && changes <= 6, || {
        format!(
            "a leader for {thousandths} thousandths of the time, {changes} changes of the term in two minutes"
        )
    })?;
    Ok((thousandths, changes))
}

/// One follower does not hear the leader, and everybody hears it: it must not end the leadership.
///
/// # Errors
/// When it does.
pub fn partial_cut(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(5, seed, bug)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.run_for(SECOND_US)?;
    let term = cluster.term();
    let deaf = leader % 5 + 1;
    cluster.cut_link(leader, deaf, true);
    cluster.cut_link(deaf, leader, true);
    for _ in 0..20 {
        cluster.run_for(SECOND_US)?;
        let leads = cluster.leader_of_majority();
        bar(leads == Some(leader) && cluster.term() == term, || {
            format!(
                "node {deaf} lost its link to the leader, {leader} of term {term}; {leads:?} leads {}",
                cluster.term()
            )
        })?;
    }
    Ok(())
}

/// A node that was cut off comes back: the leadership goes on.
///
/// # Errors
/// When it does not.
pub fn returning_node(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(3, seed, bug)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.run_for(SECOND_US)?;
    let term = cluster.term();
    let away = leader % 3 + 1;
    cluster.cut_off(away, true);
    cluster.run_for(5 * SECOND_US)?;
    cluster.cut_off(away, false);
    cluster.run_for(5 * SECOND_US)?;
    let leads = cluster.leader();
    bar(leads == Some(leader) && cluster.term() == term, || {
        format!(
            "node {away} came back, and instead of {leader} in term {term} {leads:?} leads {}",
            cluster.term()
        )
    })
}

/// The only node that can win has a timer that others would restart. Two nodes with shorter logs, whose clocks are fast, ask
/// for votes that they cannot get, and must not keep the third one from asking.
///
/// # Errors
/// When there is no leader soon.
pub fn outdated_candidates(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(5, seed, bug)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    let behind: Vec<_> = (0..2).map(|place| (leader + place) % 5 + 1).collect();
    for id in &behind {
        cluster.cut_off(*id, true);
    }
    super::agree(&mut cluster, 5 * SECOND_US, 3)?;
    for id in &behind {
        cluster.cut_off(*id, false);
        cluster.set_clock_rate(*id, 4_000_000);
    }
    cluster.crash_for(leader, 60 * SECOND_US);
    // Four nodes are left, of which two can win.
    let took_us = cluster.run_until(20 * SECOND_US, "leader", |it| it.leader_of_majority().is_some())?;
    bar(took_us <= 3 * SECOND_US, || format!("it took {} ms to elect a leader", took_us / 1_000))
}

/// A leader that is cut off stops leading, and takes no commands that it cannot commit.
///
/// # Errors
/// When it still leads after a second.
pub fn stands_alone(seed: u64, bug: Option<SeededBug>) -> Result {
    let mut cluster = calm(3, seed, bug)?;
    let leader = led(&mut cluster, 5 * SECOND_US)?;
    cluster.cut_off(leader, true);
    cluster.run_for(SECOND_US)?;
    let taken = cluster.propose(leader, 1)?;
    bar(taken.is_none(), || format!("node {leader}, cut off for a second, takes a command"))
}
