//! Writes facts to the log: a line for people with fields for programs.
//!
//! On chains whose slots are shorter than a second the lines of single votes are at level `debug`: at `info` they
//! would fill disks.

use alloy_primitives::utils::format_units;
use kette_consensus::bft;
use kette_node::Event;
use kette_types::{
    Address, B256, ChainSpec, U256,
    bft::VoteKind,
    spec::{KetteConfig, RewardPolicy},
};
use std::collections::{BTreeMap, VecDeque};

/// Writes facts to the log.
#[derive(Debug)]
pub(super) struct Journal {
    /// Names of validators, from genesis.
    names: BTreeMap<Address, String>,
    reward: Option<RewardPolicy>,
    /// Votes are worth a line each.
    slow: bool,
    /// What recent heads created, wei; a block is head before it is said to be final.
    issued: VecDeque<(B256, U256)>,
}

/// Heads remembered.
const ISSUED_MAX: usize = 64;
/// Slots from this length on leave time to read.
const SLOW_MS: u64 = 1_000;

/// Logs at `info`, or at `debug` if nobody could read so fast.
macro_rules! paced {
    ($slow:expr, $($line:tt)+) => {
        if $slow {
            tracing::info!($($line)+)
        } else {
            tracing::debug!($($line)+)
        }
    };
}

impl Journal {
    pub(super) fn new(spec: &ChainSpec) -> Self {
        let bft = spec.bft();
        let validators = bft.map_or(&[][..], |bft| &bft.validators);
        let names = bft.map_or(&[][..], |bft| &bft.validator_names);
        Self {
            names: validators.iter().map(|v| v.address).zip(names.iter().cloned()).collect(),
            reward: spec.kette.as_ref().map(|KetteConfig { reward, .. }| reward.clone()),
            slow: bft.is_none_or(|bft| bft.slot_ms >= SLOW_MS),
            issued: VecDeque::new(),
        }
    }

    fn name(&self, address: Address) -> String {
        self.names.get(&address).cloned().unwrap_or_else(|| address.to_string())
    }

    /// Writes one fact.
    pub(super) fn write(&mut self, event: &Event) {
        match event {
            Event::Head { removed, added, depth } => {
                let Some(head) = added.last() else { return };
                for block in added {
                    self.issued.push_back((block.hash(), block.issued));
                }
                while self.issued.len() > ISSUED_MAX {
                    self.issued.pop_front();
                }
                let (number, hash) = (head.number(), head.hash());
                let transactions = head.block.body.transactions.len();
                if *depth > 0 {
                    tracing::info!(number, %hash, depth, removed = removed.len(), added = added.len(), "fork resolved: new head after a reorganization");
                } else {
                    paced!(self.slow, number, %hash, transactions, "new head");
                }
            }
            Event::Finalized { number, hash } => tracing::debug!(number, %hash, "block final"),
            Event::SideBlock { number, hash } => tracing::info!(number, %hash, "fork: side block"),
            Event::Produced { number, hash } => {
                paced!(self.slow, number, %hash, "block produced");
            }
            Event::InvalidBlock { hash, reason, peer } => {
                tracing::warn!(%hash, reason, peer = peer.map(|p| p.short()), "invalid block");
            }
            Event::Pending(_) | Event::Dropped { .. } => {}
            Event::PeerUp { peer, address, direction, moniker, handshake_ms } => {
                tracing::info!(peer = %peer.short(), %address, ?direction, moniker, handshake_ms, "Peer connected: {moniker}");
            }
            Event::PeerDown { peer, reason } => {
                tracing::info!(peer = %peer.short(), %reason, "peer disconnected");
            }
            Event::PeerFault { peer, fault, score } => {
                tracing::warn!(peer = %peer.short(), %fault, score, "peer fault");
            }
            Event::SyncProgress { number, target } => tracing::info!(number, target, "syncing"),
            Event::Synced { number } => tracing::info!(number, "synced to tip"),
            Event::Engine(event) => self.voting(event),
            Event::Alarm(text) => tracing::warn!(alarm = %text, "alarm"),
        }
    }

