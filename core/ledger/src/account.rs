//! Accounts as the trie keeps them, and what one block changes in them.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use std::collections::BTreeMap;

/// An account's leaf in the state trie: nonce, balance, storage root, code hash (Yellow Paper 4.1).
pub type Account = alloy_trie::TrieAccount;

/// What one block changes. Ordered, so that every node applies it alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Per address: the new account, or `None` if it is gone.
    pub accounts: BTreeMap<Address, Option<AccountChange>>,
    /// New contract code by keccak256.
    pub codes: BTreeMap<B256, Bytes>,
}

/// The new content of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// Transactions sent (or contracts created).
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// keccak256 of the code.
    pub code_hash: B256,
    /// The old storage is gone before `storage` applies (self-destruct and re-creation).
    pub storage_wiped: bool,
    /// Changed slots; zero removes a slot.
    pub storage: BTreeMap<U256, U256>,
}

impl Default for AccountChange {
    /// An account without code, whose hash is that of nothing and not zero.
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK256_EMPTY,
            storage_wiped: false,
            storage: BTreeMap::new(),
        }
    }
}

/// An account with the trie nodes that prove it (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Whose account.
    pub address: Address,
    /// The account; default (empty) if the proof shows its absence.
    pub account: Account,
    /// Nodes from the root to the leaf, RLP.
    pub proof: Vec<Bytes>,
    /// One per slot asked for.
    pub storage: Vec<StorageProof>,
}

/// A storage slot with the trie nodes that prove it (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value; zero if absent.
    pub value: U256,
    /// Nodes from the storage root to the leaf, RLP.
    pub proof: Vec<Bytes>,
}
