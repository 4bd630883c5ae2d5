//! What the log costs beside the disk it is on:
//!
//! ```sh
//! cargo bench --bench wal
//! ```
//!
//! - Group commit: so many waiters, each of which adds one entry and waits until it is on the disk, served by one thread
//!   that takes what has come, appends it, syncs once and answers all. Beside it, in turns, the bare rate of writing as many
//!   bytes to a prepared file and calling `fdatasync`.
//! - The cost of adding one entry to a short log and to a long one.
//! - How long a log of a million entries takes to open.
//!
//! The files are in the build folder: it must be on a disk, not in memory. Without `--bench` it runs with few rounds and
//! short logs, as a check that it works.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{Disk, Identity, Opened, RealDisk, Storage, Wal};
use traitwire_kv::services::raft::{Command, Entry, Payload};

/// The bytes of a command.
const COMMAND_BYTES: usize = 100;
/// The bytes of a frame with one command in it: the headers of frame and record, the checksum, and the padding.
const FRAME_BYTES: usize = (24 + 24 + COMMAND_BYTES + 4).next_multiple_of(8);
/// The bytes of a prepared file.
const FILE_BYTES: usize = 8 << 20;

/// How much is measured.
struct Amount {
    rounds: usize,
    round: Duration,
    long_log: u64,
}

fn main() {
    let amount = if std::env::args().any(|argument| argument == "--bench") {
        Amount { rounds: 7, round: Duration::from_millis(700), long_log: 1_000_000 }
    } else {
        Amount { rounds: 1, round: Duration::from_millis(20), long_log: 5_000 }
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    group_commit(folder.path(), &amount);
    log_length(folder.path(), &amount);
}

fn open(folder: &Path) -> Opened {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).unwrap());
    let identity = Identity { cluster: "bench".to_owned(), node: 1 };
    Wal::open(disk, identity, WalOptions::default()).unwrap()
}

fn entry() -> Entry {
    let text = "x".repeat(COMMAND_BYTES - 2);
    Entry { term: 1, payload: Payload::Command(Command::new(&text).unwrap()) }
}

fn group_commit(folder: &Path, amount: &Amount) {
    let waiters = [1, 16, 64, 256];
    let mut syncs = Vec::new();
    let mut entries = vec![Vec::new(); waiters.len()];
    for round in 0..amount.rounds {
        syncs.push(raw_rate(&folder.join(format!("raw-{round}")), amount.round));
        for (rates, count) in entries.iter_mut().zip(waiters) {
            let folder = folder.join(format!("wal-{round}-{count}"));
            rates.push(commit_rate(&folder, count, amount.round));
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    let raw = median(&mut syncs);
    println!("entries of {COMMAND_BYTES} bytes; fdatasync of {FRAME_BYTES} bytes: {raw:.0}/s (medians)");
    println!("{:>8} {:>12} {:>10} {:>8}", "waiters", "entries/s", "of raw", "us/entry");
    for (count, mut rates) in waiters.into_iter().zip(entries) {
        let rate = median(&mut rates);
        println!("{count:>8} {rate:>12.0} {:>9.2}x {:>8.1}", rate / raw, 1e6 / rate);
    }
}

/// Writes and syncs a second.
fn raw_rate(path: &Path, duration: Duration) -> f64 {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).unwrap();
    file.write_all_at(&vec![0; FILE_BYTES], 0).unwrap();
    file.sync_all().unwrap();
    let bytes = [1; FRAME_BYTES];
    let start = Instant::now();
    let mut syncs = 0;
    while start.elapsed() < duration {
        file.write_all_at(&bytes, syncs * FRAME_BYTES as u64 % (FILE_BYTES - FRAME_BYTES) as u64).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    let rate = syncs as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}

/// Entries a second with so many waiters, whose part is played by this thread.
fn commit_rate(folder: &Path, waiters: usize, duration: Duration) -> f64 {
    let (submit, submitted) = channel();
    let (complete, completed) = channel();
    let storage = open(folder).storage;
    let disk = std::thread::spawn(move || serve(storage, &submitted, &complete));
    let entry = entry();
    (0..waiters).for_each(|_| submit.send(entry.clone()).unwrap());
    let start = Instant::now();
    let mut entries = 0;
    while start.elapsed() < duration {
        let done = completed.recv().unwrap();
        entries += done;
        (0..done).for_each(|_| submit.send(entry.clone()).unwrap());
    }
    let rate = entries as f64 / start.elapsed().as_secs_f64();
    drop(submit);
    disk.join().unwrap();
    rate
}

/// The thread of the disk: all that waits is one batch.
fn serve(mut storage: Box<dyn Storage>, submitted: &Receiver<Entry>, complete: &Sender<usize>) {
    let mut first = 1;
    while let Ok(entry) = submitted.recv() {
        let mut entries = vec![entry];
        entries.extend(submitted.try_iter());
        let count = entries.len();
        storage.append(&[Op::Append { first, entries }]).unwrap();
        storage.sync().unwrap();
        first += count as u64;
        // Nobody waits any more when the time is over.
        let _ = complete.send(count);
    }
}

fn log_length(folder: &Path, amount: &Amount) {
    let folder = folder.join("long");
    let mut storage = open(&folder).storage;
    let mut last = 0;
    for length in [1_000, amount.long_log] {
        while last < length {
            let count = (length - last).min(1_000);
            let entries = vec![entry(); usize::try_from(count).unwrap()];
            storage.append(&[Op::Append { first: last + 1, entries }]).unwrap();
            storage.sync().unwrap();
            last += count;
        }
        let mut times = Vec::new();
        for _ in 0..amount.rounds * 100 {
            let entries = vec![entry()];
            let start = Instant::now();
            storage.append(&[Op::Append { first: last + 1, entries }]).unwrap();
            storage.sync().unwrap();
            times.push(start.elapsed().as_secs_f64() * 1e6);
            last += 1;
        }
        println!("one entry more on {length} entries: {:.0} us (median)", median(&mut times));
    }
    storage.idle().unwrap();
    drop(storage);
    let mut times = Vec::new();
    for _ in 0..amount.rounds.min(3) {
        let start = Instant::now();
        let opened = open(&folder);
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(opened.restored.entries.len() as u64, last);
    }
    println!("opening a log of {last} entries: {:.0} ms (median)", median(&mut times));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
