//! What became of a load: pure sums over blocks and over what receivers saw. Senders' beliefs count only as offers.

use super::{
    endpoint::Block,
    offer::{Answer, Outcome},
    plan::Entry,
    report::{
        Accepted, Blocks, Committed, Conflicts, Mining, Named, Offered, Pairs, Propagation,
        Quantiles, Rate,
    },
    watch::Seen,
};
use alloy_primitives::B256;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Everything that the accounts are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What was planned.
    pub entries: &'a [Entry],
    /// What was handed in, place by place.
    pub outcomes: &'a [Outcome],
    /// The canonical blocks since the load began, ascending.
    pub chain: &'a [Block],
    /// What each node saw.
    pub seen: &'a [Seen],
    /// The nodes' names.
    pub names: &'a [String],
    /// Next nonce of each account in the chain's newest state.
    pub nonces: &'a [u64],
    /// Transactions of these blocks that failed.
    pub failed: &'a BTreeSet<B256>,
}

/// The accounts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tally {
    /// What was handed in.
    pub offered: Offered,
    /// What nodes said of it.
    pub accepted: Accepted,
    /// What is in the chain, from its blocks.
    pub committed: Committed,
    /// The blocks that hold it.
    pub blocks: Blocks,
    /// From handing in until the node that was handed it had the block as canonical.
    pub inclusion_ms: Option<Quantiles>,
    /// From handing in until that node had the block as final.
    pub finality_ms: Option<Quantiles>,
    /// How transactions reached all nodes.
    pub propagation: Option<Propagation>,
    /// Taken by a node, and not in the chain.
    pub lost: Named,
    /// Transactions that cannot both be.
    pub conflicting: Conflicts,
    /// Blocks per node that made some, on chains with forks.
    pub mining: Option<Mining>,
}

/// Hashes that are named.
const NAMED_MAX: usize = 20;

impl<'a> Facts<'a> {
    /// Makes the accounts.
    pub fn tally(&self) -> Tally {
        let places = self.places();
        let (included, twice) = self.included(&places);
        let lost = self.lost(&included);
        let first = self.single().map(|(_, _, o)| o.handed_in).filter(|at| *at > 0).min();
        let finals: Vec<Finals> = self.seen.iter().map(Finals::new).collect();
        let mut inclusion = Vec::new();
        let mut finality = Vec::new();
        for (place, entry, outcome) in self.single() {
            let Some(block) = included[place].map(|at| &self.chain[at]) else { continue };
            if outcome.handed_in == 0 {
                continue;
            }
            let seen = &self.seen[entry.endpoint];
            if let Some(at) = seen.heads.get(&block.hash) {
                inclusion.push(at.saturating_sub(outcome.handed_in));
            }
            if let Some(at) = finals[entry.endpoint].at(block.number) {
                finality.push(at.saturating_sub(outcome.handed_in));
            }
        }
        Tally {
            offered: self.offered(first),
            accepted: self.accepted(first),
            committed: self.committed(&included, first),
            blocks: self.blocks(&included),
            inclusion_ms: Quantiles::of(inclusion),
            finality_ms: Quantiles::of(finality),
            propagation: self.propagation(&included),
            conflicting: self.conflicts(&included, &lost, twice),
            lost: self.name(&lost),
            mining: self.mining(),
        }
    }

    /// Entries that are not one of a pair, with their places and outcomes.
    fn single(&self) -> impl Iterator<Item = (usize, &'a Entry, &'a Outcome)> {
        let both = self.entries.iter().zip(self.outcomes).enumerate();
        both.filter(|(_, (entry, _))| entry.pair.is_none()).map(|(i, (e, o))| (i, e, o))
    }

    fn places(&self) -> HashMap<B256, usize> {
        self.entries.iter().enumerate().map(|(place, e)| (e.signed.hash, place)).collect()
    }

    /// Finds in which block each transaction is, and those that are in two.
    fn included(&self, places: &HashMap<B256, usize>) -> (Vec<Option<usize>>, Vec<usize>) {
        let mut included = vec![None; self.entries.len()];
        let mut twice = Vec::new();
        for (at, block) in self.chain.iter().enumerate() {
            for place in block.transactions.iter().filter_map(|hash| places.get(hash)) {
                if included[*place].replace(at).is_some() {
                    twice.push(*place);
                }
            }
        }
        (included, twice)
    }

