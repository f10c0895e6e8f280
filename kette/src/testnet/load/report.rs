//! The figures of a load, and how they are shown.

use super::{Wait, tally::Tally};
use alloy_primitives::B256;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// A load and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Names the format.
    pub schema: &'static str,
    /// What was asked for, of whom, and on what machine.
    pub conditions: Conditions,
    /// What became of it.
    #[serde(flatten)]
    pub tally: Tally,
    /// Nodes whose canonical blocks differ from those of the first one.
    pub disagreeing: Vec<String>,
    /// Nodes that did not reach the height up to which the chain was judged, in time.
    pub behind: Vec<String>,
    /// Everything that was taken is in the chain once, and all nodes have the same chain.
    pub ok: bool,
}

/// Under what conditions the figures hold.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    /// Endpoints by name, with what they say they are.
    pub endpoints: Vec<(String, String)>,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Transactions per second asked for; `None` for as fast as they are taken up.
    pub rate: Option<f64>,
    /// Transactions planned.
    pub transactions: u64,
    /// Accounts that send.
    pub senders: usize,
    /// Shares of kinds.
    pub mix: String,
    /// What was drawn from.
    pub seed: u64,
    /// Transactions of one request.
    pub batch: usize,
    /// Requests under way at one endpoint at most.
    pub lanes: usize,
    /// Transactions that are in no block, at most.
    pub open_max: usize,
    /// What was waited for when everything was handed in.
    pub wait: Wait,
    /// Bytes of all signed transactions, on average.
    pub transaction_bytes: f64,
    /// Whose clock times are: `nodes` (each its own, all on this machine) or `client` (when its notice arrived here).
    pub clock: &'static str,
    /// How often a node could not be heard.
    pub gaps: u32,
    /// Cores of this machine.
    pub cores: usize,
    /// Load average over a minute, before the first and after the last transaction.
    pub load_average: (f64, f64),
    /// Version and commit of this program.
    pub version: String,
}

/// How many, and how many per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub count: usize,
    /// Per second, over the time from first to last.
    pub per_second: f64,
    /// That time.
    pub seconds: f64,
}

/// What was handed in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offered {
    #[serde(flatten)]
    pub rate: Rate,
    /// Planned and not handed in: no place was free, or an earlier one of the sender was refused.
    pub unsent: usize,
    /// How much later than due, at most.
    pub behind_ms_max: f64,
}

/// What nodes said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accepted {
    #[serde(flatten)]
    pub rate: Rate,
    /// How many were refused.
    pub refused: usize,
    /// Why.
    pub reasons: BTreeMap<String, usize>,
    /// How many got no answer.
    pub unanswered: usize,
}

/// What is in the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Committed {
    /// Per second from the first hand-in until a node had the last block that holds some.
    #[serde(flatten)]
    pub rate: Rate,
    /// Per second from the first such block to the last, without those of the first.
    pub per_second_between_blocks: f64,
    /// In a block, and failed.
    pub reverted: usize,
    /// In the chain, though no node said that it took them.
    pub not_accepted: usize,
}

/// The blocks that hold transactions of the load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blocks {
    pub count: usize,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub transactions_mean: f64,
    pub transactions_max: usize,
    pub bytes_max: u64,
    pub gas_limit: u64,
    /// Share of the gas limit that the fullest one used.
    pub gas_share_max: f64,
}

/// Milliseconds, by nearest rank: each is a time that occurred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
    pub count: usize,
}

/// How transactions reached nodes: their pools, or with a block if that was first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Propagation {
    /// Nodes that were watched.
    pub nodes: usize,
    /// Transactions that reached all of them.
    pub reached_all: usize,
    /// Transactions that did not.
    pub not_reached_all: usize,
    /// Arrivals with a block and not in a pool, over transactions and nodes.
    pub by_block: usize,
    /// From the pool of the node that was handed it until the last node had it, per transaction.
    pub all_nodes_ms: Option<Quantiles>,
    /// The same per transaction and other node.
    pub each_node_ms: Option<Quantiles>,
}

/// A number, and the first few by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    pub count: usize,
    pub first: Vec<B256>,
}

/// Transactions that cannot both be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflicts {
    /// Lost because another transaction has its nonce.
    pub displaced: Named,
    /// In two canonical blocks.
    pub committed_twice: Named,
    /// Pairs with the same nonce that were offered on purpose.
    pub pairs: Option<Pairs>,
}

/// Two transactions with the same nonce, handed to two nodes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pairs {
    pub offered: usize,
    pub one_committed: usize,
    pub none_committed: usize,
    pub both_committed: usize,
    /// Pools that had both, over pairs.
    pub pools_with_both: usize,
}

/// Blocks that nodes made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mining {
    pub produced: usize,
    pub stale: usize,
    /// Stale blocks of all, percent.
    pub stale_percent: f64,
    pub nodes: Vec<Miner>,
}

/// One node's blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miner {
    pub name: String,
    pub produced: usize,
    pub stale: usize,
}

impl Quantiles {
    /// Orders times in microseconds; `None` if there are none.
    pub fn of(mut micros: Vec<u64>) -> Option<Self> {
        micros.sort_unstable();
        let count = micros.len();
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100).checked_sub(1)?;
            micros.get(rank).map(|micros| *micros as f64 / 1_000.0)
        };
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: at(100)?, count })
    }
}

impl Rate {
    /// Counts over the time between two moments, microseconds; no rate if that is not known or nothing.
    pub fn new(count: usize, from: Option<u64>, to: Option<u64>) -> Self {
        let micros = from.zip(to).map_or(0, |(from, to)| to.saturating_sub(from));
        let seconds = micros as f64 / 1_000_000.0;
        let per_second = if micros == 0 { 0.0 } else { count as f64 / seconds };
        Self { count, per_second, seconds }
    }
}

