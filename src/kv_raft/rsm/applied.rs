//! Up to where the log is applied, and who waits for more of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::services::raft::Index;

/// Up to where the log is applied. Those who wait for it go on in the order in which they came.
#[derive(Default)]
pub(super) struct Applied {
    index: AtomicU64,
    has_ended: AtomicBool,
    changed: Notify,
}

impl Applied {
    pub(super) fn index(&self) -> Index {
        self.index.load(Ordering::Acquire)
    }

    /// The log is applied up to here.
    pub(super) fn advance(&self, index: Index) {
        self.index.store(index, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Nothing more will be applied.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits until the log is applied up to here; false when it never will be.
    pub(super) async fn reach(&self, index: Index) -> bool {
        loop {
            // Made before the look, so that no change between the two is missed.
            let changed = self.changed.notified();
            if self.index() >= index {
                return true;
            }
            if self.has_ended.load(Ordering::Acquire) {
                return false;
            }
            changed.await;
        }
    }
}
