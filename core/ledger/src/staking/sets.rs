//! Who votes in which height. A version counts from its height on until the next one does.

use super::{
    layout::{Fields, META, VERSIONS, version_slot},
    record::{Record, seated},
    slots::{Slots, SlotsMut},
};
use alloy_primitives::{Address, B256, U256};
use kette_types::bft::{BftSpec, PublicKey, VALIDATORS_MAX, Validator, ValidatorSet};
use std::cmp::Reverse;

/// A set version without its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    number: u64,
    /// First height in which it votes.
    pub(super) from: u64,
    /// Members.
    pub(super) count: u16,
    /// Their weight.
    pub(super) total: u128,
}

/// What the rewards and absences of a block need to know of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) owner: Address,
    pub(super) weight: u64,
}

impl Version {
    /// Finds the version that votes at `height`. `None` if it is not kept any more, or nothing is kept here.
    pub(super) fn at<S: Slots>(slots: &mut S, height: u64) -> Result<Option<Self>, S::Error> {
        let newest = Fields::of(slots.get(META)?).take_u64(64);
        for back in 0..VERSIONS.min(newest.saturating_add(1)) {
            let version = Self::load(slots, newest - back)?;
            if version.count > 0 && version.from <= height {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Returns the first height whose set is still kept.
    pub(super) fn first_height<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        let newest = Fields::of(slots.get(META)?).take_u64(64);
        Ok(Self::load(slots, newest.saturating_sub(VERSIONS - 1))?.from)
    }

    fn load<S: Slots>(slots: &mut S, number: u64) -> Result<Self, S::Error> {
        let mut fields = Fields::of(slots.get(version_slot(number))?);
        Ok(Self {
            number,
            from: fields.take_u64(64),
            count: fields.take(16).to(),
            total: fields.take(128).to(),
        })
    }

    fn slot(&self, offset: u64) -> U256 {
        version_slot(self.number) + U256::from(offset)
    }

    /// Returns keccak256(RLP(validators)).
    pub(super) fn hash<S: Slots>(&self, slots: &mut S) -> Result<B256, S::Error> {
        Ok(slots.get(self.slot(1))?.into())
    }

    /// Returns the member at a position of the set.
    pub(super) fn member<S: Slots>(&self, slots: &mut S, index: u16) -> Result<Member, S::Error> {
        let mut fields = Fields::of(slots.get(self.slot(2 + 3 * u64::from(index)))?);
        Ok(Member { owner: fields.take_address(), weight: fields.take_u64(64) })
    }

    /// Returns all of the set, in its order.
    pub(super) fn validators<S: Slots>(&self, slots: &mut S) -> Result<Vec<Validator>, S::Error> {
        (0..self.count)
            .map(|index| {
                let member = self.member(slots, index)?;
                let offset = 3 * u64::from(index);
                Ok(Validator {
                    address: member.owner,
                    key: PublicKey(slots.get(self.slot(3 + offset))?.into()),
                    vrf_key: slots.get(self.slot(4 + offset))?.into(),
                    weight: member.weight,
                })
            })
            .collect()
    }

    /// Writes a set as the version after this one.
    pub(super) fn write<S: SlotsMut>(
        slots: &mut S,
        number: u64,
        from: u64,
        set: &ValidatorSet,
    ) -> Result<(), S::Error> {
        let count = U256::from(set.len());
        let version = Self { number, from, count: 0, total: 0 };
        let header = Fields::default()
            .put(64, U256::from(from))
            .put(16, count)
            .put(128, U256::from(set.total()));
        slots.set(version.slot(0), header.word())?;
        slots.set(version.slot(1), set.hash().into())?;
        for (index, validator) in (0_u64..).zip(set.validators()) {
            let weight = U256::from(validator.weight);
            let member = Fields::default().put_address(validator.address).put(64, weight);
            slots.set(version.slot(2 + 3 * index), member.word())?;
            slots.set(version.slot(3 + 3 * index), validator.key.0.into())?;
            slots.set(version.slot(4 + 3 * index), validator.vrf_key.into())?;
        }
        let mut fields = Fields::of(slots.get(META)?);
        fields.take(64);
        let marked = fields.take(64);
        slots.set(META, Fields::default().put(64, U256::from(number)).put(64, marked).word())
    }
}

/// Makes the set of height `number + 2` of the records, and writes it if it is another one than the last.
/// Without anybody to vote the last set stays: a chain without voters could never get any.
pub(super) fn renew<S: SlotsMut>(
    slots: &mut S,
    terms: &BftSpec,
    number: u64,
) -> Result<(), S::Error> {
    let mut candidates = Vec::new();
    for owner in seated(slots)? {
        let record = Record::load(slots, owner)?;
        if record.weight(terms) > 0 {
            candidates.push(record);
        }
    }
    candidates.sort_by_key(|record| (Reverse(record.weight(terms)), record.key));
    candidates.truncate(VALIDATORS_MAX);
    if candidates.is_empty() {
        return Ok(());
    }
    let validators = candidates.iter().map(|record| Validator {
        address: record.owner,
        key: record.key,
        vrf_key: record.vrf_key,
        weight: record.weight(terms),
    });
    let set = ValidatorSet::new(validators.collect())
        .expect("a key belongs to one owner, who has one record, and weights are not zero");
    let Some(last) = Version::at(slots, u64::MAX)? else { return Ok(()) };
    if last.hash(slots)? == set.hash() {
        return Ok(());
    }
    let from = number.saturating_add(2);
    let mut before = Vec::new();
    for index in 0..last.count {
        before.push(last.member(slots, index)?.owner);
    }
    for record in candidates.iter_mut().filter(|record| !before.contains(&record.owner)) {
        (record.since, record.missed) = (from, 0);
        record.save(slots)?;
    }
    Version::write(slots, last.number + 1, from, &set)
}