    /// The lines of the second seed (requirements T26 and T62).
    fn voting(&self, event: &bft::Event) {
        let slow = self.slow;
        match event {
            bft::Event::Round { round: 0, .. } => {}
            bft::Event::Round { height, round, leader, ours } => {
                let leader = self.name(*leader);
                tracing::info!(
                    height,
                    round,
                    leader,
                    ours,
                    "Round {round} of height {height}: {leader} leads"
                );
            }
            bft::Event::Proposed { height, round, block, again } => {
                paced!(slow, height, round, hash = %block, again, "\u{1f4e6} Proposing block at height {height}");
            }
            bft::Event::Proposal { height, round, block, from, after_ms } => {
                let from = self.name(*from);
                tracing::debug!(height, round, hash = %block, from, after_ms, "Proposal from {from} at height {height}");
            }
            bft::Event::Vote {
                kind, height, round, block, from, weight, sum, total, ours, ..
            } => {
                let (from, what) = (self.name(*from), word(*kind));
                let nil = if block.is_zero() { " for nil" } else { "" };
                if *ours {
                    paced!(slow, vote = what, height, round, hash = %block, from, weight, sum = %sum, total = %total,
                        "Generated {what} vote{nil} - weight: {sum}/{total}");
                } else {
                    let title = title(*kind);
                    paced!(slow, vote = what, height, round, hash = %block, from, weight, sum = %sum, total = %total,
                        "{title} vote{nil} from {from} - weight: {sum}/{total}");
                }
            }
            bft::Event::Quorum { kind, height, round, block, weight, total, after_ms } => {
                let title = title(*kind);
                if block.is_zero() {
                    tracing::info!(height, round, weight = %weight, total = %total, after_ms,
                        "{title} quorum for nil: no block in round {round} of height {height}");
                } else {
                    paced!(slow, height, round, hash = %block, weight = %weight, total = %total, after_ms,
                        "\u{2705} {title} consensus reached! - weight: {weight}/{total}");
                }
            }
            bft::Event::Timeout { height, round, wait } => {
                tracing::debug!(height, round, wait, "waited long enough for {wait}");
            }
            bft::Event::Final { height, round, block, signers, weight, total, after_ms, live } => {
                let issued = self.issued.iter().find(|(hash, _)| hash == block);
                let issued = issued.map_or(U256::ZERO, |(_, issued)| *issued);
                tracing::info!(height, round, hash = %block, reward = %issued, signers, weight = %weight,
                    total = %total, after_ms, live, "\u{26d3}\u{fe0f} Block finalized at height {height}");
                if slow {
                    let (subsidy, shown) = self.reward(issued);
                    tracing::info!(height, reward = %issued,
                        "\u{1f4b0} Block {height} rewards - subsidy: {subsidy}, {shown} distributed");
                    tracing::info!(height, hash = %block,
                        "\u{1f389} Block finalized: finalization complete at height {height}");
                    let next = height + 1;
                    tracing::info!(height = next, "Moving to height {next}");
                }
            }
            bft::Event::Evidence { height, culprit, what } => {
                let culprit = self.name(*culprit);
                tracing::warn!(
                    height,
                    culprit,
                    what,
                    "{culprit} signed two of what it may sign once: {what}"
                );
            }
            bft::Event::Validators { height, count, total, quorum, before } => {
                tracing::info!(height, count, total = %total, quorum = %quorum, before = %before,
                    "Consensus threshold adjusted to {quorum} of {total} weight ({count} validators, {before} weight before) from height {height} on");
            }
        }
    }

