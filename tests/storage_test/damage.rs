//! Files that are not as they were written: a torn end is cut, everything else is refused, and nothing is ever invented.

use traitwire_kv::kv_raft::raft::core::{Op, Restored};
use traitwire_kv::kv_raft::raft::storage::StorageError;
use traitwire_kv::kv_raft::raft::storage::wal::{Verdict, inspect};
use traitwire_kv::services::raft::{Command, Entry, Payload};

use super::disk::FaultyDisk;
use super::model::meta;
use super::{Place, Run, opened};

/// A log over some segments, with a vote, a snapshot and a compaction. With `idle`, the last frame proves the one before.
fn written(idle: bool) -> (FaultyDisk, Run) {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    for term in 1..=12 {
        let payload = Payload::Command(Command::new(&"text ".repeat(120)).unwrap());
        let entries = vec![Entry { term, payload }, Entry { term, payload: Payload::Blank }];
        let first = run.model().last_index() + 1;
        run.append(&[Op::Vote { term, voted_for: Some(2) }, Op::Append { first, entries }]).unwrap();
        run.sync().unwrap();
        if term == 3 {
            run.save(&meta(5, 3)).unwrap();
            run.append(&[Op::Compact { index: 4, term: 2 }]).unwrap();
        }
    }
    run.append(&[Op::Vote { term: 20, voted_for: Some(3) }]).unwrap();
    run.sync().unwrap();
    if idle {
        run.storage.idle().unwrap();
    }
    (disk, run)
}

