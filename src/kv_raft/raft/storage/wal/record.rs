//! Operations as records in the body of a frame, and back; their layout is in the module above.

use super::super::super::core::Op;
use super::super::log_state::Change;
use super::format::{u32_at, u64_at};
use crate::services::raft::{Command, Entry, Payload, SnapshotMeta};

/// The bytes of a record before its payload.
pub(super) const RECORD_HEADER_BYTES: usize = 24;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Vote = 1,
    Truncate = 2,
    Blank = 3,
    Command = 4,
    Membership = 5,
    Install = 6,
    Compact = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Blank, Command, Compact, Install, Membership, Truncate, Vote};
        [Vote, Truncate, Blank, Command, Membership, Install, Compact]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Truncate => "truncate",
            Self::Blank => "blank",
            Self::Command => "command",
            Self::Membership => "membership",
            Self::Install => "install",
            Self::Compact => "compact",
        }
    }
}

/// A record, as it lies in the body of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    /// Whether a vote was given, or whether the entries after a snapshot are kept.
    pub(super) flag: bool,
    /// The index; for a vote, the node that has got it.
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) payload: &'a [u8],
}

impl From<&Record<'_>> for Change {
    fn from(record: &Record<'_>) -> Self {
        let Record { kind, flag, index, term, .. } = *record;
        match kind {
            Kind::Vote => Self::Vote { term, voted_for: flag.then_some(index) },
            Kind::Truncate => Self::Truncate(index),
            Kind::Blank | Kind::Command | Kind::Membership => Self::Append { first: index, count: 1 },
            Kind::Install => Self::Install { index, term, keep_suffix: flag },
            Kind::Compact => Self::Compact { index, term },
        }
    }
}

impl Record<'_> {
    pub(super) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }
}

/// Adds an operation's records. A piece of a snapshot has none: it goes to a file of its own.
pub(super) fn encode(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Vote { term, voted_for } => {
            put(out, Kind::Vote, voted_for.is_some(), (voted_for.unwrap_or(0), *term), &[]);
        }
        Op::Truncate(index) => put(out, Kind::Truncate, false, (*index, 0), &[]),
        Op::Append { first, entries } => {
            for (index, entry) in (*first..).zip(entries) {
                let at = (index, entry.term);
                match &entry.payload {
                    Payload::Blank => put(out, Kind::Blank, false, at, &[]),
                    Payload::Command(command) => {
                        put(out, Kind::Command, false, at, command.json().as_bytes());
                    }
                    Payload::Membership(membership) => {
                        put(out, Kind::Membership, false, at, &json(membership));
                    }
                }
            }
        }
        Op::SnapshotPiece { .. } => {}
        Op::Install { snapshot, keep_suffix } => {
            let at = (snapshot.last_index, snapshot.last_term);
            put(out, Kind::Install, *keep_suffix, at, &json(snapshot));
        }
        Op::Compact { index, term } => put(out, Kind::Compact, false, (*index, *term), &[]),
    }
}

fn put(out: &mut Vec<u8>, kind: Kind, flag: bool, (index, term): (u64, u64), payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("an entry is far below 4 GiB");
    out.extend([kind as u8, u8::from(flag), 0, 0]);
    out.extend(length.to_le_bytes());
    out.extend(index.to_le_bytes());
    out.extend(term.to_le_bytes());
    out.extend(payload);
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and lists of them have a JSON form")
}

/// The first record of a body, if there is a whole one.
pub(super) fn first(body: &[u8]) -> Option<Record<'_>> {
    let header = body.get(..RECORD_HEADER_BYTES)?;
    let payload = body[RECORD_HEADER_BYTES..].get(..u32_at(header, 4) as usize)?;
    let kind = Kind::from_byte(header[0])?;
    Some(Record { kind, flag: header[1] != 0, index: u64_at(header, 8), term: u64_at(header, 16), payload })
}

/// The operations of a body; otherwise what is wrong with it, which no accident does to a body whose checksum is right.
pub(super) fn decode(mut body: &[u8]) -> Result<Vec<Op>, String> {
    let mut ops: Vec<Op> = Vec::new();
    while !body.is_empty() {
        let record = first(body).ok_or("a record that this version does not know")?;
        body = &body[record.bytes()..];
        let (index, term) = (record.index, record.term);
        let op = match record.kind {
            Kind::Vote => Op::Vote { term, voted_for: record.flag.then_some(index) },
            Kind::Truncate => Op::Truncate(index),
            Kind::Install => Op::Install { snapshot: snapshot(&record)?, keep_suffix: record.flag },
            Kind::Compact => Op::Compact { index, term },
            Kind::Blank | Kind::Command | Kind::Membership => {
                let entry = Entry { term, payload: payload(&record)? };
                match ops.last_mut() {
                    Some(Op::Append { first, entries }) if *first + entries.len() as u64 == index => {
                        entries.push(entry);
                        continue;
                    }
                    _ => Op::Append { first: index, entries: vec![entry] },
                }
            }
        };
        ops.push(op);
    }
    Ok(ops)
}

fn payload(record: &Record<'_>) -> Result<Payload, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("entry {}: {error}", record.index);
    match record.kind {
        Kind::Command => {
            let text = std::str::from_utf8(record.payload).map_err(|error| wrong(&error))?;
            Command::from_json(text.to_owned()).map(Payload::Command).map_err(|error| wrong(&error))
        }
        Kind::Membership => {
            serde_json::from_slice(record.payload).map(Payload::Membership).map_err(|error| wrong(&error))
        }
        Kind::Blank | Kind::Vote | Kind::Truncate | Kind::Install | Kind::Compact => Ok(Payload::Blank),
    }
}

fn snapshot(record: &Record<'_>) -> Result<SnapshotMeta, String> {
    serde_json::from_slice(record.payload).map_err(|error| format!("snapshot {}: {error}", record.index))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::services::raft::Membership;

    #[test]
    fn operations_survive_their_records() {
        let membership = Membership { voters: vec![1, 2, 3], ..Membership::default() };
        let snapshot = SnapshotMeta { last_index: 9, last_term: 3, membership: Box::new(membership.clone()) };
        let command = Command::from_json("{ \"kept\" :  [1, \"as it is\"] }".to_owned()).unwrap();
        let entry = |term, payload| Entry { term, payload };
        let ops = vec![
            Op::Vote { term: 3, voted_for: Some(0) },
            Op::Vote { term: 4, voted_for: None },
            Op::Truncate(7),
            Op::Append {
                first: 7,
                entries: vec![
                    entry(4, Payload::Blank),
                    entry(4, Payload::Command(command)),
                    entry(4, Payload::Membership(Box::new(membership))),
                ],
            },
            Op::Install { snapshot: snapshot.clone(), keep_suffix: true },
            Op::Install { snapshot, keep_suffix: false },
            Op::Compact { index: 9, term: 3 },
        ];
        let mut body = Vec::new();
        ops.iter().for_each(|op| encode(&mut body, op));
        assert_eq!(decode(&body).unwrap(), ops);
        for cut in 1..RECORD_HEADER_BYTES {
            assert!(decode(&body[..body.len() - cut]).is_err(), "a body without its last {cut} bytes");
        }
    }
}
