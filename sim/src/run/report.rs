//! What a run showed, as data for people and programs.

use crate::{checkers::Violation, scenario::Verdict};
use alloy_primitives::B256;
use serde::Serialize;

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Where all choices came from.
    pub seed: u64,
    /// Hash over everything that happened.
    pub trace_hash: B256,
    /// Hash after every 100,000 events.
    pub checkpoints: Vec<B256>,
    /// Events.
    pub events: u64,
    /// Virtual time that passed.
    pub virtual_seconds: f64,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// Checks of the file, and whether every step happened.
    pub checks: Vec<Verdict>,
    /// What did not happen and need not: optional steps, nodes that started only with the heal.
    pub notes: Vec<String>,
    /// Whether there is no violation and all checks hold.
    pub ok: bool,
    /// Whether the run came to its end; checks of the file are judged only then.
    pub complete: bool,
    /// How many nodes.
    pub nodes: usize,
    /// Number of the head at the end.
    pub height: u64,
    /// Hash of the head at the end.
    pub head: B256,
    /// Blocks.
    pub blocks: BlockFigures,
    /// Time until shares of the nodes had a block.
    pub propagation: Propagation,
    /// Time until blocks were final; only on chains with the engine `bft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finality: Option<FinalityFigures>,
    /// Transactions.
    pub transactions: TransactionFigures,
    /// Bytes of all frames.
    pub bytes: u64,
    /// Frames.
    pub frames: u64,
    /// Names of the nodes, in the order of `heights`.
    pub names: Vec<String>,
    /// Heights over time, at most 600 samples; at most 50 nodes.
    pub heights: Vec<HeightSample>,
    /// Faults over time.
    pub faults: Vec<FaultBand>,
}

/// Blocks of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct BlockFigures {
    /// Blocks produced by anybody.
    pub produced: u64,
    /// Blocks of the canonical chain, without block 0.
    pub canonical: u64,
    /// Produced and not canonical.
    pub stale: u64,
    /// Stale of produced.
    pub stale_rate: f64,
    /// Mean time between canonical blocks, seconds.
    pub interval_seconds: f64,
    /// Reorganizations, all honest nodes together.
    pub reorgs: u64,
    /// The deepest.
    pub reorg_depth_max: u64,
}

/// Time until shares of the nodes had a block.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Propagation {
    /// Until half of the nodes had it: median over blocks, milliseconds.
    pub p50_ms: f64,
    /// Until 90 percent.
    pub p90_ms: f64,
    /// Until 99 percent.
    pub p99_ms: f64,
    /// Share of (node, block) pairs by delay: (milliseconds, share), ascending, at most 200 points.
    pub cdf: Vec<(f64, f64)>,
}

/// How soon blocks were final, from a block's own time to its finality at a node that followed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FinalityFigures {
    /// Pairs of a block and an honest node.
    pub count: u64,
    /// Half of them, milliseconds.
    pub p50_ms: f64,
    /// 99 percent of them.
    pub p99_ms: f64,
    /// Pairs left out: the node was away, or caught up.
    pub caught_up: u64,
    /// Blocks of the canonical chain that were decided in a later round than 0.
    pub late_rounds: u64,
    /// The highest round in which a block was decided.
    pub round_max: u32,
}

/// Transactions of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TransactionFigures {
    /// Handed in by users and taken.
    pub submitted: u64,
    /// In the canonical chain at the end.
    pub included: u64,
    /// From submission to the first block with it: median, milliseconds.
    pub inclusion_p50_ms: f64,
    /// 95th percentile.
    pub inclusion_p95_ms: f64,
}

/// Heights at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct HeightSample {
    /// Virtual seconds.
    pub at: f64,
    /// One per node; `None` while it is down.
    pub heights: Vec<Option<u64>>,
}

/// A fault and how long it lasted.
#[derive(Clone, Debug, Serialize)]
pub struct FaultBand {
    /// Virtual seconds.
    pub from: f64,
    /// Virtual seconds.
    pub to: f64,
    /// In words.
    pub what: String,
}
