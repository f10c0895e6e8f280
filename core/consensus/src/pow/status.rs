//! What `pow` shows of itself: for operators, the dashboard and external miners.

use kette_types::{B256, U256};
use serde::Serialize;

/// State and constants of the engine, as of the last input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PowStatus {
    /// Whether blocks are produced continuously.
    pub mining: bool,
    /// Whether a block is produced whenever transactions wait.
    pub on_demand: bool,
    /// Worker threads; with 0 templates are made for external miners only.
    pub threads: u32,
    /// Hashes per second at most.
    pub mine_rate: Option<u64>,
    /// Blocks found by this node or its external miners since start.
    pub blocks_found: u64,
    /// Blocks still to be produced on command.
    pub blocks_ordered: u64,
    /// Difficulty of the next block.
    pub difficulty: U256,
    /// Target of the next block.
    pub target: U256,
    /// The current template, for external miners.
    pub work: Option<Work>,
    /// Hashes per second of the whole network, estimated from recent blocks.
    pub hash_rate_estimate: U256,
    /// Seconds by which the head is behind the schedule; negative if it is ahead.
    pub excess_seconds: i64,
    /// Seconds of the head's solve time that do not count, because they exceed the pause limit.
    pub pause_skip_seconds: u64,
    /// A heavier branch that waits for an operator.
    pub alarm: Option<Alarm>,
    /// Ideal time between blocks, seconds.
    pub block_time: u64,
    /// Depth at which a block is final.
    pub finality_depth: u64,
    /// Deepest reorganization that needs no operator.
    pub reorg_limit: u64,
    /// Longest solve time that counts, seconds.
    pub pause_limit: u64,
    /// Development: seconds that new blocks are ahead of the clock.
    pub time_offset: i64,
}

/// Work for an external miner: find a nonce so that the proof-of-work hash is at most the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// What is hashed with the nonce.
    pub preimage: B256,
    /// Highest hash that wins.
    pub target: U256,
    /// The block that the work extends.
    pub parent: B256,
    /// Number of the block that would be made.
    pub number: u64,
}

/// A heavier branch beyond the reorganization limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its newest block.
    pub hash: B256,
    /// How many canonical blocks it would remove.
    pub depth: u64,
}
