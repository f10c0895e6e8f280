//! What the registry knows about one owner, and whose a key is.

use super::{
    layout::{Fields, Kind, META, SEATS, seat_slot, stake_max},
    slots::{Slots, SlotsMut},
};
use alloy_primitives::{Address, B256, U256};
use kette_types::bft::{BftSpec, PublicKey};

/// An owner's record. It stays when the stake has left: what was signed can still be punished, and a sentence
/// still stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) owner: Address,
    pub(super) key: PublicKey,
    pub(super) vrf_key: B256,
    /// Wei; below 2^192.
    pub(super) stake: U256,
    /// Absence counts from this height on.
    pub(super) since: u64,
    /// First block in which it may unjail itself.
    pub(super) jailed_until: u64,
    /// Height of the last double signing that was punished; 0 if none.
    pub(super) punished: u64,
    /// Of the last window of blocks, those it was absent from.
    pub(super) missed: u64,
    pub(super) seat: u8,
    /// Amounts that are being unbonded.
    pub(super) queue: u8,
    /// It has a seat: it has stake.
    pub(super) seated: bool,
    pub(super) jailed: bool,
    /// Jailed for ever.
    pub(super) tombstoned: bool,
    base: U256,
    words: [U256; WORDS],
}

/// Stake that is being unbonded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unbonding {
    pub(super) amount: U256,
    /// First block in which it can be withdrawn.
    pub(super) release: u64,
}

impl Record {
    /// Reads an owner's record; an empty one if there is none.
    pub(super) fn load<S: Slots>(slots: &mut S, owner: Address) -> Result<Self, S::Error> {
        let base = slots.hashed(Kind::Record, owner.into_word())?;
        let mut words = [U256::ZERO; WORDS];
        for (slot, word) in (0_u64..).zip(&mut words) {
            *word = slots.get(base.wrapping_add(U256::from(slot)))?;
        }
        let mut stake = Fields::of(words[2]);
        let mut status = Fields::of(words[3]);
        let record = Self {
            owner,
            key: PublicKey(words[0].into()),
            vrf_key: words[1].into(),
            stake: stake.take(192),
            since: stake.take_u64(64),
            jailed_until: status.take_u64(64),
            punished: status.take_u64(64),
            missed: status.take_u64(32),
            seat: status.take(8).to(),
            queue: status.take(8).to(),
            seated: status.take_u64(1) == 1,
            jailed: status.take_u64(1) == 1,
            tombstoned: status.take_u64(1) == 1,
            base,
            words,
        };
        Ok(record)
    }

    /// Writes the words that changed.
    pub(super) fn save<S: SlotsMut>(&mut self, slots: &mut S) -> Result<(), S::Error> {
        let flag = |set: bool| U256::from(u8::from(set));
        let words = [
            self.key.0.into(),
            self.vrf_key.into(),
            Fields::default().put(192, self.stake).put(64, U256::from(self.since)).word(),
            Fields::default()
                .put(64, U256::from(self.jailed_until))
                .put(64, U256::from(self.punished))
                .put(32, U256::from(self.missed))
                .put(8, U256::from(self.seat))
                .put(8, U256::from(self.queue))
                .put(1, flag(self.seated))
                .put(1, flag(self.jailed))
                .put(1, flag(self.tombstoned))
                .word(),
        ];
        for (slot, (new, old)) in (0_u64..).zip(words.into_iter().zip(self.words)) {
            if new != old {
                slots.set(self.base.wrapping_add(U256::from(slot)), new)?;
            }
        }
        self.words = words;
        Ok(())
    }

    /// Tells whether the owner ever registered.
    pub(super) fn is_known(&self) -> bool {
        !self.key.0.is_zero()
    }

    /// Returns the weight that the stake gives in a set; 0 while jailed or below the minimum.
    pub(super) fn weight(&self, terms: &BftSpec) -> u64 {
        if self.jailed {
            return 0;
        }
        let weight: u64 = (self.stake / terms.weight_unit).saturating_to();
        if weight < terms.weight_min { 0 } else { weight }
    }

    /// Returns one of the amounts that are being unbonded, the oldest first.
    pub(super) fn unbonding<S: Slots>(
        &self,
        slots: &mut S,
        index: u8,
    ) -> Result<Unbonding, S::Error> {
        let mut fields = Fields::of(slots.get(self.queue_slot(index))?);
        Ok(Unbonding { amount: fields.take(192), release: fields.take_u64(64) })
    }

