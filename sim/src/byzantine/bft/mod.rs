//! Byzantine validators: each holds its key and may sign anything.
//!
//! An actor wraps an honest validator and changes what it says, so it keeps up with the chain and is believed until it
//! lies. What its own node signs stays as it is inside; what leaves is the actor's. Actors of one misbehaviour are
//! accomplices: they know each other's keys. The honest others are split into two halves, the same for all
//! accomplices: hosts in the order of the file take turns.
//!
//! | File | Who |
//! |---|---|
//! | `equivocating_proposer.rs` | proposes two blocks and votes for both, to a half each |
//! | `equivocating_voter.rs` | votes for the block to one half, for nil to the other |
//! | `amnesiac.rs` | forgets what it is locked on |
//! | `nil_precommitter.rs` | precommits nil whatever it saw |
//! | `vote_dropper.rs`, `proposal_dropper.rs` | say nothing of that kind |
//! | `vote_delayer.rs` | votes late |
//! | `wrong_leader.rs` | proposes in others' rounds |
//! | `vrf_withholder.rs` | withholds its block if it does not lead the next height by it |
//! | `bad_proposer.rs` | proposes blocks that break one rule: of the VRF, of the next validators, or any |
//! | `vote_flooder.rs` | floods with votes for other rounds and heights, bad signatures, repetitions |
//! | `certificate_liar.rs` | says that blocks are final that are not |

mod amnesiac;
mod bad_proposer;
mod certificate_liar;
mod equivocating_proposer;
mod equivocating_voter;
mod nil_precommitter;
mod proposal_dropper;
mod validator;
mod vote_delayer;
mod vote_dropper;
mod vote_flooder;
mod vrf_withholder;
mod words;
mod wrong_leader;

use super::{Setup, wrapped};
use crate::{Machine, scenario::Misbehaviour};
use bad_proposer::{BadProposer, Flaw};
use kette_node::Node;
use validator::Validator;

/// Makes the actor for a misbehaviour of validators around an honest one. Who is no validator stays honest.
pub(super) fn build(misbehaviour: Misbehaviour, node: Node, setup: Setup<'_>) -> Box<dyn Machine> {
    let Some(me) = Validator::new(&setup) else { return Box::new(node) };
    let rng = setup.rng;
    match misbehaviour {
        Misbehaviour::EquivocatingProposer => {
            wrapped(node, equivocating_proposer::EquivocatingProposer::new(me))
        }
        Misbehaviour::EquivocatingVoter => {
            wrapped(node, equivocating_voter::EquivocatingVoter::new(me))
        }
        Misbehaviour::Amnesiac => wrapped(node, amnesiac::Amnesiac::new(me)),
        Misbehaviour::NilPrecommitter => wrapped(node, nil_precommitter::NilPrecommitter::new(me)),
        Misbehaviour::VoteDropper => wrapped(node, vote_dropper::VoteDropper::new(me)),
        Misbehaviour::ProposalDropper => {
            wrapped(node, proposal_dropper::ProposalDropper::new(me, rng))
        }
        Misbehaviour::VoteDelayer => wrapped(node, vote_delayer::VoteDelayer::new(me, rng)),
        Misbehaviour::WrongLeader => wrapped(node, wrong_leader::WrongLeader::new(me)),
        Misbehaviour::VrfWithholder => wrapped(node, vrf_withholder::VrfWithholder::new(me)),
        Misbehaviour::BadVrfProver => wrapped(node, BadProposer::new(me, rng, &[Flaw::VrfProof])),
        Misbehaviour::SetLiar => {
            wrapped(node, BadProposer::new(me, rng, &[Flaw::NextSet, Flaw::NextHash]))
        }
        Misbehaviour::BadProposer => wrapped(node, BadProposer::new(me, rng, &Flaw::ALL)),
        Misbehaviour::VoteFlooder => wrapped(node, vote_flooder::VoteFlooder::new(me, rng)),
        Misbehaviour::CertificateLiar => {
            wrapped(node, certificate_liar::CertificateLiar::new(me, rng))
        }
        // Those of everybody are made by the caller.
        _ => Box::new(node),
    }
}
