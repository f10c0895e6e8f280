//! Votes of one height: who voted for what, and how much weight that is.

use alloy_primitives::B256;
use kette_types::bft::{Quorum, Signature, ValidatorSet, VoteKind};
use std::collections::BTreeMap;

/// All votes of one height that count, by round. Bounded by the rounds kept times the validators.
#[derive(Clone, Debug)]
pub struct Votes {
    set: ValidatorSet,
    quorum: Quorum,
    rounds: BTreeMap<u32, Round>,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It counts.
    New,
    /// It was there.
    Known,
    /// It counts, and conflicts with this earlier one of the same voter.
    Conflict(B256, Signature),
    /// The same, and it does not count: the voter used up what is counted of one voter.
    Refused(B256, Signature),
}

#[derive(Clone, Debug, Default)]
struct Round {
    prepares: Tally,
    precommits: Tally,
    /// Weight of all who cast any vote of this round.
    voters: u128,
    /// Blocks proposed in this round, the first few.
    proposed: Vec<B256>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    /// What each validator voted for, in order of arrival.
    cast: BTreeMap<usize, Vec<(B256, Signature)>>,
    /// Weight per block; a validator that votes for two counts for both: a quorum of others may stand on
    /// either vote.
    sums: BTreeMap<B256, u128>,
    /// The same, of first votes only.
    firsts: BTreeMap<B256, u128>,
    /// Weight of all who voted.
    total: u128,
}

/// Blocks of one round for which several votes of one validator are counted.
pub const PROPOSED_MAX: usize = 2;

impl Votes {
    /// Begins a height.
    pub const fn new(set: ValidatorSet, quorum: Quorum) -> Self {
        Self { set, quorum, rounds: BTreeMap::new() }
    }

    /// Returns the validators of the height.
    pub const fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// Notes what was proposed in a round. Nobody may fill the memory with votes for nothing, so a voter's
    /// second vote counts only for nil, for such a block, or for one that has first votes of a third.
    ///
    /// The last is what liveness needs: a lying leader proposes any number of blocks, and those whom it showed
    /// a later one may see a quorum for it with the help of a voter that told this node something else first.
    /// Whatever has a quorum has more than a third of honest votes, which are first votes everywhere; and at
    /// most three blocks have a third of first votes.
    pub fn proposed(&mut self, round: u32, block: B256) {
        let proposed = &mut self.rounds.entry(round).or_default().proposed;
        if !proposed.contains(&block) && proposed.len() < PROPOSED_MAX {
            proposed.push(block);
        }
    }

    /// Counts a vote of the validator at `index`.
    pub fn add(
        &mut self,
        kind: VoteKind,
        round: u32,
        index: usize,
        block: B256,
        signature: Signature,
    ) -> Added {
        let Some(weight) = self.set.get(index).map(|validator| u128::from(validator.weight)) else {
            return Added::Known;
        };
        let entry = self.rounds.entry(round).or_default();
        let voted =
            entry.prepares.cast.contains_key(&index) || entry.precommits.cast.contains_key(&index);
        let tally = match kind {
            VoteKind::Prepare => &mut entry.prepares,
            VoteKind::Precommit => &mut entry.precommits,
        };
        let cast = tally.cast.entry(index).or_default();
        if cast.iter().any(|(known, _)| *known == block) {
            return Added::Known;
        }
        let first = cast.first().copied();
        if let Some((other, other_signature)) = first
            && !block.is_zero()
            && !entry.proposed.contains(&block)
            && !Quorum::has_honest(
                tally.firsts.get(&block).copied().unwrap_or_default(),
                self.set.total(),
            )
        {
            return Added::Refused(other, other_signature);
        }
        cast.push((block, signature));
        *tally.sums.entry(block).or_default() += weight;
        if let Some((other, other_signature)) = first {
            return Added::Conflict(other, other_signature);
        }
        tally.total += weight;
        *tally.firsts.entry(block).or_default() += weight;
        if !voted {
            entry.voters += weight;
        }
        Added::New
    }

