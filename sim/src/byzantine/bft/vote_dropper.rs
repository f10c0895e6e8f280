//! Proposes, passes on, and never votes.

use super::{super::actor::Actor, validator::Validator, words::Said};
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::Time;

/// An actor that does not vote.
pub(super) struct VoteDropper {
    me: Validator,
}

impl VoteDropper {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me }
    }
}

impl Actor for VoteDropper {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let own = |said: &Said| match said {
            Said::Engine(_, bft::Message::Vote(vote), _) => vote.key == self.me.key(),
            _ => false,
        };
        let said = node.handle(now, input).into_iter().map(Said::of);
        said.filter(|said| !own(said)).filter_map(Said::output).collect()
    }
}
