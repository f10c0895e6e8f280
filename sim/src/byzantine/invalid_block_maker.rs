//! Seals blocks that break one rule.
//!
//! Its host searches nonces as any miner's does. When one is found the actor throws the block away, makes another on
//! the same head that breaks one drawn rule, and announces that one to everybody. Honest nodes must refuse the block,
//! ban the actor, and do nothing else.

use super::{
    Setup,
    actor::Actor,
    flaw::Flaw,
    forge::{Forge, Recipe},
    pick,
    sessions::Sessions,
    shelf::Shelf,
};
use crate::rng::ChaCha8Rng;
use kette_consensus::JobResult;
use kette_node::{Input, Node, Output, relay};
use kette_types::{Address, Block, Message, Time};
use rand::RngExt;
use std::sync::Arc;

/// An actor that makes invalid blocks.
pub(super) struct InvalidBlockMaker {
    rng: ChaCha8Rng,
    sessions: Sessions,
    forge: Option<Forge>,
    shelf: Shelf,
    flaws: Vec<Flaw>,
}

impl InvalidBlockMaker {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        Self::with(setup, &Flaw::ALL)
    }

    /// Makes an actor that breaks one of these rules.
    pub(super) fn with(setup: Setup<'_>, flaws: &[Flaw]) -> Self {
        Self {
            rng: setup.rng,
            sessions: Sessions::default(),
            forge: Forge::new(&setup.spec, &setup.memo),
            shelf: Shelf::default(),
            flaws: flaws.to_vec(),
        }
    }

    /// Makes a block on the head that breaks a drawn rule.
    fn make(&mut self, node: &Node, now: Time) -> Option<Block> {
        let forge = self.forge.as_ref()?;
        let head = node.tree().head_block();
        let header = &head.block.header;
        let base_fee = kette_ledger::next_base_fee(node.rules(), header.header());
        let recipe = Recipe {
            timestamp: now.as_secs().max(header.timestamp + 1),
            beneficiary: Address::from(self.rng.random::<[u8; 20]>()),
            transactions: node.mempool().best(base_fee).take(TRANSACTIONS_MAX).collect(),
        };
        // A rule about transactions cannot be broken without any: another is drawn.
        (0..DRAWS_MAX).find_map(|_| {
            let flaw = *pick(&mut self.rng, &self.flaws)?;
            forge.broken(node, head, &recipe, flaw)
        })
    }
}

impl Actor for InvalidBlockMaker {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        if let Input::Done(_, JobResult::Nonce(_)) = input {
            // The node inside is not told: it orders the next search when its template grows old.
            let Some(block) = self.make(node, now) else { return Vec::new() };
            let message = Message::NewBlock(Box::new(relay::compact(&block)));
            self.shelf.keep(block);
            let peers = self.sessions.all();
            if peers.is_empty() {
                return Vec::new();
            }
            return vec![Output::Send(peers, Arc::new(message))];
        }
        let mut outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        self.shelf.serve(&**node.tree().reader(), &mut outputs);
        outputs
    }
}

/// Transactions put into a block.
const TRANSACTIONS_MAX: usize = 50;
/// Rules drawn for one block.
const DRAWS_MAX: usize = 16;
