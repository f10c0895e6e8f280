//! One identity at two places: both hosts mine and speak as if they were alone.
//!
//! Each runs an honest node; the world gives both the same identity and different seeds. To the others it looks like
//! a peer that keeps leaving and coming back from another address, and that announces blocks of two chains.

use crate::Machine;
use kette_node::{Input, Node, Output};
use kette_types::Time;

/// One of the two.
pub(super) struct Twin {
    node: Node,
}

impl Twin {
    pub(super) const fn new(node: Node) -> Self {
        Self { node }
    }
}

impl Machine for Twin {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.node.handle(now, input)
    }

    fn deadline(&self) -> Option<Time> {
        self.node.deadline()
    }

    fn stop(&mut self) -> Vec<Output> {
        self.node.stop()
    }

    fn node(&self) -> &Node {
        &self.node
    }
}
