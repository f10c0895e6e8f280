//! The block tree: every branch that may still become canonical, and the canonical chain below it by reference.
//!
//! Blocks above the final one are held whole (body, receipts, state). Below, down to the horizon that a
//! reorganization may reach, only headers and weights are held; the rest is read through [`ChainReader`].

use crate::{ChainReader, ExecutedBlock};
use kette_ledger::ReadError;
use kette_types::{B256, SealedHeader, U256};
use std::{collections::BTreeMap, sync::Arc};

/// Looks up headers by hash, on whatever branch. What an engine's check needs of the past.
pub trait Headers {
    /// Returns a header, or `None` if it is not known.
    ///
    /// # Errors
    /// If the store fails.
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError>;
}

/// All branches that may still become canonical.
pub struct BlockTree {
    nodes: BTreeMap<B256, Node>,
    /// Canonical hashes from the lowest held number up to the head.
    canonical: BTreeMap<u64, B256>,
    head: B256,
    finalized: (u64, B256),
    reader: Arc<dyn ChainReader>,
}

struct Node {
    header: SealedHeader,
    total_weight: U256,
    executed: Option<Arc<ExecutedBlock>>,
}

/// How the canonical chain changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// Number of the last block that stayed.
    pub keep: u64,
    /// Blocks that are no longer canonical, newest first.
    pub removed: Vec<B256>,
    /// Blocks that became canonical, ascending; the last one is the head.
    pub added: Vec<B256>,
}

impl BlockTree {
    /// Starts with one block, which is canonical, final and head.
    pub fn new(root: Arc<ExecutedBlock>, reader: Arc<dyn ChainReader>) -> Self {
        let (hash, number) = (root.hash(), root.number());
        let node = Node {
            header: root.block.header.clone(),
            total_weight: root.total_weight,
            executed: Some(root),
        };
        Self {
            nodes: BTreeMap::from([(hash, node)]),
            canonical: BTreeMap::from([(number, hash)]),
            head: hash,
            finalized: (number, hash),
            reader,
        }
    }

    /// Attaches a block to its parent, which must be in the tree. A block that is there already stays.
    ///
    /// # Panics
    /// If the parent is not in the tree: the caller checked it.
    pub fn insert(&mut self, block: Arc<ExecutedBlock>) {
        assert!(
            self.nodes.contains_key(&block.block.header.parent_hash),
            "a block is attached only to a parent in the tree"
        );
        let node = Node {
            header: block.block.header.clone(),
            total_weight: block.total_weight,
            executed: Some(block.clone()),
        };
        self.nodes.entry(block.hash()).or_insert(node);
    }

    /// Attaches a header below the tree's lowest blocks, so that a reorganization may reach it after a restart.
    /// Headers come newest first, each the parent of the lowest one held.
    pub fn extend_down(&mut self, header: SealedHeader, total_weight: U256) {
        let Some((&lowest, lowest_hash)) = self.canonical.first_key_value() else { return };
        let fits =
            self.nodes.get(lowest_hash).is_some_and(|n| n.header.parent_hash == header.hash());
        if fits && lowest == header.number + 1 {
            self.canonical.insert(header.number, header.hash());
            self.nodes.insert(header.hash(), Node { header, total_weight, executed: None });
        }
    }

    /// Tells whether a block is in the tree (not: whether it is stored).
    pub fn contains(&self, hash: B256) -> bool {
        self.nodes.contains_key(&hash)
    }

    /// Returns a header of the tree.
    pub fn get(&self, hash: B256) -> Option<&SealedHeader> {
        self.nodes.get(&hash).map(|node| &node.header)
    }

    /// Returns a block of the tree that is held whole.
    pub fn executed(&self, hash: B256) -> Option<&Arc<ExecutedBlock>> {
        self.nodes.get(&hash)?.executed.as_ref()
    }

    /// Returns the weight of the branch that ends in this block, if it is in the tree.
    pub fn total_weight(&self, hash: B256) -> Option<U256> {
        self.nodes.get(&hash).map(|node| node.total_weight)
    }

    /// Returns the canonical chain's newest header.
    pub fn head(&self) -> &SealedHeader {
        &self.nodes[&self.head].header
    }

    /// Returns the head, whole.
    pub fn head_block(&self) -> &Arc<ExecutedBlock> {
        self.nodes[&self.head].executed.as_ref().expect("blocks above the final one are held whole")
    }

    /// Returns the weight of the canonical chain.
    pub fn head_weight(&self) -> U256 {
        self.nodes[&self.head].total_weight
    }

    /// Returns number and hash of the newest final block.
    pub const fn finalized(&self) -> (u64, B256) {
        self.finalized
    }

    /// Returns the lowest number that a branch may fork from.
    pub fn horizon(&self) -> u64 {
        self.canonical.first_key_value().map_or(0, |(number, _)| *number)
    }

