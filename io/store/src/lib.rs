//! One SQLite file per node: the durable log of the chain, its state, and the questions asked of both.
//!
//! [`Store`] is the only writer and performs batches of [`kette_chain::Record`], each as one durable
//! transaction. [`Reader`] answers from the same file, at the same time, from any thread. What a block
//! means is not decided here.

mod codec;
mod error;
mod lock;
mod open;
mod options;
mod read;
mod schema;
mod verify;
mod wal;
mod write;

pub use error::StoreError;
pub use options::{Check, StoreOptions};
pub use read::{
    Reader,
    activity::Activity,
    blocks::{BlockRow, Place, Totals},
    logs::{LogFilter, LogRow},
    status::{Counts, StatePoint},
};
pub use verify::{PROBLEMS_MAX, Verified};
pub use write::Store;
