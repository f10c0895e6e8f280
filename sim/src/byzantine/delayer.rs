//! Passes everything on late: announcements up to just below the time after which a silent peer is dropped, answers up
//! to just below the time after which the asker asks somebody else.
//!
//! Hello, pings and status stay punctual, so no rule of the protocol is broken.

use super::{Setup, actor::Actor, announced, is_inventory, late::Late, sessions::Sessions};
use crate::rng::ChaCha8Rng;
use kette_node::{
    Input, Node, Output, peers,
    relay::REBUILD_TIMEOUT,
    sync::{BODIES_TIMEOUT, HEADERS_TIMEOUT},
};
use kette_types::{B256, Message, Time};
use rand::RngExt;
use std::time::Duration;

/// An actor that delays.
pub(super) struct Delayer {
    rng: ChaCha8Rng,
    sessions: Sessions,
    late: Late,
    /// When peers give up a silent session.
    ping_timeout: Duration,
}

impl Delayer {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        let kind = setup.spec.kette.as_ref().map(|kette| kette.network).unwrap_or_default();
        let (me, address) = setup.everybody[setup.host];
        // Of these settings only the time-out is looked at.
        let (chain, none) = (setup.spec.chain_id(), B256::ZERO);
        let config = peers::Config::new(kind, me, address, chain, none, none, 0);
        Self {
            rng: setup.rng,
            sessions: Sessions::default(),
            late: Late::default(),
            ping_timeout: config.ping_timeout,
        }
    }

    /// Draws how late an output is; `None` if it stays punctual.
    fn delay(&mut self, output: &Output) -> Option<Duration> {
        let longest = match output {
            Output::Serve(_, Message::GetHeaders { .. }) => HEADERS_TIMEOUT,
            Output::Serve(_, Message::GetBodies { .. }) => BODIES_TIMEOUT,
            Output::Serve(..) => REBUILD_TIMEOUT,
            other if announced(other).is_some() || is_inventory(other) => self.ping_timeout,
            _ => return None,
        };
        let longest = longest.saturating_sub(MARGIN).as_millis() as u64;
        let shortest = LEAST_MS.min(longest);
        Some(Duration::from_millis(self.rng.random_range(shortest..=longest)))
    }
}

impl Actor for Delayer {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        let mut punctual = Vec::with_capacity(outputs.len());
        for output in outputs {
            match self.delay(&output) {
                Some(delay) => self.late.keep(now + delay, output),
                None => punctual.push(output),
            }
        }
        self.late.release(now, &self.sessions, &mut punctual);
        punctual
    }

    fn due(&self) -> Option<Time> {
        self.late.deadline()
    }
}

/// Left for the way to the peer.
const MARGIN: Duration = Duration::from_millis(600);
/// Nothing that is late is less late than this, milliseconds.
const LEAST_MS: u64 = 1_000;
