//! What tests of the runtime have in common: waits with a bound.

use std::time::Duration;

/// How long anything may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test if the future takes longer than anything in a test should, and says where it was waited for.
#[track_caller]
pub(crate) fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let result = tokio::time::timeout(PATIENCE, future).await;
        result.unwrap_or_else(|_| panic!("{place} has waited {PATIENCE:?}"))
    }
}
