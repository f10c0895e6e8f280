//! A state with what a caller wants to be different.

use super::EvmOverrides;
use crate::{
    ReadError, State,
    database::{BlockHashes, StateReader, bytecode},
};
use alloy_primitives::{KECCAK256_EMPTY, keccak256};
use kette_types::{Address, B256, Bytes, U256};
use revm::{Database, bytecode::Bytecode, state::AccountInfo};
use std::{cell::OnceCell, collections::BTreeMap};

/// Reads the overrides first, then the state.
#[derive(Debug)]
pub(super) struct Overridden<'a> {
    reader: StateReader<'a>,
    overrides: &'a EvmOverrides,
    /// Overriding code by hash.
    codes: BTreeMap<B256, Bytes>,
}

impl<'a> Overridden<'a> {
    pub(super) fn new(
        state: &'a State,
        hashes: &'a dyn BlockHashes,
        fault: &'a OnceCell<ReadError>,
        overrides: &'a EvmOverrides,
    ) -> Self {
        let codes = overrides.state.iter().flat_map(|accounts| accounts.values());
        let codes = codes.filter_map(|account| account.code.clone());
        Self {
            reader: StateReader { state, hashes, fault, strict: false },
            overrides,
            codes: codes.map(|code| (keccak256(&code), code)).collect(),
        }
    }

    fn account(&self, address: Address) -> Option<&'a super::AccountOverride> {
        self.overrides.state.as_ref()?.get(&address)
    }
}

impl Database for Overridden<'_> {
    type Error = ReadError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        let info = self.reader.basic(address)?;
        let Some(account) = self.account(address) else { return Ok(info) };
        let mut info = info.unwrap_or_default();
        info.balance = account.balance.unwrap_or(info.balance);
        info.nonce = account.nonce.unwrap_or(info.nonce);
        if let Some(code) = &account.code {
            info.code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
            info.code = Some(bytecode(code.clone()));
        }
        Ok(Some(info))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ReadError> {
        match self.codes.get(&hash) {
            Some(code) => Ok(bytecode(code.clone())),
            None => self.reader.code_by_hash(hash),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadError> {
        if let Some(account) = self.account(address) {
            let key = B256::from(slot);
            if let Some(state) = &account.state {
                return Ok(state.get(&key).copied().unwrap_or_default().into());
            }
            if let Some(value) = account.state_diff.as_ref().and_then(|diff| diff.get(&key)) {
                return Ok((*value).into());
            }
        }
        self.reader.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadError> {
        let block = self.overrides.block.as_deref();
        match block.and_then(|block| block.block_hash.as_ref()?.get(&number)) {
            Some(hash) => Ok(*hash),
            None => self.reader.block_hash(number),
        }
    }
}
