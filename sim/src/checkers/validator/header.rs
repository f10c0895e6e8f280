//! Header fields that follow from the parent, as Prague has them and as a Kette chain restricts them.

use super::{Refusal, demand, same};
use alloy_primitives::{B256, b256, keccak256};
use kette_types::{Header, U256, spec::KetteConfig};

/// keccak256 of the RLP of an empty list (Yellow Paper 4.4.3: no ommers).
const NO_OMMERS: B256 = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
/// Root of the empty trie: keccak256 of the RLP of nothing (Yellow Paper, appendix D).
const EMPTY_TRIE: B256 = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// Lowest gas limit (Yellow Paper 4.4.4, equation 57).
const GAS_LIMIT_MIN: u64 = 5_000;
/// Highest gas limit, as geth has it.
const GAS_LIMIT_MAX: u64 = (1 << 63) - 1;

/// Returns keccak256 of a header's RLP.
pub(super) fn hash(header: &Header) -> B256 {
    keccak256(alloy_rlp::encode(header))
}

pub(super) fn check(kette: &KetteConfig, header: &Header, parent: &Header) -> Result<(), Refusal> {
    same("parent hash", header.parent_hash, hash(parent))?;
    same("number", Some(header.number), parent.number.checked_add(1))?;

    let limit = header.gas_limit;
    demand((GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&limit), || format!("gas limit {limit}"))?;
    // EIP-1559: strictly less than a 1024th of the parent's away.
    let distance = limit.max(parent.gas_limit) - limit.min(parent.gas_limit);
    demand(distance == 0 || distance < parent.gas_limit / 1_024, || {
        format!("gas limit {limit} after {}", parent.gas_limit)
    })?;
    demand(header.gas_used <= limit, || format!("gas used {} of {limit}", header.gas_used))?;
    let fee = base_fee(parent).max(U256::from(kette.base_fee_min));
    same("base fee", header.base_fee_per_gas.map(U256::from), Some(fee))?;

    same("ommers hash", header.ommers_hash, NO_OMMERS)?;
    same("withdrawals root", header.withdrawals_root, Some(EMPTY_TRIE))?;
    // No blobs (EIP-4844), no beacon chain (EIP-4788).
    same("blob gas used", header.blob_gas_used, Some(0))?;
    same("excess blob gas", header.excess_blob_gas, Some(0))?;
    same("parent beacon block root", header.parent_beacon_block_root, Some(B256::ZERO))?;
    demand(header.requests_hash.is_some(), || "no requests hash".to_owned())?;
    // Fields of forks after Osaka.
    same("block access list hash", header.block_access_list_hash, None)?;
    same("slot number", header.slot_number, None)
}

/// Returns the base fee after `parent` by the pseudo-code of EIP-1559, in unbounded integers.
fn base_fee(parent: &Header) -> U256 {
    let fee = U256::from(parent.base_fee_per_gas.unwrap_or_default());
    let used = U256::from(parent.gas_used);
    let target = U256::from(parent.gas_limit / 2);
    let eight = U256::from(8);
    if used == target {
        fee
    } else if used > target {
        let delta = fee * (used - target) / target / eight;
        (fee + delta.max(U256::from(1))).min(U256::from(u64::MAX))
    } else {
        fee - fee * (target - used) / target / eight
    }
}
