//! What stands beside a header: who may make this block, and what the block before it still lacked.

use super::{Certificate, Domain, Evidence, PublicKey, Signature, Validator, vote::message};
use crate::block::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};

/// Bytes of a VRF proof (RFC 9381 5.5, ECVRF-EDWARDS25519-SHA512-TAI).
pub const VRF_PROOF_BYTES: usize = 80;

/// A leader's seal. `extraData` is keccak256 of its RLP, so every byte of it is committed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Seal {
    /// The round in which the block was made.
    pub round: u32,
    /// The block's time, milliseconds since the Unix epoch; `timestamp` is its whole seconds.
    pub time_ms: u64,
    /// VRF proof of the leader over the height's seed and the round.
    pub proof: Bytes,
    /// keccak256(RLP) of the validators of the next height.
    pub next_hash: B256,
    /// The validators of the next height, if they are others than those of this height.
    pub next: Vec<Validator>,
    /// What made the parent final; empty in block 1.
    pub last_commit: Certificate,
    /// Proofs of double signing that take effect in this block.
    pub evidence: Vec<Evidence>,
    /// The leader's key.
    pub key: PublicKey,
    /// The leader's, over the header without `extraData` and all of the above.
    pub signature: Signature,
}

impl Seal {
    /// Reads a header's seal.
    ///
    /// # Errors
    /// What is not exactly one seal.
    pub fn decode_exact(mut bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let seal = Self::decode(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(seal)
    }

    /// Returns RLP.
    pub fn encoded(&self) -> Bytes {
        alloy_rlp::encode(self).into()
    }

    /// Returns what `extraData` must be.
    pub fn commitment(&self) -> Bytes {
        Bytes::copy_from_slice(keccak256(alloy_rlp::encode(self)).as_slice())
    }

    /// Returns the bytes that the leader signs.
    pub fn signed_bytes(&self, domain: Domain, header: &Header) -> Vec<u8> {
        let bare = Header { extra_data: Bytes::new(), ..header.clone() }.hash_slow();
        let unsigned = Self { signature: Signature::ZERO, ..self.clone() };
        let rest = keccak256(alloy_rlp::encode(&unsigned));
        message(domain, 0, header.number, self.round, &[bare.as_slice(), rest.as_slice()])
    }
}
