//! How a trace puts into words what nodes say and do.

use super::super::{Effects, Event, Op, Persist, Proposed, ReadOutcome, Refusal, Reply, Request, Role};
use crate::services::raft::{AppendOutcome, Entry, NodeId, Payload, SnapshotProgress, VoteArgs};

/// The entries of a log.
pub(super) fn entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let words: Vec<_> = entries.into_iter().map(entry).collect();
    words.join(" ")
}

fn entry(entry: &Entry) -> String {
    let term = entry.term;
    match &entry.payload {
        Payload::Blank => format!("blank@{term}"),
        Payload::Command(command) => format!("{}@{term}", command.json().trim_matches('"')),
        Payload::Membership(membership) => format!("{}@{term}", super::members::membership(membership)),
    }
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

pub(super) fn request(request: &Request) -> String {
    let candidate = |args: &VoteArgs| {
        let transfer = if args.transfer { " as told" } else { "" };
        format!("term={} last={}@{}{transfer}", args.term, args.last_index, args.last_term)
    };
    match request {
        Request::PreVote(args) => format!("PreVote {}", candidate(args)),
        Request::Vote(args) => format!("Vote {}", candidate(args)),
        Request::Append(args) => {
            let (round, prev) = (args.round, format!("{}@{}", args.prev_index, args.prev_term));
            format!("Append #{round} after={prev} [{}] commit={}", entries(&args.entries), args.commit)
        }
        Request::Snapshot(args) => {
            let (round, snapshot) = (args.round, &args.snapshot);
            format!(
                "Snapshot #{round} of={}@{} bytes={}..{}{}",
                snapshot.last_index,
                snapshot.last_term,
                args.offset,
                args.offset + args.data.0.len() as u64,
                if args.last { " last" } else { "" }
            )
        }
        Request::TimeoutNow(_) => "TimeoutNow".into(),
    }
}

pub(super) fn reply(reply: &Reply) -> String {
    let vote = |granted: bool| if granted { "yes" } else { "no" };
    match reply {
        Reply::PreVote(reply) => format!("PreVote {} term={}", vote(reply.granted), reply.term),
        Reply::Vote(reply) => format!("Vote {} term={}", vote(reply.granted), reply.term),
        Reply::Append(reply) => {
            let outcome = match &reply.outcome {
                AppendOutcome::Matched(index) => format!("matched={index}"),
                AppendOutcome::Conflict(it) if it.term == 0 => format!("log ends before {}", it.first_index),
                AppendOutcome::Conflict(it) => {
                    format!("conflict at {}, term {} since {}", it.prev_index, it.term, it.first_index)
                }
                AppendOutcome::OldTerm => "old term".into(),
            };
            format!("Append #{} {outcome}", reply.round)
        }
        Reply::Snapshot(reply) => {
            let progress = match &reply.progress {
                SnapshotProgress::Next(offset) => format!("next={offset}"),
                SnapshotProgress::Installed => "installed".into(),
                SnapshotProgress::OldTerm => "old term".into(),
            };
            format!("Snapshot #{} {progress}", reply.round)
        }
        Reply::TimeoutNow(reply) => format!("TimeoutNow {}", vote(reply.campaigns)),
    }
}

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::State { role: Role::Follower, leader: Some(leader), .. } => format!("follows n{leader}"),
        Event::State { role: Role::Follower, leader: None, .. } => "follows nobody".into(),
        Event::State { role: it, .. } => format!("is {}", role(*it)),
        Event::Contradicted { index } => format!("contradicts its leader at {index}"),
        Event::Membership => "has another membership".to_owned(),
        Event::LostData(node) => format!("finds that node {node} has lost data"),
        Event::Committed(index) => format!("commits up to {index}"),
        Event::Truncated(index) => format!("cuts its log from {index}"),
    }
}

pub(super) fn persist(persist: &Persist) -> String {
    let ops: Vec<_> = persist.ops.iter().map(op).collect();
    format!("writes #{}: {}", persist.position, ops.join(", "))
}

fn op(op: &Op) -> String {
    match op {
        Op::Vote { term, voted_for: None } => format!("term {term}"),
        Op::Vote { term, voted_for: Some(node) } => format!("term {term} vote n{node}"),
        Op::Truncate(first) => format!("cut from {first}"),
        Op::Append { first, entries: new } => format!("{first}.. [{}]", entries(new)),
        Op::SnapshotPiece { offset, data, .. } => format!("bytes {offset}..{}", offset + data.0.len() as u64),
        Op::Install { snapshot, keep_suffix: true } => {
            format!("install {}, keep the rest", snapshot.last_index)
        }
        Op::Install { snapshot, keep_suffix: false } => {
            format!("install {}, drop the rest", snapshot.last_index)
        }
        Op::Compact { index, .. } => format!("compact {index}"),
    }
}

/// What clients hear.
pub(super) fn answers(effects: &Effects) -> Vec<String> {
    let proposed = effects.proposed.iter().map(|proposed| match proposed {
        Proposed::Accepted { first, .. } => format!("accepts from {first}"),
        Proposed::Refused(why) => format!("refuses: {}", refusal(*why)),
    });
    let reads = effects.reads.iter().map(|(token, outcome)| match outcome {
        ReadOutcome::Ready(index) => format!("read {token} at {index}"),
        ReadOutcome::Refused(why) => format!("read {token} refused: {}", refusal(*why)),
    });
    proposed.chain(reads).collect()
}

fn refusal(refusal: Refusal) -> String {
    let leader = |leader: Option<NodeId>| leader.map_or("nobody".into(), |node| format!("n{node}"));
    match refusal {
        Refusal::NotLeader(it) => format!("{} leads", leader(it)),
        Refusal::Transferring => "handing over".into(),
        Refusal::TooMuch => "too much".into(),
        Refusal::DiskFull => "disk full".into(),
    }
}
