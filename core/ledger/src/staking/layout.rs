//! Where the registry keeps what, and how values share a storage word.
//!
//! | Slot | Holds |
//! |---|---|
//! | 0 | number of the newest set version (64 bits), block of the last change (64) |
//! | 1 | which of the 256 seats are taken, one bit each |
//! | `0x100 + seat` | the owner of a seat |
//! | `0x1000 * (1 + version % 3)` | a set version: from height (64), members (16), total weight (128) |
//! | ... + 1 | keccak256(RLP) of the set |
//! | ... + 2 + 3 i | member `i`: owner (160), weight (64); then its key; then its VRF key |
//! | `0x10000 + height % window` | seats that were absent from the certificate of a height, one bit each |
//! | keccak256(1, owner) | a record: key |
//! | ... + 1 | VRF key |
//! | ... + 2 | stake (192), first height for which absence counts (64) |
//! | ... + 3 | jailed until (64), punished height (64), missed (32), seat (8), queue length (8), flags (8) |
//! | ... + 8 + i | stake that is being unbonded: amount (192), height from which it can be withdrawn (64) |
//! | keccak256(2, key) | whose a key is (160), block that retired it (64), known (8) |

use alloy_primitives::{Address, B256, U256, address, keccak256};

/// The registry's account: the letters KETTE.
pub const STAKING_ADDRESS: Address = address!("0000000000000000000000000000004b45545445");
/// Its code: INVALID. It is never run, but tells clients that this is a contract.
pub(crate) const MARKER: &[u8] = &[0xfe];

/// Most owners with stake, members of the set or not: what fits one word of absences.
pub const SEATS_MAX: usize = 256;
/// Most amounts of one owner that are being unbonded at the same time.
pub const UNBONDING_MAX: u8 = 32;

/// Versions that are kept: after a block those of its height and of the next two can all differ.
pub(super) const VERSIONS: u64 = 3;

/// The slot of version number and last change.
pub(super) const META: U256 = U256::ZERO;
/// The slot of the seats.
pub(super) const SEATS: U256 = U256::from_limbs([1, 0, 0, 0]);

/// Returns the slot of a seat's owner.
pub(super) fn seat_slot(seat: u8) -> U256 {
    U256::from(0x100 + u64::from(seat))
}

/// Returns the first slot of a set version.
pub(super) fn version_slot(version: u64) -> U256 {
    U256::from(0x1000 * (1 + version % VERSIONS))
}

/// Returns the slot of the absences from the certificate of a height.
pub(super) fn absence_slot(height: u64, window: u64) -> U256 {
    U256::from(0x1_0000 + height % window)
}

/// What a hashed slot is of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Record = 1,
    Key = 2,
}

/// Returns a hashed slot.
pub(super) fn hashed_slot(kind: Kind, what: B256) -> U256 {
    let mut bytes = [0; 33];
    bytes[0] = kind as u8;
    bytes[1..].copy_from_slice(what.as_slice());
    keccak256(bytes).into()
}

/// A storage word that is read or written field by field, from the low end.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields {
    word: U256,
    at: usize,
}

impl Fields {
    pub(super) const fn of(word: U256) -> Self {
        Self { word, at: 0 }
    }

    /// Reads the next field.
    pub(super) fn take(&mut self, bits: usize) -> U256 {
        let field = (self.word >> self.at) & mask(bits);
        self.at += bits;
        field
    }

    /// Reads the next field of up to 64 bits.
    pub(super) fn take_u64(&mut self, bits: usize) -> u64 {
        self.take(bits).as_limbs()[0]
    }

    pub(super) fn take_address(&mut self) -> Address {
        Address::from_word(self.take(160).into())
    }

    /// Appends a field; it must fit.
    #[must_use]
    pub(super) fn put(mut self, bits: usize, value: impl Into<U256>) -> Self {
        let value = value.into();
        debug_assert!(value <= mask(bits), "a field of {bits} bits cannot hold {value}");
        self.word |= (value & mask(bits)) << self.at;
        self.at += bits;
        self
    }

    #[must_use]
    pub(super) fn put_address(self, address: Address) -> Self {
        self.put(160, U256::from_be_bytes(address.into_word().0))
    }

    pub(super) const fn word(self) -> U256 {
        self.word
    }
}

fn mask(bits: usize) -> U256 {
    (U256::from(1) << bits) - U256::from(1)
}

/// Most wei that one owner can bond: what fits a word beside a height.
pub(super) fn stake_max() -> U256 {
    mask(192)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let word = Fields::default()
            .put_address(STAKING_ADDRESS)
            .put(64, U256::from(u64::MAX))
            .put(8, U256::from(7))
            .put(24, U256::ZERO)
            .word();
        let mut fields = Fields::of(word);
        assert_eq!(fields.take_address(), STAKING_ADDRESS);
        assert_eq!(fields.take_u64(64), u64::MAX);
        assert_eq!(fields.take_u64(8), 7);
        assert_eq!(fields.take(24), U256::ZERO);
        assert_eq!(STAKING_ADDRESS.as_slice()[15..], *b"KETTE");
    }

    #[test]
    fn slots_do_not_meet() {
        let members = 2 + 3 * kette_types::bft::VALIDATORS_MAX as u64;
        assert!(seat_slot(255) < version_slot(0));
        for version in 0..VERSIONS {
            let end = version_slot(version) + U256::from(members);
            assert!(end <= U256::from(0x1000 * (2 + version)));
            assert!(end <= absence_slot(0, 10_000));
        }
        let zero = B256::ZERO;
        assert_ne!(hashed_slot(Kind::Record, zero), hashed_slot(Kind::Key, zero));
    }
}
