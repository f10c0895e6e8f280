//! Transactions that wait for a block: a nonce queue per sender under caps in count, bytes and per sender.
//!
//! Pure: time, state and head are arguments. Not here: who hears of a transaction (inventory) and which
//! ones go into a block (the builder reads [`Mempool::best`]).
//!
//! Balances are checked as geth does, cumulatively: everything that a sender has here, at its highest
//! cost, must be covered by its balance.

mod check;
mod evict;
mod limits;
mod queue;
mod rejection;
#[cfg(test)]
mod tests;
mod view;

use kette_ledger::{ReadError, State};
use kette_types::{Address, B256, Recovered, Time, Transaction, U256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_consensus::{Transaction as _, constants::KECCAK_EMPTY};
use evict::{Evicted, Rank};
pub use limits::Limits;
use queue::{Entry, Queue};
pub use rejection::Rejection;
pub use view::{Cursor, PoolView};

/// What the pool needs to know of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadInfo {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The head's number.
    pub number: u64,
    /// The head's timestamp, seconds.
    pub timestamp: u64,
    /// The next block's base fee, wei per gas.
    pub base_fee: u64,
    /// A block's gas limit.
    pub gas_limit: u64,
    /// Whether blob transactions are refused, as on every Kette chain.
    pub blobs_refused: bool,
}

/// Where a transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node: gives way only after every remote one did.
    Local,
    /// Another node.
    Peer,
}

/// A transaction taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its hash.
    pub hash: B256,
    /// Whether no nonce before it is missing.
    pub executable: bool,
    /// What it replaced.
    pub replaced: Option<B256>,
    /// What had to go for it.
    pub evicted: Vec<B256>,
    /// Others that can execute because of it, by nonce.
    pub promoted: Vec<Arc<Recovered<Transaction>>>,
}

/// What a new head changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Left the pool without being in a block, and why.
    pub dropped: Vec<(B256, &'static str)>,
    /// Can execute now and could not before, in nonce order within a sender.
    pub promoted: Vec<Arc<Recovered<Transaction>>>,
    /// The first account that could not be read; its sender's transactions stay as they were.
    pub error: Option<ReadError>,
}

/// Pending and queued transactions. Every operation is O(log n) in their number.
///
/// What a snapshot shows is in persistent maps, so that taking one is O(1).
#[derive(Clone, Debug)]
pub struct Mempool {
    limits: Limits,
    view: PoolView,
    /// (sender, fee cap, nonce): the first of a sender is its cheapest.
    fees: BTreeSet<(Address, u128, u64)>,
    /// One per sender; the first one's last transaction goes first when the pool is full.
    ranks: BTreeSet<Rank>,
    expiries: BTreeSet<(Time, B256)>,
    /// Lowest fee cap taken from peers: rises to the price of what was evicted, falls with room.
    floor: u128,
}

/// What a newcomer did to its queue.
#[derive(Debug, Default)]
struct Placed {
    replaced: Option<Arc<Entry>>,
    displaced: Option<Evicted>,
    promoted: Vec<Arc<Recovered<Transaction>>>,
}

/// What an operation did to one queue.
#[derive(Default)]
struct Delta {
    inserted: Vec<Arc<Entry>>,
    removed: Vec<Arc<Entry>>,
}

impl Mempool {
    /// Makes an empty pool.
    pub fn new(limits: Limits) -> Self {
        Self {
            floor: limits.price_floor,
            limits,
            view: PoolView { gas_limit: u64::MAX, ..PoolView::default() },
            fees: BTreeSet::new(),
            ranks: BTreeSet::new(),
            expiries: BTreeSet::new(),
        }
    }

    /// Takes a transaction in. `state` is the one of the last [`Self::on_head`]: accounts of senders that
    /// are in the pool are not read again.
    ///
    /// # Errors
    /// The rule that it breaks; the pool is as before.
    pub fn add(
        &mut self,
        now: Time,
        tx: Recovered<Transaction>,
        origin: Origin,
        state: &State,
        head: &HeadInfo,
    ) -> Result<Added, Rejection> {
        self.view.gas_limit = head.gas_limit;
        let hash = *tx.tx_hash();
        if self.contains(hash) {
            return Err(Rejection::AlreadyKnown(hash));
        }
        let entry = self.entry(now, tx, origin, head)?;
        let local = origin == Origin::Local;
        let floor = if local { self.limits.price_floor } else { self.floor };
        if entry.fee_cap < floor {
            let base_fee = head.base_fee;
            return Err(Rejection::Underpriced { fee_cap: entry.fee_cap, floor, base_fee });
        }
        let account = self.account(state, entry.sender())?;
        let displaced = self.admit(&entry, account)?;
        let (fee_cap, floor) = (entry.fee_cap, self.floor);
        let placed = self.place(Arc::new(entry), account, displaced);
        let mut evicted = placed.displaced.into_iter().collect();
        if self.shrink(Some(hash), &mut evicted).is_err() {
            self.drop(hash);
            for gone in placed
                .replaced
                .map(|held| Evicted { entry: held, account })
                .into_iter()
                .chain(evicted)
            {
                self.bring_back(gone);
            }
            self.floor = floor;
            let lowest = self.ranks.first().map_or(0, |rank| rank.fee_cap);
            return Err(Rejection::Full { fee_cap, lowest });
        }
        Ok(Added {
            hash,
            executable: self.is_executable(hash),
            replaced: placed.replaced.map(|held| held.hash),
            evicted: evicted.iter().map(|gone| gone.entry.hash).collect(),
            promoted: placed.promoted,
        })
    }

