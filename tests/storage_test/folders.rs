//! Whose folder it is, what is in it, and what goes away.

use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::{Identity, Opened, PersisterStorage, StorageError, Wal};
use traitwire_kv::services::raft::{Entry, Payload};

use super::disk::FaultyDisk;
use super::model::meta;
use super::{OPTIONS, Place, Run, opened};

fn refusal(result: Result<Opened, StorageError>) -> StorageError {
    result.err().expect("it should have been refused")
}

#[test]
fn a_folder_opens_for_its_owner_alone() {
    let disk = FaultyDisk::default();
    drop(opened(&Place::Wal(disk.clone())));
    let folder = tempfile::tempdir().unwrap();
    let persister = Place::Persister(folder);
    drop(opened(&persister));
    let Place::Persister(folder) = &persister else { unreachable!() };
    for (cluster, node) in [("test", 2), ("other", 1), ("", 0)] {
        let identity = Identity { cluster: cluster.to_owned(), node };
        for refused in [
            Wal::open(Arc::new(disk.clone()), identity.clone(), OPTIONS),
            PersisterStorage::open(folder.path(), identity.clone()),
        ] {
            let error = refusal(refused);
            assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains("node 1 of cluster `test`"), "{error}");
        }
    }
}

#[test]
fn a_folder_opens_once_at_a_time() {
    for place in Place::all() {
        if matches!(place, Place::Memory(_)) {
            continue;
        }
        let first = opened(&place);
        assert!(matches!(refusal(place.open()), StorageError::InUse { .. }));
        drop(first);
        opened(&place);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let disk = FaultyDisk::default();
    drop(opened(&Place::Wal(disk.clone())));
    let (name, mut bytes) = disk.files().into_iter().find(|(name, _)| name.starts_with("wal-")).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.put(&name, bytes);
    let error = refusal(Place::Wal(disk).open());
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("format 2"), "{error}");
}