    /// Returns the weight that voted for a block in a round.
    pub fn weight(&self, kind: VoteKind, round: u32, block: B256) -> u128 {
        self.tally(kind, round).and_then(|tally| tally.sums.get(&block)).copied().unwrap_or(0)
    }

    /// Returns the weight that voted in a round, for anything.
    pub fn weight_any(&self, kind: VoteKind, round: u32) -> u128 {
        self.tally(kind, round).map_or(0, |tally| tally.total)
    }

    /// Returns the block that a quorum voted for, or nil. At most one has a quorum if no more weight lies than
    /// is safe; else blocks go before nil.
    pub fn decided(&self, kind: VoteKind, round: u32) -> Option<B256> {
        let sums = &self.tally(kind, round)?.sums;
        sums.iter().rev().find(|(_, weight)| self.is_quorum(**weight)).map(|(block, _)| *block)
    }

    /// Tells whether a quorum voted for this block.
    pub fn has_quorum(&self, kind: VoteKind, round: u32, block: B256) -> bool {
        self.is_quorum(self.weight(kind, round, block))
    }

    /// Tells whether a quorum voted, for whatever.
    pub fn has_quorum_any(&self, kind: VoteKind, round: u32) -> bool {
        self.is_quorum(self.weight_any(kind, round))
    }

    /// Returns the highest round above `round` in which validators voted that surely include an honest one.
    pub fn later_round(&self, round: u32) -> Option<u32> {
        let later = self.rounds.range(round.checked_add(1)?..).rev();
        later
            .filter(|(_, entry)| Quorum::has_honest(entry.voters, self.set.total()))
            .map(|(later, _)| *later)
            .next()
    }

    /// Returns the rounds in which anything was voted or proposed, ascending.
    pub fn rounds(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.rounds.keys().copied()
    }

    /// Iterates over the votes of a round as `(validator, block, signature)`.
    pub fn cast(
        &self,
        kind: VoteKind,
        round: u32,
    ) -> impl Iterator<Item = (usize, B256, Signature)> + '_ {
        let tally = self.tally(kind, round);
        tally.into_iter().flat_map(|tally| &tally.cast).flat_map(|(index, votes)| {
            votes.iter().map(|(block, signature)| (*index, *block, *signature))
        })
    }

    /// Forgets what one validator voted in a round.
    pub(super) fn forget(&mut self, round: u32, index: usize) {
        let Some(weight) = self.set.get(index).map(|validator| u128::from(validator.weight)) else {
            return;
        };
        let Some(entry) = self.rounds.get_mut(&round) else { return };
        let mut voted = false;
        for tally in [&mut entry.prepares, &mut entry.precommits] {
            let Some(votes) = tally.cast.remove(&index) else { continue };
            voted = true;
            tally.total -= weight;
            if let Some((first, _)) = votes.first() {
                less(&mut tally.firsts, first, weight);
            }
            for (block, _) in votes {
                less(&mut tally.sums, &block, weight);
            }
        }
        if voted {
            entry.voters -= weight;
        }
        if entry.prepares.cast.is_empty() && entry.precommits.cast.is_empty() {
            self.rounds.remove(&round);
        }
    }

    fn is_quorum(&self, weight: u128) -> bool {
        self.quorum.is_met(weight, self.set.total())
    }

    fn tally(&self, kind: VoteKind, round: u32) -> Option<&Tally> {
        let round = self.rounds.get(&round)?;
        Some(match kind {
            VoteKind::Prepare => &round.prepares,
            VoteKind::Precommit => &round.precommits,
        })
    }
}

/// Takes weight from a block, and the block from the map with the last of it.
fn less(sums: &mut BTreeMap<B256, u128>, block: &B256, weight: u128) {
    if let Some(sum) = sums.get_mut(block) {
        *sum -= weight;
        if *sum == 0 {
            sums.remove(block);
        }
    }
}
