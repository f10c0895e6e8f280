//! Proposes to nobody, to one, or to half of the others.

use super::{
    super::{actor::Actor, shuffle},
    validator::Validator,
    words::Said,
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{B256, PeerId, Time};
use rand::RngExt;
use std::collections::VecDeque;

/// An actor whose proposals get lost.
pub(super) struct ProposalDropper {
    me: Validator,
    rng: ChaCha8Rng,
    /// The newest of its blocks, and who may know of them.
    told: VecDeque<(B256, Vec<PeerId>)>,
}

impl ProposalDropper {
    pub(super) const fn new(me: Validator, rng: ChaCha8Rng) -> Self {
        Self { me, rng, told: VecDeque::new() }
    }

    /// Leaves out of the peers who shall not know of this block.
    fn choose(&mut self, block: B256, peers: Vec<PeerId>) -> Vec<PeerId> {
        let known = self.told.iter().find(|(hash, _)| *hash == block);
        let chosen = match known {
            Some((_, chosen)) => chosen.clone(),
            None => {
                let mut chosen = peers.clone();
                shuffle(&mut self.rng, &mut chosen);
                chosen.truncate(match self.rng.random_range(0..3) {
                    0 => 0,
                    1 => 1,
                    _ => chosen.len() / 2,
                });
                if self.told.len() >= TOLD_MAX {
                    self.told.pop_front();
                }
                self.told.push_back((block, chosen.clone()));
                chosen
            }
        };
        peers.into_iter().filter(|peer| chosen.contains(peer)).collect()
    }
}

impl Actor for ProposalDropper {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            let said = match Said::of(output) {
                Said::Block(peers, header, message) if self.me.made(&header) => {
                    Said::Block(self.choose(header.hash(), peers), header, message)
                }
                Said::Engine(peers, bft::Message::Proposal(proposal), bytes)
                    if proposal.key == self.me.key() =>
                {
                    let peers = self.choose(proposal.block, peers);
                    Said::Engine(peers, bft::Message::Proposal(proposal), bytes)
                }
                said => said,
            };
            out.extend(said.output());
        }
        out
    }
}

/// Blocks remembered.
const TOLD_MAX: usize = 16;
