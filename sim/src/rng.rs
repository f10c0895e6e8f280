//! Randomness: one ChaCha stream per purpose and party, all from one seed, so that drawing more for one purpose
//! does not shift what another one draws.

use alloy_primitives::keccak256;
use rand::{RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// What randomness is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Jitter, loss, damage of frames.
    Network,
    /// Which faults strike whom.
    Faults,
    /// Transactions of users.
    Workload,
    /// Seeds of nodes.
    Nodes,
    /// When miners find blocks.
    Mining,
    /// What Byzantine actors choose.
    Byzantine,
    /// What disks lose.
    Disk,
    /// The whole configuration of a swarm run.
    Swarm,
    /// What checkers sample.
    Checkers,
}

/// Opens the stream of one party for one purpose.
pub fn stream(seed: u64, purpose: Purpose, party: u64) -> ChaCha8Rng {
    let name = format!("{purpose:?}");
    let bytes = [&seed.to_be_bytes()[..], name.as_bytes(), &party.to_be_bytes()].concat();
    ChaCha8Rng::from_seed(keccak256(bytes).0)
}

/// Draws whether something of this probability happens.
pub fn happens(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    probability > 0.0 && unit(rng) < probability
}

/// Draws from an exponential distribution.
///
/// With `libm`, whose results do not depend on the machine.
pub fn exponential(rng: &mut ChaCha8Rng, mean: Duration) -> Duration {
    let micros = -libm::log(1.0 - unit(rng)) * mean.as_micros() as f64;
    Duration::from_micros(micros as u64)
}

/// Draws uniformly from 0 (with) to 1 (without).
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.random::<u64>() >> 11) as f64 / (1u64 << 53) as f64
}
