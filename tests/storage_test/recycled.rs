//! Segments that are used again: what they still have of their earlier use is never taken for anything, and hides no damage; and how
//! many of them wait.

use traitwire_kv::kv_raft::raft::core::{DiskSpace, Op};
use traitwire_kv::kv_raft::raft::storage::wal::{Verdict, inspect};
use traitwire_kv::services::raft::{Command, Entry, Payload};

use super::damage::{flip, logs, open};
use super::disk::{FaultyDisk, Plan};
use super::model::meta;
use super::{Place, Run, opened};

/// The bytes of a segment's header, and more.
const SEGMENT_HEADER_BYTES: usize = 100;

/// The bytes of a frame's header, and what such a header begins with.
const HEADER_BYTES: usize = 24;
const MAGIC: &[u8] = b"\xF5TW\0";

/// A log whose segments have all been used before, up to its last one: the disk as it was before the last write, and after it.
struct Written {
    run: Run,
    before: FaultyDisk,
    after: FaultyDisk,
    /// The segment that was written last.
    name: String,
}

impl Written {
    /// With so many entries after the last compaction; the last one is of `text` times five bytes.
    fn new(kept: u64, text: usize) -> Self {
        let after = FaultyDisk::default();
        let mut run = Run::start(&Place::Wal(after.clone()));
        for index in 1..=30 + kept {
            put(&mut run, index, 120);
            if index == 30 {
                run.save(&meta(30, 30)).unwrap();
                compact(&mut run, 30);
                run.sync().unwrap();
            }
        }
        let before = after.copy();
        put(&mut run, 31 + kept, text);
        let changed = |name: &String| before.files().get(name) != after.files().get(name);
        let name = logs(&after).into_iter().find(changed).unwrap();
        Self { run, before, after, name }
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        (self.before.files()[&self.name].clone(), self.after.files()[&self.name].clone())
    }

    /// Where the last write has begun.
    fn begin(&self) -> usize {
        let (before, after) = self.bytes();
        before.iter().zip(&after).position(|(before, after)| before != after).unwrap()
    }
}

fn put(run: &mut Run, index: u64, text: usize) {
    let payload = Payload::Command(Command::new(&"text ".repeat(text)).unwrap());
    run.append(&[Op::Append { first: index, entries: vec![Entry { term: index, payload }] }]).unwrap();
    run.sync().unwrap();
}

/// The log behind the one that is written, too, holds what it held when it had another number.
#[test]
fn segments_are_used_again() {
    let written = Written::new(10, 120);
    let names = logs(&written.after);
    assert!(names[0].as_str() > "wal-0000000000000002.log", "{names:?}");
    for name in &names {
        let bytes = &written.after.files()[name];
        assert_eq!((bytes.len(), &bytes[..5]), (4_096, &b"TWLOG"[..]), "{name}");
        assert!(bytes[3_000..].iter().any(|byte| *byte != 0), "{name} was full once");
    }
    let verdict = inspect(&written.after, &mut |_| ()).unwrap().verdict;
    assert!(matches!(verdict, Verdict::Sound), "{verdict:?}");
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let Written { mut run, after, .. } = Written::new(10, 120);
    run.storage.idle().unwrap();
    let whole = run.model().restored(Some(&meta(30, 30)));
    flip(&after, &whole);
}

/// Whichever sectors of the last write have come, in the middle of a segment or at its begin, it is there as a whole or not
/// at all, and the log goes on.
#[test]
fn a_torn_write_over_old_bytes_is_cut() {
    let mut lot = fastrand::Rng::with_seed(1);
    let mut begins = 0;
    for kept in 6..20 {
        let written = Written::new(kept, 350);
        let snapshot = Some(meta(30, 30));
        let history = &written.run.known.history;
        let whole = written.run.model().restored(snapshot.as_ref());
        let without = history[history.len() - 2].restored(snapshot.as_ref());
        let (before, after) = written.bytes();
        begins += usize::from(written.begin() < SEGMENT_HEADER_BYTES);
        for _ in 0..40 {
            let mut torn = before.clone();
            for (sector, new) in after.chunks(512).enumerate() {
                if lot.bool() {
                    torn[sector * 512..][..new.len()].copy_from_slice(new);
                }
            }
            let disk = written.before.copy();
            let is_whole = torn == after;
            disk.put(&written.name, torn);
            let found = open(&disk).unwrap();
            assert_eq!(found, if is_whole { &whole } else { &without }.clone(), "{kept} entries kept");
            let mut run = Run::start(&Place::Wal(disk.clone()));
            let next = run.model().last_index() + 1;
            (next..next + 20).for_each(|index| put(&mut run, index, 120));
            disk.lose_power(&mut lot);
            let known = run.kill();
            known.check(&opened(&Place::Wal(disk.clone())));
        }
    }
    assert!(begins > 0, "no write began a segment");
}

