//! A naive disk: plain maps with a row per trie node, as the store's tables are, and what both can be asked.

use super::tree::Tree;
use crate::disk::Disk;
use alloy_primitives::keccak256;
use kette_chain::{ChainReader, Record, record::StoredBlock};
use kette_ledger::{NodeKey, NodeReader, StateCommit};
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time, U256};
use std::collections::{BTreeMap, BTreeSet};

/// Tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    /// In order of arrival.
    blocks: Vec<StoredBlock>,
    pub(super) canonical: Vec<B256>,
    finalized: (u64, B256),
    checkpoints: BTreeMap<u64, B256>,
    nodes: BTreeMap<NodeKey, (Bytes, Option<u64>)>,
    engine: Vec<Bytes>,
    pending: Vec<Bytes>,
    addresses: BTreeMap<String, (PeerAddress, Time, u32)>,
    bans: BTreeMap<PeerId, Time>,
}

/// What a disk answers to everything that can be asked of it.
#[derive(Debug, PartialEq)]
pub(super) struct Answers {
    checkpoint: (u64, B256),
    checkpoint_weight: U256,
    finalized: (u64, B256),
    tail: [Vec<StoredBlock>; 2],
    engine: Vec<Bytes>,
    pending: Vec<Bytes>,
    addresses: Vec<(PeerAddress, Time, u32)>,
    bans: Vec<(PeerId, Time)>,
    canonical: Vec<B256>,
    blocks: BTreeSet<B256>,
    nodes: BTreeMap<NodeKey, Bytes>,
}

impl Plain {
    pub(super) fn new(tree: &Tree) -> Self {
        let genesis = &tree.blocks[0];
        let hash = genesis.hash();
        let mut plain = Self { canonical: vec![hash], finalized: (0, hash), ..Self::default() };
        plain.apply(&Record::Block(genesis.clone()));
        let commit = tree.genesis_commit.clone();
        plain.apply(&Record::Checkpoint { number: 0, hash, commit });
        plain
    }

    pub(super) fn head(&self) -> B256 {
        *self.canonical.last().expect("block 0 is there")
    }

