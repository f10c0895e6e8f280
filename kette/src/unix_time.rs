//! This machine's clock as numbers since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns milliseconds since 1970; 0 if the clock is before that.
pub fn millis() -> u64 {
    u64::try_from(since().as_millis()).unwrap_or(u64::MAX)
}

/// Returns microseconds since 1970; 0 if the clock is before that.
pub fn micros() -> u64 {
    u64::try_from(since().as_micros()).unwrap_or(u64::MAX)
}

fn since() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
