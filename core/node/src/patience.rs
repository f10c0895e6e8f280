//! How long a peer that was asked may keep us waiting.

use kette_types::planted::{Bug, is_planted};
use std::time::Duration;

/// Returns the time after which something is asked elsewhere.
pub(crate) fn patience(timeout: Duration) -> Duration {
    if is_planted(Bug::NoReRequest) { FOR_EVER } else { timeout }
}

const FOR_EVER: Duration = Duration::from_secs(1_000_000);
