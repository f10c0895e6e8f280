//! Byzantine actors: machines that look like nodes to the others. Each is a file of its own, wraps honest nodes and
//! changes what goes in and what comes out.
//!
//! Handshake, sync, pool and fork choice of an actor are an honest node's, so its peers take it for one until it
//! misbehaves. An actor speaks only on sessions that exist, draws only from its own stream, and keeps bounded memory.
//! Those that only validators can be are in `bft/`.

mod actor;
mod bft;
mod delayer;
mod eclipse;
mod equivocator;
mod flaw;
mod forge;
mod future_version;
mod invalid_block_maker;
mod late;
mod selfish_miner;
mod sessions;
mod shelf;
mod spammer;
mod sync_liar;
#[cfg(test)]
mod tests;
mod withholder;

use crate::{Machine, memo::Memo, rng::ChaCha8Rng, scenario::Misbehaviour};
use actor::{Actor, Wrapped};
use kette_consensus::bft::Identity;
use kette_node::{Node, Output, Ticket};
use kette_types::{B256, ChainSpec, Message, PeerAddress, PeerId};
use rand::RngExt;
use std::sync::Arc;

/// What an actor is made from.
pub struct Setup<'a> {
    /// Which host it is.
    pub host: usize,
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Results of executed blocks, to build on.
    pub memo: Arc<Memo>,
    /// The actor's own randomness.
    pub rng: ChaCha8Rng,
    /// Makes another honest node with the actor's identity and an empty database.
    pub another: &'a mut dyn FnMut() -> Node,
    /// Identity and address of everybody, by host.
    pub everybody: Vec<(PeerId, PeerAddress)>,
    /// Hosts of the same misbehaviour.
    pub accomplices: Vec<usize>,
    /// Keys of everybody who is a validator, by host.
    pub validators: Vec<Option<Identity>>,
}

/// Makes the actor for a misbehaviour around an honest node.
pub fn build(misbehaviour: Misbehaviour, node: Node, setup: Setup<'_>) -> Box<dyn Machine> {
    match misbehaviour {
        Misbehaviour::Equivocator => wrapped(node, equivocator::Equivocator::new(setup)),
        Misbehaviour::Withholder => wrapped(node, withholder::Withholder::new(setup)),
        Misbehaviour::SelfishMiner => Box::new(selfish_miner::SelfishMiner::new(node, setup)),
        Misbehaviour::Delayer => wrapped(node, delayer::Delayer::new(setup)),
        Misbehaviour::InvalidBlockMaker => {
            wrapped(node, invalid_block_maker::InvalidBlockMaker::new(setup))
        }
        Misbehaviour::SyncLiar => wrapped(node, sync_liar::SyncLiar::new(setup)),
        Misbehaviour::Spammer => wrapped(node, spammer::Spammer::new(setup)),
        Misbehaviour::Eclipse => wrapped(node, eclipse::Eclipse::new(setup)),
        // Two honest nodes, both of which mine and speak as if they were alone: the world gives them one identity and
        // different seeds. To the others they are a peer that keeps leaving and coming back from another address, and
        // that announces blocks of two chains.
        Misbehaviour::Twin => Box::new(node),
        Misbehaviour::FutureVersion => wrapped(node, future_version::FutureVersion::new(setup)),
        of_validators => bft::build(of_validators, node, setup),
    }
}

fn wrapped(node: Node, actor: impl Actor + 'static) -> Box<dyn Machine> {
    Box::new(Wrapped::new(node, actor))
}

/// Returns the block that an output announces.
fn announced(output: &Output) -> Option<B256> {
    match output {
        Output::Send(_, message) => match &**message {
            Message::NewBlock(compact) => Some(compact.header.hash()),
            _ => None,
        },
        _ => None,
    }
}

/// Tells whether an output speaks of transactions: announces, pushes or hands them out.
fn is_inventory(output: &Output) -> bool {
    let Output::Send(_, message) = output else { return false };
    matches!(**message, Message::NewTransactions(_) | Message::Transactions(_))
}

/// Draws one of these.
fn pick<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> Option<&'a T> {
    if of.is_empty() { None } else { of.get(rng.random_range(0..of.len())) }
}

/// Draws an order (Fisher and Yates).
fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}

/// Questions that actors ask the nodes inside: their answers go nowhere.
const OWN_TICKET: Ticket = Ticket::MAX;
