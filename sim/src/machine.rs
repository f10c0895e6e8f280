//! What a simulated host runs: an honest node, or something that pretends to be one.

use kette_node::{Input, Node, Output};
use kette_types::{Bytes, Lane, PeerId, Time};

/// A node or an actor around one. The contract of [`Node::handle`] and [`Node::deadline`] holds.
pub trait Machine: Send {
    /// Takes one input; returns what must happen, in the order it must happen.
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output>;
    /// Returns when [`Input::Tick`] is due.
    fn deadline(&self) -> Option<Time>;
    /// Returns what must happen before a clean stop.
    fn stop(&mut self) -> Vec<Output>;
    /// Returns the node inside, for checkers and reports.
    fn node(&self) -> &Node;
    /// Returns what it says after the outputs just returned, in bytes of its own: only an actor has any.
    fn raw(&mut self) -> Vec<RawFrame> {
        Vec::new()
    }
}

/// A frame that need not be a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// To whom.
    pub to: PeerId,
    /// On which lane.
    pub lane: Lane,
    /// What: at least one byte.
    pub bytes: Bytes,
}

impl Machine for Node {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        Self::handle(self, now, input)
    }

    fn deadline(&self) -> Option<Time> {
        Self::deadline(self)
    }

    fn stop(&mut self) -> Vec<Output> {
        Self::stop(self)
    }

    fn node(&self) -> &Node {
        self
    }
}
