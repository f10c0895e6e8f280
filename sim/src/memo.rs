//! Results that all nodes of one run share: each block is executed once, each signature recovered once.
//!
//! Both are functions of what their key commits to, so sharing them changes nothing but the cost. The states kept here
//! descend from a genesis state that lies wholly in memory: they never read any node's disk.

use alloy_primitives::Keccak256;
use kette_chain::ExecutedBlock;
use kette_types::{
    Address, B256, Transaction,
    bft::{PublicKey, Signature},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// Shared results.
#[derive(Debug)]
pub struct Memo {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blocks: BTreeMap<B256, Arc<ExecutedBlock>>,
    senders: BTreeMap<B256, Option<Address>>,
    /// Judged signatures and proofs of validators, by what was judged.
    signatures: BTreeMap<B256, bool>,
}

/// Judged signatures that are remembered.
const SIGNATURES_MAX: usize = 65_536;

impl Memo {
    /// Makes a memo that knows block 0.
    pub fn new(genesis: Arc<ExecutedBlock>) -> Self {
        let blocks = BTreeMap::from([(genesis.hash(), genesis)]);
        Self { inner: Mutex::new(Inner { blocks, ..Inner::default() }) }
    }

    /// Returns an executed block.
    pub fn block(&self, hash: B256) -> Option<Arc<ExecutedBlock>> {
        self.lock().blocks.get(&hash).cloned()
    }

    /// Returns who signed these transactions, recovering what was not seen before.
    pub fn recover(&self, transactions: &[Transaction]) -> Vec<Option<Address>> {
        let mut inner = self.lock();
        transactions
            .iter()
            .map(|transaction| {
                let one = std::slice::from_ref(transaction);
                // The hash covers the signature.
                *inner
                    .senders
                    .entry(*transaction.tx_hash())
                    .or_insert_with(|| kette_ledger::recover(one).pop().flatten())
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }
}

impl kette_node::Memo for Memo {
    fn get(&self, hash: B256) -> Option<Arc<ExecutedBlock>> {
        self.block(hash)
    }

    fn put(&self, block: &Arc<ExecutedBlock>) {
        let mut inner = self.lock();
        if inner.blocks.contains_key(&block.block.header.parent_hash) {
            inner.blocks.entry(block.hash()).or_insert_with(|| block.clone());
        }
    }
}

impl kette_consensus::bft::SignatureMemo for Memo {
    fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
        judge: &dyn Fn() -> bool,
    ) -> bool {
        self.is_right(&[b"ed25519", key.0.as_slice(), message, signature.as_slice()], judge)
    }

    fn proves(&self, key: &B256, input: &B256, proof: &[u8], judge: &dyn Fn() -> bool) -> bool {
        self.is_right(&[b"ecvrf", key.as_slice(), input.as_slice(), proof], judge)
    }
}

impl Memo {
    /// Judges a claim once: everything that the verdict depends on.
    fn is_right(&self, claim: &[&[u8]], judge: &dyn Fn() -> bool) -> bool {
        let mut hasher = Keccak256::new();
        for part in claim {
            // With its length, so that no two claims read the same.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let name = hasher.finalize();
        let mut inner = self.lock();
        if let Some(known) = inner.signatures.get(&name) {
            return *known;
        }
        if inner.signatures.len() >= SIGNATURES_MAX {
            inner.signatures.clear();
        }
        let judged = judge();
        inner.signatures.insert(name, judged);
        judged
    }
}
