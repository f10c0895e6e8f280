//! The validator registry: ledger state that any Ethereum client can read.
//!
//! On a chain with the engine `bft` the account [`STAKING_ADDRESS`] holds the stake of all validators, and its
//! storage says who votes in which height. Calls of it run natively ([`abi`] is its interface); what the
//! protocol itself does at the end of a block (rewards, absences, evidence, the next set) is in [`block`].
//! The state after block `n` knows the sets of heights `n`, `n + 1` and `n + 2`; what changes in block `n`
//! counts from height `n + 2` on.
//!
//! Reading order: `layout`, `slots`, `record`, `sets`, then `precompile` and `block`.

pub mod abi;
mod block;
mod evidence;
mod genesis;
mod layout;
mod metered;
mod precompile;
mod record;
mod sets;
mod slots;
mod transact;
mod view;

/// Encodes calls of [`abi`].
pub use alloy_sol_types::SolCall;
pub use evidence::{EvidenceRefusal, choose_evidence, evidence_error};
pub use layout::{SEATS_MAX, STAKING_ADDRESS, UNBONDING_MAX};

pub(crate) use block::{Closed, Ending, close, read_seal, split};
pub(crate) use genesis::genesis_account;
pub(crate) use layout::MARKER;
pub(crate) use precompile::install;

use crate::{ReadError, State};
use alloy_primitives::{Address, B256};
use kette_types::bft::{Domain, ValidatorSet};

/// Reads who votes at `height` from the state after block `height - 1` or `height - 2`. `None` if the state has
/// no registry, or no longer knows. A state cannot tell its own height: for a later one it answers with the
/// newest set that it has.
///
/// # Errors
/// If the state cannot be read, or its registry is damaged.
pub fn validators(state: &State, height: u64) -> Result<Option<ValidatorSet>, ReadError> {
    let mut slots = state;
    let Some(version) = sets::Version::at(&mut slots, height)? else { return Ok(None) };
    let set = ValidatorSet::from_sorted(version.validators(&mut slots)?);
    set.map(Some).map_err(|error| ReadError::Store(format!("validator registry: {error}")))
}

/// Reads the hash of the set that [`validators`] would return: three slots instead of all members.
///
/// # Errors
/// If the state cannot be read.
pub fn validators_hash(state: &State, height: u64) -> Result<Option<B256>, ReadError> {
    let mut slots = state;
    let version = sets::Version::at(&mut slots, height)?;
    version.map(|version| version.hash(&mut slots)).transpose()
}

/// Returns what a validator's key signs to prove to the registry that it belongs to `owner`: the `proof` of
/// `register` and `rotate`.
pub fn proof_message(domain: Domain, owner: Address, vrf_key: B256) -> Vec<u8> {
    [b"kette/bft/register/1", domain.0.as_slice(), owner.as_slice(), vrf_key.as_slice()].concat()
}

#[cfg(test)]
mod tests;