    /// Shows a subsidy in the policy's own units, and in coins with two decimals.
    fn reward(&self, issued: U256) -> (String, String) {
        let coins = format_units(issued, 18).unwrap_or_default();
        let cut = coins.find('.').map_or(coins.len(), |point| (point + 3).min(coins.len()));
        let coins = &coins[..cut];
        match &self.reward {
            Some(RewardPolicy::Log { unit, .. }) => {
                let units = issued.checked_div(*unit).unwrap_or_default();
                (format!("{units} units of {unit} wei"), format!("{coins} TIME"))
            }
            _ => (format!("{issued} wei"), format!("{coins} coins")),
        }
    }
}

const fn word(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Prepare => "prepare",
        VoteKind::Precommit => "precommit",
    }
}

const fn title(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Prepare => "Prepare",
        VoteKind::Precommit => "Precommit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use kette_types::bft::PublicKey;
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(chain: &str, facts: &[bft::Event]) -> Vec<serde_json::Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let mut journal = Journal::new(&presets::genesis(chain).unwrap());
        journal.issued.push_back((B256::repeat_byte(7), U256::from(5_605_170_180_000_000_000_u64)));
        tracing::subscriber::with_default(subscriber, || {
            facts.iter().for_each(|fact| journal.write(&Event::Engine(fact.clone())));
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn facts() -> Vec<bft::Event> {
        let block = B256::repeat_byte(7);
        let bft = presets::genesis("timecoin").unwrap().bft().unwrap().clone();
        let address = |index: usize| bft.validators[index].address;
        let vote = |kind, index: usize, sum, ours| bft::Event::Vote {
            kind,
            height: 1,
            round: 0,
            block,
            from: address(index),
            key: PublicKey::default(),
            weight: 100,
            sum,
            total: 300,
            ours,
        };
        let quorum = |kind| bft::Event::Quorum {
            kind,
            height: 1,
            round: 0,
            block,
            weight: 200,
            total: 300,
            after_ms: 5,
        };
        let (prepare, precommit) = (VoteKind::Prepare, VoteKind::Precommit);
        vec![
            bft::Event::Proposed { height: 1, round: 0, block, again: false },
            vote(prepare, 0, 100, true),
            vote(prepare, 1, 200, false),
            quorum(prepare),
            vote(precommit, 0, 100, true),
            vote(precommit, 1, 200, false),
            quorum(precommit),
            bft::Event::Final {
                height: 1,
                round: 0,
                block,
                signers: 2,
                weight: 200,
                total: 300,
                after_ms: 9,
                live: true,
            },
        ]
    }

    /// Requirements T26, T27 and T62: the lines, in order, with cumulative weights, and their fields.
    #[test]
    fn a_height_reads_as_the_second_seed_says() {
        let lines = lines("timecoin", &facts());
        let said: Vec<&str> = lines.iter().map(|l| l["message"].as_str().unwrap()).collect();
        let wanted = [
            "\u{1f4e6} Proposing block at height 1",
            "Generated prepare vote - weight: 100/300",
            "Prepare vote from validator2 - weight: 200/300",
            "\u{2705} Prepare consensus reached! - weight: 200/300",
            "Generated precommit vote - weight: 100/300",
            "Precommit vote from validator2 - weight: 200/300",
            "\u{2705} Precommit consensus reached! - weight: 200/300",
            "\u{26d3}\u{fe0f} Block finalized at height 1",
            "\u{1f4b0} Block 1 rewards - subsidy: 560517018 units of 10000000000 wei, 5.60 TIME distributed",
            "\u{1f389} Block finalized: finalization complete at height 1",
            "Moving to height 2",
        ];
        assert_eq!(said, wanted);
        let hash = B256::repeat_byte(7).to_string();
        let vote = &lines[2];
        assert_eq!((&vote["height"], &vote["from"]), (&1.into(), &"validator2".into()));
        assert_eq!((&vote["weight"], &vote["hash"]), (&100.into(), &hash.as_str().into()));
        assert_eq!(lines[7]["reward"], "5605170180000000000");
        assert_eq!(lines[0]["height"], 1);
    }

    #[test]
    fn short_slots_say_one_line_per_block() {
        let lines = lines("bft4", &facts());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["signers"], 2);
    }
}
