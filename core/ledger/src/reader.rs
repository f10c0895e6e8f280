//! Where trie nodes and code come from: a host's store, or plain memory in the simulator.

use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use std::{collections::BTreeMap, sync::RwLock};

/// Address of one trie node on disk: which trie, where in it, which version.
///
/// The hash makes a version immutable; owner and path make it unique to one place, so that equal
/// subtrees of two accounts never share a row and pruning needs no reference counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// keccak256(address) of a storage trie's owner; `None` for the account trie.
    pub owner: Option<B256>,
    /// Path from the trie's root, in nibbles.
    pub path: Nibbles,
    /// keccak256 of the node's RLP.
    pub hash: B256,
}

impl NodeKey {
    /// Encodes as owner (1 or 33 bytes), path length and packed path, hash. Neighbours on disk are
    /// neighbours in the trie.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + 32 + 1 + self.path.len().div_ceil(2) + 32);
        match self.owner {
            None => out.push(0),
            Some(owner) => {
                out.push(1);
                out.extend_from_slice(owner.as_slice());
            }
        }
        out.push(u8::try_from(self.path.len()).expect("a path has at most 64 nibbles"));
        out.extend_from_slice(&self.path.pack());
        out.extend_from_slice(self.hash.as_slice());
        out
    }
}

/// A read that the host could not do, or that found something else than was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The node is not there: the state was pruned, or the database is damaged.
    #[error("state node {0} is missing: pruned, or the database is damaged")]
    MissingNode(B256),
    /// The code is not there.
    #[error("code {0} is missing: the database is damaged")]
    MissingCode(B256),
    /// What was read is not what was written.
    #[error("state node {0} is damaged")]
    Damaged(B256),
    /// The host failed.
    #[error("store: {0}")]
    Store(String),
}

/// Reads trie nodes and code. Implemented by the store and by [`MemoryNodes`].
pub trait NodeReader: Send + Sync {
    /// Returns the RLP of a node.
    ///
    /// # Errors
    /// If the store fails; a missing node is `Ok(None)`.
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError>;
    /// Returns contract code by its keccak256.
    ///
    /// # Errors
    /// If the store fails; missing code is `Ok(None)`.
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError>;
}

/// Trie nodes in plain memory, for the simulator, tests and a genesis before it is stored.
#[derive(Debug, Default)]
pub struct MemoryNodes {
    nodes: RwLock<BTreeMap<NodeKey, Bytes>>,
    codes: RwLock<BTreeMap<B256, Bytes>>,
}

impl MemoryNodes {
    /// Stores what a commit wrote and drops what it replaced.
    pub fn apply(&self, commit: &crate::StateCommit) {
        let mut nodes = self.nodes.write().expect("no writer panics");
        for key in &commit.stale {
            nodes.remove(key);
        }
        nodes.extend(commit.nodes.iter().cloned());
        self.codes.write().expect("no writer panics").extend(commit.codes.iter().cloned());
    }
    /// Returns the keys of all nodes, in order.
    pub fn keys(&self) -> Vec<NodeKey> {
        self.nodes.read().expect("no writer panics").keys().cloned().collect()
    }
}

impl NodeReader for MemoryNodes {
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        Ok(self.nodes.read().expect("no writer panics").get(key).cloned())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError> {
        Ok(self.codes.read().expect("no writer panics").get(&hash).cloned())
    }
}
