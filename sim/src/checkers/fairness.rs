//! Who has a share of the hash rate finds that share of the blocks, as far as chance allows.
//!
//! Blocks found are counted and not canonical ones: links that are slow compared with the block time favour large miners
//! on the chain (that is how Nakamoto consensus works, and the scenario's business), but not in finding blocks. The chance
//! of what was seen is computed exactly, because a small share is far from a normal distribution; it must not be below
//! that of four standard deviations, divided by the number of miners asked.

use super::{
    Checker, Observation,
    steady::{Steady, Window},
};
use crate::World;
use std::{collections::BTreeMap, time::Duration};

/// Fewer blocks say nothing.
const BLOCKS_MIN: u64 = 100;
/// Chance of more than four standard deviations on one side of a normal distribution.
const FOUR_SIGMA: f64 = 3.167e-5;
/// After its start a node waits for peers before it mines.
const SETTLE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct Fairness {
    steady: Steady,
}

impl Checker for Fairness {
    fn name(&self) -> &'static str {
        "fairness"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        self.steady.observe(world, seen);
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let Some(Window { rates, since, until }) = self.steady.window() else { return Ok(()) };
        let mut wins: BTreeMap<usize, u64> = rates.keys().map(|host| (*host, 0)).collect();
        let counted = since + SETTLE..until;
        for history in world.blocks.values().filter(|history| counted.contains(&history.born)) {
            let Some(producer) = history.producer else { continue };
            match wins.get_mut(&producer) {
                Some(count) => *count += 1,
                // Somebody began to mine later, on command.
                None => return Ok(()),
            }
        }
        let miners = wins.iter().map(|(host, wins)| (*host, rates[host], *wins)).collect();
        judge(miners).map_err(|(host, what)| format!("{}: {what}", world.hosts[host].name))
    }
}

/// Judges miners by name, rate and wins.
fn judge(miners: Vec<(usize, f64, u64)>) -> Result<(), (usize, String)> {
    let (rate, blocks) =
        miners.iter().fold((0.0, 0), |(rate, blocks), miner| (rate + miner.1, blocks + miner.2));
    if blocks < BLOCKS_MIN || rate <= 0.0 {
        return Ok(());
    }
    let least = FOUR_SIGMA / miners.len() as f64;
    for (host, own, wins) in miners {
        let share = own / rate;
        let chance = tail(blocks, wins, share);
        if chance < least {
            return Err((
                host,
                format!(
                    "found {wins} of {blocks} blocks with {:.1} % of the hash rate; the chance of \
                     that is {chance:.1e}",
                    100.0 * share
                ),
            ));
        }
    }
    Ok(())
}

/// Returns the chance of `wins` or something further from the mean on the same side, among `blocks` tries.
fn tail(blocks: u64, wins: u64, share: f64) -> f64 {
    if share <= 0.0 {
        return if wins == 0 { 1.0 } else { 0.0 };
    }
    if share >= 1.0 {
        return if wins == blocks { 1.0 } else { 0.0 };
    }
    let n = blocks as f64;
    let chance = |k: u64| {
        let k = k as f64;
        let ways = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
        libm::exp(ways + k * libm::log(share) + (n - k) * libm::log1p(-share))
    };
    if wins as f64 > n * share {
        (wins..=blocks).map(chance).sum()
    } else {
        (0..=wins).map(chance).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_binomial_distribution() {
        for (blocks, wins, share, expected) in [
            (4, 4, 0.5, 1.0 / 16.0),
            (4, 1, 0.5, 5.0 / 16.0),
            (3, 2, 1.0 / 3.0, 7.0 / 27.0),
            (10, 0, 0.1, 0.348_678_440_1),
            (5, 5, 1.0, 1.0),
            (5, 1, 0.0, 0.0),
        ] {
            let got = tail(blocks, wins, share);
            assert!((got - expected).abs() < 1e-9, "{blocks} {wins} {share}: {got}");
        }
    }

    #[test]
    fn a_share_that_is_not_earned_is_found() {
        assert!(judge(vec![(0, 1.0, 70), (1, 3.0, 230)]).is_ok());
        let (host, what) = judge(vec![(0, 1.0, 110), (1, 3.0, 190)]).unwrap_err();
        assert_eq!(host, 0, "{what}");
        assert!(judge(vec![(0, 1.0, 35), (1, 3.0, 265)]).is_err());
        assert!(judge(vec![(0, 1.0, 60), (1, 3.0, 30)]).is_ok(), "too few blocks");
    }

    #[test]
    fn a_thousand_small_miners_may_be_lucky() {
        let mut miners: Vec<_> = (0..1_000).map(|host| (host, 1.0, 0)).collect();
        for (host, wins) in [(0, 3), (1, 2), (2, 2)] {
            miners[host].2 = wins;
        }
        for miner in &mut miners[3..296] {
            miner.2 = 1;
        }
        assert!(judge(miners.clone()).is_ok());
        miners[0].2 = 9;
        assert!(judge(miners).is_err());
    }
}
