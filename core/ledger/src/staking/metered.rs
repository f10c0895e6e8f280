//! The registry's storage inside a transaction: every access is paid for as the EVM prices it, and journaled,
//! so that a revert undoes it.

use super::layout::{Kind, STAKING_ADDRESS, hashed_slot};
use super::slots::{Slots, SlotsMut};
use alloy_evm::{EvmInternals, EvmInternalsError};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::{SolError, SolEvent};
use revm::context_interface::cfg::GasParams;

/// Why a call does not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It reverts with an ABI-encoded error.
    Revert(Vec<u8>),
    /// It used up its gas.
    OutOfGas,
    /// The host failed.
    Fatal(String),
}

impl Failure {
    /// Reverts with a Solidity error.
    pub(super) fn revert(error: &impl SolError) -> Self {
        Self::Revert(error.abi_encode())
    }
}

impl From<EvmInternalsError> for Failure {
    fn from(error: EvmInternalsError) -> Self {
        Self::Fatal(error.to_string())
    }
}

/// Storage, logs and balances of the registry's account, as long as the gas lasts.
pub(super) struct Metered<'a, 'b> {
    pub(super) internals: &'a mut EvmInternals<'b>,
    pub(super) gas: &'a GasParams,
    /// Gas that is left.
    pub(super) left: u64,
    /// Gas to be refunded if the transaction succeeds (EIP-3529).
    pub(super) refund: i64,
}

impl Metered<'_, '_> {
    /// Pays for work.
    pub(super) const fn charge(&mut self, gas: u64) -> Result<(), Failure> {
        match self.left.checked_sub(gas) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Failure::OutOfGas),
        }
    }

    /// Logs an event.
    pub(super) fn log(&mut self, event: &impl SolEvent) -> Result<(), Failure> {
        let data = event.encode_log_data();
        let topics = u8::try_from(data.topics().len()).expect("an event has at most 4 topics");
        let bytes = u64::try_from(data.data.len()).unwrap_or(u64::MAX);
        self.charge(LOG_GAS.saturating_add(self.gas.log_cost(topics, bytes)))?;
        self.internals.log(Log { address: STAKING_ADDRESS, data });
        Ok(())
    }

    /// Pays out of the registry's balance. The recipient's code does not run.
    pub(super) fn pay(&mut self, to: Address, amount: U256) -> Result<(), Failure> {
        self.charge(self.gas.transfer_value_cost())?;
        match self.internals.transfer(STAKING_ADDRESS, to, amount)? {
            None => Ok(()),
            Some(error) => Err(Failure::Fatal(format!("the registry cannot pay: {error:?}"))),
        }
    }
}

impl Slots for Metered<'_, '_> {
    type Error = Failure;

    fn get(&mut self, slot: U256) -> Result<U256, Failure> {
        self.charge(self.gas.warm_storage_read_cost())?;
        let load = self.internals.sload(STAKING_ADDRESS, slot)?;
        if load.is_cold {
            self.charge(self.gas.cold_storage_additional_cost())?;
        }
        Ok(load.data)
    }

    fn hashed(&mut self, kind: Kind, what: B256) -> Result<U256, Failure> {
        self.charge(HASH_GAS)?;
        Ok(hashed_slot(kind, what))
    }
}

impl SlotsMut for Metered<'_, '_> {
    fn set(&mut self, slot: U256, value: U256) -> Result<(), Failure> {
        // EIP-2200: what a plain transfer passes on is never enough to write.
        if self.left <= self.gas.call_stipend() {
            return Err(Failure::OutOfGas);
        }
        self.charge(self.gas.sstore_static_gas())?;
        let store = self.internals.sstore(STAKING_ADDRESS, slot, value)?;
        self.charge(self.gas.sstore_dynamic_gas(true, &store.data, store.is_cold))?;
        self.refund += self.gas.sstore_refund(true, &store.data);
        Ok(())
    }
}

/// LOG without topics and data (Yellow Paper, appendix G).
const LOG_GAS: u64 = 375;
/// KECCAK256 of two words (Yellow Paper, appendix G).
const HASH_GAS: u64 = 30 + 2 * 6;
