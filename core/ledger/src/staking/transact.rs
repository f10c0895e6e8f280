//! What an owner can do.

use super::{
    abi::Staking,
    layout::{SEATS_MAX, UNBONDING_MAX, stake_max},
    metered::Failure,
    precompile::Context,
    proof_message,
    record::{Holder, Record, Unbonding, mark, seated, stake_min},
};
use alloy_primitives::{B256, U256};
use kette_types::bft::{BftSpec, PublicKey, Signature};

pub(super) fn register(
    context: &mut Context<'_, '_>,
    key: B256,
    vrf_key: B256,
    proof: &[u8],
) -> Result<(), Failure> {
    let mut record = Record::load(&mut context.slots, context.caller)?;
    if record.tombstoned {
        return Err(Failure::revert(&Staking::Tombstoned {}));
    }
    if record.seated {
        return Err(Failure::revert(&Staking::AlreadyRegistered {}));
    }
    let least = stake_min(context.terms);
    if context.value < least {
        return Err(Failure::revert(&Staking::BelowMinimum { least }));
    }
    record.stake = added(U256::ZERO, context.value)?;
    take_keys(context, &mut record, PublicKey(key), vrf_key, proof)?;
    if !record.sit(&mut context.slots)? {
        make_room(context, record.stake)?;
        record.sit(&mut context.slots)?;
    }
    readmit(context, &mut record)?;
    let (owner, stake) = (context.caller, record.stake);
    context.slots.log(&Staking::Registered { owner, key, vrfKey: vrf_key, stake })
}

pub(super) fn bond(context: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mut record = seated_caller(context)?;
    if record.tombstoned {
        return Err(Failure::revert(&Staking::Tombstoned {}));
    }
    if context.value.is_zero() {
        return Err(Failure::revert(&Staking::BadAmount { stake: record.stake }));
    }
    record.stake = added(record.stake, context.value)?;
    record.save(&mut context.slots)?;
    mark(&mut context.slots, context.number)?;
    let (owner, amount, stake) = (context.caller, context.value, record.stake);
    context.slots.log(&Staking::Bonded { owner, amount, stake })
}

pub(super) fn unbond(context: &mut Context<'_, '_>, amount: U256) -> Result<(), Failure> {
    let mut record = seated_caller(context)?;
    if amount.is_zero() || amount > record.stake {
        return Err(Failure::revert(&Staking::BadAmount { stake: record.stake }));
    }
    let (rest, least) = (record.stake - amount, stake_min(context.terms));
    if !rest.is_zero() && rest < least {
        return Err(Failure::revert(&Staking::BelowMinimum { least }));
    }
    let release = release_of(context.terms, context.number);
    if !enqueue(context, &mut record, Unbonding { amount, release })? {
        return Err(Failure::revert(&Staking::TooManyUnbondings {}));
    }
    leave_with(context, &mut record, amount, release)
}

pub(super) fn withdraw(context: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mut record = Record::load(&mut context.slots, context.caller)?;
    let mut entries = Vec::new();
    for index in 0..record.queue {
        entries.push(record.unbonding(&mut context.slots, index)?);
    }
    // They were added in the order of their release.
    let due = entries.iter().take_while(|entry| entry.release <= context.number).count();
    let amount = entries.iter().take(due).map(|entry| entry.amount).sum::<U256>();
    if due == 0 {
        return Err(Failure::revert(&Staking::NothingToWithdraw {}));
    }
    let none = Unbonding { amount: U256::ZERO, release: 0 };
    let rest = entries.iter().skip(due).copied().chain(std::iter::repeat_n(none, due));
    for (index, entry) in (0..).zip(rest) {
        record.set_unbonding(&mut context.slots, index, entry)?;
    }
    record.queue -= u8::try_from(due).expect("at most UNBONDING_MAX");
    record.save(&mut context.slots)?;
    context.slots.pay(context.caller, amount)?;
    context.slots.log(&Staking::Withdrawn { owner: context.caller, amount })
}

pub(super) fn unjail(context: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mut record = seated_caller(context)?;
    if record.tombstoned {
        return Err(Failure::revert(&Staking::Tombstoned {}));
    }
    if !record.jailed {
        return Err(Failure::revert(&Staking::NotJailed {}));
    }
    if context.number < record.jailed_until {
        return Err(Failure::revert(&Staking::StillJailed { until: record.jailed_until }));
    }
    let least = stake_min(context.terms);
    if record.stake < least {
        return Err(Failure::revert(&Staking::BelowMinimum { least }));
    }
    (record.jailed, record.jailed_until) = (false, 0);
    readmit(context, &mut record)?;
    context.slots.log(&Staking::Unjailed { owner: context.caller })
}

pub(super) fn rotate(
    context: &mut Context<'_, '_>,
    key: B256,
    vrf_key: B256,
    proof: &[u8],
) -> Result<(), Failure> {
    let mut record = seated_caller(context)?;
    if record.tombstoned {
        return Err(Failure::revert(&Staking::Tombstoned {}));
    }
    take_keys(context, &mut record, PublicKey(key), vrf_key, proof)?;
    record.save(&mut context.slots)?;
    mark(&mut context.slots, context.number)?;
    context.slots.log(&Staking::Rotated { owner: context.caller, key, vrfKey: vrf_key })
}

