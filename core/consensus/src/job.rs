//! Proof work as data: what costs processor time or disk is ordered from the host and answered later.
//!
//! A node runs jobs on worker threads; the simulator charges virtual time for them.

use kette_types::{Address, B256, Transaction, U256};
use std::sync::Arc;

/// Names a job within one node; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Work for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Recover who signed each transaction (secp256k1, about 34 microseconds each).
    Recover(Arc<Vec<Transaction>>),
    /// Search a nonce so that the proof-of-work hash of `preimage` with it is at most `target`.
    Mine(MineJob),
}

/// A nonce search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MineJob {
    /// What is hashed with the nonce; see [`crate::pow::seal`].
    pub preimage: B256,
    /// Highest hash that wins, big-endian.
    pub target: U256,
    /// Where to begin; the search wraps around.
    pub nonce_start: u64,
    /// Hashes per second at most, all threads together; `None` is as fast as it goes.
    pub rate: Option<u64>,
    /// Worker threads.
    pub threads: u32,
}

/// What a job gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// For [`Job::Recover`]: one per transaction, `None` where the signature is invalid.
    Senders(Vec<Option<Address>>),
    /// For [`Job::Mine`]: the nonce found.
    Nonce(u64),
}
