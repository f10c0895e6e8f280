//! Proof of work, hashed with a streaming SHA-256 instead of prepared blocks.

use super::{Refusal, demand, same};
use alloy_primitives::{B64, B256, Bytes, U512, keccak256};
use kette_types::{Header, U256, spec::PowSpec};
use sha2::{Digest, Sha256};

pub(super) fn check(
    pow: &PowSpec,
    beside: &Bytes,
    header: &Header,
    parent: &Header,
) -> Result<(), Refusal> {
    same("bytes of the seal beside the header", beside.len(), 0)?;
    let difficulty = header.difficulty;
    demand(difficulty >= pow.difficulty_min, || format!("difficulty {difficulty} is too low"))?;
    let (hash, target) = (proof(header), target(difficulty));
    demand(U256::from_be_bytes(hash.0) <= target, || format!("proof {hash} above {target:#x}"))?;
    same("mix hash", header.mix_hash, proof(parent))
}

/// Returns SHA-256(SHA-256(preimage, nonce)), where the preimage is keccak256(RLP(header with nonce 0)).
pub(super) fn proof(header: &Header) -> B256 {
    let mut blank = header.clone();
    blank.nonce = B64::ZERO;
    let preimage = keccak256(alloy_rlp::encode(&blank));
    let mut inner = Sha256::new();
    inner.update(preimage);
    inner.update(header.nonce);
    let outer = Sha256::digest(inner.finalize());
    B256::from_slice(&outer)
}

/// Returns floor(2^256 / difficulty) - 1.
pub(super) fn target(difficulty: U256) -> U256 {
    let all: U512 = U512::from(1) << 256;
    let target: U512 = all / U512::from(difficulty.max(U256::from(1))) - U512::from(1);
    target.to()
}

/// Returns floor((2^256 - 1 - target) / (target + 1)) + 1, as Bitcoin counts work.
pub(super) fn work(target: U256) -> U256 {
    let all: U512 = (U512::from(1) << 256) - U512::from(1);
    let target = U512::from(target);
    let work: U512 = (all - target) / (target + U512::from(1)) + U512::from(1);
    work.min(all).to()
}
