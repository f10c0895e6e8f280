//! placeholder
/// placeholder
pub struct BlockTree;
/// placeholder
pub struct Reorg;
