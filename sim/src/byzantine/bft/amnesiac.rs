//! Forgets what it is locked on, and never signs two things of one round.
//!
//! Where it would prepare nil because of a lock it prepares what was proposed. And where it or an accomplice leads
//! round 1 it plots: the first half sees round 0 as usual, the second half nothing of it. After its own precommit of
//! round 0 the leader of round 1 shows the second half another block, and all accomplices vote for that one. Two
//! amnesiacs of four validators make two blocks final if the halves do not hear each other; one cannot.

use super::{
    super::actor::Actor,
    validator::{Half, Validator, leader_of, seal, set_of},
    words::{Said, heard, say, show},
};
use kette_consensus::bft;
use kette_node::{Event, Input, Node, Output};
use kette_types::{
    B256, PeerId, SealedHeader, Time,
    bft::{Vote, VoteKind},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An actor that forgets its locks.
pub(super) struct Amnesiac {
    me: Validator,
    peers: BTreeSet<PeerId>,
    /// What was proposed, by height and round.
    proposed: BTreeMap<(u64, u32), B256>,
    plots: VecDeque<Plot>,
}

/// Two blocks of one height.
struct Plot {
    height: u64,
    /// Of round 0.
    block: B256,
    /// It leads round 1.
    leads: bool,
    /// The block of round 1, once it is there.
    other: Option<B256>,
    precommitted: bool,
    prepared_other: bool,
    precommitted_other: bool,
}

impl Amnesiac {
    pub(super) const fn new(me: Validator) -> Self {
        Self { me, peers: BTreeSet::new(), proposed: BTreeMap::new(), plots: VecDeque::new() }
    }

    fn plot(&mut self, height: u64) -> Option<&mut Plot> {
        self.plots.iter_mut().find(|plot| plot.height == height)
    }

    /// Plots around a block of round 0, if it suits.
    fn consider(&mut self, node: &Node, header: &SealedHeader) {
        let (height, block) = (header.number, header.hash());
        if self.plot(height).is_some() || seal(header).is_none_or(|seal| seal.round != 0) {
            return;
        }
        let Some(set) = set_of(node, header) else { return };
        let (first, next) = (leader_of(&set, header, 0), leader_of(&set, header, 1));
        if self.me.is_in(Half::Second, &first) || !self.me.is_accomplice(&next) {
            return;
        }
        if self.plots.len() >= PLOTS_MAX {
            self.plots.pop_front();
        }
        self.plots.push_back(Plot {
            height,
            block,
            leads: next == self.me.key(),
            other: None,
            precommitted: false,
            prepared_other: false,
            precommitted_other: false,
        });
    }

    /// Returns those who shall not hear of round 0, and those who shall.
    fn halves(&self) -> (Vec<PeerId>, Vec<PeerId>) {
        self.me.split(self.peers.iter().copied().collect())
    }

    /// After its precommit of round 0: goes on as if there had been none.
    fn forget(&mut self, node: &Node, height: u64, out: &mut Vec<Output>) {
        let (first, second) = self.halves();
        let Some(plot) = self.plots.iter_mut().find(|plot| plot.height == height) else { return };
        if !plot.precommitted {
            return;
        }
        if plot.leads && plot.other.is_none() {
            let Some(executed) = node.tree().executed(plot.block).cloned() else { return };
            let proof = self.me.prove(executed.block.header.mix_hash, height, 1);
            plot.other = self.me.remake(&executed.block, |_, seal| {
                seal.round = 1;
                seal.proof = proof;
            });
            let Some(other) = plot.other else { return };
            let everybody: Vec<PeerId> = first
                .into_iter()
                .filter(|peer| self.me.is_accomplice_peer(peer))
                .chain(second.iter().copied())
                .collect();
            let made = self.me.shelf.get(other);
            out.extend(made.and_then(|block| show(everybody.clone(), block)));
            out.extend(say(everybody, &self.me.proposal(height, 1, other)));
        }
        if let Some(other) = plot.other
            && !plot.prepared_other
        {
            plot.prepared_other = true;
            let vote = self.me.vote(VoteKind::Prepare, height, 1, other);
            out.extend(say(second, &bft::Message::Vote(vote)));
        }
    }

    /// Takes what belongs to round 1 of a plot; tells whether the node shall not hear it.
    fn listen(&mut self, node: &Node, said: &bft::Message, out: &mut Vec<Output>) -> bool {
        if let bft::Message::Proposal(proposal) = said {
            self.proposed.insert((proposal.height, proposal.round), proposal.block);
            if self.proposed.len() > PROPOSED_MAX {
                self.proposed.pop_first();
            }
        }
        let (height, round) = match said {
            bft::Message::Proposal(proposal) => (proposal.height, proposal.round),
            bft::Message::Vote(vote) => (vote.height, vote.round),
            _ => return false,
        };
        if round == 0 || self.plot(height).is_none() {
            return false;
        }
        match said {
            bft::Message::Proposal(proposal) if self.me.is_accomplice(&proposal.key) => {
                if let Some(plot) = self.plot(height) {
                    plot.other = Some(proposal.block);
                }
                self.forget(node, height, out);
            }
            bft::Message::Vote(vote) => self.second(vote, out),
            _ => {}
        }
        true
    }

    /// The second half prepared the other block: precommits it as well.
    fn second(&mut self, vote: &Vote, out: &mut Vec<Output>) {
        let (_, second) = self.halves();
        let honest = !self.me.is_accomplice(&vote.key);
        let precommit = self.me.vote(VoteKind::Precommit, vote.height, 1, vote.block);
        let Some(plot) = self.plot(vote.height) else { return };
        let ours = plot.other == Some(vote.block) && vote.kind == VoteKind::Prepare;
        if honest && ours && plot.prepared_other && !plot.precommitted_other {
            plot.precommitted_other = true;
            out.extend(say(second, &bft::Message::Vote(precommit)));
        }
    }

    fn tell(&mut self, node: &Node, output: Output, out: &mut Vec<Output>) {
        match Said::of(output) {
            Said::Block(peers, header, message) => {
                self.consider(node, &header);
                let plotted = self.plot(header.number).map(|plot| plot.block);
                let peers = match plotted {
                    Some(block) if block == header.hash() => self.me.split(peers).0,
                    Some(_) => Vec::new(),
                    None => peers,
                };
                out.extend(Said::Block(peers, header, message).output());
            }
            Said::Engine(peers, bft::Message::Vote(vote), bytes) if vote.key == self.me.key() => {
                self.vote(node, peers, vote, bytes, out);
            }
            Said::Engine(_, bft::Message::Evidence(evidence), _) if self.me.hushes(&evidence) => {}
            Said::Engine(peers, said, bytes) => {
                let (height, ours) = match &said {
                    bft::Message::Vote(vote) => (vote.height, false),
                    bft::Message::Proposal(proposal) => {
                        (proposal.height, proposal.key == self.me.key())
                    }
                    bft::Message::Commit(certificate) => (certificate.height, false),
                    _ => (0, false),
                };
                let peers = match self.plot(height) {
                    Some(_) if ours => self.me.split(peers).0,
                    Some(_) => Vec::new(),
                    None => peers,
                };
                out.extend(Said::Engine(peers, said, bytes).output());
            }
            Said::Other(output) => {
                match &output {
                    Output::Event(Event::PeerUp { peer, .. }) => drop(self.peers.insert(*peer)),
                    Output::Event(Event::PeerDown { peer, .. }) => drop(self.peers.remove(peer)),
                    _ => {}
                }
                out.push(output);
            }
        }
    }

    /// Casts a vote of its node, or a forgetful one.
    fn vote(
        &mut self,
        node: &Node,
        peers: Vec<PeerId>,
        vote: Vote,
        bytes: kette_types::Bytes,
        out: &mut Vec<Output>,
    ) {
        if let Some(executed) = node.tree().executed(vote.block).cloned() {
            self.consider(node, &executed.block.header);
        }
        let (height, round) = (vote.height, vote.round);
        if self.plot(height).is_some() {
            if round == 0 {
                let first = self.me.split(peers).0;
                out.extend(Said::Engine(first, bft::Message::Vote(vote), bytes).output());
                if let Some(plot) = self.plot(height)
                    && vote.kind == VoteKind::Precommit
                    && vote.block == plot.block
                {
                    plot.precommitted = true;
                }
                self.forget(node, height, out);
            }
            return;
        }
        let forgotten = self.proposed.get(&(height, round)).copied();
        let said = match forgotten.filter(|block| node.tree().contains(*block)) {
            Some(block) if vote.is_nil() && round > 0 && vote.kind == VoteKind::Prepare => {
                return out.extend(say(peers, &self.me.vote_instead(&vote, block)));
            }
            _ => Said::Engine(peers, bft::Message::Vote(vote), bytes),
        };
        out.extend(said.output());
    }
}

impl Actor for Amnesiac {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let input = match self.me.asked(input) {
            Ok(answer) => return answer.into_iter().collect(),
            Err(input) => input,
        };
        let mut out = Vec::new();
        if heard(&input).is_some_and(|said| self.listen(node, &said, &mut out)) {
            return out;
        }
        let mut outputs = node.handle(now, input);
        self.me.shelf.serve(&**node.tree().reader(), &mut outputs);
        for output in outputs {
            self.tell(node, output, &mut out);
        }
        out
    }
}

/// Proposals remembered.
const PROPOSED_MAX: usize = 32;
/// Plots remembered.
const PLOTS_MAX: usize = 8;