impl Mining {
    /// Adds up what nodes made: name, blocks, stale ones.
    pub fn new(nodes: Vec<(String, usize, usize)>) -> Self {
        let produced = nodes.iter().map(|(_, made, _)| made).sum();
        let stale = nodes.iter().map(|(.., stale)| stale).sum();
        let miner = |(name, produced, stale)| Miner { name, produced, stale };
        Self {
            produced,
            stale,
            stale_percent: stale as f64 * 100.0 / (produced as f64).max(1.0),
            nodes: nodes.into_iter().map(miner).collect(),
        }
    }
}

impl Report {
    /// Says why the load was not good; nothing if it was.
    pub fn objections(&self) -> Vec<String> {
        let mut said = Vec::new();
        let mut object = |wrong: bool, text: String| {
            if wrong {
                said.push(text);
            }
        };
        let first = |named: &Named| {
            named.first.first().map_or_else(String::new, |hash| format!(", the first is {hash}"))
        };
        let lost = &self.tally.lost;
        object(lost.count > 0, format!("{} transactions are lost{}", lost.count, first(lost)));
        let (displaced, twice) =
            (&self.tally.conflicting.displaced, &self.tally.conflicting.committed_twice);
        object(
            displaced.count > 0,
            format!(
                "of {} of them the nonce went to another transaction{}: is a load with the same seed running?",
                displaced.count,
                first(displaced)
            ),
        );
        object(twice.count > 0, format!("{} are in the chain twice{}", twice.count, first(twice)));
        if let Some(pairs) = self.tally.conflicting.pairs {
            object(
                pairs.one_committed != pairs.offered,
                format!(
                    "of {} pairs with the same nonce {} have both and {} have none in the chain",
                    pairs.offered, pairs.both_committed, pairs.none_committed
                ),
            );
            object(
                pairs.pools_with_both > 0,
                format!("{} times a pool held both of a pair", pairs.pools_with_both),
            );
        }
        object(
            !self.disagreeing.is_empty(),
            format!("the blocks of {} differ", self.disagreeing.join(", ")),
        );
        object(
            !self.behind.is_empty(),
            format!("{} did not reach the height of the others", self.behind.join(", ")),
        );
        object(self.tally.committed.rate.count == 0, "nothing is in the chain".to_owned());
        said
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // A String takes every line.
            let _ = writeln!(text, "{name:<14}{value}");
        };
        let rate = |rate: &Rate| {
            format!("{} in {:.1} s, {:.1}/s", rate.count, rate.seconds, rate.per_second)
        };
        let times = |name: &str, quantiles: &Option<Quantiles>| match quantiles {
            Some(q) => format!(
                "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms{name} ({} times)",
                q.p50, q.p95, q.p99, q.max, q.count
            ),
            None => "not told".to_owned(),
        };
        let offered = &self.tally.offered;
        line(
            "offered",
            format!("{}, at most {:.1} ms late", rate(&offered.rate), offered.behind_ms_max),
        );
        if offered.unsent > 0 {
            line("", format!("{} planned and not handed in", offered.unsent));
        }
        line("accepted", rate(&self.tally.accepted.rate));
        for (reason, count) in &self.tally.accepted.reasons {
            line("", format!("{count} refused: {reason}"));
        }
        if self.tally.accepted.unanswered > 0 {
            line("", format!("{} without an answer", self.tally.accepted.unanswered));
        }
        let committed = &self.tally.committed;
        line(
            "committed",
            format!(
                "{}; {:.1}/s between blocks; {} failed",
                rate(&committed.rate),
                committed.per_second_between_blocks,
                committed.reverted
            ),
        );
        let blocks = &self.tally.blocks;
        line(
            "blocks",
            format!(
                "{} with {:.1} each, at most {} ({} bytes, {:.0} % of {} gas)",
                blocks.count,
                blocks.transactions_mean,
                blocks.transactions_max,
                blocks.bytes_max,
                blocks.gas_share_max * 100.0,
                blocks.gas_limit
            ),
        );
        line("inclusion", times("", &self.tally.inclusion_ms));
        line("finality", times("", &self.tally.finality_ms));
        if let Some(reach) = &self.tally.propagation {
            line("to all nodes", times("", &reach.all_nodes_ms));
            line("to each node", times("", &reach.each_node_ms));
            line(
                "",
                format!(
                    "{} of {} reached all {} nodes; {} arrivals with a block",
                    reach.reached_all,
                    reach.reached_all + reach.not_reached_all,
                    reach.nodes,
                    reach.by_block
                ),
            );
        }
        line(
            "lost",
            format!(
                "{}; displaced {}, committed twice {}",
                self.tally.lost.count,
                self.tally.conflicting.displaced.count,
                self.tally.conflicting.committed_twice.count
            ),
        );
        if let Some(pairs) = self.tally.conflicting.pairs {
            line(
                "conflicts",
                format!(
                    "{} pairs: {} with one in the chain, {} with none, {} with both; {} pools had both",
                    pairs.offered,
                    pairs.one_committed,
                    pairs.none_committed,
                    pairs.both_committed,
                    pairs.pools_with_both
                ),
            );
        }
        if let Some(mining) = &self.tally.mining {
            line(
                "stale",
                format!(
                    "{} of {} blocks, {:.1} %",
                    mining.stale, mining.produced, mining.stale_percent
                ),
            );
            for miner in &mining.nodes {
                line("", format!("{}: {} made, {} stale", miner.name, miner.produced, miner.stale));
            }
        }
        text
    }
}
