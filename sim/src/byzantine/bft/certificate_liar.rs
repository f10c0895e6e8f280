//! Says that blocks are final that are not: certificates below a quorum, with a signer twice, with others' names.

use super::{
    super::actor::Actor,
    validator::{Validator, set_of},
    words::{Said, say},
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{
    PeerId, Time,
    bft::{Certificate, Vote, VoteKind},
};
use rand::RngExt;

/// An actor that lies about finality.
pub(super) struct CertificateLiar {
    me: Validator,
    rng: ChaCha8Rng,
    last: u64,
}

impl CertificateLiar {
    pub(super) const fn new(me: Validator, rng: ChaCha8Rng) -> Self {
        Self { me, rng, last: 0 }
    }

    fn certificate(&mut self, node: &Node, vote: &Vote) -> Option<bft::Message> {
        let header = &node.tree().executed(vote.block)?.block.header.clone();
        let set = set_of(node, header)?;
        let index = u16::try_from(set.position(&self.me.key())?).ok()?;
        let Vote { height, round, block, .. } = *vote;
        let own = self.me.vote(VoteKind::Precommit, height, round, block).signature;
        let signers = match self.rng.random_range(0..4) {
            0 => Vec::new(),
            1 => vec![index],
            2 => vec![index; set.len()],
            _ => (0..u16::try_from(set.len()).ok()?).collect(),
        };
        let signatures = vec![own; signers.len()];
        let certificate = Certificate { height, round, block, signers, signatures };
        Some(bft::Message::Commit(certificate))
    }

    fn lie(&mut self, node: &Node, peers: &[PeerId], vote: &Vote, out: &mut Vec<Output>) {
        if vote.is_nil() || vote.height <= self.last || vote.kind != VoteKind::Prepare {
            return;
        }
        self.last = vote.height;
        let lie = self.certificate(node, vote);
        out.extend(lie.and_then(|lie| say(peers.to_vec(), &lie)));
    }
}

impl Actor for CertificateLiar {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            let said = Said::of(output);
            if let Said::Engine(peers, bft::Message::Vote(vote), _) = &said
                && vote.key == self.me.key()
            {
                self.lie(node, peers, vote, &mut out);
            }
            out.extend(said.output());
        }
        out
    }
}
