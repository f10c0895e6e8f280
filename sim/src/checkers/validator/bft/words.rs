//! The registry's storage, word by word, by the table in `core/ledger/src/staking/layout.rs`.

use super::registry::{Registry, Seat, Version};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::root;
use kette_types::bft::PublicKey;

/// The words of the account. Clones share what is equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(imbl::OrdMap<U256, U256>);

impl Words {
    /// Returns the storage root.
    pub(super) fn root(&self) -> B256 {
        let slots = self.0.iter().map(|(slot, word)| (B256::from(*slot), *word));
        root::storage_root_unhashed(slots)
    }

    fn set(&mut self, slot: U256, word: U256) {
        if word.is_zero() {
            self.0.remove(&slot);
        } else {
            self.0.insert(slot, word);
        }
    }

    /// Writes who has which seat.
    pub(super) fn seats(&mut self, registry: &Registry) {
        let mut taken = U256::ZERO;
        for seat in 0..=255_u8 {
            let owner = registry.seats.get(&seat);
            taken.set_bit(usize::from(seat), owner.is_some());
            let word = owner.map_or(U256::ZERO, |owner| number(*owner));
            self.set(U256::from(0x100 + u64::from(seat)), word);
        }
        self.set(U256::from(1), taken);
    }

    /// Writes an owner's record.
    pub(super) fn record(&mut self, owner: Address, record: &Seat) {
        let base = hashed(1, owner.into_word());
        let (seated, seat) = record.seat.map_or((0, 0), |seat| (1, u64::from(seat)));
        let flags = seated | u64::from(record.jailed) << 1 | u64::from(record.tombstoned) << 2;
        let state = U256::from(record.jailed_until)
            | U256::from(record.punished) << 64
            | U256::from(record.missed) << 128
            | U256::from(seat) << 160
            | U256::from(flags) << 176;
        let words = [
            record.key.0.into(),
            record.vrf_key.into(),
            record.stake | U256::from(record.since) << 192,
            state,
        ];
        for (place, word) in words.into_iter().enumerate() {
            self.set(base + U256::from(place), word);
        }
    }

    /// Writes whose a key is.
    pub(super) fn holder(&mut self, key: PublicKey, owner: Address) {
        self.set(hashed(2, key.0), number(owner) | U256::from(1) << 224);
    }

    /// Writes a set over the third last one, whose longer tail stays.
    pub(super) fn version(&mut self, place: u64, version: &Version) {
        let base = U256::from(0x1000 * (1 + place % 3));
        let total: u128 = version.members.iter().map(|member| u128::from(member.weight)).sum();
        let head = U256::from(version.from)
            | U256::from(version.members.len()) << 64
            | U256::from(total) << 80;
        self.set(base, head);
        self.set(base + U256::from(1), version.hash().into());
        for (place, member) in version.members.iter().enumerate() {
            let at = base + U256::from(2 + 3 * place);
            self.set(at, number(member.address) | U256::from(member.weight) << 160);
            self.set(at + U256::from(1), member.key.0.into());
            self.set(at + U256::from(2), member.vrf_key.into());
        }
        // No block of those judged here has a change by a call: its number stays 0.
        self.set(U256::ZERO, U256::from(place));
    }

    /// Writes who was absent.
    pub(super) fn absent(&mut self, place: u64, seats: U256) {
        self.set(U256::from(0x1_0000 + place), seats);
    }
}

fn hashed(kind: u8, what: B256) -> U256 {
    keccak256([&[kind], what.as_slice()].concat()).into()
}

fn number(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}
