//! Peers: who they are, where they listen, and why a session ends.

use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, net::SocketAddr, str::FromStr};

/// A node's identity: its ed25519 public key (RFC 8032), proven by the transport's handshake.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub B256);

impl PeerId {
    /// Returns the first four bytes in hex, for logs and tables.
    pub fn short(&self) -> String {
        alloy_primitives::hex::encode(&self.0[..4])
    }
}

impl Encodable for PeerId {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        self.0.encode(out);
    }
    fn length(&self) -> usize {
        self.0.length()
    }
}

impl Decodable for PeerId {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        B256::decode(buf).map(Self)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", alloy_primitives::hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = PeerAddressError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self).map_err(|_| PeerAddressError::Id(s.to_owned()))
    }
}

/// What carries a session.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP with Noise and yamux; the default in local networks.
    #[default]
    Tcp,
    /// QUIC (UDP, TLS 1.3).
    Quic,
}

/// Where a node listens, as `[PEER-ID@]IP:PORT[/quic]`.
///
/// Names are resolved by the host before they reach the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// The identity expected there, if known; a session with another one is refused.
    pub peer: Option<PeerId>,
    /// IP address and port.
    pub socket: SocketAddr,
    /// What carries the session.
    pub transport: Transport,
}

impl PeerAddress {
    /// Builds a TCP address without a known identity.
    pub const fn tcp(socket: SocketAddr) -> Self {
        Self { peer: None, socket, transport: Transport::Tcp }
    }

    /// Returns the address with the identity that must answer there.
    pub const fn with_peer(mut self, peer: PeerId) -> Self {
        self.peer = Some(peer);
        self
    }
}

/// An address that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerAddressError {
    /// The part after `@` is no socket address.
    #[error("`{0}` is not a peer address: expected [PEER-ID@]IP:PORT[/quic], e.g. 127.0.0.1:20000")]
    Socket(String),
    /// The part before `@` is no identity.
    #[error("`{0}` is not a peer id: expected 64 hexadecimal digits")]
    Id(String),
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (peer, rest) = match s.trim().split_once('@') {
            Some((id, rest)) => (Some(id.parse()?), rest),
            None => (None, s.trim()),
        };
        let (socket, transport) = match rest.strip_suffix("/quic") {
            Some(socket) => (socket, Transport::Quic),
            None => (rest, Transport::Tcp),
        };
        let socket = socket.parse().map_err(|_| PeerAddressError::Socket(s.to_owned()))?;
        Ok(Self { peer, socket, transport })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.peer {
            write!(f, "{peer}@")?;
        }
        write!(f, "{}", self.socket)?;
        if self.transport == Transport::Quic {
            write!(f, "/quic")?;
        }
        Ok(())
    }
}

impl Serialize for PeerId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The wire form: identity (empty if unknown), 4 or 16 address bytes, port, transport.
#[derive(RlpEncodable, RlpDecodable)]
struct WireAddress {
    peer: alloy_primitives::Bytes,
    ip: alloy_primitives::Bytes,
    port: u16,
    quic: bool,
}

impl WireAddress {
    fn of(address: &PeerAddress) -> Self {
        Self {
            peer: address.peer.map(|p| p.0.to_vec().into()).unwrap_or_default(),
            ip: match address.socket.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec().into(),
                IpAddr::V6(ip) => ip.octets().to_vec().into(),
            },
            port: address.socket.port(),
            quic: address.transport == Transport::Quic,
        }
    }
}

impl Encodable for PeerAddress {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        WireAddress::of(self).encode(out);
    }
    fn length(&self) -> usize {
        WireAddress::of(self).length()
    }
}

impl Decodable for PeerAddress {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let wire = WireAddress::decode(buf)?;
        let ip = if let Ok(v4) = <[u8; 4]>::try_from(wire.ip.as_ref()) {
            IpAddr::from(v4)
        } else if let Ok(v6) = <[u8; 16]>::try_from(wire.ip.as_ref()) {
            IpAddr::from(v6)
        } else {
            return Err(alloy_rlp::Error::Custom("an IP address has 4 or 16 bytes"));
        };
        let peer = match wire.peer.len() {
            0 => None,
            32 => Some(PeerId(B256::from_slice(&wire.peer))),
            _ => return Err(alloy_rlp::Error::Custom("a peer id has 32 bytes")),
        };
        let transport = if wire.quic { Transport::Quic } else { Transport::Tcp };
        Ok(Self { peer, socket: SocketAddr::new(ip, wire.port), transport })
    }
}

