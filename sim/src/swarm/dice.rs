//! Draws in the shapes that a configuration needs.

use crate::rng::{ChaCha8Rng, happens, unit};
use rand::RngExt;
use std::{ops::RangeInclusive, time::Duration};

/// A stream of draws.
#[derive(Debug)]
pub(super) struct Dice(pub(super) ChaCha8Rng);

impl Dice {
    /// Draws whether something of this probability happens.
    pub(super) fn coin(&mut self, probability: f64) -> bool {
        happens(&mut self.0, probability)
    }

    /// Draws uniformly; the lower end if the range is empty.
    pub(super) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        if range.is_empty() { *range.start() } else { self.0.random_range(range) }
    }

    /// Draws uniformly; the lower end if the range is empty.
    pub(super) fn count(&mut self, range: RangeInclusive<usize>) -> usize {
        if range.is_empty() { *range.start() } else { self.0.random_range(range) }
    }

    /// Draws uniformly, with three decimal places, so that it stands in a file as it is.
    pub(super) fn share(&mut self, from: f64, to: f64) -> f64 {
        let thousandths = (from + unit(&mut self.0) * (to - from)) * 1_000.0;
        libm::round(thousandths) / 1_000.0
    }

    /// Draws whole milliseconds, small ones as often as large ones (uniform in the logarithm).
    pub(super) fn time(&mut self, from: Duration, to: Duration) -> Duration {
        let (from, to) = (from.as_millis() as f64, to.as_millis() as f64);
        if from >= to {
            return Duration::from_millis(from as u64);
        }
        let log = libm::log(from.max(1.0));
        let drawn = libm::exp(log + unit(&mut self.0) * (libm::log(to) - log));
        Duration::from_millis((drawn as u64).clamp(from as u64, to as u64))
    }

    /// Draws whole milliseconds uniformly.
    pub(super) fn moment(&mut self, from: Duration, to: Duration) -> Duration {
        let range = from.as_millis() as u64..=to.as_millis() as u64;
        Duration::from_millis(self.number(range))
    }

    /// Draws a positive or negative number of at most this size.
    pub(super) fn signed(&mut self, most: u64) -> i64 {
        let size = i64::try_from(self.number(0..=most)).unwrap_or(i64::MAX);
        if self.coin(0.5) { size } else { -size }
    }

    /// Draws one of these.
    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())].clone()
    }
}
