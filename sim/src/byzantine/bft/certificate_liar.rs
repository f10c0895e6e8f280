//! Says that blocks are final that are not: certificates below a quorum, with a signer twice, with others' names, and,
//! whenever a round fails, one that is made of everybody's precommits for nil.

use super::{
    super::actor::Actor,
    validator::{Validator, set_after, set_of},
    words::{Said, heard, say},
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{
    B256, PeerId, Time,
    bft::{Certificate, Signature, Vote, VoteKind},
};
use rand::RngExt;
use std::collections::BTreeMap;

/// An actor that lies about finality.
pub(super) struct CertificateLiar {
    me: Validator,
    rng: ChaCha8Rng,
    last: u64,
    /// It waits for a round to fail and tells no other lie, for which it would be banned before.
    waits: bool,
    /// Precommits for nil of the newest failing round: height, round, and what was signed at which place of the set.
    nil: (u64, u32, BTreeMap<u16, Signature>),
    /// The height of the newest certificate for nil.
    last_nil: u64,
}

impl CertificateLiar {
    pub(super) fn new(me: Validator, mut rng: ChaCha8Rng) -> Self {
        let waits = rng.random();
        Self { me, rng, last: 0, waits, nil: (0, 0, BTreeMap::new()), last_nil: 0 }
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
        if self.waits || vote.is_nil() || vote.height <= self.last || vote.kind != VoteKind::Prepare
        {
            return;
        }
        self.last = vote.height;
        let lie = self.certificate(node, vote);
        out.extend(lie.and_then(|lie| say(peers.to_vec(), &lie)));
    }
}

impl CertificateLiar {
    /// Collects precommits for nil; says what they are not as soon as they would be enough, to everybody, who decides
    /// that height or has decided it.
    fn collect(&mut self, node: &Node, vote: &Vote, out: &mut Vec<Output>) {
        let (height, round, signed) = &mut self.nil;
        if !vote.is_nil() || vote.kind != VoteKind::Precommit || vote.height <= self.last_nil {
            return;
        }
        if (*height, *round) != (vote.height, vote.round) {
            (*height, *round) = (vote.height, vote.round);
            signed.clear();
        }
        let head = node.tree().head();
        let Some(set) = set_after(node, head).filter(|_| head.number + 1 == vote.height) else {
            return;
        };
        let Some(place) = set.position(&vote.key).and_then(|place| u16::try_from(place).ok())
        else {
            return;
        };
        signed.insert(place, vote.signature);
        let weight = |place: &u16| set.get(usize::from(*place)).map_or(0, |v| u128::from(v.weight));
        let quorum = node.rules().spec().bft().map(|bft| bft.quorum);
        if !quorum.is_some_and(|rule| rule.is_met(signed.keys().map(weight).sum(), set.total())) {
            return;
        }
        self.last_nil = vote.height;
        let certificate = Certificate {
            height: vote.height,
            round: vote.round,
            block: B256::ZERO,
            signers: signed.keys().copied().collect(),
            signatures: signed.values().copied().collect(),
        };
        out.extend(say(self.me.everybody(), &bft::Message::Commit(certificate)));
    }
}

impl Actor for CertificateLiar {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(bft::Message::Vote(vote)) = heard(&input) {
            self.collect(node, &vote, &mut out);
        }
        for output in node.handle(now, input) {
            let said = Said::of(output);
            if let Said::Engine(peers, bft::Message::Vote(vote), _) = &said
                && vote.key == self.me.key()
            {
                self.collect(node, vote, &mut out);
                self.lie(node, peers, vote, &mut out);
            }
            out.extend(said.output());
        }
        out
    }
}
