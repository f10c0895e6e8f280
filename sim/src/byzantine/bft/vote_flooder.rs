//! Floods with votes: each peer gets one kind. Some are signed and useless, some are not even signed.

use super::{
    super::{actor::Actor, pick, sessions::Sessions},
    validator::Validator,
    words::{Said, say},
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Event, Input, Node, Output};
use kette_types::{
    B256, PeerId, Time,
    bft::{Signature, Vote, VoteKind},
};
use rand::RngExt;
use std::{collections::BTreeMap, time::Duration};

/// A kind of flood.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Signed votes for rounds ahead, all different.
    Rounds,
    /// Signed votes for heights ahead.
    Heights,
    /// Signed votes for blocks that nobody proposed, in the current round.
    Blocks,
    /// Votes with bad signatures.
    Signatures,
    /// The same vote again and again.
    Repeats,
    /// Signed proposals for rounds ahead, most of which it does not lead.
    Proposals,
}

const FLOODS: [Flood; 6] = [
    Flood::Rounds,
    Flood::Heights,
    Flood::Blocks,
    Flood::Signatures,
    Flood::Repeats,
    Flood::Proposals,
];

/// An actor that floods.
pub(super) struct VoteFlooder {
    me: Validator,
    rng: ChaCha8Rng,
    sessions: Sessions,
    plans: BTreeMap<PeerId, Flood>,
    /// Its node's newest vote.
    vote: Option<Vote>,
    next: Option<Time>,
}

impl VoteFlooder {
    pub(super) fn new(me: Validator, rng: ChaCha8Rng) -> Self {
        Self {
            me,
            rng,
            sessions: Sessions::default(),
            plans: BTreeMap::new(),
            vote: None,
            next: None,
        }
    }

    fn message(&mut self, flood: Flood) -> Option<bft::Message> {
        let vote = self.vote?;
        let (height, round, block) =
            (vote.height, vote.round, B256::from(self.rng.random::<[u8; 32]>()));
        let kind = if self.rng.random() { VoteKind::Prepare } else { VoteKind::Precommit };
        let ahead = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(1..=12),
            1 => self.rng.random_range(1..=1_000),
            _ => self.rng.random_range(1..u32::MAX - round),
        };
        Some(match flood {
            Flood::Rounds => bft::Message::Vote(self.me.vote(kind, height, round + ahead, block)),
            Flood::Heights => {
                let height = height + if self.rng.random() { 1 } else { u64::from(ahead) };
                bft::Message::Vote(self.me.vote(kind, height, round, block))
            }
            Flood::Blocks => bft::Message::Vote(self.me.vote(kind, height, round, block)),
            Flood::Signatures => {
                let signature = Signature::new(self.rng.random());
                bft::Message::Vote(Vote { block, kind, signature, ..vote })
            }
            Flood::Repeats => bft::Message::Vote(vote),
            Flood::Proposals => self.me.proposal(height, round + ahead, block),
        })
    }

    fn flood(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.sessions.is_empty() {
            self.next = None;
            return;
        }
        if self.next.is_some_and(|next| next > now) {
            return;
        }
        self.next = Some(now + ROUND);
        let Some(peer) = self.sessions.draw(&mut self.rng) else { return };
        let drawn = *pick(&mut self.rng, &FLOODS).expect("there are some");
        let flood = *self.plans.entry(peer).or_insert(drawn);
        for _ in 0..FRAMES_PER_ROUND {
            out.extend(self.message(flood).and_then(|message| say(vec![peer], &message)));
        }
    }
}

impl Actor for VoteFlooder {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        let mut out = Vec::with_capacity(outputs.len());
        for output in outputs {
            if let Output::Event(Event::PeerDown { peer, .. }) = &output {
                self.plans.remove(peer);
            }
            let said = Said::of(output);
            match &said {
                Said::Engine(_, bft::Message::Vote(vote), _)
                    if vote.key == self.me.key() && vote.round < ROUNDS =>
                {
                    self.vote = Some(*vote);
                }
                Said::Engine(_, bft::Message::Evidence(evidence), _)
                    if self.me.hushes(evidence) =>
                {
                    continue;
                }
                _ => {}
            }
            out.extend(said.output());
        }
        self.flood(now, &mut out);
        out
    }

    fn due(&self) -> Option<Time> {
        self.next
    }
}

/// Votes of later rounds are its own floods that come back.
const ROUNDS: u32 = 64;
/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(50);
/// Frames of a round, to one peer: 200 per second in all, so that simulations stay cheap.
const FRAMES_PER_ROUND: usize = 10;
