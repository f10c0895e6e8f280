//! One height as this node lives it: the machine, and what it needs of keys, time and peers.

use super::{
    Message,
    guard::{Bound, Entry},
    machine::{Machine, Wait},
};
use alloy_primitives::B256;
use kette_types::{
    Bytes, PeerId, SealedHeader, Time,
    bft::{Certificate, Proposal, Seal, ValidatorSet, VoteKind},
    planted::{Bug, is_planted},
};
use std::{collections::BTreeMap, time::Duration};

/// One height.
#[derive(Debug)]
pub(super) struct Voting {
    pub(super) height: u64,
    pub(super) parent: SealedHeader,
    /// The parent's time, milliseconds.
    pub(super) parent_ms: u64,
    pub(super) seed: B256,
    pub(super) machine: Machine,
    /// When round 0 may begin.
    pub(super) slot_at: Time,
    /// When it begins although there is nothing to put into a block.
    pub(super) begin_at: Time,
    /// The round that a restarted node was in, and its last vote there.
    pub(super) resume: (u32, Option<VoteKind>),
    /// When waits end.
    pub(super) waits: Vec<(Time, Wait, u32)>,
    /// First proposal of each round.
    pub(super) proposals: BTreeMap<u32, Proposal>,
    /// This node's own proposals, by round.
    pub(super) own_proposals: BTreeMap<u32, Proposal>,
    /// This node's newest messages, to be sent again.
    pub(super) own: BTreeMap<u8, Bytes>,
    /// The block that this node is building.
    pub(super) draft: Option<Seal>,
    /// Blocks that must be fetched.
    pub(super) fetch: BTreeMap<B256, Fetching>,
    /// A certificate whose block is not here yet.
    pub(super) commit: Option<Certificate>,
    /// Blocks at this height in the tree, by the round in which they were made.
    pub(super) blocks: BTreeMap<u32, Vec<B256>>,
    pub(super) round_began: Time,
    /// When this node voted in this round: measures how long votes take.
    pub(super) voted: BTreeMap<VoteKind, Time>,
    pub(super) resend_at: Time,
    pub(super) resend_every: Duration,
    pub(super) began: Time,
    pub(super) stalled: bool,
}

/// A block that must be fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    /// Who spoke of it; asked in turn.
    pub(super) sources: Vec<PeerId>,
    pub(super) next: usize,
    pub(super) due: Time,
    /// A quorum is for it.
    must: bool,
}

/// First repetition of own messages after this time without progress.
pub(super) const RESEND_FIRST: Duration = Duration::from_millis(1_000);
/// Longest time between repetitions.
pub(super) const RESEND_MAX: Duration = Duration::from_secs(8);
/// A block is asked for if it did not come this long after its proposal.
pub(super) const FETCH_AFTER: Duration = Duration::from_millis(100);
/// Another peer is asked after this time.
pub(super) const FETCH_AGAIN: Duration = Duration::from_millis(400);
/// Peers remembered per missing block.
const SOURCES_MAX: usize = 16;
/// Missing blocks asked for at once.
const FETCH_MAX: usize = 32;

impl Voting {
    pub(super) fn new(
        now: Time,
        parent: SealedHeader,
        parent_ms: u64,
        seed: B256,
        machine: Machine,
        (slot_at, begin_at): (Time, Time),
    ) -> Self {
        Self {
            height: parent.number + 1,
            parent,
            parent_ms,
            seed,
            machine,
            slot_at,
            begin_at,
            resume: (0, None),
            waits: Vec::new(),
            proposals: BTreeMap::new(),
            own_proposals: BTreeMap::new(),
            own: BTreeMap::new(),
            draft: None,
            fetch: BTreeMap::new(),
            commit: None,
            blocks: BTreeMap::new(),
            round_began: now,
            voted: BTreeMap::new(),
            resend_at: begin_at + RESEND_FIRST,
            resend_every: RESEND_FIRST,
            began: now,
            stalled: false,
        }
    }

