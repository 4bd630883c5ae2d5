//! `traitwire debug wal` as an operator meets it: what it prints, and its exit codes.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{Disk, Identity, RealDisk, Storage, Wal};
use traitwire_kv::services::raft::{self, Entry, Membership, Payload, SnapshotMeta};

fn debug_wal(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_traitwire"))
        .args(["debug", "wal"])
        .arg(folder)
        .args(arguments)
        .output();
    let Output { status, stdout, stderr } = command.unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn open(folder: &Path) -> Box<dyn Storage> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).unwrap());
    let identity = Identity { cluster: "c".to_owned(), node: 1 };
    Wal::open(disk, identity, WalOptions { segment_bytes: 16 << 10 }).unwrap().storage
}

/// A log with one record of each kind.
fn written(folder: &Path) -> Box<dyn Storage> {
    let mut storage = open(folder);
    let membership = Membership { voters: vec![1], ..Membership::default() };
    let snapshot = SnapshotMeta { last_index: 2, last_term: 1, membership: Box::new(membership.clone()) };
    let command = Payload::Command(raft::Command::new("v").unwrap());
    let payloads = [Payload::Blank, command, Payload::Membership(Box::new(membership))];
    let entries = payloads.into_iter().map(|payload| Entry { term: 1, payload }).collect();
    storage.append(&[Op::Vote { term: 1, voted_for: Some(1) }, Op::Append { first: 1, entries }]).unwrap();
    storage.sync().unwrap();
    storage.snapshots().save(&snapshot, &mut [0].as_slice()).unwrap();
    let install = Op::Install { snapshot, keep_suffix: true };
    storage.append(&[Op::Truncate(3), Op::Compact { index: 1, term: 1 }, install]).unwrap();
    storage.sync().unwrap();
    storage
}

fn log_file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("wal-0000000000000001.log")
}

/// Works beside the process that has the log open.
#[test]
fn a_sound_log_is_printed_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = written(folder.path());
    storage.idle().unwrap();
    let before = std::fs::read(log_file(&folder)).unwrap();
    let (code, out, error) = debug_wal(folder.path(), &["--json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        kinds,
        [
            "segment",
            "proof",
            "vote",
            "blank",
            "command",
            "membership",
            "truncate",
            "compact",
            "install",
            "proof",
            ""
        ]
    );
    let command = &lines[4];
    assert_eq!((&command["index"], &command["term"], &command["bytes"]), (&2.into(), &1.into(), &27.into()));
    let place = usize::try_from(command["offset"].as_u64().unwrap()).unwrap();
    assert_eq!(&before[place + 24..place + 27], b"\"v\"");
    assert_eq!(lines[10], serde_json::json!({"verdict": "sound", "unproven": false}));
    let (code, out, _) = debug_wal(folder.path(), &[]);
    assert_eq!((code, out.lines().count()), (0, 11));
    assert!(out.contains("command    index 2        term 1      27 bytes, crc ok\n"), "{out}");
    assert!(out.ends_with("sound: a start keeps all of it\n"), "{out}");
    assert_eq!(std::fs::read(log_file(&folder)).unwrap(), before);
}

#[test]
fn a_torn_end_would_be_cut_and_damage_be_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path()));
    let whole = std::fs::read(log_file(&folder)).unwrap();
    let (_, out, _) = debug_wal(folder.path(), &[]);
    assert!(out.contains("not proven yet"), "{out}");
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();

    let mut torn = whole.clone();
    torn[end] = 0;
    std::fs::write(log_file(&folder), torn).unwrap();
    let (code, out, _) = debug_wal(folder.path(), &[]);
    assert_eq!(code, 0);
    assert!(out.contains("membership") && !out.contains("truncate"), "{out}");
    assert!(out.contains("a start cuts segment 1 at byte "), "{out}");

    let mut damaged = whole.clone();
    let vote = whole.windows(3).position(|bytes| bytes == b"\"v\"").unwrap();
    damaged[vote + 1] = b'w';
    std::fs::write(log_file(&folder), damaged).unwrap();
    let (code, out, _) = debug_wal(folder.path(), &["--json"]);
    assert_eq!(code, 1);
    let verdict: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["verdict"], "refused");
    assert_eq!(verdict["file"], log_file(&folder).display().to_string());
    let offset = verdict["offset"].as_u64().unwrap();
    let (code, out, _) = debug_wal(folder.path(), &[]);
    assert_eq!(code, 1);
    assert!(out.contains(&format!("wal-0000000000000001.log: damaged at byte {offset}: frame 2 ")), "{out}");
}

#[test]
fn a_folder_without_a_log_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, error) = debug_wal(folder.path(), &[]);
    assert_eq!((code, out.as_str(), error.contains("there is no log")), (1, "", true), "{error}");
    let (code, _, error) = debug_wal(&folder.path().join("nowhere"), &[]);
    assert_eq!((code, error.contains("nowhere")), (1, true), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A file that is far longer than any that a node writes is refused at once, whether it has holes or not.
#[test]
fn a_huge_file_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    drop(written(folder.path()));
    let name = "wal-0000000000000001.log";
    for (name, bytes) in [(name, 64 << 30), ("wal-0000000000000002.log", 1 << 50)] {
        let file =
            std::fs::File::options().write(true).create(true).truncate(false).open(folder.path().join(name));
        let file = file.unwrap();
        let before = file.metadata().unwrap().len();
        // Not every file system has files that long.
        if file.set_len(bytes).is_err() {
            continue;
        }
        let began = std::time::Instant::now();
        let (code, _, error) = debug_wal(folder.path(), &[]);
        assert_eq!(code, 1);
        assert!(error.contains(name) && error.contains(&bytes.to_string()), "{error}");
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        file.set_len(before).unwrap();
    }
    assert_eq!(debug_wal(folder.path(), &[]).0, 0);
}
