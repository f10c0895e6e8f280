//! placeholder
/// placeholder
#[derive(Clone, Debug, Default)]
pub struct PoolView;
/// placeholder
pub struct Mempool;
/// placeholder
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}
