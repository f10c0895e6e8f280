//! Blocks come at the pace that genesis asks for, if hash rate is constant and nothing goes wrong.
//!
//! That all nodes compute the same difficulty follows from `validity`. Here: the mean time between the blocks of the later
//! half of a chain lies within a quarter of the block time. Chance and the start of the schedule may need more room:
//! around its goal, ASERT's excess is an Ornstein-Uhlenbeck process with variance T H / (2 ln 2) for block time T and half
//! life H, and what is left of a wrong start halves with every H.

use super::{
    Checker, Observation,
    steady::{Steady, Window},
};
use crate::{Moment, World, engine};
use kette_types::{U256, spec::Retarget};

/// Chains that are shorter say nothing.
const BLOCKS_MIN: usize = 60;
/// Deviation that always is allowed.
const SHARE: f64 = 0.25;
/// Standard deviations that are allowed.
const SIGMAS: f64 = 5.0;
/// Timestamps are those of templates, which are renewed every ten seconds.
const TEMPLATE_SECONDS: f64 = 10.0;

/// See the module.
#[derive(Debug, Default)]
pub struct Difficulty {
    steady: Steady,
}

impl Checker for Difficulty {
    fn name(&self) -> &'static str {
        "difficulty"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        self.steady.observe(world, seen);
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let Some(Window { rates, since, until }) = self.steady.window() else { return Ok(()) };
        let Some(pow) = engine::pow(&world.spec) else { return Ok(()) };
        let head = world.honest().filter_map(|host| host.node()).map(|node| node.tree().head());
        let Some(head) = head.max_by_key(|head| head.number) else { return Ok(()) };
        // Births of the canonical blocks in time, newest first.
        let mut births = Vec::new();
        let mut cursor = head.hash();
        while let Some(history) = world.blocks.get(&cursor) {
            if history.born <= until {
                births.push(history.born);
            }
            cursor = history.block.block.header.parent_hash;
        }
        let half = births.len() / 2;
        if births.len() < BLOCKS_MIN || pow.retarget != Retarget::Asert {
            return Ok(());
        }
        let chain = Chain {
            block_time: pow.block_time as f64,
            half_life: pow.half_life as f64,
            anchor: f64::from(pow.anchor_difficulty.max(U256::from(1))),
            first: f64::from(world.spec.genesis.difficulty),
        };
        chain.judge(rates.values().sum(), since, (births[half], births[0]), half)
    }
}

/// What the expected pace depends on.
#[derive(Clone, Copy, Debug)]
struct Chain {
    block_time: f64,
    half_life: f64,
    anchor: f64,
    /// Difficulty of block 1.
    first: f64,
}

impl Chain {
    fn judge(
        &self,
        hashes_per_second: f64,
        since: Moment,
        (from, to): (Moment, Moment),
        blocks: usize,
    ) -> Result<(), String> {
        let (pace, half_life) = (self.block_time, self.half_life);
        let goal = pace * blocks as f64;
        let warm_up = seconds(from.since(since));
        // Half lives between the anchor and the difficulty that fits the hash rate.
        let off = libm::fabs(libm::log2(hashes_per_second * pace / self.anchor));
        // Block 1 may be much harder than the rest.
        let late = self.first / hashes_per_second;
        let left = half_life * libm::exp2(off - (warm_up - late) / half_life);
        if !left.is_finite() || left > half_life {
            return Ok(());
        }
        // Two independent ends of a stationary process, or independent intervals if that is less.
        let noise = libm::sqrt(pace * half_life / std::f64::consts::LN_2)
            .min(pace * libm::sqrt(blocks as f64));
        let room = (SHARE * goal).max(SIGMAS * noise) + left + 2.0 * TEMPLATE_SECONDS;
        let took = seconds(to.since(from));
        if libm::fabs(took - goal) <= room {
            return Ok(());
        }
        Err(format!(
            "the last {blocks} blocks took {took:.1} s, expected {goal:.1} s and at most {room:.1} s \
             more or less at {hashes_per_second} hashes a second"
        ))
    }
}

fn seconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATMN: Chain =
        Chain { block_time: 12.0, half_life: 120.0, anchor: 24_000.0, first: 100.0 };

    fn judge(rate: f64, warm_up: u64, took: u64, blocks: usize) -> Result<(), String> {
        let from = Moment::from_micros(warm_up * 1_000_000);
        let to = Moment::from_micros((warm_up + took) * 1_000_000);
        ATMN.judge(rate, Moment::START, (from, to), blocks)
    }

    #[test]
    fn a_pace_that_is_off_is_found() {
        assert!(judge(2_000.0, 1_800, 1_800, 150).is_ok());
        assert!(judge(2_000.0, 1_800, 2_200, 150).is_ok());
        assert!(judge(2_000.0, 1_800, 2_400, 150).is_err());
        assert!(judge(2_000.0, 1_800, 1_200, 150).is_err());
    }

    #[test]
    fn a_schedule_that_has_not_settled_says_nothing() {
        assert!(judge(2_000.0, 60, 4_000, 150).is_err());
        assert!(judge(2_000.0 / 4_096.0, 600, 4_000, 150).is_ok());
        assert!(judge(0.0, 1_800, 4_000, 150).is_ok());
    }
}