/// What opening gives; `None` when it is refused as damaged. Looking at it must say the same.
pub(crate) fn open(disk: &FaultyDisk) -> Option<Restored> {
    let inspection = inspect(disk, &mut |_| ()).unwrap();
    match Place::Wal(disk.clone()).open() {
        Ok(opened) => {
            assert!(!matches!(inspection.verdict, Verdict::Refused(_)), "{inspection:?}");
            Some(opened.restored)
        }
        Err(StorageError::Damaged { path, offset, what, advice }) => {
            assert!(!what.is_empty() && !advice.is_empty());
            let Verdict::Refused(StorageError::Damaged { path: seen, offset: seen_at, .. }) =
                inspection.verdict
            else {
                panic!("{path:?} at {offset}: {what}, and {inspection:?}");
            };
            assert_eq!((path, offset), (seen, seen_at));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn logs(disk: &FaultyDisk) -> Vec<String> {
    disk.files().into_keys().filter(|name| name.starts_with("wal-")).collect()
}

/// A bit of every byte of every file: nothing but the whole state is found, or nothing.
#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let (disk, run) = written(true);
    let whole = run.model().restored(Some(&meta(5, 3)));
    flip(&disk, &whole);
    // What was not proven when the process ended is so when the next one has started.
    let (disk, run) = written(false);
    drop(run);
    assert_eq!(opened(&Place::Wal(disk.clone())).restored, whole);
    flip(&disk, &whole);
}

pub(crate) fn flip(disk: &FaultyDisk, whole: &Restored) {
    assert!(logs(disk).len() > 2, "{:?}", logs(disk));
    let mut refused = 0;
    for (name, bytes) in disk.files() {
        // What was not written yet is all the same.
        for place in (0..bytes.len()).filter(|place| bytes[*place] != 0 || place % 16 == 0) {
            let broken = disk.copy();
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            broken.put(&name, bytes);
            match open(&broken) {
                Some(found) => assert_eq!(found, *whole, "{name}, byte {place}"),
                None => refused += 1,
            }
        }
    }
    assert!(refused > 6_000, "{refused} were refused");
}

/// Without a proof frame, the last frame alone may be lost without a word, and with it nothing else.
#[test]
fn only_the_last_frame_can_be_lost_unnoticed() {
    let (disk, run) = written(false);
    let snapshot = Some(meta(5, 3));
    let whole = run.model().restored(snapshot.as_ref());
    let before = run.known.history[run.known.history.len() - 2].restored(snapshot.as_ref());
    let name =
        logs(&disk).into_iter().rfind(|name| disk.files()[name].iter().any(|byte| *byte != 0)).unwrap();
    let bytes = disk.files()[&name].clone();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (mut lost, mut refused) = (0, 0);
    for place in 0..end {
        let broken = disk.copy();
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x10;
        broken.put(&name, bytes);
        match open(&broken) {
            None => refused += 1,
            Some(found) if found == before => lost += 1,
            Some(found) => assert_eq!(found, whole, "byte {place}"),
        }
    }
    // The frame of a vote: 24 bytes of header, 24 of the record, 4 of checksum.
    assert_eq!((lost, refused > 300), (52, true), "{refused} were refused");
}

/// The file ends at every byte of the last frame; or what is behind that byte was not written, or something else was.
#[test]
fn a_torn_tail_is_cut() {
    let (disk, run) = written(false);
    let snapshot = Some(meta(5, 3));
    let whole = run.model().restored(snapshot.as_ref());
    let before = run.known.history[run.known.history.len() - 2].restored(snapshot.as_ref());
    let name =
        logs(&disk).into_iter().rfind(|name| disk.files()[name].iter().any(|byte| *byte != 0)).unwrap();
    let bytes = disk.files()[&name].clone();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut lot = fastrand::Rng::with_seed(1);
    for cut in end - 52..=end {
        let mut zeros = bytes.clone();
        zeros[cut..].fill(0);
        let mut noise = bytes.clone();
        lot.fill(&mut noise[cut..]);
        for torn in [bytes[..cut].to_vec(), zeros, noise] {
            let disk = disk.copy();
            disk.put(&name, torn);
            let found = open(&disk).unwrap();
            assert_eq!(found, if cut == end { &whole } else { &before }.clone(), "cut at {cut} of {end}");
            // It goes on from there, and of what was torn nothing is left.
            let mut run = Run::start(&Place::Wal(disk.clone()));
            run.append(&[Op::Vote { term: 21, voted_for: None }]).unwrap();
            run.sync().unwrap();
            disk.lose_power(&mut lot);
            let known = run.kill();
            known.check(&opened(&Place::Wal(disk.clone())));
            let verdict = inspect(&disk, &mut |_| ()).unwrap().verdict;
            assert!(matches!(verdict, Verdict::Sound), "{verdict:?}");
        }
    }
}

/// A write that began a new segment and was torn, or anything else in a segment that was only prepared.
#[test]
fn a_torn_begin_of_a_segment_is_cut() {
    let (disk, run) = written(true);
    let name = logs(&disk).pop().unwrap();
    let whole = run.model().restored(Some(&meta(5, 3)));
    let mut noise = disk.files()[&name].clone();
    assert!(noise.iter().all(|byte| *byte == 0), "the last segment is only prepared");
    fastrand::Rng::with_seed(1).fill(&mut noise);
    disk.put(&name, noise);
    drop(run);
    assert_eq!(open(&disk), Some(whole));
    let verdict = inspect(&disk, &mut |_| ()).unwrap().verdict;
    assert!(matches!(verdict, Verdict::Sound), "{verdict:?}");
}

/// A write that the disk has said to have done and has not: what was there before is whole, and of another history.
#[test]
fn a_lost_write_is_refused() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    let before = disk.copy();
    let name = logs(&disk).remove(0);
    let mut other = Run::start(&Place::Wal(before.clone()));
    for (run, node) in [(&mut run, 1), (&mut other, 2)] {
        run.append(&[Op::Vote { term: 1, voted_for: Some(node) }]).unwrap();
        run.sync().unwrap();
    }
    let old = before.files()[&name].clone();
    let end = old.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    run.append(&[Op::Vote { term: 2, voted_for: Some(1) }]).unwrap();
    run.sync().unwrap();
    drop(run);
    let mut bytes = disk.files()[&name].clone();
    assert_eq!(open(&disk.copy()).unwrap().term, 2);
    bytes[..end].copy_from_slice(&old[..end]);
    disk.put(&name, bytes);
    assert_eq!(open(&disk), None);
}

/// The last frame of a segment is damaged, and of the next segment nothing is left but the header.
#[test]
fn the_header_of_a_segment_proves_what_was_before() {
    let (disk, run) = written(true);
    drop(run);
    let names = logs(&disk);
    let mut bytes = disk.files()[&names[0]].clone();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end] ^= 1;
    disk.put(&names[0], bytes);
    names[2..].iter().for_each(|name| drop(disk.take(name)));
    let mut next = disk.files()[&names[1]].clone();
    next[104..].fill(0);
    disk.put(&names[1], next.clone());
    assert_eq!(open(&disk), None);
    // Without it, it could be a write that was torn.
    next.fill(0);
    disk.put(&names[1], next);
    assert!(open(&disk).is_some());
}

