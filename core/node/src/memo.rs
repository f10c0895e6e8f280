//! Results that several nodes of one process share: the simulator's. A node of its own has none.

use kette_chain::ExecutedBlock;
use kette_types::B256;
use std::{fmt::Debug, sync::Arc};

/// Executed blocks by hash. A hash commits to parent, body and result, so a found one needs no second execution.
///
/// The states of what is kept must stay readable for every node.
pub trait Memo: Send + Sync + Debug {
    /// Returns an executed block.
    fn get(&self, hash: B256) -> Option<Arc<ExecutedBlock>>;
    /// Keeps an executed block if its parent is kept.
    fn put(&self, block: &Arc<ExecutedBlock>);
}
