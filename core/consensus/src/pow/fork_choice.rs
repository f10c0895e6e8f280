//! Which leaf wins, how deep a reorganization may go by itself, and what is final.
//!
//! The branch with the greatest total weight wins; of equal ones that with the smaller hash, so that nodes
//! agree whatever came first. A branch whose victory would remove more than the reorganization limit is held:
//! an alarm is raised once, nothing more becomes final, and an operator decides. A held branch that falls
//! behind again is forgotten.

use super::status::Alarm;
use crate::Output;
use kette_chain::{BlockTree, Reorg};
use kette_types::{
    B256, U256,
    planted::{Bug, is_planted},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Chooses the head among the blocks of a tree.
#[derive(Debug)]
pub(super) struct ForkChoice {
    reorg_limit: u64,
    finality_depth: u64,
    /// Heavier branches that are not followed, by the block after the fork.
    held: BTreeMap<B256, Held>,
    /// Branches of the tree for which the alarm was raised.
    alarmed: BTreeSet<B256>,
    approved: Option<B256>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    tip: B256,
    depth: u64,
}

impl ForkChoice {
    pub(super) const fn new(reorg_limit: u64, finality_depth: u64) -> Self {
        Self {
            reorg_limit,
            finality_depth,
            held: BTreeMap::new(),
            alarmed: BTreeSet::new(),
            approved: None,
        }
    }

    /// Allows a switch to a branch with this block, however deep.
    pub(super) const fn approve(&mut self, hash: B256) {
        self.approved = Some(hash);
    }

    /// Chooses among the head, these blocks and the held branches. Orders the new head, if it is another one,
    /// and what becomes final by it.
    pub(super) fn choose(
        &mut self,
        tree: &BlockTree,
        candidates: impl IntoIterator<Item = B256>,
        out: &mut Vec<Output>,
    ) -> Option<B256> {
        let mut best = tree.head().hash();
        let mut switch = None;
        let mut refused = Vec::new();
        let held: Vec<B256> = std::mem::take(&mut self.held).values().map(|h| h.tip).collect();
        for tip in candidates.into_iter().chain(held) {
            if !better(tree, tip, best) {
                continue;
            }
            let Some(reorg) = tree.plan(tip) else { continue };
            let Some(fork) = reorg.added.first() else { continue };
            let depth = u64::try_from(reorg.removed.len()).unwrap_or(u64::MAX);
            let approved = self.approved.is_some_and(|hash| reorg.added.contains(&hash));
            if depth > self.reorg_limit && !approved {
                refused.push((*fork, Held { tip, depth }));
            } else {
                best = tip;
                switch = Some(reorg);
            }
        }
        self.hold(tree, best, refused, out);
        let reorg = switch?;
        if self.approved.is_some_and(|hash| reorg.added.contains(&hash)) {
            self.approved = None;
        }
        out.push(Output::Head(best));
        self.finalize(tree, &reorg, out);
        Some(best)
    }

    /// Orders what the present head makes final.
    pub(super) fn finalize_head(&self, tree: &BlockTree, out: &mut Vec<Output>) {
        let stay = Reorg { keep: tree.head().number, removed: Vec::new(), added: Vec::new() };
        self.finalize(tree, &stay, out);
    }

    /// Returns the heaviest branch that waits for an operator.
    pub(super) fn alarm(&self, tree: &BlockTree) -> Option<Alarm> {
        let heaviest = self.held.values().max_by_key(|held| rank(tree, held.tip))?;
        Some(Alarm { hash: heaviest.tip, depth: heaviest.depth })
    }

    fn hold(
        &mut self,
        tree: &BlockTree,
        best: B256,
        refused: Vec<(B256, Held)>,
        out: &mut Vec<Output>,
    ) {
        for (fork, mut held) in refused {
            // The tree's canonical chain may be about to change.
            held.depth = depth(tree, best, held.tip);
            if !better(tree, held.tip, best)
                || (self.held.len() >= HELD_MAX && !self.held.contains_key(&fork))
            {
                continue;
            }
            let entry = self.held.entry(fork).or_insert(held);
            if better(tree, held.tip, entry.tip) {
                *entry = held;
            }
            if self.alarmed.insert(fork) {
                let (Held { tip, depth }, limit) = (held, self.reorg_limit);
                out.push(Output::Alarm(format!(
                    "a heavier branch with tip {tip} would remove {depth} blocks, more than the \
                     limit {limit}: not followed, nothing becomes final; approve it or wait"
                )));
            }
        }
        self.alarmed.retain(|fork| tree.contains(*fork));
    }

    fn finalize(&self, tree: &BlockTree, reorg: &Reorg, out: &mut Vec<Output>) {
        if !self.held.is_empty() {
            return;
        }
        let added = u64::try_from(reorg.added.len()).unwrap_or(u64::MAX);
        let head = reorg.keep.saturating_add(added);
        let number = head.saturating_sub(self.finality_depth);
        // A reorganization below the final block takes finality back to the fork.
        if number <= tree.finalized().0.min(reorg.keep) {
            return;
        }
        let hash = match number.checked_sub(reorg.keep.saturating_add(1)) {
            Some(index) => usize::try_from(index).ok().and_then(|i| reorg.added.get(i)).copied(),
            // A store that fails now is asked again at the next head.
            None => tree.canonical(number).ok().flatten(),
        };
        out.extend(hash.map(|hash| Output::Finalize(hash, kette_types::Bytes::new())));
    }
}

/// Tells whether the branch that ends in `a` wins against the one that ends in `b`.
fn better(tree: &BlockTree, a: B256, b: B256) -> bool {
    if is_planted(Bug::ArrivalTieBreak) {
        return tree.contains(a) && rank(tree, a).0 > rank(tree, b).0;
    }
    tree.contains(a) && rank(tree, a) > rank(tree, b)
}

fn rank(tree: &BlockTree, tip: B256) -> (Option<U256>, Reverse<B256>) {
    (tree.total_weight(tip), Reverse(tip))
}

/// Counts the blocks of the branch that ends in `head` and not in the one that ends in `tip`.
fn depth(tree: &BlockTree, head: B256, tip: B256) -> u64 {
    let (Some(top), Some(mut other)) = (tree.get(head), tree.get(tip)) else { return 0 };
    let mut own = top;
    while own.hash() != other.hash() {
        let step = if own.number >= other.number { &mut own } else { &mut other };
        let Some(parent) = tree.get(step.parent_hash) else { break };
        *step = parent;
    }
    top.number - own.number
}

/// Held branches at most: each of them outweighs the canonical chain, so more than a few do not occur.
const HELD_MAX: usize = 16;