    /// Returns the hash of the canonical block with this number, from memory or store.
    ///
    /// # Errors
    /// If the store fails.
    pub fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        match self.canonical.get(&number) {
            Some(hash) => Ok(Some(*hash)),
            None if number < self.horizon() => self.reader.canonical(number),
            None => Ok(None),
        }
    }

    /// Tells whether a block of the tree is canonical.
    pub fn is_canonical(&self, hash: B256) -> bool {
        self.nodes
            .get(&hash)
            .is_some_and(|node| self.canonical.get(&node.header.number) == Some(&hash))
    }

    /// Returns the reader of the stored chain.
    pub fn reader(&self) -> &Arc<dyn ChainReader> {
        &self.reader
    }

    /// Returns what a switch of the head would change, or `None` if the block is not in the tree.
    pub fn plan(&self, new_head: B256) -> Option<Reorg> {
        let mut added = Vec::new();
        let mut cursor = self.nodes.get(&new_head)?;
        while !self.is_canonical(cursor.header.hash()) {
            added.push(cursor.header.hash());
            cursor = self.nodes.get(&cursor.header.parent_hash)?;
        }
        added.reverse();
        let keep = cursor.header.number;
        let removed = self.canonical.range(keep + 1..).rev().map(|(_, hash)| *hash).collect();
        Some(Reorg { keep, removed, added })
    }

    /// Makes a block of the tree the head.
    ///
    /// # Panics
    /// If the block is not in the tree: engines choose among the tree's blocks.
    pub fn set_head(&mut self, hash: B256) -> Reorg {
        let reorg = self.plan(hash).expect("engines choose a head that is in the tree");
        self.canonical.split_off(&(reorg.keep + 1));
        self.canonical.extend((reorg.keep + 1..).zip(reorg.added.iter().copied()));
        self.head = hash;
        if self.finalized.0 > reorg.keep {
            let hash = self.canonical[&reorg.keep];
            self.finalized = (reorg.keep, hash);
        }
        reorg
    }

    /// Marks a canonical block final. Blocks well below it are no longer held whole.
    pub fn finalize(&mut self, hash: B256) {
        let Some(node) = self.nodes.get(&hash) else { return };
        let number = node.header.number;
        if number <= self.finalized.0 {
            return;
        }
        self.finalized = (number, hash);
        for node in self.nodes.values_mut() {
            if node.header.number.saturating_add(HELD_BELOW_FINAL) < number {
                node.executed = None;
            }
        }
    }

    /// Replaces what is held of a block, or holds only its header any more.
    pub fn hold(&mut self, hash: B256, executed: Option<Arc<ExecutedBlock>>) {
        if let Some(node) = self.nodes.get_mut(&hash) {
            node.executed = executed;
        }
    }

    /// Returns all blocks that are held whole, parents before children.
    pub fn held(&self) -> Vec<Arc<ExecutedBlock>> {
        let mut held: Vec<_> = self.nodes.values().filter_map(|n| n.executed.clone()).collect();
        held.sort_by_key(|block| (block.number(), block.hash()));
        held
    }

    /// Forgets what lies more than `depth` below the head and the side branches that fork from there.
    /// Returns the hashes of side-branch blocks that can never become canonical any more.
    pub fn prune(&mut self, depth: u64) -> Vec<B256> {
        let floor = self.head().number.saturating_sub(depth);
        if floor <= self.horizon() {
            return Vec::new();
        }
        let kept = self.canonical.split_off(&floor);
        let below = std::mem::replace(&mut self.canonical, kept);
        let mut dead = Vec::new();
        // Parents come before children when sorted by number, so one pass finds every orphaned branch.
        let mut by_number: Vec<_> =
            self.nodes.iter().map(|(hash, n)| (n.header.number, *hash)).collect();
        by_number.sort_unstable();
        for (number, hash) in by_number {
            let canonical = self.canonical.get(&number) == Some(&hash);
            let parent = self.nodes[&hash].header.parent_hash;
            if canonical || (number > floor && self.nodes.contains_key(&parent)) {
                continue;
            }
            self.nodes.remove(&hash);
            // The store may not know the newest switch yet, so the tree itself tells what is canonical.
            if below.get(&number) != Some(&hash) {
                dead.push(hash);
            }
        }
        dead
    }

    /// Removes all blocks above the head, on whatever branch (development chains: undo). Returns them.
    pub fn forget_above(&mut self, hash: B256) -> Vec<B256> {
        let Some(number) = self.nodes.get(&hash).map(|node| node.header.number) else {
            return Vec::new();
        };
        let gone: Vec<B256> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.header.number > number)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in &gone {
            self.nodes.remove(hash);
        }
        gone
    }

    /// Returns hashes from the head back to genesis, dense at first, then doubling the step
    /// (Bitcoin's block locator), so that a peer finds the last common block.
    ///
    /// # Errors
    /// If the store fails.
    pub fn locator(&self) -> Result<Vec<B256>, ReadError> {
        let mut hashes = Vec::new();
        let (mut number, mut step) = (self.head().number, 1);
        loop {
            hashes.extend(self.canonical(number)?);
            if number == 0 {
                return Ok(hashes);
            }
            if hashes.len() >= 10 {
                step *= 2;
            }
            number = number.saturating_sub(step);
        }
    }

    /// Returns how many blocks the tree holds.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Tells whether the tree holds nothing; never true.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Iterates over the blocks of the tree without a child in it.
    pub fn leaves(&self) -> impl Iterator<Item = &SealedHeader> {
        let parents: std::collections::BTreeSet<B256> =
            self.nodes.values().map(|n| n.header.parent_hash).collect();
        self.nodes
            .iter()
            .filter(move |(hash, _)| !parents.contains(*hash))
            .map(|(_, node)| &node.header)
    }
}

/// Final blocks still held whole, for late requests about them.
const HELD_BELOW_FINAL: u64 = 2;

impl Headers for BlockTree {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        match self.nodes.get(&hash) {
            Some(node) => Ok(Some(node.header.clone())),
            None => self.reader.header(hash),
        }
    }
}
