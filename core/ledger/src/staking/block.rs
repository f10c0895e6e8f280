//! What the protocol does with the registry at the end of a block.

use super::{
    abi::Staking,
    evidence::{Punishment, cut, judge, punish},
    layout::{Fields, STAKING_ADDRESS, absence_slot, seat_slot},
    record::{Record, bits, is_marked},
    sets::{Version, renew},
    slots::{Slots, SlotsMut},
};
use crate::{BlockError, ReadError, Rules, database::StateReader, reward::Voters};
use alloy_primitives::{Address, B256, Log, LogData, U256, U512, keccak256};
use alloy_sol_types::SolEvent;
use kette_types::{
    Header,
    bft::{BftSpec, Certificate, Seal},
    planted::{Bug, is_planted},
};
use revm::{
    Database, DatabaseCommit,
    database::State as Cache,
    state::{Account as EvmAccount, EvmStorageSlot, TransactionId},
};
use std::collections::BTreeMap;

/// A block's seal, and whether it says what the next set is (in a block that is being built the engine wrote
/// that down from the state).
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) seal: Seal,
    pub(crate) check_next: bool,
}

/// What the end of a block did.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// Who votes in this height, for the reward.
    pub(crate) voters: Voters,
    /// Who signed the parent's certificate, with their weight; nobody if they are not paid.
    pub(crate) signers: Vec<(Address, u64)>,
    /// Wei destroyed.
    pub(crate) burned: U256,
    /// Events of the registry that belong to no transaction.
    pub(crate) logs: Vec<Log>,
}

/// Reads the seal of a block, if the chain's blocks have one.
pub(crate) fn read_seal(
    rules: &Rules,
    bytes: &[u8],
    check_next: bool,
) -> Result<Option<Ending>, BlockError> {
    if rules.bft().is_none() {
        return Ok(None);
    }
    let seal = Seal::decode_exact(bytes).map_err(BlockError::Seal)?;
    Ok(Some(Ending { seal, check_next }))
}

/// Ends a block: punishes, counts who was absent, and makes the set of the height after the next one.
pub(crate) fn close(
    cache: &mut Cache<StateReader<'_>>,
    rules: &Rules,
    terms: &BftSpec,
    header: &Header,
    ending: &Ending,
) -> Result<Closed, BlockError> {
    let number = header.number;
    let mut slots = CacheSlots { cache, changed: BTreeMap::new() };
    let (seal, certified) = (&ending.seal, number.saturating_sub(1));
    let current = version(&mut slots, number)?;
    let before = version(&mut slots, certified)?;
    if ending.check_next {
        check_next(&mut slots, number, &current, seal)?;
    }
    check_certificate(header, before.count, &seal.last_commit)?;

    let mut closed = Closed {
        voters: Voters { count: u64::from(current.count), weight: current.total },
        ..Closed::default()
    };
    let mut logs = Vec::new();
    for (index, evidence) in seal.evidence.iter().enumerate() {
        let record = judge(&mut slots, terms, rules.domain(), number, evidence)?
            .map_err(|refusal| BlockError::Evidence { index, refusal })?;
        let Punishment { burned, logs: said } =
            punish(&mut slots, terms, number, evidence.height(), record)?;
        closed.burned += burned;
        logs.extend(said);
    }
    if number > 1 {
        let shared = terms.producer_share < SHARE_WHOLE;
        for signer in seal.last_commit.signers.iter().filter(|_| shared) {
            let member = before.member(&mut slots, *signer)?;
            closed.signers.push((member.owner, member.weight));
        }
        let mut roll = Roll { terms, number, certified, burned: U256::ZERO, logs: Vec::new() };
        roll.call(&mut slots, &before, &seal.last_commit.signers)?;
        closed.burned += roll.burned;
        logs.extend(roll.logs);
    }
    if !logs.is_empty() || is_marked(&mut slots, number)? {
        renew(&mut slots, terms, number)?;
    }
    slots.finish(closed.burned)?;
    closed.logs = logs.into_iter().map(|data| Log { address: STAKING_ADDRESS, data }).collect();
    Ok(closed)
}

