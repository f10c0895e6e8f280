//! The state transition function: (state, block) -> (state', receipts), or the rule that was broken.
//!
//! Wraps revm and alloy; no other crate of ours names them for execution. Pure: state is read through
//! [`NodeReader`], signatures are recovered elsewhere and arrive as addresses.

pub mod account;
pub mod build;
pub mod call;
mod database;
pub mod execute;
pub mod fee;
pub mod genesis;
pub mod header;
pub mod reader;
pub mod recover;
pub mod reward;
pub mod spec;
pub mod staking;
pub mod state;
mod trie;

pub use account::{Account, AccountChange, AccountProof, StateChanges, StorageProof};
pub use build::{Attributes, Built, build};
pub use database::BlockHashes;
pub use execute::{BlockError, Executed, execute, senders};
pub use fee::next_base_fee;
pub use genesis::{GenesisError, genesis, genesis_accounts};
pub use header::{HeaderError, check_header};
pub use reader::{MemoryNodes, NodeKey, NodeReader, ReadError};
pub use recover::recover;
pub use reward::{Voters, reward};
pub use spec::Rules;
pub use state::{State, StateCommit};

#[cfg(test)]
mod testing;
