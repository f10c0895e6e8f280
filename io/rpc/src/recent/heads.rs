//! When which block became this node's head. From the answers of all nodes follow how blocks spread, how fast they
//! come, and for how long tips have differed.

use kette_chain::ExecutedBlock;
use kette_types::B256;
use serde::Serialize;
use std::collections::VecDeque;

/// A block that became canonical here.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadSeen {
    /// Place in the order of this node's heads, from 0.
    seq: u64,
    /// When, milliseconds since 1970 by this node's clock.
    at_ms: u64,
    number: u64,
    hash: B256,
    parent: B256,
    /// The block's own time, seconds.
    timestamp: u64,
    /// How many it has.
    transactions: usize,
}

impl HeadSeen {
    /// Describes a block that became canonical at this time.
    pub(crate) fn of(block: &ExecutedBlock, at_ms: u64) -> Self {
        let header = &block.block.header;
        Self {
            seq: 0,
            at_ms,
            number: header.number,
            hash: header.hash(),
            parent: header.parent_hash,
            timestamp: header.timestamp,
            transactions: block.block.body.transactions.len(),
        }
    }
}

/// The newest heads; never empty.
#[derive(Debug)]
pub(crate) struct Heads {
    list: VecDeque<HeadSeen>,
}

impl Heads {
    pub(crate) fn new(head: HeadSeen) -> Self {
        Self { list: VecDeque::from([head]) }
    }

    /// Adds one.
    pub(crate) fn push(&mut self, mut head: HeadSeen) {
        head.seq = self.list.back().map_or(0, |last| last.seq + 1);
        self.list.push_back(head);
        while self.list.len() > HEADS_MAX {
            self.list.pop_front();
        }
    }

    /// Returns the heads from the `seq`-th on, oldest first, at most the newest `limit`.
    pub(crate) fn from(&self, seq: u64, limit: usize) -> Vec<&HeadSeen> {
        let newer = self.list.len() - self.list.partition_point(|head| head.seq < seq);
        self.list.iter().skip(self.list.len() - newer.min(limit)).collect()
    }

    /// Returns when the head changed last, milliseconds since 1970.
    pub(crate) fn changed_ms(&self) -> u64 {
        self.list.back().map_or(0, |head| head.at_ms)
    }
}

/// Heads remembered: at ten blocks a second more than a minute.
pub(crate) const HEADS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_heads_stay_in_order() {
        let head = |number| HeadSeen {
            seq: 0,
            at_ms: number * 10,
            number,
            hash: B256::ZERO,
            parent: B256::ZERO,
            timestamp: 0,
            transactions: 0,
        };
        let mut heads = Heads::new(head(0));
        for number in 1..=2_000 {
            heads.push(head(number));
        }
        assert_eq!((heads.list.len(), heads.changed_ms()), (HEADS_MAX, 20_000));
        let numbers = |from, limit| -> Vec<u64> {
            heads.from(from, limit).iter().map(|head| head.number).collect()
        };
        assert_eq!(numbers(1_999, 5), [1_999, 2_000]);
        assert_eq!(numbers(0, 1), [2_000]);
        assert_eq!(numbers(0, usize::MAX).len(), HEADS_MAX);
    }
}
