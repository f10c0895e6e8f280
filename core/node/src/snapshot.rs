//! Makes the snapshot that RPC, monitor and metrics read.

use crate::{Counters, Node, Status, Syncing, View};
use kette_types::Time;
use std::sync::Arc;

impl Node {
    /// Returns a consistent snapshot.
    pub fn view(&self, now: Time) -> View {
        View {
            head: self.tree.head_block().clone(),
            finalized: self.tree.finalized(),
            recent: self.recent.clone(),
            pool: self.mempool.snapshot(),
            status: Arc::new(self.status(now)),
        }
    }

    /// Returns counters since start.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        self.peers.count_into(&mut counters);
        counters
    }

    /// Returns how many sessions are past their hello.
    pub fn peer_count(&self) -> usize {
        self.peers.count()
    }

    /// Tells whether a better chain is known than the one executed.
    pub fn is_syncing(&self) -> bool {
        self.sync.progress(self.ours()).is_some()
    }

    /// Returns what an operator must see, newest last.
    pub fn alarms(&self) -> &[String] {
        &self.alarms
    }

    /// Returns numbers and lists about the node.
    pub fn status(&self, now: Time) -> Status {
        let head = self.tree.head();
        let (finalized, finalized_hash) = self.tree.finalized();
        let syncing = self.sync.progress(self.ours()).map(|(starting, highest)| Syncing {
            starting,
            current: head.number,
            highest,
        });
        let counters = self.counters();
        let peers = &self.config.peers;
        Status {
            peer_id: peers.me,
            moniker: peers.moniker.clone(),
            region: peers.region.clone(),
            chain_id: self.spec.chain_id(),
            genesis: self.genesis,
            height: head.number,
            hash: head.hash(),
            state_root: head.state_root,
            timestamp: head.timestamp,
            weight: self.tree.head_weight(),
            finalized,
            finalized_hash,
            syncing,
            pending: self.mempool.pending_count(),
            queued: self.mempool.queued_count(),
            pool_bytes: self.mempool.bytes(),
            peers: self.peers.infos(now),
            known_addresses: self.peers.known_addresses(),
            engine: self.engine.status(),
            beneficiary: self.config.local.beneficiary,
            tree_blocks: self.tree.len(),
            clock_skew_ms: self.peers.clock_skew_ms(),
            counters,
            alarms: self.alarms.clone(),
        }
    }
}
