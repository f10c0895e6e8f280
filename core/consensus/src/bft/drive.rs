//! Carries out what the machine says: signs, waits, tells.

use super::{
    Bft, Event, Message, SignState,
    guard::{Bound, Entry},
    machine::{Effect, Proposed, Step, Wait},
    voting::RESEND_FIRST,
};
use crate::Output;
use kette_chain::BlockTree;
use kette_types::{
    Address, B256, Time,
    bft::{Proposal, Vote, VoteKind},
};
use std::collections::VecDeque;

impl Bft {
    /// Carries out effects of the machine, and what they lead to, until the height is decided.
    pub(super) fn carry_out(
        &mut self,
        now: Time,
        effects: Vec<Effect>,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            let mut more = Vec::new();
            match effect {
                Effect::Round(round, leader) => self.round_began(now, round, leader, out),
                Effect::Build(round) => self.build(now, round, tree, out),
                Effect::Propose { round, block, valid_round } => {
                    self.propose_again(round, block, valid_round, &mut more, out);
                }
                Effect::Lock(round, block) => self.log(round, block, Entry::Lock, out),
                Effect::Valid(round, block) => {
                    self.log(round, block, Entry::Valid, out);
                    self.log_prepares(round, block, out);
                }
                Effect::Vote(kind, round, block) => {
                    self.cast(now, kind, round, block, &mut more, out);
                }
                Effect::Wait(wait, round) => self.wait(now, wait, round),
                Effect::Quorum(kind, round, block) => self.quorum(now, kind, round, block, out),
                Effect::Missing(block) => {
                    if let Some(voting) = &mut self.voting {
                        voting.must_have(block, now);
                    }
                }
                Effect::Decide(round, block) => {
                    // What else was to happen at this height no longer matters.
                    self.decided(now, round, block, tree, out);
                    return;
                }
            }
            queue.extend(more);
        }
    }

    /// Tells whether round 0 began.
    pub(super) fn has_begun(&self) -> bool {
        self.voting.as_ref().is_some_and(|voting| voting.machine.step() != Step::Wait)
    }

    /// Begins round 0 when the slot is there and there is something to put into a block, or it waited enough.
    pub(super) fn begin_if_due(&mut self, now: Time, tree: &BlockTree, out: &mut Vec<Output>) {
        let Some(voting) = &mut self.voting else { return };
        if self.pending {
            voting.begin_at = voting.begin_at.min(voting.slot_at);
        }
        if voting.machine.step() == Step::Wait && voting.begin_at <= now {
            self.begin(now, tree, out);
        }
    }

    /// Begins the first round, or that in which a restarted node was.
    pub(super) fn begin(&mut self, now: Time, tree: &BlockTree, out: &mut Vec<Output>) {
        let Some(voting) = &mut self.voting else { return };
        let (round, done) = voting.resume;
        let mut effects = Vec::new();
        voting.machine.start(round, done, &mut effects);
        self.carry_out(now, effects, tree, out);
    }

    fn round_began(&mut self, now: Time, round: u32, leader: usize, out: &mut Vec<Output>) {
        let Some(voting) = &mut self.voting else { return };
        voting.round_began = now;
        voting.voted.clear();
        voting.draft = None;
        voting.waits.retain(|(_, _, waiting)| *waiting >= round);
        voting.resend_every = RESEND_FIRST;
        voting.resend_at = now + RESEND_FIRST;
        if round > 0 {
            self.counters.extra_rounds += 1;
        }
        let height = voting.height;
        let ours = voting.machine.me() == Some(leader);
        let leader = voting.set().get(leader).map_or(Address::ZERO, |leader| leader.address);
        out.push(Output::Event(Event::Round { height, round, leader, ours }));
    }

    fn wait(&mut self, now: Time, wait: Wait, round: u32) {
        let time = match wait {
            Wait::Propose => self.waits.propose(round),
            Wait::Prepare | Wait::Precommit => self.waits.vote(round),
        };
        if let Some(voting) = &mut self.voting {
            voting.waits.push((now + time, wait, round));
        }
    }

    /// A wait ended without what was waited for.
    pub(super) fn wait_over(
        &mut self,
        now: Time,
        wait: Wait,
        round: u32,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &mut self.voting else { return };
        let mut effects = Vec::new();
        if voting.machine.timeout(wait, round, &mut effects) {
            if (wait, round) == (Wait::Propose, 0) {
                self.waits.missed_proposal();
            }
            let wait = match wait {
                Wait::Propose => "propose",
                Wait::Prepare => "prepare",
                Wait::Precommit => "precommit",
            };
            out.push(Output::Event(Event::Timeout { height: voting.height, round, wait }));
        }
        self.carry_out(now, effects, tree, out);
    }

    /// Writes down what binds this node.
    fn log(&self, round: u32, block: B256, entry: fn(Bound) -> Entry, out: &mut Vec<Output>) {
        let Some(voting) = &self.voting else { return };
        if voting.machine.me().is_some() {
            let bound = Bound { height: voting.height, round, block };
            out.push(Output::Persist(entry(bound).encode()));
        }
    }

    /// Writes down the prepares of a quorum.
    fn log_prepares(&self, round: u32, block: B256, out: &mut Vec<Output>) {
        let Some(voting) = self.voting.as_ref().filter(|voting| voting.machine.me().is_some())
        else {
            return;
        };
        let prepares = voting.quorum(VoteKind::Prepare, round, block);
        out.push(Output::Persist(Entry::Prepared(prepares).encode()));
    }

    /// Votes, if this node is a validator that may sign; counts its own vote like any other.
    fn cast(
        &mut self,
        now: Time,
        kind: VoteKind,
        round: u32,
        block: B256,
        more: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        let (Some(voting), Some(identity)) = (&mut self.voting, &self.identity) else { return };
        let Some(me) = voting.machine.me() else { return };
        // A certificate whose block is not here yet: the height is decided.
        if voting.commit.is_some() {
            return;
        }
        let domain = self.rules.domain;
        let vote = Vote::sign(domain, &identity.secret, kind, voting.height, round, block);
        let state = SignState::of_vote(domain, &vote);
        if !self.guard.sign(&state) {
            return;
        }
        voting.voted.insert(kind, now);
        let bytes = Message::Vote(vote).encode();
        voting.own.insert(kind as u8 + 1, bytes.clone());
        out.push(Output::Persist(Entry::Vote(vote).encode()));
        out.push(Output::Sign(state));
        out.push(Output::Gossip(bytes));
        voting.machine.vote(kind, round, me, block, vote.signature, more);
        self.tell_vote(&vote, me, true, out);
    }

    /// Tells that a vote counts.
    pub(super) fn tell_vote(
        &mut self,
        vote: &Vote,
        index: usize,
        ours: bool,
        out: &mut Vec<Output>,
    ) {
        self.counters.votes += 1;
        let Some(voting) = &self.voting else { return };
        let Some(validator) = voting.set().get(index) else { return };
        out.push(Output::Event(Event::Vote {
            kind: vote.kind,
            height: vote.height,
            round: vote.round,
            block: vote.block,
            from: validator.address,
            key: vote.key,
            weight: validator.weight,
            sum: voting.machine.votes().weight(vote.kind, vote.round, vote.block),
            total: voting.set().total(),
            ours,
        }));
    }

    fn propose_again(
        &mut self,
        round: u32,
        block: B256,
        valid_round: u32,
        more: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        let (Some(voting), Some(identity)) = (&mut self.voting, &self.identity) else { return };
        if let Some(proposal) = voting.own_proposals.get(&round).copied() {
            return self.repeat_proposal(&proposal, more, out);
        }
        let (height, valid) = (voting.height, Some(valid_round));
        let proposal =
            Proposal::sign(self.rules.domain, &identity.secret, height, round, block, valid);
        if self.sign_proposal(&proposal, out) {
            self.spread_proposal(&proposal, true, more, out);
        }
    }

    /// Signs a proposal, unless something else was signed before.
    pub(super) fn sign_proposal(&mut self, proposal: &Proposal, out: &mut Vec<Output>) -> bool {
        let state = SignState::of_proposal(self.rules.domain, proposal);
        if !self.guard.sign(&state) {
            return false;
        }
        out.push(Output::Persist(Entry::Proposal(*proposal).encode()));
        out.push(Output::Sign(state));
        if let Some(voting) = &mut self.voting {
            voting.own_proposals.insert(proposal.round, *proposal);
        }
        true
    }

    /// A restarted leader says again what it said before.
    pub(super) fn repeat_proposal(
        &mut self,
        proposal: &Proposal,
        more: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        self.spread_proposal(proposal, true, more, out);
    }

    pub(super) fn spread_proposal(
        &mut self,
        proposal: &Proposal,
        again: bool,
        more: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &mut self.voting else { return };
        let Proposal { height, round, block, .. } = *proposal;
        let bytes = Message::Proposal(*proposal).encode();
        voting.own.insert(0, bytes.clone());
        voting.proposals.entry(round).or_insert(*proposal);
        out.push(Output::Announce(block));
        out.push(Output::Gossip(bytes));
        if again {
            out.push(Output::Event(Event::Proposed { height, round, block, again }));
        }
        let proposed = Proposed { block, valid_round: proposal.valid_round() };
        voting.machine.propose(round, proposed, more);
    }

    fn quorum(
        &mut self,
        now: Time,
        kind: VoteKind,
        round: u32,
        block: B256,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &self.voting else { return };
        if let Some(voted) = voting.voted.get(&kind)
            && round == voting.machine.round()
        {
            self.waits.saw_votes(now.since(*voted));
        }
        let after_ms = u64::try_from(now.since(voting.round_began).as_millis()).unwrap_or(u64::MAX);
        out.push(Output::Event(Event::Quorum {
            kind,
            height: voting.height,
            round,
            block,
            weight: voting.machine.votes().weight(kind, round, block),
            total: voting.set().total(),
            after_ms,
        }));
    }
}
