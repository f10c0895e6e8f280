//! Follows blocks while the load goes on, so that places become free: what is in a block no longer waits.

use super::{endpoint::Endpoint, offer::Desk, watch::Index};
use alloy_primitives::B256;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// How far the chain is with the load, for pacing only: the accounts are made from the chain at the end.
#[derive(Debug)]
pub struct Follower {
    endpoints: Vec<Endpoint>,
    index: Index,
    desk: Arc<Desk>,
    included: Arc<AtomicU64>,
    counted: Vec<bool>,
    known: BTreeSet<B256>,
    missed: BTreeSet<(usize, B256)>,
}

/// Blocks that could not be read and are tried again.
const MISSED_MAX: usize = 64;

impl Follower {
    /// Prepares a follower. `included` counts transactions of the load in blocks.
    pub fn new(
        endpoints: Vec<Endpoint>,
        index: Index,
        desk: Arc<Desk>,
        included: Arc<AtomicU64>,
    ) -> Self {
        let counted = vec![false; index.len()];
        let (known, missed) = (BTreeSet::new(), BTreeSet::new());
        Self { endpoints, index, desk, included, counted, known, missed }
    }

    /// Follows until nobody tells of blocks any more.
    pub async fn run(mut self, mut heads: mpsc::Receiver<(usize, B256)>) {
        while let Some((node, hash)) = heads.recv().await {
            if !self.known.insert(hash) {
                continue;
            }
            let mut wanted = std::mem::take(&mut self.missed);
            wanted.insert((node, hash));
            for (node, hash) in wanted {
                match self.endpoints[node].block(hash).await {
                    Ok(Some(block)) => self.count(&block.transactions),
                    // A node that just went down: another may tell of the next block, and of this one's successors.
                    _ if self.missed.len() < MISSED_MAX => {
                        self.missed.insert((node, hash));
                    }
                    _ => {}
                }
            }
            self.desk.block.notify_waiters();
        }
    }

    fn count(&mut self, transactions: &[B256]) {
        let mut fresh = 0;
        for hash in transactions {
            let Some(place) = self.index.get(hash) else { continue };
            let counted = &mut self.counted[*place as usize];
            // One in two branches frees one place. Pairs in conflict hold none.
            if !*counted && self.desk.entries[*place as usize].pair.is_none() {
                fresh += 1;
            }
            *counted = true;
        }
        self.desk.places.add_permits(fresh);
        self.included.fetch_add(fresh as u64, Ordering::Relaxed);
    }
}
