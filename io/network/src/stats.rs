//! Counters: per session, and totals that survive sessions.

use kette_types::{Direction, PeerAddress, PeerId};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Bytes and messages, both directions. Bytes are those of frames, with their length prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Messages received, by name; `malformed` for frames that were none.
    pub messages_in: BTreeMap<&'static str, Count>,
    /// Messages written, by name.
    pub messages_out: BTreeMap<&'static str, Count>,
    /// Messages not queued because the peer's queue was full, by lane; dropped announcements included.
    pub overflows: BTreeMap<&'static str, u64>,
}

/// Messages of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub messages: u64,
    /// Bytes of their frames, with the length prefix.
    pub bytes: u64,
}

impl Count {
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// What TCP connections carried, with encryption, multiplexing, handshakes and libp2p's own protocols; of QUIC sessions
/// the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WireBytes {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// One session.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStats {
    /// Where the peer is, and what carries the session.
    pub address: PeerAddress,
    /// Who dialled.
    pub direction: Direction,
    /// How long the session has existed.
    pub age: Duration,
    /// Round-trip time of libp2p's last ping, if one came back.
    pub rtt: Option<Duration>,
    /// Bytes waiting in the send queues.
    pub queued_bytes: usize,
    /// What went through it.
    pub traffic: Traffic,
}

/// Handshakes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Handshakes {
    /// Connections that others began.
    pub inbound_attempted: u64,
    /// Of these, authenticated.
    pub inbound_completed: u64,
    /// Connections that we began, Kademlia's included.
    pub outbound_attempted: u64,
    /// Of these, authenticated.
    pub outbound_completed: u64,
    /// Authenticated peers that follow another chain, or are another program.
    pub foreign: u64,
    /// Authenticated connections closed because a session exists or no slot is free.
    pub surplus: u64,
}

/// Everything counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NetworkStats {
    /// Sessions.
    pub peers: BTreeMap<PeerId, PeerStats>,
    /// All sessions, ended ones included.
    pub total: Traffic,
    /// All connections, those that became no session included.
    pub wire: WireBytes,
    /// Handshakes.
    pub handshakes: Handshakes,
    /// Events that the host did not take in time and that could be left out (discovery, dial results).
    pub events_dropped: u64,
}

/// The counters behind [`Handshakes`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) inbound_attempted: AtomicU64,
    pub(crate) inbound_completed: AtomicU64,
    pub(crate) outbound_attempted: AtomicU64,
    pub(crate) outbound_completed: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) surplus: AtomicU64,
    pub(crate) events_dropped: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub(crate) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads the handshake counters.
    pub(crate) fn handshakes(&self) -> Handshakes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Handshakes {
            inbound_attempted: read(&self.inbound_attempted),
            inbound_completed: read(&self.inbound_completed),
            outbound_attempted: read(&self.outbound_attempted),
            outbound_completed: read(&self.outbound_completed),
            foreign: read(&self.foreign),
            surplus: read(&self.surplus),
        }
    }
}
