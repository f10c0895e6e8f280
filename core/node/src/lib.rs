//! One node as one machine: tree, mempool, sync, relay, peers and an engine behind two verbs.
//!
//! `(now, input) -> outputs` in the order in which they must happen. The binary and the simulator are
//! both loops over [`Node::handle`] and [`Node::deadline`].

mod bounded;
mod execution;
mod gossip;
mod import;
pub mod inventory;
pub mod io;
mod loads;
mod memo;
mod memory;
pub mod mempool;
mod node;
mod outbox;
mod patience;
pub mod peers;
mod produce;
mod protocol;
pub mod relay;
mod serve;
mod snapshot;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod view;

pub use inventory::Inventory;
pub use io::{Command, CommandError, Event, Input, Output, Reply, Submitted, Ticket};
pub use loads::{Load, Loads};
pub use memo::Memo;
pub use mempool::{Mempool, PoolView, Rejection};
pub use node::{Config, Node, Reader, RestoreError};
pub use serve::serve;
pub use view::{Counters, PeerInfo, Status, Syncing, View};
