//! Certificates: that of the head, which the next block carries, and some before it, for who lags behind.

use alloy_primitives::B256;
use kette_types::bft::{Certificate, Signature, ValidatorSet, Vote, VoteKind};
use std::collections::BTreeMap;

/// Heights whose certificates are kept at hand.
const KEPT: usize = 32;

/// Recent certificates by height.
#[derive(Debug, Default)]
pub(super) struct Commits {
    recent: BTreeMap<u64, Certificate>,
    /// Validators of the newest one's height.
    last_set: Option<ValidatorSet>,
}

impl Commits {
    /// Keeps what made a block final.
    pub(super) fn add(&mut self, certificate: Certificate, set: ValidatorSet) {
        self.recent.insert(certificate.height, certificate);
        self.last_set = Some(set);
        while self.recent.len() > KEPT {
            self.recent.pop_first();
        }
    }

    pub(super) fn get(&self, height: u64) -> Option<&Certificate> {
        self.recent.get(&height)
    }

    /// Returns the certificate of a block, if it is the newest.
    pub(super) fn last(&self, height: u64, block: B256) -> Option<&Certificate> {
        self.recent.get(&height).filter(|certificate| certificate.block == block)
    }

    /// Returns validators of the newest certificate's height that did not sign it.
    pub(super) fn absent(&self) -> Vec<kette_types::bft::PublicKey> {
        let (Some(set), Some((_, last))) = (&self.last_set, self.recent.last_key_value()) else {
            return Vec::new();
        };
        let validators = set.validators().iter().zip(0_u16..);
        validators.filter(|(_, index)| !last.signers.contains(index)).map(|(v, _)| v.key).collect()
    }

    /// Tells whether a late precommit would complete the newest certificate (requirements X10: signatures are
    /// collected until the next proposal). Returns the signer's place.
    pub(super) fn wants(&self, vote: &Vote) -> Option<u16> {
        let (_, last) = self.recent.last_key_value()?;
        let same = vote.kind == VoteKind::Precommit
            && (vote.height, vote.round, vote.block) == (last.height, last.round, last.block);
        let index = u16::try_from(self.last_set.as_ref()?.position(&vote.key)?).ok()?;
        (same && !last.signers.contains(&index)).then_some(index)
    }

    /// Adds a late precommit whose signature was judged.
    pub(super) fn complete(&mut self, index: u16, signature: Signature) {
        let Some(mut last) = self.recent.last_entry() else { return };
        let last = last.get_mut();
        if let Err(place) = last.signers.binary_search(&index) {
            last.signers.insert(place, index);
            last.signatures.insert(place, signature);
        }
    }
}