    /// Finds what a node took and the chain does not have.
    fn lost(&self, included: &[Option<usize>]) -> Vec<usize> {
        let taken = |o: &Outcome| o.answer == Answer::Accepted;
        let lost = self.single().filter(|(at, _, o)| taken(o) && included[*at].is_none());
        lost.map(|(at, ..)| at).collect()
    }

    fn offered(&self, first: Option<u64>) -> Offered {
        let times: Vec<u64> =
            self.single().map(|(_, _, o)| o.handed_in).filter(|at| *at > 0).collect();
        let planned = self.single().count();
        let behind = self.single().map(|(_, _, o)| o.behind).max().unwrap_or(0);
        Offered {
            rate: Rate::new(times.len(), first, times.iter().copied().max()),
            unsent: planned - times.len(),
            behind_ms_max: behind as f64 / 1_000.0,
        }
    }

    fn accepted(&self, first: Option<u64>) -> Accepted {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let (mut times, mut unanswered) = (Vec::new(), 0);
        for (_, _, outcome) in self.single() {
            match &outcome.answer {
                Answer::Accepted => times.push(outcome.handed_in),
                // Numbers would make each reason a reason of its own.
                Answer::Refused(text) => {
                    let reason = text.split(':').next().unwrap_or(text).to_owned();
                    *reasons.entry(reason).or_default() += 1;
                }
                Answer::Unanswered(_) => unanswered += 1,
                Answer::Unsent => {}
            }
        }
        Accepted {
            rate: Rate::new(times.len(), first, times.iter().copied().max()),
            refused: reasons.values().sum(),
            reasons,
            unanswered,
        }
    }

    /// When any node first had a block.
    fn arrival(&self, block: &Block) -> Option<u64> {
        self.seen.iter().filter_map(|seen| seen.heads.get(&block.hash).copied()).min()
    }

    fn ours(&self, included: &[Option<usize>]) -> Vec<usize> {
        let mut ours = vec![0; self.chain.len()];
        for (place, ..) in self.single() {
            if let Some(at) = included[place] {
                ours[at] += 1;
            }
        }
        ours
    }

    fn committed(&self, included: &[Option<usize>], first: Option<u64>) -> Committed {
        let ours = self.ours(included);
        let count: usize = ours.iter().sum();
        let with: Vec<usize> = (0..ours.len()).filter(|at| ours[*at] > 0).collect();
        let arrival = |at: Option<&usize>| at.and_then(|at| self.arrival(&self.chain[*at]));
        let (begin, end) = (arrival(with.first()), arrival(with.last()));
        let head_start = with.first().map_or(0, |at| ours[*at]);
        let reverted = self
            .single()
            .filter(|(at, entry, _)| {
                included[*at].is_some() && self.failed.contains(&entry.signed.hash)
            })
            .count();
        let taken = |o: &Outcome| o.answer == Answer::Accepted;
        let not_taken = self.single().filter(|(at, _, o)| included[*at].is_some() && !taken(o));
        Committed {
            rate: Rate::new(count, first, end),
            per_second_between_blocks: Rate::new(count - head_start, begin, end).per_second,
            reverted,
            not_accepted: not_taken.count(),
        }
    }

    fn blocks(&self, included: &[Option<usize>]) -> Blocks {
        let ours = self.ours(included);
        let with: Vec<&Block> =
            self.chain.iter().zip(&ours).filter(|(_, n)| **n > 0).map(|(block, _)| block).collect();
        let share = |block: &&&Block| block.gas_used as f64 / block.gas_limit.max(1) as f64;
        let fullest = with.iter().map(|block| share(&block)).fold(0.0, f64::max);
        Blocks {
            count: with.len(),
            from: with.first().map(|block| block.number),
            to: with.last().map(|block| block.number),
            transactions_mean: ours.iter().sum::<usize>() as f64 / with.len().max(1) as f64,
            transactions_max: ours.iter().copied().max().unwrap_or(0),
            bytes_max: with.iter().map(|block| block.size).max().unwrap_or(0),
            gas_limit: with.last().map_or(0, |block| block.gas_limit),
            gas_share_max: fullest,
        }
    }

