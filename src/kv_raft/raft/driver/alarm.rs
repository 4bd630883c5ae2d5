//! The timer of a driver, which is set no more often than it must be.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::kv_raft::raft::core::Time;

/// How long the alarm is set for at most.
const ALARM_MAX: Duration = Duration::from_secs(3600);

/// Rings when a deadline is reached, or before: a deadline that has moved away is looked at again when the alarm rings, since
/// setting a timer anew for every message costs a system call each time.
pub(super) struct Alarm {
    origin: Instant,
    timer: Pin<Box<Sleep>>,
    set_for: Time,
}

impl Alarm {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, timer: Box::pin(tokio::time::sleep_until(origin)), set_for: Time(0) }
    }

    /// Waits for a deadline.
    pub(super) async fn by(&mut self, deadline: Time) {
        if deadline < self.set_for || self.timer.is_elapsed() {
            // What is too far off to be told is looked at again before.
            let instant = self.origin.checked_add(Duration::from_micros(deadline.0));
            self.timer.as_mut().reset(instant.unwrap_or_else(|| Instant::now() + ALARM_MAX));
            self.set_for = deadline;
        }
        self.timer.as_mut().await;
    }
}
