//! Votes and proposals, and the exact bytes that are signed.

use super::{PublicKey, SecretKey, Signature};
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};

/// The chain that a signature is for: [`crate::ChainSpec::domain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Domain(pub B256);

/// First or second vote of a round. In the words of the second seed: prepare and precommit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoteKind {
    /// "I have this block, it is valid, and I am not locked on another one."
    Prepare,
    /// "I saw a quorum of prepares for this block and am locked on it."
    Precommit,
}

/// What a validator signs, in the order in which it does within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The leader's proposal.
    Propose,
    /// A prepare vote.
    Prepare,
    /// A precommit vote.
    Precommit,
}

impl From<VoteKind> for Step {
    fn from(kind: VoteKind) -> Self {
        match kind {
            VoteKind::Prepare => Self::Prepare,
            VoteKind::Precommit => Self::Precommit,
        }
    }
}

impl Encodable for VoteKind {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        (*self as u8 + 1).encode(out);
    }
    fn length(&self) -> usize {
        1
    }
}

impl Decodable for VoteKind {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        match u8::decode(buf)? {
            1 => Ok(Self::Prepare),
            2 => Ok(Self::Precommit),
            _ => Err(alloy_rlp::Error::Custom("a vote is a prepare (1) or a precommit (2)")),
        }
    }
}

/// A validator's vote. Its weight is looked up, never read from the vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Vote {
    /// First or second of the round.
    pub kind: VoteKind,
    /// The block's number.
    pub height: u64,
    /// Attempt at this height, from 0.
    pub round: u32,
    /// The block; zero is nil.
    pub block: B256,
    /// Who votes.
    pub key: PublicKey,
    /// Over [`Vote::message`].
    pub signature: Signature,
}

impl Vote {
    /// Returns the bytes that a vote signs.
    pub fn message(
        domain: Domain,
        kind: VoteKind,
        height: u64,
        round: u32,
        block: B256,
    ) -> Vec<u8> {
        message(domain, kind as u8 + 2, height, round, &[block.as_slice()])
    }

    /// Signs a vote.
    pub fn sign(
        domain: Domain,
        secret: &SecretKey,
        kind: VoteKind,
        height: u64,
        round: u32,
        block: B256,
    ) -> Self {
        let signature = secret.sign(&Self::message(domain, kind, height, round, block));
        Self { kind, height, round, block, key: secret.public(), signature }
    }

    /// Returns what this vote signs.
    pub fn signed_bytes(&self, domain: Domain) -> Vec<u8> {
        Self::message(domain, self.kind, self.height, self.round, self.block)
    }

    /// Tells whether the signature is that of `key`.
    pub fn verify(&self, domain: Domain) -> bool {
        self.key.verify(&self.signed_bytes(domain), &self.signature)
    }

    /// Tells whether the vote is for no block.
    pub fn is_nil(&self) -> bool {
        self.block.is_zero()
    }
}

/// A leader's proposal for a round. The block itself travels like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Proposal {
    /// The block's number.
    pub height: u64,
    /// Attempt at this height, from 0.
    pub round: u32,
    /// The block.
    pub block: B256,
    /// One more than the round whose quorum of prepares allows to propose the block again; 0 for a new block
    /// (validRound + 1 in Tendermint's paper).
    pub valid_from: u32,
    /// Who proposes.
    pub key: PublicKey,
    /// Over all of the above.
    pub signature: Signature,
}

impl Proposal {
    /// Returns the bytes that a proposal signs.
    pub fn message(
        domain: Domain,
        height: u64,
        round: u32,
        block: B256,
        valid_from: u32,
    ) -> Vec<u8> {
        message(domain, 1, height, round, &[block.as_slice(), &valid_from.to_be_bytes()])
    }

    /// Signs a proposal. `valid_round` is that of the prepares that allow it.
    pub fn sign(
        domain: Domain,
        secret: &SecretKey,
        height: u64,
        round: u32,
        block: B256,
        valid_round: Option<u32>,
    ) -> Self {
        let valid_from = valid_round.map_or(0, |round| round.saturating_add(1));
        let signature = secret.sign(&Self::message(domain, height, round, block, valid_from));
        Self { height, round, block, valid_from, key: secret.public(), signature }
    }

    /// Returns what this proposal signs.
    pub fn signed_bytes(&self, domain: Domain) -> Vec<u8> {
        Self::message(domain, self.height, self.round, self.block, self.valid_from)
    }

    /// Tells whether the signature is that of `key`.
    pub fn verify(&self, domain: Domain) -> bool {
        self.key.verify(&self.signed_bytes(domain), &self.signature)
    }

    /// Returns the round whose quorum of prepares allows to propose the block again.
    pub const fn valid_round(&self) -> Option<u32> {
        self.valid_from.checked_sub(1)
    }
}

/// Lays out what is signed: a fixed prefix, the chain, what it is, height, round, and the rest.
pub(super) fn message(
    domain: Domain,
    what: u8,
    height: u64,
    round: u32,
    rest: &[&[u8]],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    bytes.extend_from_slice(b"kette/bft/1");
    bytes.extend_from_slice(domain.0.as_slice());
    bytes.push(what);
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&round.to_be_bytes());
    for part in rest {
        bytes.extend_from_slice(part);
    }
    bytes
}
