//! The registry's storage, as every reader and writer of it sees it.

use super::layout::{Kind, STAKING_ADDRESS, hashed_slot};
use crate::{ReadError, State};
use alloy_primitives::{B256, U256};
use std::collections::BTreeMap;

/// Reads slots of the registry.
pub(super) trait Slots {
    type Error;

    fn get(&mut self, slot: U256) -> Result<U256, Self::Error>;

    /// Returns a hashed slot; where work is paid for, the hash is.
    fn hashed(&mut self, kind: Kind, what: B256) -> Result<U256, Self::Error> {
        Ok(hashed_slot(kind, what))
    }
}

/// Also writes them.
pub(super) trait SlotsMut: Slots {
    fn set(&mut self, slot: U256, value: U256) -> Result<(), Self::Error>;
}

impl Slots for &State {
    type Error = ReadError;

    fn get(&mut self, slot: U256) -> Result<U256, ReadError> {
        self.storage(STAKING_ADDRESS, slot)
    }
}

/// What genesis writes.
#[derive(Default)]
pub(super) struct FreshSlots(pub(super) BTreeMap<U256, U256>);

impl Slots for FreshSlots {
    type Error = std::convert::Infallible;

    fn get(&mut self, slot: U256) -> Result<U256, Self::Error> {
        Ok(self.0.get(&slot).copied().unwrap_or_default())
    }
}

impl SlotsMut for FreshSlots {
    fn set(&mut self, slot: U256, value: U256) -> Result<(), Self::Error> {
        if value.is_zero() {
            self.0.remove(&slot);
        } else {
            self.0.insert(slot, value);
        }
        Ok(())
    }
}
