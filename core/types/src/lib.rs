//! The vocabulary of Kette: what is signed, sealed, sent and agreed on. Depends on no other crate of ours.
//!
//! Reading order is the order of the modules below.

pub mod bft;
pub mod block;
pub mod limits;
pub mod message;
pub mod peer;
pub mod planted;
pub mod spec;
pub mod time;

pub use alloy_consensus::transaction::Recovered;
pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use block::{Block, Body, Header, Receipt, SealedHeader, Transaction};
pub use message::{DecodeError, Hello, Lane, Message};
pub use peer::{Direction, DisconnectReason, Fault, PeerAddress, PeerId, Transport};
pub use spec::{ChainSpec, EngineSpec, SpecError};
pub use time::Time;
