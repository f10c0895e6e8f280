//! What validators say, taken apart and put together.

use kette_consensus::bft;
use kette_node::{Input, Output, relay};
use kette_types::{Block, Bytes, Message, PeerId, SealedHeader};
use std::sync::Arc;

/// What an actor may want to change before it leaves.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// A message of the engine.
    Engine(Vec<PeerId>, bft::Message, Bytes),
    /// A block.
    Block(Vec<PeerId>, Box<SealedHeader>, Arc<Message>),
    /// Anything else.
    Other(Output),
}

impl Said {
    pub(super) fn of(output: Output) -> Self {
        let Output::Send(peers, message) = output else { return Self::Other(output) };
        match &*message {
            Message::Engine(bytes) => match bft::Message::decode(bytes) {
                Ok(said) => Self::Engine(peers, said, bytes.clone()),
                Err(_) => Self::Other(Output::Send(peers, message)),
            },
            Message::NewBlock(compact) => {
                Self::Block(peers, Box::new(compact.header.clone()), message)
            }
            _ => Self::Other(Output::Send(peers, message)),
        }
    }

    /// Puts it together again, for others or the same peers.
    pub(super) fn output(self) -> Option<Output> {
        match self {
            Self::Engine(peers, _, bytes) => to(peers, Message::Engine(bytes)),
            Self::Block(peers, _, message) => {
                (!peers.is_empty()).then(|| Output::Send(peers, message))
            }
            Self::Other(output) => Some(output),
        }
    }
}

/// Reads an engine's message that a peer said.
pub(super) fn heard(input: &Input) -> Option<bft::Message> {
    let Input::Message(_, Message::Engine(bytes)) = input else { return None };
    bft::Message::decode(bytes).ok()
}

/// Says something to peers, if there are any.
pub(super) fn say(peers: Vec<PeerId>, message: &bft::Message) -> Option<Output> {
    to(peers, Message::Engine(message.encode()))
}

/// Shows peers a block, if there are any.
pub(super) fn show(peers: Vec<PeerId>, block: &Block) -> Option<Output> {
    to(peers, Message::NewBlock(Box::new(relay::compact(block))))
}

fn to(peers: Vec<PeerId>, message: Message) -> Option<Output> {
    (!peers.is_empty()).then(|| Output::Send(peers, Arc::new(message)))
}
