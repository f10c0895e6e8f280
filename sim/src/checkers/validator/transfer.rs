//! Execution of blocks of plain transfers, by fee rules written anew: EIP-155, 161, 1559, 2028, 2930, 3607, 7623.

use super::{Accounts, Effect, Refusal, same};
use alloy_consensus::{Transaction as _, Typed2718 as _, transaction::SignerRecoverable as _};
use alloy_primitives::{Address, B256, Bloom, U512, address, b256};
use alloy_rlp::{BufMut, Encodable};
use kette_types::{Block, ChainSpec, Transaction, U256, spec::BaseFee};
use std::collections::BTreeMap;

/// Half of the order of secp256k1, rounded down: the highest `s` (EIP-2).
const S_MAX: B256 = b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
/// SHA-256 of nothing: no requests (EIP-7685).
const NO_REQUESTS: B256 = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// Contracts that the protocol calls in every block if they are there: EIP-4788, 2935, 7002, 7251.
const SYSTEM: [Address; 4] = [
    address!("000F3df6D732807Ef1319fB7B8bB8522d0Beac02"),
    address!("0000F90827F1C53a10cb7A02335B175320002935"),
    address!("00000961Ef480Eb55e80D19ad83579A64c007002"),
    address!("0000BBdDc7CE488642fb579F8B00f3a590007251"),
];
/// Addresses up to here, and 0x100, may be precompiled contracts now or after Osaka (EIP-7951).
const PRECOMPILES_MAX: u16 = 0x100;

/// Returns why a block is not executed here, if it is not.
pub(super) fn why_not(
    spec: &ChainSpec,
    accounts: &Accounts,
    block: &Block,
) -> Option<&'static str> {
    let osaka = spec.genesis.config.osaka_time;
    if osaka.is_some_and(|time| time <= block.header.timestamp) {
        return Some("Osaka is active");
    }
    if SYSTEM.iter().any(|address| accounts.has_code(*address)) {
        return Some("the chain has system contracts");
    }
    block.body.transactions.iter().find_map(|transaction| {
        if transaction.is_eip7702() {
            return Some("a transaction sets code (EIP-7702)");
        }
        let Some(to) = transaction.to() else { return Some("a transaction creates a contract") };
        if to.0[..18].iter().all(|byte| *byte == 0)
            && u16::from_be_bytes([to.0[18], to.0[19]]) <= PRECOMPILES_MAX
        {
            return Some("a transaction may call a precompiled contract");
        }
        accounts.has_code(to).then_some("a transaction calls a contract")
    })
}

/// Executes a block of transfers on its parent's accounts, and checks what its header says of that (but the state root).
/// The subsidy is the caller's.
pub(super) fn run(
    (chain_id, base_fee_to): (u64, BaseFee),
    senders: &mut Senders,
    accounts: &mut Accounts,
    block: &Block,
) -> Result<Effect, Refusal> {
    let header = block.header.header();
    let base_fee = u128::from(header.base_fee_per_gas.unwrap_or(0));
    let (mut gas, mut receipts) = (0_u64, Vec::new());
    let mut effect = Effect {
        issued: U256::ZERO,
        burned: None,
        senders: Vec::new(),
        cumulative_gas: Vec::new(),
    };
    for (index, transaction) in block.body.transactions.iter().enumerate() {
        let left = header.gas_limit - gas;
        let place = Place { chain_id, base_fee, left, beneficiary: header.beneficiary };
        let mut step = || {
            let sender = senders.of(transaction)?;
            Ok((sender, place.apply(accounts, transaction, sender)?))
        };
        let (sender, used) = step()
            .map_err(|what: String| Refusal::Invalid(format!("transaction {index}: {what}")))?;
        gas += used;
        receipts.push(receipt(transaction.ty(), gas));
        effect.senders.push(sender);
        effect.cumulative_gas.push(gas);
    }
    same("gas used", header.gas_used, gas)?;
    let root = alloy_trie::root::ordered_trie_root_encoded(&receipts);
    same("receipts root", header.receipts_root, root)?;
    same("logs bloom", header.logs_bloom, Bloom::ZERO)?;
    same("requests hash", header.requests_hash, Some(NO_REQUESTS))?;

    let fees = U256::from(base_fee) * U256::from(gas);
    let (earned, burned) = match base_fee_to {
        BaseFee::Producer => (fees, U256::ZERO),
        BaseFee::Burn => (U256::ZERO, fees),
    };
    if !earned.is_zero() {
        add(accounts, header.beneficiary, earned).map_err(Refusal::Invalid)?;
    }
    effect.burned = Some(burned);
    Ok(effect)
}

/// Where a transaction is executed.
struct Place {
    chain_id: u64,
    base_fee: u128,
    /// Gas that is left in the block.
    left: u64,
    beneficiary: Address,
}