    /// Follows the chain to a new head, whose state is `state`. `touched` are accounts that may have
    /// changed, `included` the transactions of blocks that became canonical, `readmit` those of blocks
    /// that no longer are. Costs as much as those, whatever the pool holds.
    ///
    /// A sender's transactions are judged again from the lowest nonce up, readmitted ones among them, so
    /// that the result is what a fresh evaluation in nonce order gives. Only the nonce gap is not judged
    /// again.
    pub fn on_head(
        &mut self,
        now: Time,
        state: &State,
        head: &HeadInfo,
        touched: &[Address],
        included: &[B256],
        readmit: Vec<Recovered<Transaction>>,
    ) -> Changes {
        self.view.gas_limit = head.gas_limit;
        let mut changes = Changes::default();
        let mut senders: BTreeMap<Address, BTreeMap<u64, Arc<Entry>>> = touched
            .iter()
            .copied()
            .chain(included.iter().filter_map(|hash| self.sender(*hash)))
            .filter(|sender| self.view.senders.contains_key(sender))
            .map(|sender| (sender, BTreeMap::new()))
            .collect();
        for tx in readmit {
            let hash = *tx.tx_hash();
            if self.contains(hash) {
                continue;
            }
            match self.entry(now, tx, Origin::Peer, head) {
                Ok(entry) => {
                    let returned = senders.entry(entry.sender()).or_default();
                    returned.entry(entry.nonce).or_insert_with(|| Arc::new(entry));
                }
                Err(_) => changes.dropped.push((hash, "no longer valid")),
            }
        }
        for (sender, returned) in senders {
            match state.account(sender) {
                Ok(account) => {
                    let account = account.unwrap_or_default();
                    self.settle(sender, (account.nonce, account.balance), returned, &mut changes);
                }
                Err(error) => {
                    changes.error.get_or_insert(error);
                }
            }
        }
        let included: BTreeSet<B256> = included.iter().copied().collect();
        changes.dropped.retain(|(hash, _)| !included.contains(hash));
        for hash in included {
            self.drop(hash);
        }
        let mut evicted = Vec::new();
        self.shrink(None, &mut evicted).expect("nothing is to be kept");
        changes.dropped.extend(evicted.iter().map(|gone| (gone.entry.hash, "evicted")));
        if !self.is_crowded() {
            self.floor = self.limits.price_floor.max(self.floor / 2);
        }
        tracing::trace!(
            number = head.number,
            timestamp = head.timestamp,
            base_fee = head.base_fee,
            pending = self.pending_count(),
            queued = self.queued_count(),
            "mempool follows the head"
        );
        changes
    }

    /// Removes a transaction; tells whether it was there. Later ones of its sender wait for its nonce.
    pub fn drop(&mut self, hash: B256) -> bool {
        let Some(entry) = self.view.txs.get(&hash) else { return false };
        let (sender, nonce) = (entry.sender(), entry.nonce);
        self.update(sender, (0, U256::ZERO), |queue| Delta {
            removed: queue.remove(nonce).into_iter().collect(),
            ..Delta::default()
        });
        true
    }

    /// Removes what waited too long; returns it.
    pub fn expire(&mut self, now: Time) -> Vec<B256> {
        let mut expired = Vec::new();
        while let Some((_, hash)) = self.expiries.first().filter(|(due, _)| *due <= now).copied() {
            self.drop(hash);
            expired.push(hash);
        }
        expired
    }

    /// Returns when [`Self::expire`] has something to remove.
    pub fn deadline(&self) -> Option<Time> {
        self.expiries.first().map(|(due, _)| *due)
    }

    /// Returns an immutable snapshot in O(1).
    pub fn snapshot(&self) -> PoolView {
        self.view.clone()
    }

    /// Returns the lowest fee cap that is taken from peers, wei per gas.
    pub const fn floor(&self) -> u128 {
        self.floor
    }