    /// Takes the locks and own messages of a restarted node.
    pub(super) fn restore(&mut self, log: &[Entry]) {
        if is_planted(Bug::VoteAgain) {
            return;
        }
        let bound = |pick: &dyn Fn(&Entry) -> Option<Bound>| {
            if is_planted(Bug::ForgetLock) {
                return None;
            }
            let bounds = log.iter().filter_map(pick).filter(|bound| bound.height == self.height);
            bounds.max_by_key(|bound| bound.round).map(|bound| (bound.round, bound.block))
        };
        let locked = bound(&|entry| match entry {
            Entry::Lock(bound) => Some(*bound),
            _ => None,
        });
        let valid = bound(&|entry| match entry {
            Entry::Valid(bound) => Some(*bound),
            _ => None,
        });
        for entry in log {
            let (round, kind) = match entry {
                Entry::Vote(vote) if vote.height == self.height => (vote.round, Some(vote.kind)),
                Entry::Proposal(proposal) if proposal.height == self.height => {
                    self.own_proposals.insert(proposal.round, *proposal);
                    (proposal.round, None)
                }
                _ => continue,
            };
            self.resume = self.resume.max((round, kind));
        }
        self.machine.restore(self.resume.0, locked, valid);
        if let Some((_, last)) = self.own_proposals.last_key_value() {
            self.own.insert(0, Message::Proposal(*last).encode());
        }
    }

    /// Returns the validators of the height.
    pub(super) const fn set(&self) -> &ValidatorSet {
        self.machine.votes().set()
    }

    /// Returns the votes of one kind and round for a block, as a certificate holds them.
    pub(super) fn quorum(&self, kind: VoteKind, round: u32, block: B256) -> Certificate {
        let mut votes = Certificate { height: self.height, round, block, ..Certificate::default() };
        for (index, voted, signature) in self.machine.votes().cast(kind, round) {
            if voted == block
                && let Ok(index) = u16::try_from(index)
            {
                votes.signers.push(index);
                votes.signatures.push(signature);
            }
        }
        votes
    }

    /// Notes that a peer spoke of a block that is not here.
    pub(super) fn miss(&mut self, block: B256, from: Option<PeerId>, due: Time) {
        if self.fetch.len() >= FETCH_MAX && !self.fetch.contains_key(&block) {
            return;
        }
        let fetching = self.fetch.entry(block).or_insert(Fetching {
            sources: Vec::new(),
            next: 0,
            due,
            must: false,
        });
        fetching.due = fetching.due.min(due);
        if let Some(peer) = from
            && fetching.sources.len() < SOURCES_MAX
            && !fetching.sources.contains(&peer)
        {
            fetching.sources.push(peer);
        }
    }

    /// Notes that a quorum is for a block that is not here: it takes the place of one that nobody may have.
    pub(super) fn must_have(&mut self, block: B256, due: Time) {
        if self.fetch.len() >= FETCH_MAX && !self.fetch.contains_key(&block) {
            let idle = self.fetch.iter().find(|(_, fetching)| !fetching.must);
            if let Some(hash) = idle.map(|(hash, _)| *hash) {
                self.fetch.remove(&hash);
            }
        }
        self.miss(block, None, due);
        if let Some(fetching) = self.fetch.get_mut(&block) {
            fetching.must = true;
        }
    }

    /// Notes another source of a block that is missing.
    pub(super) fn source(&mut self, block: B256, peer: PeerId) {
        if let Some(fetching) = self.fetch.get(&block) {
            let due = fetching.due;
            self.miss(block, Some(peer), due);
        }
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self, started: bool) -> Time {
        let waits = self.waits.iter().map(|(due, ..)| *due);
        let fetches =
            self.fetch.values().filter(|f| !f.sources.is_empty()).map(|fetching| fetching.due);
        let begin = if started { Time::MAX } else { self.begin_at };
        waits.chain(fetches).chain([begin, self.resend_at]).min().unwrap_or(Time::MAX)
    }
}
