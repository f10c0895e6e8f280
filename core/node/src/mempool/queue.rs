//! One sender's transactions in nonce order, and which of them can execute.

use imbl::OrdMap;
use kette_types::{Address, B256, Recovered, Time, Transaction, U256};
use std::sync::Arc;

/// A transaction with what the pool computed of it once.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) tx: Arc<Recovered<Transaction>>,
    pub(super) hash: B256,
    pub(super) nonce: u64,
    /// Bytes of the EIP-2718 encoding.
    pub(super) size: usize,
    /// The most it can take from its sender, wei.
    pub(super) cost: U256,
    pub(super) fee_cap: u128,
    pub(super) tip: u128,
    pub(super) local: bool,
    pub(super) expires: Time,
}

impl Entry {
    pub(super) fn sender(&self) -> Address {
        self.tx.signer()
    }
}

/// The transactions of one sender.
///
/// Invariants: `nonce <= next`; `txs` holds every nonce of `nonce..next`, not `next`, and none below
/// `nonce`; `cost` is the sum of all costs.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// The account's nonce.
    pub(super) nonce: u64,
    /// The account's balance, wei.
    pub(super) balance: U256,
    /// First nonce that is missing: what is below it can execute.
    pub(super) next: u64,
    pub(super) cost: U256,
    pub(super) txs: OrdMap<u64, Arc<Entry>>,
}

impl Queue {
    pub(super) fn new(nonce: u64, balance: U256) -> Self {
        Self { nonce, balance, next: nonce, cost: U256::ZERO, txs: OrdMap::new() }
    }

    /// Returns how many can execute.
    pub(super) fn executable(&self) -> usize {
        usize::try_from(self.next - self.nonce).expect("a run in memory is counted by usize")
    }

    /// Inserts, replacing what has the same nonce. Leaves the queue alone and returns `Err` if the sum
    /// of costs leaves 256 bits.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Result<Option<Arc<Entry>>, ()> {
        assert!(entry.nonce >= self.nonce, "a used nonce is refused before");
        let held = self.txs.get(&entry.nonce).map_or(U256::ZERO, |held| held.cost);
        let cost = (self.cost - held).checked_add(entry.cost).ok_or(())?;
        self.cost = cost;
        let nonce = entry.nonce;
        let replaced = self.txs.insert(nonce, entry);
        if nonce == self.next {
            self.next = self.run_end(nonce);
        }
        Ok(replaced)
    }

    pub(super) fn remove(&mut self, nonce: u64) -> Option<Arc<Entry>> {
        let entry = self.txs.remove(&nonce)?;
        self.cost -= entry.cost;
        self.next = self.next.min(nonce);
        Some(entry)
    }

    /// Takes a new account nonce; returns what it made stale.
    pub(super) fn advance(&mut self, nonce: u64) -> Vec<Arc<Entry>> {
        let mut stale = Vec::new();
        while let Some((_, entry)) = self.txs.get_min().filter(|(first, _)| *first < nonce) {
            stale.push(entry.clone());
            self.cost -= entry.cost;
            let first = entry.nonce;
            self.txs.remove(&first);
        }
        if !(self.nonce..=self.next).contains(&nonce) {
            self.next = self.run_end(nonce);
        }
        self.nonce = nonce;
        stale
    }

    /// Removes, from the lowest nonce up, what the balance does not cover beside what stays before it.
    pub(super) fn afford(&mut self) -> Vec<Arc<Entry>> {
        if self.cost <= self.balance {
            return Vec::new();
        }
        let mut left = self.balance;
        let mut unaffordable = Vec::new();
        for entry in self.txs.values() {
            match left.checked_sub(entry.cost) {
                Some(rest) => left = rest,
                None => unaffordable.push(entry.clone()),
            }
        }
        for entry in &unaffordable {
            self.remove(entry.nonce);
        }
        unaffordable
    }

    /// Returns those that can execute, by nonce.
    pub(super) fn run(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.txs.range(self.nonce..self.next).map(|(_, entry)| entry)
    }

    fn run_end(&self, from: u64) -> u64 {
        let mut end = from;
        for (nonce, _) in self.txs.range(from..) {
            if *nonce != end {
                break;
            }
            end += 1;
        }
        end
    }
}
