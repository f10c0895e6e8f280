//! The registry in block 0.

use super::{
    layout::MARKER,
    record::{Holder, Record},
    sets::Version,
    slots::{FreshSlots, SlotsMut},
};
use crate::account::AccountChange;
use alloy_primitives::{U256, keccak256};
use kette_types::bft::{BftSpec, SetError, ValidatorSet};

/// Returns the registry's account: the first validators with their stake, and the set of the first heights.
///
/// # Errors
/// If the validators are no set; a chain specification has been checked for that.
pub(crate) fn genesis_account(terms: &BftSpec) -> Result<AccountChange, SetError> {
    let set = terms.genesis_set()?;
    let mut slots = FreshSlots::default();
    let Ok(balance) = write(&mut slots, terms, &set);
    Ok(AccountChange {
        nonce: 1,
        balance,
        code_hash: keccak256(MARKER),
        storage_wiped: false,
        storage: slots.0,
    })
}

/// Writes records, keys and the first set. Returns the stake of all.
fn write<S: SlotsMut>(
    slots: &mut S,
    terms: &BftSpec,
    set: &ValidatorSet,
) -> Result<U256, S::Error> {
    let mut balance = U256::ZERO;
    for validator in set.validators() {
        let owner = validator.address;
        let mut record = Record::load(slots, owner)?;
        (record.key, record.vrf_key) = (validator.key, validator.vrf_key);
        // A weight below 2^64 times a unit below 2^128 fits a record.
        record.stake = U256::from(validator.weight) * terms.weight_unit;
        record.sit(slots)?;
        record.save(slots)?;
        Holder { owner, retired: None }.save(slots, validator.key)?;
        balance += record.stake;
    }
    Version::write(slots, 0, 0, set)?;
    Ok(balance)
}
