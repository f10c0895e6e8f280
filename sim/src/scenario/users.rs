//! What checks ask about transactions of users: how many are in the chain, how fast, and which pools had them when.

use super::{Measured, check, judge::Seen, units::format_duration};
use crate::run::percentile;
use kette_types::B256;
use std::{collections::BTreeMap, time::Duration};

/// How transactions reached nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// Names of the honest nodes, by their places.
    nodes: BTreeMap<usize, String>,
    transactions: u64,
    /// How often a node had a transaction with a block, and not in its pool before.
    by_block: u64,
    /// From the first pool to the last node, of each transaction that all nodes had; microseconds.
    spread: Vec<u64>,
    /// The transaction that took longest, and the node that had it last.
    slowest: Option<(u64, B256, usize)>,
}

impl Pools {
    /// Begins to count in a network of these honest nodes, by their places.
    pub fn new(nodes: BTreeMap<usize, String>) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// Takes in a transaction: when each node had it, microseconds, and whether in its pool.
    pub fn add(&mut self, hash: B256, had: &BTreeMap<usize, (u64, bool)>) {
        self.transactions += 1;
        self.by_block += had.values().filter(|(_, in_pool)| !in_pool).count() as u64;
        let times = || had.iter().map(|(node, (at, _))| (*at, *node));
        if had.len() >= self.nodes.len()
            && let (Some((first, _)), Some((last, node))) = (times().min(), times().max())
        {
            let spread = last - first;
            self.slowest = self.slowest.max(Some((spread, hash, node)));
            let place = self.spread.partition_point(|known| *known <= spread);
            self.spread.insert(place, spread);
        }
    }

    fn millis(&self, percent: f64) -> f64 {
        percentile(&self.spread, percent).map_or(0.0, |micros| micros as f64 / 1_000.0)
    }
}

/// Pairs of transactions with one nonce, handed to two nodes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Handed in.
    pub pairs: u64,
    /// Those of which exactly one is in the chain.
    pub one: u64,
    /// Those of which both are.
    pub both: u64,
    /// How many pools had both of a pair.
    pub pools_with_both: u64,
}

impl Conflicts {
    /// Takes in a pair: which of the two are in the chain, and how many pools had both.
    pub fn add(&mut self, committed: [bool; 2], pools_with_both: usize) {
        self.pairs += 1;
        self.pools_with_both += pools_with_both as u64;
        match committed {
            [true, true] => self.both += 1,
            [false, false] => {}
            _ => self.one += 1,
        }
    }
}

pub(super) fn transactions(measured: &Measured<'_>, it: &check::Transactions) -> Seen {
    let Measured { submitted, included, per_second, filled, .. } = *measured;
    let share = included as f64 / submitted.max(1) as f64;
    let (fast, over) = match it.over {
        None => (per_second >= it.min_per_second, String::new()),
        Some(over) => match fastest(filled, over) {
            None => (
                false,
                format!(", blocks with transactions for less than {}", format_duration(over)),
            ),
            Some(rate) => {
                let words = format!(", {rate:.1} in the best {}", format_duration(over));
                (rate >= it.min_per_second, words)
            }
        },
    };
    let ok = submitted >= it.min && share >= it.min_included && fast;
    Seen::new(ok, format!("{included} of {submitted} included, {per_second:.1} per second{over}"))
}

/// Returns the highest mean rate between two blocks that are at least this far apart; transactions of the earlier one
/// do not count, because nobody knows since when they waited.
fn fastest(filled: &[(u64, u64)], over: Duration) -> Option<f64> {
    let over = u64::try_from(over.as_micros()).ok()?.max(1);
    let mut best: Option<f64> = None;
    for (from, (begin, _)) in filled.iter().enumerate() {
        let mut count = 0;
        for (at, more) in &filled[from + 1..] {
            count += more;
            let span = at.saturating_sub(*begin);
            if span >= over {
                let rate = count as f64 * 1e6 / span as f64;
                best = Some(best.map_or(rate, |best| best.max(rate)));
            }
        }
    }
    best
}

pub(super) fn pools(pools: Option<&Pools>, it: &check::Pools) -> Seen {
    let Some(pools) = pools.filter(|pools| pools.transactions > 0) else {
        return Seen::new(false, "no transaction was watched".to_owned());
    };
    let Pools { nodes, transactions, by_block, spread, .. } = pools;
    let share = spread.len() as f64 / *transactions as f64;
    let slowest = Duration::from_micros(spread.last().copied().unwrap_or(0));
    let ok = share >= it.min_share && slowest <= it.max && !spread.is_empty();
    let last = pools.slowest.and_then(|(_, hash, node)| {
        nodes.get(&node).map(|name| format!(": {hash} came last to {name}"))
    });
    let what = format!(
        "{} of {transactions} at all {} nodes ({by_block} times first with a block); until all had one p50 \
         {:.1} ms, p95 {:.1} ms, max {:.1} ms{}",
        spread.len(),
        nodes.len(),
        pools.millis(50.0),
        pools.millis(95.0),
        pools.millis(100.0),
        last.unwrap_or_default()
    );
    Seen::new(ok, what)
}

pub(super) fn conflicts(seen: &Conflicts, it: &check::Conflicts) -> Seen {
    let Conflicts { pairs, one, both, pools_with_both } = *seen;
    let ok = pairs >= it.min && one == pairs && pools_with_both == 0;
    let what = format!(
        "{one} of {pairs} pairs with one in the chain, {both} with both; {pools_with_both} pools had both"
    );
    Seen::new(ok, what)
}
