//! Proposes two blocks in each of its rounds, and votes for both: one for each half of the others.
//!
//! It tells neither half what the other says at such a height, nor of evidence against itself. With more than a
//! third of such weight, or a third where `2/3` decides, two halves that do not hear each other decide differently.

use super::{
    super::actor::Actor,
    validator::Validator,
    words::{Said, say, show},
};
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{B256, Time};
use std::collections::VecDeque;

/// An actor that equivocates when it leads.
pub(super) struct EquivocatingProposer {
    me: Validator,
    /// The newest of its blocks and their siblings.
    pairs: VecDeque<Pair>,
}

#[derive(Clone, Copy)]
struct Pair {
    height: u64,
    ours: B256,
    other: B256,
}

impl EquivocatingProposer {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me, pairs: VecDeque::new() }
    }

    fn pair(&self, hash: B256) -> Option<Pair> {
        self.pairs.iter().copied().find(|pair| pair.ours == hash)
    }

    /// Tells whether two of its blocks are about at this height.
    fn plays(&self, height: u64) -> bool {
        self.pairs.iter().any(|pair| pair.height == height)
    }

    /// Makes a sibling of a block of its own.
    fn prepare(&mut self, node: &Node, hash: B256) -> Option<()> {
        let block = &node.tree().executed(hash)?.clone().block;
        if !self.me.made(&block.header) || self.pair(hash).is_some() {
            return None;
        }
        let other = self.me.sibling(block)?;
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { height: block.header.number, ours: hash, other });
        Some(())
    }

    fn tell(&mut self, node: &Node, output: Output, out: &mut Vec<Output>) {
        match Said::of(output) {
            Said::Block(peers, header, message) => {
                self.prepare(node, header.hash());
                match self.pair(header.hash()) {
                    Some(pair) => {
                        let (first, second) = self.me.split(peers);
                        out.extend(Said::Block(first, header, message).output());
                        let sibling = self.me.shelf.get(pair.other);
                        out.extend(sibling.and_then(|block| show(second, block)));
                    }
                    None if self.plays(header.number) => {}
                    None => out.extend(Said::Block(peers, header, message).output()),
                }
            }
            Said::Engine(peers, said, bytes) => {
                let (first, second) = self.me.split(peers.clone());
                let (height, other) = match &said {
                    bft::Message::Vote(vote) if vote.key == self.me.key() => {
                        let pair = self.pair(vote.block);
                        (0, pair.map(|pair| self.me.vote_instead(vote, pair.other)))
                    }
                    bft::Message::Proposal(proposal) if proposal.key == self.me.key() => {
                        let other = |pair: Pair| {
                            self.me.proposal(proposal.height, proposal.round, pair.other)
                        };
                        (0, self.pair(proposal.block).map(other))
                    }
                    bft::Message::Evidence(evidence) if self.me.hushes(evidence) => return,
                    bft::Message::Vote(vote) => (vote.height, None),
                    bft::Message::Proposal(proposal) => (proposal.height, None),
                    bft::Message::Commit(certificate) => (certificate.height, None),
                    _ => (0, None),
                };
                match other {
                    Some(other) => {
                        out.extend(Said::Engine(first, said, bytes).output());
                        out.extend(say(second, &other));
                    }
                    None if self.plays(height) => {}
                    None => out.extend(Said::Engine(peers, said, bytes).output()),
                }
            }
            Said::Other(output) => out.push(output),
        }
    }
}

impl Actor for EquivocatingProposer {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let input = match self.me.asked(input) {
            Ok(answer) => return answer.into_iter().collect(),
            Err(input) => input,
        };
        let mut outputs = node.handle(now, input);
        self.me.shelf.serve(&**node.tree().reader(), &mut outputs);
        let mut out = Vec::with_capacity(outputs.len());
        for output in outputs {
            self.tell(node, output, &mut out);
        }
        out
    }
}

/// Pairs remembered.
const PAIRS_MAX: usize = 16;
