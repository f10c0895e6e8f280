//! Measurements of a run: taken from blocks and receivers' clocks, never from a sender's belief.

use super::{
    Scenario,
    report::{BlockFigures, HeightSample, Propagation, TransactionFigures},
};
use crate::{
    Moment, World,
    scenario::{
        Facts, NodeFacts,
        users::{Conflicts, Pools},
    },
    workload::Sent,
};
use kette_types::B256;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Samples of heights kept at most.
const SAMPLES_MAX: usize = 600;
/// Nodes whose heights are sampled.
const SAMPLED_NODES_MAX: usize = 50;
/// Points of the distribution function.
const CDF_POINTS: usize = 200;

/// What is gathered while a run goes on.
#[derive(Debug, Default)]
pub(super) struct Samples {
    heights: Vec<HeightSample>,
    every: usize,
    seen: usize,
}

impl Samples {
    /// Takes a sample; thins out when there are too many.
    pub(super) fn take(&mut self, world: &World) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every.max(1)) {
            return;
        }
        let heights = world
            .hosts
            .iter()
            .take(SAMPLED_NODES_MAX)
            .map(|host| host.node().map(|node| node.tree().head().number))
            .collect();
        self.heights.push(HeightSample { at: world.now().since_start().as_secs_f64(), heights });
        if self.heights.len() > SAMPLES_MAX {
            self.every = self.every.max(1) * 2;
            let mut keep = false;
            self.heights.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    pub(super) fn heights(&self) -> Vec<HeightSample> {
        self.heights.clone()
    }
}

/// Observes all nodes.
pub(super) fn facts(world: &World) -> Facts {
    let nodes = world.hosts.iter().map(|host| {
        let Some(node) = host.node() else {
            return NodeFacts {
                name: host.name.clone(),
                honest: host.is_honest(),
                ..NodeFacts::default()
            };
        };
        let head = node.tree().head();
        let (finalized, finalized_hash) = node.tree().finalized();
        let counters = node.counters();
        NodeFacts {
            name: host.name.clone(),
            up: !host.paused,
            honest: host.is_honest(),
            height: head.number,
            hash: head.hash(),
            state_root: head.state_root,
            weight: node.tree().head_weight(),
            finalized,
            finalized_hash,
            peers: node.peer_count(),
            sessions: host.sessions.values().map(|session| session.remote).collect(),
            handshakes_attempted: counters.handshakes_attempted,
            handshakes_completed: counters.handshakes_completed,
            sessions_refused: counters.sessions_refused,
            dials_failed: counters.dials_failed,
            faults: counters.faults,
            pending: node.mempool().pending_count(),
            reorgs: counters.reorgs,
            reorg_depth_max: counters.reorg_depth_max,
            syncing: node.is_syncing(),
            produced: counters.blocks_produced,
            bans: counters.bans,
        }
    });
    Facts { at: world.now().since_start(), nodes: nodes.collect() }
}

/// Returns the canonical chain of the honest node with the heaviest head: hashes by number, without block 0.
pub(super) fn canonical(world: &World) -> Vec<B256> {
    let best = world.honest().filter_map(|host| host.node()).max_by_key(|node| {
        (node.tree().head_weight(), std::cmp::Reverse(node.tree().head().hash()))
    });
    let Some(best) = best else { return Vec::new() };
    let mut chain = Vec::new();
    let mut cursor = best.tree().head().hash();
    while let Some(history) = world.blocks.get(&cursor) {
        chain.push(cursor);
        cursor = history.block.block.header.parent_hash;
    }
    chain.reverse();
    chain
}

pub(super) fn blocks(world: &World, chain: &[B256], reorgs: (u64, u64)) -> BlockFigures {
    let produced = world.blocks.len() as u64;
    let canonical = chain.len() as u64;
    let stale = produced - canonical;
    let born = |hash: &B256| world.blocks[hash].born;
    let span = match chain {
        [first, .., last] => born(last).since(born(first)),
        _ => Duration::ZERO,
    };
    BlockFigures {
        produced,
        canonical,
        stale,
        stale_rate: if produced == 0 { 0.0 } else { stale as f64 / produced as f64 },
        interval_seconds: span.as_secs_f64() / (canonical.max(2) - 1) as f64,
        reorgs: reorgs.0,
        reorg_depth_max: reorgs.1,
    }
}

pub(super) fn propagation(world: &World, chain: &[B256]) -> Propagation {
    let count = world.hosts.iter().filter(|host| host.is_honest()).count();
    let mut all: Vec<u64> = Vec::new();
    let mut shares: [Vec<u64>; 3] = Default::default();
    for hash in chain {
        let delays = delays(world, *hash);
        for (share, into) in [50, 90, 99].into_iter().zip(&mut shares) {
            if let Some(delay) = delays.get((count * share).div_ceil(100).saturating_sub(1)) {
                into.push(*delay);
            }
        }
        all.extend(delays);
    }
    all.sort_unstable();
    let points = all.len().min(CDF_POINTS);
    let cdf = (1..=points)
        .map(|point| {
            let index = all.len() * point / points - 1;
            (millis(all[index]), (index + 1) as f64 / all.len() as f64)
        })
        .collect();
    let [p50, p90, p99] = shares.map(|delays| millis(median(delays)));
    Propagation { p50_ms: p50, p90_ms: p90, p99_ms: p99, cdf }
}

/// Returns after how many microseconds honest hosts had a block, ascending.
fn delays(world: &World, hash: B256) -> Vec<u64> {
    let mut delays: Vec<u64> = world.blocks[&hash]
        .reached
        .iter()
        .filter(|(host, _)| world.hosts[*host as usize].is_honest())
        .map(|(_, delay)| *delay)
        .collect();
    delays.sort_unstable();
    delays
}

