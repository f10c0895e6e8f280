//! Proof that a block is final: precommits of a quorum.

use super::{Domain, PublicKey, Quorum, Signature, ValidatorSet, Vote, VoteKind};
use crate::planted::{Bug, is_planted};
use alloy_primitives::B256;
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Precommits of one round for one block. Several may be valid for one block: nothing may be derived from
/// which of them a block carries, but who is rewarded or counted as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Certificate {
    /// The block's number.
    pub height: u64,
    /// The round in which it was decided.
    pub round: u32,
    /// The block.
    pub block: B256,
    /// Positions in the validator set, ascending.
    pub signers: Vec<u16>,
    /// One per signer.
    pub signatures: Vec<Signature>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is about another block.
    #[error("certificate is for block {got} at height {height}")]
    OtherBlock {
        /// What it certifies.
        got: B256,
        /// At which height.
        height: u64,
    },
    /// It is of precommits for nil, which decide nothing.
    #[error("certificate is for no block")]
    Nil,
    /// Signers and signatures do not go together, or are not ascending.
    #[error("certificate lists its signers wrongly")]
    Signers,
    /// A position that the set does not have.
    #[error("certificate names validator {0}, the set has fewer")]
    UnknownSigner(u16),
    /// A signature does not verify.
    #[error("certificate: bad signature of validator {0}")]
    Signature(PublicKey),
    /// Not enough weight.
    #[error("certificate has weight {got}, a quorum is {least}")]
    Weight {
        /// Weight of its signers.
        got: u128,
        /// Least weight that decides.
        least: u128,
    },
}

impl Certificate {
    /// Tells whether it certifies nothing: what block 1 carries.
    pub const fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// Checks the certificate of `block` at `height` against the validators of that height. `verify` judges
    /// one signature, so that a caller may remember what it judged before.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(
        &self,
        domain: Domain,
        height: u64,
        block: B256,
        set: &ValidatorSet,
        quorum: Quorum,
        verify: &dyn Fn(&PublicKey, &[u8], &Signature) -> bool,
    ) -> Result<(), CertificateError> {
        if (self.height, self.block) != (height, block) {
            return Err(CertificateError::OtherBlock { got: self.block, height: self.height });
        }
        if block.is_zero() && !is_planted(Bug::NilCertificate) {
            return Err(CertificateError::Nil);
        }
        let ascending = self.signers.windows(2).all(|pair| pair[0] < pair[1]);
        if self.signers.len() != self.signatures.len() || !ascending {
            return Err(CertificateError::Signers);
        }
        let mut weight = 0;
        for signer in &self.signers {
            let validator =
                set.get(usize::from(*signer)).ok_or(CertificateError::UnknownSigner(*signer))?;
            weight += u128::from(validator.weight);
        }
        if !quorum.is_met(weight, set.total()) {
            let least = quorum.threshold(set.total());
            return Err(CertificateError::Weight { got: weight, least });
        }
        let message = Vote::message(domain, VoteKind::Precommit, height, self.round, block);
        for (signer, signature) in self.signers.iter().zip(&self.signatures) {
            let key = set.validators()[usize::from(*signer)].key;
            if !verify(&key, &message, signature) {
                return Err(CertificateError::Signature(key));
            }
        }
        Ok(())
    }

    /// Returns the precommits, as votes.
    pub fn votes<'a>(&'a self, set: &'a ValidatorSet) -> impl Iterator<Item = Vote> + 'a {
        self.signers.iter().zip(&self.signatures).filter_map(move |(signer, signature)| {
            Some(Vote {
                kind: VoteKind::Precommit,
                height: self.height,
                round: self.round,
                block: self.block,
                key: set.get(usize::from(*signer))?.key,
                signature: *signature,
            })
        })
    }
}