    /// A transaction reached a node when it entered its pool, or came with a block.
    fn propagation(&self, included: &[Option<usize>]) -> Option<Propagation> {
        let (mut all, mut each) = (Vec::new(), Vec::new());
        let (mut by_block, mut missing, mut heard) = (0, 0, false);
        for (place, entry, outcome) in self.single() {
            if outcome.answer != Answer::Accepted {
                continue;
            }
            let block = included[place].map(|at| &self.chain[at]);
            let mut times = Vec::with_capacity(self.seen.len());
            for seen in self.seen {
                let pool = seen.pool.get(place).copied().filter(|at| *at > 0);
                heard |= pool.is_some();
                let with_block = block.and_then(|block| seen.heads.get(&block.hash).copied());
                by_block += usize::from(pool.is_none() && with_block.is_some());
                times.extend(pool.or(with_block));
            }
            if times.len() < self.seen.len() {
                missing += 1;
                continue;
            }
            // The node that it was handed to had it first, but clocks of other machines may differ.
            let first = times.iter().copied().min().unwrap_or(0);
            let own = self.seen[entry.endpoint].pool.get(place).copied().filter(|at| *at > 0);
            let from = own.unwrap_or(first);
            all.push(times.iter().map(|at| at.saturating_sub(from)).max().unwrap_or(0));
            let others = times.iter().enumerate().filter(|(node, _)| *node != entry.endpoint);
            each.extend(others.map(|(_, at)| at.saturating_sub(from)));
        }
        heard.then(|| Propagation {
            nodes: self.seen.len(),
            reached_all: all.len(),
            not_reached_all: missing,
            by_block,
            all_nodes_ms: Quantiles::of(all),
            each_node_ms: Quantiles::of(each),
        })
    }

    fn conflicts(
        &self,
        included: &[Option<usize>],
        lost: &[usize],
        twice: Vec<usize>,
    ) -> Conflicts {
        // A nonce that the chain has passed without this transaction went to another one.
        let displaced: Vec<usize> = lost
            .iter()
            .copied()
            .filter(|place| {
                let entry = &self.entries[*place];
                self.nonces.get(entry.sender as usize).is_some_and(|next| *next > entry.nonce)
            })
            .collect();
        Conflicts {
            displaced: self.name(&displaced),
            committed_twice: self.name(&twice),
            pairs: self.pairs(included),
        }
    }

    fn pairs(&self, included: &[Option<usize>]) -> Option<Pairs> {
        let mut pairs: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            if let Some(pair) = entry.pair {
                pairs.entry(pair).or_default().push(place);
            }
        }
        let mut sum = Pairs { offered: pairs.len(), ..Pairs::default() };
        for places in pairs.values() {
            match places.iter().filter(|place| included[**place].is_some()).count() {
                0 => sum.none_committed += 1,
                1 => sum.one_committed += 1,
                _ => sum.both_committed += 1,
            }
            let held = |seen: &&Seen| {
                places.iter().all(|place| seen.pool.get(*place).is_some_and(|at| *at > 0))
            };
            sum.pools_with_both += self.seen.iter().filter(held).count();
        }
        (!pairs.is_empty()).then_some(sum)
    }

    /// Blocks that nodes made, and those that did not stay. `None` if no node told of any.
    fn mining(&self) -> Option<Mining> {
        let canonical: BTreeSet<B256> = self.chain.iter().map(|block| block.hash).collect();
        let last = self.chain.last()?.number;
        let nodes: Vec<(String, usize, usize)> = self
            .names
            .iter()
            .zip(self.seen)
            .map(|(name, seen)| {
                let made = || seen.produced.iter().filter(|(_, number)| *number <= last);
                let stale = made().filter(|(hash, _)| !canonical.contains(hash)).count();
                (name.clone(), made().count(), stale)
            })
            .collect();
        let made: usize = nodes.iter().map(|(_, made, _)| made).sum();
        (made > 0).then(|| Mining::new(nodes))
    }

    fn name(&self, places: &[usize]) -> Named {
        let hash = |place: &usize| self.entries[*place].signed.hash;
        Named { count: places.len(), first: places.iter().take(NAMED_MAX).map(hash).collect() }
    }
}

/// When a node had which height final.
struct Finals(Vec<(u64, u64)>);

impl Finals {
    fn new(seen: &Seen) -> Self {
        let mut finals = seen.finals.clone();
        // A block is final as soon as one at its height or above is.
        finals.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, at) in finals.iter_mut().rev() {
            earliest = earliest.min(*at);
            *at = earliest;
        }
        Self(finals)
    }

    fn at(&self, number: u64) -> Option<u64> {
        let place = self.0.partition_point(|(height, _)| *height < number);
        self.0.get(place).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests;
