//! Judges what peers say. A peer is blamed for what no honest node passes on; never for being late.

use super::{
    Bft, Event, Message,
    commit::Source,
    machine::{Added, Proposed, Step},
    voting::FETCH_AFTER,
};
use crate::Output;
use kette_chain::BlockTree;
use kette_types::{
    Address, B256, Bytes, PeerId, Time,
    bft::{Certificate, Evidence, Proposal, Vote, VoteKind},
};
use std::time::Duration;

impl Bft {
    /// Takes a message of a peer.
    pub(super) fn message(
        &mut self,
        now: Time,
        peer: PeerId,
        bytes: &Bytes,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(height) = self.voting.as_ref().map(|voting| voting.height) else { return };
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => return out.push(Output::Fault(peer, format!("bft message: {error}"))),
        };
        match message {
            Message::Proposal(proposal) if proposal.height == height => {
                self.proposal(now, peer, proposal, bytes, tree, out);
            }
            Message::Vote(vote) if vote.height == height => {
                self.vote(now, peer, vote, bytes, tree, out);
            }
            // Its height begins here in a moment; judged then.
            Message::Proposal(Proposal { height: next, .. })
            | Message::Vote(Vote { height: next, .. })
                if next == height + 1 =>
            {
                self.early.keep(peer, bytes.clone());
                // It should begin here at once; if it does not, this node lacks what decided its height.
                if let Some(voting) = &mut self.voting {
                    voting.resend_at = voting.resend_at.min(now + ASK_AFTER);
                }
            }
            Message::Proposal(_) => {}
            Message::Vote(vote) => self.late_vote(peer, vote, bytes, out),
            Message::Commit(certificate) if certificate.height == height => {
                self.certificate(now, peer, certificate, bytes, tree, out);
            }
            Message::Commit(certificate) => {
                self.old_certificate(peer, &certificate, bytes, tree, out)
            }
            Message::Evidence(evidence) => self.evidence(peer, *evidence, bytes, out),
            Message::Position(position) => self.help(now, peer, position, out),
        }
    }

    fn proposal(
        &mut self,
        now: Time,
        peer: PeerId,
        proposal: Proposal,
        bytes: &Bytes,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &mut self.voting else { return };
        let Proposal { height, round, block, .. } = proposal;
        if block.is_zero() {
            return out.push(Output::Fault(peer, "proposal of no block".into()));
        }
        if !voting.machine.wants(round) {
            return;
        }
        let known = voting.proposals.get(&round).copied();
        if known == Some(proposal) {
            voting.source(block, peer);
            return;
        }
        let leader = voting.machine.leader(round);
        let leader = voting.set().validators()[leader];
        if leader.key != proposal.key {
            return out
                .push(Output::Fault(peer, "proposal of somebody else than the leader".into()));
        }
        if known.is_some() && self.pool.full(&leader.key) {
            return;
        }
        let signed = proposal.signed_bytes(self.rules.domain);
        if !self.rules.verify(&proposal.key, &signed, &proposal.signature) {
            return out.push(Output::Fault(peer, "proposal with a bad signature".into()));
        }
        if let Some(known) = known {
            // Votes for the second one are counted as well: see `machine::Votes::proposed`.
            let mut effects = Vec::new();
            let proposed = Proposed { block, valid_round: proposal.valid_round() };
            voting.machine.propose(round, proposed, &mut effects);
            let evidence = Evidence::of_proposals(known, proposal);
            self.accuse(evidence, leader.address, "proposal", out);
            return self.carry_out(now, effects, tree, out);
        }
        voting.proposals.insert(round, proposal);
        if !tree.contains(block) {
            voting.miss(block, Some(peer), now + FETCH_AFTER);
        }
        let after_ms = u64::try_from(now.since(voting.round_began).as_millis()).unwrap_or(u64::MAX);
        out.push(Output::Gossip(bytes.clone()));
        let from = leader.address;
        out.push(Output::Event(Event::Proposal { height, round, block, from, after_ms }));
        let mut effects = Vec::new();
        if voting.machine.step() == Step::Wait && voting.resume.1.is_none() {
            // Others began: so does this node, whatever it waits for.
            voting.machine.start(voting.resume.0, None, &mut effects);
        }
        let proposed = Proposed { block, valid_round: proposal.valid_round() };
        voting.machine.propose(round, proposed, &mut effects);
        self.carry_out(now, effects, tree, out);
    }

    fn vote(
        &mut self,
        now: Time,
        peer: PeerId,
        vote: Vote,
        bytes: &Bytes,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &mut self.voting else { return };
        let Some(index) = voting.set().position(&vote.key) else {
            return out.push(Output::Fault(peer, "vote of nobody's".into()));
        };
        voting.source(vote.block, peer);
        let same = (index, vote.block, vote.signature);
        if voting.machine.votes().cast(vote.kind, vote.round).any(|cast| cast == same) {
            return;
        }
        let signed = vote.signed_bytes(self.rules.domain);
        if !self.rules.verify(&vote.key, &signed, &vote.signature) {
            return out.push(Output::Fault(peer, "vote with a bad signature".into()));
        }
        let mut effects = Vec::new();
        let added = voting.machine.vote(
            vote.kind,
            vote.round,
            index,
            vote.block,
            vote.signature,
            &mut effects,
        );
        let voter = voting.set().validators()[index].address;
        match added {
            Added::New => {
                out.push(Output::Gossip(bytes.clone()));
                self.tell_vote(&vote, index, false, out);
            }
            Added::Known => {}
            Added::Conflict(block, signature) | Added::Refused(block, signature) => {
                if matches!(added, Added::Conflict(..)) {
                    out.push(Output::Gossip(bytes.clone()));
                }
                let other = Vote { block, signature, ..vote };
                let what = match vote.kind {
                    VoteKind::Prepare => "prepare",
                    VoteKind::Precommit => "precommit",
                };
                self.accuse(Evidence::of_votes(other, vote), voter, what, out);
            }
        }
        self.carry_out(now, effects, tree, out);
        // This vote may have shown that the block is missing: its sender has heard of it.
        if let Some(voting) = &mut self.voting {
            voting.source(vote.block, peer);
        }
    }

    /// A vote of a height that is decided: it may complete the certificate.
    fn late_vote(&mut self, peer: PeerId, vote: Vote, bytes: &Bytes, out: &mut Vec<Output>) {
        let Some(height) = self.voting.as_ref().map(|voting| voting.height) else { return };
        if vote.height >= height {
            return;
        }
        self.counters.late_votes += 1;
        let Some(index) = self.commits.wants(&vote) else { return };
        let signed = vote.signed_bytes(self.rules.domain);
        if self.rules.verify(&vote.key, &signed, &vote.signature) {
            self.commits.complete(index, vote.signature);
            out.push(Output::Gossip(bytes.clone()));
        } else {
            out.push(Output::Fault(peer, "vote with a bad signature".into()));
        }
    }

    fn certificate(
        &mut self,
        now: Time,
        peer: PeerId,
        certificate: Certificate,
        bytes: &Bytes,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = self.voting.as_mut().filter(|_| self.forked.stopped.is_none()) else {
            return;
        };
        if voting.commit.is_some() {
            return voting.source(certificate.block, peer);
        }
        let (height, block) = (voting.height, certificate.block);
        if self.forked.is_refused(height, block) {
            return;
        }
        let set = voting.set().clone();
        if let Err(error) = self.rules.check_certificate(&certificate, height, block, &set) {
            return out.push(Output::Fault(peer, format!("certificate: {error}")));
        }
        if !tree.contains(block) && self.forked.has_choice(voting.parent.number, tree) {
            // It may be of the chain that an operator decided against. Voting goes on; who has it says it again.
            return voting.miss(block, Some(peer), now);
        }
        out.push(Output::Gossip(bytes.clone()));
        if let Some(header) = tree.get(block) {
            if header.parent_hash == voting.parent.hash() {
                self.commit(now, certificate, Source::Others, tree, out);
            } else {
                self.halt(height, block, tree, out);
            }
        } else {
            voting.commit = Some(certificate);
            voting.miss(block, Some(peer), now);
        }
    }

    fn evidence(&mut self, peer: PeerId, evidence: Evidence, bytes: &Bytes, out: &mut Vec<Output>) {
        let Some(voting) = &self.voting else { return };
        if self.pool.contains(evidence.hash()) || self.pool.full(&evidence.culprit()) {
            return;
        }
        let age = voting.height.saturating_sub(evidence.height());
        let known = voting.set().position(&evidence.culprit());
        if age > self.rules.spec.slashing.evidence_age || evidence.height() > voting.height {
            return;
        }
        if let Err(error) = evidence.check(self.rules.domain) {
            return out.push(Output::Fault(peer, error.to_string()));
        }
        // Whoever left the set meanwhile is judged by the ledger when a block is built.
        let culprit = known.map_or(Address::ZERO, |index| voting.set().validators()[index].address);
        if self.pool.add(evidence.clone()) {
            let height = evidence.height();
            out.push(Output::Gossip(bytes.clone()));
            out.push(Output::Event(Event::Evidence { height, culprit, what: what(&evidence) }));
        }
    }

    /// Keeps and spreads proof against a validator.
    fn accuse(
        &mut self,
        evidence: Evidence,
        culprit: Address,
        what: &'static str,
        out: &mut Vec<Output>,
    ) {
        // Before signatures are checked: a liar can sign without end.
        if self.pool.full(&evidence.culprit()) {
            return;
        }
        if evidence.check(self.rules.domain).is_err() || !self.pool.add(evidence.clone()) {
            return;
        }
        let height = evidence.height();
        out.push(Output::Gossip(Message::Evidence(Box::new(evidence)).encode()));
        out.push(Output::Event(Event::Evidence { height, culprit, what }));
    }

    /// A certificate of a decided height: another one of our final block says nothing, that of another block all.
    fn old_certificate(
        &mut self,
        peer: PeerId,
        certificate: &Certificate,
        bytes: &Bytes,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let (height, block) = (certificate.height, certificate.block);
        let Some(ours) = self.commits.get(height).map(|ours| ours.block) else { return };
        if ours == block || self.forked.stopped.is_some() || self.forked.is_refused(height, block) {
            return;
        }
        let Some(set) = self.voters_of(ours, tree) else { return };
        match self.rules.check_certificate(certificate, height, block, &set) {
            Ok(()) => {
                out.push(Output::Gossip(bytes.clone()));
                self.halt(height, block, tree, out);
            }
            Err(error) => out.push(Output::Fault(peer, format!("certificate: {error}"))),
        }
    }

    /// A block at this height or above joined the tree.
    pub(super) fn block(&mut self, now: Time, hash: B256, tree: &BlockTree, out: &mut Vec<Output>) {
        let Some(header) = tree.get(hash).filter(|_| self.forked.stopped.is_none()) else { return };
        if let Some((height, rival)) = self.rival(header, tree) {
            return self.halt(height, rival, tree, out);
        }
        let Some(voting) = &mut self.voting else { return };
        if header.number == voting.height + 1 {
            return self.child(now, header, tree, out);
        }
        if header.number != voting.height {
            return;
        }
        voting.fetch.remove(&hash);
        let round = super::rules::read_seal(header).map_or(0, |seal| seal.round);
        let blocks = voting.blocks.entry(round).or_default();
        if !blocks.contains(&hash) {
            blocks.push(hash);
            // Those of a lying leader beyond the second are not passed on.
            if blocks.len() <= super::machine::PROPOSED_MAX {
                out.push(Output::Announce(hash));
            }
        }
        if voting.commit.as_ref().is_some_and(|commit| commit.block == hash) {
            let certificate = voting.commit.take().expect("it was just seen");
            return self.commit(now, certificate, Source::Others, tree, out);
        }
        if round == 0 && voting.machine.step() == Step::Propose && voting.machine.round() == 0 {
            self.waits.saw_proposal(now.since(voting.round_began));
        }
        let mut effects = Vec::new();
        voting.machine.verdict(hash, true, &mut effects);
        self.carry_out(now, effects, tree, out);
    }

    /// A block at this height broke a rule.
    pub(super) fn invalid(
        &mut self,
        now: Time,
        hash: B256,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &mut self.voting else { return };
        voting.fetch.remove(&hash);
        // Only what was spoken of: the engine is told of other invalid blocks as well.
        if voting.proposals.values().any(|proposal| proposal.block == hash) {
            let mut effects = Vec::new();
            voting.machine.verdict(hash, false, &mut effects);
            self.carry_out(now, effects, tree, out);
        }
    }
}

fn what(evidence: &Evidence) -> &'static str {
    match evidence.votes.first().map(|vote| vote.kind) {
        Some(VoteKind::Prepare) => "prepare",
        Some(VoteKind::Precommit) => "precommit",
        None => "proposal",
    }
}

/// Peers vote on the next height for this long already: ask what decided ours.
const ASK_AFTER: Duration = Duration::from_millis(250);
