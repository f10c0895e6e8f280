//! Drawn files are valid, stay within their bounds, and differ.

use super::*;
use crate::{
    run::Scenario,
    scenario::{Action, At, Misbehaviour, PlannedNode, step::DiskFault},
};
use kette_types::{EngineSpec, spec::PowSpec};
use std::collections::{BTreeMap, BTreeSet};

const ATMN: &str = include_str!("../../../kette/presets/chains/atmn.json");
const DRAWS: u64 = 2_000;

fn scenario(seed: u64) -> Scenario {
    Scenario::new(draw(seed), ATMN).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

fn pow(scenario: &Scenario) -> PowSpec {
    let EngineSpec::Pow(pow) = &scenario.spec.kette.as_ref().unwrap().engine else {
        panic!("not pow")
    };
    pow.clone()
}

#[test]
fn drawn_files_are_read_again_as_they_are() {
    for seed in 0..DRAWS {
        let file = draw(seed);
        let text = toml::to_string(&file).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let read = NetworkFile::parse(&text);
        let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(read, file, "seed {seed}");
    }
}

#[test]
fn the_same_seed_draws_the_same_and_another_one_differs() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut file = draw(seed);
        assert_eq!(file, draw(seed));
        file.network.name.clear();
        file.network.seed = 0;
        seen.insert(toml::to_string(&file).unwrap());
    }
    assert_eq!(seen.len(), 200);
}

#[test]
fn honest_miners_have_the_majority_and_blocks_are_cheap() {
    for seed in 0..DRAWS {
        let scenario = scenario(seed);
        let nodes = &scenario.plan.nodes;
        assert!((1..=12).contains(&nodes.len()), "seed {seed}");
        let liars = nodes.iter().filter(|node| node.byzantine.is_some()).count();
        assert!(liars * 4 <= nodes.len(), "seed {seed}: {liars} of {}", nodes.len());
        // Byzantine nodes come last: the first dials of honest nodes go to honest ones, except around a ring.
        let first_liar = nodes.len() - liars;
        assert!(nodes[first_liar..].iter().all(|node| node.byzantine.is_some()), "seed {seed}");
        for node in &nodes[1..first_liar] {
            assert!(node.dials.iter().all(|to| *to < first_liar), "seed {seed}");
        }
        let rate = |wanted: fn(&PlannedNode) -> bool| -> u64 {
            nodes.iter().filter(|n| n.miner && wanted(n)).map(|n| n.mine_rate).sum()
        };
        let honest = rate(|node| node.byzantine.is_none());
        assert!(honest > 0 && rate(|node| node.byzantine.is_some()) * 3 <= honest, "seed {seed}");
        let pow = pow(&scenario);
        let hashes = rate(|_| true) * pow.block_time;
        assert!(hashes <= chain::HASHES_MAX, "seed {seed}: {hashes} hashes for a block");
        assert!(pow.anchor_difficulty <= kette_types::U256::from(chain::HASHES_MAX));
    }
}

#[test]
fn clocks_stay_within_the_limit_for_future_blocks() {
    for seed in 0..DRAWS {
        let scenario = scenario(seed);
        let minutes = scenario.file.network.duration.as_millis() as i64;
        let mut range = (0_i64, 0_i64);
        for node in &scenario.plan.nodes {
            let drift = minutes * node.clock_drift_ppm / 1_000_000;
            let mut off = (node.clock_offset_ms, node.clock_offset_ms);
            off = (off.0 + drift.min(0), off.1 + drift.max(0));
            range = (range.0.min(off.0), range.1.max(off.1));
        }
        // Steps may strike the worst node; each may be the last that sets the drift.
        for step in &scenario.file.step {
            if let Action::Clock(clock) = &step.action {
                let off = clock.jump_ms + minutes * clock.drift_ppm / 1_000_000;
                range = (range.0 + off.min(0), range.1 + off.max(0));
            }
        }
        let limit = pow(&scenario).future_limit as i64 * 1_000;
        assert!(range.1 - range.0 < limit, "seed {seed}: {range:?} of {limit}");
    }
}

#[test]
fn interruptions_are_short_and_data_is_lost_at_one_node_only() {
    for seed in 0..DRAWS {
        let scenario = scenario(seed);
        let pow = pow(&scenario);
        let file = &scenario.file;
        assert!(file.step.len() <= 8, "seed {seed}");
        let mut sum = Duration::ZERO;
        let mut losers = BTreeSet::new();
        for (index, step) in file.step.iter().enumerate() {
            let mut action = step.action.clone();
            let lasts = action.lasts_mut().copied();
            match &step.action {
                Action::Partition(_) | Action::Stop(_) if lasts.is_none() => {
                    // The next step ends it.
                    let (At::Time(from), At::Time(to)) = (step.at, file.step[index + 1].at) else {
                        panic!("seed {seed}: pairs have times");
                    };
                    sum += to - from;
                }
                Action::Partition(_) | Action::Cut(_) | Action::Crash(_) | Action::Stop(_) => {
                    sum += lasts.unwrap();
                }
                Action::Pause(_) | Action::Churn(_) => sum += lasts.unwrap(),
                Action::Wipe(wipe) => {
                    losers.extend(wipe.nodes.clone());
                    sum += lasts.unwrap_or_default();
                }
                Action::Disk(disk) => match disk.fault {
                    DiskFault::LostFsync => losers.extend(disk.nodes.clone()),
                    DiskFault::BitRot => {
                        losers.extend(disk.nodes.clone());
                        sum += lasts.unwrap();
                    }
                    DiskFault::Full | DiskFault::Slow => sum += lasts.unwrap(),
                },
                _ => {}
            }
        }
        let depth = Duration::from_secs(pow.block_time * pow.reorg_limit);
        assert!(sum * 2 < depth, "seed {seed}: {sum:?} of {depth:?}");
        assert!(losers.len() <= 1 && !losers.contains("*"), "seed {seed}: {losers:?}");
    }
}

/// A draw that never happens tests nothing.
#[test]
fn every_action_and_misbehaviour_is_drawn_and_none_always() {
    let mut actions: BTreeMap<String, u64> = BTreeMap::new();
    let mut kinds: BTreeMap<Misbehaviour, u64> = BTreeMap::new();
    let mut plain = 0;
    for seed in 0..DRAWS {
        let file = draw(seed);
        let names = |step: &crate::scenario::Step| step.action.key().to_owned();
        for name in file.step.iter().map(names).collect::<BTreeSet<_>>() {
            *actions.entry(name).or_default() += 1;
        }
        for kind in file.group.iter().filter_map(|group| group.byzantine).collect::<BTreeSet<_>>() {
            *kinds.entry(kind).or_default() += 1;
        }
        plain += u64::from(file.step.is_empty());
    }
    assert_eq!(actions.len(), 17, "{actions:?}");
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    for count in actions.values().chain(kinds.values()) {
        assert!((10..DRAWS / 2).contains(count), "{actions:?} {kinds:?}");
    }
    assert!((DRAWS / 20..DRAWS / 2).contains(&plain), "{plain} runs without steps");
}
