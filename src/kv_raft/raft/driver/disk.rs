//! The thread that writes: it drains its queue, writes once, syncs once and confirms all of it. While one sync runs the
//! next batch gathers, so the sync itself is the batching window.
//!
//! A storage that never waits is written without a thread, since handing a batch over would take longer than writing it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::kv_raft::raft::core::{DiskSpace, Persist, Position};
use crate::kv_raft::raft::storage::{Storage, StorageError};

/// How many batches may wait for the disk before the driver takes no more work.
const BATCHES_MAX: u64 = 64;

/// How long after the last batch the disk is idle: time to prove that batch, and to look for space again.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// What the disk says; only the newest matters.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// Everything up to here is safe.
    pub(super) durable: Position,
    /// Whether there is space for entries.
    pub(super) space: DiskSpace,
    /// Why nothing more will be written.
    pub(super) failed: Option<Arc<StorageError>>,
    /// How many batches were written.
    batches: u64,
}

/// How long the disk has been at work on one batch.
#[derive(Clone, Debug)]
pub(in crate::kv_raft::raft) struct DiskWatch {
    origin: Instant,
    /// When that work began, in microseconds after `origin`; 0 while the disk is idle.
    began_us: Arc<AtomicU64>,
}

impl DiskWatch {
    fn new() -> Self {
        Self { origin: Instant::now(), began_us: Arc::default() }
    }

    fn begin(&self) {
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.began_us.store(us.max(1), Ordering::Relaxed);
    }

    fn end(&self) {
        self.began_us.store(0, Ordering::Relaxed);
    }

    /// How long the disk has been at work on what it does now; `None` while it is idle.
    pub(in crate::kv_raft::raft) fn busy_for(&self) -> Option<Duration> {
        match self.began_us.load(Ordering::Relaxed) {
            0 => None,
            began_us => Some(self.origin.elapsed().saturating_sub(Duration::from_micros(began_us))),
        }
    }
}

/// The driver's end.
pub(super) struct Disk {
    way: Way,
    sent: u64,
    reports: watch::Receiver<Report>,
    watch: DiskWatch,
}

/// Where batches are written.
enum Way {
    /// In a thread of its own.
    Thread { jobs: Sender<Persist>, thread: JoinHandle<()> },
    /// In the driver's own task.
    Here(Writer),
}

impl Disk {
    /// Starts the thread, if one is needed.
    pub(super) fn start(mut storage: Box<dyn Storage>) -> std::io::Result<Self> {
        let first = Report { durable: 0, space: storage.space(), failed: None, batches: 0 };
        let (reports_in, reports) = watch::channel(first);
        let is_immediate = storage.is_immediate();
        let watch = DiskWatch::new();
        let writer = Writer { storage, reports: reports_in, unproven: false, watch: watch.clone() };
        let way = if is_immediate {
            Way::Here(writer)
        } else {
            let (jobs, queue) = channel();
            let thread =
                std::thread::Builder::new().name("raft-disk".into()).spawn(move || writer.run(&queue))?;
            Way::Thread { jobs, thread }
        };
        Ok(Self { way, sent: 0, reports, watch })
    }

    /// Tells whether a write hangs.
    pub(super) fn watch(&self) -> DiskWatch {
        self.watch.clone()
    }

    /// Takes a batch; a report tells when it is safe.
    pub(super) fn write(&mut self, batch: Persist) {
        self.sent += 1;
        match &mut self.way {
            Way::Thread { jobs, .. } => {
                // A thread that has ended has said why in its last report.
                let _ended = jobs.send(batch);
            }
            Way::Here(writer) => {
                let written = writer.write(batch, std::iter::empty());
                writer.report_failure(written);
            }
        }
    }

    /// Whether the driver may go on making batches.
    pub(super) fn has_room(&self) -> bool {
        self.sent - self.reports.borrow().batches < BATCHES_MAX
    }

    /// Waits for news.
    pub(super) async fn changed(&mut self) -> Report {
        let has_ended = self.reports.changed().await.is_err();
        let mut report = self.reports.borrow_and_update().clone();
        if has_ended && report.failed.is_none() {
            // A thread that ends by itself has said why; a panic of it has said that on standard error.
            report.failed = Some(Arc::new(StorageError::Panicked));
        }
        report
    }

    /// The newest news.
    pub(super) fn report(&self) -> Report {
        self.reports.borrow().clone()
    }

    /// Has everything written that was taken, and waits for it.
    ///
    /// # Errors
    /// When that has failed.
    pub(super) async fn close(self) -> Result<(), Arc<StorageError>> {
        let panicked = match self.way {
            Way::Thread { jobs, thread } => {
                drop(jobs);
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                matches!(joined, Ok(Err(_)))
            }
            Way::Here(mut writer) => {
                let rested = writer.rest();
                writer.report_failure(rested);
                false
            }
        };
        match &self.reports.borrow().failed {
            Some(error) => Err(error.clone()),
            None if panicked => Err(Arc::new(StorageError::Panicked)),
            None => Ok(()),
        }
    }
}

/// What writes.
struct Writer {
    storage: Box<dyn Storage>,
    reports: watch::Sender<Report>,
    /// Whether something was written since the disk was last idle.
    unproven: bool,
    /// Written by the thread alone.
    watch: DiskWatch,
}

impl Writer {
    /// The thread.
    fn run(mut self, queue: &Receiver<Persist>) {
        let written = self.write_all(queue);
        self.report_failure(written);
    }

    fn report_failure(&self, written: Result<(), StorageError>) {
        if let Err(error) = written {
            tracing::error!("the disk has failed, and nothing more is written: {error}");
            self.reports.send_modify(|report| report.failed = Some(Arc::new(error)));
        }
    }

    fn write_all(&mut self, queue: &Receiver<Persist>) -> Result<(), StorageError> {
        loop {
            let next = queue.recv_timeout(self.patience());
            self.watch.begin();
            match next {
                Ok(batch) => self.write(batch, queue.try_iter())?,
                Err(RecvTimeoutError::Timeout) => self.rest()?,
                Err(RecvTimeoutError::Disconnected) => return self.rest(),
            }
            self.watch.end();
        }
    }

    /// How long to wait before resting.
    fn patience(&self) -> Duration {
        let is_full = self.reports.borrow().space == DiskSpace::Full;
        if self.unproven || is_full { IDLE_AFTER } else { Duration::MAX }
    }

    /// Writes a batch and all that wait behind it.
    fn write(&mut self, first: Persist, waiting: impl Iterator<Item = Persist>) -> Result<(), StorageError> {
        let mut durable = first.position;
        let mut batches = 1;
        self.storage.append(&first.ops)?;
        for next in waiting {
            self.storage.append(&next.ops)?;
            (durable, batches) = (next.position, batches + 1);
        }
        self.storage.sync()?;
        self.unproven = true;
        let space = self.storage.space();
        self.reports.send_modify(|report| {
            report.durable = durable;
            report.space = space;
            report.batches += batches;
        });
        Ok(())
    }

    fn rest(&mut self) -> Result<(), StorageError> {
        // A full disk is written to as well: a node that waits for space must notice when its disk fails.
        let is_full = self.reports.borrow().space == DiskSpace::Full;
        if std::mem::take(&mut self.unproven) || is_full {
            self.storage.idle()?;
        }
        let space = self.storage.space();
        self.reports.send_if_modified(|report| std::mem::replace(&mut report.space, space) != space);
        Ok(())
    }
}
