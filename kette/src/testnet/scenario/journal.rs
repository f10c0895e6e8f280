//! When which node had which block, from the nodes' own logs. All clocks are this machine's.

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
    /// Who produced it, if a log says so.
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

/// Any line.
#[derive(Deserialize)]
struct Level<'a> {
    level: &'a str,
}

#[derive(Deserialize)]
struct Line<'a> {
    timestamp: &'a str,
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
    hash: B256,
}

const PRODUCED: &str = "block produced";
/// Messages that say that a node has a block (`kette/src/run/node.rs`).
const MESSAGES: [&str; 4] =
    [PRODUCED, "new head", "fork resolved: new head after a reorganization", "fork: side block"];
/// Points of the distribution function.
const CDF_POINTS: usize = 200;
/// Blocks of the table.
const TABLE_MAX: usize = 200;

impl Journal {
    /// Reads a node's log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&mut self, node: usize, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            if serde_json::from_slice::<Level<'_>>(&line).is_ok_and(|it| it.level == "ERROR") {
                *self.errors.entry(node).or_default() += 1;
            }
            // What a killed process left of its last line is no line.
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(&line)
                && MESSAGES.contains(&line.message.as_ref())
                && let Some(at) = micros(line.timestamp)
            {
                let seen = self.blocks.entry(line.hash).or_insert_with(|| Seen {
                    produced: None,
                    born: at,
                    reached: BTreeMap::new(),
                });
                if line.message == PRODUCED {
                    seen.produced = Some(node);
                }
                seen.born = seen.born.min(at);
                seen.reached.entry(node).and_modify(|first| *first = at.min(*first)).or_insert(at);
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

/// Reads `2026-11-21T18:17:47.123456Z` as microseconds since 1970.
fn micros(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1 March of year 0 are easy to count: February, and its leap day, come last.
    let from_march = |year: u64, month: u64, day: u64| {
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day
    };
    let days = from_march(year, month, day) - from_march(1970, 1, 1);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(seconds * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_of_logs() {
        for (text, seconds, rest) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T12:00:00.5Z", 951_825_600, 500_000),
            ("2024-03-01T00:00:00.000001Z", 1_709_251_200, 1),
            ("2025-12-31T23:59:59.999999Z", 1_767_225_599, 999_999),
            ("2100-03-01T00:00:00.123456789Z", 4_107_542_400, 123_456),
        ] {
            assert_eq!(micros(text), Some(seconds * 1_000_000 + rest), "{text}");
        }
        for bad in
            ["", "yesterday", "2024-13-01T00:00:00Z", "2024-01-01 00:00:00", "2024-01-01T00:00Z"]
        {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    fn log(lines: &[(&str, u8, &str)]) -> Vec<u8> {
        let line = |(second, hash, message): &(&str, u8, &str)| {
            let hash = B256::repeat_byte(*hash);
            format!(
                "{{\"node\":\"n\",\"timestamp\":\"2026-01-01T00:00:{second}Z\",\"level\":\"INFO\",\
                 \"message\":\"{message}\",\"number\":1,\"hash\":\"{hash}\",\"target\":\"kette::run::node\"}}\n"
            )
        };
        lines.iter().map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn tells_who_had_a_block_when() {
        let mut journal = Journal::default();
        let producer = log(&[
            ("01", 1, "block produced"),
            ("01.1", 1, "new head"),
            ("05", 2, "block produced"),
        ]);
        let near =
            log(&[("01.2", 1, "new head"), ("01.2", 1, "invalid block"), ("09", 3, "syncing")]);
        let mut far = log(&[("01.4", 1, "fork: side block")]);
        far.extend(b"{\"node\":\"n\",\"timestamp\":\"2026-01-");
        for (node, text) in [producer, near, far].iter().enumerate() {
            journal.read(node, text.as_slice()).unwrap();
        }
        let chain = [B256::repeat_byte(1)];
        let reach = |percent| journal.reach(&chain, 3, percent, 50.0).map(|time| time.as_millis());
        assert_eq!((reach(33.0), reach(50.0), reach(99.0)), (Some(0), Some(200), Some(400)));
        assert_eq!(journal.reach(&[B256::repeat_byte(2)], 3, 50.0, 50.0), None, "one node had it");
        let table = journal.table(&chain, |node| format!("n{node}"));
        assert_eq!((table.len(), table[0].number, table[0].nodes), (1, 1, 3));
        assert_eq!((table[0].producer.as_deref(), table[0].max_ms), (Some("n0"), 400.0));
        let failed = b"{\"level\":\"ERROR\",\"message\":\"disk\"}\n{\"level\":\"WARN\"}\n";
        journal.read(1, failed.as_slice()).unwrap();
        assert_eq!((journal.errors(0), journal.errors(1)), (0, 1));
        assert_eq!((journal.stale(&chain), journal.born(&B256::repeat_byte(3))), (1, None));
        let figures = journal.propagation(&chain, 3);
        assert_eq!(figures.cdf.last(), Some(&(400.0, 1.0)));
        assert_eq!((figures.p50_ms, figures.p90_ms), (200.0, 400.0));
    }
}
