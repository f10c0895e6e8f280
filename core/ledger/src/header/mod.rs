//! Header rules that need only the parent. Seal, difficulty and (on Kette chains) timestamp are the engine's.

use crate::{Rules, fee::child_base_fee};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, constants::EMPTY_WITHDRAWALS};
use alloy_hardforks::EthereumHardforks;
use kette_types::{B256, Header};

/// A header that breaks a rule whatever the state is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It names another parent.
    #[error("parent hash {got}, expected {expected}")]
    ParentHash {
        /// In the header.
        got: B256,
        /// Hash of the parent given.
        expected: B256,
    },
    /// Not the parent's number plus one.
    #[error("number {got}, expected {expected}")]
    Number {
        /// In the header.
        got: u64,
        /// The parent's plus one.
        expected: u64,
    },
    /// Too much extra data.
    #[error("extra data of {got} bytes, at most {max}")]
    ExtraData {
        /// Bytes in the header.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The gas limit is out of Ethereum's range.
    #[error("gas limit {got}, must be within {min}..={max}")]
    GasLimitRange {
        /// In the header.
        got: u64,
        /// Lowest.
        min: u64,
        /// Highest.
        max: u64,
    },
    /// The gas limit moved by 1/1024 of the parent's or more.
    #[error("gas limit {got} after {parent}: must move by less than {bound}")]
    GasLimitStep {
        /// In the header.
        got: u64,
        /// The parent's (doubled where London begins).
        parent: u64,
        /// 1/1024 of it.
        bound: u64,
    },
    /// More gas used than the limit.
    #[error("gas used {got} exceeds gas limit {limit}")]
    GasUsed {
        /// In the header.
        got: u64,
        /// In the header.
        limit: u64,
    },
    /// Not the base fee that follows from the parent.
    #[error("base fee {got:?}, expected {expected:?}")]
    BaseFee {
        /// In the header.
        got: Option<u64>,
        /// EIP-1559 with the chain's floor; none before London.
        expected: Option<u64>,
    },
    /// Not later than the parent.
    #[error("timestamp {got} is not later than the parent's {parent}")]
    Timestamp {
        /// In the header.
        got: u64,
        /// The parent's.
        parent: u64,
    },
    /// Ommers where there can be none.
    #[error("ommers hash {got}, expected {expected}: no ommers")]
    Ommers {
        /// In the header.
        got: B256,
        /// Hash of the empty list.
        expected: B256,
    },
    /// Proof of work after the merge.
    #[error("difficulty or nonce is not zero after the merge")]
    ProofOfWork,
    /// The withdrawals root is missing, or there where it must not be, or not that of an empty list.
    #[error("withdrawals root {got:?}, expected {expected:?}")]
    Withdrawals {
        /// In the header.
        got: Option<B256>,
        /// Root of the empty list on Kette chains; none before Shanghai.
        expected: Option<B256>,
    },
    /// The blob gas used is missing, or there where it must not be, or too high.
    #[error("blob gas used {got:?}, at most {max:?}")]
    BlobGasUsed {
        /// In the header.
        got: Option<u64>,
        /// Zero on Kette chains; none before Cancun.
        max: Option<u64>,
    },
    /// Not the excess blob gas that follows from the parent.
    #[error("excess blob gas {got:?}, expected {expected:?}")]
    ExcessBlobGas {
        /// In the header.
        got: Option<u64>,
        /// Zero on Kette chains; none before Cancun.
        expected: Option<u64>,
    },
    /// The parent beacon block root is missing, or there where it must not be, or not zero on a Kette chain.
    #[error("parent beacon block root {got:?} is not what this fork has")]
    BeaconRoot {
        /// In the header.
        got: Option<B256>,
    },
    /// The requests hash is missing, or there where it must not be.
    #[error("requests hash {got:?} is not what this fork has")]
    RequestsHash {
        /// In the header.
        got: Option<B256>,
    },
    /// A field of a fork that this version does not execute.
    #[error("block access list hash or slot number: fields of a later fork")]
    LaterFork,
}

/// Checks the rules that need only the parent. The caller checked, or will check, the seal.
///
/// # Errors
/// The first rule that is broken.
pub fn check_header(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let expected = parent.hash_slow();
    if header.parent_hash != expected {
        return Err(HeaderError::ParentHash { got: header.parent_hash, expected });
    }
    // The parent's number is below the maximum: nobody makes 2^64 blocks.
    let expected = parent.number.saturating_add(1);
    if header.number != expected {
        return Err(HeaderError::Number { got: header.number, expected });
    }
    if header.extra_data.len() > EXTRA_DATA_BYTES_MAX {
        let (got, max) = (header.extra_data.len(), EXTRA_DATA_BYTES_MAX);
        return Err(HeaderError::ExtraData { got, max });
    }
    check_gas(rules, header, parent)?;
    if rules.kette().is_none() && header.timestamp <= parent.timestamp {
        return Err(HeaderError::Timestamp { got: header.timestamp, parent: parent.timestamp });
    }
    check_ommers(rules, header)?;
    check_fork_fields(rules, header, parent)
}

