//! Whether the tips of nodes have been apart, and how blocks spread, from when each node had which head; pure.
//!
//! All clocks are this machine's. A node that started later counts from then on.

use super::said::Head;
use alloy_primitives::B256;
use std::collections::BTreeMap;

/// Tips may differ by so many blocks.
const APART_BLOCKS: u64 = 2;
/// Nothing older is looked at.
const LOOK_BACK_MS: u64 = 600_000;

/// Returns since when the tips have differed by more than two blocks without a break, milliseconds since 1970; `None`
/// if they do not now.
pub fn apart_since(nodes: &[&[Head]], now_ms: u64) -> Option<u64> {
    let parents: BTreeMap<B256, B256> =
        nodes.iter().copied().flatten().map(|head| (head.hash, head.parent)).collect();
    let mut instants: Vec<u64> = nodes.iter().copied().flatten().map(|head| head.at_ms).collect();
    instants.sort_unstable();
    instants.dedup();
    let mut since = None;
    for instant in instants.into_iter().rev().take_while(|at| *at + LOOK_BACK_MS >= now_ms) {
        let tips: Vec<&Head> = nodes.iter().filter_map(|heads| tip_at(heads, instant)).collect();
        if !are_apart(&tips, &parents) {
            return since;
        }
        since = Some(instant);
    }
    since
}

/// Returns a node's head at that time.
fn tip_at(heads: &[Head], instant: u64) -> Option<&Head> {
    heads[..heads.partition_point(|head| head.at_ms <= instant)].last()
}

/// Tells whether a tip lacks more than two blocks of the highest one.
fn are_apart(tips: &[&Head], parents: &BTreeMap<B256, B256>) -> bool {
    let Some(top) = tips.iter().max_by_key(|head| head.number) else { return false };
    tips.iter().any(|tip| lacks(tip, top, parents))
}

/// Tells whether the last common block of a tip and the top is more than two blocks below the top. What is not known
/// of their ancestors does not tell them apart.
fn lacks(tip: &Head, top: &Head, parents: &BTreeMap<B256, B256>) -> bool {
    if top.number - tip.number > APART_BLOCKS {
        return true;
    }
    let (mut a, mut b) = (top.hash, tip.hash);
    let mut number = top.number;
    while a != b {
        if top.number - number >= APART_BLOCKS {
            return true;
        }
        let Some(parent) = parents.get(&a) else { return false };
        a = *parent;
        if number <= tip.number {
            let Some(parent) = parents.get(&b) else { return false };
            b = *parent;
        }
        let Some(below) = number.checked_sub(1) else { return false };
        number = below;
    }
    false
}

/// How blocks came to be everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Milliseconds from a block's first head to the head of each other node, per block and node, ascending.
    pub delays_ms: Vec<u64>,
}

impl Spread {
    /// Measures the blocks that became head somewhere after `from_ms`.
    pub fn of(nodes: &[&[Head]], from_ms: u64) -> Self {
        // When, and on which node: that one waited for nothing.
        let mut first: BTreeMap<B256, (u64, usize)> = BTreeMap::new();
        for (node, heads) in nodes.iter().enumerate() {
            for head in *heads {
                let seen = (head.at_ms, node);
                first
                    .entry(head.hash)
                    .and_modify(|first| *first = seen.min(*first))
                    .or_insert(seen);
            }
        }
        let mut delays_ms = Vec::new();
        for (node, heads) in nodes.iter().enumerate() {
            let Some(up) = heads.first().map(|head| head.at_ms) else { continue };
            for head in *heads {
                let (born, by) = first[&head.hash];
                // What was there before the node was is not what reached it.
                if by != node && born >= from_ms.max(up) {
                    delays_ms.push(head.at_ms - born);
                }
            }
        }
        delays_ms.sort_unstable();
        Self { delays_ms }
    }

    /// Returns the time within which this percentage of the deliveries were done.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let place = (self.delays_ms.len() * percent).div_ceil(100).checked_sub(1)?;
        self.delays_ms.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(at_ms: u64, number: u64, fork: u8) -> Head {
        let hash = |number: u64, fork: u8| {
            let mut hash = B256::with_last_byte(u8::try_from(number).unwrap());
            hash[0] = fork;
            hash
        };
        // Forks begin after block 4.
        let of = |number: u64| if number > 4 { fork } else { 0 };
        Head {
            at_ms,
            number,
            hash: hash(number, of(number)),
            parent: hash(number.saturating_sub(1), of(number.saturating_sub(1))),
            ..Head::default()
        }
    }

    fn chain(from_ms: u64, numbers: std::ops::RangeInclusive<u64>, fork: u8) -> Vec<Head> {
        numbers.zip(0..).map(|(number, n)| head(from_ms + n * 1_000, number, fork)).collect()
    }

    #[test]
    fn tips_are_apart_from_the_third_block_on() {
        let ahead = chain(1_000, 1..=10, 0);
        let together = chain(1_005, 1..=10, 0);
        assert_eq!(apart_since(&[&ahead, &together], 99_000), None);
        // One stops at block 5: block 8, at second 8, is the third that it lacks.
        let behind = chain(1_005, 1..=5, 0);
        assert_eq!(apart_since(&[&ahead, &together, &behind], 99_000), Some(8_000));
        // It catches up.
        let caught_up = [behind, chain(20_000, 6..=9, 0)].concat();
        assert_eq!(apart_since(&[&ahead, &caught_up], 99_000), None);
        assert_eq!(apart_since(&[&ahead], 99_000), None);
        assert_eq!(apart_since(&[], 99_000), None);
    }

    #[test]
    fn forks_of_equal_height_are_apart_if_they_are_deep() {
        for (to, expected) in [(6, None), (7, Some(7_000))] {
            let (one, other) = (chain(1_000, 1..=to, 1), chain(1_000, 1..=to, 2));
            assert_eq!(apart_since(&[&one, &other], 60_000), expected, "forks to block {to}");
        }
    }

    #[test]
    fn an_idle_network_is_together() {
        let heads = [head(5, 0, 0)];
        assert_eq!(apart_since(&[&heads, &heads], 1_000_000_000), None);
    }

    #[test]
    fn a_node_that_starts_late_counts_from_then_on() {
        let ahead = chain(1_000, 1..=10, 0);
        let late = [head(50_000, 0, 0)];
        assert_eq!(apart_since(&[&ahead, &late], 60_000), Some(50_000));
    }

    #[test]
    fn delays_are_those_of_nodes_that_were_up() {
        let one = vec![head(0, 0, 0), head(1_000, 1, 0), head(2_000, 2, 0)];
        let two = vec![head(1, 0, 0), head(1_040, 1, 0), head(2_010, 2, 0)];
        let late = vec![head(1_500, 0, 0), head(1_600, 1, 0), head(2_060, 2, 0)];
        let spread = Spread::of(&[&one, &two, &late], 100);
        assert_eq!(spread.delays_ms, [10, 40, 60]);
        assert_eq!((spread.percentile(50), spread.percentile(95)), (Some(40), Some(60)));
        assert_eq!(Spread::default().percentile(50), None);
        let same = vec![head(0, 0, 0), head(1_000, 1, 0)];
        assert_eq!(Spread::of(&[&same, &same], 100).delays_ms, [0], "0 ms is a delay");
    }
}
