//! Reading the stored chain: what the tree no longer keeps in memory.

use kette_ledger::ReadError;
use kette_types::{B256, Body, SealedHeader, U256};
use std::{collections::BTreeMap, sync::RwLock};

/// Reads blocks that were written. Implemented by the store and by [`MemoryChain`].
///
/// Every method's error means that the host's store failed; what is absent is `Ok(None)`.
pub trait ChainReader: Send + Sync {
    /// Returns a header by hash, on whatever branch.
    ///
    /// # Errors
    /// If the store fails.
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError>;
    /// Returns a body by hash, on whatever branch.
    ///
    /// # Errors
    /// If the store fails.
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError>;
    /// Returns the hash of the canonical block with this number.
    ///
    /// # Errors
    /// If the store fails.
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError>;
    /// Returns the total weight of a block's branch.
    ///
    /// # Errors
    /// If the store fails.
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError>;
}

/// A chain in plain memory, for the simulator and tests. Takes the records that a node persists.
#[derive(Debug, Default)]
pub struct MemoryChain {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blocks: BTreeMap<B256, (SealedHeader, Body, U256)>,
    canonical: BTreeMap<u64, B256>,
}

impl MemoryChain {
    /// Performs one batch of records.
    pub fn apply(&self, batch: &[crate::Record]) {
        let mut inner = self.inner.write().expect("no writer panics");
        for record in batch {
            match record {
                crate::Record::Block(block) => {
                    let entry =
                        (block.block.header.clone(), block.block.body.clone(), block.total_weight);
                    inner.blocks.insert(block.hash(), entry);
                    if block.number() == 0 {
                        // Nothing lies below genesis that a record could keep.
                        inner.canonical.insert(0, block.hash());
                    }
                }
                crate::Record::Canonical { keep, added } => {
                    inner.canonical.split_off(&(keep + 1));
                    inner.canonical.extend((keep + 1..).zip(added.iter().copied()));
                }
                crate::Record::Prune(hashes) => {
                    for hash in hashes {
                        inner.blocks.remove(hash);
                    }
                }
                _ => {}
            }
        }
    }
}

impl ChainReader for MemoryChain {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        Ok(self.inner.read().expect("no writer panics").blocks.get(&hash).map(|b| b.0.clone()))
    }
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError> {
        Ok(self.inner.read().expect("no writer panics").blocks.get(&hash).map(|b| b.1.clone()))
    }
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        Ok(self.inner.read().expect("no writer panics").canonical.get(&number).copied())
    }
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError> {
        Ok(self.inner.read().expect("no writer panics").blocks.get(&hash).map(|b| b.2))
    }
}
