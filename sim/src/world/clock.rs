//! A node's clock: how the world's time looks to it.

use crate::Moment;
use kette_types::Time;
use std::time::Duration;

/// Shows `base + offset + elapsed * (1 + drift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it showed, microseconds since the Unix epoch,
    shown: i128,
    /// at this moment,
    at: Moment,
    /// and by how much it runs faster since, parts per million.
    drift_ppm: i64,
}

impl Clock {
    /// Makes a clock that shows `epoch` plus an offset when the run begins.
    pub fn new(epoch: Time, offset_ms: i64, drift_ppm: i64) -> Self {
        let shown = (i128::from(epoch.as_millis()) + i128::from(offset_ms)) * 1_000;
        Self { shown, at: Moment::START, drift_ppm: bounded(drift_ppm) }
    }

    /// Returns what it shows.
    pub fn time(&self, now: Moment) -> Time {
        Time::from_millis(u64::try_from(self.micros(now) / 1_000).unwrap_or(0))
    }

    /// Returns the first moment, not before `now`, at which it shows `time`.
    pub fn moment(&self, now: Moment, time: Time) -> Moment {
        let wanted = i128::from(time.as_millis()) * 1_000;
        let shown = self.micros(now);
        if wanted <= shown {
            return now;
        }
        let pace = MILLION + i128::from(self.drift_ppm);
        let wait = ((wanted - shown) * MILLION + pace - 1) / pace;
        let mut moment = now + Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX));
        // Rounding of the elapsed part may leave the last microsecond out.
        while moment < Moment::NEVER && self.micros(moment) < wanted {
            moment = moment + Duration::from_micros(1);
        }
        moment
    }

    /// Adds milliseconds once.
    pub fn jump(&mut self, now: Moment, millis: i64) {
        self.shown = self.micros(now) + i128::from(millis) * 1_000;
        self.at = now;
    }

    /// Changes its pace from now on.
    pub fn drift(&mut self, now: Moment, ppm: i64) {
        self.shown = self.micros(now);
        self.at = now;
        self.drift_ppm = bounded(ppm);
    }

    fn micros(&self, now: Moment) -> i128 {
        let elapsed = i128::from(now.as_micros()) - i128::from(self.at.as_micros());
        self.shown + elapsed + elapsed * i128::from(self.drift_ppm) / MILLION
    }
}

/// A clock neither stands still nor runs twice as fast.
fn bounded(ppm: i64) -> i64 {
    ppm.clamp(-500_000, 500_000)
}

const MILLION: i128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_it_says_it_will_show() {
        let epoch = Time::from_secs(1_700_000_000);
        for drift in [-200_000, -37, 0, 41, 333_333] {
            let mut clock = Clock::new(epoch, -250, drift);
            clock.jump(Moment::from_micros(777), 1_234);
            let now = Moment::from_micros(1_000);
            for ahead in [0, 1, 999, 60_000] {
                let time = clock.time(now) + Duration::from_millis(ahead);
                let moment = clock.moment(now, time);
                assert!(clock.time(moment) >= time, "{drift} {ahead}");
                assert!(moment == now || clock.time(moment - Duration::from_micros(2)) < time);
            }
        }
    }
}
