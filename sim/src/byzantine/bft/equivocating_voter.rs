//! Votes for a block to one half of the others and for nil to the other half, in every round and with both votes.

use super::{
    super::actor::Actor,
    validator::Validator,
    words::{Said, heard, say},
};
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{B256, Time, bft::Vote};
use std::collections::BTreeMap;

/// An actor that votes twice.
pub(super) struct EquivocatingVoter {
    me: Validator,
    /// What was proposed, by height and round.
    proposed: BTreeMap<(u64, u32), B256>,
}

impl EquivocatingVoter {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me, proposed: BTreeMap::new() }
    }

    fn note(&mut self, said: &bft::Message) {
        let bft::Message::Proposal(proposal) = said else { return };
        self.proposed.insert((proposal.height, proposal.round), proposal.block);
        if self.proposed.len() > PROPOSED_MAX {
            self.proposed.pop_first();
        }
    }

    /// Returns what the second half is told instead.
    fn other(&self, vote: &Vote) -> Option<bft::Message> {
        let block = if vote.is_nil() {
            *self.proposed.get(&(vote.height, vote.round))?
        } else {
            B256::ZERO
        };
        Some(self.me.vote_instead(vote, block))
    }
}

impl Actor for EquivocatingVoter {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        if let Some(said) = heard(&input) {
            self.note(&said);
        }
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            match Said::of(output) {
                Said::Engine(peers, bft::Message::Vote(vote), bytes)
                    if vote.key == self.me.key() =>
                {
                    let other = self.other(&vote);
                    let (first, second) = self.me.split(peers);
                    out.extend(Said::Engine(first, bft::Message::Vote(vote), bytes).output());
                    out.extend(other.and_then(|other| say(second, &other)));
                }
                Said::Engine(_, bft::Message::Evidence(evidence), _)
                    if self.me.hushes(&evidence) => {}
                said => {
                    if let Said::Engine(_, message, _) = &said {
                        self.note(message);
                    }
                    out.extend(said.output());
                }
            }
        }
        out
    }
}

/// Proposals remembered.
const PROPOSED_MAX: usize = 32;
