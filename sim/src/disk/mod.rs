//! A virtual disk: what a node wrote, what of it is durable, and what a crash leaves.
//!
//! It means the same by a record as `io/store` does (the contract suite in `kette/tests` holds both to it), and gives
//! back only what a store could: blocks with senders and weights, trie nodes, lists; never a state in memory.

mod image;
mod lists;
mod shelf;
mod signed;
mod states;
#[cfg(test)]
mod tests;

use crate::{rng::ChaCha8Rng, scenario::step::DiskFault};
use image::Image;
use kette_chain::{ChainReader, ExecutedBlock, Record, record::Restored};
use kette_ledger::{NodeKey, NodeReader, ReadError, StateCommit};
use kette_types::{B256, Body, Bytes, SealedHeader, U256, bft::SignState};
use rand::RngExt;
use shelf::{Shelf, Shelved};
use signed::Signed;
use std::sync::{Arc, Mutex, MutexGuard};

/// What survives a crash, and what does not. Readable through `&self`, as a store is.
#[derive(Debug)]
pub struct Disk {
    /// Block 0 and nothing else.
    blank: Image,
    /// What this disk shares with others.
    shelf: Arc<Mutex<Shelf>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    durable: Image,
    /// What is there after each batch that is not durable, oldest first.
    unsynced: Vec<Image>,
    /// What its validator signed last: a file beside the database.
    signed: Signed,
    faults: Vec<DiskFault>,
    excused: bool,
    writes: u64,
    wipes: u32,
    rng: ChaCha8Rng,
}

/// A disk refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No space: the node must stop.
    #[error("no space left on the virtual disk")]
    Full,
    /// What is there is not what was written: the node refuses to start.
    #[error("the virtual disk is damaged: {0}")]
    Damaged(String),
    /// A record contradicts what is stored; nothing of its batch was written.
    #[error("the virtual disk refuses a record: {0}")]
    Refused(String),
}

/// What an unsynced write leaves after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not synced is gone.
    Unsynced,
    /// The first some of the unsynced batches survive, as in a write-ahead log whose tail is torn.
    Torn,
}

/// One read in so many finds damage while the disk rots.
const ROTTEN_READ: u32 = 200;
/// One start in so many finds damage while the disk rots.
const ROTTEN_START: u32 = 4;
/// Points at which the unsynced tail may be torn, at most; beyond that every second one is forgotten.
const UNSYNCED_MAX: usize = 64;

impl Disk {
    /// Makes a disk that holds block 0.
    pub fn new(genesis: &Arc<ExecutedBlock>, commit: &Arc<StateCommit>, rng: ChaCha8Rng) -> Self {
        let mut shelf = Shelf::default();
        let state = shelf.layer(genesis.number(), genesis.hash(), commit);
        let blank = Image::new(shelf.block(genesis), state);
        Self::holding(&blank, blank.clone(), Arc::new(Mutex::new(shelf)), rng)
    }

    /// Makes a disk that holds block 0 of this one. Both keep one copy of what both hold.
    pub fn beside(&self, rng: ChaCha8Rng) -> Self {
        Self::holding(&self.blank, self.blank.clone(), self.shelf.clone(), rng)
    }

    /// Returns a new disk that holds block 0 of this one.
    pub fn blank(&self) -> Self {
        self.beside(self.lock().rng.clone())
    }

    /// Returns a durable copy as it would be found after a crash now, for checkers that restart nodes aside.
    pub fn fork(&self) -> Self {
        let inner = self.lock();
        let durable = inner.durable.clone();
        let fork = Self::holding(&self.blank, durable, self.shelf.clone(), inner.rng.clone());
        fork.lock().signed = inner.signed.durable();
        fork
    }

    fn holding(blank: &Image, durable: Image, shelf: Arc<Mutex<Shelf>>, rng: ChaCha8Rng) -> Self {
        let inner = Inner {
            durable,
            unsynced: Vec::new(),
            signed: Signed::default(),
            faults: Vec::new(),
            excused: false,
            writes: 0,
            wipes: 0,
            rng,
        };
        Self { blank: blank.clone(), shelf, inner: Mutex::new(inner) }
    }

