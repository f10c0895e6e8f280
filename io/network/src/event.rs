//! What the driver tells its host.

use kette_types::{
    DecodeError, Direction, DisconnectReason, Lane, Message, PeerAddress, PeerId, Transport,
};
use std::net::SocketAddr;

/// Tells one session of a driver from the next; they go up.
pub type SessionNumber = u64;

/// A fact from the network.
///
/// Of one peer: `Connected`, then messages, then `Disconnected`; never a message outside. Every dial
/// ends in exactly one `Connected` or `DialFailed`.
#[derive(Clone, Debug)]
pub enum NetworkEvent {
    /// A session exists. Nothing can be sent on it before [`crate::Network::meet`].
    Connected {
        /// Who it is, proven by the transport.
        peer: PeerId,
        /// Tells this session from others with the same peer.
        session: SessionNumber,
        /// What was dialled, or where the peer came from; with the peer's identity.
        address: PeerAddress,
        /// Who dialled.
        direction: Direction,
    },
    /// The session is over.
    Disconnected {
        /// Who it was.
        peer: PeerId,
        /// Why, as far as the driver knows.
        reason: DisconnectReason,
    },
    /// A dial did not lead to a session of its own.
    DialFailed {
        /// What was dialled.
        address: PeerAddress,
        /// Why.
        error: String,
    },
    /// A message, decoded.
    Message {
        /// Who sent it.
        peer: PeerId,
        /// What was said.
        message: Message,
        /// Bytes of its frame.
        bytes: usize,
    },
    /// Bytes that were no message. After [`DecodeError::TooLarge`] the session ends, because the
    /// stream cannot be read on; after any other it goes on, and the host judges.
    Malformed {
        /// Who sent it.
        peer: PeerId,
        /// Where.
        lane: Lane,
        /// What is wrong.
        error: DecodeError,
    },
    /// Addresses found by Kademlia, with identities. Hints, not dialled.
    Discovered(Vec<PeerAddress>),
    /// The node listens here.
    Listening(PeerAddress),
}

/// A message that was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer does not read what was sent: the lane's queue is full.
    #[error("the {} queue of this peer is full", .0.name())]
    Overflow(Lane),
    /// The message is larger than a frame of its lane may be.
    #[error("message of {bytes} bytes on lane {}", .lane.name())]
    TooLarge {
        /// Its lane.
        lane: Lane,
        /// Its size.
        bytes: usize,
    },
    /// There is no session with this peer.
    #[error("no session with this peer")]
    NotConnected,
    /// The driver has stopped.
    #[error("the network is closed")]
    Closed,
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Somebody else listens there.
    #[error(
        "port {} is in use ({}, {address}): stop the program that uses it or choose another port for this node",
        .address.port(),
        match .transport { Transport::Tcp => "TCP", Transport::Quic => "UDP" }
    )]
    PortInUse {
        /// The address that could not be bound.
        address: SocketAddr,
        /// TCP, or UDP for QUIC.
        transport: Transport,
    },
    /// Any other failure to listen.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address that could not be bound.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The seed is no ed25519 secret, or the transport refused it.
    #[error("identity: {0}")]
    Identity(String),
}
