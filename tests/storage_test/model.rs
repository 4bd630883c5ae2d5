//! What a storage must remember, told a second time as simply as possible; and random work for it.

use std::fmt;

use traitwire_kv::kv_raft::raft::core::{Op, Restored};
use traitwire_kv::services::raft::{
    Command, Entry, Index, Membership, Payload, SnapshotBytes, SnapshotMeta, Term,
};

/// The state after a prefix of the stream, without snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) term: Term,
    voted_for: Option<u64>,
    base: (Index, Term),
    entries: Vec<Entry>,
}

impl Model {
    pub(crate) fn last_index(&self) -> Index {
        self.base.0 + self.entries.len() as u64
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        match index.checked_sub(self.base.0)? {
            0 => Some(self.base.1),
            place => self.entries.get(usize::try_from(place).unwrap() - 1).map(|entry| entry.term),
        }
    }

    fn forget(&mut self, index: Index, term: Term) {
        let gone = usize::try_from(index - self.base.0).unwrap().min(self.entries.len());
        self.entries.drain(..gone);
        self.base = (index, term);
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Vote { term, voted_for } => (self.term, self.voted_for) = (*term, *voted_for),
            Op::Truncate(index) => {
                self.entries.truncate(usize::try_from(index - self.base.0).unwrap() - 1);
            }
            Op::Append { entries, .. } => self.entries.extend(entries.iter().cloned()),
            Op::SnapshotPiece { .. } => {}
            Op::Install { snapshot, keep_suffix } => {
                self.forget(snapshot.last_index, snapshot.last_term);
                if !keep_suffix {
                    self.entries.clear();
                }
            }
            Op::Compact { index, term } => self.forget(*index, *term),
        }
    }

    /// What a restart must find when this is the last snapshot saved.
    pub(crate) fn restored(&self, snapshot: Option<&SnapshotMeta>) -> Restored {
        let mut model = self.clone();
        if let Some(snapshot) = snapshot
            && self.term_at(snapshot.last_index) != Some(snapshot.last_term)
        {
            model.entries.clear();
            model.base = (snapshot.last_index, snapshot.last_term);
        }
        Restored {
            term: model.term,
            voted_for: model.voted_for,
            snapshot: snapshot.cloned(),
            base_index: model.base.0,
            base_term: model.base.1,
            entries: model.entries,
        }
    }

    /// Where a model is that was restored.
    pub(crate) fn of(restored: &Restored) -> Self {
        Self {
            term: restored.term,
            voted_for: restored.voted_for,
            base: (restored.base_index, restored.base_term),
            entries: restored.entries.clone(),
        }
    }
}

/// In one line, without what the entries say.
impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { term, voted_for, base, entries } = self;
        let terms: Vec<_> = entries.iter().map(|entry| entry.term).collect();
        write!(formatter, "term {term}, vote {voted_for:?}, after {base:?} entries of terms {terms:?}")
    }
}

/// Something to do next.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Append(Vec<Op>),
    /// Saves a snapshot whose state is [`state_of`] it.
    Save(SnapshotMeta),
    Sync,
    Idle,
    Restart,
}

/// Random work that may follow, `newest` being the newest snapshot.
pub(crate) fn work(model: &Model, newest: Option<&SnapshotMeta>, lot: &mut fastrand::Rng) -> Work {
    match lot.u32(..20) {
        0..=11 => Work::Append(ops(model, newest, lot)),
        12 if model.last_index() > model.base.0 => {
            let index = lot.u64(model.base.0 + 1..=model.last_index());
            Work::Save(meta(index, model.term_at(index).unwrap()))
        }
        12..=17 => Work::Sync,
        18 => Work::Idle,
        _ => Work::Restart,
    }
}

fn ops(model: &Model, newest: Option<&SnapshotMeta>, lot: &mut fastrand::Rng) -> Vec<Op> {
    let mut model = model.clone();
    let mut ops = Vec::new();
    for _ in 0..lot.u32(1..4) {
        for op in step(&model, newest, lot) {
            model.apply(&op);
            let installed = matches!(op, Op::Install { .. });
            ops.push(op);
            // What comes next would have to know of the new snapshot.
            if installed {
                return ops;
            }
        }
    }
    ops
}