/// Returns a percentile over canonical blocks, made after some time, of the time until this share of honest nodes had
/// one.
pub(super) fn reach(
    world: &World,
    chain: &[B256],
    percent: f64,
    of: f64,
    after: Duration,
) -> Option<Duration> {
    let count = world.hosts.iter().filter(|host| host.is_honest()).count();
    let needed = libm::ceil(count as f64 * percent / 100.0) as usize;
    let mut delays: Vec<u64> = chain
        .iter()
        .filter(|hash| world.blocks[*hash].born.since_start() >= after)
        .filter_map(|hash| delays(world, *hash).get(needed.saturating_sub(1)).copied())
        .collect();
    delays.sort_unstable();
    percentile(&delays, of).map(Duration::from_micros)
}

pub(super) fn transactions<'a>(
    world: &World,
    chain: &[B256],
    sent: impl Iterator<Item = &'a Sent>,
) -> TransactionFigures {
    let mut included: BTreeMap<B256, Moment> = BTreeMap::new();
    for hash in chain {
        let history = &world.blocks[hash];
        for transaction in &history.block.block.body.transactions {
            included.entry(*transaction.tx_hash()).or_insert(history.born);
        }
    }
    let mut submitted = BTreeSet::new();
    let mut delays = Vec::new();
    for sent in sent {
        if sent.taken != Some(true) || sent.rival.is_some() {
            continue;
        }
        submitted.insert(sent.hash);
        if let Some(at) = included.get(&sent.hash) {
            delays.push(at.since(sent.at).as_micros() as u64);
        }
    }
    delays.sort_unstable();
    let percentile = |percent: usize| {
        let index = (delays.len() * percent).div_ceil(100).saturating_sub(1);
        delays.get(index).map_or(0.0, |delay| millis(*delay))
    };
    TransactionFigures {
        submitted: submitted.len() as u64,
        included: delays.len() as u64,
        inclusion_p50_ms: percentile(50),
        inclusion_p95_ms: percentile(95),
        per_second: TransactionFigures::rate(&filled(world, chain)),
    }
}

/// Returns when each block with transactions was made, microseconds, and how many it has.
pub(super) fn filled(world: &World, chain: &[B256]) -> Vec<(u64, u64)> {
    let transfers = |hash: &B256| {
        let history = &world.blocks[hash];
        let born = history.born.as_micros();
        (born, history.block.block.body.transactions.len() as u64)
    };
    chain.iter().map(transfers).filter(|(_, count)| *count > 0).collect()
}

/// Returns which pools had users' transactions when, and what became of pairs with one nonce. Nothing of pools if
/// the file has no check about them.
pub(super) fn pools<'a>(
    world: &World,
    chain: &[B256],
    sent: impl Iterator<Item = &'a Sent>,
) -> (Option<Pools>, Conflicts) {
    let mut blocks: BTreeMap<B256, B256> = BTreeMap::new();
    for hash in chain {
        let transactions = &world.blocks[hash].block.block.body.transactions;
        blocks.extend(transactions.iter().map(|transaction| (*transaction.tx_hash(), *hash)));
    }
    let honest = |host: &usize| world.hosts[*host].is_honest();
    let in_pools = |hash: &B256| -> BTreeMap<usize, (u64, bool)> {
        let had = world.pools.iter().flat_map(|pools| pools.get(hash)).flatten();
        let had = had.map(|(host, at)| (*host as usize, (at.as_micros(), true)));
        // Of a host that had it twice the first time counts.
        had.rev().filter(|(host, _)| honest(host)).collect()
    };
    let names = world.hosts.iter().enumerate().map(|(place, host)| (place, host.name.clone()));
    let names = names.filter(|(place, _)| honest(place)).collect();
    let (mut pools, mut conflicts) = (Pools::new(names), Conflicts::default());
    for sent in sent {
        let mut had = in_pools(&sent.hash);
        if let Some(rival) = &sent.rival {
            let other = in_pools(rival);
            conflicts.add(
                [&sent.hash, rival].map(|hash| blocks.contains_key(hash)),
                had.keys().filter(|host| other.contains_key(host)).count(),
            );
        } else if sent.taken == Some(true) {
            if let Some(history) = blocks.get(&sent.hash).map(|block| &world.blocks[block]) {
                for (host, delay) in
                    history.reached.iter().filter(|(host, _)| honest(&(*host as usize)))
                {
                    had.entry(*host as usize).or_insert((history.born.as_micros() + delay, false));
                }
            }
            pools.add(sent.hash, &had);
        }
    }
    (world.pools.is_some().then_some(pools), conflicts)
}

/// Returns all reorganizations of honest nodes, and the deepest.
pub(super) fn reorgs(world: &World) -> (u64, u64) {
    world.honest().filter_map(|host| host.node()).fold((0, 0), |(count, depth), node| {
        let counters = node.counters();
        (count + counters.reorgs, depth.max(counters.reorg_depth_max))
    })
}

pub(super) fn names(scenario: &Scenario) -> Vec<String> {
    scenario.plan.nodes.iter().take(SAMPLED_NODES_MAX).map(|node| node.name.clone()).collect()
}

/// Returns the value that so many percent of sorted values do not exceed; the upper one of two in the middle.
pub fn percentile(sorted: &[u64], percent: f64) -> Option<u64> {
    let index = libm::floor(sorted.len() as f64 * percent / 100.0) as usize;
    sorted.get(index.min(sorted.len().checked_sub(1)?)).copied()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
