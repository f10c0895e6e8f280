//! A witness beside the judges: who voted for what, and who can be proven guilty by it.

use kette_consensus::bft::{Event as Engine, Message as Said};
use kette_node::Event;
use kette_sim::{
    Moment, World,
    checkers::{Checker, Observation},
};
use kette_types::{
    B256, Message,
    bft::{PublicKey, VoteKind},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Blocks that a key voted for, by height, round and kind.
    votes: BTreeMap<(PublicKey, u64, u32, VoteKind), BTreeSet<B256>>,
    /// Where honest hosts are: the round of a height.
    rounds: BTreeMap<usize, (u64, u32)>,
    /// When honest hosts made which height final.
    pub(super) finals: Vec<(Moment, usize, u64)>,
    /// What was made final first.
    blocks: BTreeMap<u64, B256>,
    /// Height at which two blocks became final.
    pub(super) fork: Option<u64>,
    /// Blocks proposed again because a quorum had prepared them (L28 and L36).
    pub(super) proposed_again: usize,
    /// Decisions of rounds that were over for the host (L49).
    pub(super) decided_late: usize,
    /// Rounds that ended without a decision, at any honest host.
    pub(super) time_outs: usize,
    /// Faults that honest hosts saw, by the host to blame.
    pub(super) faults: BTreeMap<usize, usize>,
    /// Alarms of honest hosts.
    pub(super) alarms: BTreeSet<String>,
}

/// Writes [`Notes`]; objects if an honest validator signs two things of one round, unless its disk lied.
pub(super) struct Witness(pub(super) Rc<RefCell<Notes>>);

impl Notes {
    /// Returns keys that signed two votes of one kind and round.
    pub(super) fn double_voters(&self) -> BTreeSet<PublicKey> {
        let twice = self.votes.iter().filter(|(_, blocks)| blocks.len() > 1);
        twice.map(|((key, ..), _)| *key).collect()
    }

    /// Returns keys that precommitted a block and later in the height prepared another one, although no quorum of
    /// `quorum` validators had prepared that one in between.
    pub(super) fn amnesiacs(&self, quorum: usize) -> BTreeSet<PublicKey> {
        let mut prepares: BTreeMap<(u64, B256, u32), usize> = BTreeMap::new();
        for ((_, height, round, kind), blocks) in &self.votes {
            for block in blocks.iter().filter(|_| *kind == VoteKind::Prepare) {
                *prepares.entry((*height, *block, *round)).or_default() += 1;
            }
        }
        let allowed = |height: u64, block: B256, from: u32, to: u32| {
            let mut rounds = prepares.range((height, block, from)..(height, block, to));
            rounds.any(|(_, count)| *count >= quorum)
        };
        let mut found = BTreeSet::new();
        for ((key, height, locked, kind), blocks) in &self.votes {
            let Some(block) = blocks.iter().find(|block| !block.is_zero()) else { continue };
            if *kind != VoteKind::Precommit {
                continue;
            }
            let later = (*key, *height, locked.saturating_add(1), VoteKind::Prepare)
                ..=(*key, *height, u32::MAX, VoteKind::Precommit);
            for ((_, _, round, kind), blocks) in self.votes.range(later) {
                let prepared = blocks.iter().find(|b| !b.is_zero() && *b != block);
                if let (VoteKind::Prepare, Some(prepared)) = (kind, prepared)
                    && !allowed(*height, *prepared, *locked, *round)
                {
                    found.insert(*key);
                }
            }
        }
        found
    }

    /// Returns the longest time between two heights, while there were any.
    pub(super) fn longest(&self) -> Duration {
        let mut last = None;
        let mut longest = Duration::ZERO;
        let mut height = 0;
        for (at, _, number) in &self.finals {
            if *number > height {
                if let Some(last) = last {
                    longest = longest.max(at.since(last));
                }
                (last, height) = (Some(*at), *number);
            }
        }
        longest
    }

    /// Returns how many heights became final at some honest host between two moments.
    pub(super) fn decided(&self, from: Moment, to: Moment) -> usize {
        let within = self.finals.iter().filter(|(at, ..)| (from..to).contains(at));
        let first_at =
            |height: u64| self.finals.iter().filter(|f| f.2 == height).map(|f| f.0).min();
        let heights: BTreeSet<u64> =
            within.filter(|(at, _, height)| first_at(*height) == Some(*at)).map(|f| f.2).collect();
        heights.len()
    }
}

impl Checker for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let mut notes = self.0.borrow_mut();
        match seen {
            Observation::Sent { host, message: Message::Engine(bytes), .. } => {
                let Ok(said) = Said::decode(bytes) else { return Ok(()) };
                let host = &world.hosts[*host];
                let own = host.config.local.validator.as_ref().map(|validator| validator.key());
                match said {
                    Said::Vote(vote) if own == Some(vote.key) => {
                        let place = (vote.key, vote.height, vote.round, vote.kind);
                        let blocks = notes.votes.entry(place).or_default();
                        blocks.insert(vote.block);
                        if blocks.len() > 1 && host.is_honest() && !host.disk.is_excused() {
                            let (height, round) = (vote.height, vote.round);
                            let what = format!("{} votes twice at {height}/{round}", host.name);
                            return Err(what);
                        }
                    }
                    Said::Proposal(proposal) if own == Some(proposal.key) => {
                        notes.proposed_again += usize::from(proposal.valid_round().is_some());
                    }
                    _ => {}
                }
            }
            Observation::Event { host, event } if world.hosts[*host].is_honest() => {
                notes.event(world, *host, event);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Notes {
    fn event(&mut self, world: &World, host: usize, event: &Event) {
        match event {
            Event::Engine(Engine::Round { height, round, .. }) => {
                self.rounds.insert(host, (*height, *round));
            }
            Event::Engine(Engine::Timeout { .. }) => self.time_outs += 1,
            Event::Engine(Engine::Final { height, round, block, .. }) => {
                if self.blocks.entry(*height).or_insert(*block) != block {
                    self.fork.get_or_insert(*height);
                }
                self.finals.push((world.now(), host, *height));
                let here = self.rounds.get(&host);
                self.decided_late +=
                    usize::from(here.is_some_and(|(h, r)| h == height && r > round));
            }
            Event::PeerFault { peer, .. } => {
                for culprit in world.hosts_of(*peer) {
                    *self.faults.entry(*culprit).or_default() += 1;
                }
            }
            Event::Alarm(text) => drop(self.alarms.insert(text.clone())),
            _ => {}
        }
    }
}
