//! What makes a block final proves it: precommits of a quorum of the validators of its height, each signed.
//!
//! Judged are what nodes store with final blocks and what blocks carry of their parents, each distinct one once; and
//! each signature once, here: what the nodes of the run have judged is not asked for.

use super::{
    Checker, Observation,
    voters::{Voters, precommit_bytes},
};
use crate::World;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::Decodable;
use kette_chain::Record;
use kette_types::bft::{Certificate, PublicKey, Seal, Signature};
use std::collections::BTreeSet;

/// See the module.
#[derive(Debug, Default)]
pub struct Certificates {
    voters: Voters,
    judged: BTreeSet<B256>,
    /// Right signatures, by key, message and signature.
    right: BTreeSet<B256>,
    count: u64,
}

/// Right signatures that are remembered: certificates of one block differ by few.
const RIGHT_MAX: usize = 16_384;

impl Checker for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Ordered { host, records } = seen else { return Ok(()) };
        if world.spec.bft().is_none() || !world.hosts[*host].is_honest() {
            return Ok(());
        }
        self.voters.learn(world, records);
        let judged = records.iter().try_for_each(|record| match record {
            Record::Final { number, hash, justification } => {
                self.stored(world, *number, *hash, justification)
            }
            Record::Block(block) => {
                let header = &block.block.header;
                self.carried(world, header.number, header.parent_hash, header.seal())
            }
            _ => Ok(()),
        });
        judged.map_err(|what| format!("{}: {what}", world.hosts[*host].name))
    }
}

impl Certificates {
    /// Returns how many distinct certificates were judged.
    pub const fn count(&self) -> u64 {
        self.count
    }

    fn stored(
        &mut self,
        world: &World,
        number: u64,
        hash: B256,
        bytes: &[u8],
    ) -> Result<(), String> {
        if !self.judged.insert(keccak256(bytes)) {
            return Ok(());
        }
        let mut rest = bytes;
        let certificate = Certificate::decode(&mut rest)
            .ok()
            .filter(|_| rest.is_empty())
            .ok_or_else(|| format!("block {number} {hash} is final without a certificate"))?;
        self.judge(world, number, hash, &certificate)
            .map_err(|what| format!("block {number} {hash} is final, and its certificate {what}"))
    }

    fn carried(
        &mut self,
        world: &World,
        number: u64,
        parent: B256,
        seal: &[u8],
    ) -> Result<(), String> {
        if !self.judged.insert(keccak256(seal)) {
            return Ok(());
        }
        let seal = Seal::decode_exact(seal)
            .map_err(|error| format!("attached block {number}, its seal: {error}"))?;
        let certificate = seal.last_commit;
        if number == 1 && certificate == Certificate::default() {
            return Ok(());
        }
        self.judge(world, number - 1, parent, &certificate).map_err(|what| {
            format!("attached block {number}; the certificate of its parent {parent} {what}")
        })
    }

    fn is_right(&mut self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        // Key and signature have one length each, so no two claims read the same.
        let name = keccak256([key.0.as_slice(), message, signature.as_slice()].concat());
        if self.right.contains(&name) {
            return true;
        }
        let right = key.verify(message, signature);
        if right {
            if self.right.len() >= RIGHT_MAX {
                self.right.clear();
            }
            self.right.insert(name);
        }
        right
    }

    fn judge(
        &mut self,
        world: &World,
        number: u64,
        hash: B256,
        certificate: &Certificate,
    ) -> Result<(), String> {
        let Certificate { height, round, block, signers, signatures } = certificate;
        if (*height, *block) != (number, hash) {
            return Err(format!("is for block {block} at {height}"));
        }
        if signers.len() != signatures.len() {
            return Err(format!("has {} signatures of {}", signatures.len(), signers.len()));
        }
        // Too long ago: it is not known any more who voted.
        let Some(voters) = self.voters.at(number).cloned() else { return Ok(()) };
        self.count += 1;
        let message = precommit_bytes(self.voters.domain(world).0, number, *round, hash);
        let mut voted = BTreeSet::new();
        for (place, signature) in signers.iter().zip(signatures) {
            let member = voters
                .members
                .get(usize::from(*place))
                .ok_or_else(|| format!("names validator {place} of {}", voters.members.len()))?;
            if !self.is_right(&member.key, &message, signature) {
                return Err(format!("has a bad signature of validator {place}"));
            }
            if !voted.insert(member.key) {
                return Err(format!("counts validator {place} twice"));
            }
        }
        let weight = voters.weight(&voted);
        if voters.decides(weight) { Ok(()) } else { Err(format!("has weight {weight} only")) }
    }
}
