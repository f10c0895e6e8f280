//! What keeps voting alive when messages are lost: repetition, fetching, and help for who lags behind.

use super::{
    Bft, Message, Position,
    machine::Step,
    voting::{FETCH_AGAIN, RESEND_MAX, Voting},
};
use crate::Output;
use kette_chain::BlockTree;
use kette_types::{
    B256, PeerId, Time,
    bft::{Proposal, Vote, VoteKind},
};
use std::time::Duration;

/// A peer is helped at most this often.
const HELP_EVERY: Duration = Duration::from_millis(250);
/// Peers remembered as helped.
const HELPED_MAX: usize = 512;
/// Rounds whose votes one answer holds.
const HELP_ROUNDS: usize = 3;
/// No decision for this long, beyond the slot: an operator is told (requirements X2).
const STALL: Duration = Duration::from_secs(30);

impl Bft {
    /// Tells a new peer where this node is.
    pub(super) fn greet(&self, peer: PeerId, out: &mut Vec<Output>) {
        if let Some(voting) = &self.voting {
            out.push(Output::Send(peer, Message::Position(position(voting)).encode()));
            out.extend(voting.own.values().map(|bytes| Output::Send(peer, bytes.clone())));
        }
    }

    /// Answers a peer's position with what it lacks.
    pub(super) fn help(
        &mut self,
        now: Time,
        peer: PeerId,
        theirs: Position,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &self.voting else { return };
        if theirs.height > voting.height {
            return;
        }
        if theirs.height < voting.height {
            return self.show_commit(now, peer, theirs.height, out);
        }
        if !self.may_help(now, peer) {
            return;
        }
        let Some(voting) = &self.voting else { return };
        let set = voting.set();
        let votes = voting.machine.votes();
        let valid = voting.machine.valid().map(|(round, _)| round);
        let newest = voting.machine.round().max(theirs.round);
        let mut rounds: Vec<u32> =
            votes.rounds().filter(|round| (theirs.round..=newest).contains(round)).collect();
        if rounds.len() > HELP_ROUNDS {
            rounds.drain(..rounds.len() - HELP_ROUNDS);
        }
        // The prepares behind proposals that are made again: this node's valid block, and what others propose.
        // After all restarted at once, each may have no prepare of such a round but its own.
        let proposals = rounds.iter().filter_map(|round| voting.proposals.get(round));
        let mut behind: Vec<u32> =
            proposals.filter_map(Proposal::valid_round).chain(valid).collect();
        behind.retain(|round| !rounds.contains(round));
        behind.sort_unstable();
        behind.dedup();
        for round in behind.into_iter().chain(rounds) {
            if let Some(proposal) = voting.proposals.get(&round) {
                out.push(Output::Send(peer, Message::Proposal(*proposal).encode()));
            }
            for kind in [VoteKind::Prepare, VoteKind::Precommit] {
                for (index, block, signature) in votes.cast(kind, round) {
                    let Some(voter) = set.get(index) else { continue };
                    let height = voting.height;
                    let vote = Vote { kind, height, round, block, key: voter.key, signature };
                    out.push(Output::Send(peer, Message::Vote(vote).encode()));
                }
            }
        }
    }

    /// Shows a peer that lags behind what decided its height.
    pub(super) fn show_commit(
        &mut self,
        now: Time,
        peer: PeerId,
        height: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(certificate) = self.commits.get(height).cloned() else { return };
        if self.may_help(now, peer) {
            out.push(Output::Send(peer, Message::Commit(certificate).encode()));
        }
    }

    fn may_help(&mut self, now: Time, peer: PeerId) -> bool {
        if self.helped.get(&peer).is_some_and(|last| now < *last + HELP_EVERY) {
            return false;
        }
        if self.helped.len() >= HELPED_MAX {
            self.helped.clear();
        }
        self.helped.insert(peer, now);
        true
    }

    /// Repeats this node's newest messages if nothing moved for a while.
    pub(super) fn resend_if_due(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(voting) = &mut self.voting else { return };
        if voting.resend_at > now {
            return;
        }
        voting.resend_every = (voting.resend_every * 2).min(RESEND_MAX);
        voting.resend_at = now + voting.resend_every;
        if voting.machine.step() == Step::Wait {
            // Whoever waits for its slot still may have missed that others are ahead.
            out.push(Output::Resend(Message::Position(position(voting)).encode()));
            return;
        }
        let slot = Duration::from_millis(self.rules.spec.slot_ms);
        let idle = Duration::from_millis(self.rules.spec.empty_after_ms);
        if !voting.stalled && now >= voting.began + slot + idle + STALL {
            voting.stalled = true;
            let (height, round) = (voting.height, voting.machine.round());
            out.push(Output::Alarm(format!(
                "no decision at height {height} for 30 seconds (round {round}): validators are \
                 silent or cut off"
            )));
        }
        self.resend(now, out);
    }

    /// Repeats this node's position and newest messages.
    pub(super) fn resend(&mut self, _now: Time, out: &mut Vec<Output>) {
        let Some(voting) = &self.voting else { return };
        out.push(Output::Resend(Message::Position(position(voting)).encode()));
        out.extend(voting.own.values().cloned().map(Output::Resend));
        self.counters.resent += voting.own.len() as u64;
    }

    /// Asks for blocks that are due.
    pub(super) fn fetch_due(&mut self, now: Time, tree: &BlockTree, out: &mut Vec<Output>) {
        let Some(voting) = &mut self.voting else { return };
        let stopped = self.forked.stopped.is_some();
        voting.fetch.retain(|hash, _| !stopped && !tree.contains(*hash));
        for (hash, fetching) in &mut voting.fetch {
            if fetching.due > now || fetching.sources.is_empty() {
                continue;
            }
            let peer = fetching.sources[fetching.next % fetching.sources.len()];
            fetching.next = fetching.next.wrapping_add(1);
            fetching.due = now + FETCH_AGAIN;
            out.push(Output::Fetch(*hash, peer));
        }
    }
}

fn position(voting: &Voting) -> Position {
    let round = voting.machine.round();
    let proposed = voting.machine.proposal(round).map(|proposed| proposed.block);
    let block = proposed
        .filter(|block| voting.machine.known_verdict(*block) == Some(true))
        .unwrap_or(B256::ZERO);
    Position { height: voting.height, round, block }
}
