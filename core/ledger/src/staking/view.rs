//! What the registry answers.

use super::{
    abi::Staking,
    metered::Failure,
    precompile::Context,
    record::{Record, seated},
    sets::Version,
};
use alloy_primitives::Address;
use kette_types::bft::BftSpec;

/// Describes a record.
pub(super) fn info(record: &Record, terms: &BftSpec) -> Staking::Info {
    Staking::Info {
        owner: if record.is_known() { record.owner } else { Address::ZERO },
        key: record.key.0,
        vrfKey: record.vrf_key,
        weight: record.weight(terms),
        stake: record.stake,
        jailed: record.jailed,
        jailedUntil: record.jailed_until,
        missed: record.missed,
    }
}

pub(super) fn validators(context: &mut Context<'_, '_>) -> Result<Vec<Staking::Info>, Failure> {
    let owners = seated(&mut context.slots)?;
    owners.into_iter().map(|owner| validator(context, owner)).collect()
}

pub(super) fn validator(
    context: &mut Context<'_, '_>,
    owner: Address,
) -> Result<Staking::Info, Failure> {
    Ok(info(&Record::load(&mut context.slots, owner)?, context.terms))
}

pub(super) fn validators_at(
    context: &mut Context<'_, '_>,
    height: u64,
) -> Result<Vec<Staking::Member>, Failure> {
    let validators = set_at(context, height)?.validators(&mut context.slots)?;
    let members = validators.into_iter().map(|validator| Staking::Member {
        owner: validator.address,
        key: validator.key.0,
        vrfKey: validator.vrf_key,
        weight: validator.weight,
    });
    Ok(members.collect())
}

pub(super) fn total_weight(context: &mut Context<'_, '_>) -> Result<u128, Failure> {
    Ok(set_at(context, context.number)?.total)
}

pub(super) fn quorum(context: &mut Context<'_, '_>) -> Result<u128, Failure> {
    Ok(context.terms.quorum.threshold(total_weight(context)?))
}

pub(super) fn unbonding(
    context: &mut Context<'_, '_>,
    owner: Address,
) -> Result<Vec<Staking::Unbonding>, Failure> {
    let record = Record::load(&mut context.slots, owner)?;
    (0..record.queue)
        .map(|index| {
            let entry = record.unbonding(&mut context.slots, index)?;
            Ok(Staking::Unbonding { amount: entry.amount, release: entry.release })
        })
        .collect()
}

fn set_at(context: &mut Context<'_, '_>, height: u64) -> Result<Version, Failure> {
    let last = context.number.saturating_add(1);
    let found = if height > last { None } else { Version::at(&mut context.slots, height)? };
    match found {
        Some(version) => Ok(version),
        None => {
            let first = Version::first_height(&mut context.slots)?;
            Err(Failure::revert(&Staking::UnknownHeight { first, last }))
        }
    }
}
