//! A database in memory: takes the records that a node persists and finds again what a restart needs.

use kette_chain::{
    ChainReader, ExecutedBlock, MemoryChain, Record,
    record::{Restored, StoredBlock},
};
use kette_ledger::{NodeKey, NodeReader, ReadError, StateCommit};
use kette_types::{
    B256, Body, Bytes, PeerAddress, PeerId, SealedHeader, Time, Transaction, U256, bft::SignState,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What survives a crash.
#[derive(Debug, Default)]
pub(super) struct Disk {
    chain: MemoryChain,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    /// Trie nodes, and the checkpoint that replaced each.
    nodes: BTreeMap<NodeKey, (Bytes, Option<u64>)>,
    codes: BTreeMap<B256, Bytes>,
    blocks: BTreeMap<B256, StoredBlock>,
    checkpoints: BTreeMap<u64, B256>,
    finalized: (u64, B256),
    justification: Option<Bytes>,
    signed: Option<SignState>,
    engine: Vec<Bytes>,
    pending: Vec<(B256, Bytes)>,
    addresses: BTreeMap<PeerAddress, (Time, u32)>,
    bans: BTreeMap<PeerId, Time>,
    writes: usize,
}

impl Disk {
    /// Makes a database that holds block 0.
    pub(super) fn new(genesis: &Arc<ExecutedBlock>, commit: StateCommit) -> Self {
        let (number, hash) = (genesis.number(), genesis.hash());
        let disk = Self::default();
        disk.apply(&[
            Record::Block(genesis.clone()),
            Record::Checkpoint { number, hash, commit: Arc::new(commit) },
        ]);
        disk.rest.lock().unwrap().finalized = (number, hash);
        disk
    }

    /// Writes one batch.
    pub(super) fn apply(&self, batch: &[Record]) {
        assert!(!batch.is_empty(), "an empty write");
        self.chain.apply(batch);
        let mut rest = self.rest.lock().unwrap();
        rest.writes += 1;
        for record in batch {
            rest.apply(record, &self.chain);
        }
    }

    /// Returns how many batches were written.
    pub(super) fn writes(&self) -> usize {
        self.rest.lock().unwrap().writes
    }

    /// Returns what was signed last.
    pub(super) fn signed(&self) -> Option<SignState> {
        self.rest.lock().unwrap().signed.clone()
    }

    /// Returns how many transactions of clients are kept.
    pub(super) fn pending(&self) -> usize {
        self.rest.lock().unwrap().pending.len()
    }

    /// Returns number and hash of the newest checkpoint that is canonical.
    pub(super) fn checkpoint(&self) -> (u64, B256) {
        let rest = self.rest.lock().unwrap();
        let canonical = |number| self.chain.canonical(number).unwrap();
        let newest = rest.checkpoints.iter().rev().find(|(n, h)| canonical(**n) == Some(**h));
        newest.map(|(number, hash)| (*number, *hash)).expect("genesis is a checkpoint")
    }

    /// Finds what a node needs at start.
    pub(super) fn restored(&self) -> Restored {
        let checkpoint = self.checkpoint();
        let rest = self.rest.lock().unwrap();
        let canonical = |number| self.chain.canonical(number).unwrap();
        let mut blocks: Vec<_> = rest.blocks.values().collect();
        blocks.sort_by_key(|stored| (stored.block.header.number, stored.block.hash()));
        let above = blocks.into_iter().filter(|s| s.block.header.number > checkpoint.0).cloned();
        let (main, side): (Vec<_>, Vec<_>) =
            above.partition(|s| canonical(s.block.header.number) == Some(s.block.hash()));
        assert!(
            (checkpoint.0 + 1..).zip(&main).all(|(n, s)| s.block.header.number == n),
            "the canonical chain has a hole"
        );
        Restored {
            checkpoint,
            checkpoint_weight: rest.blocks[&checkpoint.1].total_weight,
            finalized: rest.finalized,
            justification: rest.justification.clone(),
            canonical: main,
            side,
            engine: rest.engine.clone(),
            pending: rest.pending.iter().map(|(_, bytes)| bytes.clone()).collect(),
            addresses: rest.addresses.iter().map(|(a, (t, f))| (*a, *t, *f)).collect(),
            bans: rest.bans.iter().map(|(peer, until)| (*peer, *until)).collect(),
        }
    }
}

impl Rest {
    fn apply(&mut self, record: &Record, chain: &MemoryChain) {
        match record {
            Record::Block(block) => {
                let stored = StoredBlock {
                    block: block.block.clone(),
                    senders: block.senders.clone(),
                    total_weight: block.total_weight,
                };
                self.blocks.insert(block.hash(), stored);
            }
            Record::Canonical { keep, added } => {
                let mut parent = chain.canonical(*keep).unwrap().expect("what is kept is there");
                for hash in added {
                    let header = &self.blocks.get(hash).expect("written before").block.header;
                    assert_eq!(header.parent_hash, parent, "the canonical chain is linked");
                    parent = *hash;
                }
                self.abandon(*keep);
                if self.finalized.0 > *keep {
                    self.finalized = (*keep, chain.canonical(*keep).unwrap().expect("kept"));
                    self.justification = None;
                }
            }
            Record::Final { number, hash, justification } => {
                self.justification = Some(justification.clone()).filter(|j| !j.is_empty());
                assert_eq!(chain.canonical(*number).unwrap(), Some(*hash), "final and canonical");
                self.finalized = (*number, *hash);
            }
            Record::Prune(hashes) => {
                for hash in hashes {
                    if let Some(gone) = self.blocks.remove(hash) {
                        let number = gone.block.header.number;
                        let canonical = chain.canonical(number).unwrap();
                        assert_ne!(canonical, Some(*hash), "a canonical block is pruned");
                    }
                }
            }
            Record::Checkpoint { number, hash, commit } => {
                self.abandon(number.saturating_sub(1));
                self.checkpoint(*number, *hash, commit);
            }
            Record::PruneStates { below } => {
                self.nodes.retain(|_, (_, stale)| stale.is_none_or(|at| at > *below));
                let newest = self.checkpoints.range(..=*below).next_back().map(|(n, _)| *n);
                self.checkpoints.retain(|number, _| Some(*number) >= newest);
            }
            Record::Engine(entry) => self.engine.push(entry.clone()),
            Record::EngineTruncate => self.engine.clear(),
            Record::Sign(state) => {
                let before = self.signed.replace((**state).clone());
                assert!(before.is_none_or(|before| before.allows(state).is_ok()), "signs again");
            }
            Record::Pending(bytes) => {
                use alloy_eips::eip2718::Decodable2718;
                let hash = *Transaction::decode_2718_exact(bytes).unwrap().tx_hash();
                self.pending.push((hash, bytes.clone()));
            }
            Record::PendingDone(hashes) => self.pending.retain(|(hash, _)| !hashes.contains(hash)),
            Record::Address { address, last_success, failures } => {
                self.addresses.insert(*address, (*last_success, *failures));
            }
            Record::AddressGone(address) => drop(self.addresses.remove(address)),
            Record::Ban(peer, until) => drop(self.bans.insert(*peer, *until)),
            Record::Unban(peer) => drop(self.bans.remove(peer)),
        }
    }

    fn checkpoint(&mut self, number: u64, hash: B256, commit: &StateCommit) {
        assert!(self.blocks.contains_key(&hash), "the block of a checkpoint is written");
        assert_eq!(self.blocks[&hash].block.header.state_root, commit.root);
        for key in &commit.stale {
            if let Some((_, stale)) = self.nodes.get_mut(key) {
                *stale = Some(number);
            }
        }
        for (key, node) in &commit.nodes {
            self.nodes.insert(key.clone(), (node.clone(), None));
        }
        self.codes.extend(commit.codes.iter().cloned());
        self.checkpoints.insert(number, hash);
    }

    /// What abandoned checkpoints made stale is live again.
    fn abandon(&mut self, above: u64) {
        for (_, stale) in self.nodes.values_mut() {
            *stale = stale.filter(|at| *at <= above);
        }
        self.checkpoints.split_off(&(above + 1));
    }
}

impl ChainReader for Disk {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        self.chain.header(hash)
    }
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError> {
        self.chain.body(hash)
    }
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        self.chain.canonical(number)
    }
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError> {
        self.chain.total_weight(hash)
    }
}

impl NodeReader for Disk {
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        Ok(self.rest.lock().unwrap().nodes.get(key).map(|(node, _)| node.clone()))
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError> {
        Ok(self.rest.lock().unwrap().codes.get(&hash).cloned())
    }
}
