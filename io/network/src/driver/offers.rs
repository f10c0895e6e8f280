//! From a connection to a session: who opens control lanes to whom, and which connection wins.
//!
//! The dialler opens its control lane (the offer); the other side accepts by opening its own on the
//! same connection, or refuses by closing it. Nothing is sent before both exist, so a refused
//! connection loses nothing. If both dial each other at once, the connection that the peer with the
//! smaller identity dialled wins; both sides know it and agree.

use super::Driver;
use crate::{
    address::from_libp2p,
    config::{OFFER_TIMEOUT, REPLACE_AFTER},
    gate::CutSet,
    lanes::{self, OpenError, What},
    stats::Counters,
};
use kette_types::{Direction, DisconnectReason, Lane, PeerAddress, PeerId};
use libp2p::{Stream, swarm::ConnectionId};
use tokio::time::Instant;

/// A connection on its way to a session.
pub(super) struct Offer {
    pub(super) connection: ConnectionId,
    pub(super) peer: PeerId,
    pub(super) direction: Direction,
    /// What was dialled, or where the peer came from.
    pub(super) address: PeerAddress,
    pub(super) outbound: Option<Stream>,
    pub(super) inbound: Option<Stream>,
    /// Lanes that a peer which already sees the session opened.
    pub(super) early: Vec<(Lane, Stream)>,
    pub(super) deadline: Instant,
}

impl Driver {
    /// Offers a session on a connection that the host asked for.
    pub(super) fn offer(
        &mut self,
        peer: libp2p::PeerId,
        connection: ConnectionId,
        address: PeerAddress,
    ) {
        let name = from_libp2p(&peer).filter(|_| !self.is_full());
        let refusal = match name {
            None => Some("no session slot is free on this node"),
            Some(name) if self.session_with(&name).is_some() => Some(EXISTS),
            Some(_) if self.offers.contains_key(&peer) => Some(EXISTS),
            Some(_) => None,
        };
        match (refusal, name) {
            (None, Some(name)) => {
                let offer = Offer::new(connection, name, Direction::Outbound, address);
                self.offers.insert(peer, offer);
                self.swarm.behaviour_mut().lanes.open(peer, connection, Lane::Control);
            }
            (refusal, _) => {
                self.refuse(connection);
                self.dial_failed(address, refusal.unwrap_or(EXISTS));
            }
        }
    }

    /// Handles what happened to lane streams.
    pub(super) fn on_lane(&mut self, event: lanes::Event) {
        let lanes::Event { peer, connection, what } = event;
        let offered = self.offers.get(&peer).is_some_and(|offer| offer.connection == connection);
        match what {
            What::Inbound(lane, stream) if offered => {
                self.on_offered(peer, connection, lane, stream);
            }
            What::Inbound(Lane::Control, stream) if !self.sessions.contains_key(&connection) => {
                self.on_offer(peer, connection, stream);
            }
            What::Inbound(lane, stream) => self.accept_lane(connection, lane, stream),
            What::Outbound(Lane::Control, stream) if offered => {
                if let Some(offer) = self.offers.get_mut(&peer) {
                    offer.outbound = Some(stream);
                }
                self.begin_if_agreed(peer);
            }
            What::Outbound(lane, stream) => self.write_lane(connection, lane, stream),
            What::Failed(_, error) if offered => {
                self.fail_offer(connection, &error.to_string());
                // A stranger's connection ends when it is idle, so that identify can tell both sides
                // first, and both can log, whom they met.
                if !matches!(error, OpenError::Unsupported(_)) {
                    self.swarm.close_connection(connection);
                }
            }
            What::Failed(lane, error) => {
                tracing::debug!(%peer, lane = lane.name(), %error, "lane not opened");
                self.end_session(connection, DisconnectReason::ConnectionLost, true);
                self.swarm.close_connection(connection);
            }
        }
    }

