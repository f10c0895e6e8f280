//! When which node had which block and which transaction, as they said themselves; pure. All clocks are this
//! machine's.

use alloy_primitives::B256;
use kette_sim::run::{Propagation, percentile};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
    time::Duration,
};

/// Blocks, and who had them when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    blocks: BTreeMap<B256, Seen>,
    /// When pools had a transaction, by node, microseconds since 1970.
    pools: BTreeMap<B256, BTreeMap<usize, u64>>,
    /// How many times those are.
    pooled: usize,
    /// Lines of level ERROR, by node.
    errors: BTreeMap<usize, u64>,
}

/// When the nodes had one block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockReach {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Who produced it, if a node said so.
    pub producer: Option<String>,
    /// Nodes that had it.
    pub nodes: usize,
    /// Until half of the nodes had it, milliseconds.
    pub p50_ms: f64,
    /// Until 95 % of them.
    pub p95_ms: f64,
    /// Until all of those that had it.
    pub max_ms: f64,
}

/// A block. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    produced: Option<usize>,
    born: u64,
    reached: BTreeMap<usize, u64>,
}

/// A line of a log.
#[derive(Deserialize)]
struct Level<'a> {
    level: &'a str,
}

/// Points of the distribution function.
const CDF_POINTS: usize = 200;
/// Times of transactions in pools that are kept.
const POOLED_MAX: usize = 4_000_000;
/// Blocks of the table.
const TABLE_MAX: usize = 200;

impl Journal {
    /// Notes when a block became canonical at a node; the first time counts.
    pub fn had(&mut self, node: usize, hash: B256, at: u64) {
        let seen = self.blocks.entry(hash).or_insert_with(|| Seen {
            produced: None,
            born: at,
            reached: BTreeMap::new(),
        });
        seen.born = seen.born.min(at);
        seen.reached.entry(node).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }

    /// Notes when a node made a block.
    pub fn produced(&mut self, node: usize, hash: B256, at: u64) {
        self.had(node, hash, at);
        if let Some(seen) = self.blocks.get_mut(&hash) {
            seen.produced = Some(node);
        }
    }

    /// Notes when a transaction entered a node's pool; the first time counts.
    pub fn pooled(&mut self, node: usize, hash: B256, at: u64) {
        if let Some(first) = self.pools.get_mut(&hash).and_then(|nodes| nodes.get_mut(&node)) {
            *first = at.min(*first);
        } else if self.pooled < POOLED_MAX {
            self.pooled += 1;
            self.pools.entry(hash).or_default().insert(node, at);
        }
    }

    /// Returns when which node had a transaction, and whether in its pool: otherwise it came with `block`.
    pub fn had_transaction(
        &self,
        hash: &B256,
        block: Option<&B256>,
    ) -> BTreeMap<usize, (u64, bool)> {
        let block = block.and_then(|block| self.blocks.get(block));
        let by_block =
            block.iter().flat_map(|seen| &seen.reached).map(|(node, at)| (*node, (*at, false)));
        let by_pool = self.pools.get(hash).into_iter().flatten();
        by_block.chain(by_pool.map(|(node, at)| (*node, (*at, true)))).collect()
    }

