//! Speaks a later version: messages of unknown kinds, an unknown program name, and to some peers a later hello.
//!
//! Peers of this version must count what they do not know and go on; who gets the later hello ends the session without
//! a fault. The wire has no feature bits: the version in the hello is the only sign of what a node speaks.

use super::{Setup, actor::Actor, sessions::Sessions};
use crate::{
    machine::RawFrame,
    rng::{self, ChaCha8Rng},
};
use kette_node::{Input, Node, Output};
use kette_types::{Lane, Message, Time, limits::PROTOCOL_VERSION};
use rand::RngExt;
use std::{sync::Arc, time::Duration};

/// An actor of a later version.
pub(super) struct FutureVersion {
    rng: ChaCha8Rng,
    sessions: Sessions,
    /// What it says next in its own language.
    frames: Vec<RawFrame>,
    next: Option<Time>,
}

impl FutureVersion {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        let rng = setup.rng;
        Self { rng, sessions: Sessions::default(), frames: Vec::new(), next: None }
    }

    /// Makes the hello of a later version; some peers are asked to speak that version.
    fn later(&mut self, output: Output) -> Output {
        let Output::Send(peers, message) = &output else { return output };
        let Message::Hello(hello) = &**message else { return output };
        let mut hello = hello.clone();
        "kette/99.0.0 with features nobody knows".clone_into(&mut hello.agent);
        if rng::happens(&mut self.rng, LATER_HELLO) {
            hello.version = PROTOCOL_VERSION + 1;
        }
        Output::Send(peers.clone(), Arc::new(Message::Hello(hello)))
    }

    /// Makes a frame of an unknown kind to somebody.
    fn speak(&mut self) {
        let Some(to) = self.sessions.draw(&mut self.rng) else { return };
        let (lane, kind) = UNKNOWN_KINDS[self.rng.random_range(0..UNKNOWN_KINDS.len())];
        let length = self.rng.random_range(0..PAYLOAD_MAX);
        let payload = (0..length).map(|_| self.rng.random::<u8>());
        let bytes = std::iter::once(kind).chain(payload).collect();
        self.frames.push(RawFrame { to, lane, bytes });
    }
}

impl Actor for FutureVersion {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        if self.sessions.is_empty() {
            self.next = None;
        } else if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + ROUND);
            self.speak();
        }
        outputs.into_iter().map(|output| self.later(output)).collect()
    }

    fn due(&self) -> Option<Time> {
        self.next
    }

    fn raw(&mut self) -> Vec<RawFrame> {
        std::mem::take(&mut self.frames)
    }
}

/// A kind on each lane that this version does not have.
const UNKNOWN_KINDS: [(Lane, u8); 5] = [
    (Lane::Control, 9),
    (Lane::Consensus, 23),
    (Lane::Announce, 40),
    (Lane::Inventory, 60),
    (Lane::Bulk, 200),
];
/// Time between two unknown messages.
const ROUND: Duration = Duration::from_millis(500);
/// Bytes of an unknown message.
const PAYLOAD_MAX: usize = 500;
/// Share of sessions that begin with a hello of a later version.
const LATER_HELLO: f64 = 0.25;