    /// Overwrites one of them; zero and zero frees the slot.
    pub(super) fn set_unbonding<S: SlotsMut>(
        &self,
        slots: &mut S,
        index: u8,
        unbonding: Unbonding,
    ) -> Result<(), S::Error> {
        let word = Fields::default()
            .put(192, unbonding.amount)
            .put(64, U256::from(unbonding.release))
            .word();
        slots.set(self.queue_slot(index), word)
    }

    fn queue_slot(&self, index: u8) -> U256 {
        self.base.wrapping_add(U256::from(8 + u64::from(index)))
    }

    /// Takes a free seat. `false` if there is none.
    pub(super) fn sit<S: SlotsMut>(&mut self, slots: &mut S) -> Result<bool, S::Error> {
        let seats = slots.get(SEATS)?;
        let free = (!seats).trailing_zeros();
        let Ok(seat) = u8::try_from(free) else { return Ok(false) };
        slots.set(SEATS, seats | (U256::from(1) << free))?;
        slots.set(seat_slot(seat), Fields::default().put_address(self.owner).word())?;
        (self.seat, self.seated) = (seat, true);
        Ok(true)
    }

    /// Gives the seat back.
    pub(super) fn stand<S: SlotsMut>(&mut self, slots: &mut S) -> Result<(), S::Error> {
        let seats = slots.get(SEATS)?;
        slots.set(SEATS, seats & !(U256::from(1) << usize::from(self.seat)))?;
        slots.set(seat_slot(self.seat), U256::ZERO)?;
        (self.seat, self.seated) = (0, false);
        Ok(())
    }
}

/// Returns the least stake of a validator.
pub(super) fn stake_min(terms: &BftSpec) -> U256 {
    // At most 2^64 times 2^128.
    (U256::from(terms.weight_min) * terms.weight_unit).min(stake_max())
}

/// Returns the part of an amount below 2^192 that a share in millionths is, rounded down.
pub(super) fn share_of(amount: U256, millionths: u32) -> U256 {
    amount * U256::from(millionths) / U256::from(1_000_000)
}

/// Returns the owners of all seats, in the order of the seats.
pub(super) fn seated<S: Slots>(slots: &mut S) -> Result<Vec<Address>, S::Error> {
    let seats = slots.get(SEATS)?;
    bits(seats).map(|seat| Ok(Fields::of(slots.get(seat_slot(seat))?).take_address())).collect()
}

/// Returns the positions of the bits that are set, ascending.
pub(super) fn bits(word: U256) -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(move |bit| word.bit(usize::from(*bit)))
}

/// Whose a key is. It stays that owner's for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) owner: Address,
    /// Block in which the owner took another key; `None` while it is the owner's key.
    pub(super) retired: Option<u64>,
}

impl Holder {
    pub(super) fn load<S: Slots>(slots: &mut S, key: PublicKey) -> Result<Option<Self>, S::Error> {
        let slot = slots.hashed(Kind::Key, key.0)?;
        let mut fields = Fields::of(slots.get(slot)?);
        let (owner, retired) = (fields.take_address(), fields.take_u64(64));
        let known = fields.take_u64(8) == 1;
        Ok(known.then_some(Self { owner, retired: (retired > 0).then_some(retired) }))
    }

    pub(super) fn save<S: SlotsMut>(self, slots: &mut S, key: PublicKey) -> Result<(), S::Error> {
        let slot = slots.hashed(Kind::Key, key.0)?;
        let retired = U256::from(self.retired.unwrap_or(0));
        let known = U256::from(1);
        let word = Fields::default().put_address(self.owner).put(64, retired).put(8, known).word();
        slots.set(slot, word)
    }
}

/// Marks that sets may have changed in this block.
pub(super) fn mark<S: SlotsMut>(slots: &mut S, number: u64) -> Result<(), S::Error> {
    let version = Fields::of(slots.get(META)?).take(64);
    let word = Fields::default().put(64, version).put(64, U256::from(number)).word();
    slots.set(META, word)
}

/// Tells whether they may.
pub(super) fn is_marked<S: Slots>(slots: &mut S, number: u64) -> Result<bool, S::Error> {
    let mut fields = Fields::of(slots.get(META)?);
    fields.take(64);
    Ok(fields.take_u64(64) == number)
}

/// Words of a record, without what is being unbonded.
const WORDS: usize = 4;
