//! What a header of this engine must be, checked against its ancestors. The validators come from the seals
//! themselves, so headers alone are enough: sync and light clients need nothing else.

use super::{SignatureMemo, leader, vrf};
use crate::SealError;
use kette_chain::Headers;
use kette_types::{
    B256, ChainSpec, SealedHeader, Time,
    bft::{BftSpec, CertificateError, Domain, PublicKey, Seal, SetError, Signature, ValidatorSet},
    planted::{Bug, is_planted},
};
use std::{cell::RefCell, collections::VecDeque, sync::Arc};

/// A header that breaks a rule of the engine, whatever our state is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The seal is not what `extraData` commits to: the hash is not to blame.
    #[error("the seal is not the one that extraData commits to")]
    Commitment,
    /// The seal is not RLP of a seal.
    #[error("the seal cannot be read: {0}")]
    Seal(alloy_rlp::Error),
    /// Difficulty or nonce is not zero.
    #[error("difficulty and nonce must be zero")]
    ProofOfWork,
    /// `mixHash` is not the seed that follows from the parent.
    #[error("mixHash is not the seed that follows from the parent")]
    Seed,
    /// The timestamp is not the whole seconds of the seal's time.
    #[error("timestamp {timestamp} is not that of {time_ms} ms")]
    Timestamp {
        /// In the header, seconds.
        timestamp: u64,
        /// In the seal, milliseconds.
        time_ms: u64,
    },
    /// Too early after the parent.
    #[error("{got} ms after the parent, a slot is {slot} ms")]
    TooEarly {
        /// Milliseconds since the parent; 0 if before it.
        got: u64,
        /// Least time between blocks.
        slot: u64,
    },
    /// Made by somebody else than the leader.
    #[error("not made by the leader of its round")]
    WrongLeader,
    /// The leader's VRF key or proof is wrong.
    #[error(transparent)]
    Vrf(#[from] vrf::VrfError),
    /// The leader's signature does not verify.
    #[error("the leader's signature does not verify")]
    Signature,
    /// The certificate of the parent is wrong.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Block 1 carries a certificate.
    #[error("block 1 has no parent to certify")]
    FirstCertificate,
    /// The next validators are no set.
    #[error("next validators: {0}")]
    Next(#[from] SetError),
    /// The next validators do not have the hash that is named, or are listed without a change.
    #[error("next validators do not have the hash that the seal names, or did not change")]
    NextHash,
    /// More evidence than a block may carry.
    #[error("{0} proofs of double signing, at most {EVIDENCE_MAX}")]
    Evidence(usize),
}

/// Proofs of double signing that one block may carry.
pub const EVIDENCE_MAX: usize = 4;
/// Headers that passed, remembered: each is checked when announced, when staged and when published.
const PASSED_MAX: usize = 512;
/// Validator sets remembered.
const SETS_MAX: usize = 64;

/// The rules of one chain, and what was judged before.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) spec: BftSpec,
    pub(super) domain: Domain,
    /// Seed of height 1.
    first_seed: B256,
    /// Time of block 0, milliseconds.
    first_time: u64,
    genesis_set: ValidatorSet,
    memo: Option<Arc<dyn SignatureMemo>>,
    sets: RefCell<VecDeque<ValidatorSet>>,
    passed: RefCell<VecDeque<B256>>,
}

impl Rules {
    pub(super) fn new(
        spec: &ChainSpec,
        params: &BftSpec,
        memo: Option<Arc<dyn SignatureMemo>>,
    ) -> Self {
        Self {
            spec: params.clone(),
            domain: spec.domain(),
            first_seed: leader::first_seed(spec.genesis.mix_hash),
            first_time: spec.genesis.timestamp.saturating_mul(1_000),
            genesis_set: params.genesis_set().expect("ChainSpec checked it"),
            memo,
            sets: RefCell::default(),
            passed: RefCell::default(),
        }
    }

