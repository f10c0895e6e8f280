//! What a run showed, as data: the figures of `kette sim run` where they mean the same.

use super::{
    invariants::{LIVENESS, Violation},
    journal::BlockReach,
};
use alloy_primitives::B256;
use kette_sim::{
    run::{BlockFigures, FaultBand, HeightSample, NodeFigures, Propagation, TransactionFigures},
    scenario::{Facts, Order, Verdict},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The network's name.
    pub name: String,
    /// The chain's engine.
    pub engine: String,
    /// Where all choices that the file leaves open came from.
    pub seed: u64,
    /// From the first start until all first nodes answered.
    pub start_seconds: f64,
    /// From then to the end.
    pub seconds: f64,
    /// From the end of the file's duration until all nodes agreed and had two more blocks; `None` if they did not.
    pub converged_seconds: Option<f64>,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// Checks of the file, and whether every step happened.
    pub checks: Vec<Verdict>,
    /// What did not happen and need not.
    pub notes: Vec<String>,
    /// Whether there is no violation and all checks hold.
    pub ok: bool,
    /// Whether the run came to its end; checks of the file are judged only then.
    pub complete: bool,
    /// Whether somebody interrupted it.
    pub interrupted: bool,
    /// How many nodes.
    pub nodes: usize,
    /// Number of the head at the end.
    pub height: u64,
    /// Hash of the head at the end.
    pub head: B256,
    /// Blocks.
    pub blocks: BlockFigures,
    /// Time until shares of the nodes had a block.
    pub propagation: Propagation,
    /// Transactions.
    pub transactions: TransactionFigures,
    /// Names of the nodes, in the order of `heights`.
    pub names: Vec<String>,
    /// Heights over time, at most 600 samples; at most 50 nodes.
    pub heights: Vec<HeightSample>,
    /// Faults over time.
    pub faults: Vec<FaultBand>,
    /// The nodes at the end.
    pub list: Vec<NodeFigures>,
    /// When the nodes had each block, the last 200.
    pub block_reach: Vec<BlockReach>,
    /// What happened, in order.
    pub steps: Vec<Line>,
    /// What of the file made no difference.
    pub left_out: Vec<String>,
    /// Alarms, by node.
    pub alarms: BTreeMap<String, Vec<String>>,
    /// Ends of the logs of nodes at which something is wrong.
    pub logs: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Returns how many checks of the file do not hold.
    pub fn failed_checks(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }

    /// Tells whether the network's time ran out and nothing else is wrong.
    pub fn only_late(&self) -> bool {
        self.failed_checks() == 0 && self.violations.iter().all(|it| it.checker == LIVENESS)
    }

    /// Returns the nodes at which something is wrong.
    pub fn suspects(&self) -> Vec<String> {
        let violations = self.violations.iter().filter_map(|it| it.node.clone());
        let checks = self.checks.iter().flat_map(|check| check.nodes.clone());
        let mut names: Vec<String> = Vec::new();
        for name in violations.chain(checks) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Seconds after the start.
    pub at: f64,
    /// In words.
    pub what: String,
    /// Heights of the nodes then, `-` for one that does not run, `?` for one that has not answered yet.
    pub heights: String,
}

impl Line {
    /// Something that happens now.
    pub fn new(facts: &Facts, what: String) -> Self {
        Self { at: facts.at.as_secs_f64(), what, heights: heights(facts) }
    }
}

/// Nodes whose heights stand in a line one by one.
const HEIGHTS_MAX: usize = 10;

fn heights(facts: &Facts) -> String {
    let up = facts.nodes.iter().filter(|node| node.up).map(|node| node.height);
    if facts.nodes.len() > HEIGHTS_MAX {
        let (least, most) = (up.clone().min(), up.clone().max());
        return match (least, most) {
            (Some(least), Some(most)) => format!("{} up, {least}..{most}", up.count()),
            _ => "none up".to_owned(),
        };
    }
    let one = |node: &kette_sim::scenario::NodeFacts| match node.up {
        // It runs and has not said anything yet.
        true if node.hash == B256::ZERO => "?".to_owned(),
        true => node.height.to_string(),
        false => "-".to_owned(),
    };
    facts.nodes.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Heights over time, thinned out when there are too many.
#[derive(Debug, Default)]
pub struct Samples {
    heights: Vec<HeightSample>,
    every: usize,
    seen: usize,
    next: Duration,
}

const SAMPLES_MAX: usize = 600;
const SAMPLED_NODES_MAX: usize = 50;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

impl Samples {
    /// Takes a sample if it is time for one.
    pub fn take(&mut self, facts: &Facts) {
        if facts.at < self.next {
            return;
        }
        self.next = facts.at + SAMPLE_EVERY;
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every.max(1)) {
            return;
        }
        let nodes = facts.nodes.iter().take(SAMPLED_NODES_MAX);
        let heights = nodes.map(|node| node.up.then_some(node.height)).collect();
        self.heights.push(HeightSample { at: facts.at.as_secs_f64(), heights });
        if self.heights.len() > SAMPLES_MAX {
            self.every = self.every.max(1) * 2;
            let mut keep = false;
            self.heights.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Returns names and samples.
    pub fn finish(self, facts: &Facts) -> (Vec<String>, Vec<HeightSample>) {
        let names = facts.nodes.iter().take(SAMPLED_NODES_MAX).map(|node| node.name.clone());
        (names.collect(), self.heights)
    }
}

/// Faults that a report keeps.
const BANDS_MAX: usize = 10_000;

/// Faults over time.
#[derive(Debug, Default)]
pub struct Bands(Vec<(usize, FaultBand)>);

impl Bands {
    /// Notes what begins and ends.
    pub fn note(&mut self, order: &Order, at: Duration) {
        let now = at.as_secs_f64();
        match order {
            Order::Begin { step, action } if action.is_fault() && self.0.len() < BANDS_MAX => {
                let to = now + action.lasts().map_or(0.0, |lasts| lasts.as_secs_f64());
                self.0.push((*step, FaultBand { from: now, to, what: action.describe() }));
            }
            Order::Begin { .. } => {}
            Order::End { step, .. } => {
                if let Some((_, band)) = self.0.iter_mut().rev().find(|(s, _)| s == step) {
                    band.to = now;
                }
            }
        }
    }

    /// Returns all of them; what has no end yet ends now.
    pub fn finish(self, healed: Duration) -> Vec<FaultBand> {
        let end = |(_, mut band): (usize, FaultBand)| {
            if band.to <= band.from {
                band.to = healed.as_secs_f64();
            }
            band
        };
        self.0.into_iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_sim::scenario::NodeFacts;

    fn facts(at: u64, nodes: &[Option<u64>]) -> Facts {
        let node = |height: &Option<u64>| NodeFacts {
            name: "n".to_owned(),
            up: height.is_some(),
            height: height.unwrap_or(7),
            hash: B256::repeat_byte(1),
            ..NodeFacts::default()
        };
        Facts { at: Duration::from_secs(at), nodes: nodes.iter().map(node).collect() }
    }

    #[test]
    fn a_line_has_heights_one_by_one_or_from_and_to() {
        assert_eq!(
            Line::new(&facts(1, &[Some(3), None, Some(12)]), String::new()).heights,
            "3 - 12"
        );
        let many: Vec<Option<u64>> = (0..20).map(|at| (at != 4).then_some(30 + at)).collect();
        assert_eq!(Line::new(&facts(1, &many), String::new()).heights, "19 up, 30..49");
        assert_eq!(Line::new(&facts(1, &[None; 11]), String::new()).heights, "none up");
    }

    #[test]
    fn samples_are_bounded_and_a_second_apart() {
        let mut samples = Samples::default();
        for half in 0..10_000u64 {
            let mut now = facts(0, &[Some(half), None]);
            now.at = Duration::from_millis(half * 500);
            samples.take(&now);
        }
        let (names, heights) = samples.finish(&facts(0, &[Some(1), None]));
        assert_eq!(names.len(), 2);
        assert!((200..=SAMPLES_MAX).contains(&heights.len()), "{}", heights.len());
        assert!(heights.windows(2).all(|pair| pair[1].at - pair[0].at >= 1.0));
    }
}
