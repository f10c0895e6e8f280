//! What the node itself remembers: the engine's log, pending transactions, addresses, bans.

use alloy_primitives::keccak256;
use imbl::{OrdMap, Vector};
use kette_chain::record::Restored;
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time};

#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    engine: Vector<Bytes>,
    /// By hash; with the order in which they came.
    pending: OrdMap<B256, (u64, Bytes)>,
    sequence: u64,
    addresses: OrdMap<PeerAddress, (Time, u32)>,
    bans: OrdMap<PeerId, Time>,
}

impl Lists {
    pub(super) fn engine(&mut self, entry: &Bytes) {
        self.engine.push_back(entry.clone());
    }

    pub(super) fn engine_truncate(&mut self) {
        self.engine.clear();
    }

    /// The hash of a transaction is the keccak256 of its EIP-2718 bytes. One that is there keeps its place.
    pub(super) fn pending(&mut self, bytes: &Bytes) {
        let hash = keccak256(bytes);
        if !self.pending.contains_key(&hash) {
            self.sequence += 1;
            self.pending.insert(hash, (self.sequence, bytes.clone()));
        }
    }

    pub(super) fn pending_done(&mut self, hashes: &[B256]) {
        for hash in hashes {
            self.pending.remove(hash);
        }
    }

    pub(super) fn is_pending(&self, transaction: B256) -> bool {
        self.pending.contains_key(&transaction)
    }

    pub(super) fn address(&mut self, address: PeerAddress, last_success: Time, failures: u32) {
        self.addresses.insert(address, (last_success, failures));
    }

    pub(super) fn address_gone(&mut self, address: &PeerAddress) {
        self.addresses.remove(address);
    }

    pub(super) fn ban(&mut self, peer: PeerId, until: Time) {
        self.bans.insert(peer, until);
    }

    pub(super) fn unban(&mut self, peer: &PeerId) {
        self.bans.remove(peer);
    }

    /// Gives back everything. A disk has no clock: bans that have ended are among it, and the node drops them.
    pub(super) fn restore(&self, restored: &mut Restored) {
        restored.engine = self.engine.iter().cloned().collect();
        let mut pending: Vec<_> = self.pending.values().cloned().collect();
        pending.sort_unstable_by_key(|(sequence, _)| *sequence);
        restored.pending = pending.into_iter().map(|(_, bytes)| bytes).collect();
        let mut addresses: Vec<_> = self.addresses.iter().map(|(a, (t, f))| (*a, *t, *f)).collect();
        // As a store gives them back, whose key is their text.
        addresses.sort_by_cached_key(|(address, ..)| address.to_string());
        restored.addresses = addresses;
        restored.bans = self.bans.iter().map(|(peer, until)| (*peer, *until)).collect();
    }
}
