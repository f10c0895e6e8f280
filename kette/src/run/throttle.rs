//! A budget of hashes per second for a worker thread.

use std::time::{Duration, Instant};

/// Hands out work in small portions so that the mean rate stays at the budget.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<u64>,
    next: Instant,
}

/// Longest portion: a cancelled job ends within it.
const PORTION: Duration = Duration::from_millis(50);
/// Hashes per portion without a budget: a few milliseconds.
const UNLIMITED_PORTION: u64 = 20_000;

impl Throttle {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Returns how many hashes the next portion has, and until when to wait before it.
    pub(super) fn portion(&mut self) -> (u64, Option<Instant>) {
        let Some(rate) = self.rate else { return (UNLIMITED_PORTION, None) };
        let rate = rate.max(1);
        let hashes = (u128::from(rate) * PORTION.as_millis() / 1_000).max(1);
        let hashes = u64::try_from(hashes).unwrap_or(u64::MAX).min(UNLIMITED_PORTION);
        let takes = Duration::from_micros(hashes.saturating_mul(1_000_000) / rate);
        let now = Instant::now();
        let at = self.next.max(now);
        self.next = at + takes;
        (hashes, (at > now).then_some(at))
    }
}
