//! Random schedules that reach locks, unlocks, late quorums and decisions: a few rounds, in each a proposal and
//! votes that mostly agree, in an order that is mostly that of the rounds.

use super::pair::{Pair, Seen, Told};
use alloy_primitives::B256;
use kette_consensus::bft::machine::Wait;
use kette_types::bft::{Quorum, VoteKind};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

const WEIGHTS: [&[u64]; 8] = [
    &[1, 1, 1, 1],
    &[1, 1, 1],
    &[40, 30, 20, 10],
    &[10, 20, 30, 40],
    &[1, 1, 1, 1, 1, 1, 1],
    &[90, 5, 5],
    &[100, 100, 100],
    &[700_000_000, 700_000_000, 600_000_000],
];

const ROUNDS: u32 = 6;

#[derive(Clone, Copy, Debug)]
struct Offer {
    block: B256,
    valid_round: Option<u32>,
    valid: bool,
    /// The round that proposed the block before.
    original: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Proposal(u32),
    /// For what the round proposes, for nil, or for what nobody proposed.
    Vote(VoteKind, u32, usize, Choice),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Offer,
    Nil,
    Other,
}

pub(crate) struct Schedule {
    rng: ChaCha8Rng,
    pair: Pair,
    offers: BTreeMap<u32, Offer>,
    items: Vec<Item>,
    proposed: BTreeSet<u32>,
}

impl Schedule {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let weights = WEIGHTS[rng.random_range(0..WEIGHTS.len())];
        let quorum = [Quorum::TwoThirds, Quorum::MoreThanTwoThirds][rng.random_range(0..2)];
        let me = rng.random_range(0..weights.len());
        let beacon = B256::from(rng.random::<[u8; 32]>());
        let pair = Pair::new(weights, quorum, me, beacon);
        let mut items = Vec::new();
        let mut offers: BTreeMap<u32, Offer> = BTreeMap::new();
        for round in 0..ROUNDS {
            let mut now = Vec::new();
            if !pair.leads(round) && rng.random_ratio(9, 10) {
                let offer = draw_offer(&mut rng, round, &offers);
                offers.insert(round, offer);
                now.push(Item::Proposal(round));
            }
            for kind in [VoteKind::Prepare, VoteKind::Precommit] {
                let most = match rng.random_range(0..10) {
                    0..6 if kind == VoteKind::Prepare => Choice::Offer,
                    0..2 => Choice::Offer,
                    9 => Choice::Other,
                    _ => Choice::Nil,
                };
                let agree = [100, 90, 60][rng.random_range(0..3)];
                let present = [100, 90, 50][rng.random_range(0..3)];
                for from in (0..weights.len()).filter(|from| *from != me) {
                    if rng.random_ratio(present, 100) {
                        let any = [Choice::Offer, Choice::Nil, Choice::Other];
                        let choice = if rng.random_ratio(agree, 100) {
                            most
                        } else {
                            any[rng.random_range(0..3)]
                        };
                        now.push(Item::Vote(kind, round, from, choice));
                    }
                }
            }
            items.extend(now);
        }
        // Each moves some places, few of them far.
        let spread = [2, 6, 20][rng.random_range(0..3)];
        let mut keyed: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(place, item)| {
                let far = if rng.random_ratio(1, 12) { 60 } else { spread };
                (place + rng.random_range(0..=far), item)
            })
            .collect();
        keyed.sort_by_key(|(place, _)| *place);
        let items = keyed.into_iter().map(|(_, item)| item).collect();
        Self { rng, pair, offers, items, proposed: BTreeSet::new() }
    }

    pub(crate) fn run(mut self, seen: &mut Seen) -> Result<(), String> {
        self.pair.tell(Told::Start, seen)?;
        let patience = [3, 8, 30][self.rng.random_range(0..3)];
        let mut waiting = std::mem::take(&mut self.items);
        while self.pair.our.decision.is_none() {
            let ready = waiting.iter().position(|item| self.told(*item).is_some());
            let hurry = self.rng.random_ratio(1, patience);
            match ready {
                Some(place) if !hurry => {
                    let item = waiting.remove(place);
                    let told = self.told(item).expect("it is ready");
                    if let Item::Proposal(round) = item {
                        self.proposed.insert(round);
                    }
                    self.pair.tell(told, seen)?;
                }
                _ => {
                    let waits: Vec<_> = self.pair.our.waits.iter().copied().collect();
                    if waits.is_empty() || self.pair.our.round >= ROUNDS {
                        if ready.is_none() {
                            break;
                        }
                        continue;
                    }
                    let (wait, round) = waits[self.rng.random_range(0..waits.len())];
                    self.pair.tell(Told::Over(wait, round), seen)?;
                    // Of another step or round: nothing.
                    let stale = [Wait::Propose, Wait::Prepare][self.rng.random_range(0..2)];
                    if !self.pair.our.waits.contains(&(stale, round)) && stale != wait {
                        let round = self.rng.random_range(0..ROUNDS);
                        if round != self.pair.our.round {
                            self.pair.tell(Told::Over(stale, round), seen)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What an item says, if it may be said yet: see the list of differences.
    fn told(&self, item: Item) -> Option<Told> {
        match item {
            Item::Proposal(round) => {
                let Offer { block, valid_round, valid, original } = self.offers[&round];
                let ready = original.is_none_or(|original| self.proposed.contains(&original));
                ready.then_some(Told::Proposal { round, block, valid_round, valid })
            }
            Item::Vote(kind, round, from, choice) => {
                let block = match choice {
                    Choice::Nil => B256::ZERO,
                    Choice::Other => {
                        B256::left_padding_from(&[0xdd, u8::try_from(round).expect("few") + 1])
                    }
                    Choice::Offer if self.pair.leads(round) => {
                        let own = self.pair.our.proposals.iter();
                        own.clone().find(|(proposed, ..)| *proposed == round)?.1
                    }
                    Choice::Offer => {
                        let offer = self.offers.get(&round)?;
                        if offer.original.is_some() && !self.proposed.contains(&round) {
                            return None;
                        }
                        offer.block
                    }
                };
                Some(Told::Vote { kind, round, from, block })
            }
        }
    }
}

fn draw_offer(rng: &mut ChaCha8Rng, round: u32, offers: &BTreeMap<u32, Offer>) -> Offer {
    let earlier: Vec<_> = offers.iter().map(|(round, offer)| (*round, *offer)).collect();
    if !earlier.is_empty() && rng.random_ratio(1, 2) {
        let (from, offer) = earlier[rng.random_range(0..earlier.len())];
        let valid_round = match rng.random_range(0..10) {
            0 => None,
            1 => not_of(rng, round),
            _ => Some(from),
        };
        let original = Some(offer.original.unwrap_or(from));
        return Offer { valid_round, original, ..offer };
    }
    let valid_round = if rng.random_ratio(1, 12) { not_of(rng, round) } else { None };
    let number = u8::try_from(round).expect("few rounds") + 1;
    Offer {
        block: B256::left_padding_from(&[0xcc, number]),
        valid_round,
        valid: rng.random_ratio(9, 10),
        original: None,
    }
}

/// Any round but this one: see the list of differences.
fn not_of(rng: &mut ChaCha8Rng, round: u32) -> Option<u32> {
    Some((round + rng.random_range(1..ROUNDS)) % ROUNDS)
}
