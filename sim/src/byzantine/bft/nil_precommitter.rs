//! Precommits nil whatever was prepared: it takes part in rounds and helps no block.

use super::{
    super::actor::Actor,
    validator::Validator,
    words::{Said, say},
};
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{B256, Time, bft::VoteKind};

/// An actor that precommits nil.
pub(super) struct NilPrecommitter {
    me: Validator,
}

impl NilPrecommitter {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me }
    }
}

impl Actor for NilPrecommitter {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            match Said::of(output) {
                Said::Engine(peers, bft::Message::Vote(vote), _)
                    if vote.key == self.me.key() && vote.kind == VoteKind::Precommit =>
                {
                    out.extend(say(peers, &self.me.vote_instead(&vote, B256::ZERO)));
                }
                said => out.extend(said.output()),
            }
        }
        out
    }
}
