//! The engine's header rules for those who run no node: RPC, light clients, offline checks.

use super::{leader, rules::Rules, vrf};
use crate::SealError;
use kette_chain::Headers;
use kette_types::{
    B256, ChainSpec, SealedHeader, Time,
    bft::{Certificate, CertificateError, Domain, Quorum, Seal, ValidatorSet},
};

/// The rules of one chain's headers and certificates. Clocks are not asked.
#[derive(Debug)]
pub struct Verifier(Rules);

impl Verifier {
    /// Builds the rules of a chain; `None` if its engine is another one.
    pub fn new(spec: &ChainSpec) -> Option<Self> {
        spec.bft().map(|params| Self(Rules::new(spec, params, None)))
    }

    /// Checks a header against its ancestors: seed, leader, proof, signature, the parent's certificate, the next
    /// validators. Says nothing about whether the header itself is final.
    ///
    /// # Errors
    /// The rule that it breaks, or an ancestor that is missing.
    pub fn header(&self, header: &SealedHeader, chain: &dyn Headers) -> Result<(), SealError> {
        self.0.check(Time::from_millis(u64::MAX), header, chain)
    }

    /// Checks that a certificate makes a block final, given the validators of its height.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn certificate(
        &self,
        certificate: &Certificate,
        height: u64,
        block: B256,
        set: &ValidatorSet,
    ) -> Result<(), CertificateError> {
        self.0.check_certificate(certificate, height, block, set)
    }

    /// Returns the validators of the height after a block; walks back to where they were listed.
    ///
    /// # Errors
    /// If a header on the way is missing or has no seal.
    pub fn validators_after(
        &self,
        parent: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<ValidatorSet, SealError> {
        self.0.next_set(parent, chain)
    }

    /// Returns the seed of the height after a block.
    ///
    /// # Errors
    /// If the block has no seal.
    pub fn seed_after(&self, parent: &SealedHeader) -> Result<B256, SealError> {
        self.0.next_seed(parent)
    }

    /// Returns a header's seal.
    ///
    /// # Errors
    /// If it is not what the header commits to.
    pub fn seal(header: &SealedHeader) -> Result<Seal, SealError> {
        super::rules::read_seal(header)
    }

    /// Checks the leader's VRF proof of a header and returns its output.
    ///
    /// # Errors
    /// What is wrong with the proof.
    pub fn vrf_output(
        header: &SealedHeader,
        seal: &Seal,
        vrf_key: B256,
    ) -> Result<vrf::Output, vrf::VrfError> {
        let key = vrf::PublicKey::from_bytes(vrf_key.0)?;
        let proof = vrf::Proof::try_from(seal.proof.as_ref())?;
        let alpha = leader::alpha(header.mix_hash, header.number, seal.round);
        vrf::verify(&key, alpha.as_slice(), &proof)
    }

    /// Returns the chain that signatures are for.
    pub const fn domain(&self) -> Domain {
        self.0.domain
    }

    /// Returns the quorum rule.
    pub const fn quorum(&self) -> Quorum {
        self.0.spec.quorum
    }
}
