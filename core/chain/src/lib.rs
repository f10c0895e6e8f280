//! The block tree over ledger states: what is attached where, which leaf is head, what is final, and what
//! must be written so that a restart knows it again.

pub mod executed;
pub mod reader;
pub mod record;
pub mod tree;

pub use executed::ExecutedBlock;
pub use reader::{ChainReader, MemoryChain};
pub use record::Record;
pub use tree::{BlockTree, Headers, Reorg};
