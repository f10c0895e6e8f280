//! Blocks that were checked by their headers and are not in the tree yet: a small tree above the block tree.
//!
//! All of them are here, whatever became of their bodies, and the parent of each is here or in the block tree. So
//! the way from the block tree to the best of them has no gap, and what it lacks is known.

use super::Ours;
use kette_types::{B256, PeerId, SealedHeader, U256};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A checked header whose block is not in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingHeader {
    /// Header and seal.
    pub header: SealedHeader,
    /// What it adds to its branch.
    pub weight: U256,
    /// Weight of the branch up to it.
    pub total_weight: U256,
    /// Who sent it, if a peer did.
    pub from: Option<PeerId>,
}

impl PendingHeader {
    /// Tells whether the branch up to it beats ours; of equal weights the smaller hash wins.
    pub(super) fn is_better(&self, ours: Ours) -> bool {
        (self.total_weight, Reverse(self.header.hash())) > (ours.weight, Reverse(ours.hash))
    }
}

/// Pending headers by hash, with the heaviest known.
#[derive(Debug, Default)]
pub(super) struct HeaderChain {
    headers: BTreeMap<B256, PendingHeader>,
    children: BTreeMap<B256, BTreeSet<B256>>,
    /// For the tip that fork choice would take: the heaviest, of equal ones that with the smaller hash.
    order: BTreeSet<(U256, Reverse<B256>)>,
}

impl HeaderChain {
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn get(&self, hash: B256) -> Option<&PendingHeader> {
        self.headers.get(&hash)
    }

    pub(super) fn best(&self) -> Option<&PendingHeader> {
        self.order.last().map(|(_, Reverse(hash))| &self.headers[hash])
    }

    /// Adds a header whose parent is here or in the block tree, if there are fewer than `max`.
    pub(super) fn insert(&mut self, pending: PendingHeader, max: usize) -> bool {
        let hash = pending.header.hash();
        if self.headers.contains_key(&hash) || self.headers.len() >= max {
            return false;
        }
        self.children.entry(pending.header.parent_hash).or_default().insert(hash);
        self.order.insert((pending.total_weight, Reverse(hash)));
        self.headers.insert(hash, pending);
        true
    }

    /// Removes a header that joined the block tree.
    pub(super) fn attached(&mut self, hash: B256) {
        self.remove(hash);
    }

    fn remove(&mut self, hash: B256) {
        let Some(pending) = self.headers.remove(&hash) else { return };
        self.order.remove(&(pending.total_weight, Reverse(hash)));
        let parent = pending.header.parent_hash;
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.remove(&hash);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Removes a header and everything on top of it.
    pub(super) fn remove_branch(&mut self, root: B256) -> Vec<(B256, Option<PeerId>)> {
        let mut gone = Vec::new();
        let mut stack = vec![root];
        while let Some(hash) = stack.pop() {
            stack.extend(self.children.get(&hash).into_iter().flatten().copied());
            if let Some(pending) = self.headers.get(&hash) {
                gone.push((hash, pending.from));
                self.remove(hash);
            }
        }
        gone
    }

    /// Returns the hashes from the block tree up to the heaviest header, ascending, at most `max`.
    pub(super) fn path(&self, max: usize) -> Vec<B256> {
        let mut path = Vec::new();
        let mut cursor = self.best();
        while let Some(pending) = cursor {
            path.push(pending.header.hash());
            cursor = self.headers.get(&pending.header.parent_hash);
        }
        path.reverse();
        path.truncate(max);
        path
    }

    /// Removes what can no longer join the block tree: branches that do not leave it above `horizon`, the lowest
    /// block that it holds, and those on top of these blocks, which left it.
    pub(super) fn prune(&mut self, horizon: u64, left: &[B256]) -> Vec<B256> {
        let low = self.headers.values().filter(|pending| pending.header.number <= horizon);
        let low = low.map(|pending| pending.header.hash());
        let roots: Vec<B256> = low.chain(left.iter().copied()).collect();
        let gone = roots.into_iter().flat_map(|root| self.remove_branch(root));
        gone.map(|(hash, _)| hash).collect()
    }
}
