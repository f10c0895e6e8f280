//! Metrics of the engine `bft`, named after CometBFT's where they mean the same.

use alloy_primitives::Address;
use kette_consensus::bft::{BftStatus, Event};
use kette_types::bft::{PublicKey, VoteKind};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

type Decimal = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
}

/// Counters and histograms that only events can fill.
#[derive(Debug)]
pub(crate) struct Votes {
    step: Family<Step, Histogram>,
    round: Histogram,
    quorum_delay: Family<Kind, Histogram>,
    full_delay: Family<Kind, Histogram>,
    power: Family<Kind, Decimal>,
    counted: Family<Kind, Counter>,
    proposals: Family<Status, Counter>,
    timeouts: Family<Step, Counter>,
    evidence: Counter,
    finality: Histogram,
    interval: Histogram,
    missed: Counter,
    seen: Mutex<Seen>,
}

/// What later events are compared with.
#[derive(Debug, Default)]
struct Seen {
    /// When the round began here.
    round: Option<Instant>,
    /// When the last step of this round ended, milliseconds after it began.
    step_ms: u64,
    /// When the last block became final here.
    last: Option<Instant>,
    /// Weights as last seen in votes.
    weights: BTreeMap<PublicKey, u64>,
    culprits: BTreeSet<Address>,
    /// Height of this node's newest precommit.
    signed: u64,
    /// Milliseconds from a block's time to its finality here, newest last.
    recent: VecDeque<u64>,
}

/// Blocks whose finality is remembered.
const RECENT_MAX: usize = 1_024;
/// Keys whose weights are remembered: more than have a vote at any time.
const WEIGHTS_MAX: usize = 1_024;

impl Votes {
    pub(crate) fn new() -> Self {
        Self {
            step: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            round: Histogram::new(BUCKETS),
            quorum_delay: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            full_delay: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            power: Family::default(),
            counted: Family::default(),
            proposals: Family::default(),
            timeouts: Family::default(),
            evidence: Counter::default(),
            finality: Histogram::new(BUCKETS),
            interval: Histogram::new(BUCKETS),
            missed: Counter::default(),
            seen: Mutex::default(),
        }
    }

    /// Counts what happened. Times of blocks that the node only caught up with say nothing about finality.
    pub(crate) fn observe(&self, event: &Event, syncing: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Round { .. } => {
                if let Some(began) = seen.round.replace(Instant::now()) {
                    self.round.observe(began.elapsed().as_secs_f64());
                }
                seen.step_ms = 0;
            }
            Event::Proposed { .. } => self.proposal("proposed"),
            Event::Proposal { after_ms, .. } => {
                self.proposal("accepted");
                self.step_ended(&mut seen, "propose", *after_ms);
            }
            Event::Vote { kind, height, key, weight, sum, total, ours, block, .. } => {
                let label = Kind { r#type: word(*kind) };
                self.counted.get_or_create(&label).inc();
                if seen.weights.len() < WEIGHTS_MAX || seen.weights.contains_key(key) {
                    seen.weights.insert(*key, *weight);
                }
                self.power.get_or_create(&label).set(*sum as f64 * 100.0 / *total as f64);
                if let Some(began) = seen.round.filter(|_| sum == total && !block.is_zero()) {
                    self.full_delay.get_or_create(&label).observe(began.elapsed().as_secs_f64());
                }
                if *ours && *kind == VoteKind::Precommit {
                    seen.signed = *height;
                }
            }
            Event::Quorum { kind, after_ms, .. } => {
                let label = Kind { r#type: word(*kind) };
                self.quorum_delay.get_or_create(&label).observe(seconds(*after_ms));
                self.step_ended(&mut seen, word(*kind), *after_ms);
            }
            Event::Timeout { wait, .. } => {
                self.timeouts.get_or_create(&Step { step: wait }).inc();
            }
            Event::Final { height, after_ms, live, .. } => {
                let live = *live && !syncing;
                if seen.signed > 0 && seen.signed < *height {
                    self.missed.inc();
                }
                let last = seen.last.replace(Instant::now());
                if let Some(last) = last.filter(|_| live) {
                    self.interval.observe(last.elapsed().as_secs_f64());
                }
                if live {
                    self.finality.observe(seconds(*after_ms));
                    seen.recent.push_back(*after_ms);
                    while seen.recent.len() > RECENT_MAX {
                        seen.recent.pop_front();
                    }
                }
            }
            Event::Evidence { culprit, .. } => {
                self.evidence.inc();
                seen.culprits.insert(*culprit);
            }
            Event::Validators { .. } => {}
        }
    }

    fn proposal(&self, status: &'static str) {
        self.proposals.get_or_create(&Status { status }).inc();
    }

    fn step_ended(&self, seen: &mut Seen, step: &'static str, after_ms: u64) {
        let took = after_ms.saturating_sub(seen.step_ms);
        seen.step_ms = seen.step_ms.max(after_ms);
        self.step.get_or_create(&Step { step }).observe(seconds(took));
    }

    /// Returns how long the newest blocks took to become final here, milliseconds, oldest first.
    pub(crate) fn finality_ms(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.recent.iter().copied().collect()
    }

    /// Adds everything to what is shown.
    pub(crate) fn register(&self, registry: &mut Registry, status: &BftStatus) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: u64 = status.absent.iter().filter_map(|key| seen.weights.get(key)).sum();
        let wide = |weight: u128| u64::try_from(weight).unwrap_or(u64::MAX);
        let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        for (name, help, value) in [
            ("height", "The height that is being decided", status.height),
            ("round", "Its round, from 0", status.round.into()),
            ("validators", "Validators of the height", count(status.validators)),
            ("validators_power", "Weight of all of them", wide(status.weight)),
            ("quorum_power", "Least weight that decides", wide(status.quorum)),
            ("missing_validators", "Not in the newest certificate", count(status.absent.len())),
            ("missing_validators_power", "Their weight", missing),
            ("byzantine_validators", "Seen to sign twice", count(seen.culprits.len())),
            ("evidence_pending", "Proofs not in a block yet", count(status.evidence)),
            ("validator_power", "This node's weight", status.own_weight),
            ("validator_signing", "Whether this node signs", status.signing.into()),
            ("forked", "Whether this node stopped because of a fork", status.fork.is_some().into()),
            ("validator_last_signed_height", "Its newest precommit", seen.signed),
            ("propose_timeout_ms", "Wait for a proposal, as measured", status.propose_ms),
            ("vote_timeout_ms", "Wait for votes, as measured", status.vote_ms),
            ("slot_ms", "Least time between blocks", status.slot_ms),
        ] {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        }
        for (name, help, value) in [
            ("rounds", "Rounds beyond the first of a height", status.extra_rounds),
            ("late_votes", "Votes for a height that is past", status.late_votes),
            ("rebroadcasts", "Own messages sent again", status.resent),
        ] {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        }
        drop(seen);
        for (name, help, histogram) in [
            ("round_duration_seconds", "From round to round", &self.round),
            ("finality_seconds", "From a block's time to its finality here", &self.finality),
            ("block_interval_seconds", "Between blocks that became final here", &self.interval),
        ] {
            registry.register(name, help, histogram.clone());
        }
        registry.register("step_duration_seconds", "Time a step took", self.step.clone());
        let help = "From the round's begin to a quorum";
        registry.register("quorum_delay_seconds", help, self.quorum_delay.clone());
        let help = "From the round's begin to the vote of the last validator";
        registry.register("full_vote_delay_seconds", help, self.full_delay.clone());
        let help = "Share of the weight that voted for the newest vote's block";
        registry.register("round_voting_power_percent", help, self.power.clone());
        registry.register("votes", "Votes counted", self.counted.clone());
        registry.register("proposal_receive", "Proposals", self.proposals.clone());
        registry.register("timeouts", "Waits that ended", self.timeouts.clone());
        registry.register("evidence", "Double signatures seen", self.evidence.clone());
        let help = "Heights decided without this validator's precommit";
        registry.register("validator_missed_blocks", help, self.missed.clone());
    }
}

