//! Shows different blocks of one height to different peers.
//!
//! Proof of work has no rule against it: both blocks are valid, each costs a proof, and fork choice must bring the
//! halves together again. The second proof is found at once (see [`super::forge`]).

use super::{Setup, announced, forge::Forge, shelf::Shelf, shuffle};
use crate::{Machine, rng::ChaCha8Rng};
use kette_node::{Event, Input, Node, Output, relay};
use kette_types::{Address, B256, Message, Time};
use rand::RngExt;
use std::sync::Arc;

/// An actor that equivocates.
pub(super) struct Equivocator {
    node: Node,
    rng: ChaCha8Rng,
    forge: Option<Forge>,
    shelf: Shelf,
}

impl Equivocator {
    pub(super) fn new(node: Node, setup: Setup<'_>) -> Self {
        let forge = Forge::new(&setup.spec, &setup.memo);
        Self { node, rng: setup.rng, forge, shelf: Shelf::default() }
    }

    /// Shows half of the peers that are told of a new block a sibling of it instead.
    fn equivocate(&mut self, hash: B256, outputs: &mut Vec<Output>) -> Option<()> {
        let at = outputs.iter().position(|output| announced(output) == Some(hash))?;
        let block = self.node.tree().executed(hash)?.clone();
        let beneficiary = Address::from(self.rng.random::<[u8; 20]>());
        let sibling = self.forge.as_ref()?.sibling(&self.node, &block, beneficiary)?;
        let Output::Send(peers, _) = &mut outputs[at] else { return None };
        shuffle(&mut self.rng, peers);
        let others = peers.split_off(peers.len().div_ceil(2));
        if others.is_empty() {
            return None;
        }
        let message = Message::NewBlock(Box::new(relay::compact(&sibling)));
        self.shelf.keep(sibling);
        outputs.insert(at + 1, Output::Send(others, Arc::new(message)));
        Some(())
    }
}

impl Machine for Equivocator {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        let mut outputs = self.node.handle(now, input);
        self.shelf.serve(&**self.node.tree().reader(), &mut outputs);
        let produced: Vec<B256> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Event(Event::Produced { hash, .. }) => Some(*hash),
                _ => None,
            })
            .collect();
        for hash in produced {
            self.equivocate(hash, &mut outputs);
        }
        outputs
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
