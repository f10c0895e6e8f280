//! The registry of validators as values, and what the end of a block does to it.

use super::{Closed, Terms, part, words::Words};
use crate::checkers::validator::{Accounts, Refusal, demand, same};
use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_trie::TrieAccount;
use kette_types::{
    Header,
    bft::{BftSpec, Certificate, Evidence, PublicKey, Seal, Validator},
};
use std::collections::BTreeMap;

/// The letters KETTE.
pub(super) const ACCOUNT: Address = address!("0000000000000000000000000000004b45545445");
/// Most members of a set.
const MEMBERS_MAX: usize = 128;

/// An owner's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) key: PublicKey,
    pub(super) vrf_key: B256,
    pub(super) stake: U256,
    /// Absence counts from this height on.
    pub(super) since: u64,
    pub(super) jailed_until: u64,
    /// Height of the last double signing that was punished.
    pub(super) punished: u64,
    pub(super) missed: u64,
    pub(super) seat: Option<u8>,
    pub(super) jailed: bool,
    pub(super) tombstoned: bool,
}

/// Who votes from a height on, until the next version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) from: u64,
    /// Sorted by public key.
    pub(super) members: Vec<Validator>,
}

impl Version {
    pub(super) fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(&self.members))
    }
}

/// All of it after a block. Only what the protocol itself does is known here: a chain on which somebody called the
/// registry is not judged from there on.
#[derive(Clone, Debug)]
pub(in super::super) struct Registry {
    records: BTreeMap<Address, Seat>,
    pub(super) seats: BTreeMap<u8, Address>,
    holders: BTreeMap<PublicKey, Address>,
    /// The last three, by their number.
    versions: BTreeMap<u64, Version>,
    /// Seats that were absent, by height modulo the window.
    absent: BTreeMap<u64, U256>,
    words: Words,
}

impl Registry {
    /// Makes the registry of block 0 and puts its account among the others.
    pub(in super::super) fn genesis(terms: &Terms, accounts: &mut Accounts) -> Self {
        let mut members = terms.bft.validators.clone();
        members.sort_by_key(|member| member.key);
        let mut registry = Self {
            records: BTreeMap::new(),
            seats: BTreeMap::new(),
            holders: BTreeMap::new(),
            versions: BTreeMap::new(),
            absent: BTreeMap::new(),
            words: Words::default(),
        };
        let mut balance = U256::ZERO;
        for (seat, member) in (0..=u8::MAX).zip(&members) {
            let stake = U256::from(member.weight) * terms.bft.weight_unit;
            balance += stake;
            let (key, vrf_key) = (member.key, member.vrf_key);
            let record = Seat { key, vrf_key, stake, seat: Some(seat), ..Seat::default() };
            registry.words.record(member.address, &record);
            registry.words.holder(key, member.address);
            registry.records.insert(member.address, record);
            registry.seats.insert(seat, member.address);
            registry.holders.insert(key, member.address);
        }
        let first = Version { from: 0, members };
        registry.words.version(0, &first);
        registry.versions.insert(0, first);
        let mut words = std::mem::take(&mut registry.words);
        words.seats(&registry);
        registry.words = words;
        let account = TrieAccount {
            nonce: 1,
            balance,
            storage_root: registry.words.root(),
            // One byte that is never run: INVALID.
            code_hash: keccak256([0xfe]),
        };
        accounts.set(ACCOUNT, account);
        registry
    }

    /// Returns who votes in a height.
    pub(super) fn members(&self, height: u64) -> Option<&[Validator]> {
        self.version(height).map(|version| version.members.as_slice())
    }

    fn version(&self, height: u64) -> Option<&Version> {
        self.versions.values().rev().find(|version| version.from <= height)
    }

    fn known(&self, height: u64) -> Result<Version, Refusal> {
        let missing = || Refusal::Invalid(format!("nobody knows who votes in height {height}"));
        self.version(height).cloned().ok_or_else(missing)
    }