/// Who opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// Why a session ends or is refused; sent to the other side in a goodbye and logged by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DisconnectReason {
    /// The node stops.
    #[error("the node is shutting down")]
    Shutdown = 0,
    /// Another genesis block: another chain.
    #[error("genesis hash differs: the peer follows another chain")]
    WrongGenesis = 1,
    /// Another chain id.
    #[error("chain id differs: the peer follows another chain")]
    WrongChainId = 2,
    /// No common protocol version.
    #[error("no common protocol version")]
    WrongVersion = 3,
    /// We reached ourselves.
    #[error("connected to ourselves")]
    SelfConnection = 4,
    /// A session with this peer exists.
    #[error("a session with this peer exists already")]
    Duplicate = 5,
    /// No slot is free; try one of the peers we named.
    #[error("no free slot")]
    TooManyPeers = 6,
    /// Too many sessions from this IP address or network.
    #[error("too many sessions from this address")]
    TooManyFromAddress = 7,
    /// The hello did not come in time.
    #[error("no hello within {} s", crate::limits::HELLO_TIMEOUT_SECS)]
    HelloTimeout = 8,
    /// Something else came before the hello.
    #[error("a message came before the hello")]
    MessageBeforeHello = 9,
    /// Pings stayed unanswered.
    #[error("pings stayed unanswered")]
    PingTimeout = 10,
    /// The peer broke the protocol.
    #[error("protocol violation")]
    ProtocolViolation = 11,
    /// The peer's score fell below the limit, or it is on the ban list.
    #[error("banned")]
    Banned = 12,
    /// It did not read what we sent: its queue overflowed.
    #[error("the peer reads too slowly")]
    TooSlow = 13,
    /// An operator asked for it.
    #[error("requested by the operator")]
    Requested = 14,
    /// A better peer took the slot.
    #[error("evicted for a better peer")]
    Evicted = 15,
    /// The connection broke without a goodbye.
    #[error("connection lost")]
    ConnectionLost = 16,
}

impl DisconnectReason {
    /// Reads a reason from its number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        const ALL: [DisconnectReason; 17] = [
            DisconnectReason::Shutdown,
            DisconnectReason::WrongGenesis,
            DisconnectReason::WrongChainId,
            DisconnectReason::WrongVersion,
            DisconnectReason::SelfConnection,
            DisconnectReason::Duplicate,
            DisconnectReason::TooManyPeers,
            DisconnectReason::TooManyFromAddress,
            DisconnectReason::HelloTimeout,
            DisconnectReason::MessageBeforeHello,
            DisconnectReason::PingTimeout,
            DisconnectReason::ProtocolViolation,
            DisconnectReason::Banned,
            DisconnectReason::TooSlow,
            DisconnectReason::Requested,
            DisconnectReason::Evicted,
            DisconnectReason::ConnectionLost,
        ];
        ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}

/// What a peer did wrong and is itself answerable for. One variant per broken rule.
///
/// What depends on our own state (unknown parent, full mempool, failing disk) is never a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no message.
    #[error("malformed message: {0}")]
    Malformed(crate::message::DecodeError),
    /// Something else came before the hello, or a second hello.
    #[error("hello out of order")]
    HelloOrder,
    /// More than the peer's share of requests, messages or bytes.
    #[error("rate limit exceeded")]
    RateLimit,
    /// A header that breaks a rule whatever our state is.
    #[error("invalid header: {0}")]
    InvalidHeader(String),
    /// A body that does not belong to its header.
    #[error("body does not match its header")]
    BodyMismatch,
    /// A block whose execution breaks a rule.
    #[error("invalid block: {0}")]
    InvalidBlock(String),
    /// A transaction that is invalid in every state.
    #[error("invalid transaction: {0}")]
    InvalidTransaction(String),
    /// An answer that nobody asked for.
    #[error("unsolicited answer")]
    Unsolicited,
    /// An answer that is not an answer to the question asked.
    #[error("wrong answer: {0}")]
    WrongAnswer(&'static str),
    /// Claimed more than it could show.
    #[error("claim not backed: {0}")]
    FalseClaim(&'static str),
    /// Asked and did not answer in time.
    #[error("request timed out")]
    Timeout,
    /// An engine message that breaks the engine's rules.
    #[error("engine: {0}")]
    Engine(String),
}

impl Fault {
    /// Returns the score lost, of 100; 100 is an instant ban (the scheme of Lighthouse's peer manager:
    /// -1 and -5 survive mistakes, -10 does not often, fatal ends it).
    pub const fn penalty(&self) -> u32 {
        match self {
            Self::Timeout => 2,
            Self::Unsolicited => 5,
            Self::RateLimit | Self::WrongAnswer(_) => 10,
            Self::InvalidTransaction(_) => 20,
            Self::FalseClaim(_) | Self::HelloOrder => 40,
            Self::Malformed(_)
            | Self::InvalidHeader(_)
            | Self::BodyMismatch
            | Self::InvalidBlock(_)
            | Self::Engine(_) => 100,
        }
    }

    /// Returns a short stable name for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::HelloOrder => "hello_order",
            Self::RateLimit => "rate_limit",
            Self::InvalidHeader(_) => "invalid_header",
            Self::BodyMismatch => "body_mismatch",
            Self::InvalidBlock(_) => "invalid_block",
            Self::InvalidTransaction(_) => "invalid_transaction",
            Self::Unsolicited => "unsolicited",
            Self::WrongAnswer(_) => "wrong_answer",
            Self::FalseClaim(_) => "false_claim",
            Self::Timeout => "timeout",
            Self::Engine(_) => "engine",
        }
    }
}