fn seated_caller(context: &mut Context<'_, '_>) -> Result<Record, Failure> {
    let record = Record::load(&mut context.slots, context.caller)?;
    if record.seated { Ok(record) } else { Err(Failure::revert(&Staking::NotRegistered {})) }
}

fn added(stake: U256, value: U256) -> Result<U256, Failure> {
    let most = stake_max();
    match stake.checked_add(value) {
        Some(sum) if sum <= most => Ok(sum),
        _ => Err(Failure::revert(&Staking::StakeTooLarge { most })),
    }
}

/// Gives an owner keys that nobody else has or had, and that it can use.
fn take_keys(
    context: &mut Context<'_, '_>,
    record: &mut Record,
    key: PublicKey,
    vrf_key: B256,
    proof: &[u8],
) -> Result<(), Failure> {
    let owner = record.owner;
    context.slots.charge(PROOF_GAS)?;
    if !key.is_usable() || !PublicKey(vrf_key).is_usable() {
        return Err(Failure::revert(&Staking::BadKey {}));
    }
    let message = proof_message(context.domain, owner, vrf_key);
    let signed = Signature::try_from(proof).is_ok_and(|signature| key.verify(&message, &signature));
    if !signed {
        return Err(Failure::revert(&Staking::BadProof {}));
    }
    if let Some(holder) = Holder::load(&mut context.slots, key)?.filter(|it| it.owner != owner) {
        return Err(Failure::revert(&Staking::KeyTaken { owner: holder.owner }));
    }
    if record.is_known() && record.key != key {
        let retired = Some(context.number);
        Holder { owner, retired }.save(&mut context.slots, record.key)?;
    }
    Holder { owner, retired: None }.save(&mut context.slots, key)?;
    (record.key, record.vrf_key) = (key, vrf_key);
    Ok(())
}

/// Lets a validator in, with nothing held against it.
fn readmit(context: &mut Context<'_, '_>, record: &mut Record) -> Result<(), Failure> {
    (record.since, record.missed) = (context.number.saturating_add(2), 0);
    record.save(&mut context.slots)?;
    mark(&mut context.slots, context.number)
}

/// Sends away whoever has the least stake, if that is less than `stake`.
fn make_room(context: &mut Context<'_, '_>, stake: U256) -> Result<(), Failure> {
    let mut lightest: Option<Record> = None;
    for owner in seated(&mut context.slots)? {
        let record = Record::load(&mut context.slots, owner)?;
        if lightest.as_ref().is_none_or(|least| record.stake < least.stake) {
            lightest = Some(record);
        }
    }
    let mut record = lightest.expect("a registry without a free seat has seats");
    if record.stake >= stake {
        return Err(Failure::revert(&Staking::RegistryFull { stake: record.stake }));
    }
    let (amount, release) = (record.stake, release_of(context.terms, context.number));
    if !enqueue(context, &mut record, Unbonding { amount, release })? {
        // It goes with the last amount that is on its way, only later.
        let last = record.queue - 1;
        let before = record.unbonding(&mut context.slots, last)?;
        let entry = Unbonding { amount: added(before.amount, amount)?, release };
        record.set_unbonding(&mut context.slots, last, entry)?;
    }
    leave_with(context, &mut record, amount, release)
}

/// Adds to what is being unbonded. `false` if there is no room.
fn enqueue(
    context: &mut Context<'_, '_>,
    record: &mut Record,
    entry: Unbonding,
) -> Result<bool, Failure> {
    if let Some(last) = record.queue.checked_sub(1) {
        let before = record.unbonding(&mut context.slots, last)?;
        let amount = before.amount + entry.amount;
        if before.release == entry.release && amount <= stake_max() {
            record.set_unbonding(&mut context.slots, last, Unbonding { amount, ..entry })?;
            return Ok(true);
        }
    }
    if record.queue >= UNBONDING_MAX {
        return Ok(false);
    }
    record.set_unbonding(&mut context.slots, record.queue, entry)?;
    record.queue += 1;
    Ok(true)
}

/// Takes an amount off the stake that is already among what is being unbonded.
fn leave_with(
    context: &mut Context<'_, '_>,
    record: &mut Record,
    amount: U256,
    release: u64,
) -> Result<(), Failure> {
    record.stake -= amount;
    if record.stake.is_zero() {
        record.stand(&mut context.slots)?;
    }
    record.save(&mut context.slots)?;
    mark(&mut context.slots, context.number)?;
    context.slots.log(&Staking::Unbonded { owner: record.owner, amount, release })
}

/// Returns the first block in which stake that is unbonded in block `number` can be withdrawn. It votes until
/// height `number + 1`, and must be there for as long as that can be punished.
fn release_of(terms: &BftSpec, number: u64) -> u64 {
    number.saturating_add(2).saturating_add(terms.unbonding_blocks)
}

/// An Ed25519 verification and two decompressions; ECRECOVER costs 3,000.
const PROOF_GAS: u64 = 6_000;

const _: () = assert!(SEATS_MAX == 256, "a seat is a byte");