    /// Writes one batch: readable at once, durable after [`Self::sync`].
    ///
    /// # Errors
    /// If the disk is full, or a record contradicts what is stored: nothing of the batch is written then. A signature
    /// that goes back is refused as well.
    pub fn write(&self, batch: &[Record]) -> Result<(), DiskError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        if inner.has(DiskFault::Full) {
            return Err(DiskError::Full);
        }
        let mut shelf = self.shelf.lock().expect("no holder panics");
        let next = inner.current().after(batch, &mut shelf).map_err(DiskError::Refused)?;
        inner.signed.write(batch).map_err(|error| DiskError::Refused(error.to_string()))?;
        inner.writes += 1;
        if inner.unsynced.len() >= UNSYNCED_MAX {
            let mut even = false;
            inner.unsynced.retain(|_| {
                even = !even;
                !even
            });
        }
        inner.unsynced.push(next);
        Ok(())
    }

    /// Makes everything written so far durable (unless the disk lies, see [`DiskFault::LostFsync`]).
    pub fn sync(&self) {
        let mut inner = self.lock();
        if inner.unsynced.is_empty() {
            return;
        }
        if inner.has(DiskFault::LostFsync) {
            inner.excused = true;
            return;
        }
        let tail = std::mem::take(&mut inner.unsynced);
        inner.durable = tail.into_iter().next_back().expect("looked above");
        inner.signed.sync();
    }

    /// Loses what a crash loses. What is readable afterwards is what is durable.
    pub fn crash(&self, loss: Loss) {
        let mut inner = self.lock();
        let mut tail = std::mem::take(&mut inner.unsynced);
        let mut whole = false;
        if loss == Loss::Torn && !tail.is_empty() {
            let survive = inner.rng.random_range(0..=tail.len());
            whole = survive == tail.len();
            tail.truncate(survive);
            if let Some(last) = tail.pop() {
                inner.durable = last;
            }
        }
        // It is written after the batch is durable: it may lack what the batch has, never the other way round.
        if inner.signed.is_unsynced() {
            let kept = whole && inner.rng.random_bool(0.5);
            inner.signed.crash(kept);
        }
    }

    /// Returns what the validator signed last, as a start finds it.
    pub fn signed(&self) -> Option<SignState> {
        self.lock().signed.last().cloned()
    }

    /// Returns what the validator signed last as a crash now would leave it.
    pub fn signed_durably(&self) -> Option<SignState> {
        self.lock().signed.durable().last().cloned()
    }

    /// Replaces what the validator signed last: by nothing, as if the file was lost, or by an older one, as if it was
    /// restored from a backup. What its node then signs twice is excused.
    pub fn set_signed(&self, state: Option<SignState>) {
        let mut inner = self.lock();
        inner.excused = true;
        inner.signed = Signed::holding(state);
    }

    /// Loses everything but block 0.
    pub fn wipe(&self) {
        let mut inner = self.lock();
        inner.wipes += 1;
        inner.unsynced = Vec::new();
        inner.signed = Signed::default();
        inner.durable = self.blank.clone();
    }

    /// Switches a fault on or off. [`DiskFault::Slow`] is the world's business: here it only is remembered.
    pub fn set_fault(&self, fault: DiskFault, on: bool) {
        let mut inner = self.lock();
        inner.faults.retain(|other| *other != fault);
        if on {
            inner.faults.push(fault);
        }
    }

    /// Tells whether a fault is on.
    pub fn has_fault(&self, fault: DiskFault) -> bool {
        self.lock().has(fault)
    }

    /// Tells whether this disk ever lied or rotted: what its node then forgets is excused.
    pub fn is_excused(&self) -> bool {
        self.lock().excused
    }

    /// Finds what a node needs at start.
    ///
    /// # Errors
    /// If what is there is damaged.
    pub fn restored(&self) -> Result<Restored, DiskError> {
        let mut inner = self.lock();
        if inner.rots(ROTTEN_START) {
            return Err(DiskError::Damaged("a checksum does not match".to_owned()));
        }
        inner.current().restored().map_err(DiskError::Damaged)
    }

    /// Tells whether a block is durable: it would be there after a crash now.
    pub fn is_durable(&self, block: B256) -> bool {
        self.lock().durable.block(block).is_some()
    }

    /// Tells whether a client's transaction is durable.
    pub fn is_pending_durable(&self, transaction: B256) -> bool {
        self.lock().durable.is_pending(transaction)
    }

    /// Returns how many batches were written.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Returns how often it was emptied, so that a checker does not look for what was there.
    pub fn wipes(&self) -> u32 {
        self.lock().wipes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    /// Reads a block, or finds that it is damaged.
    fn block(&self, hash: B256) -> Result<Option<Arc<Shelved>>, ReadError> {
        let mut inner = self.lock();
        let found = inner.current().block(hash).cloned();
        if found.is_some() && inner.rots(ROTTEN_READ) {
            return Err(ReadError::Store(format!("block {hash} is damaged")));
        }
        Ok(found)
    }
}

impl Inner {
    /// What is readable.
    fn current(&self) -> &Image {
        self.unsynced.last().unwrap_or(&self.durable)
    }

    fn has(&self, fault: DiskFault) -> bool {
        self.faults.contains(&fault)
    }

    /// Draws whether something is found damaged, once in so many times.
    fn rots(&mut self, once_in: u32) -> bool {
        let rots = self.has(DiskFault::BitRot) && self.rng.random_range(0..once_in) == 0;
        self.excused |= rots;
        rots
    }
}

impl ChainReader for Disk {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        Ok(self.block(hash)?.map(|block| block.stored.block.header.clone()))
    }
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError> {
        Ok(self.block(hash)?.map(|block| block.stored.block.body.clone()))
    }
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        Ok(self.lock().current().canonical(number))
    }
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError> {
        Ok(self.lock().current().block(hash).map(|block| block.stored.total_weight))
    }
}

impl NodeReader for Disk {
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        let mut inner = self.lock();
        let found = inner.current().node(key);
        if found.is_some() && inner.rots(ROTTEN_READ) {
            return Err(ReadError::Damaged(key.hash));
        }
        Ok(found)
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError> {
        let mut inner = self.lock();
        let found = inner.current().code(hash);
        if found.is_some() && inner.rots(ROTTEN_READ) {
            return Err(ReadError::Damaged(hash));
        }
        Ok(found)
    }
}
