//! Tests of the rules of one height, and what they share: a machine whose effects are carried out at once.

mod bounds;
mod lines;
mod network;
mod quint;
mod resume;
mod weights;

use super::{Added, Effect, Machine, Proposed, Step, Wait};
use crate::bft::leader;
use alloy_primitives::{Address, B256};
use kette_types::bft::{PublicKey, Quorum, Signature, Validator, ValidatorSet, VoteKind};

const NIL: B256 = B256::ZERO;
/// Two blocks.
const A: B256 = B256::repeat_byte(0xaa);
const B: B256 = B256::repeat_byte(0xbb);

/// Validators with these weights, in this order.
fn set(weights: &[u64]) -> ValidatorSet {
    let validators = weights.iter().zip(1..).map(|(weight, key)| Validator {
        address: Address::repeat_byte(key),
        key: PublicKey(B256::repeat_byte(key)),
        vrf_key: B256::ZERO,
        weight: *weight,
    });
    ValidatorSet::from_sorted(validators.collect()).expect("sorted, at most 128")
}

/// Finds a seed by which these validators lead the first rounds.
fn seed(set: &ValidatorSet, leaders: &[usize]) -> B256 {
    let seeds = (0_u64..).map(|number| B256::left_padding_from(&number.to_be_bytes()));
    let fits = |seed: &B256| {
        leader::leaders(set, *seed).zip(leaders).all(|(leader, wanted)| leader == *wanted)
    };
    seeds.take(1_000_000).find(fits).expect("everybody leads once in a turn")
}

/// One machine. Its own votes are counted by it, as the engine does.
struct Rig {
    machine: Machine,
}

impl Rig {
    /// Four equal validators, this node is number 0, and 1, 2, 3, 0 lead rounds 0 to 3.
    fn four() -> Self {
        let rig = Self::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1, 2, 3, 0]);
        rig.begun()
    }

    fn waiting(weights: &[u64], quorum: Quorum, leaders: &[usize]) -> Self {
        let set = set(weights);
        let seed = seed(&set, leaders);
        Self { machine: Machine::new(set, quorum, Some(0), seed) }
    }

    fn begun(mut self) -> Self {
        self.run(|machine, out| machine.start(0, None, out));
        self
    }

    /// Does something to the machine and carries out what it orders.
    fn run<T>(&mut self, act: impl FnOnce(&mut Machine, &mut Vec<Effect>) -> T) -> Vec<Effect> {
        let mut effects = Vec::new();
        act(&mut self.machine, &mut effects);
        let mut next = 0;
        while let Some(effect) = effects.get(next).copied() {
            next += 1;
            if let (Effect::Vote(kind, round, block), Some(me)) = (effect, self.machine.me()) {
                self.machine.vote(kind, round, me, block, Signature::ZERO, &mut effects);
            }
        }
        effects
    }

    fn proposal(&mut self, round: u32, block: B256) -> Vec<Effect> {
        self.run(|machine, out| machine.propose(round, Proposed { block, valid_round: None }, out))
    }

    fn again(&mut self, round: u32, block: B256, valid_round: u32) -> Vec<Effect> {
        let proposed = Proposed { block, valid_round: Some(valid_round) };
        self.run(|machine, out| machine.propose(round, proposed, out))
    }

    fn valid(&mut self, block: B256) -> Vec<Effect> {
        self.run(|machine, out| machine.verdict(block, true, out))
    }

    fn invalid(&mut self, block: B256) -> Vec<Effect> {
        self.run(|machine, out| machine.verdict(block, false, out))
    }

    /// A valid block is proposed for the first time.
    fn good(&mut self, round: u32, block: B256) -> Vec<Effect> {
        let mut effects = self.proposal(round, block);
        effects.extend(self.valid(block));
        effects
    }

    fn votes(&mut self, kind: VoteKind, round: u32, block: B256, from: &[usize]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for index in from {
            effects.extend(self.run(|machine, out| {
                machine.vote(kind, round, *index, block, Signature::ZERO, out)
            }));
        }
        effects
    }

    fn prepares(&mut self, round: u32, block: B256, from: &[usize]) -> Vec<Effect> {
        self.votes(VoteKind::Prepare, round, block, from)
    }

    fn precommits(&mut self, round: u32, block: B256, from: &[usize]) -> Vec<Effect> {
        self.votes(VoteKind::Precommit, round, block, from)
    }

    fn over(&mut self, wait: Wait, round: u32) -> Vec<Effect> {
        self.run(|machine, out| machine.timeout(wait, round, out))
    }

    fn add(&mut self, kind: VoteKind, round: u32, index: usize, block: B256) -> Added {
        self.machine.vote(kind, round, index, block, Signature::ZERO, &mut Vec::new())
    }

    /// Locks on a block in round 0, and fails it: ends in round 1.
    fn locked(block: B256) -> Self {
        let mut rig = Self::four();
        rig.good(0, block);
        rig.prepares(0, block, &[1, 2]);
        assert_eq!(rig.machine.locked(), Some((0, block)));
        rig.fail(0);
        rig
    }

    /// Others precommit nil in a round and the wait is over.
    fn fail(&mut self, round: u32) {
        self.precommits(round, NIL, &[2, 3]);
        self.over(Wait::Precommit, round);
        assert_eq!((self.machine.round(), self.machine.step()), (round + 1, Step::Propose));
    }
}

/// What was voted for, in order.
fn cast(effects: &[Effect]) -> Vec<(VoteKind, u32, B256)> {
    let votes = effects.iter().filter_map(|effect| match effect {
        Effect::Vote(kind, round, block) => Some((*kind, *round, *block)),
        _ => None,
    });
    votes.collect()
}

fn prepare(round: u32, block: B256) -> Vec<(VoteKind, u32, B256)> {
    vec![(VoteKind::Prepare, round, block)]
}

fn precommit(round: u32, block: B256) -> Vec<(VoteKind, u32, B256)> {
    vec![(VoteKind::Precommit, round, block)]
}

fn decided(effects: &[Effect]) -> Option<(u32, B256)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Decide(round, block) => Some((*round, *block)),
        _ => None,
    })
}
