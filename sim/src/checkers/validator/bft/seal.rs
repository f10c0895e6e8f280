//! The header of a block as its seal says it must be.

use super::{Registry, Terms};
use crate::checkers::validator::{Refusal, demand, same};
use alloy_primitives::{B64, keccak256};
use kette_consensus::bft::vrf;
use kette_types::{
    B256, Block, Header, U256,
    bft::{Seal, Validator},
};

pub(super) fn check(
    terms: &Terms,
    block: &Block,
    parent: &Header,
    before: Option<&Seal>,
    registry: Option<&Registry>,
) -> Result<Seal, Refusal> {
    let (header, bytes) = (block.header.header(), block.header.seal());
    let invalid = |what: String| Refusal::Invalid(what);
    let seal = Seal::decode_exact(bytes).map_err(|error| invalid(format!("seal: {error}")))?;
    same("commitment to the seal", header.extra_data.as_ref(), keccak256(bytes).as_slice())?;
    same("difficulty", header.difficulty, U256::ZERO)?;
    same("nonce", header.nonce, B64::ZERO)?;
    same("timestamp", header.timestamp, seal.time_ms / 1_000)?;
    let parent_ms = before.map_or(terms.genesis.0 * 1_000, |seal| seal.time_ms);
    demand(seal.time_ms >= parent_ms.saturating_add(terms.bft.slot_ms), || {
        format!("time {} ms after {parent_ms} ms", seal.time_ms)
    })?;
    let seed = seed(terms, parent, before).map_err(invalid)?;
    same("seed", header.mix_hash, seed)?;
    if let Some(registry) = registry {
        let members = registry.members(header.number).ok_or_else(|| {
            invalid(format!("nobody knows who votes in height {}", header.number))
        })?;
        let leader = leader(members, seed, seal.round);
        same("leader", seal.key, leader.key)?;
    }
    let signed = seal.signed_bytes(terms.domain, header);
    demand(seal.key.verify(&signed, &seal.signature), || "the leader did not sign it".to_owned())?;
    Ok(seal)
}

/// Returns the seed of the height after a block.
fn seed(terms: &Terms, parent: &Header, before: Option<&Seal>) -> Result<B256, String> {
    let Some(before) = before else {
        let tag = b"kette/bft/first-seed/1\0".as_slice();
        return Ok(keccak256([tag, terms.genesis.1.as_slice()].concat()));
    };
    let proof = vrf::Proof::try_from(before.proof.as_ref()).map_err(|error| error.to_string())?;
    let output = vrf::proof_to_hash(&proof).map_err(|error| error.to_string())?;
    let tag = b"kette/bft/next-seed/1\0".as_slice();
    Ok(keccak256([tag, parent.mix_hash.as_slice(), output.0.as_slice()].concat()))
}

/// Draws the leader of a round: by weight among those who did not lead in this turn of as many rounds as there are
/// members.
fn leader(members: &[Validator], seed: B256, round: u32) -> &Validator {
    let turn = members.len() as u32;
    let mut waiting: Vec<&Validator> = members.iter().collect();
    let mut drawn = 0;
    for step in round - round % turn..=round {
        let tag = b"kette/bft/draw/1\0".as_slice();
        let hash = keccak256([tag, seed.as_slice(), &step.to_be_bytes()].concat());
        let total: U256 = waiting.iter().map(|member| U256::from(member.weight)).sum();
        let point = U256::from_be_bytes(hash.0) % total;
        let mut sum = U256::ZERO;
        drawn = waiting
            .iter()
            .position(|member| {
                sum += U256::from(member.weight);
                point < sum
            })
            .expect("the point is below the sum");
        if step < round {
            waiting.remove(drawn);
        }
    }
    waiting[drawn]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::{Address, bft::PublicKey, bft::ValidatorSet};

    #[test]
    fn leaders_are_those_of_the_engine() {
        let member = |n: u8| Validator {
            address: Address::repeat_byte(n),
            key: PublicKey(B256::repeat_byte(n)),
            vrf_key: B256::ZERO,
            weight: u64::from(n) * u64::from(n),
        };
        let set = ValidatorSet::new((1..8).map(member).collect()).unwrap();
        for n in 0..50 {
            let seed = B256::with_last_byte(n);
            for round in 0..30 {
                let expected = kette_consensus::bft::leader::leader(&set, seed, round);
                let got = leader(set.validators(), seed, round);
                assert_eq!(got, &set.validators()[expected], "{n} {round}");
            }
        }
    }
}
