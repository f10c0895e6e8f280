//! Shows different blocks of one height to different peers.
//!
//! Proof of work has no rule against it: both blocks are valid, each costs a proof, and fork choice must bring the
//! halves together again. The second proof is found at once (see [`super::forge`]).

use super::{Setup, actor::Actor, announced, forge::Forge, shelf::Shelf, shuffle};
use crate::rng::ChaCha8Rng;
use kette_node::{Event, Input, Node, Output, relay};
use kette_types::{Address, B256, Message, Time};
use rand::RngExt;
use std::sync::Arc;

/// An actor that equivocates.
pub(super) struct Equivocator {
    rng: ChaCha8Rng,
    forge: Option<Forge>,
    shelf: Shelf,
}

impl Equivocator {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        let forge = Forge::new(&setup.spec, &setup.memo);
        Self { rng: setup.rng, forge, shelf: Shelf::default() }
    }

    /// Shows half of the peers that are told of a new block a sibling of it instead.
    fn equivocate(&mut self, node: &Node, hash: B256, outputs: &mut Vec<Output>) -> Option<()> {
        let at = outputs.iter().position(|output| announced(output) == Some(hash))?;
        let block = node.tree().executed(hash)?.clone();
        let beneficiary = Address::from(self.rng.random::<[u8; 20]>());
        let sibling = self.forge.as_ref()?.sibling(node, &block, beneficiary)?;
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

impl Actor for Equivocator {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut outputs = node.handle(now, input);
        self.shelf.serve(&**node.tree().reader(), &mut outputs);
        let produced: Vec<B256> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Event(Event::Produced { hash, .. }) => Some(*hash),
                _ => None,
            })
            .collect();
        for hash in produced {
            self.equivocate(node, hash, &mut outputs);
        }
        outputs
    }
}
