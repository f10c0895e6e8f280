//! A block that passed every check, with what its execution gave.

use kette_ledger::State;
use kette_types::{Address, B256, Block, Receipt, U256};

/// A block that passed every check: structure, seal, signatures, execution, state root.
#[derive(Clone, Debug)]
pub struct ExecutedBlock {
    /// Header, seal, body.
    pub block: Block,
    /// Who signed each transaction, in block order; recovered once and kept.
    pub senders: Vec<Address>,
    /// One per transaction.
    pub receipts: Vec<Receipt>,
    /// All accounts after the block.
    pub state: State,
    /// Addresses that the block changed.
    pub changed: Vec<Address>,
    /// What the block adds to its branch's weight.
    pub weight: U256,
    /// Weight of the branch from genesis up to and with this block.
    pub total_weight: U256,
    /// Wei created by the block: its reward.
    pub issued: U256,
    /// Wei destroyed by the block: burned base fees.
    pub burned: U256,
}

impl ExecutedBlock {
    /// Returns the block's hash.
    pub const fn hash(&self) -> B256 {
        self.block.hash()
    }

    /// Returns the block's number.
    pub fn number(&self) -> u64 {
        self.block.header.number
    }
}