    /// Ends a block: checks what its seal says of sets and certificate, punishes, counts who was absent, and makes the
    /// set of the second next height. The account is written at last.
    pub(in super::super) fn close(
        &mut self,
        terms: &Terms,
        header: &Header,
        seal: &Seal,
        accounts: &mut Accounts,
    ) -> Result<Closed, Refusal> {
        let number = header.number;
        let current = self.known(number)?;
        let before = self.known(number.saturating_sub(1))?;
        let next = self.known(number + 1)?;
        same("hash of the next set", seal.next_hash, next.hash())?;
        let changes = next.hash() != current.hash();
        let listed: &[Validator] = if changes { &next.members } else { &[] };
        same("next set", seal.next.as_slice(), listed)?;
        named(header, &seal.last_commit, before.members.len())?;

        let weight = current.members.iter().map(|member| u128::from(member.weight)).sum();
        let mut closed =
            Closed { voters: (current.members.len() as u64, weight), ..Closed::default() };
        let mut touched = !seal.evidence.is_empty();
        for evidence in &seal.evidence {
            closed.burned += self.punish(terms, number, evidence)?;
        }
        if number > 1 {
            let signers = &seal.last_commit.signers;
            if terms.bft.producer_share < 1_000_000 {
                let paid = signers.iter().map(|place| &before.members[usize::from(*place)]);
                closed.signers = paid.map(|member| (member.address, member.weight)).collect();
            }
            let (jailed, burned) = self.roll_call(&terms.bft, number, &before, signers);
            touched |= jailed;
            closed.burned += burned;
        }
        if touched {
            self.renew(&terms.bft, number);
        }
        let mut account = accounts.get(ACCOUNT);
        account.storage_root = self.words.root();
        account.balance = account
            .balance
            .checked_sub(closed.burned)
            .ok_or_else(|| Refusal::Invalid("the registry holds less than it burns".to_owned()))?;
        accounts.set(ACCOUNT, account);
        Ok(closed)
    }

    /// Punishes who signed twice; returns the wei that are destroyed.
    fn punish(&mut self, terms: &Terms, number: u64, evidence: &Evidence) -> Result<U256, Refusal> {
        let slashing = &terms.bft.slashing;
        let (key, height) = (evidence.culprit(), evidence.height());
        evidence.check(terms.domain).map_err(|error| Refusal::Invalid(error.to_string()))?;
        demand(height < number && number - height <= slashing.evidence_age, || {
            format!("evidence of height {height} in block {number}")
        })?;
        let unknown = || Refusal::Invalid(format!("evidence against {key}, whom nobody knows"));
        let owner = *self.holders.get(&key).ok_or_else(unknown)?;
        let record = self.records.get_mut(&owner).ok_or_else(unknown)?;
        demand(height > record.punished, || {
            format!("evidence of height {height}, punished for {} already", record.punished)
        })?;
        record.jailed = true;
        record.tombstoned = true;
        record.jailed_until = u64::MAX;
        record.punished = height;
        record.missed = 0;
        Ok(self.cut(owner, slashing.double_sign_share))
    }

    /// Takes a share of the stake, and the seat of who has none left.
    fn cut(&mut self, owner: Address, millionths: u32) -> U256 {
        let Some(record) = self.records.get_mut(&owner) else { return U256::ZERO };
        let loss = part(record.stake, u128::from(millionths), 1_000_000);
        record.stake -= loss;
        let mut left = None;
        if record.stake.is_zero() {
            left = record.seat.take();
        }
        self.words.record(owner, record);
        if let Some(seat) = left {
            self.seats.remove(&seat);
            let mut words = std::mem::take(&mut self.words);
            words.seats(self);
            self.words = words;
        }
        loss
    }

