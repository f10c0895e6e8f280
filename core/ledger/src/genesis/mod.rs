//! Block 0, exactly as geth builds it from the same file.

use crate::{
    MemoryNodes, ReadError, Rules, State, StateChanges,
    account::AccountChange,
    header::GAS_LIMIT_MAX,
    staking::{MARKER, STAKING_ADDRESS, genesis_account},
};
use alloy_consensus::{EMPTY_ROOT_HASH, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH};
use alloy_genesis::GenesisAccount;
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{KECCAK256_EMPTY, keccak256};
use kette_types::{Address, B256, Bytes, ChainSpec, Header, SealedHeader, U256, bft::SetError};
use std::{collections::BTreeMap, sync::Arc};

/// A genesis file from which no block 0 can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The chain does not start at 0.
    #[error("genesis file: number {0}, must be 0")]
    Number(u64),
    /// The gas limit does not fit 63 bits.
    #[error("genesis file: gasLimit {0}, must be at most 2^63 - 1")]
    GasLimit(u64),
    /// The base fee does not fit 64 bits.
    #[error("genesis file: baseFeePerGas {0} does not fit 64 bits")]
    BaseFee(u128),
    /// A Kette chain starts at Prague.
    #[error("genesis file: a Kette chain has {0} from block 0; leave the key out or make it 0")]
    LateFork(EthereumHardfork),
    /// A fork that this version does not execute.
    #[error("genesis file: fork {0} is not part of this version")]
    UnknownFork(&'static str),
    /// The balances add up to 2^256 or more.
    #[error(
        "genesis file: the balances of `alloc` and the validators' stake add up to 2^256 wei or more"
    )]
    Supply,
    /// The registry's account is not the file's to fill.
    #[error("genesis file: `alloc` names {STAKING_ADDRESS}, the validator registry")]
    Registry,
    /// A first validator would leave with the first change of the set.
    #[error("genesis file: validator {0} has less weight than `weightMin`")]
    ValidatorWeight(Address),
    /// The first validators are no set.
    #[error("genesis file: validators: {0}")]
    Validators(#[from] SetError),
    /// Cannot happen with the memory that genesis is built in.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Builds block 0: its header and the state of `alloc`, in memory.
///
/// # Errors
/// If the file asks for something that this version does not execute.
pub fn genesis(spec: &ChainSpec) -> Result<(SealedHeader, State), GenesisError> {
    check(spec)?;
    let mut changes = StateChanges::default();
    for (address, account) in &spec.genesis.alloc {
        let change = account_change(account, &mut changes.codes);
        changes.accounts.insert(*address, Some(change));
    }
    if let Some(terms) = spec.bft() {
        changes.accounts.insert(STAKING_ADDRESS, Some(genesis_account(terms)?));
        changes.codes.insert(keccak256(MARKER), Bytes::from_static(MARKER));
    }
    let state = State::open(Arc::new(MemoryNodes::default()), EMPTY_ROOT_HASH).apply(&changes)?;
    let header = header(spec, state.root())?;
    Ok((SealedHeader::new(header, Bytes::new()), state))
}

/// Returns the accounts that block 0 has: those of `alloc`, and the registry on chains with validators.
pub fn genesis_accounts(spec: &ChainSpec) -> Vec<Address> {
    let registry = spec.bft().map(|_| STAKING_ADDRESS);
    spec.genesis.alloc.keys().copied().chain(registry).collect()
}

fn check(spec: &ChainSpec) -> Result<(), GenesisError> {
    let genesis = &spec.genesis;
    if let Some(number) = genesis.number.filter(|number| *number != 0) {
        return Err(GenesisError::Number(number));
    }
    if genesis.gas_limit > GAS_LIMIT_MAX {
        return Err(GenesisError::GasLimit(genesis.gas_limit));
    }
    if genesis.config.amsterdam_time.is_some() {
        return Err(GenesisError::UnknownFork("amsterdam"));
    }
    if genesis.config.bogota_time.is_some() {
        return Err(GenesisError::UnknownFork("bogota"));
    }
    if let Some(terms) = spec.bft() {
        if genesis.alloc.contains_key(&STAKING_ADDRESS) {
            return Err(GenesisError::Registry);
        }
        let mut validators = terms.validators.iter();
        if let Some(light) = validators.find(|validator| validator.weight < terms.weight_min) {
            return Err(GenesisError::ValidatorWeight(light.address));
        }
    }
    let stakes = spec.bft().into_iter().flat_map(|terms| {
        let stake = |weight| U256::from(weight) * terms.weight_unit;
        terms.validators.iter().map(move |validator| stake(validator.weight))
    });
    let mut balances = genesis.alloc.values().map(|account| account.balance).chain(stakes);
    if balances.try_fold(U256::ZERO, U256::checked_add).is_none() {
        return Err(GenesisError::Supply);
    }
    if spec.kette.is_some() {
        let rules = Rules::new(Arc::new(spec.clone()));
        for fork in STARTING_FORKS {
            let active = match rules.ethereum_fork_activation(*fork) {
                ForkCondition::Block(number) => number == 0,
                ForkCondition::Timestamp(time) => time <= genesis.timestamp,
                _ => false,
            };
            if !active {
                return Err(GenesisError::LateFork(*fork));
            }
        }
    }
    Ok(())
}

fn account_change(account: &GenesisAccount, codes: &mut BTreeMap<B256, Bytes>) -> AccountChange {
    let code_hash = account.non_empty_code().map_or(KECCAK256_EMPTY, |code| {
        let hash = keccak256(code);
        codes.insert(hash, code.clone());
        hash
    });
    AccountChange {
        nonce: account.nonce.unwrap_or_default(),
        balance: account.balance,
        code_hash,
        storage_wiped: false,
        storage: account
            .storage_slots()
            .filter(|(_, value)| !value.is_zero())
            .map(|(slot, value)| (slot.into(), value))
            .collect(),
    }
}

fn header(spec: &ChainSpec, state_root: B256) -> Result<Header, GenesisError> {
    let genesis = &spec.genesis;
    let rules = Rules::new(Arc::new(spec.clone()));
    let base_fee = match genesis.base_fee_per_gas {
        _ if !rules.is_london_active_at_block(0) => None,
        None => Some(INITIAL_BASE_FEE),
        Some(fee) => Some(u64::try_from(fee).map_err(|_| GenesisError::BaseFee(fee))?),
    };
    let time = genesis.timestamp;
    let cancun = rules.is_cancun_active_at_timestamp(time);
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        beneficiary: genesis.coinbase,
        state_root,
        difficulty: genesis.difficulty,
        gas_limit: genesis.gas_limit,
        timestamp: time,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: genesis.nonce.into(),
        base_fee_per_gas: base_fee,
        withdrawals_root: rules.is_shanghai_active_at_timestamp(time).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or_default()),
        excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or_default()),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: rules.is_prague_active_at_timestamp(time).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// What a Kette chain has from its first block; Osaka may come later.
const STARTING_FORKS: &[EthereumHardfork] = &[
    EthereumHardfork::Homestead,
    EthereumHardfork::Tangerine,
    EthereumHardfork::SpuriousDragon,
    EthereumHardfork::Byzantium,
    EthereumHardfork::Constantinople,
    EthereumHardfork::Petersburg,
    EthereumHardfork::Istanbul,
    EthereumHardfork::Berlin,
    EthereumHardfork::London,
    EthereumHardfork::Shanghai,
    EthereumHardfork::Cancun,
    EthereumHardfork::Prague,
];

#[cfg(test)]
mod tests;
