//! Keeps the memory of states bounded: what a checkpoint made durable is read again when it is needed.

use crate::{Node, outbox::Outbox};
use kette_chain::ExecutedBlock;
use kette_ledger::{NodeReader, State};
use kette_types::Address;
use std::sync::Arc;

impl Node {
    /// Lets go of loaded states after a checkpoint of them was written. Blocks above the checkpoint share
    /// its nodes, so they are executed again on the unloaded state.
    ///
    /// Waits until the checkpoint can be read back: a host may take several inputs before it writes.
    pub(crate) fn unload_states(&mut self, out: &mut Outbox) {
        if !self.unload_due
            || self.stored_state(self.checkpoint.state.root()).account(Address::ZERO).is_err()
        {
            return;
        }
        self.unload_due = false;
        let checkpoint = self.checkpoint.hash;
        self.checkpoint.state = self.checkpoint.state.unload();
        for block in self.tree.held() {
            let hash = block.hash();
            let parent_held = self.tree.executed(block.block.header.parent_hash).is_some();
            let replaced = if hash == checkpoint {
                Some(self.with_state(&block, self.checkpoint.state.clone()))
            } else if block.number() > self.checkpoint.number && parent_held {
                let again =
                    self.execute(block.block.clone(), block.senders.clone(), block.total_weight);
                match again {
                    Ok(again) => Some(again),
                    Err(error) => {
                        // The loaded state still serves; memory stays higher until the next checkpoint.
                        self.alarm(format!("states stay in memory: {error}"), out);
                        return;
                    }
                }
            } else {
                None
            };
            match &replaced {
                Some(block) => self.recent.insert(hash, block.clone()),
                None => self.recent.remove(&hash),
            };
            self.tree.hold(hash, replaced);
        }
    }

    fn with_state(&self, block: &ExecutedBlock, state: State) -> Arc<ExecutedBlock> {
        debug_assert_eq!(state.root(), block.block.header.state_root);
        Arc::new(ExecutedBlock { state, ..block.clone() })
    }

    /// Opens a state that was written.
    pub(crate) fn stored_state(&self, root: kette_types::B256) -> State {
        let nodes: Arc<dyn NodeReader> = self.reader.clone();
        State::open(nodes, root)
    }
}
