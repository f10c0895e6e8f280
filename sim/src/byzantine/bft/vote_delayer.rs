//! Votes late: up to some seconds, each vote as drawn, so that they overtake each other and the rounds.

use super::{
    super::{actor::Actor, late::Late, sessions::Sessions},
    validator::Validator,
    words::Said,
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::Time;
use rand::RngExt;
use std::time::Duration;

/// An actor that votes late.
pub(super) struct VoteDelayer {
    me: Validator,
    rng: ChaCha8Rng,
    sessions: Sessions,
    late: Late,
}

impl VoteDelayer {
    pub(super) fn new(me: Validator, rng: ChaCha8Rng) -> Self {
        Self { me, rng, sessions: Sessions::default(), late: Late::default() }
    }
}

impl Actor for VoteDelayer {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        let mut out = Vec::with_capacity(outputs.len());
        for output in outputs {
            let said = Said::of(output);
            let own = match &said {
                Said::Engine(_, bft::Message::Vote(vote), _) => vote.key == self.me.key(),
                _ => false,
            };
            let Some(output) = said.output() else { continue };
            if own {
                let delay = Duration::from_millis(self.rng.random_range(0..=LATEST_MS));
                self.late.keep(now + delay, output);
            } else {
                out.push(output);
            }
        }
        self.late.release(now, &self.sessions, &mut out);
        out
    }

    fn due(&self) -> Option<Time> {
        self.late.deadline()
    }
}

/// No vote is later than this, milliseconds.
const LATEST_MS: u64 = 4_000;
