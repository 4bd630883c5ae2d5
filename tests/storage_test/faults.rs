//! What a crash or a failing disk may do to the log, and what must be there afterwards.

use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::{DiskSpace, Op};
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{Memory, Opened, StorageError, Wal};
use traitwire_kv::services::raft::{Entry, Payload, SnapshotBytes};

use super::disk::{FaultyDisk, Plan};
use super::model::{Work, entry, meta, work};
use super::{Place, Run, identity, opened, work_and_restart};

#[test]
fn a_loss_of_power_leaves_what_was_synced() {
    for seed in 0..150 {
        let disk = FaultyDisk::default();
        work_and_restart(&Place::Wal(disk.clone()), seed, 80, &|lot| {
            disk.lose_power(lot);
            let found = opened(&Place::Wal(disk.clone())).restored;
            // What a restart has shown is certain from then on, whatever it found in memory.
            disk.lose_power(lot);
            assert_eq!(opened(&Place::Wal(disk.clone())).restored, found, "seed {seed}");
        });
    }
}

/// The same work up to a failure, again for each operation that can fail.
#[test]
fn any_operation_can_fail() {
    for seed in 0..3 {
        let mut fails_at = 0;
        loop {
            fails_at += 1 + seed;
            let disk = FaultyDisk::default();
            disk.plan(Plan { fails_at: Some(fails_at), ..Plan::default() });
            if !fail_once(&disk, seed) {
                break;
            }
        }
        assert!(fails_at > 200, "the work was over after {fails_at} operations");
    }
}

/// Works until an operation fails, and says whether one has.
fn fail_once(disk: &FaultyDisk, seed: u64) -> bool {
    let place = Place::Wal(disk.clone());
    let mut lot = fastrand::Rng::with_seed(seed);
    let Ok(found) = place.open() else {
        // It failed on an empty disk, and so it is still as good as that.
        disk.lose_power(&mut lot);
        assert_eq!(opened(&place).restored, Memory::default().open().restored);
        return true;
    };
    let mut run = Run::of(found);
    for _ in 0..40 {
        let next = work(run.model(), run.newest().as_ref(), &mut lot);
        let saves = matches!(next, Work::Save(_));
        let Err(error) = run.perform(&next) else { continue };
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        if !saves {
            let again = run.storage.sync();
            assert!(matches!(again, Err(StorageError::Poisoned { .. })), "{again:?}");
        }
        let known = run.kill();
        let found = opened(&place);
        known.check(&found);
        go_on_and_lose_power(disk, found, &mut lot);
        return true;
    }
    false
}

/// A process that starts again after a failure sees in memory what its disk may not have, and must not rely on it: neither
/// at once nor after some more work.
fn go_on_and_lose_power(disk: &FaultyDisk, found: Opened, lot: &mut fastrand::Rng) {
    let mut run = Run::of(found);
    for _ in 0..lot.usize(..20) {
        let next = work(run.model(), run.newest().as_ref(), lot);
        run.perform(&next).unwrap();
    }
    let known = run.kill();
    disk.lose_power(lot);
    known.check(&opened(&Place::Wal(disk.clone())));
}

/// A file that an earlier process has made, without coming to sync its name, is used only when that is done.
#[test]
fn the_name_of_a_found_file_is_synced() {
    const SECOND: &str = "wal-0000000000000002.log";
    let mut lot = fastrand::Rng::with_seed(1);
    for _ in 0..8 {
        let disk = (1..)
            .map(|fails_at| {
                let disk = FaultyDisk::default();
                disk.plan(Plan { fails_at: Some(fails_at), ..Plan::default() });
                assert!(
                    Place::Wal(disk.clone()).open().is_err(),
                    "the second file is made at the first start"
                );
                disk
            })
            .find(|disk| disk.files().contains_key(SECOND))
            .unwrap();
        let place = Place::Wal(disk.clone());
        let mut run = Run::start(&place);
        // An entry keeps the first segment, whose removal would sync the names.
        let entries = vec![Entry { term: 1, payload: Payload::Blank }];
        run.append(&[Op::Append { first: 1, entries }]).unwrap();
        let mut term = 0;
        let mut vote = |run: &mut Run| {
            term += 1;
            run.append(&[Op::Vote { term, voted_for: None }]).unwrap();
            run.sync().unwrap();
        };
        while disk.files()[SECOND].len() < 4_096 {
            vote(&mut run);
        }
        // No third file can be made, whose name would be synced together with that of the second.
        disk.plan(Plan { full_at: Some(0), ..Plan::default() });
        while disk.files()[SECOND].iter().all(|byte| *byte == 0) {
            vote(&mut run);
        }
        let known = run.kill();
        disk.lose_power(&mut lot);
        known.check(&opened(&place));
    }
}

