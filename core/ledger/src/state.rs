//! A block's state: all accounts after it, as one value that is cheap to clone and never changes.

use crate::{Account, AccountProof, NodeKey, NodeReader, ReadError, StateChanges};
use alloy_primitives::{Address, B256, Bytes, U256};
use std::sync::Arc;

/// All accounts after one block.
#[derive(Clone)]
pub struct State {
    reader: Arc<dyn NodeReader>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({})", self.root())
    }
}

/// What must be written to make one state durable, given that another one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCommit {
    /// The root that becomes durable.
    pub root: B256,
    /// New nodes with their RLP.
    pub nodes: Vec<(NodeKey, Bytes)>,
    /// Nodes that the new state does not have any more.
    pub stale: Vec<NodeKey>,
    /// New contract code.
    pub codes: Vec<(B256, Bytes)>,
    /// Accounts that changed, for the flat table that people read.
    pub accounts: Vec<(Address, Option<Account>)>,
}

impl State {
    /// Opens the state with this root; nothing is read before it is needed.
    pub fn open(reader: Arc<dyn NodeReader>, root: B256) -> Self {
        let _ = root;
        Self { reader }
    }
    /// Returns the state root.
    pub fn root(&self) -> B256 {
        todo!()
    }
    /// Returns an account.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn account(&self, _address: Address) -> Result<Option<Account>, ReadError> {
        todo!()
    }
    /// Returns a storage slot; zero if absent.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn storage(&self, _address: Address, _slot: U256) -> Result<U256, ReadError> {
        todo!()
    }
    /// Returns contract code by hash; empty for the hash of nothing.
    ///
    /// # Errors
    /// If the store fails or the code is missing.
    pub fn code(&self, _hash: B256) -> Result<Bytes, ReadError> {
        todo!()
    }
    /// Proves an account and some of its slots (EIP-1186).
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn prove(&self, _address: Address, _slots: &[U256]) -> Result<AccountProof, ReadError> {
        todo!()
    }
    /// Returns the state after these changes. `self` stays as it is.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn apply(&self, _changes: &StateChanges) -> Result<Self, ReadError> {
        todo!()
    }
    /// Returns what must be written to make `self` durable where `base` is. `changed` names the addresses
    /// that may differ.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn commit(
        &self,
        _base: &Self,
        _changed: &mut dyn Iterator<Item = Address>,
    ) -> Result<StateCommit, ReadError> {
        todo!()
    }
    /// Returns the same state with nothing held in memory. Valid once a commit of it is durable.
    pub fn unload(&self) -> Self {
        Self::open(self.reader.clone(), self.root())
    }
    /// Returns about how many bytes the loaded part holds.
    pub fn loaded_bytes(&self) -> usize {
        todo!()
    }
    /// Adds up all balances: the supply. Reads the whole state.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn supply(&self) -> Result<U256, ReadError> {
        todo!()
    }
}
