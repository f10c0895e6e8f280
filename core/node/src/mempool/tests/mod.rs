//! Tests of the pool: rules, policy, and a comparison with a naive model.

mod model;
mod policy;
mod rules;

use super::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_primitives::{Bytes, Signature, TxKind};
use kette_ledger::{AccountChange, StateChanges};
use std::{cmp::Reverse, time::Duration};

const CHAIN_ID: u64 = 1337;
const GWEI: u128 = 1_000_000_000;
const NOW: Time = Time::from_secs(1_000);
const HEAD: HeadInfo = HeadInfo {
    chain_id: CHAIN_ID,
    number: 7,
    timestamp: 1_000,
    base_fee: 7,
    gas_limit: 30_000_000,
    blobs_refused: true,
};

fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// A transfer; its receiver makes it the sender's own.
fn transfer(sender: u8, nonce: u64, fee_cap: u128, tip: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: fee_cap,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(address(sender)),
        ..TxEip1559::default()
    }
}

fn signed(sender: u8, tx: impl Into<Unsigned>) -> Recovered<Transaction> {
    let signature = Signature::test_signature();
    let tx = match tx.into() {
        Unsigned::Eip1559(tx) => tx.into_signed(signature).into(),
        Unsigned::Legacy(tx) => tx.into_signed(signature).into(),
    };
    Recovered::new_unchecked(tx, address(sender))
}

enum Unsigned {
    Eip1559(TxEip1559),
    Legacy(TxLegacy),
}

impl From<TxEip1559> for Unsigned {
    fn from(tx: TxEip1559) -> Self {
        Self::Eip1559(tx)
    }
}

impl From<TxLegacy> for Unsigned {
    fn from(tx: TxLegacy) -> Self {
        Self::Legacy(tx)
    }
}

/// A transfer whose tip is its fee cap.
fn tx(sender: u8, nonce: u64, fee: u128) -> Recovered<Transaction> {
    signed(sender, transfer(sender, nonce, fee, fee))
}

/// A state with these (address byte, nonce, balance).
fn state(accounts: &[(u8, u64, U256)]) -> State {
    let accounts = accounts.iter().map(|(n, nonce, balance)| {
        let change = AccountChange { nonce: *nonce, balance: *balance, ..AccountChange::default() };
        (address(*n), Some(change))
    });
    let changes = StateChanges { accounts: accounts.collect(), ..StateChanges::default() };
    State::empty().apply(&changes).unwrap()
}

/// 32 rich accounts at nonce 0.
fn rich() -> State {
    let accounts: Vec<_> = (1..=32).map(|n| (n, 0, U256::from(GWEI).pow(U256::from(3)))).collect();
    state(&accounts)
}

fn limits(count: usize) -> Limits {
    Limits { count, ..Limits::default() }
}

fn hash(tx: &Recovered<Transaction>) -> B256 {
    *tx.tx_hash()
}

fn add(pool: &mut Mempool, state: &State, tx: &Recovered<Transaction>) -> Result<Added, Rejection> {
    pool.add(NOW, tx.clone(), Origin::Peer, state, &HEAD)
}

/// Hashes in the order in which a block takes them.
fn best(pool: &Mempool, base_fee: u64) -> Vec<B256> {
    pool.best(base_fee).map(|tx| hash(&tx)).collect()
}

/// Checks everything that is derived against what it is derived of.
fn check_invariants(pool: &Mempool) {
    let mut pending = 0;
    let mut hashes = Vec::new();
    let mut bytes = 0;
    for (sender, queue) in &pool.view.senders {
        assert!(!queue.txs.is_empty());
        assert!(queue.txs.keys().all(|nonce| *nonce >= queue.nonce && *nonce != queue.next));
        assert_eq!(queue.run().count(), queue.executable());
        assert!(queue.run().zip(queue.nonce..).all(|(entry, nonce)| entry.nonce == nonce));
        let cost = queue.txs.values().map(|entry| entry.cost).sum::<U256>();
        assert_eq!(queue.cost, cost);
        assert!(cost <= queue.balance, "{sender} cannot pay");
        assert!(queue.txs.len() <= pool.limits.per_sender);
        pending += queue.executable();
        bytes += queue.txs.values().map(|entry| entry.size).sum::<usize>();
        hashes.extend(queue.txs.values().map(|entry| entry.hash));
        let rank = pool.rank(*sender).unwrap();
        let cheapest = queue.txs.values().map(|entry| entry.fee_cap).min().unwrap();
        assert_eq!(rank.fee_cap, cheapest);
        assert!(pool.ranks.contains(&rank));
    }
    hashes.sort();
    assert_eq!(pool.hashes().collect::<Vec<_>>(), hashes);
    assert_eq!(pool.ranks.len(), pool.view.senders.len());
    assert_eq!((pool.fees.len(), pool.expiries.len()), (hashes.len(), hashes.len()));
    assert_eq!((pool.pending_count(), pool.bytes()), (pending, bytes));
    assert_eq!(pool.queued_count(), hashes.len() - pending);
    assert!(pool.len() <= pool.limits.count && pool.bytes() <= pool.limits.bytes);
}