/// The same work on a disk that is full from some operation on, again for each operation.
#[test]
fn a_full_disk_is_told_of_and_nothing_is_lost() {
    let mut full_at = 0;
    let mut told = 0;
    loop {
        full_at += 1;
        let disk = FaultyDisk::default();
        disk.plan(Plan { full_at: Some(full_at), ..Plan::default() });
        match fill(&disk) {
            Filled::NotOpened => {}
            Filled::Told => told += 1,
            Filled::Never => break,
        }
    }
    assert!(told > 100, "a full disk was told of {told} times");
}

enum Filled {
    NotOpened,
    Told,
    Never,
}

/// Adds entries as long as there is space; then goes on with votes alone, until there is space again.
fn fill(disk: &FaultyDisk) -> Filled {
    let place = Place::Wal(disk.clone());
    let mut lot = fastrand::Rng::with_seed(7);
    let Ok(found) = place.open() else { return Filled::NotOpened };
    let mut run = Run::of(found);
    for _ in 0..60 {
        let entries: Vec<_> = (0..3).map(|_| small(run.model().term, &mut lot)).collect();
        run.append(&[Op::Append { first: run.model().last_index() + 1, entries }]).unwrap();
        run.sync().unwrap();
        if run.storage.space() == DiskSpace::Free {
            continue;
        }
        for _ in 0..12 {
            // An entry that was accepted before the disk was found full, and elections.
            let entries = vec![small(run.model().term, &mut lot)];
            let first = run.model().last_index() + 1;
            run.append(&[Op::Append { first, entries }]).unwrap();
            run.append(&[Op::Vote { term: run.model().term + 1, voted_for: Some(1) }]).unwrap();
            run.sync().unwrap();
            run.storage.idle().unwrap();
        }
        assert_eq!(run.storage.space(), DiskSpace::Full);
        let known = run.kill();
        let found = opened(&place);
        known.check(&found);
        run = Run::of(found);
        disk.plan(Plan::default());
        // The restart has not looked for space, or has found none; and now there is some.
        run.storage.space();
        assert_eq!(run.storage.space(), DiskSpace::Free);
        let first = run.model().last_index() + 1;
        let entries = (0..100).map(|_| small(run.model().term, &mut lot)).collect();
        run.append(&[Op::Append { first, entries }]).unwrap();
        run.sync().unwrap();
        let known = run.kill();
        known.check(&opened(&place));
        return Filled::Told;
    }
    Filled::Never
}

/// Votes until the last byte of the reserve, with an entry before them that is needed: no proof fails before a vote does, and what
/// was synced is there.
#[test]
fn a_reserve_lasts_for_many_votes_and_is_used_up() {
    for proven in [true, false] {
        let disk = FaultyDisk::default();
        let place = Place::Wal(disk.clone());
        let mut run = Run::start(&place);
        run.append(&[Op::Append { first: 1, entries: vec![Entry { term: 0, payload: Payload::Blank }] }])
            .unwrap();
        run.sync().unwrap();
        disk.plan(Plan { full_at: Some(0), ..Plan::default() });
        let mut votes = 0;
        let error = loop {
            run.append(&[Op::Vote { term: votes + 1, voted_for: Some(1) }]).unwrap();
            if let Err(error) = run.sync() {
                break error;
            }
            votes += 1;
            if proven {
                run.storage.idle().unwrap();
            }
        };
        assert!(error.is_full(), "{error}");
        assert!(votes > 40, "{votes} votes in a segment of 4 KiB");
        let known = run.kill();
        let found = opened(&place);
        known.check(&found);
        assert_eq!(found.restored.term, votes);
    }
}

