//! One height of Tendermint as a pure function of what arrives: no keys, no clock, no network.
//!
//! Rules are named by the lines of algorithm 1 in "The latest gossip on BFT consensus" (Buchman, Kwon and
//! Milosevic, arXiv 1807.04938). A vote for a block is a vote for its hash; whether the block is valid is told
//! by [`Machine::verdict`], and until then the rules that need it wait (three-valued verdicts).
//!
//! Two readings differ from the letter of the paper and prove the same. L36 and L49 need a quorum and a block
//! that is known and valid, not the round's proposal as well: a quorum holds honest votes, and those needed the
//! proposal. L55 counts votes only. And one addition: a voter that contradicts itself counts for each block that
//! a quorum of others may need it for (`votes.rs`).
//!
//! Memory is bounded by the rounds that the height lasts: nobody enters a round without votes of others, and
//! rounds ahead are bounded by [`ROUNDS_AHEAD`] and the validators.

mod votes;

pub use votes::{Added, PROPOSED_MAX, Votes};

use super::leader;
use alloy_primitives::B256;
use kette_types::bft::{Quorum, Signature, ValidatorSet, VoteKind};
use std::collections::{BTreeMap, BTreeSet};

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The height did not begin.
    Wait,
    /// The leader's proposal is waited for.
    Propose,
    /// This node prepared; a quorum of prepares is waited for.
    Prepare,
    /// This node precommitted; a quorum of precommits is waited for.
    Precommit,
    /// A block is decided.
    Decided,
}

/// A wait of a round that may end without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// For the proposal.
    Propose,
    /// For a quorum of prepares, after a quorum prepared anything.
    Prepare,
    /// For a quorum of precommits, after a quorum precommitted anything.
    Precommit,
}

/// What must happen, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This round began; who leads it.
    Round(u32, usize),
    /// This node leads the round and is free to propose what it likes: it answers with [`Machine::propose`].
    Build(u32),
    /// Propose this block again: a quorum prepared it in that round.
    Propose {
        /// In this round.
        round: u32,
        /// The block.
        block: B256,
        /// The round of the prepares.
        valid_round: u32,
    },
    /// Locked on this block from this round on: to be remembered before the precommit leaves.
    Lock(u32, B256),
    /// This block may be proposed again; prepared by a quorum in this round.
    Valid(u32, B256),
    /// Vote. Zero is nil.
    Vote(VoteKind, u32, B256),
    /// Tell [`Machine::timeout`] when this wait of this round is over.
    Wait(Wait, u32),
    /// Votes decide for a block or nil; once per kind and round.
    Quorum(VoteKind, u32, B256),
    /// A quorum is for a block that is not known: fetch it.
    Missing(B256),
    /// Decided.
    Decide(u32, B256),
}

/// A proposal as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The block.
    pub block: B256,
    /// `Some` if proposed again: the round of its prepares.
    pub valid_round: Option<u32>,
}

/// One height.
#[derive(Clone, Debug)]
pub struct Machine {
    votes: Votes,
    /// This node's place among the validators.
    me: Option<usize>,
    seed: B256,
    round: u32,
    step: Step,
    locked: Option<(u32, B256)>,
    valid: Option<(u32, B256)>,
    /// First proposal of each round; later ones of a lying leader do not count.
    proposals: BTreeMap<u32, Proposed>,
    verdicts: BTreeMap<B256, bool>,
    /// What happens once per round: waits that were ordered, quorums that were told, L36.
    once: BTreeSet<(u32, Once)>,
    /// Blocks that a quorum precommitted, by round.
    certified: BTreeSet<(u32, B256)>,
    missing: BTreeSet<B256>,
    /// The one round far ahead of ours in which each validator was seen.
    far: BTreeMap<usize, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Once {
    Wait(Wait),
    Quorum(VoteKind, B256),
    Polka,
}

/// Rounds ahead of ours for which all votes and proposals are kept. Beyond them only each validator's highest
/// round counts, so that a node finds back into a round that is far ahead, and memory has a bound.
pub const ROUNDS_AHEAD: u32 = 10;

impl Machine {
    /// Begins a height with the validators and the seed of that height.
    pub const fn new(set: ValidatorSet, quorum: Quorum, me: Option<usize>, seed: B256) -> Self {
        Self {
            votes: Votes::new(set, quorum),
            me,
            seed,
            round: 0,
            step: Step::Wait,
            locked: None,
            valid: None,
            proposals: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            once: BTreeSet::new(),
            certified: BTreeSet::new(),
            missing: BTreeSet::new(),
            far: BTreeMap::new(),
        }
    }

    /// Goes back to where a restarted node was: before its own votes are counted again and before
    /// [`Self::start`].
    pub fn restore(&mut self, round: u32, locked: Option<(u32, B256)>, valid: Option<(u32, B256)>) {
        // Else own votes of its many rounds would count as of rounds far ahead, of which one is kept.
        self.round = round;
        self.locked = locked;
        self.valid = valid;
    }

