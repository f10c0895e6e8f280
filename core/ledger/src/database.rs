//! Between [`State`] and revm: reads go down, a block's bundle comes back as [`StateChanges`].

use crate::{ReadError, State, StateChanges, account::AccountChange};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    context::DBErrorMarker,
    database::{BundleAccount, BundleState},
    state::AccountInfo,
};
use std::{cell::OnceCell, collections::BTreeMap, fmt};

/// Hashes of ancestors, for BLOCKHASH: by number, on the block's own branch.
pub trait BlockHashes {
    /// Returns the hash of the ancestor with this number.
    fn block_hash(&self, number: u64) -> Option<B256>;
}

impl BlockHashes for BTreeMap<u64, B256> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.get(&number).copied()
    }
}

impl DBErrorMarker for ReadError {}

/// Reads a state for revm and keeps the first failure, because layers above turn errors into text.
pub(crate) struct StateReader<'a> {
    pub(crate) state: &'a State,
    pub(crate) hashes: &'a dyn BlockHashes,
    pub(crate) fault: &'a OnceCell<ReadError>,
    /// Whether an ancestor without a hash is a failure. It is in a block; a simulated call sees zero.
    pub(crate) strict: bool,
}

impl fmt::Debug for StateReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl StateReader<'_> {
    fn keep<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(error) = &result {
            // The first failure is the cause; later ones follow from it.
            let _ = self.fault.set(error.clone());
        }
        result
    }
}

impl Database for StateReader<'_> {
    type Error = ReadError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        let account = self.keep(self.state.account(address))?;
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: (account.code_hash == KECCAK256_EMPTY).then(Bytecode::default),
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ReadError> {
        self.keep(self.state.code(hash)).map(bytecode)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadError> {
        self.keep(self.state.storage(address, slot))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadError> {
        match self.hashes.block_hash(number) {
            Some(hash) => Ok(hash),
            None if self.strict => self
                .keep(Err(ReadError::Store(format!("the hash of ancestor {number} is not known")))),
            None => Ok(B256::ZERO),
        }
    }
}

/// Prepares code for execution. A genesis file may hold bytes that look like a broken delegation
/// (EIP-7702); they run as what they are.
pub(crate) fn bytecode(code: kette_types::Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// Turns revm's bundle of a block into changes. With `state_clear` (EIP-161, since Spurious Dragon) an empty
/// account is no account.
pub(crate) fn state_changes(bundle: BundleState, state_clear: bool) -> StateChanges {
    let codes = bundle
        .contracts
        .into_iter()
        .filter(|(hash, _)| *hash != KECCAK256_EMPTY)
        .map(|(hash, code)| (hash, code.original_bytes()))
        .collect();
    let accounts = bundle
        .state
        .into_iter()
        .filter_map(|(address, account)| Some((address, account_change(account, state_clear)?)))
        .collect();
    StateChanges { accounts, codes }
}

/// Returns the change of one account; `None` if there is none.
fn account_change(account: BundleAccount, state_clear: bool) -> Option<Option<AccountChange>> {
    let storage_wiped = account.was_destroyed();
    let info_changed = account.is_info_changed();
    let Some(info) = account.info.filter(|info| !(state_clear && info.is_empty())) else {
        return account.original_info.is_some().then_some(None);
    };
    let storage: BTreeMap<U256, U256> = account
        .storage
        .into_iter()
        .filter(
            |(_, slot)| {
                if storage_wiped { !slot.present_value.is_zero() } else { slot.is_changed() }
            },
        )
        .map(|(key, slot)| (key, slot.present_value))
        .collect();
    let changed = storage_wiped || info_changed || !storage.is_empty();
    changed.then_some(Some(AccountChange {
        nonce: info.nonce,
        balance: info.balance,
        code_hash: info.code_hash,
        storage_wiped,
        storage,
    }))
}
