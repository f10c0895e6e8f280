//! Withholds its block unless its VRF output makes it lead the next height as well: the one bit of bias that a
//! beacon leaves to the last who contributes.

use super::{
    super::actor::Actor,
    validator::{Validator, leader_of, seal, set_of},
    words::Said,
};
use kette_consensus::bft::{self, leader, vrf};
use kette_node::{Input, Node, Output};
use kette_types::{B256, SealedHeader, Time, bft::ValidatorSet};
use std::collections::VecDeque;

/// An actor that withholds.
pub(super) struct VrfWithholder {
    me: Validator,
    /// The newest blocks that it withholds.
    withheld: VecDeque<B256>,
}

impl VrfWithholder {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me, withheld: VecDeque::new() }
    }

    /// Tells whether this block of its own makes it lead the next height.
    fn suits(&self, node: &Node, header: &SealedHeader) -> Option<bool> {
        let seal = seal(header)?;
        let proof = vrf::Proof::try_from(seal.proof.as_ref()).ok()?;
        let output = vrf::proof_to_hash(&proof).ok()?;
        let next = match seal.next.is_empty() {
            true => set_of(node, header)?,
            false => ValidatorSet::from_sorted(seal.next).ok()?,
        };
        let mut imagined = header.header().clone();
        imagined.mix_hash = leader::next_seed(header.mix_hash, &output);
        let imagined = SealedHeader::new(imagined, header.seal().clone());
        Some(leader_of(&next, &imagined, 0) == self.me.key())
    }

    fn consider(&mut self, node: &Node, header: &SealedHeader) {
        let hash = header.hash();
        let ours = self.me.made(header) && !self.withheld.contains(&hash);
        if ours && self.suits(node, header) == Some(false) {
            if self.withheld.len() >= WITHHELD_MAX {
                self.withheld.pop_front();
            }
            self.withheld.push_back(hash);
        }
    }
}

impl Actor for VrfWithholder {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            let said = Said::of(output);
            let block = match &said {
                Said::Block(_, header, _) => {
                    self.consider(node, header);
                    header.hash()
                }
                Said::Engine(_, bft::Message::Vote(vote), _) => vote.block,
                Said::Engine(_, bft::Message::Proposal(proposal), _) => proposal.block,
                _ => B256::ZERO,
            };
            if !self.withheld.contains(&block) {
                out.extend(said.output());
            }
        }
        out
    }
}

/// Blocks remembered.
const WITHHELD_MAX: usize = 16;
