//! What the host decides about the network driver, and the driver's own named bounds.

use crate::{link::LinkShapes, pages::Pages};
use kette_types::B256;
use std::{net::SocketAddr, time::Duration};

/// Settings of one network driver.
#[derive(Clone)]
pub struct Config {
    /// Seed of the ed25519 identity (RFC 8032).
    pub secret: [u8; 32],
    /// Where to listen on TCP; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Whether to listen on and dial QUIC too, on the same port numbers.
    pub quic: bool,
    /// Hash of block 0; its first four bytes are part of every protocol id.
    pub genesis: B256,
    /// Whether to look for peers with Kademlia.
    pub kademlia: bool,
    /// Whether strangers can reach this network: loopback then has no privilege, and addresses that
    /// others claim are used only if they are globally reachable.
    pub public: bool,
    /// Sessions at most.
    pub sessions_max: usize,
    /// Inbound handshakes at most at a time.
    pub pending_inbound_max: usize,
    /// Inbound connections and handshakes at most from one IP address; `None` is unlimited. Loopback
    /// is exempt unless [`Self::public`].
    pub per_ip_max: Option<usize>,
    /// Program name and version, told to peers by libp2p's identify protocol.
    pub agent: String,
    /// Whether the first control frame of a session is handed on before frames of other lanes: for
    /// protocols that open with a hello.
    pub control_first: bool,
    /// How long a transport handshake may take.
    pub handshake_timeout: Duration,
    /// How long a begun frame may take, beside the time its length allows.
    pub frame_timeout: Duration,
    /// What the ways to peers are like from the first session on.
    pub links: LinkShapes,
    /// Answers web browsers that come to the TCP port.
    pub pages: Option<Pages>,
}

impl Config {
    /// Builds the settings of a node in a local network: TCP only, no discovery, no limit per address.
    pub fn new(secret: [u8; 32], listen: Vec<SocketAddr>, genesis: B256) -> Self {
        Self {
            secret,
            listen,
            quic: false,
            genesis,
            kademlia: false,
            public: false,
            sessions_max: 64,
            pending_inbound_max: 64,
            per_ip_max: None,
            agent: concat!("kette/", env!("CARGO_PKG_VERSION")).to_owned(),
            control_first: false,
            handshake_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(20),
            links: LinkShapes::default(),
            pages: None,
        }
    }

    /// Returns the prefix of every protocol id: networks with other genesis blocks do not understand it.
    pub(crate) fn protocol_prefix(&self) -> String {
        let [a, b, c, d, ..] = self.genesis.0;
        format!("/kette/{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// Dials in flight at most.
pub(crate) const DIALS_MAX: usize = 64;
/// Connections beyond sessions: Kademlia's, handshakes of the lanes, duplicates about to be closed.
pub(crate) const SPARE_CONNECTIONS: usize = 32;
/// Connections to one peer at most: a session, its replacement and Kademlia's.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Streams of one connection at most: two times five lanes, identify, ping, Kademlia.
pub(crate) const STREAMS_MAX: usize = 32;
/// Bytes that one TCP connection may make us buffer: yamux grants every stream 256 KiB at least.
pub(crate) const CONNECTION_WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that one QUIC stream may make us buffer.
pub(crate) const QUIC_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes that one QUIC connection may make us buffer: more than three stalled lanes, so that the
/// urgent lanes always have room.
pub(crate) const QUIC_CONNECTION_WINDOW_BYTES: u32 = 6 * 1024 * 1024;
/// Silence after which a QUIC connection is dead. The first keep-alive that meets silence restarts this
/// clock (RFC 9000, 10.1), so a killed peer is noticed after the sum of both: 8 s.
pub(crate) const QUIC_IDLE: Duration = Duration::from_secs(6);
/// Interval of QUIC's keep-alive packets.
pub(crate) const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A connection that carries no session ends after this time without use.
pub(crate) const IDLE: Duration = Duration::from_secs(15);
/// Both sides must have opened their control lanes within this time.
pub(crate) const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// An offer from a peer whose session is older than this means that the peer restarted.
pub(crate) const REPLACE_AFTER: Duration = Duration::from_secs(3);
/// Time that a peer gets to read queued control frames before its session is closed.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Time that a closed TCP connection gets to write what was handed to it.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_millis(80);
/// Time that frames already received get before a lost session is reported.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Time that connections get to close when the driver stops.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Slowest peer, bytes per second: a frame of n bytes may take n of these longer.
pub(crate) const FRAME_RATE_MIN: usize = 64 * 1024;
/// Largest piece written at once, so that streams of one connection take turns.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// Interval of libp2p's ping, which only measures.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Interval of identify.
pub(crate) const IDENTIFY_INTERVAL: Duration = Duration::from_secs(300);
/// Interval of Kademlia's random walk where strangers come and go.
pub(crate) const WALK_INTERVAL_PUBLIC: Duration = Duration::from_secs(60);
/// Interval of Kademlia's random walk in local networks.
pub(crate) const WALK_INTERVAL_LOCAL: Duration = Duration::from_secs(300);
/// Addresses that identify may add to the routing table per peer.
pub(crate) const CLAIMED_ADDRESSES_MAX: usize = 8;
