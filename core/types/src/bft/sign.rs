//! What a validator signed last: the one rule that it must never break is that nothing is signed twice.

use super::{Domain, Proposal, PublicKey, Signature, Step, Vote};
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The last thing that a validator signed (CometBFT's `priv_validator_state`). Signatures go forward only.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignState {
    /// The chain; see [`crate::ChainSpec::domain`].
    pub chain: B256,
    /// Who signed.
    pub key: PublicKey,
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// 1 proposal, 2 prepare, 3 precommit.
    pub step: u8,
    /// The block; zero is nil.
    pub block: B256,
    /// keccak256 of the signed bytes.
    pub digest: B256,
    /// The signature.
    pub signature: Signature,
}

impl SignState {
    /// Describes a vote.
    pub fn of_vote(chain: Domain, vote: &Vote) -> Self {
        Self {
            chain: chain.0,
            key: vote.key,
            height: vote.height,
            round: vote.round,
            step: Step::from(vote.kind) as u8 + 1,
            block: vote.block,
            digest: keccak256(vote.signed_bytes(chain)),
            signature: vote.signature,
        }
    }

    /// Describes a proposal.
    pub fn of_proposal(chain: Domain, proposal: &Proposal) -> Self {
        Self {
            chain: chain.0,
            key: proposal.key,
            height: proposal.height,
            round: proposal.round,
            step: Step::Propose as u8 + 1,
            block: proposal.block,
            digest: keccak256(proposal.signed_bytes(chain)),
            signature: proposal.signature,
        }
    }

    /// Returns the place in the order of signatures.
    pub const fn place(&self) -> (u64, u32, u8) {
        (self.height, self.round, self.step)
    }

    /// Tells whether `next` may be signed after this: it lies ahead, or is the same again.
    ///
    /// # Errors
    /// If it goes back, or is another one at the same place.
    pub fn allows(&self, next: &Self) -> Result<(), SignRegression> {
        if (self.chain, self.key) != (next.chain, next.key) {
            return Err(SignRegression::OtherKey);
        }
        match next.place().cmp(&self.place()) {
            Ordering::Greater => Ok(()),
            Ordering::Equal if next.digest == self.digest => Ok(()),
            Ordering::Equal => Err(SignRegression::Conflict(next.height, next.round)),
            Ordering::Less => Err(SignRegression::Back {
                height: next.height,
                round: next.round,
                signed: (self.height, self.round),
            }),
        }
    }
}

/// A signature that must not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignRegression {
    /// The file belongs to another key or chain.
    #[error("the sign state is of another key or chain")]
    OtherKey,
    /// Something else was signed there.
    #[error(
        "something else was signed at height {0}, round {1}: is the key used by another process?"
    )]
    Conflict(u64, u32),
    /// It lies behind what was signed.
    #[error(
        "height {height}, round {round} lies behind what was signed ({}, {}): was the database restored \
         from a backup, or is the key used by another process?",
        signed.0,
        signed.1
    )]
    Back {
        /// What should be signed.
        height: u64,
        /// What should be signed.
        round: u32,
        /// Height and round that were signed.
        signed: (u64, u32),
    },
}
