//! Kette's network driver: moves messages between authenticated peers over libp2p, and nothing else.
//!
//! It knows no protocol. Hello, scores, bans, the address book and the dial policy live in the pure
//! core; this crate provides sessions, lanes, bytes, identities, discovery hints, link cuts and
//! counters. Reading order is the order of the modules below.
//!
//! A session is one connection on which both sides opened a control lane; connections without one
//! (Kademlia's) are closed when idle. Every lane and direction is its own stream with its own bounded
//! queue, so a bulk transfer never delays a vote.

mod config;
mod event;
mod network;
mod stats;

mod address;
mod behaviour;
mod driver;
mod gate;
mod inbox;
mod lanes;
mod link;
mod muxer;
mod pages;
mod queue;
mod session;
mod tasks;
mod transport;
mod wire;

pub use config::Config;
pub use event::{NetworkError, NetworkEvent, SendError, SessionNumber};
pub use gate::CutSet;
pub use link::{Delay, LinkShape, LinkShapes};
pub use network::{Network, Reply, peer_id, start};
pub use pages::Pages;
pub use stats::{Count, Handshakes, NetworkStats, PeerStats, Traffic, WireBytes};
