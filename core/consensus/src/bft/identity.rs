//! Who this node is as a validator.

use super::vrf;
use alloy_primitives::B256;
use kette_types::bft::{PublicKey, SecretKey, Signature};
pub use kette_types::bft::{SignRegression, SignState};
use std::fmt;

/// Keys of a validator, and what it signed last.
#[derive(Clone)]
pub struct Identity {
    /// Signs votes, proposals and blocks.
    pub secret: SecretKey,
    /// Proves leadership.
    pub vrf: vrf::SecretKey,
    /// What the sign-state file holds; `None` if there is none.
    pub signed: Option<SignState>,
    /// Sign although the file is missing and the chain shows votes of this key: the operator says that no
    /// other process has it and that it did not vote above our head.
    pub trust_missing: bool,
}

impl Identity {
    /// Builds an identity from the seed of its key file. The VRF key has a seed of its own, derived from it.
    pub fn from_seed(seed: &B256, signed: Option<SignState>) -> Self {
        let vrf =
            alloy_primitives::keccak256([b"kette/bft/vrf/1".as_slice(), seed.as_slice()].concat());
        Self {
            secret: SecretKey::from_seed(seed),
            vrf: vrf::SecretKey::from_seed(&vrf.0),
            signed,
            trust_missing: false,
        }
    }

    /// Returns the public key that votes are checked with.
    pub fn key(&self) -> PublicKey {
        self.secret.public()
    }

    /// Returns the public key that leadership is checked with.
    pub fn vrf_key(&self) -> B256 {
        B256::new(self.vrf.public().to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key", &self.key()).field("signed", &self.signed).finish()
    }
}

/// Remembers judged signatures for all nodes of one process: what is right does not depend on who checks.
pub trait SignatureMemo: fmt::Debug + Send + Sync {
    /// Tells whether the signature is right, judging it with `judge` if nobody did before.
    fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
        judge: &dyn Fn() -> bool,
    ) -> bool;

    /// Tells the same of a VRF proof of this input. Each node judges a header's once, so only what many nodes share
    /// needs to remember it.
    fn proves(&self, key: &B256, input: &B256, proof: &[u8], judge: &dyn Fn() -> bool) -> bool {
        let _ = (key, input, proof);
        judge()
    }
}