fn step(model: &Model, newest: Option<&SnapshotMeta>, lot: &mut fastrand::Rng) -> Vec<Op> {
    let last = model.last_index();
    match lot.u32(..16) {
        0..=1 => {
            let voted_for = lot.bool().then(|| lot.u64(1..4));
            vec![Op::Vote { term: model.term + lot.u64(1..3), voted_for }]
        }
        2 if last > model.base.0 => vec![Op::Truncate(lot.u64(model.base.0 + 1..=last))],
        3 => match newest.filter(|newest| model.base.0 < newest.last_index && newest.last_index <= last) {
            Some(newest) => {
                let index = lot.u64(model.base.0 + 1..=newest.last_index);
                vec![Op::Compact { index, term: model.term_at(index).unwrap() }]
            }
            None => Vec::new(),
        },
        4 => received(model, newest, lot),
        _ => {
            let count = if lot.u32(..10) == 0 { lot.u32(10..40) } else { lot.u32(1..4) };
            let entries = (0..count).map(|_| entry(model.term, lot)).collect();
            vec![Op::Append { first: last + 1, entries }]
        }
    }
}

/// A whole snapshot in pieces: one that is ahead of the log, one that contradicts it, or one that it goes beyond.
fn received(model: &Model, newest: Option<&SnapshotMeta>, lot: &mut fastrand::Rng) -> Vec<Op> {
    let after = newest.map_or(0, |newest| newest.last_index).max(model.base.0);
    let index = after + lot.u64(1..30);
    let (term, keep_suffix) = match model.term_at(index) {
        Some(term) if lot.bool() => (term, true),
        _ => (model.term + 1, false),
    };
    let snapshot = meta(index, term);
    let state = state_of(&snapshot);
    let mut ops = if keep_suffix { Vec::new() } else { vec![Op::Vote { term, voted_for: None }] };
    let mut offset = 0;
    while offset < state.len() || offset == 0 {
        let bytes = lot.usize(1..70_000).min(state.len() - offset);
        let data = SnapshotBytes(state[offset..offset + bytes].to_vec().into());
        let last = offset + bytes == state.len();
        ops.push(Op::SnapshotPiece { snapshot: snapshot.clone(), offset: offset as u64, data, last });
        offset += bytes;
        if last {
            break;
        }
    }
    ops.push(Op::Install { snapshot, keep_suffix });
    ops
}

pub(crate) fn meta(last_index: Index, last_term: Term) -> SnapshotMeta {
    let membership = Membership { voters: vec![1, 2, last_index], ..Membership::default() };
    SnapshotMeta { last_index, last_term, membership: Box::new(membership) }
}

/// The bytes that a snapshot holds in these tests: any bytes, of any length.
pub(crate) fn state_of(meta: &SnapshotMeta) -> Vec<u8> {
    let mut lot = fastrand::Rng::with_seed(meta.last_index << 32 | meta.last_term);
    let bytes = match lot.u32(..8) {
        0 => 0,
        1 => lot.usize(60_000..200_000),
        2 => 65_536,
        _ => lot.usize(1..2_000),
    };
    let mut state = vec![0; bytes];
    lot.fill(&mut state);
    state
}

pub(crate) fn entry(term: Term, lot: &mut fastrand::Rng) -> Entry {
    let payload = match lot.u32(..12) {
        0 => Payload::Blank,
        1 => Payload::Membership(meta(lot.u64(1..9), 0).membership),
        2 => Payload::Command(Command::from_json(format!("[ {}, \"ü\\u0000\" ]", lot.u64(..))).unwrap()),
        3 => Payload::Command(Command::new(&"x".repeat(lot.usize(..6_000))).unwrap()),
        _ => Payload::Command(Command::new(&lot.u64(..)).unwrap()),
    };
    Entry { term, payload }
}