/// A write that the disk has said to have done and has not, so that in its place is what the segment had there before.
#[test]
fn a_lost_write_over_old_bytes_is_refused() {
    let Written { mut run, before, after, name } = Written::new(8, 120);
    let (old, new) = (before.files()[&name].clone(), after.files()[&name].clone());
    run.storage.idle().unwrap();
    drop(run);
    let mut bytes = after.files()[&name].clone();
    assert!(open(&after.copy()).is_some());
    for (place, byte) in bytes.iter_mut().enumerate() {
        if old[place] != new[place] {
            *byte = old[place];
        }
    }
    after.put(&name, bytes);
    assert_eq!(open(&after), None);
}

/// What looking at the log says of a torn write: it is seen by its header, and is none where that has not come.
#[test]
fn a_torn_write_over_old_bytes_is_seen_by_its_header() {
    let written = Written::new(8, 120);
    let (old, new) = written.bytes();
    let begin = written.begin() / 8 * 8;
    assert!(new[begin..].starts_with(MAGIC), "a frame begins at {begin}");
    for cut in [begin + 8, begin + HEADER_BYTES, begin + 200] {
        let torn = [&new[..cut], &old[cut..]].concat();
        let disk = written.before.copy();
        disk.put(&written.name, torn);
        let verdict = inspect(&disk, &mut |_| ()).unwrap().verdict;
        let is_seen = matches!(verdict, Verdict::Cut { offset, .. } if offset == begin as u64);
        assert_eq!(is_seen, cut >= begin + HEADER_BYTES, "{verdict:?}");
    }
}

/// So many entries of 600 bytes, six to a segment, and a snapshot of all but the last.
fn entries_and_snapshot(disk: &FaultyDisk, count: u64) -> Run {
    let mut run = Run::start(&Place::Wal(disk.clone()));
    (1..=count).for_each(|index| put(&mut run, index, 120));
    run.save(&meta(count - 1, count - 1)).unwrap();
    run
}

fn compact(run: &mut Run, index: u64) {
    run.append(&[Op::Compact { index, term: index }]).unwrap();
}

/// Eight wait to be used again, and the others are removed, the oldest first, wherever that fails or the power goes.
#[test]
fn more_than_eight_spare_segments_are_removed() {
    let mut lot = fastrand::Rng::with_seed(1);
    let mut failed = 0;
    loop {
        failed += 1;
        let disk = FaultyDisk::default();
        let mut run = entries_and_snapshot(&disk, 130);
        assert!(logs(&disk).len() > 20);
        compact(&mut run, 129);
        disk.plan(Plan { fails_at: Some(disk.counts().operations + failed), ..Plan::default() });
        let done = run.sync().is_ok();
        if done {
            assert_eq!(logs(&disk).len(), 8 + 2, "and the last one, and the next");
        }
        disk.plan(Plan::default());
        let known = run.kill();
        disk.lose_power(&mut lot);
        known.check(&opened(&Place::Wal(disk.clone())));
        if done {
            break;
        }
    }
    assert!(failed > 20, "{failed} operations could fail");
}

/// A disk that became full while the next segment was made has space again once segments are not needed, by nothing else.
#[test]
fn compaction_makes_room_on_a_full_disk() {
    let mut full = 0;
    for later in 0.. {
        let disk = FaultyDisk::default();
        let mut run = entries_and_snapshot(&disk, 20);
        disk.plan(Plan { full_at: Some(disk.counts().operations + later), ..Plan::default() });
        while run.storage.space() == DiskSpace::Free && run.model().last_index() < 40 {
            let next = run.model().last_index() + 1;
            put(&mut run, next, 120);
        }
        if run.storage.space() == DiskSpace::Free {
            break;
        }
        full += 1;
        compact(&mut run, 19);
        run.sync().unwrap();
        assert_eq!(run.storage.space(), DiskSpace::Free, "full {later} operations later");
        for term in 1_000..1_060 {
            run.append(&[Op::Vote { term, voted_for: None }]).unwrap();
            run.sync().unwrap();
        }
        let known = run.kill();
        known.check(&opened(&Place::Wal(disk.clone())));
    }
    assert!(full > 10, "the disk was full {full} times");
}
