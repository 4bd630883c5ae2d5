//! Inputs and effects in one short line each, for those who read a trace.

use std::fmt::Write as _;

use traitwire_kv::kv_raft::raft::core::{Core, Effects, Input, Op, Reply, Request};
use traitwire_kv::services::raft::{Membership, NodeId, Payload};

pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Timeout => "timeout".to_owned(),
        Input::Request { from, token, request } => {
            format!("n{from} asks #{token}: {}", self::request(request))
        }
        Input::Reply { from, reply } => format!("n{from} answers: {}", self::reply(reply)),
        Input::RoundTrip { with, us } => format!("a round trip to n{with} took {us} us"),
        Input::SnapshotGone { to, sent } => format!("there is a newer snapshot than {sent:?} for n{to}"),
        Input::Failed { to, sent } => format!("no answer of n{to} to {sent:?}"),
        Input::Propose(commands) => format!("propose {} {:?}", commands.len(), commands.first()),
        Input::Read(token) => format!("read #{token}"),
        Input::Durable(position) => format!("durable {position}"),
        Input::SnapshotSaved(snapshot) => format!("saved {}@{}", snapshot.last_index, snapshot.last_term),
        Input::Disk(space) => format!("disk {space:?}"),
        Input::SnapshotGivenUp => "received snapshot given up".to_owned(),
        Input::Transfer(to) => format!("transfer to {to:?}"),
        Input::Change { token, change } => format!("change #{token}: {change:?}"),
        Input::Found(membership) => format!("found a cluster of {:?}", membership.voters),
    }
}

/// What a core has become, and what it wants done.
pub(crate) fn effects(core: &Core, effects: &Effects) -> String {
    let mut line = format!(
        "{:?} t{} c{} d{} l{}",
        core.role(),
        core.term(),
        core.commit_index(),
        core.durable_index(),
        core.last_index()
    );
    // Writing to a string cannot fail.
    if let Some(persist) = &effects.persist {
        let ops: Vec<_> = persist.ops.iter().map(op).collect();
        let _ = write!(line, "; write {}: {}", persist.position, ops.join(", "));
    }
    for (to, request) in &effects.requests {
        let _ = write!(line, "; n{to}: {}", self::request(request));
    }
    for (token, reply) in &effects.replies {
        let _ = write!(line, "; #{token}: {}", self::reply(reply));
    }
    for (token, changed) in &effects.changes {
        let _ = write!(line, "; change #{token} {changed:?}");
    }
    for (token, outcome) in &effects.reads {
        let _ = write!(line, "; read #{token} {outcome:?}");
    }
    if let Some(proposed) = &effects.proposed {
        let _ = write!(line, "; {proposed:?}");
    }
    line
}

/// The voters, while they change those of before, and the learners, each with its folder.
pub(crate) fn membership(membership: &Membership) -> String {
    let list = |nodes: &[NodeId]| {
        let folder = |id: &NodeId| membership.member(*id).and_then(|it| it.incarnation).map_or(0, |it| it.0);
        nodes.iter().map(|id| format!("{id}.{}", folder(id))).collect::<Vec<_>>().join(",")
    };
    let Membership { voters, outgoing, learners, .. } = membership;
    format!("[{}]/[{}]+[{}]", list(voters), list(outgoing), list(learners))
}

fn op(op: &Op) -> String {
    match op {
        Op::Vote { term, voted_for } => format!("vote t{term} {voted_for:?}"),
        Op::Truncate(first) => format!("truncate {first}"),
        Op::Append { first, entries } => {
            let terms: Vec<_> = entries.iter().map(|entry| entry.term).collect();
            let memberships = entries.iter().filter_map(|entry| match &entry.payload {
                Payload::Membership(it) => Some(format!(" {}", membership(it))),
                Payload::Blank | Payload::Command(_) => None,
            });
            format!("append {first} t{terms:?}{}", memberships.collect::<String>())
        }
        Op::SnapshotPiece { snapshot, offset, data, last } => {
            format!("piece of {} {offset}+{} {last}", snapshot.last_index, data.0.len())
        }
        Op::Install { snapshot, keep_suffix } => {
            format!("install {}@{} keep {keep_suffix}", snapshot.last_index, snapshot.last_term)
        }
        Op::Compact { index, term } => format!("compact {index}@{term}"),
    }
}

fn request(request: &Request) -> String {
    match request {
        Request::PreVote(args) => {
            format!("pre-vote t{} last {}@{}", args.term, args.last_index, args.last_term)
        }
        Request::Vote(args) => format!("vote t{} last {}@{}", args.term, args.last_index, args.last_term),
        Request::Append(args) => {
            let terms: Vec<_> = args.entries.iter().map(|entry| entry.term).collect();
            let (term, round, commit) = (args.term, args.round, args.commit);
            format!(
                "append t{term} r{round} prev {}@{} t{terms:?} c{commit}",
                args.prev_index, args.prev_term
            )
        }
        Request::Snapshot(args) => {
            let (snapshot, bytes) = (&args.snapshot, args.data.0.len());
            let place = format!("{}@{} {}+{bytes}", snapshot.last_index, snapshot.last_term, args.offset);
            format!("snapshot t{} r{} {place} {}", args.term, args.round, args.last)
        }
        Request::TimeoutNow(args) => format!("timeout-now t{}", args.term),
    }
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::PreVote(reply) => format!("pre-vote t{} {}", reply.term, reply.granted),
        Reply::Vote(reply) => format!("vote t{} {}", reply.term, reply.granted),
        Reply::Append(reply) => format!("append t{} r{} {:?}", reply.term, reply.round, reply.outcome),
        Reply::Snapshot(reply) => format!("snapshot t{} r{} {:?}", reply.term, reply.round, reply.progress),
        Reply::TimeoutNow(reply) => format!("timeout-now t{} {}", reply.term, reply.campaigns),
    }
}
