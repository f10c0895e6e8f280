//! What all actors with one honest node have in common.

use crate::{Machine, machine::RawFrame};
use kette_node::{Input, Node, Output};
use kette_types::Time;

/// What an actor makes of its node's words.
pub(super) trait Actor: Send {
    /// Takes one input, gives it to the node or not, and returns what must happen.
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output>;

    /// Returns when it acts next of its own accord.
    fn due(&self) -> Option<Time> {
        None
    }

    /// Returns what it says in bytes of its own (see [`Machine::raw`]).
    fn raw(&mut self) -> Vec<RawFrame> {
        Vec::new()
    }
}

/// An actor and its node.
pub(super) struct Wrapped<A> {
    node: Node,
    actor: A,
}

impl<A> Wrapped<A> {
    pub(super) const fn new(node: Node, actor: A) -> Self {
        Self { node, actor }
    }
}

impl<A: Actor> Machine for Wrapped<A> {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.actor.handle(&mut self.node, now, input)
    }

    fn deadline(&self) -> Option<Time> {
        self.node.deadline().into_iter().chain(self.actor.due()).min()
    }

    fn stop(&mut self) -> Vec<Output> {
        self.node.stop()
    }

    fn node(&self) -> &Node {
        &self.node
    }

    fn raw(&mut self) -> Vec<RawFrame> {
        self.actor.raw()
    }
}