/// Returns the gas limit nearest to `target` that may follow `parent`.
pub(crate) fn next_gas_limit(parent: u64, target: u64) -> u64 {
    let step = (parent / GAS_LIMIT_DIVISOR).saturating_sub(1);
    target
        .clamp(parent.saturating_sub(step), parent.saturating_add(step))
        .clamp(GAS_LIMIT_MIN, GAS_LIMIT_MAX)
}

fn check_gas(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let got = header.gas_limit;
    if !(GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&got) {
        let (min, max) = (GAS_LIMIT_MIN, GAS_LIMIT_MAX);
        return Err(HeaderError::GasLimitRange { got, min, max });
    }
    let base_fee = child_base_fee(rules, parent);
    // EIP-1559: the limit doubles where London begins, so that the target stays.
    let begins = base_fee.is_some() && parent.base_fee_per_gas.is_none();
    let parent_limit = if begins { parent.gas_limit.saturating_mul(2) } else { parent.gas_limit };
    let bound = parent_limit / GAS_LIMIT_DIVISOR;
    if got.abs_diff(parent_limit) >= bound && got != parent_limit {
        return Err(HeaderError::GasLimitStep { got, parent: parent_limit, bound });
    }
    if header.gas_used > got {
        return Err(HeaderError::GasUsed { got: header.gas_used, limit: got });
    }
    if header.base_fee_per_gas != base_fee {
        return Err(HeaderError::BaseFee { got: header.base_fee_per_gas, expected: base_fee });
    }
    Ok(())
}

fn check_ommers(rules: &Rules, header: &Header) -> Result<(), HeaderError> {
    if !rules.at(header).is_paris_active_at_block(header.number) {
        return Ok(());
    }
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        let (got, expected) = (header.ommers_hash, EMPTY_OMMER_ROOT_HASH);
        return Err(HeaderError::Ommers { got, expected });
    }
    if rules.kette().is_none() && !(header.difficulty.is_zero() && header.nonce.is_zero()) {
        return Err(HeaderError::ProofOfWork);
    }
    Ok(())
}

/// Checks the fields that Shanghai (EIP-4895), Cancun (EIP-4844, EIP-4788) and Prague (EIP-7685) brought.
fn check_fork_fields(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let kette = rules.kette().is_some();
    let time = header.timestamp;

    let shanghai = rules.is_shanghai_active_at_timestamp(time);
    let got = header.withdrawals_root;
    if got.is_some() != shanghai || (kette && got.is_some_and(|root| root != EMPTY_WITHDRAWALS)) {
        let expected = shanghai.then_some(EMPTY_WITHDRAWALS);
        return Err(HeaderError::Withdrawals { got, expected });
    }

    let blobs = rules.blob_params(time);
    let got = header.blob_gas_used;
    let max = blobs.map(|blobs| if kette { 0 } else { blobs.max_blob_gas_per_block() });
    if got.is_some() != max.is_some() || got > max {
        return Err(HeaderError::BlobGasUsed { got, max });
    }
    // The first Cancun block starts from a parent without blob fields: zero.
    let expected = blobs
        .map(|blobs| if kette { 0 } else { parent.next_block_excess_blob_gas(blobs).unwrap_or(0) });
    let got = header.excess_blob_gas;
    if got != expected {
        return Err(HeaderError::ExcessBlobGas { got, expected });
    }
    let got = header.parent_beacon_block_root;
    if got.is_some() != blobs.is_some() || (kette && got.is_some_and(|root| !root.is_zero())) {
        return Err(HeaderError::BeaconRoot { got });
    }

    let got = header.requests_hash;
    if got.is_some() != rules.is_prague_active_at_timestamp(time) {
        return Err(HeaderError::RequestsHash { got });
    }
    if header.block_access_list_hash.is_some() || header.slot_number.is_some() {
        return Err(HeaderError::LaterFork);
    }
    Ok(())
}

/// Most extra data, bytes (Yellow Paper 4.4.4).
pub const EXTRA_DATA_BYTES_MAX: usize = 32;
/// Lowest gas limit (Yellow Paper 4.4.4).
pub const GAS_LIMIT_MIN: u64 = 5_000;
/// Highest gas limit, 2^63 - 1 (as geth).
pub const GAS_LIMIT_MAX: u64 = i64::MAX.unsigned_abs();
/// A gas limit moves by less than this part of the parent's (Yellow Paper 4.4.4).
const GAS_LIMIT_DIVISOR: u64 = 1_024;

#[cfg(test)]
mod tests;
