//! Retargeting under changing hash rates: seeded simulations of solve times, without hashing.

use super::{EPOCH, first_difficulty, genesis, schedule::*, spec, template};
use kette_types::spec::PowSpec;
use kette_types::{Header, U256};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const SEEDS: u64 = 21;
/// Hashes per second before the change.
const RATE: f64 = 1_000_000.0;

fn slow_spec() -> PowSpec {
    PowSpec { anchor_difficulty: U256::from(10_000_000), difficulty_min: U256::from(16), ..spec() }
}

/// A found block: when, seconds after the start, and at what difficulty.
struct Solved {
    at: f64,
    difficulty: f64,
}

/// Mines for `phases`, each with its length in seconds and its hash rate.
fn simulate(spec: &PowSpec, phases: &[(f64, f64)], seed: u64) -> Vec<Solved> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut parent = template(spec, &genesis(), EPOCH);
    let mut blocks = Vec::new();
    let (mut at, mut end) = (0.0, 0.0);
    for (length, rate) in phases {
        end += length;
        loop {
            let difficulty = next_difficulty(spec, first_difficulty(), &parent);
            let difficulty_f = f64::from(difficulty.saturating_to::<u32>());
            // Exponential solve time: memoryless, so a change of rate draws it anew.
            let draw: f64 = rng.random();
            let solved = at - (1.0 - draw).ln() * difficulty_f / rate;
            if solved >= end {
                at = end;
                break;
            }
            at = solved;
            let timestamp = EPOCH + at as u64;
            let excess = next_excess(spec, &parent, timestamp);
            parent = Header {
                number: parent.number + 1,
                timestamp,
                extra_data: super::excess_bytes(excess),
                ..Header::default()
            };
            blocks.push(Solved { at, difficulty: difficulty_f });
        }
    }
    blocks
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median time until the difficulty is within a third of what the new rate asks for.
fn recovery(factor: f64) -> f64 {
    let spec = slow_spec();
    let (settle, after) = (7_200.0, 14_400.0);
    let ideal = RATE * factor * 10.0;
    median(
        (0..SEEDS)
            .map(|seed| {
                simulate(&spec, &[(settle, RATE), (after, RATE * factor)], seed)
                    .iter()
                    .find(|b| b.at > settle && (b.difficulty / ideal - 1.0).abs() <= 0.33)
                    .map_or(after, |b| b.at - settle)
            })
            .collect(),
    )
}

#[test]
fn blocks_come_at_the_block_time() {
    for seed in 0..SEEDS {
        let blocks = simulate(&slow_spec(), &[(20_000.0, RATE)], seed).len();
        assert!((1_900..2_100).contains(&blocks), "seed {seed}: {blocks} blocks, ideal 2000");
    }
}

#[test]
fn ten_times_the_hash_rate_is_caught_up_with() {
    let seconds = recovery(10.0);
    assert!((100.0..900.0).contains(&seconds), "{seconds} s, expected about 520");
}

#[test]
fn a_tenth_of_the_hash_rate_is_caught_up_with() {
    let seconds = recovery(0.1);
    assert!((500.0..2_200.0).contains(&seconds), "{seconds} s, expected about 1390");
}

#[test]
fn four_times_the_hash_rate_gives_the_block_time_again() {
    let (settle, skip, span) = (7_200.0, 600.0, 6_000.0);
    for seed in 0..SEEDS {
        let run = simulate(&slow_spec(), &[(settle, RATE), (skip + span, RATE * 4.0)], seed);
        let blocks = run.iter().filter(|b| b.at > settle + skip).count();
        let interval = span / blocks as f64;
        assert!((7.5..12.5).contains(&interval), "seed {seed}: {interval} s between blocks");
    }
}

/// Blocks in the ten minutes after eight hours without any miner.
fn burst(spec: &PowSpec) -> Vec<f64> {
    let (settle, pause) = (7_200.0, 28_800.0);
    (0..SEEDS)
        .map(|seed| {
            let phases = [(settle, RATE), (pause, 1e-9), (3_600.0, RATE)];
            let from = settle + pause;
            let run = simulate(spec, &phases, seed);
            run.iter().filter(|b| b.at > from && b.at <= from + 600.0).count() as f64
        })
        .collect()
}

#[test]
fn the_chain_does_not_race_after_a_pause() {
    let blocks = median(burst(&slow_spec()));
    assert!((50.0..=100.0).contains(&blocks), "{blocks} blocks, ideal 60");
    let without_limit = PowSpec { pause_limit: u64::MAX, ..slow_spec() };
    assert!(median(burst(&without_limit)) > 1_000.0, "plain ASERT does race");
}