const fn word(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Prepare => "prepare",
        VoteKind::Precommit => "precommit",
    }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

/// Seconds: from votes on one machine to rounds of many minutes.
const BUCKETS: [f64; 13] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use kette_consensus::bft::Fork;
    use prometheus_client::encoding::text;

    fn page(votes: &Votes, status: &BftStatus) -> String {
        let mut registry = Registry::default();
        votes.register(&mut registry, status);
        let mut page = String::new();
        text::encode(&mut page, &registry).expect("a page");
        page
    }

    #[test]
    fn a_node_that_a_fork_stopped_shows_it() {
        let (theirs, ours) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let status =
            BftStatus { fork: Some(Fork { height: 7, theirs, ours }), ..Default::default() };
        let page = page(&Votes::new(), &status);
        assert!(page.lines().any(|line| line == "forked 1"), "{page}");
    }

    #[test]
    fn a_height_leaves_its_marks() {
        let votes = Votes::new();
        let (block, key) = (B256::repeat_byte(1), PublicKey(B256::repeat_byte(2)));
        let vote = |kind, ours, sum, height| Event::Vote {
            kind,
            height,
            round: 0,
            block,
            from: Address::ZERO,
            key,
            weight: 100,
            sum,
            total: 200,
            ours,
        };
        let (height, round) = (7, 0);
        let fin = |height, after_ms, live| Event::Final {
            height,
            round,
            block,
            signers: 2,
            weight: 200,
            total: 200,
            after_ms,
            live,
        };
        for event in [
            Event::Round { height, round, leader: Address::ZERO, ours: false },
            Event::Proposal { height, round, block, from: Address::ZERO, after_ms: 20 },
            vote(VoteKind::Prepare, true, 100, 7),
            vote(VoteKind::Prepare, false, 200, 7),
            Event::Quorum {
                kind: VoteKind::Prepare,
                height,
                round,
                block,
                weight: 200,
                total: 200,
                after_ms: 30,
            },
            vote(VoteKind::Precommit, true, 100, 7),
            fin(7, 40, true),
            fin(8, 60, true),
            Event::Evidence { height, culprit: Address::ZERO, what: "prepare" },
        ] {
            votes.observe(&event, false);
        }
        votes.observe(&fin(9, 1_000_000, true), true);
        assert_eq!(votes.finality_ms(), [40, 60], "nothing is learnt while catching up");
        votes.observe(&fin(10, 10_000, false), false);
        assert_eq!(votes.finality_ms(), [40, 60], "others decided that one without this node");

        let status = BftStatus { height: 8, absent: vec![key], ..BftStatus::default() };
        let page = page(&votes, &status);
        for line in [
            "height 8",
            "forked 0",
            "missing_validators 1",
            "missing_validators_power 100",
            "byzantine_validators 1",
            "validator_last_signed_height 7",
            "validator_missed_blocks_total 3",
            "votes_total{type=\"prepare\"} 2",
            "proposal_receive_total{status=\"accepted\"} 1",
            "full_vote_delay_seconds_count{type=\"prepare\"} 1",
            "step_duration_seconds_sum{step=\"prepare\"} 0.01",
            "finality_seconds_count 2",
            "round_voting_power_percent{type=\"prepare\"} 100.0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}
