//! The pool's bounds.

use std::time::Duration;

/// Bounds of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most transactions.
    pub count: usize,
    /// Most bytes of EIP-2718 encodings.
    pub bytes: usize,
    /// Most transactions of one sender, executable or not. Higher than geth's 16 + 64: a test network's
    /// load comes from few accounts, and one sender still holds at most a fiftieth of the pool and must
    /// be able to pay for all of it.
    pub per_sender: usize,
    /// How far a nonce may lie ahead of the sender's first missing one. As `per_sender`: what one sender
    /// sent in order arrives from several peers in any order, and a refused one is not announced again.
    pub nonce_gap: u64,
    /// Percent by which fee cap and tip of a replacement exceed what it replaces.
    pub bump_percent: u64,
    /// How long a transaction waits at most.
    pub expiry: Duration,
    /// Lowest fee cap ever taken, wei per gas.
    pub price_floor: u128,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            count: 50_000,
            bytes: 64 * 1024 * 1024,
            per_sender: 1_000,
            nonce_gap: 1_000,
            bump_percent: 10,
            expiry: Duration::from_secs(60 * 60),
            price_floor: 1,
        }
    }
}
