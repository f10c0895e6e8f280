//! The behaviour that refuses connections: cut links, and too many from one IP address.

use crate::address::{from_libp2p, ip};
use kette_types::PeerId;
use libp2p::{
    Multiaddr,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure,
        NetworkBehaviour, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
};

/// The peers with whom no session may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutSet {
    /// These.
    Peers(BTreeSet<PeerId>),
    /// All: the node is alone.
    Everyone,
}

impl Default for CutSet {
    fn default() -> Self {
        Self::Peers(BTreeSet::new())
    }
}

impl CutSet {
    /// Returns whether the link to `peer` is cut.
    pub fn contains(&self, peer: &PeerId) -> bool {
        match self {
            Self::Peers(peers) => peers.contains(peer),
            Self::Everyone => true,
        }
    }
}

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the link to this peer is cut")]
    Cut,
    #[error("too many connections from {0}")]
    Address(IpAddr),
    #[error("the peer's identity is not an ed25519 key")]
    Identity,
}

/// The behaviour.
pub(crate) struct Behaviour {
    cut: CutSet,
    /// To whom nothing passes, although they may reach us.
    held: BTreeSet<PeerId>,
    per_ip_max: Option<usize>,
    loopback_exempt: bool,
    /// Inbound connections by address, pending ones included.
    inbound: HashMap<ConnectionId, IpAddr>,
    per_ip: BTreeMap<IpAddr, usize>,
}

impl Behaviour {
    pub(crate) fn new(per_ip_max: Option<usize>, loopback_exempt: bool) -> Self {
        Self {
            cut: CutSet::default(),
            held: BTreeSet::new(),
            per_ip_max,
            loopback_exempt,
            inbound: HashMap::new(),
            per_ip: BTreeMap::new(),
        }
    }

    pub(crate) fn set_cut(&mut self, cut: CutSet) {
        self.cut = cut;
    }

    pub(crate) fn set_held(&mut self, held: BTreeSet<PeerId>) {
        self.held = held;
    }

    fn check(&self, peer: &libp2p::PeerId) -> Result<(), ConnectionDenied> {
        let peer = from_libp2p(peer).ok_or_else(|| ConnectionDenied::new(Refused::Identity))?;
        let cut = self.cut.contains(&peer) || self.held.contains(&peer);
        if cut { Err(ConnectionDenied::new(Refused::Cut)) } else { Ok(()) }
    }

    fn forget(&mut self, connection: ConnectionId) {
        let Some(ip) = self.inbound.remove(&connection) else { return };
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.cut == CutSet::Everyone {
            return Err(ConnectionDenied::new(Refused::Cut));
        }
        let (Some(max), Some(ip)) = (self.per_ip_max, ip(remote)) else { return Ok(()) };
        if self.loopback_exempt && ip.is_loopback() {
            return Ok(());
        }
        let count = self.per_ip.entry(ip).or_default();
        if *count >= max {
            return Err(ConnectionDenied::new(Refused::Address(ip)));
        }
        *count += 1;
        self.inbound.insert(connection, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.check(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<libp2p::PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.cut == CutSet::Everyone {
            return Err(ConnectionDenied::new(Refused::Cut));
        }
        peer.map_or(Ok(()), |peer| self.check(&peer)).map(|()| Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.check(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.forget(connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