    /// Counts the lines of level ERROR in a node's log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&mut self, node: usize, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            // What a killed process left of its last line is no line.
            if serde_json::from_slice::<Level<'_>>(&line).is_ok_and(|it| it.level == "ERROR") {
                *self.errors.entry(node).or_default() += 1;
            }
            line.clear();
        }
        Ok(())
    }

    /// Returns how many blocks were produced and are not in this chain.
    pub fn stale(&self, chain: &[B256]) -> u64 {
        let canonical: BTreeSet<&B256> = chain.iter().collect();
        let stale =
            |(hash, seen): &(&B256, &Seen)| seen.produced.is_some() && !canonical.contains(hash);
        self.blocks.iter().filter(stale).count() as u64
    }

    /// Returns when a block was first seen, microseconds since 1970.
    pub fn born(&self, hash: &B256) -> Option<u64> {
        self.blocks.get(hash).map(|seen| seen.born)
    }

    /// Returns how many lines of level ERROR a node wrote.
    pub fn errors(&self, node: usize) -> u64 {
        self.errors.get(&node).copied().unwrap_or(0)
    }

    /// Returns when nodes had the last of these blocks, which begin with block 1; `name` knows the nodes.
    pub fn table(&self, chain: &[B256], name: impl Fn(usize) -> String) -> Vec<BlockReach> {
        let row = |(index, hash): (usize, &B256)| {
            let delays = self.delays(hash);
            let at = |percent| {
                percentile(&delays, percent).map(|micros| millis(Duration::from_micros(micros)))
            };
            Some(BlockReach {
                number: index as u64 + 1,
                hash: *hash,
                producer: self.blocks.get(hash)?.produced.map(&name),
                nodes: delays.len(),
                p50_ms: at(50.0)?,
                p95_ms: at(95.0)?,
                max_ms: at(100.0)?,
            })
        };
        let from = chain.len().saturating_sub(TABLE_MAX);
        chain.iter().enumerate().skip(from).filter_map(row).collect()
    }

    /// Returns a percentile over these blocks of the time until this percentage of nodes had one.
    pub fn reach(&self, chain: &[B256], nodes: usize, percent: f64, of: f64) -> Option<Duration> {
        let needed = (nodes as f64 * percent / 100.0).ceil() as usize;
        let mut times: Vec<u64> = chain
            .iter()
            .filter_map(|hash| self.delays(hash).get(needed.saturating_sub(1)).copied())
            .collect();
        times.sort_unstable();
        percentile(&times, of).map(Duration::from_micros)
    }

    /// Returns the figures that reports have.
    pub fn propagation(&self, chain: &[B256], nodes: usize) -> Propagation {
        let reach = |percent| self.reach(chain, nodes, percent, 50.0).map_or(0.0, millis);
        let mut all: Vec<u64> = chain.iter().flat_map(|hash| self.delays(hash)).collect();
        all.sort_unstable();
        let points = all.len().min(CDF_POINTS);
        let point = |point: usize| {
            let index = all.len() * point / points - 1;
            (millis(Duration::from_micros(all[index])), (index + 1) as f64 / all.len() as f64)
        };
        Propagation {
            p50_ms: reach(50.0),
            p90_ms: reach(90.0),
            p99_ms: reach(99.0),
            cdf: (1..=points).map(point).collect(),
        }
    }

    /// Returns after how many microseconds nodes had a block, ascending.
    fn delays(&self, hash: &B256) -> Vec<u64> {
        let Some(seen) = self.blocks.get(hash) else { return Vec::new() };
        let mut delays: Vec<u64> = seen.reached.values().map(|at| at - seen.born).collect();
        delays.sort_unstable();
        delays
    }
}

/// Returns milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: [B256; 1] = [B256::repeat_byte(1)];

    /// Three nodes; times are tenths of seconds.
    fn journal() -> Journal {
        let (mut journal, hash) = (Journal::default(), B256::repeat_byte);
        let at = |tenths: u64| tenths * 100_000;
        journal.produced(0, hash(1), at(10));
        journal.had(0, hash(1), at(11));
        journal.produced(0, hash(2), at(50));
        journal.had(1, hash(1), at(12));
        journal.had(1, hash(1), at(99));
        journal.had(2, hash(1), at(14));
        journal
    }

    #[test]
    fn tells_who_had_a_block_when() {
        let journal = journal();
        let reach = |percent| journal.reach(&CHAIN, 3, percent, 50.0).map(|time| time.as_millis());
        assert_eq!((reach(33.0), reach(50.0), reach(99.0)), (Some(0), Some(200), Some(400)));
        assert_eq!(journal.reach(&[B256::repeat_byte(2)], 3, 50.0, 50.0), None, "one node had it");
        let table = journal.table(&CHAIN, |node| format!("n{node}"));
        assert_eq!((table.len(), table[0].number, table[0].nodes), (1, 1, 3));
        assert_eq!((table[0].producer.as_deref(), table[0].max_ms), (Some("n0"), 400.0));
        assert_eq!((journal.stale(&CHAIN), journal.born(&B256::repeat_byte(3))), (1, None));
        assert_eq!(journal.born(&CHAIN[0]), Some(1_000_000));
        let figures = journal.propagation(&CHAIN, 3);
        assert_eq!(figures.cdf.last(), Some(&(400.0, 1.0)));
        assert_eq!((figures.p50_ms, figures.p90_ms), (200.0, 400.0));
    }

    #[test]
    fn a_transaction_is_there_by_pool_or_with_its_block() {
        let (mut journal, hash) = (journal(), B256::repeat_byte(7));
        journal.pooled(0, hash, 1_050_000);
        journal.pooled(1, hash, 950_000);
        journal.pooled(1, hash, 900_000);
        assert_eq!(journal.pooled, 2, "what is known takes no room");
        let had = journal.had_transaction(&hash, None);
        assert_eq!(had, BTreeMap::from([(0, (1_050_000, true)), (1, (900_000, true))]));
        let had = journal.had_transaction(&hash, Some(&CHAIN[0]));
        assert_eq!((had.len(), had[&1], had[&2]), (3, (900_000, true), (1_400_000, false)));
    }

    #[test]
    fn counts_errors_of_whole_lines() {
        let mut journal = Journal::default();
        let log =
            b"{\"level\":\"ERROR\",\"message\":\"disk\"}\n{\"level\":\"WARN\"}\n{\"level\":\"ERR";
        journal.read(1, log.as_slice()).unwrap();
        assert_eq!((journal.errors(0), journal.errors(1)), (0, 1));
    }
}