/// Where nobody needs the entries any more, votes find space on a full disk for ever: the segments go round.
#[test]
fn a_full_disk_takes_votes_for_ever_where_no_entries_are_kept() {
    let disk = FaultyDisk::default();
    let place = Place::Wal(disk.clone());
    let mut run = Run::start(&place);
    for term in 1..=1_000 {
        run.append(&[Op::Vote { term, voted_for: Some(1) }]).unwrap();
        run.sync().unwrap();
        if term == 100 {
            disk.plan(Plan { full_at: Some(0), ..Plan::default() });
        }
    }
    let known = run.kill();
    known.check(&opened(&place));
}

fn small(term: u64, lot: &mut fastrand::Rng) -> Entry {
    loop {
        let entry = entry(term, lot);
        if format!("{entry:?}").len() < 200 {
            return entry;
        }
    }
}

/// A received snapshot that finds no space is given up, told of, and can be received later; the log goes on.
#[test]
fn a_snapshot_that_finds_no_space_does_not_stop_the_log() {
    let disk = FaultyDisk::default();
    let place = Place::Wal(disk.clone());
    let mut run = Run::start(&place);
    let snapshot = meta(9, 1);
    let bytes = SnapshotBytes(vec![7; 100_000].into());
    let piece =
        |offset, last| Op::SnapshotPiece { snapshot: snapshot.clone(), offset, data: bytes.clone(), last };
    let install = Op::Install { snapshot: snapshot.clone(), keep_suffix: false };
    run.storage.append(&[piece(0, false)]).unwrap();
    disk.plan(Plan { full_at: Some(0), ..Plan::default() });
    run.storage.append(&[piece(100_000, false)]).unwrap();
    run.append(&[Op::Vote { term: 1, voted_for: Some(2) }]).unwrap();
    run.sync().unwrap();
    assert_eq!(run.storage.space(), DiskSpace::Full);
    disk.plan(Plan::default());
    assert_eq!(run.storage.space(), DiskSpace::Free);
    run.storage.append(&[piece(200_000, true)]).unwrap();
    assert_eq!(run.newest(), None, "the pieces before are gone");
    run.append(&[piece(0, false), piece(100_000, true), install]).unwrap();
    run.sync().unwrap();
    let known = run.kill();
    let found = opened(&place);
    assert_eq!(found.restored.snapshot, Some(snapshot));
    assert_eq!(found.restored, known.history.last().unwrap().restored(found.restored.snapshot.as_ref()));
    assert!(disk.files().keys().all(|name| !name.ends_with(".tmp")), "{:?}", disk.files().keys());
    // Without the snapshot there is nothing to install.
    let missing = Op::Install { snapshot: meta(11, 1), keep_suffix: false };
    let mut run = Run::of(found);
    assert!(matches!(run.storage.append(&[missing]), Err(StorageError::Io { .. })));
}

/// What a sync writes does not depend on what is there.
#[test]
fn a_sync_costs_what_was_added() {
    const VOTES: u64 = 20;
    const SEGMENT_BYTES: u64 = 1 << 20;
    for entries in [1, 100, 10_000, 100_000] {
        let disk = FaultyDisk::default();
        let options = WalOptions { segment_bytes: SEGMENT_BYTES };
        let mut storage = Wal::open(Arc::new(disk.clone()), identity(), options).unwrap().storage;
        let blank = Entry { term: 1, payload: Payload::Blank };
        storage.append(&[Op::Append { first: 1, entries: vec![blank; entries] }]).unwrap();
        storage.sync().unwrap();
        let before = disk.counts();
        for term in 1..=VOTES {
            storage.append(&[Op::Vote { term, voted_for: None }]).unwrap();
            storage.sync().unwrap();
        }
        let after = disk.counts();
        let (bytes, syncs) = (after.written_bytes - before.written_bytes, after.syncs - before.syncs);
        // At most one step in preparing the next segment comes with them.
        assert!(bytes <= VOTES * 64 + SEGMENT_BYTES / 8, "{bytes} bytes after {entries} entries");
        assert!((VOTES..=VOTES + 1).contains(&syncs), "{syncs} syncs after {entries} entries");
    }
}
