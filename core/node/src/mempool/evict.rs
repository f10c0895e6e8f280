//! Who gives way when the pool is full.

use super::{Delta, Mempool, queue::Entry};
use kette_types::{Address, B256, U256};
use std::{cmp::Reverse, sync::Arc};

/// How dear a sender's last transaction is to the pool; the smallest goes first.
///
/// It can only execute after all before it, so it is worth no more than the cheapest of them: a dear
/// last transaction does not protect cheap ones. At equal price, whoever has more in the pool gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) local: bool,
    pub(super) executable: bool,
    pub(super) fee_cap: u128,
    crowd: Reverse<usize>,
    sender: Address,
}

impl Rank {
    /// Everything but the tie-break.
    const fn price(&self) -> (bool, bool, u128, Reverse<usize>) {
        (self.local, self.executable, self.fee_cap, self.crowd)
    }
}

/// A newcomer that nothing gives way to.
#[derive(Debug)]
pub(super) struct KeptMustGo;

/// What made room, with its sender's nonce and balance, so that it can come back.
#[derive(Debug)]
pub(super) struct Evicted {
    pub(super) entry: Arc<Entry>,
    pub(super) account: (u64, U256),
}

impl Mempool {
    /// Evicts until the caps hold. If what is to be kept would have to go itself, the pool is left in
    /// between.
    pub(super) fn shrink(
        &mut self,
        keep: Option<B256>,
        evicted: &mut Vec<Evicted>,
    ) -> Result<(), KeptMustGo> {
        while self.len() > self.limits.count || self.bytes() > self.limits.bytes {
            let victim = *self.ranks.first().expect("a pool over its caps is not empty");
            let own = keep.and_then(|hash| self.rank_if_last(hash));
            if own.is_some_and(|own| victim.price() >= own.price()) {
                return Err(KeptMustGo);
            }
            if victim.executable && !victim.local {
                self.floor = self.floor.max(victim.fee_cap);
            }
            let queue = self.view.senders.get(&victim.sender).expect("a ranked sender is here");
            let account = (queue.nonce, queue.balance);
            let (_, entry) = queue.txs.get_max().expect("a ranked sender has transactions");
            let entry = entry.clone();
            self.drop(entry.hash);
            evicted.push(Evicted { entry, account });
        }
        Ok(())
    }

    /// Undoes an eviction.
    pub(super) fn bring_back(&mut self, Evicted { entry, account }: Evicted) {
        self.update(entry.sender(), account, |queue| {
            queue.insert(entry.clone()).expect("it was within the balance");
            Delta { inserted: vec![entry], removed: Vec::new() }
        });
    }

    /// More than three quarters full.
    pub(super) fn is_crowded(&self) -> bool {
        let crowded = |held: usize, max: usize| held.saturating_mul(4) > max.saturating_mul(3);
        crowded(self.len(), self.limits.count) || crowded(self.bytes(), self.limits.bytes)
    }

    pub(super) fn last(&self, sender: Address) -> Option<&Arc<Entry>> {
        self.view.senders.get(&sender)?.txs.get_max().map(|(_, entry)| entry)
    }

    pub(super) fn rank_if_last(&self, hash: B256) -> Option<Rank> {
        let sender = self.sender(hash)?;
        self.last(sender).is_some_and(|last| last.hash == hash).then(|| self.rank(sender))?
    }

    pub(super) fn rank(&self, sender: Address) -> Option<Rank> {
        let queue = self.view.senders.get(&sender)?;
        let (nonce, last) = queue.txs.get_max()?;
        let (_, fee_cap, _) = self.fees.range((sender, 0, 0)..).next()?;
        Some(Rank {
            local: last.local,
            executable: *nonce < queue.next,
            fee_cap: *fee_cap,
            crowd: Reverse(queue.txs.len()),
            sender,
        })
    }
}
