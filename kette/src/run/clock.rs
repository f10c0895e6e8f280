//! The node's clock: wall time at start, moved on by the monotonic clock, so that it never goes back.

use kette_types::{ChainSpec, Time};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time in the core's unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Time,
    started: Instant,
    /// How far it is ahead of the wall clock, milliseconds: a wrong clock, for tests.
    ahead_ms: i64,
}

/// Wall and own time may differ this much before the wall clock is taken anew, milliseconds.
const STEP_MS: u64 = 2_000;

impl Clock {
    pub(super) fn new(ahead_ms: i64) -> Self {
        Self { start: wall(ahead_ms), started: Instant::now(), ahead_ms }
    }

    /// Returns the time. Follows the wall clock forward when that was stepped or the machine slept.
    pub(super) fn now(&mut self) -> Time {
        let own = self.start + self.started.elapsed();
        let wall = wall(self.ahead_ms);
        if wall.as_millis() > own.as_millis() + STEP_MS {
            (self.start, self.started) = (wall, Instant::now());
            return wall;
        }
        own
    }
}

/// Returns why a process on this chain cannot have a clock that is wrong by so much; `None` if it can.
pub fn refusal(ahead_ms: i64, spec: &ChainSpec) -> Option<&'static str> {
    match ahead_ms {
        0 => None,
        _ if !cfg!(debug_assertions) => Some(
            "only builds with debug assertions can have a wrong clock (`cargo build` without --release)",
        ),
        _ if !spec.is_local() => Some(
            "clocks are wrong only on chains whose genesis says `network: local` under config.kette",
        ),
        _ => None,
    }
}

fn wall(ahead_ms: i64) -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Time::from_millis(now.saturating_add_signed(ahead_ms))
}
