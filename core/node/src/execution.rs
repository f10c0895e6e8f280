//! Execution of blocks on states of the tree, and states that have to be executed again.

use crate::Node;
use kette_chain::{ExecutedBlock, Headers as _};
use kette_ledger::{BlockError, BlockHashes, ReadError, State};
use kette_types::{Address, B256, Block, U256};
use std::sync::Arc;

impl Node {
    /// Executes a block on its parent's state.
    pub(crate) fn execute(
        &mut self,
        block: Block,
        senders: Vec<Address>,
        total_weight: U256,
    ) -> Result<Arc<ExecutedBlock>, BlockError> {
        if let Some(known) = self.config.memo.as_ref().and_then(|memo| memo.get(block.hash())) {
            return Ok(known);
        }
        let parent_hash = block.header.parent_hash;
        let state = self.state_after(parent_hash).map_err(BlockError::Read)?;
        let parent = self.tree.header(parent_hash).map_err(BlockError::Read)?.ok_or_else(|| {
            BlockError::Read(ReadError::Store(format!("block {parent_hash} is not known")))
        })?;
        let parent_weight = self.tree.total_weight(parent_hash).unwrap_or_default();
        let hashes = Ancestors { node: self, parent: parent_hash };
        let executed =
            kette_ledger::execute(&self.rules, parent.header(), &state, &block, &senders, &hashes)?;
        let executed = Arc::new(ExecutedBlock {
            senders,
            receipts: executed.receipts,
            state: executed.state,
            changed: executed.changed,
            weight: total_weight.saturating_sub(parent_weight),
            total_weight,
            issued: executed.issued,
            burned: executed.burned,
            block,
        });
        if let Some(memo) = &self.config.memo {
            memo.put(&executed);
        }
        Ok(executed)
    }

    /// Returns the state after a block of the tree, executing again what is no longer held or stored.
    pub(crate) fn state_after(&mut self, hash: B256) -> Result<State, ReadError> {
        let mut missing = Vec::new();
        let mut cursor = hash;
        let mut state = loop {
            // What is kept for others is built on what is kept for others: see `Memo`.
            if let Some(known) = self.config.memo.as_ref().and_then(|memo| memo.get(cursor)) {
                break known.state.clone();
            }
            if let Some(block) = self.tree.executed(cursor) {
                break block.state.clone();
            }
            // Beyond the horizon as well: the nearest state that is stored may lie below it.
            let header = self.tree.header(cursor)?.ok_or(ReadError::MissingNode(cursor))?;
            let stored = self.stored_state(header.state_root);
            match stored.account(Address::ZERO) {
                Ok(_) => break stored,
                Err(ReadError::MissingNode(_)) => {}
                Err(error) => return Err(error),
            }
            cursor = header.parent_hash;
            missing.push(header);
        };
        for header in missing.into_iter().rev() {
            let body = self
                .reader
                .body(header.hash())?
                .ok_or_else(|| ReadError::Store(format!("body of {} is gone", header.hash())))?;
            let senders: Vec<Address> =
                kette_ledger::recover(&body.transactions).into_iter().flatten().collect();
            let parent = self
                .tree
                .header(header.parent_hash)?
                .ok_or(ReadError::MissingNode(header.parent_hash))?;
            let hashes = Ancestors { node: self, parent: header.parent_hash };
            let block = Block { header, body };
            state = kette_ledger::execute(
                &self.rules,
                parent.header(),
                &state,
                &block,
                &senders,
                &hashes,
            )
            .map_err(|error| ReadError::Store(format!("stored block: {error}")))?
            .state;
        }
        Ok(state)
    }
}

/// Hashes of the ancestors of a block, by number on its own branch (for BLOCKHASH).
pub(crate) struct Ancestors<'a> {
    pub(crate) node: &'a Node,
    pub(crate) parent: B256,
}

impl BlockHashes for Ancestors<'_> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        let tree = &self.node.tree;
        let mut header = tree.header(self.parent).ok()??;
        loop {
            if header.number == number {
                return Some(header.hash());
            }
            if header.number < number {
                return None;
            }
            if tree.canonical(header.number).ok()? == Some(header.hash()) {
                return tree.canonical(number).ok()?;
            }
            header = tree.header(header.parent_hash).ok()??;
        }
    }
}
