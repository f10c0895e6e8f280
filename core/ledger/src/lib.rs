//! The state transition function: (state, block) -> (state', receipts), or the rule that was broken.
//!
//! Wraps revm and alloy; no other crate of ours names them for execution. Pure: state is read through
//! [`NodeReader`], signatures are recovered elsewhere and arrive as addresses.

pub mod account;
pub mod reader;
pub mod state;

pub use account::{Account, AccountProof, StateChanges, StorageProof};
pub use reader::{MemoryNodes, NodeKey, NodeReader, ReadError};
pub use state::{State, StateCommit};
