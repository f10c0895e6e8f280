//! Who votes in which height, and how much of it is a quorum: written a second time, from genesis and seals alone.

use crate::World;
use alloy_primitives::{Address, B256};
use kette_chain::Record;
use kette_types::bft::{BftSpec, Domain, PublicKey, Quorum, Seal, Validator};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The validators of one height.
#[derive(Debug)]
pub(super) struct Electorate {
    /// In the order of the chain: by public key.
    pub(super) members: Vec<Validator>,
    total: u128,
    rule: Quorum,
}

impl Electorate {
    fn new(mut members: Vec<Validator>, rule: Quorum) -> Self {
        members.sort_by_key(|member| member.key);
        let total = members.iter().map(|member| u128::from(member.weight)).sum();
        Self { members, total, rule }
    }

    /// Returns the weight of these voters, each counted once.
    pub(super) fn weight(&self, voters: &BTreeSet<PublicKey>) -> u128 {
        let voting = self.members.iter().filter(|member| voters.contains(&member.key));
        voting.map(|member| u128::from(member.weight)).sum()
    }

    /// Tells whether a weight decides: two thirds, or more than that.
    pub(super) fn decides(&self, weight: u128) -> bool {
        match self.rule {
            Quorum::TwoThirds => 3 * weight >= 2 * self.total,
            Quorum::MoreThanTwoThirds => 3 * weight > 2 * self.total,
        }
    }

    /// Returns how many there are, and what they weigh.
    pub(super) fn size(&self) -> (u64, u128) {
        (self.members.len() as u64, self.total)
    }

    /// Returns the owner of a key.
    pub(super) fn owner(&self, key: &PublicKey) -> Option<Address> {
        self.members.iter().find(|member| member.key == *key).map(|member| member.address)
    }
}

/// Validators by height, as far as blocks are known. A set follows from the state two blocks before its height, so
/// all blocks of one number on one chain name the same.
#[derive(Debug, Default)]
pub(super) struct Voters {
    at: BTreeMap<u64, Arc<Electorate>>,
    newest: u64,
    domain: Option<Domain>,
}

/// Heights that are remembered.
const KEPT: u64 = 2_048;

impl Voters {
    /// Returns who votes at a height.
    pub(super) fn at(&self, height: u64) -> Option<&Arc<Electorate>> {
        self.at.get(&height)
    }

    /// Returns the chain that signatures are for; computed once, because it is a hash of the whole genesis file.
    pub(super) fn domain(&mut self, world: &World) -> Domain {
        *self.domain.get_or_insert_with(|| world.spec.domain())
    }

    /// Returns the highest number of a block that was seen.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Learns from what a node writes.
    pub(super) fn learn(&mut self, world: &World, records: &[Record]) {
        let Some(bft) = world.spec.bft() else { return };
        if self.at.is_empty() {
            let genesis = Arc::new(Electorate::new(bft.validators.clone(), bft.quorum));
            self.at.insert(0, genesis.clone());
            self.at.insert(1, genesis);
        }
        for record in records {
            let Record::Block(block) = record else { continue };
            let (number, seal) = (block.number(), block.block.header.seal());
            if self.at.contains_key(&(number + 1)) {
                continue;
            }
            if let Some(next) = self.next(bft, number, seal) {
                self.at.insert(number + 1, next);
                self.newest = self.newest.max(number);
                while self.at.len() as u64 > KEPT {
                    self.at.pop_first();
                }
            }
        }
    }

    fn next(&self, bft: &BftSpec, number: u64, seal: &[u8]) -> Option<Arc<Electorate>> {
        let seal = Seal::decode_exact(seal).ok()?;
        if seal.next.is_empty() {
            return self.at.get(&number).cloned();
        }
        Some(Arc::new(Electorate::new(seal.next, bft.quorum)))
    }
}

/// Lays out what a precommit signs, as the documents say: prefix, chain, 3, height, round, block.
pub(super) fn precommit_bytes(domain: B256, height: u64, round: u32, block: B256) -> Vec<u8> {
    [
        b"kette/bft/1".as_slice(),
        domain.as_slice(),
        &[3],
        &height.to_be_bytes(),
        &round.to_be_bytes(),
        block.as_slice(),
    ]
    .concat()
}
