//! The libp2p behaviour that opens and accepts lane streams, one per lane, direction and connection.
//!
//! It only negotiates; the driver decides which connection is a session and what is done with a
//! stream. (libp2p-stream does not let its user choose the connection, dials on its own, and drops
//! inbound streams when several come at once.)

use crate::config::OFFER_TIMEOUT;
use kette_types::Lane;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::UpgradeInfo},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandlerInEvent,
        ToSwarm,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

/// What happened on a connection.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) what: What,
}

/// What a lane stream did.
#[derive(Debug)]
pub(crate) enum What {
    /// The peer opened a lane to us.
    Inbound(Lane, Stream),
    /// The lane that was asked for is open.
    Outbound(Lane, Stream),
    /// The lane that was asked for did not open.
    Failed(Lane, OpenError),
}

/// Why a lane did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the peer does not speak {0}: it follows another chain or is another program")]
    Unsupported(StreamProtocol),
    #[error("the peer did not answer while a lane was opened")]
    Timeout,
    #[error("the connection broke while a lane was opened: {0}")]
    Io(std::io::Error),
}

/// The protocol ids of the lanes, in the order of [`Lane::ALL`].
#[derive(Clone, Debug)]
pub(crate) struct Protocols(Arc<[StreamProtocol]>);

impl Protocols {
    /// Builds the ids `<prefix>/<lane>/1`.
    pub(crate) fn new(prefix: &str) -> Self {
        let id = |lane: Lane| {
            StreamProtocol::try_from_owned(format!("{prefix}/{}/1", lane.name()))
                .expect("it begins with a slash")
        };
        Self(Lane::ALL.into_iter().map(id).collect())
    }

    fn of(&self, lane: Lane) -> StreamProtocol {
        self.0[lane as usize].clone()
    }
}

/// The behaviour.
pub(crate) struct Behaviour {
    protocols: Protocols,
    pending: VecDeque<ToSwarm<Event, Lane>>,
}

impl Behaviour {
    pub(crate) fn new(protocols: Protocols) -> Self {
        Self { protocols, pending: VecDeque::new() }
    }

    /// Asks for a lane on a connection; ends in [`What::Outbound`] or [`What::Failed`], or in the end
    /// of the connection.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId, lane: Lane) {
        self.pending.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: lane,
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.protocols.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.protocols.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, what: What) {
        self.pending.push_back(ToSwarm::GenerateEvent(Event { peer, connection, what }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        // The swarm polls after every call into the behaviour, so no waker is kept.
        self.pending.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's part.
pub(crate) struct Handler {
    protocols: Protocols,
    wanted: VecDeque<Lane>,
    events: VecDeque<What>,
}

impl Handler {
    fn new(protocols: Protocols) -> Self {
        Self { protocols, wanted: VecDeque::new(), events: VecDeque::new() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Lane;
    type ToBehaviour = What;
    type InboundProtocol = AnyLane;
    type OutboundProtocol = OneLane;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<AnyLane, ()> {
        SubstreamProtocol::new(AnyLane(self.protocols.clone()), ()).with_timeout(OFFER_TIMEOUT)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<OneLane, Lane, What>> {
        if let Some(what) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(what));
        }
        if let Some(lane) = self.wanted.pop_front() {
            let upgrade = OneLane(self.protocols.of(lane));
            let protocol = SubstreamProtocol::new(upgrade, lane).with_timeout(OFFER_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        // The connection polls again after every call into the handler.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, lane: Lane) {
        self.wanted.push_back(lane);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, AnyLane, OneLane, (), Lane>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (lane, stream),
                ..
            }) => self.events.push_back(What::Inbound(lane, stream)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => self.events.push_back(What::Outbound(info, protocol)),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => OpenError::Timeout,
                    StreamUpgradeError::NegotiationFailed => {
                        OpenError::Unsupported(self.protocols.of(info))
                    }
                    StreamUpgradeError::Io(error) => OpenError::Io(error),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.events.push_back(What::Failed(info, error));
            }
            _ => {}
        }
    }
}

/// Accepts any lane.
pub(crate) struct AnyLane(Protocols);

impl UpgradeInfo for AnyLane {
    type Info = LaneId;
    type InfoIter = std::vec::IntoIter<LaneId>;

    fn protocol_info(&self) -> Self::InfoIter {
        let ids = Lane::ALL.into_iter().map(|lane| LaneId(lane, self.0.of(lane)));
        ids.collect::<Vec<_>>().into_iter()
    }
}

impl libp2p::core::upgrade::InboundUpgrade<Stream> for AnyLane {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, id: LaneId) -> Self::Future {
        ready(Ok((id.0, stream)))
    }
}

/// A lane and its protocol id.
#[derive(Clone)]
pub(crate) struct LaneId(Lane, StreamProtocol);

impl AsRef<str> for LaneId {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

/// Opens one lane.
pub(crate) struct OneLane(StreamProtocol);

impl UpgradeInfo for OneLane {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.0.clone())
    }
}

impl libp2p::core::upgrade::OutboundUpgrade<Stream> for OneLane {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