fn version(slots: &mut CacheSlots<'_, '_>, height: u64) -> Result<Version, BlockError> {
    Version::at(slots, height)?.ok_or_else(|| {
        let text = format!("the state has no validators of height {height}");
        BlockError::Read(ReadError::Store(text))
    })
}

/// Checks what the seal says about the set of the next height.
fn check_next(
    slots: &mut CacheSlots<'_, '_>,
    number: u64,
    current: &Version,
    seal: &Seal,
) -> Result<(), BlockError> {
    let next = version(slots, number.saturating_add(1))?;
    let (got, expected) = (seal.next_hash, next.hash(slots)?);
    if got != expected {
        return Err(BlockError::NextValidators { got, expected });
    }
    let changes = expected != current.hash(slots)?;
    let listed = (!seal.next.is_empty()).then(|| keccak256(alloy_rlp::encode(&seal.next)));
    if listed != changes.then_some(expected) {
        let expected = if changes { expected } else { B256::ZERO };
        let got = listed.unwrap_or_default();
        return Err(BlockError::NextValidatorsList { got, expected });
    }
    Ok(())
}

/// Checks that a certificate is about the parent and names members of its set. Whether they signed is the
/// engine's to check.
fn check_certificate(
    header: &Header,
    members: u16,
    certificate: &Certificate,
) -> Result<(), BlockError> {
    let problem = |problem| Err(BlockError::ParentCertificate(problem));
    if header.number <= 1 {
        return if certificate.is_empty() { Ok(()) } else { problem("block 1 has none") };
    }
    if (certificate.height, certificate.block) != (header.number - 1, header.parent_hash) {
        return problem("it is about another block");
    }
    if certificate.signers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return problem("its signers are not in order");
    }
    if certificate.signers.last().is_none_or(|last| *last >= members) {
        return problem("its signers are no members of the set");
    }
    Ok(())
}

/// Counts who was absent.
struct Roll<'a> {
    terms: &'a BftSpec,
    number: u64,
    /// The height whose certificate is looked at.
    certified: u64,
    burned: U256,
    logs: Vec<LogData>,
}

impl Roll<'_> {
    /// One word holds the absences of one height, a bit for each seat. Only where this height and the one that
    /// it replaces were not both complete is anything written.
    fn call<S: SlotsMut>(
        &mut self,
        slots: &mut S,
        set: &Version,
        signers: &[u16],
    ) -> Result<(), S::Error> {
        let window = self.terms.slashing.downtime_window;
        if window == 0 {
            return Ok(());
        }
        let slot = absence_slot(self.certified, window);
        let old = slots.get(slot)?;
        if let Some(forgotten) = self.certified.checked_sub(window) {
            for seat in bits(old) {
                forgive(slots, seat, forgotten)?;
            }
        }
        let mut absent = U256::ZERO;
        for index in (0..set.count).filter(|index| signers.binary_search(index).is_err()) {
            let member = set.member(slots, index)?;
            let mut record = Record::load(slots, member.owner)?;
            if !record.seated || record.jailed || self.certified < record.since {
                continue;
            }
            absent.set_bit(usize::from(record.seat), true);
            record.missed += 1;
            if record.missed >= self.terms.slashing.downtime_missed {
                self.jail(slots, &mut record)?;
            }
            record.save(slots)?;
        }
        if absent != old {
            slots.set(slot, absent)?;
        }
        Ok(())
    }

    fn jail<S: SlotsMut>(&mut self, slots: &mut S, record: &mut Record) -> Result<(), S::Error> {
        let slashing = &self.terms.slashing;
        let until = self.number.saturating_add(slashing.jail_blocks);
        (record.jailed, record.jailed_until, record.missed) = (true, until, 0);
        let (owner, amount) = (record.owner, cut(slots, record, slashing.downtime_share)?);
        if !amount.is_zero() {
            self.burned += amount;
            self.logs.push(Staking::Slashed { owner, amount }.encode_log_data());
        }
        self.logs.push(Staking::Jailed { owner, until }.encode_log_data());
        Ok(())
    }
}

