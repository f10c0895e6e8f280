//! Who may extend the chain, which leaf wins, what is final: one interface, one engine per chain.
//!
//! An engine is a pure state machine. It never sees a socket, a clock, a disk or a block body: it is told
//! the time, gets inputs, and returns what must happen, in the order in which it must happen.

pub mod bft;
pub mod engine;
pub mod job;
pub mod pow;

pub use engine::{
    Command, CommandError, Engine, Input, Local, NoEngine, Output, SealError, Status, build,
};
pub use job::{Job, JobId, JobResult};
