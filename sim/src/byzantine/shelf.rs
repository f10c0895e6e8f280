//! Blocks that an actor made aside of its node, so that it can hand out their parts.

use kette_chain::ChainReader;
use kette_node::Output;
use kette_types::{B256, Block, Message};
use std::{collections::VecDeque, sync::Arc};

/// The newest blocks made aside.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    blocks: VecDeque<Block>,
}

impl Shelf {
    /// Keeps a block; the oldest goes for it.
    pub(super) fn keep(&mut self, block: Block) {
        if self.blocks.len() == SHELF_MAX {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
    }

    /// Finds a block.
    pub(super) fn get(&self, hash: B256) -> Option<&Block> {
        self.blocks.iter().find(|block| block.hash() == hash)
    }

    /// Answers what the node inside cannot, because it does not know these blocks.
    pub(super) fn serve(&self, chain: &dyn ChainReader, outputs: &mut [Output]) {
        for output in outputs {
            if let Output::Serve(peer, request) = output
                && let Some(answer) = self.answer(chain, request)
            {
                *output = Output::Send(vec![*peer], Arc::new(answer));
            }
        }
    }

    /// Answers a request that concerns a block made aside, as a node that has it does; `None` for any other message.
    pub(super) fn answer(&self, chain: &dyn ChainReader, request: &Message) -> Option<Message> {
        match request {
            Message::GetBodies { id, hashes } if hashes.iter().any(|h| self.get(*h).is_some()) => {
                let body = |hash: &B256| match self.get(*hash) {
                    Some(block) => Some(block.body.clone()),
                    None => chain.body(*hash).ok().flatten(),
                };
                Some(Message::Bodies { id: *id, bodies: hashes.iter().map_while(body).collect() })
            }
            Message::GetBlockTransactions { block, indexes } => {
                let body = &self.get(*block)?.body;
                let picked = indexes.iter().map_while(|i| body.transactions.get(*i as usize));
                let transactions = picked.cloned().collect();
                Some(Message::BlockTransactions { block: *block, transactions })
            }
            _ => None,
        }
    }
}

/// Blocks kept at once.
const SHELF_MAX: usize = 32;
