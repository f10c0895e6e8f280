//! Everything that lies on a disk at one moment, as a value that is cheap to copy.

use super::{
    lists::Lists,
    shelf::{Shelf, Shelved},
    states::States,
};
use imbl::{OrdSet, Vector};
use kette_chain::{Record, record::Restored};
use kette_ledger::NodeKey;
use kette_types::{B256, Bytes};
use std::{borrow::Borrow, cmp::Ordering, sync::Arc};

/// A disk's content. A copy shares everything with its original until one of them changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    blocks: OrdSet<Kept>,
    arrivals: u64,
    /// By number, from block 0 on.
    canonical: Vector<Arc<Shelved>>,
    finalized: (u64, B256),
    /// What was written with the newest final block.
    justification: Option<Bytes>,
    states: States,
    lists: Lists,
}

impl Image {
    /// Makes the content of a new disk: block 0 and its state.
    pub(super) fn new(genesis: Arc<Shelved>, state: Arc<super::shelf::Layer>) -> Self {
        let mut image = Self { finalized: (genesis.number(), genesis.hash), ..Self::default() };
        image.insert(genesis.clone());
        image.canonical.push_back(genesis);
        image.states.checkpoint(state);
        image
    }

    /// Returns the content after a batch of records, or why a store would refuse it.
    pub(super) fn after(&self, batch: &[Record], shelf: &mut Shelf) -> Result<Self, String> {
        let mut next = self.clone();
        for record in batch {
            next.apply(record, shelf)?;
        }
        Ok(next)
    }

    fn apply(&mut self, record: &Record, shelf: &mut Shelf) -> Result<(), String> {
        match record {
            Record::Block(block) => self.insert(shelf.block(block)),
            Record::Canonical { keep, added } => self.switch(*keep, added)?,
            Record::Final { number, hash, justification } => {
                self.finalized = (*number, *hash);
                self.justification = Some(justification.clone()).filter(|proof| !proof.is_empty());
            }
            Record::Prune(hashes) => hashes.iter().for_each(|hash| self.remove(*hash)),
            Record::Checkpoint { number, hash, commit } => {
                self.block(*hash).ok_or_else(|| format!("block {hash} was never written"))?;
                self.states.checkpoint(shelf.layer(*number, *hash, commit));
            }
            Record::PruneStates { below } => self.states.prune(*below),
            Record::Engine(entry) => self.lists.engine(entry),
            Record::EngineTruncate => self.lists.engine_truncate(),
            // It has a place of its own, beside the database.
            Record::Sign(_) => {}
            Record::Pending(bytes) => self.lists.pending(bytes),
            Record::PendingDone(hashes) => self.lists.pending_done(hashes),
            Record::Address { address, last_success, failures } => {
                self.lists.address(*address, *last_success, *failures);
            }
            Record::AddressGone(address) => self.lists.address_gone(address),
            Record::Ban(peer, until) => self.lists.ban(*peer, *until),
            Record::Unban(peer) => self.lists.unban(peer),
        }
        Ok(())
    }

    /// Writes a block that is not there yet.
    fn insert(&mut self, block: Arc<Shelved>) {
        if !self.blocks.contains(&block.hash) {
            self.arrivals += 1;
            self.blocks.insert(Kept { arrival: self.arrivals, block });
        }
    }

    /// Removes a side-branch block. A canonical one stays, whatever the caller says.
    fn remove(&mut self, hash: B256) {
        if self.block(hash).is_some_and(|block| !self.is_canonical(block)) {
            self.blocks.remove(&hash);
        }
    }

    /// Forgets the numbers above `keep`, then appends.
    fn switch(&mut self, keep: u64, added: &[B256]) -> Result<(), String> {
        let length = self.canonical.len();
        let kept = index(keep).saturating_add(1);
        if kept < length {
            self.canonical.truncate(kept);
            self.states.abandon(keep + 1);
        }
        let unlinked = |hash| format!("block {hash} does not extend the canonical chain at {keep}");
        let last = self.canonical.get(index(keep)).ok_or_else(|| unlinked(B256::ZERO))?;
        let kept = last.hash;
        let mut parent = kept;
        for (number, hash) in (keep.saturating_add(1)..).zip(added) {
            let block = self.block(*hash).ok_or_else(|| unlinked(*hash))?.clone();
            if block.number() != number || block.stored.block.header.parent_hash != parent {
                return Err(unlinked(*hash));
            }
            self.canonical.push_back(block);
            parent = *hash;
        }
        if self.finalized.0 > keep {
            self.finalized = (keep, kept);
            self.justification = None;
        }
        Ok(())
    }

    pub(super) fn block(&self, hash: B256) -> Option<&Arc<Shelved>> {
        self.blocks.get(&hash).map(|kept| &kept.block)
    }

    pub(super) fn canonical(&self, number: u64) -> Option<B256> {
        self.canonical.get(index(number)).map(|block| block.hash)
    }

    fn is_canonical(&self, block: &Shelved) -> bool {
        self.canonical(block.number()) == Some(block.hash)
    }

    pub(super) fn node(&self, key: &NodeKey) -> Option<Bytes> {
        self.states.node(key)
    }

    pub(super) fn code(&self, hash: B256) -> Option<Bytes> {
        self.states.code(hash)
    }

    pub(super) fn is_pending(&self, transaction: B256) -> bool {
        self.lists.is_pending(transaction)
    }

    /// Finds what a node needs at start.
    pub(super) fn restored(&self) -> Result<Restored, String> {
        let checkpoint = self
            .states
            .checkpoints()
            .find(|(number, hash)| self.canonical(*number) == Some(*hash))
            .ok_or("no state that the canonical chain contains")?;
        let root = self.block(checkpoint.1).ok_or("the block of the last checkpoint is missing")?;
        let above = self.canonical.iter().skip(index(checkpoint.0).saturating_add(1));
        let mut side: Vec<&Kept> = self
            .blocks
            .iter()
            .filter(|kept| kept.block.number() > checkpoint.0 && !self.is_canonical(&kept.block))
            .collect();
        side.sort_unstable_by_key(|kept| (kept.block.number(), kept.arrival));
        let mut restored = Restored {
            checkpoint,
            checkpoint_weight: root.stored.total_weight,
            finalized: self.finalized,
            justification: self.justification.clone(),
            canonical: above.map(|block| block.stored.clone()).collect(),
            side: side.into_iter().map(|kept| kept.block.stored.clone()).collect(),
            ..Restored::default()
        };
        self.lists.restore(&mut restored);
        Ok(restored)
    }
}

/// A block that is on the disk. Ordered by its hash alone.
#[derive(Clone, Debug)]
struct Kept {
    block: Arc<Shelved>,
    arrival: u64,
}

impl Borrow<B256> for Kept {
    fn borrow(&self) -> &B256 {
        &self.block.hash
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.block.hash == other.block.hash
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.block.hash.cmp(&other.block.hash)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
