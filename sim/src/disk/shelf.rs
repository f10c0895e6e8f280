//! What many disks hold, once: blocks and states as they lie on disk, without anything that execution left in memory.
//!
//! Sharing changes no answer, only how much memory a thousand disks need.

use kette_chain::{ExecutedBlock, record::StoredBlock};
use kette_ledger::{NodeKey, StateCommit};
use kette_types::{B256, Bytes};
use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

/// A block as a store gives it back.
#[derive(Debug)]
pub(super) struct Shelved {
    pub(super) hash: B256,
    pub(super) stored: StoredBlock,
}

impl Shelved {
    pub(super) fn number(&self) -> u64 {
        self.stored.block.header.number
    }
}

/// What one checkpoint wrote.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) number: u64,
    pub(super) hash: B256,
    /// In order of their keys.
    pub(super) rows: Vec<Row>,
    pub(super) stale: Vec<NodeKey>,
    pub(super) codes: Vec<(B256, Bytes)>,
}

impl Layer {
    fn new(number: u64, hash: B256, commit: &StateCommit) -> Self {
        let mut rows: Vec<Row> =
            commit.nodes.iter().map(|node| Row(Arc::new(node.clone()))).collect();
        rows.sort_unstable();
        rows.dedup();
        let (stale, codes) = (commit.stale.clone(), commit.codes.clone());
        Self { number, hash, rows, stale, codes }
    }

    /// Finds a node that this checkpoint wrote.
    pub(super) fn row(&self, key: &NodeKey) -> Option<&Row> {
        let found = self.rows.binary_search_by(|row| Borrow::<NodeKey>::borrow(row).cmp(key));
        found.ok().map(|index| &self.rows[index])
    }

    fn is(&self, number: u64, commit: &StateCommit) -> bool {
        let same =
            |(key, node): &(NodeKey, Bytes)| self.row(key).is_some_and(|row| row.node() == node);
        self.number == number
            && self.rows.len() == commit.nodes.len()
            && self.stale == commit.stale
            && self.codes == commit.codes
            && commit.nodes.iter().all(same)
    }
}

/// A trie node and where it belongs. Ordered by its key alone.
#[derive(Clone, Debug)]
pub(super) struct Row(Arc<(NodeKey, Bytes)>);

impl Row {
    pub(super) fn node(&self) -> &Bytes {
        &self.0.1
    }
}

impl Borrow<NodeKey> for Row {
    fn borrow(&self) -> &NodeKey {
        &self.0.0
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

/// Finds what some disk holds already.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    blocks: BTreeMap<B256, Weak<Shelved>>,
    /// By the block whose state they are; different ones if nodes made their checkpoints before it elsewhere.
    layers: BTreeMap<B256, Vec<Weak<Layer>>>,
    /// What no disk holds any more is forgotten when there are this many entries.
    sweep_at: usize,
}

/// Fewer entries are not worth a sweep.
const SWEEP_MIN: usize = 1_024;

impl Shelf {
    /// Returns a block without what its execution left in memory.
    pub(super) fn block(&mut self, block: &ExecutedBlock) -> Arc<Shelved> {
        let hash = block.hash();
        if let Some(known) = self.blocks.get(&hash).and_then(Weak::upgrade)
            && is_same(&known.stored, block)
        {
            return known;
        }
        let stored = StoredBlock {
            block: block.block.clone(),
            senders: block.senders.clone(),
            total_weight: block.total_weight,
        };
        let shelved = Arc::new(Shelved { hash, stored });
        self.blocks.insert(hash, Arc::downgrade(&shelved));
        self.sweep();
        shelved
    }

    /// Returns what a checkpoint writes.
    pub(super) fn layer(&mut self, number: u64, hash: B256, commit: &StateCommit) -> Arc<Layer> {
        let here = self.layers.entry(hash).or_default();
        here.retain(|layer| layer.strong_count() > 0);
        let known = here.iter().filter_map(Weak::upgrade).find(|layer| layer.is(number, commit));
        if let Some(known) = known {
            return known;
        }
        let layer = Arc::new(Layer::new(number, hash, commit));
        here.push(Arc::downgrade(&layer));
        self.sweep();
        layer
    }

    fn sweep(&mut self) {
        let entries = self.blocks.len() + self.layers.len();
        if entries < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.blocks.retain(|_, block| block.strong_count() > 0);
        self.layers.retain(|_, layers| layers.iter().any(|layer| layer.strong_count() > 0));
        self.sweep_at = 2 * (self.blocks.len() + self.layers.len());
    }
}

/// The hash covers header and body, but neither the seal nor what the node computed.
fn is_same(stored: &StoredBlock, block: &ExecutedBlock) -> bool {
    let same = stored.total_weight == block.total_weight
        && stored.block.header.seal() == block.block.header.seal()
        && stored.senders == block.senders;
    debug_assert!(!same || stored.block == block.block, "one hash, two blocks");
    same
}