    /// Counts who did not sign the certificate of the height before. Tells whether somebody was jailed, and what was
    /// burned.
    fn roll_call(
        &mut self,
        bft: &BftSpec,
        number: u64,
        before: &Version,
        signers: &[u16],
    ) -> (bool, U256) {
        let (slashing, height) = (&bft.slashing, number - 1);
        if slashing.downtime_window == 0 {
            return (false, U256::ZERO);
        }
        let place = height % slashing.downtime_window;
        let old = self.absent.get(&place).copied().unwrap_or_default();
        for seat in (0..=u8::MAX).filter(|seat| old.bit(usize::from(*seat))) {
            // Counted a window ago, against whoever had that seat then.
            let forgotten = height.saturating_sub(slashing.downtime_window);
            let Some(owner) = self.seats.get(&seat).copied() else { continue };
            if let Some(record) = self.records.get_mut(&owner)
                && record.since <= forgotten
            {
                record.missed = record.missed.saturating_sub(1);
                self.words.record(owner, record);
            }
        }
        let mut absent = U256::ZERO;
        let (mut jailed, mut burned) = (false, U256::ZERO);
        for (index, member) in before.members.iter().enumerate() {
            if signers.iter().any(|signer| usize::from(*signer) == index) {
                continue;
            }
            let Some(record) = self.records.get_mut(&member.address) else { continue };
            let Some(seat) = record.seat.filter(|_| !record.jailed && height >= record.since)
            else {
                continue;
            };
            absent.set_bit(usize::from(seat), true);
            record.missed += 1;
            if record.missed >= slashing.downtime_missed {
                record.jailed = true;
                record.jailed_until = number.saturating_add(slashing.jail_blocks);
                record.missed = 0;
                jailed = true;
                burned += self.cut(member.address, slashing.downtime_share);
            } else {
                self.words.record(member.address, record);
            }
        }
        self.absent.insert(place, absent);
        self.words.absent(place, absent);
        (jailed, burned)
    }

    /// Makes the set of the second next height, if it is another one.
    fn renew(&mut self, bft: &BftSpec, number: u64) {
        let weight = |record: &Seat| {
            let votes: u64 = (record.stake / bft.weight_unit).saturating_to();
            let counts = !record.jailed && record.seat.is_some() && votes >= bft.weight_min;
            if counts { votes } else { 0 }
        };
        let mut members: Vec<Validator> = self
            .records
            .iter()
            .map(|(owner, record)| Validator {
                address: *owner,
                key: record.key,
                vrf_key: record.vrf_key,
                weight: weight(record),
            })
            .filter(|member| member.weight > 0)
            .collect();
        members.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.key.cmp(&b.key)));
        members.truncate(MEMBERS_MAX);
        members.sort_by_key(|member| member.key);
        let Some((last, version)) = self.versions.last_key_value() else { return };
        let next = Version { from: number + 2, members };
        // A chain without voters could never get any.
        if next.members.is_empty() || next.hash() == version.hash() {
            return;
        }
        let old: Vec<Address> = version.members.iter().map(|member| member.address).collect();
        let place = last + 1;
        for member in next.members.iter().filter(|member| !old.contains(&member.address)) {
            if let Some(record) = self.records.get_mut(&member.address) {
                (record.since, record.missed) = (next.from, 0);
                self.words.record(member.address, record);
            }
        }
        self.words.version(place, &next);
        self.versions.insert(place, next);
        while self.versions.len() > 3 {
            self.versions.pop_first();
        }
    }
}

/// Checks that a certificate is about the parent and names members of its height.
fn named(header: &Header, certificate: &Certificate, members: usize) -> Result<(), Refusal> {
    if header.number == 1 {
        return demand(*certificate == Certificate::default(), || {
            "block 1 carries a certificate".to_owned()
        });
    }
    let about = (certificate.height, certificate.block);
    same("certified block", about, (header.number - 1, header.parent_hash))?;
    let ascending = certificate.signers.windows(2).all(|pair| pair[0] < pair[1]);
    let last = certificate.signers.last().is_some_and(|last| usize::from(*last) < members);
    demand(ascending && last, || format!("signers {:?} of {members}", certificate.signers))
}
