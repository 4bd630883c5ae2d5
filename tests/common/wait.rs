//! Waits with a bound, which say what they waited for when they end without it.

use std::panic::Location;
use std::time::{Duration, Instant};

/// How often [`until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asserts what the system under test promises. The message of the panic tells it from an assertion of the test itself: a
/// run that goes on for hours must report which of the two has failed.
macro_rules! promised {
    ($kept:expr, $($what:tt)+) => {
        assert!($kept, "{}{}", $crate::common::wait::BROKEN_PROMISE, format_args!($($what)+))
    };
}
pub(crate) use promised;

/// What the message of a panic begins with if the system under test has broken a promise.
pub(crate) const BROKEN_PROMISE: &str = "broken promise: ";

/// Gives what `future` gives. Fails if that takes longer than `bound`, and says that it waited for `what`.
#[track_caller]
pub(crate) fn within<T>(
    bound: Duration,
    what: impl Into<String>,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let (place, what) = (Location::caller(), what.into());
    async move {
        let result = tokio::time::timeout(bound, future).await;
        promised!(result.is_ok(), "{place} waited {bound:?} for {what}");
        result.expect("it was just asserted")
    }
}

/// Asks `look` again and again until it gives something. Fails if that takes longer than `bound`, and says that it waited
/// for `what`.
#[track_caller]
pub(crate) fn until<T, L: Future<Output = Option<T>>>(
    bound: Duration,
    what: impl Into<String>,
    mut look: impl FnMut() -> L,
) -> impl Future<Output = T> {
    let (place, what) = (Location::caller(), what.into());
    async move {
        let end = Instant::now() + bound;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            promised!(Instant::now() < end, "{place} waited {bound:?} for {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