/// Segments are known by their names, and what they say must agree.
#[test]
fn a_segment_under_another_name_is_refused() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    run.append(&[Op::Vote { term: 1, voted_for: Some(1) }]).unwrap();
    run.sync().unwrap();
    drop(run);
    let [first, second] = logs(&disk).try_into().unwrap();
    let reserve = disk.take(&second);
    let segment = disk.take(&first);
    disk.put("wal-0000000000000003.log", segment);
    assert_eq!(open(&disk), None);
    // A segment that was only prepared is not the begin of a log, unless it is the first.
    disk.take("wal-0000000000000003.log");
    disk.put(&second, reserve.clone());
    assert_eq!(open(&disk), None);
    disk.take(&second);
    disk.put(&first, reserve);
    assert_eq!(open(&disk), Some(Restored::default()));
}

/// Whole files that are not there. The one that is prepared for later is the only one that may be missing.
#[test]
fn a_missing_file_is_refused() {
    let (disk, run) = written(true);
    let mut prepared = 0;
    for (name, bytes) in disk.files() {
        let disk = disk.copy();
        disk.take(&name);
        if bytes.iter().all(|byte| *byte == 0) {
            prepared += 1;
            assert_eq!(open(&disk), Some(run.model().restored(Some(&meta(5, 3)))), "without {name}");
        } else {
            assert_eq!(open(&disk), None, "without {name}");
        }
    }
    assert_eq!(prepared, 1, "{:?}", disk.files().keys());
}

/// The state file of the simple storage, torn or with a flipped bit.
#[test]
fn a_state_file_is_whole_or_refused() {
    let place = Place::Persister(tempfile::tempdir().unwrap());
    let Place::Persister(folder) = &place else { unreachable!() };
    let mut run = Run::start(&place);
    let entries = vec![Entry { term: 1, payload: Payload::Command(Command::new("value").unwrap()) }];
    run.append(&[Op::Vote { term: 1, voted_for: Some(1) }, Op::Append { first: 1, entries }]).unwrap();
    run.sync().unwrap();
    drop(run);
    let whole = opened(&place).restored;
    let path = folder.path().join("state.json");
    let bytes = std::fs::read(&path).unwrap();
    let check = |broken: &[u8]| {
        std::fs::write(&path, broken).unwrap();
        match place.open() {
            Ok(found) => assert_eq!(found.restored, whole, "{}", String::from_utf8_lossy(broken)),
            Err(StorageError::Damaged { path: named, .. } | StorageError::Foreign { path: named, .. }) => {
                assert_eq!(named, path);
            }
            Err(error) => panic!("{error}"),
        }
        place.open().is_err()
    };
    for cut in 0..bytes.len() {
        assert!(check(&bytes[..cut]), "cut at {cut}");
    }
    for place in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[place] ^= 1 << (place % 8);
        check(&broken);
    }
    assert!(!check(&bytes));
}
