//! How soon blocks were final: from what receivers saw, by the world's clock.

use super::FinalityFigures;
use crate::World;
use kette_types::{B256, bft::Seal};

/// A node that calls a block final this much later than the first one was away.
const AWAY_MICROS: u64 = 10_000_000;

/// Measures a run of `bft`.
pub(super) fn finality(world: &World, chain: &[B256]) -> Option<FinalityFigures> {
    world.spec.bft()?;
    let mut figures = FinalityFigures::default();
    let mut delays = Vec::new();
    for hash in chain {
        let history = &world.blocks[hash];
        let honest = history.finalized.iter().filter(|(host, _)| is_honest(world, *host));
        let first = honest.clone().map(|(_, delay)| *delay).min().unwrap_or(0);
        for (_, delay) in honest {
            if *delay > first + AWAY_MICROS {
                figures.caught_up += 1;
            } else {
                delays.push(*delay);
            }
        }
        // The next block says in which round this one was decided.
        let seal = Seal::decode_exact(history.block.block.header.seal()).ok()?;
        figures.late_rounds += u64::from(seal.last_commit.round > 0);
        figures.round_max = figures.round_max.max(seal.last_commit.round);
    }
    delays.sort_unstable();
    let percentile = |percent: usize| {
        let index = (delays.len() * percent).div_ceil(100).saturating_sub(1);
        delays.get(index).map_or(0.0, |delay| *delay as f64 / 1_000.0)
    };
    figures.count = delays.len() as u64;
    (figures.p50_ms, figures.p99_ms) = (percentile(50), percentile(99));
    Some(figures)
}

fn is_honest(world: &World, host: u32) -> bool {
    world.hosts[host as usize].is_honest()
}