    pub(crate) fn loads(&self, loads: &mut crate::Loads) {
        loads.note("pool", self.len(), self.limits.count);
        loads.note("pool_bytes", self.bytes(), self.limits.bytes);
        loads.note("pool_senders", self.view.senders.len(), self.len());
        loads.note("pool_ranks", self.ranks.len(), self.view.senders.len());
        loads.note("pool_fees", self.fees.len(), self.len());
        loads.note("pool_expiries", self.expiries.len(), self.len());
    }

    /// Returns the bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Checks and measures a transaction by itself.
    fn entry(
        &self,
        now: Time,
        tx: Recovered<Transaction>,
        origin: Origin,
        head: &HeadInfo,
    ) -> Result<Entry, Rejection> {
        let size = tx.eip2718_encoded_length();
        check::check(tx.inner(), size, head)?;
        let cost = check::cost(tx.inner()).ok_or_else(|| Rejection::InsufficientFunds {
            sender: tx.signer(),
            balance: U256::ZERO,
            needed: U256::MAX,
        })?;
        Ok(Entry {
            hash: *tx.tx_hash(),
            nonce: tx.nonce(),
            size,
            cost,
            fee_cap: tx.max_fee_per_gas(),
            tip: tx.priority_fee_or_price(),
            local: origin == Origin::Local,
            expires: now + self.limits.expiry,
            tx: Arc::new(tx),
        })
    }

    /// Returns nonce and balance of a sender.
    fn account(&self, state: &State, sender: Address) -> Result<(u64, U256), Rejection> {
        if let Some(queue) = self.view.senders.get(&sender) {
            return Ok((queue.nonce, queue.balance));
        }
        let account = state.account(sender)?.unwrap_or_default();
        if account.code_hash != KECCAK_EMPTY && !is_delegation(&state.code(account.code_hash)?) {
            return Err(Rejection::SenderNotEoa(sender));
        }
        Ok((account.nonce, account.balance))
    }

    /// Checks a transaction against its sender's account and queue; returns the nonce of the sender's
    /// last one if that has to go for it.
    fn admit(
        &self,
        entry: &Entry,
        (nonce, balance): (u64, U256),
    ) -> Result<Option<u64>, Rejection> {
        let got = entry.nonce;
        if got < nonce {
            return Err(Rejection::NonceTooLow { got, expected: nonce });
        }
        let sender = entry.sender();
        let queue = self.view.senders.get(&sender);
        let expected = queue.map_or(nonce, |queue| queue.next);
        let gap = self.limits.nonce_gap;
        if got.saturating_sub(expected) > gap {
            return Err(Rejection::NonceGap { got, expected, gap });
        }
        let held = queue.and_then(|queue| queue.txs.get(&got));
        if let Some(held) = held {
            self.check_bump(held, entry)?;
        }
        let spent = queue.map_or(U256::ZERO, |queue| queue.cost);
        let kept = spent - held.map_or(U256::ZERO, |held| held.cost);
        let needed = kept.saturating_add(entry.cost);
        if needed > balance {
            return Err(Rejection::InsufficientFunds { sender, balance, needed });
        }
        let Some(queue) = queue else { return Ok(None) };
        if held.is_some() || queue.txs.len() < self.limits.per_sender {
            return Ok(None);
        }
        match queue.txs.get_max() {
            Some((last, _)) if *last > got => Ok(Some(*last)),
            _ => Err(Rejection::SenderLimit { max: self.limits.per_sender }),
        }
    }

    /// Both caps must rise, or a replacement could cost nothing more than what it replaces.
    fn check_bump(&self, held: &Entry, entry: &Entry) -> Result<(), Rejection> {
        let needed = |old: u128| {
            let bumped = U256::from(old) * U256::from(100 + self.limits.bump_percent);
            let bumped = bumped.div_ceil(U256::from(100_u64)).saturating_to::<u128>();
            bumped.max(old.saturating_add(1))
        };
        let (fee_cap_needed, tip_needed) = (needed(held.fee_cap), needed(held.tip));
        if entry.fee_cap < fee_cap_needed || entry.tip < tip_needed {
            return Err(Rejection::ReplacementUnderpriced {
                fee_cap: entry.fee_cap,
                tip: entry.tip,
                fee_cap_needed,
                tip_needed,
            });
        }
        Ok(())
    }

