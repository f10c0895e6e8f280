//! A running node: the core machine with its store, its network, its workers and its RPC.
//!
//! The only place where inputs meet in one loop ([`driver`]); nothing here decides.

pub mod byzantine;
pub mod clock;
pub mod cut;
mod driver;
pub mod home;
mod journal;
pub mod links;
mod network;
mod node;
mod record;
mod sign_state;
mod signatures;
mod throttle;
mod workers;

pub use node::{Settings, ValidatorSettings, run};
pub use workers::recover_parallel;