    /// A lane came on a connection with an offer.
    fn on_offered(
        &mut self,
        peer: libp2p::PeerId,
        connection: ConnectionId,
        lane: Lane,
        stream: Stream,
    ) {
        let Some(offer) = self.offers.get_mut(&peer) else { return };
        let twice = if lane == Lane::Control {
            offer.inbound.replace(stream).is_some()
        } else {
            let twice = offer.early.iter().any(|(early, _)| *early == lane);
            offer.early.push((lane, stream));
            twice
        };
        if twice {
            self.fail_offer(connection, "the peer opened one lane twice");
            self.swarm.close_connection(connection);
        } else {
            self.begin_if_agreed(peer);
        }
    }

    /// The peer offers a session on a connection.
    fn on_offer(&mut self, peer: libp2p::PeerId, connection: ConnectionId, stream: Stream) {
        let (Some(name), Some(seen)) = (from_libp2p(&peer), self.connections.get(&connection))
        else {
            return;
        };
        let address = seen.address.with_peer(name);
        // Only diallers offer.
        let mut accept = seen.direction == Direction::Inbound
            && !self.cut.contains(&name)
            && self.cut != CutSet::Everyone;
        if accept && let Some((old, age)) = self.session_with(&name) {
            // A peer with a living session offers none, so it was restarted; but for a short time two
            // dials of one peer, to two of our addresses, may be under way.
            accept = age > REPLACE_AFTER;
            if accept {
                self.end_session(old, DisconnectReason::ConnectionLost, false);
                self.swarm.close_connection(old);
            }
        }
        if accept && let Some(other) = self.offers.get(&peer) {
            let other_connection = other.connection;
            accept = match other.direction {
                Direction::Outbound => name < self.own(),
                // The peer gave up its older offer.
                Direction::Inbound => true,
            };
            if accept {
                self.fail_offer(other_connection, "the peer dialled this node at the same time");
                self.swarm.close_connection(other_connection);
            }
        }
        if !accept || self.is_full() {
            self.refuse(connection);
            return;
        }
        let mut offer = Offer::new(connection, name, Direction::Inbound, address);
        offer.inbound = Some(stream);
        self.offers.insert(peer, offer);
        self.swarm.behaviour_mut().lanes.open(peer, connection, Lane::Control);
    }

    fn begin_if_agreed(&mut self, peer: libp2p::PeerId) {
        let agreed = |offer: &Offer| offer.inbound.is_some() && offer.outbound.is_some();
        if self.offers.get(&peer).is_some_and(agreed)
            && let Some(offer) = self.offers.remove(&peer)
        {
            self.begin_session(offer);
        }
    }

    /// Forgets the offer on a connection, if there is one; a dial behind it has failed.
    pub(super) fn fail_offer(&mut self, connection: ConnectionId, error: &str) {
        let peer = self.offers.iter().find(|(_, offer)| offer.connection == connection);
        let Some(peer) = peer.map(|(peer, _)| *peer) else { return };
        if let Some(offer) = self.offers.remove(&peer)
            && offer.direction == Direction::Outbound
        {
            self.dial_failed(offer.address, error);
        }
    }

    /// Gives up offers that took too long.
    pub(super) fn expire_offers(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self
            .offers
            .values()
            .filter(|offer| offer.deadline <= now)
            .map(|offer| offer.connection)
            .collect();
        for connection in late {
            self.fail_offer(connection, "the peer did not accept the session in time");
            self.swarm.close_connection(connection);
        }
    }

    fn refuse(&mut self, connection: ConnectionId) {
        Counters::bump(&self.shared.counters.surplus);
        self.swarm.close_connection(connection);
    }

    fn is_full(&self) -> bool {
        self.sessions.len() + self.offers.len() >= self.config.sessions_max
    }
}

impl Offer {
    fn new(
        connection: ConnectionId,
        peer: PeerId,
        direction: Direction,
        address: PeerAddress,
    ) -> Self {
        Self {
            connection,
            peer,
            direction,
            address: address.with_peer(peer),
            outbound: None,
            inbound: None,
            early: Vec::new(),
            deadline: Instant::now() + OFFER_TIMEOUT,
        }
    }
}

/// Why a dial did not lead to a session of its own although the peer is reachable.
const EXISTS: &str = "a session with this peer exists already";
