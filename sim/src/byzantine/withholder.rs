//! Announces blocks and never hands out their parts.
//!
//! It keeps the transactions that users hand to it, so that its own blocks cannot be rebuilt from anybody's pool.
//! Every other minute it announces nothing either, while its status goes on claiming the weight.

use super::{Setup, actor::Actor, announced, is_inventory};
use kette_node::{Input, Node, Output};
use kette_types::Time;
use rand::RngExt;

/// An actor that withholds.
pub(super) struct Withholder {
    /// Shifts its minutes, so that accomplices do not act in step.
    phase: u64,
}

impl Withholder {
    pub(super) fn new(mut setup: Setup<'_>) -> Self {
        Self { phase: setup.rng.random_range(0..2 * TURN_SECS) }
    }

    fn is_silent(&self, now: Time) -> bool {
        (now.as_secs() + self.phase) / TURN_SECS % 2 == 1
    }
}

impl Actor for Withholder {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut outputs = node.handle(now, input);
        let silent = self.is_silent(now);
        outputs.retain(|output| {
            let serves = matches!(output, Output::Serve(..)) || is_inventory(output);
            !(serves || silent && announced(output).is_some())
        });
        outputs
    }
}

/// How long it announces, and how long it does not, seconds.
const TURN_SECS: u64 = 60;
