//! Proof that a validator signed two things of which it may sign one. Needs no other witness.

use super::{Domain, Proposal, PublicKey, Vote};
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Two signatures of one validator for one height, round and step.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Evidence {
    /// Two votes, or none.
    pub votes: Vec<Vote>,
    /// Two proposals, or none.
    pub proposals: Vec<Proposal>,
}

/// The two signed things of an [`Evidence`].
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// Votes.
    Votes(&'a Vote, &'a Vote),
    /// Proposals.
    Proposals(&'a Proposal, &'a Proposal),
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not two votes or two proposals.
    #[error("evidence must hold two votes or two proposals, the one with the smaller hash first")]
    Shape,
    /// The two may both be signed.
    #[error("evidence: the two do not conflict")]
    NoConflict,
    /// A signature does not verify.
    #[error("evidence: bad signature of {0}")]
    Signature(PublicKey),
}

impl Evidence {
    /// Builds evidence of two conflicting votes, in the one order that is valid.
    pub fn of_votes(a: Vote, b: Vote) -> Self {
        let (a, b) = if a.block <= b.block { (a, b) } else { (b, a) };
        Self { votes: vec![a, b], proposals: Vec::new() }
    }

    /// Builds evidence of two conflicting proposals, in the one order that is valid.
    pub fn of_proposals(a: Proposal, b: Proposal) -> Self {
        let first = (a.block, a.valid_from) <= (b.block, b.valid_from);
        let (a, b) = if first { (a, b) } else { (b, a) };
        Self { votes: Vec::new(), proposals: vec![a, b] }
    }

    /// Returns the two things.
    ///
    /// # Errors
    /// [`EvidenceError::Shape`].
    pub fn signed(&self) -> Result<Signed<'_>, EvidenceError> {
        match (self.votes.as_slice(), self.proposals.as_slice()) {
            ([a, b], []) => Ok(Signed::Votes(a, b)),
            ([], [a, b]) => Ok(Signed::Proposals(a, b)),
            _ => Err(EvidenceError::Shape),
        }
    }

    /// Checks that one validator signed both, and may not have.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, domain: Domain) -> Result<(), EvidenceError> {
        let (key, conflict, ordered) = match self.signed()? {
            Signed::Votes(a, b) => (
                a.key,
                a.key == b.key
                    && (a.kind, a.height, a.round) == (b.kind, b.height, b.round)
                    && a.block != b.block,
                a.block <= b.block,
            ),
            Signed::Proposals(a, b) => (
                a.key,
                a.key == b.key
                    && (a.height, a.round) == (b.height, b.round)
                    && (a.block, a.valid_from) != (b.block, b.valid_from),
                (a.block, a.valid_from) <= (b.block, b.valid_from),
            ),
        };
        if !conflict {
            return Err(EvidenceError::NoConflict);
        }
        if !ordered {
            return Err(EvidenceError::Shape);
        }
        let signed = match self.signed()? {
            Signed::Votes(a, b) => a.verify(domain) && b.verify(domain),
            Signed::Proposals(a, b) => a.verify(domain) && b.verify(domain),
        };
        if signed { Ok(()) } else { Err(EvidenceError::Signature(key)) }
    }

    /// Returns who did it; a zero key if the shape is wrong.
    pub fn culprit(&self) -> PublicKey {
        match self.signed() {
            Ok(Signed::Votes(a, _)) => a.key,
            Ok(Signed::Proposals(a, _)) => a.key,
            Err(_) => PublicKey::default(),
        }
    }

    /// Returns at which height; 0 if the shape is wrong.
    pub fn height(&self) -> u64 {
        match self.signed() {
            Ok(Signed::Votes(a, _)) => a.height,
            Ok(Signed::Proposals(a, _)) => a.height,
            Err(_) => 0,
        }
    }

    /// Returns keccak256(RLP(evidence)).
    pub fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }
}
