//! What validators of the engine `bft` sign, seal and carry in blocks.
//!
//! | Thing | Signed by | Where it travels |
//! |---|---|---|
//! | [`Seal`] | the leader of a height and round | beside the header; `extraData` is its hash |
//! | [`Proposal`] | the leader of a round | engine message; names a block |
//! | [`Vote`] | every validator, twice a round | engine message; a zero hash is nil |
//! | [`Certificate`] | a quorum of precommits | in the seal of the next block, and stored with its own |
//! | [`Evidence`] | one validator, twice | engine message, then in a seal |
//!
//! Nothing that is signed holds a time, so that "the same vote again" means the same bytes. Every signature
//! covers the chain, what is signed, height and round (no vote counts elsewhere).

mod certificate;
mod evidence;
mod key;
mod seal;
mod set;
mod sign;
mod spec;
mod vote;

pub use certificate::{Certificate, CertificateError};
pub use evidence::{Evidence, EvidenceError, Signed};
pub use key::{PublicKey, SecretKey, Signature};
pub use seal::{Seal, VRF_PROOF_BYTES};
pub use set::{Quorum, SetError, VALIDATORS_MAX, Validator, ValidatorSet};
pub use sign::{SignRegression, SignState};
pub use spec::{BftSpec, SlashingSpec, TimeoutSpec};
pub use vote::{Domain, Proposal, Step, Vote, VoteKind};