    /// Checks a header. A verdict that does not depend on the clock is remembered.
    pub(super) fn check(
        &self,
        now: Time,
        header: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<(), SealError> {
        let seal = read_seal(header)?;
        self.check_clock(now, &seal)?;
        if self.passed.borrow().contains(&header.hash()) {
            return Ok(());
        }
        if !header.difficulty.is_zero() || !header.nonce.is_zero() {
            return Err(Violation::ProofOfWork.into());
        }
        let unknown = || SealError::UnknownAncestor(header.parent_hash);
        let parent = chain.header(header.parent_hash)?.ok_or_else(unknown)?;
        self.check_time(header, &seal, &parent)?;
        if header.mix_hash != self.next_seed(&parent)? {
            return Err(Violation::Seed.into());
        }
        let set = self.next_set(&parent, chain)?;
        self.check_leader(header, &seal, &set)?;
        let next = check_next(&seal, &set)?;
        self.check_commit(&seal, &parent, chain)?;
        if seal.evidence.len() > EVIDENCE_MAX {
            return Err(Violation::Evidence(seal.evidence.len()).into());
        }
        if let Some(next) = next {
            self.remember(next);
        }
        // Last: a leader can make up next sets without end, and must not push out the one that is used.
        self.remember(set);
        let mut passed = self.passed.borrow_mut();
        if passed.len() >= PASSED_MAX {
            passed.pop_front();
        }
        passed.push_back(header.hash());
        Ok(())
    }

    fn check_clock(&self, now: Time, seal: &Seal) -> Result<(), SealError> {
        let at = seal.time_ms.saturating_sub(self.spec.clock_drift_ms);
        if at > now.as_millis() {
            return Err(SealError::Future(Time::from_millis(at)));
        }
        Ok(())
    }

    fn check_time(
        &self,
        header: &SealedHeader,
        seal: &Seal,
        parent: &SealedHeader,
    ) -> Result<(), SealError> {
        let (timestamp, time_ms) = (header.timestamp, seal.time_ms);
        if timestamp != time_ms / 1_000 {
            return Err(Violation::Timestamp { timestamp, time_ms }.into());
        }
        let got = time_ms.saturating_sub(self.time_ms(parent)?);
        let slot = self.spec.slot_ms;
        if got < slot {
            return Err(Violation::TooEarly { got, slot }.into());
        }
        Ok(())
    }

    fn check_leader(
        &self,
        header: &SealedHeader,
        seal: &Seal,
        set: &ValidatorSet,
    ) -> Result<(), SealError> {
        let leader = set.validators()[leader::leader(set, header.mix_hash, seal.round)];
        if seal.key != leader.key {
            return Err(Violation::WrongLeader.into());
        }
        let signed = seal.signed_bytes(self.domain, header.header());
        if !self.verify(&seal.key, &signed, &seal.signature) {
            return Err(Violation::Signature.into());
        }
        let key = vrf::PublicKey::from_bytes(leader.vrf_key.0).map_err(Violation::Vrf)?;
        let proof = vrf::Proof::try_from(seal.proof.as_ref()).map_err(Violation::Vrf)?;
        let alpha = leader::alpha(header.mix_hash, header.number, seal.round);
        let verify = || vrf::verify(&key, alpha.as_slice(), &proof);
        let judge = || verify().is_ok();
        if let Some(memo) = &self.memo
            && memo.proves(&leader.vrf_key, &alpha, &seal.proof, &judge)
        {
            return Ok(());
        }
        verify().map_err(Violation::Vrf)?;
        Ok(())
    }

    fn check_commit(
        &self,
        seal: &Seal,
        parent: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<(), SealError> {
        if parent.number == 0 {
            let empty = seal.last_commit == kette_types::bft::Certificate::default();
            return if empty { Ok(()) } else { Err(Violation::FirstCertificate.into()) };
        }
        let set = self.set_of(parent, chain)?;
        self.check_certificate(&seal.last_commit, parent.number, parent.hash(), &set)
            .map_err(|error| Violation::Certificate(error).into())
    }

    pub(super) fn check_certificate(
        &self,
        certificate: &kette_types::bft::Certificate,
        height: u64,
        block: B256,
        set: &ValidatorSet,
    ) -> Result<(), CertificateError> {
        if is_planted(Bug::CertificateUnchecked) {
            return Ok(());
        }
        let verify =
            |key: &PublicKey, message: &[u8], sig: &Signature| self.verify(key, message, sig);
        certificate.check(self.domain, height, block, set, self.spec.quorum, &verify)
    }

    /// Judges a signature, or remembers how it was judged.
    pub(super) fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let judge = || key.verify(message, signature);
        match &self.memo {
            Some(memo) => memo.verify(key, message, signature, &judge),
            None => judge(),
        }
    }

    /// Returns a block's time, milliseconds.
    pub(super) fn time_ms(&self, header: &SealedHeader) -> Result<u64, SealError> {
        if header.number == 0 { Ok(self.first_time) } else { Ok(read_seal(header)?.time_ms) }
    }

    /// Returns the seed of the height after a block.
    pub(super) fn next_seed(&self, parent: &SealedHeader) -> Result<B256, SealError> {
        if parent.number == 0 {
            return Ok(self.first_seed);
        }
        let seal = read_seal(parent)?;
        let proof = vrf::Proof::try_from(seal.proof.as_ref()).map_err(Violation::Vrf)?;
        let output = vrf::proof_to_hash(&proof).map_err(Violation::Vrf)?;
        Ok(leader::next_seed(parent.mix_hash, &output))
    }

    /// Returns the validators of a block's own height.
    fn set_of(
        &self,
        header: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<ValidatorSet, SealError> {
        let parent = chain
            .header(header.parent_hash)?
            .ok_or(SealError::UnknownAncestor(header.parent_hash))?;
        self.next_set(&parent, chain)
    }

    /// Returns the validators of the height after a block. One that is not remembered is looked for where it was listed,
    /// however far back that is: a node that gave up could never begin its height again.
    pub(super) fn next_set(
        &self,
        parent: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<ValidatorSet, SealError> {
        if parent.number == 0 {
            return Ok(self.genesis_set.clone());
        }
        let wanted = read_seal(parent)?.next_hash;
        if wanted == self.genesis_set.hash() {
            return Ok(self.genesis_set.clone());
        }
        if let Some(set) = self.sets.borrow().iter().find(|set| set.hash() == wanted) {
            return Ok(set.clone());
        }
        let mut cursor = parent.clone();
        while cursor.number > 0 {
            let seal = read_seal(&cursor)?;
            if !seal.next.is_empty() && seal.next_hash == wanted {
                let set = ValidatorSet::from_sorted(seal.next).map_err(Violation::Next)?;
                if set.hash() == wanted {
                    self.remember(set.clone());
                    return Ok(set);
                }
            }
            let hash = cursor.parent_hash;
            cursor = chain.header(hash)?.ok_or(SealError::UnknownAncestor(hash))?;
        }
        Err(SealError::UnknownAncestor(parent.hash()))
    }

    /// Keeps a set at hand.
    pub(super) fn remember(&self, set: ValidatorSet) {
        let mut sets = self.sets.borrow_mut();
        if sets.back().is_some_and(|last| last.hash() == set.hash()) {
            return;
        }
        sets.retain(|known| known.hash() != set.hash());
        if sets.len() >= SETS_MAX {
            sets.pop_front();
        }
        sets.push_back(set);
    }
}

/// Reads the seal that a header commits to.
pub(super) fn read_seal(header: &SealedHeader) -> Result<Seal, SealError> {
    let hash = alloy_primitives::keccak256(header.seal());
    if header.extra_data.as_ref() != hash.as_slice() {
        return Err(Violation::Commitment.into());
    }
    Seal::decode_exact(header.seal()).map_err(|error| Violation::Seal(error).into())
}

/// Checks the next validators that a seal names. Returns them if they are listed.
fn check_next(seal: &Seal, set: &ValidatorSet) -> Result<Option<ValidatorSet>, Violation> {
    if seal.next.is_empty() {
        return if seal.next_hash == set.hash() { Ok(None) } else { Err(Violation::NextHash) };
    }
    let next = ValidatorSet::from_sorted(seal.next.clone())?;
    if next.hash() != seal.next_hash || next.hash() == set.hash() {
        return Err(Violation::NextHash);
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_ledger::ReadError;
    use kette_types::{Bytes, Header};

    /// A chain whose validators changed in block 1. Its hashes are numbers: nothing here compares them.
    struct Long(ValidatorSet);

    impl Headers for Long {
        fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
            let number = u64::from_be_bytes(hash.0[24..].try_into().unwrap());
            let next = if number == 1 { self.0.validators().to_vec() } else { Vec::new() };
            let seal = Seal {
                round: 0,
                time_ms: 0,
                proof: Bytes::new(),
                next_hash: self.0.hash(),
                next,
                last_commit: kette_types::bft::Certificate::default(),
                evidence: Vec::new(),
                key: self.0.validators()[0].key,
                signature: Signature::ZERO,
            };
            let parent_hash = at(number.saturating_sub(1));
            let extra_data = seal.commitment();
            let header = Header { number, parent_hash, extra_data, ..Header::default() };
            Ok(Some(SealedHeader::new(header, seal.encoded())))
        }
    }

    fn at(number: u64) -> B256 {
        B256::left_padding_from(&number.to_be_bytes())
    }

    /// A day of blocks of a second after the last change, a restarted node began no height, and called headers of
    /// honest peers strangers.
    #[test]
    fn validators_that_did_not_change_for_long_are_found() {
        let text = include_str!("../../../../kette/presets/chains/bft4.json");
        let spec = ChainSpec::from_json(text).unwrap();
        let rules = Rules::new(&spec, spec.bft().unwrap(), None);
        let fewer = rules.genesis_set.validators()[1..].to_vec();
        let chain = Long(ValidatorSet::from_sorted(fewer).unwrap());
        let parent = chain.header(at(150_000)).unwrap().unwrap();
        assert_eq!(rules.next_set(&parent, &chain).unwrap(), chain.0);
        assert!(rules.sets.borrow().contains(&chain.0), "the next one asks for nothing");
    }
}
