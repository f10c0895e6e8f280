//! The pool as a value: shared with it until one of them changes, so that a snapshot costs nothing.

use super::queue::{Entry, Queue};
use imbl::OrdMap;
use kette_types::{Address, B256, Recovered, Transaction};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// A snapshot of the pool. Cloning is O(1); it never changes.
#[derive(Clone, Debug, Default)]
pub struct PoolView {
    pub(super) txs: OrdMap<B256, Arc<Entry>>,
    pub(super) senders: OrdMap<Address, Queue>,
    pub(super) executable: usize,
    pub(super) bytes: usize,
    /// The head's gas limit: what needs more never fits a block.
    pub(super) gas_limit: u64,
}

/// A place in the order (sender, nonce) of all executable transactions; see [`PoolView::page`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    sender: Address,
    nonce: u64,
}

impl PoolView {
    /// Returns how many transactions there are.
    pub fn len(&self) -> usize {
        self.txs.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.txs.is_empty()
    }

    /// Returns the bytes of all EIP-2718 encodings.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many have no missing nonce before them.
    pub const fn pending_count(&self) -> usize {
        self.executable
    }

    /// Returns how many wait for an earlier nonce.
    pub fn queued_count(&self) -> usize {
        self.txs.len() - self.executable
    }

    /// Tells whether a transaction is in the pool.
    pub fn contains(&self, hash: B256) -> bool {
        self.txs.contains_key(&hash)
    }

    /// Returns a transaction.
    pub fn get(&self, hash: B256) -> Option<Arc<Recovered<Transaction>>> {
        self.txs.get(&hash).map(|entry| entry.tx.clone())
    }

    /// Returns who signed a transaction, so that nobody recovers it twice.
    pub fn sender(&self, hash: B256) -> Option<Address> {
        self.txs.get(&hash).map(|entry| entry.sender())
    }

    /// Returns all transactions, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Recovered<Transaction>>> {
        self.txs.values().map(|entry| &entry.tx)
    }

    /// Returns all hashes, ascending.
    pub fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        self.txs.keys().copied()
    }

    /// Returns the senders that have transactions, ascending.
    pub fn senders(&self) -> impl Iterator<Item = Address> + '_ {
        self.senders.keys().copied()
    }

    /// Returns a sender's executable transactions, by nonce.
    pub fn pending(&self, sender: Address) -> impl Iterator<Item = &Arc<Recovered<Transaction>>> {
        self.senders.get(&sender).into_iter().flat_map(Queue::run).map(|entry| &entry.tx)
    }

    /// Returns a sender's transactions that wait for an earlier nonce, by nonce.
    pub fn queued(&self, sender: Address) -> impl Iterator<Item = &Arc<Recovered<Transaction>>> {
        self.senders
            .get(&sender)
            .into_iter()
            .flat_map(|queue| queue.txs.range(queue.next..))
            .map(|(_, entry)| &entry.tx)
    }

    /// Returns the nonce that the sender's next transaction should have: the first missing one, or
    /// `state_nonce` if the pool has none of its transactions.
    pub fn next_nonce(&self, sender: Address, state_nonce: u64) -> u64 {
        self.senders.get(&sender).map_or(state_nonce, |queue| queue.next.max(state_nonce))
    }

    /// Returns what a block takes, best first: by effective tip, in nonce order within a sender, ties by
    /// smaller hash. A sender's list ends at the first one that does not pay `base_fee` or needs more gas
    /// than a block has, because what follows it cannot go first.
    pub fn best(&self, base_fee: u64) -> impl Iterator<Item = Recovered<Transaction>> + '_ {
        Best::new(self, base_fee).map(|entry| Recovered::clone(&entry.tx))
    }

    /// Returns up to `max` hashes of executable transactions after `from` in the order (sender, nonce),
    /// and where the next page begins; `None` if this was the last.
    pub fn page(&self, from: Option<Cursor>, max: usize) -> (Vec<B256>, Option<Cursor>) {
        let (sender, nonce) = from.map_or((Address::ZERO, 0), |from| (from.sender, from.nonce));
        let mut entries = self.senders.range(sender..).flat_map(|(address, queue)| {
            let first = if *address == sender { nonce } else { 0 };
            let start = first.clamp(queue.nonce, queue.next);
            queue.txs.range(start..queue.next).map(|(_, entry)| entry)
        });
        let hashes = entries.by_ref().take(max).map(|entry| entry.hash).collect();
        let next = entries.next().map(|e| Cursor { sender: e.sender(), nonce: e.nonce });
        (hashes, next)
    }
}

/// Merges the senders' lists by price. Holds one transaction per sender.
struct Best<'a> {
    base_fee: u64,
    gas_limit: u64,
    heads: BinaryHeap<Head<'a>>,
}

/// The next transaction of one sender.
struct Head<'a> {
    rank: (u128, Reverse<B256>),
    entry: &'a Arc<Entry>,
    queue: &'a Queue,
}

impl<'a> Best<'a> {
    fn new(view: &'a PoolView, base_fee: u64) -> Self {
        let mut best = Self { base_fee, gas_limit: view.gas_limit, heads: BinaryHeap::new() };
        let heads: Vec<_> =
            view.senders.values().filter_map(|queue| best.head(queue, queue.nonce)).collect();
        best.heads = heads.into();
        best
    }

    fn head(&self, queue: &'a Queue, nonce: u64) -> Option<Head<'a>> {
        use alloy_consensus::Transaction as _;
        if nonce >= queue.next {
            return None;
        }
        let entry = queue.txs.get(&nonce)?;
        let tip = entry.tx.effective_tip_per_gas(self.base_fee)?;
        let fits = entry.tx.gas_limit() <= self.gas_limit;
        fits.then_some(Head { rank: (tip, Reverse(entry.hash)), entry, queue })
    }
}

impl<'a> Iterator for Best<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.heads.pop()?;
        let following = self.head(taken.queue, taken.entry.nonce + 1);
        self.heads.extend(following);
        Some(taken.entry)
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Head<'_> {}