impl Place {
    /// Executes a transfer; returns the gas that it uses.
    fn apply(
        &self,
        accounts: &mut Accounts,
        transaction: &Transaction,
        sender: Address,
    ) -> Result<u64, String> {
        let demand = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        demand(!transaction.is_eip4844(), "a blob transaction (EIP-4844)")?;
        let chain = transaction.chain_id();
        demand(chain.is_none_or(|id| id == self.chain_id), "signed for another chain")?;
        let (limit, used) = (transaction.gas_limit(), gas(transaction));
        demand(limit <= self.left, "more gas than is left in the block")?;
        demand(used <= limit, "less gas than it needs")?;
        let most = transaction.max_fee_per_gas();
        let tip_most = transaction.max_priority_fee_per_gas().unwrap_or(most);
        demand(tip_most <= most, "a tip above the highest fee")?;
        demand(most >= self.base_fee, "a fee below the base fee")?;

        let mut from = accounts.get(sender);
        demand(!accounts.has_code(sender), "its sender is a contract")?;
        demand(transaction.nonce() == from.nonce, "the wrong nonce")?;
        // EIP-2681.
        from.nonce = from.nonce.checked_add(1).ok_or("the last nonce")?;
        let wide = |a: u128, b: u64| U512::from(a) * U512::from(b);
        let value = transaction.value();
        let cost_most = wide(most, limit) + U512::from(value);
        demand(U512::from(from.balance) >= cost_most, "more wei than its sender has")?;

        let tip = tip_most.min(most - self.base_fee);
        let fee: U256 = wide(self.base_fee + tip, used).to();
        from.balance -= fee + value;
        accounts.set(sender, from);
        let to = transaction.to().ok_or("no recipient")?;
        add(accounts, to, value)?;
        add(accounts, self.beneficiary, wide(tip, used).to())?;
        Ok(used)
    }
}

fn add(accounts: &mut Accounts, address: Address, wei: U256) -> Result<(), String> {
    let mut account = accounts.get(address);
    account.balance =
        account.balance.checked_add(wei).ok_or_else(|| format!("{address} has too much"))?;
    accounts.set(address, account);
    Ok(())
}

/// Returns the gas of a call that runs no code.
fn gas(transaction: &Transaction) -> u64 {
    let zeros = transaction.input().iter().filter(|byte| **byte == 0).count() as u64;
    let others = transaction.input().len() as u64 - zeros;
    let access = transaction.access_list().map_or(0, |list| {
        // EIP-2930.
        list.iter().map(|item| 2_400 + 1_900 * item.storage_keys.len() as u64).sum()
    });
    // EIP-2028, and the floor of EIP-7623: 10 per token, of which a zero byte is one and another byte is four.
    let usual = 21_000 + 4 * zeros + 16 * others + access;
    usual.max(21_000 + 10 * (zeros + 4 * others))
}

/// Encodes the receipt of a successful call without logs (EIP-658, EIP-2718).
fn receipt(kind: u8, cumulative_gas: u64) -> Vec<u8> {
    let mut list = Vec::new();
    true.encode(&mut list);
    cumulative_gas.encode(&mut list);
    Bloom::ZERO.encode(&mut list);
    list.put_u8(alloy_rlp::EMPTY_LIST_CODE);
    let mut out = Vec::new();
    if kind != 0 {
        out.put_u8(kind);
    }
    alloy_rlp::Header { list: true, payload_length: list.len() }.encode(&mut out);
    out.extend_from_slice(&list);
    out
}

/// Who signed what, each transaction once.
#[derive(Debug, Default)]
pub(super) struct Senders {
    known: BTreeMap<B256, Address>,
}

/// Signatures recovered by the pure Rust library, which takes 5 times as long as the C library that nodes use; of later
/// ones one in sixteen.
const SLOW_MAX: usize = 500;

impl Senders {
    fn of(&mut self, transaction: &Transaction) -> Result<Address, String> {
        // The hash is computed again, not taken from the transaction.
        let hash = {
            use alloy_eips::eip2718::Encodable2718 as _;
            transaction.trie_hash()
        };
        if let Some(sender) = self.known.get(&hash) {
            return Ok(*sender);
        }
        let signature = transaction.signature();
        if signature.s() > U256::from_be_bytes(S_MAX.0) {
            return Err("a signature with a high s".to_owned());
        }
        let sender = if self.known.len() < SLOW_MAX || hash.0[0].is_multiple_of(16) {
            let key = signature.recover_from_prehash(&transaction.signature_hash());
            key.ok().map(|key| Address::from_public_key(&key))
        } else {
            transaction.recover_signer().ok()
        };
        let sender = sender.ok_or("nobody signed it")?;
        self.known.insert(hash, sender);
        Ok(sender)
    }
}
