//! Proposes blocks of its own in rounds that others lead.

use super::{
    super::actor::Actor,
    validator::Validator,
    words::{Said, say, show},
};
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{PeerId, Time, bft::Vote};

/// An actor that leads when it may not.
pub(super) struct WrongLeader {
    me: Validator,
    /// The highest height at which it did.
    last: u64,
}

impl WrongLeader {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me, last: 0 }
    }

    /// Makes the block that its node votes for its own.
    fn usurp(&mut self, node: &Node, peers: &[PeerId], vote: &Vote, out: &mut Vec<Output>) {
        let Some(executed) = node.tree().executed(vote.block).cloned() else { return };
        if vote.height <= self.last || self.me.made(&executed.block.header) {
            return;
        }
        self.last = vote.height;
        let proof = self.me.prove(executed.block.header.mix_hash, vote.height, vote.round);
        let made = self.me.remake(&executed.block, |_, seal| {
            seal.round = vote.round;
            seal.proof = proof;
        });
        let Some(hash) = made else { return };
        let block = self.me.shelf.get(hash);
        // By turns, so that both are seen: the first is enough for a ban.
        if vote.height.is_multiple_of(2) {
            out.extend(block.and_then(|block| show(peers.to_vec(), block)));
        }
        out.extend(say(peers.to_vec(), &self.me.proposal(vote.height, vote.round, hash)));
    }
}

impl Actor for WrongLeader {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let input = match self.me.asked(input) {
            Ok(answer) => return answer.into_iter().collect(),
            Err(input) => input,
        };
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            let said = Said::of(output);
            if let Said::Engine(peers, bft::Message::Vote(vote), _) = &said
                && vote.key == self.me.key()
            {
                self.usurp(node, peers, vote, &mut out);
            }
            out.extend(said.output());
        }
        out
    }
}