    /// Begins round 0, or the round in which a restarted node voted last, with what it has done in it.
    pub fn start(&mut self, round: u32, done: Option<VoteKind>, out: &mut Vec<Effect>) {
        if self.step != Step::Wait {
            return;
        }
        match done {
            None => self.start_round(round, out),
            Some(kind) => {
                self.round = round;
                self.step = match kind {
                    VoteKind::Prepare => Step::Prepare,
                    VoteKind::Precommit => Step::Precommit,
                };
                out.push(Effect::Round(round, self.leader(round)));
            }
        }
        self.settle(out);
    }

    /// L11: begins a round.
    fn start_round(&mut self, round: u32, out: &mut Vec<Effect>) {
        self.round = round;
        self.step = Step::Propose;
        let leader = self.leader(round);
        out.push(Effect::Round(round, leader));
        if self.me == Some(leader) {
            match self.valid {
                Some((valid_round, block)) => {
                    out.push(Effect::Propose { round, block, valid_round });
                }
                None => out.push(Effect::Build(round)),
            }
        }
        // L21. The leader waits as well: its own block may fail.
        out.push(Effect::Wait(Wait::Propose, round));
    }

    /// Takes a proposal of a round's leader. Returns whether it is the first of its round.
    pub fn propose(&mut self, round: u32, proposed: Proposed, out: &mut Vec<Effect>) -> bool {
        // Nil is no block.
        if proposed.block.is_zero() || !self.wants(round) {
            return false;
        }
        self.votes.proposed(round, proposed.block);
        let first = !self.proposals.contains_key(&round);
        if first {
            self.proposals.insert(round, proposed);
            self.settle(out);
        }
        first
    }

    /// Takes a vote whose signature was judged.
    pub fn vote(
        &mut self,
        kind: VoteKind,
        round: u32,
        index: usize,
        block: B256,
        signature: Signature,
        out: &mut Vec<Effect>,
    ) -> Added {
        if index >= self.votes.set().len() {
            return Added::Known;
        }
        if !self.wants(round) {
            match self.far.insert(index, round) {
                Some(higher) if higher > round => {
                    self.far.insert(index, higher);
                    return Added::Known;
                }
                Some(lower) if lower < round && !self.wants(lower) => {
                    self.votes.forget(lower, index);
                }
                _ => {}
            }
        }
        let added = self.votes.add(kind, round, index, block, signature);
        if matches!(added, Added::New | Added::Conflict(..)) {
            self.tell_quorum(kind, round, block, out);
            self.settle(out);
        }
        added
    }

    /// Is told whether a block is valid. Valid is the last word: it was executed. Invalid is not: a node may have
    /// judged before it could.
    pub fn verdict(&mut self, block: B256, valid: bool, out: &mut Vec<Effect>) {
        let known = self.verdicts.get(&block).copied();
        if known.is_none() || (known == Some(false) && valid) {
            self.verdicts.insert(block, valid);
            self.settle(out);
        }
    }

    /// Is told that a wait is over.
    pub fn timeout(&mut self, wait: Wait, round: u32, out: &mut Vec<Effect>) -> bool {
        if round != self.round {
            return false;
        }
        match (wait, self.step) {
            // L57
            (Wait::Propose, Step::Propose) => self.prepare(B256::ZERO, out),
            // L61
            (Wait::Prepare, Step::Prepare) => self.precommit(B256::ZERO, out),
            // L65
            (Wait::Precommit, Step::Propose | Step::Prepare | Step::Precommit) => {
                let Some(next) = round.checked_add(1) else { return false };
                self.start_round(next, out);
            }
            _ => return false,
        }
        self.settle(out);
        true
    }

    /// Applies the rules until none applies.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        while self.step != Step::Decided && self.apply_one(out) {}
    }

    /// Applies one rule, if one applies.
    fn apply_one(&mut self, out: &mut Vec<Effect>) -> bool {
        // Deciding needs no round of ours to have begun: a node that waits for its slot decides as well.
        if self.decide(out) {
            return true;
        }
        if self.step == Step::Wait {
            return false;
        }
        let round = self.round;
        // L55
        if let Some(later) = self.votes.later_round(round) {
            self.start_round(later, out);
            return true;
        }
        if self.step == Step::Propose && self.answer_proposal(out) {
            return true;
        }
        // L34
        if self.step == Step::Prepare
            && self.votes.has_quorum_any(VoteKind::Prepare, round)
            && self.once.insert((round, Once::Wait(Wait::Prepare)))
        {
            out.push(Effect::Wait(Wait::Prepare, round));
            return true;
        }
        if self.step >= Step::Prepare && self.follow_prepares(out) {
            return true;
        }
        // L47
        if self.votes.has_quorum_any(VoteKind::Precommit, round)
            && self.once.insert((round, Once::Wait(Wait::Precommit)))
        {
            out.push(Effect::Wait(Wait::Precommit, round));
            return true;
        }
        false
    }

