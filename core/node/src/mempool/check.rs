//! Rules that need no account: what a transaction must satisfy by itself and under the head's limits.

use super::{HeadInfo, Rejection};
use alloy_consensus::Transaction as _;
use kette_types::{Transaction, U256, limits::TRANSACTION_BYTES_MAX};

/// Checks everything that does not depend on the sender's account or on other transactions.
///
/// `size` is the length of the EIP-2718 encoding.
pub(super) fn check(tx: &Transaction, size: usize, head: &HeadInfo) -> Result<(), Rejection> {
    if tx.is_eip4844() && head.blobs_refused {
        return Err(Rejection::TypeNotSupported(TYPE_BLOB));
    }
    if size > TRANSACTION_BYTES_MAX {
        return Err(Rejection::Oversized { got: size, max: TRANSACTION_BYTES_MAX });
    }
    // A legacy transaction without chain id is valid on every chain (before EIP-155); deployment
    // tools publish such presigned transactions.
    if let Some(got) = tx.chain_id()
        && got != head.chain_id
    {
        return Err(Rejection::WrongChainId { got, expected: head.chain_id });
    }
    if tx.nonce() == u64::MAX {
        return Err(Rejection::NonceMax);
    }
    let (tip, fee_cap) = (tx.priority_fee_or_price(), tx.max_fee_per_gas());
    if tip > fee_cap {
        return Err(Rejection::TipAboveFeeCap { tip, fee_cap });
    }
    if tx.is_create() && tx.input().len() > INIT_CODE_BYTES_MAX {
        return Err(Rejection::InitCodeTooLarge {
            got: tx.input().len(),
            max: INIT_CODE_BYTES_MAX,
        });
    }
    if tx.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(Rejection::EmptyAuthorizationList);
    }
    let got = tx.gas_limit();
    let needed = intrinsic_gas(tx);
    if got < needed {
        return Err(Rejection::IntrinsicGas { got, needed });
    }
    let needed = floor_data_gas(tx);
    if got < needed {
        return Err(Rejection::FloorDataGas { got, needed });
    }
    if got > head.gas_limit {
        return Err(Rejection::ExceedsBlockGasLimit { got, max: head.gas_limit });
    }
    Ok(())
}

/// Returns what a transaction costs before its first instruction (Yellow Paper 6.2; EIP-2028, EIP-2930,
/// EIP-3860, EIP-7702).
pub(super) fn intrinsic_gas(tx: &Transaction) -> u64 {
    let mut gas = GAS_BASE + GAS_TOKEN * tokens(tx);
    if tx.is_create() {
        gas += GAS_CREATE + GAS_INIT_CODE_WORD * count(tx.input().len().div_ceil(32));
    }
    if let Some(list) = tx.access_list() {
        let keys: usize = list.iter().map(|item| item.storage_keys.len()).sum();
        gas += GAS_ACCESS_ADDRESS * count(list.len()) + GAS_ACCESS_KEY * count(keys);
    }
    gas + GAS_AUTHORIZATION * tx.authorization_count().unwrap_or(0)
}

/// Returns the least that a transaction with its data costs, whatever it executes (EIP-7623).
pub(super) fn floor_data_gas(tx: &Transaction) -> u64 {
    GAS_BASE + GAS_FLOOR_TOKEN * tokens(tx)
}

/// Returns the most that a transaction can take from its sender; `None` if no balance could pay it.
pub(super) fn cost(tx: &Transaction) -> Option<U256> {
    let gas = U256::from(tx.gas_limit()).checked_mul(U256::from(tx.max_fee_per_gas()))?;
    let blob_price = U256::from(tx.max_fee_per_blob_gas().unwrap_or(0));
    let blobs = U256::from(tx.blob_gas_used().unwrap_or(0)).checked_mul(blob_price)?;
    gas.checked_add(blobs)?.checked_add(tx.value())
}

/// Calldata in tokens of EIP-7623: one per zero byte, four per other byte.
fn tokens(tx: &Transaction) -> u64 {
    let zeros = count(tx.input().iter().filter(|byte| **byte == 0).count());
    zeros + 4 * (count(tx.input().len()) - zeros)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).expect("a length in memory fits 64 bits")
}

const TYPE_BLOB: u8 = 3;
/// EIP-3860.
pub(super) const INIT_CODE_BYTES_MAX: usize = 49_152;
const GAS_BASE: u64 = 21_000;
const GAS_TOKEN: u64 = 4;
const GAS_FLOOR_TOKEN: u64 = 10;
const GAS_CREATE: u64 = 32_000;
const GAS_INIT_CODE_WORD: u64 = 2;
const GAS_ACCESS_ADDRESS: u64 = 2_400;
const GAS_ACCESS_KEY: u64 = 1_900;
const GAS_AUTHORIZATION: u64 = 25_000;