/// CRC-32 (IEEE), bit by bit: the format is what the documentation says, and not what a library does.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A snapshot, or a compaction, says that there was a log and a snapshot.
#[test]
fn a_log_and_its_snapshot_belong_together() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    let entries = vec![Entry { term: 1, payload: Payload::Blank }; 5];
    run.append(&[Op::Append { first: 1, entries }]).unwrap();
    run.save(&meta(4, 1)).unwrap();
    run.append(&[Op::Compact { index: 3, term: 1 }]).unwrap();
    run.sync().unwrap();
    drop(run);
    for (gone, says) in [("wal-", "no log"), ("snapshot-", "no snapshot")] {
        let disk = disk.copy();
        let names: Vec<_> = disk.files().into_keys().filter(|name| name.starts_with(gone)).collect();
        assert!(!names.is_empty());
        names.iter().for_each(|name| drop(disk.take(name)));
        let error = refusal(Place::Wal(disk).open());
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// Segments are used again when their entries are compacted or replaced, and the folder stays small.
#[test]
fn old_segments_are_not_kept_for_ever() {
    let disk = FaultyDisk::default();
    let mut run = Run::start(&Place::Wal(disk.clone()));
    for round in 0..200_u64 {
        let entries = vec![Entry { term: 1, payload: Payload::Blank }; 20];
        let last = run.model().last_index();
        run.append(&[Op::Append { first: last + 1, entries }]).unwrap();
        run.sync().unwrap();
        if round % 3 == 0 {
            run.append(&[Op::Truncate(last + 11)]).unwrap();
        }
        if round % 5 == 4 {
            run.save(&meta(last, 1)).unwrap();
            run.append(&[Op::Compact { index: last - 10, term: 1 }]).unwrap();
        }
        run.sync().unwrap();
        assert!(disk.files().len() <= 5, "{:?}", disk.files().keys());
    }
    assert!(disk.files().keys().any(|name| name.contains("0000002")), "many segments were written");
    drop(run.storage);
    run.known.check(&opened(&Place::Wal(disk.clone())));
    // What was not begun when the process ended is not begun again.
    let before = disk.files().len();
    drop(opened(&Place::Wal(disk.clone())));
    assert_eq!(disk.files().len(), before);
}

/// The names of the files that a node keeps in a folder, each of which something else may stand for.
fn files_of(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs `start` in a thread, since a start that opens a pipe would hang.
fn refused_soon(place: impl Fn() -> Result<Opened, StorageError> + Send + 'static) -> String {
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(place().err().map(|error| error.to_string())));
    let outcome = tells.recv_timeout(std::time::Duration::from_secs(10)).expect("the start hangs");
    outcome.expect("it should have been refused")
}

/// Whatever stands under the name of a file that is not one: the start refuses it and says which, and touches nothing.
#[test]
fn what_is_not_a_regular_file_is_refused() {
    for is_wal in [true, false] {
        let open = move |folder: &std::path::Path| {
            if is_wal {
                let disk = Arc::new(
                    super::RealDisk::new(folder)
                        .map_err(|error| StorageError::Io { path: folder.to_owned(), error })?,
                );
                Wal::open(disk, super::identity(), OPTIONS)
            } else {
                PersisterStorage::open(folder, super::identity())
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path()).unwrap();
        opened.storage.snapshots().save(&meta(3, 1), &mut super::state_of(&meta(3, 1)).as_slice()).unwrap();
        drop(opened);
        let mut names = files_of(folder.path());
        // A name that the node would give next.
        names.push("snapshot-0.tmp".to_owned());
        for name in names {
            for kind in ["link", "dangling", "pipe", "folder"] {
                let copy = tempfile::tempdir().unwrap();
                for name in files_of(folder.path()) {
                    std::fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
                }
                let elsewhere = tempfile::tempdir().unwrap();
                let (path, target) = (copy.path().join(&name), elsewhere.path().join("precious"));
                let _made_here = std::fs::write(&path, "x").is_ok();
                if kind == "link" {
                    std::fs::rename(&path, &target).unwrap();
                } else {
                    std::fs::remove_file(&path).unwrap();
                }
                let before = std::fs::read(&target).ok();
                match kind {
                    "pipe" => {
                        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
                        assert!(made.success());
                    }
                    "folder" => std::fs::create_dir(&path).unwrap(),
                    _ => std::os::unix::fs::symlink(&target, &path).unwrap(),
                }
                let at = copy.path().to_owned();
                let error = refused_soon(move || open(&at));
                assert!(
                    error.contains(&name) && error.contains("not a regular file"),
                    "{kind} {name}: {error}"
                );
                assert_eq!(std::fs::read(&target).ok(), before, "{kind} {name}: the target was touched");
            }
        }
    }
}

/// A folder may be reached by a link, as on a machine whose data is elsewhere.
#[test]
fn the_folder_may_be_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (data, link) = (folder.path().join("data"), folder.path().join("link"));
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    drop(PersisterStorage::open(&link, super::identity()).unwrap());
    assert!(files_of(&data).contains(&"state.json".to_owned()));
    std::fs::remove_dir_all(&data).unwrap();
    assert!(
        PersisterStorage::open(&link, super::identity()).is_err(),
        "a link to nothing is not an empty folder"
    );
}

/// Nobody but the owner can use what a node makes, nor what an earlier version made.
#[test]
fn a_folder_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("above/data");
    let open = || {
        let disk = Arc::new(super::RealDisk::new(&data).unwrap());
        let opened = Wal::open(disk, super::identity(), OPTIONS).unwrap();
        opened.storage.snapshots().save(&meta(3, 1), &mut super::state_of(&meta(3, 1)).as_slice()).unwrap();
    };
    open();
    let check = || {
        assert_eq!(mode(&data), 0o700);
        for name in files_of(&data) {
            assert_eq!(mode(&data.join(&name)), 0o600, "{name}");
        }
    };
    check();
    for name in files_of(&data) {
        std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(0o666)).unwrap();
    }
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o777)).unwrap();
    open();
    check();
    // A folder with files of others is theirs as well.
    std::fs::write(data.join("notes.txt"), "").unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    open();
    assert_eq!((mode(&data), mode(&data.join("lock"))), (0o755, 0o600));
}
