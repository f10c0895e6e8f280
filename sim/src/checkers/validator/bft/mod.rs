//! Blocks of `bft`: seal, seed and leader, and what a block does to the registry of validators.
//!
//! Written from `docs/validators.md`, the table of slots and the header's description; what is taken over is the VRF
//! itself (its vectors are the RFC's), the check of two signatures, and the RLP of sets. Certificates have a judge of
//! their own (`checkers/certificates.rs`); here it matters only whom they name.

mod registry;
mod seal;
mod words;

pub(super) use registry::Registry;

use super::{Accounts, Refusal};
use kette_types::{
    Address, B256, Block, ChainSpec, Header, U256,
    bft::{BftSpec, Domain, Seal},
};

/// The constants of a chain.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) bft: BftSpec,
    pub(super) domain: Domain,
    /// Seconds and randomness of block 0.
    genesis: (u64, B256),
}

impl Terms {
    pub(super) fn new(spec: &ChainSpec, bft: &BftSpec) -> Self {
        let genesis = (spec.genesis.timestamp, spec.genesis.mix_hash);
        Self { bft: bft.clone(), domain: spec.domain(), genesis }
    }

    /// Checks seal, time, seed and leader of a block; returns the seal. Without a registry the leader is not judged.
    pub(super) fn seal(
        &self,
        block: &Block,
        parent: &Header,
        before: Option<&Seal>,
        registry: Option<&Registry>,
    ) -> Result<Seal, Refusal> {
        seal::check(self, block, parent, before, registry)
    }
}

/// What the end of a block pays and takes.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// How many vote in this height, and their weight.
    pub(super) voters: (u64, u128),
    /// Who signed the certificate that the block carries, with their weight in that height.
    pub(super) signers: Vec<(Address, u64)>,
    /// Wei taken from the registry's balance and destroyed.
    pub(super) burned: U256,
}

impl Closed {
    /// Splits a subsidy between the producer and the signers; the parts add up to it.
    pub(super) fn split(
        &self,
        producer: Address,
        millionths: u32,
        subsidy: U256,
    ) -> Vec<(Address, U256)> {
        let own = part(subsidy, u128::from(millionths), 1_000_000);
        let rest = subsidy - own;
        let weight: u128 = self.signers.iter().map(|(_, weight)| u128::from(*weight)).sum();
        let mut credits: Vec<(Address, U256)> = self
            .signers
            .iter()
            .filter(|_| weight > 0)
            .map(|(owner, one)| (*owner, part(rest, u128::from(*one), weight)))
            .collect();
        let given: U256 = credits.iter().map(|(_, amount)| *amount).sum();
        credits.push((producer, subsidy - given));
        credits
    }
}

/// Returns `amount * of / whole`, rounded down.
fn part(amount: U256, of: u128, whole: u128) -> U256 {
    use alloy_primitives::U512;
    (U512::from(amount) * U512::from(of) / U512::from(whole)).to()
}

/// Pays what a block gives.
pub(super) fn credit(accounts: &mut Accounts, credits: &[(Address, U256)]) -> Result<(), Refusal> {
    for (who, amount) in credits.iter().filter(|(_, amount)| !amount.is_zero()) {
        let mut account = accounts.get(*who);
        let sum = account.balance.checked_add(*amount);
        account.balance = sum.ok_or_else(|| Refusal::Invalid(format!("{who} has too much")))?;
        accounts.set(*who, account);
    }
    Ok(())
}