    /// L22 and L28: prepares what was proposed, or nil.
    fn answer_proposal(&mut self, out: &mut Vec<Effect>) -> bool {
        let Some(Proposed { block, valid_round }) = self.proposals.get(&self.round).copied() else {
            return false;
        };
        let Some(valid) = self.verdicts.get(&block).copied() else { return false };
        let free = match valid_round {
            None => self.locked.is_none_or(|(_, locked)| locked == block),
            Some(earlier) => {
                if earlier >= self.round {
                    return false;
                }
                if !self.votes.has_quorum(VoteKind::Prepare, earlier, block) {
                    return false;
                }
                self.locked.is_none_or(|(round, locked)| round <= earlier || locked == block)
            }
        };
        self.prepare(if valid && free { block } else { B256::ZERO }, out);
        true
    }

    /// L36 and L44: locks and precommits what a quorum prepared.
    fn follow_prepares(&mut self, out: &mut Vec<Effect>) -> bool {
        let round = self.round;
        let Some(block) = self.votes.decided(VoteKind::Prepare, round) else { return false };
        if block.is_zero() {
            if self.step == Step::Prepare {
                self.precommit(B256::ZERO, out);
                return true;
            }
            return false;
        }
        match self.verdicts.get(&block) {
            Some(true) => {}
            Some(false) => return false,
            None => return self.miss(block, out),
        }
        if !self.once.insert((round, Once::Polka)) {
            return false;
        }
        self.valid = Some((round, block));
        out.push(Effect::Valid(round, block));
        if self.step == Step::Prepare {
            self.locked = Some((round, block));
            out.push(Effect::Lock(round, block));
            self.precommit(block, out);
        }
        true
    }

    /// L49: decides for any round.
    fn decide(&mut self, out: &mut Vec<Effect>) -> bool {
        // Votes of rounds far ahead may have been dropped meanwhile.
        let stands = |(round, block): &(u32, B256)| {
            self.votes.has_quorum(VoteKind::Precommit, *round, *block)
        };
        let certified: Vec<_> = self.certified.iter().copied().filter(stands).collect();
        for (round, block) in certified {
            match self.verdicts.get(&block) {
                Some(true) => {
                    self.step = Step::Decided;
                    out.push(Effect::Decide(round, block));
                    return true;
                }
                Some(false) => {}
                None => {
                    self.miss(block, out);
                }
            }
        }
        false
    }

    fn miss(&mut self, block: B256, out: &mut Vec<Effect>) -> bool {
        if self.missing.insert(block) {
            out.push(Effect::Missing(block));
        }
        false
    }

    fn prepare(&mut self, block: B256, out: &mut Vec<Effect>) {
        self.step = Step::Prepare;
        out.push(Effect::Vote(VoteKind::Prepare, self.round, block));
    }

    fn precommit(&mut self, block: B256, out: &mut Vec<Effect>) {
        self.step = Step::Precommit;
        out.push(Effect::Vote(VoteKind::Precommit, self.round, block));
    }

    /// Tells once that a vote completed a quorum.
    fn tell_quorum(&mut self, kind: VoteKind, round: u32, block: B256, out: &mut Vec<Effect>) {
        if self.votes.has_quorum(kind, round, block)
            && self.once.insert((round, Once::Quorum(kind, block)))
        {
            if kind == VoteKind::Precommit && !block.is_zero() {
                self.certified.insert((round, block));
            }
            out.push(Effect::Quorum(kind, round, block));
        }
    }

    /// Returns who leads a round.
    pub fn leader(&self, round: u32) -> usize {
        leader::leader(self.votes.set(), self.seed, round)
    }

    /// Returns the round.
    pub const fn round(&self) -> u32 {
        self.round
    }

    /// Returns where the round stands.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Returns round and block of the lock.
    pub const fn locked(&self) -> Option<(u32, B256)> {
        self.locked
    }

    /// Returns round and block of the newest quorum of prepares that was seen in time.
    pub const fn valid(&self) -> Option<(u32, B256)> {
        self.valid
    }

    /// Returns the votes.
    pub const fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Returns the first proposal of a round.
    pub fn proposal(&self, round: u32) -> Option<Proposed> {
        self.proposals.get(&round).copied()
    }

    /// Tells what is known of a block's validity.
    pub fn known_verdict(&self, block: B256) -> Option<bool> {
        self.verdicts.get(&block).copied()
    }

    /// Tells whether votes and proposals of a round are kept.
    pub const fn wants(&self, round: u32) -> bool {
        round <= self.round.saturating_add(ROUNDS_AHEAD)
    }

    /// Returns this node's place among the validators.
    pub const fn me(&self) -> Option<usize> {
        self.me
    }
}

#[cfg(test)]
mod tests;
