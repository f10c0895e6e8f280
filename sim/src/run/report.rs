//! What a run showed, as data for people and programs.

use crate::{
    checkers::Violation,
    scenario::{Facts, NodeFacts, Plan, PlannedNode, Verdict},
};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The chain's engine.
    pub engine: String,
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
    /// The nodes at the end, at most 200.
    pub list: Vec<NodeFigures>,
}

/// Blocks of a run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TransactionFigures {
    /// Handed in by users and taken.
    pub submitted: u64,
    /// In the canonical chain at the end.
    pub included: u64,
    /// From submission to the first block with it: median, milliseconds.
    pub inclusion_p50_ms: f64,
    /// 95th percentile.
    pub inclusion_p95_ms: f64,
    /// Committed per second, from the first to the last block that has any; those of the first do not count.
    pub per_second: f64,
}

impl TransactionFigures {
    /// Returns transactions per second from blocks that have some: when each was made, microseconds, and how many it
    /// has.
    pub fn rate(blocks: &[(u64, u64)]) -> f64 {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return 0.0 };
        let span = last.0.saturating_sub(first.0);
        let count: u64 = blocks.iter().skip(1).map(|(_, count)| count).sum();
        if span == 0 { 0.0 } else { count as f64 * 1e6 / span as f64 }
    }
}

/// A node at the end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeFigures {
    /// Its name.
    pub name: String,
    /// Its bootstrap tier.
    pub tier: u32,
    /// Its region label; empty if it has none.
    pub region: String,
    /// Whether it ran.
    pub up: bool,
    /// Whether it was to misbehave: nobody asks such a node how it is.
    #[serde(default)]
    pub byzantine: bool,
    /// Number of its head.
    pub height: u64,
    /// Number of its newest final block.
    pub finalized: u64,
    /// Blocks it produced since it started.
    pub produced: u64,
    /// Greetings since it started.
    pub handshakes: u64,
    /// With whom it had sessions, by place in the list.
    pub sessions: Vec<usize>,
    /// Whom it dialled first.
    pub dials: Vec<usize>,
}

/// Nodes that a report lists.
const LISTED_MAX: usize = 200;

impl NodeFigures {
    /// Lists the nodes of a plan as they are.
    pub fn list(plan: &Plan, facts: &Facts) -> Vec<Self> {
        let one = |(node, fact): (&PlannedNode, &NodeFacts)| Self {
            name: node.name.clone(),
            tier: node.tier,
            region: node.region.clone(),
            up: fact.up,
            byzantine: node.byzantine.is_some(),
            height: fact.height,
            finalized: fact.finalized,
            produced: fact.produced,
            handshakes: fact.handshakes_completed,
            sessions: fact.sessions.clone(),
            dials: node.dials.clone(),
        };
        plan.nodes.iter().zip(&facts.nodes).take(LISTED_MAX).map(one).collect()
    }
}

/// Heights at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeightSample {
    /// Virtual seconds.
    pub at: f64,
    /// One per node; `None` while it is down.
    pub heights: Vec<Option<u64>>,
}

/// A fault and how long it lasted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultBand {
    /// Virtual seconds.
    pub from: f64,
    /// Virtual seconds.
    pub to: f64,
    /// In words.
    pub what: String,
}