    /// Puts an admitted transaction into its queue.
    fn place(&mut self, entry: Arc<Entry>, account: (u64, U256), displaced: Option<u64>) -> Placed {
        let hash = entry.hash;
        let mut placed = Placed::default();
        let promoted = self.update(entry.sender(), account, |queue| {
            let inserted = vec![entry.clone()];
            placed.replaced = queue.insert(entry).expect("the sum is within the balance");
            let last = displaced.and_then(|last| queue.remove(last));
            placed.displaced = last.map(|entry| Evicted { entry, account });
            let displaced = placed.displaced.iter().map(|gone| &gone.entry);
            Delta { inserted, removed: placed.replaced.iter().chain(displaced).cloned().collect() }
        });
        placed.promoted = promoted.into_iter().filter(|tx| *tx.tx_hash() != hash).collect();
        placed
    }

    /// Brings one sender's queue in line with its account and with what a reorganization returned.
    fn settle(
        &mut self,
        sender: Address,
        account: (u64, U256),
        mut returned: BTreeMap<u64, Arc<Entry>>,
        changes: &mut Changes,
    ) {
        let dropped = &mut changes.dropped;
        returned.retain(|nonce, entry| {
            let held = self.view.senders.get(&sender).and_then(|queue| queue.txs.get(nonce));
            let refused = if *nonce < account.0 {
                Some("nonce too low")
            } else if held.is_some_and(|held| self.check_bump(held, entry).is_err()) {
                Some("replaced")
            } else {
                None
            };
            dropped.extend(refused.map(|reason| (entry.hash, reason)));
            refused.is_none()
        });
        let per_sender = self.limits.per_sender;
        let mut overflowing = Vec::new();
        let promoted = self.update(sender, account, |queue| {
            let mut delta = Delta::default();
            let mut note = |entries: Vec<Arc<Entry>>, reason| {
                dropped.extend(entries.iter().map(|entry| (entry.hash, reason)));
                delta.removed.extend(entries);
            };
            note(queue.advance(account.0), "nonce too low");
            queue.balance = account.1;
            for entry in returned.into_values() {
                match queue.insert(entry.clone()) {
                    Ok(held) => {
                        delta.inserted.push(entry);
                        note(held.into_iter().collect(), "replaced");
                    }
                    Err(()) => overflowing.push((entry.hash, "insufficient funds")),
                }
            }
            note(queue.afford(), "insufficient funds");
            while queue.txs.len() > per_sender {
                let last = queue.txs.get_max().map(|(nonce, _)| *nonce);
                let last = last.and_then(|nonce| queue.remove(nonce));
                note(last.into_iter().collect(), "account limit exceeded");
            }
            delta
        });
        changes.dropped.append(&mut overflowing);
        changes.promoted.extend(promoted);
    }

    fn is_executable(&self, hash: B256) -> bool {
        let entry = self.view.txs.get(&hash);
        entry.is_some_and(|entry| {
            self.view.senders.get(&entry.sender()).is_some_and(|queue| entry.nonce < queue.next)
        })
    }

    /// Changes one sender's queue and everything that is derived of it. Returns what can execute now and
    /// could not before.
    fn update(
        &mut self,
        sender: Address,
        account: (u64, U256),
        change: impl FnOnce(&mut Queue) -> Delta,
    ) -> Vec<Arc<Recovered<Transaction>>> {
        if let Some(rank) = self.rank(sender) {
            self.ranks.remove(&rank);
        }
        let queue =
            self.view.senders.entry(sender).or_insert_with(|| Queue::new(account.0, account.1));
        let (run, executable) = (queue.nonce..queue.next, queue.executable());
        let delta = change(queue);
        let before = queue.txs.range(queue.nonce..queue.next.min(run.start).max(queue.nonce));
        let after = queue.txs.range(queue.nonce.max(run.end).min(queue.next)..queue.next);
        let promoted = before.chain(after).map(|(_, entry)| entry.tx.clone()).collect();
        self.view.executable = self.view.executable + queue.executable() - executable;
        if queue.txs.is_empty() {
            self.view.senders.remove(&sender);
        }
        for entry in delta.inserted {
            self.view.bytes += entry.size;
            self.fees.insert((sender, entry.fee_cap, entry.nonce));
            self.expiries.insert((entry.expires, entry.hash));
            self.view.txs.insert(entry.hash, entry);
        }
        for entry in delta.removed {
            self.view.bytes -= entry.size;
            self.fees.remove(&(sender, entry.fee_cap, entry.nonce));
            self.expiries.remove(&(entry.expires, entry.hash));
            self.view.txs.remove(&entry.hash);
        }
        if let Some(rank) = self.rank(sender) {
            self.ranks.insert(rank);
        }
        promoted
    }
}

/// Reading is the snapshot's business.
impl std::ops::Deref for Mempool {
    type Target = PoolView;
    fn deref(&self) -> &PoolView {
        &self.view
    }
}

/// Code that points to other code (EIP-7702): its account still signs transactions.
fn is_delegation(code: &[u8]) -> bool {
    code.len() == 23 && code.starts_with(&[0xef, 0x01, 0x00])
}