    /// Returns the newest checkpoint of the canonical chain.
    pub(super) fn checkpoint(&self) -> Option<(u64, B256)> {
        let canonical = |number: u64| self.canonical.get(number as usize);
        let mut newest = self.checkpoints.iter().rev();
        newest.find(|(n, hash)| canonical(**n) == Some(hash)).map(|(n, hash)| (*n, *hash))
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Block(block) => {
                if self.blocks.iter().all(|known| known.block.hash() != block.hash()) {
                    self.blocks.push(StoredBlock {
                        block: block.block.clone(),
                        senders: block.senders.clone(),
                        total_weight: block.total_weight,
                    });
                }
            }
            Record::Canonical { keep, added } => {
                let kept = *keep as usize + 1;
                if self.canonical.len() > kept {
                    self.canonical.truncate(kept);
                    self.abandon(keep + 1);
                }
                if self.finalized.0 > *keep {
                    self.finalized = (*keep, self.head());
                }
                self.canonical.extend(added);
            }
            Record::Final { number, hash, .. } => self.finalized = (*number, *hash),
            Record::Prune(hashes) => {
                let gone = |hash| hashes.contains(&hash) && !self.canonical.contains(&hash);
                self.blocks.retain(|stored| !gone(stored.block.hash()));
            }
            Record::Checkpoint { number, hash, commit } => self.settle(*number, *hash, commit),
            Record::PruneStates { below } => {
                self.nodes.retain(|_, (_, stale)| stale.is_none_or(|at| at > *below));
                let newest = self.checkpoints.range(..=*below).next_back().map(|(n, _)| *n);
                self.checkpoints.retain(|number, _| Some(*number) >= newest);
            }
            Record::Engine(entry) => self.engine.push(entry.clone()),
            Record::EngineTruncate => self.engine.clear(),
            Record::Sign(_) => {}
            Record::Pending(bytes) => {
                if !self.pending.contains(bytes) {
                    self.pending.push(bytes.clone());
                }
            }
            Record::PendingDone(hashes) => {
                self.pending.retain(|bytes| !hashes.contains(&keccak256(bytes)));
            }
            Record::Address { address, last_success, failures } => {
                let row = (*address, *last_success, *failures);
                self.addresses.insert(address.to_string(), row);
            }
            Record::AddressGone(address) => drop(self.addresses.remove(&address.to_string())),
            Record::Ban(peer, until) => drop(self.bans.insert(*peer, *until)),
            Record::Unban(peer) => drop(self.bans.remove(peer)),
        }
    }

    fn settle(&mut self, number: u64, hash: B256, commit: &StateCommit) {
        self.abandon(number);
        for key in &commit.stale {
            if let Some((_, stale)) = self.nodes.get_mut(key) {
                *stale = Some(number);
            }
        }
        for (key, node) in &commit.nodes {
            self.nodes.insert(key.clone(), (node.clone(), None));
        }
        self.checkpoints.insert(number, hash);
    }

    fn abandon(&mut self, from: u64) {
        for (_, stale) in self.nodes.values_mut() {
            *stale = stale.filter(|at| *at < from);
        }
        self.checkpoints.split_off(&from);
    }

    pub(super) fn answers(&self) -> Option<Answers> {
        let checkpoint = self.checkpoint()?;
        let mut above: Vec<_> = self.blocks.clone();
        above.retain(|stored| stored.block.header.number > checkpoint.0);
        // Stable: what came first stays first.
        above.sort_by_key(|stored| stored.block.header.number);
        let is_canonical = |stored: &StoredBlock| self.canonical.contains(&stored.block.hash());
        let (main, side) = above.into_iter().partition(is_canonical);
        let root = self.blocks.iter().find(|stored| stored.block.hash() == checkpoint.1)?;
        Some(Answers {
            checkpoint,
            checkpoint_weight: root.total_weight,
            finalized: self.finalized,
            tail: [main, side],
            engine: self.engine.clone(),
            pending: self.pending.clone(),
            addresses: self.addresses.values().copied().collect(),
            bans: self.bans.iter().map(|(peer, until)| (*peer, *until)).collect(),
            canonical: self.canonical.clone(),
            blocks: self.blocks.iter().map(|stored| stored.block.hash()).collect(),
            nodes: self.nodes.iter().map(|(key, (node, _))| (key.clone(), node.clone())).collect(),
        })
    }

    /// Returns the blocks whose states are whole.
    pub(super) fn readable(&self) -> impl Iterator<Item = B256> {
        self.checkpoints.values().copied()
    }
}

impl Answers {
    /// Asks a disk for everything that lies in the tree; `None` if it has no state to start from.
    pub(super) fn of(disk: &Disk, tree: &Tree, keys: &BTreeSet<NodeKey>) -> Option<Self> {
        let restored = disk.restored().ok()?;
        let canonical = (0..).map_while(|number| disk.canonical(number).unwrap()).collect();
        let mut blocks = BTreeSet::new();
        for block in &tree.blocks {
            let hash = block.hash();
            let header = disk.header(hash).unwrap();
            assert_eq!(disk.body(hash).unwrap().is_some(), header.is_some());
            let weight = disk.total_weight(hash).unwrap();
            assert_eq!(weight, header.is_some().then_some(block.total_weight));
            if let Some(header) = header {
                assert_eq!(header, block.block.header);
                blocks.insert(hash);
            }
        }
        let nodes = keys.iter().filter_map(|key| Some((key.clone(), disk.node(key).unwrap()?)));
        Some(Self {
            checkpoint: restored.checkpoint,
            checkpoint_weight: restored.checkpoint_weight,
            finalized: restored.finalized,
            tail: [restored.canonical, restored.side],
            engine: restored.engine,
            pending: restored.pending,
            addresses: restored.addresses,
            bans: restored.bans,
            canonical,
            blocks,
            nodes: nodes.collect(),
        })
    }
}
