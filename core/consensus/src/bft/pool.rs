//! Proofs of double signing that wait for a block.

use kette_types::{
    B256,
    bft::{Evidence, PublicKey},
};
use std::collections::BTreeMap;

/// Proofs kept at most.
const POOL_MAX: usize = 64;
/// Proofs kept of one validator: the first one costs it its place.
const PER_CULPRIT_MAX: usize = 3;

/// Proofs by hash. Bounded.
#[derive(Debug, Default)]
pub(super) struct Pool {
    known: BTreeMap<B256, Evidence>,
}

impl Pool {
    /// Takes a proof that was checked. Returns whether it is news.
    pub(super) fn add(&mut self, evidence: Evidence) -> bool {
        if self.known.len() >= POOL_MAX || self.full(&evidence.culprit()) {
            return false;
        }
        self.known.insert(evidence.hash(), evidence).is_none()
    }

    pub(super) fn contains(&self, hash: B256) -> bool {
        self.known.contains_key(&hash)
    }

    /// Tells whether more of this validator is not wanted.
    pub(super) fn full(&self, culprit: &PublicKey) -> bool {
        self.known.values().filter(|evidence| evidence.culprit() == *culprit).count()
            >= PER_CULPRIT_MAX
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Evidence> {
        self.known.values()
    }

    /// Forgets what is in a block or no longer counts.
    pub(super) fn retain(&mut self, keep: impl Fn(&Evidence) -> bool) {
        self.known.retain(|_, evidence| keep(evidence));
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