/// An absence leaves the window. It is only taken back from who it was counted against.
fn forgive<S: SlotsMut>(slots: &mut S, seat: u8, height: u64) -> Result<(), S::Error> {
    let owner = Fields::of(slots.get(seat_slot(seat))?).take_address();
    let mut record = Record::load(slots, owner)?;
    if record.seated && record.seat == seat && record.since <= height {
        record.missed = record.missed.saturating_sub(1);
        record.save(slots)?;
    }
    Ok(())
}

/// Splits a subsidy: the producer's share in millionths, the rest by weight among the signers of the parent's
/// certificate, and what the division leaves to the producer again. The parts add up to the subsidy exactly.
pub(crate) fn split(
    subsidy: U256,
    producer: Address,
    share: u32,
    signers: &[(Address, u64)],
) -> Vec<(Address, U256)> {
    let part = |of: U256, numerator: u128, denominator: u128| {
        // The numerator is at most the denominator: the quotient fits again.
        let product = U512::from(of) * U512::from(numerator) / U512::from(denominator);
        product.to::<U256>()
    };
    let weight: u128 = signers.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let shared = subsidy - part(subsidy, u128::from(share), u128::from(SHARE_WHOLE));
    let mut credits = vec![(producer, subsidy)];
    if weight == 0 || shared.is_zero() {
        return credits;
    }
    for (owner, one) in signers {
        let amount = part(shared, u128::from(*one), weight);
        credits[0].1 -= amount;
        credits.push((*owner, amount));
    }
    if is_planted(Bug::RewardOffByOne) && !credits[0].1.is_zero() {
        credits[0].1 -= U256::ONE;
        credits[1].1 += U256::ONE;
    }
    credits
}

/// The registry's storage between the transactions of a block and its end.
struct CacheSlots<'a, 'b> {
    cache: &'a mut Cache<StateReader<'b>>,
    /// Old and new value.
    changed: BTreeMap<U256, (U256, U256)>,
}

impl Slots for CacheSlots<'_, '_> {
    type Error = BlockError;

    fn get(&mut self, slot: U256) -> Result<U256, BlockError> {
        match self.changed.get(&slot) {
            Some((_, new)) => Ok(*new),
            None => Database::storage(self.cache, STAKING_ADDRESS, slot).map_err(failed),
        }
    }
}

impl SlotsMut for CacheSlots<'_, '_> {
    fn set(&mut self, slot: U256, value: U256) -> Result<(), BlockError> {
        if let Some((_, new)) = self.changed.get_mut(&slot) {
            *new = value;
            return Ok(());
        }
        let old = self.get(slot)?;
        self.changed.insert(slot, (old, value));
        Ok(())
    }
}

impl CacheSlots<'_, '_> {
    /// Hands the changes to the block, and destroys what was slashed.
    fn finish(self, burned: U256) -> Result<(), BlockError> {
        let Self { cache, mut changed } = self;
        changed.retain(|_, (old, new)| old != new);
        if changed.is_empty() && burned.is_zero() {
            return Ok(());
        }
        let info = cache.basic(STAKING_ADDRESS).map_err(failed)?.unwrap_or_default();
        let mut account = EvmAccount::from(info);
        account.info.balance = account.info.balance.checked_sub(burned).ok_or_else(|| {
            let text = "the registry holds less than its validators' stake".to_owned();
            BlockError::Read(ReadError::Store(text))
        })?;
        for (slot, (old, new)) in changed {
            let value = EvmStorageSlot::new_changed(old, new, TransactionId::ZERO);
            account.storage.insert(slot, value);
        }
        account.mark_touch();
        cache.commit(std::iter::once((STAKING_ADDRESS, account)).collect());
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> BlockError {
    BlockError::SystemCall(error.to_string())
}

/// All of a share in millionths.
const SHARE_WHOLE: u32 = 1_000_000;
