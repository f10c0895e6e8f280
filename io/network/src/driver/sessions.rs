//! Sessions in the driver: their tasks, how they begin and how they end.

use super::{Driver, Offer, Signal};
use crate::{
    config::{DRAIN_TIMEOUT, FLUSH_TIMEOUT},
    event::NetworkEvent,
    session::{Session, read_lane, write_lane},
};
use kette_types::{DisconnectReason, Lane, PeerId};
use libp2p::{Stream, swarm::ConnectionId};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, timeout},
};

/// A session and its tasks.
pub(super) struct Live {
    pub(super) session: Arc<Session>,
    libp2p_peer: libp2p::PeerId,
    writers: Vec<AbortHandle>,
    readers: Vec<(Lane, AbortHandle)>,
    /// Each urgent reader holds a sender, so this ends when they have read everything.
    drained: mpsc::Receiver<()>,
    draining: mpsc::Sender<()>,
    /// Why the host closes it.
    closing: Option<DisconnectReason>,
}

impl Driver {
    /// Makes a session of an offer that both sides agreed on.
    pub(super) fn begin_session(&mut self, offer: Offer) {
        let Offer { connection, peer, direction, address, outbound, inbound, early, .. } = offer;
        let (Some(outbound), Some(inbound), Some(seen)) =
            (outbound, inbound, self.connections.get(&connection))
        else {
            return;
        };
        let libp2p_peer = seen.peer;
        self.sessions_begun += 1;
        let number = self.sessions_begun;
        let counters = (Arc::clone(&self.shared.total), &self.shared.wire);
        let session = Session::new(number, connection, peer, address, direction, counters);
        if !self.config.control_first {
            session.greet();
        }
        let session = Arc::new(session);
        let (draining, drained) = mpsc::channel(1);
        let live = Live {
            session: Arc::clone(&session),
            libp2p_peer,
            writers: Vec::new(),
            readers: Vec::new(),
            drained,
            draining,
            closing: None,
        };
        self.sessions.insert(connection, live);
        // Known before it is announced, so that the host can answer at once.
        self.shared.sessions_mut().insert(peer, session);
        let up = NetworkEvent::Connected { peer, session: number, address, direction };
        if !self.inbox.up(number, peer, up) {
            tracing::warn!(peer = %peer.short(), "session refused: the node is too far behind");
            self.end_session(connection, DisconnectReason::TooSlow, false);
            self.swarm.close_connection(connection);
            return;
        }
        self.write_lane(connection, Lane::Control, outbound);
        self.accept_lane(connection, Lane::Control, inbound);
        for (lane, stream) in early {
            self.accept_lane(connection, lane, stream);
        }
    }

    /// Opens a lane that has its first message.
    pub(super) fn open(&mut self, connection: ConnectionId, lane: Lane) {
        if let Some(live) = self.sessions.get(&connection) {
            self.swarm.behaviour_mut().lanes.open(live.libp2p_peer, connection, lane);
        }
    }

    /// Writes a lane that was opened.
    pub(super) fn write_lane(&mut self, connection: ConnectionId, lane: Lane, stream: Stream) {
        let Some(live) = self.sessions.get_mut(&connection) else { return };
        let session = Arc::clone(&live.session);
        let signal = self.signal.clone();
        let link = self.shared.links.to(session.peer);
        live.writers.push(self.tasks.spawn(async move {
            if let Err(error) = write_lane(&session, lane, stream, link).await {
                tracing::debug!(peer = %session.peer.short(), lane = lane.name(), %error, "write");
                // Fails only when the driver has stopped.
                let _ = signal.send(Signal::Ended(connection, DisconnectReason::ConnectionLost));
            }
        }));
    }

    /// Reads a lane that the peer opened.
    pub(super) fn accept_lane(&mut self, connection: ConnectionId, lane: Lane, stream: Stream) {
        let Some(live) = self.sessions.get_mut(&connection) else {
            // Late for a session that ended; its connection is being closed.
            return;
        };
        if live.readers.iter().any(|(other, _)| *other == lane) {
            self.end_session(connection, DisconnectReason::ProtocolViolation, true);
            self.swarm.close_connection(connection);
            return;
        }
        let session = Arc::clone(&live.session);
        let signal = self.signal.clone();
        let inbox = self.inbox.clone();
        let frame_timeout = self.config.frame_timeout;
        let held = matches!(lane, Lane::Control | Lane::Consensus).then(|| live.draining.clone());
        let task = self.tasks.spawn(async move {
            let reason = read_lane(&session, lane, stream, &inbox, frame_timeout).await;
            drop(held);
            if lane == Lane::Control {
                session.part();
            } else if reason == DisconnectReason::ConnectionLost {
                // Lanes are streams of their own: a goodbye may come after another one's end. Too late is as good.
                let _ = timeout(DRAIN_TIMEOUT, session.parting()).await;
            }
            // Fails only when the driver has stopped.
            let _ = signal.send(Signal::Ended(connection, reason));
        });
        live.readers.push((lane, task));
    }

    /// Ends a session after its control frames were read: the control lane is written to its end, at
    /// which the peer closes the connection. (QUIC forgets what was written but not yet acknowledged
    /// when a connection is closed, so closing after writing could lose a goodbye.)
    pub(super) fn close_session(&mut self, connection: ConnectionId, reason: DisconnectReason) {
        let Some(live) = self.sessions.get_mut(&connection) else { return };
        if live.closing.replace(reason).is_some() {
            return;
        }
        live.session.close();
        self.forget(connection);
        let signal = self.signal.clone();
        self.tasks.spawn(async move {
            sleep(FLUSH_TIMEOUT).await;
            // Fails only when the driver has stopped.
            let _ = signal.send(Signal::Ended(connection, reason));
        });
    }

    /// Ends a session, if this connection carries one, and reports it; `drain` lets urgent frames that
    /// have arrived, such as a goodbye, come first. The caller closes the connection.
    pub(super) fn end_session(
        &mut self,
        connection: ConnectionId,
        reason: DisconnectReason,
        drain: bool,
    ) {
        self.forget(connection);
        let Some(live) = self.sessions.remove(&connection) else { return };
        let Live { session, writers, readers, mut drained, draining, closing, .. } = live;
        let reason = closing.unwrap_or(reason);
        tracing::debug!(peer = %session.peer.short(), %reason, "session ended");
        for lane in Lane::ALL {
            session.queue(lane).clear();
        }
        writers.iter().for_each(AbortHandle::abort);
        drop(draining);
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            if drain {
                // Too late is as good as drained.
                let _ = timeout(DRAIN_TIMEOUT, drained.recv()).await;
            }
            readers.iter().for_each(|(_, reader)| reader.abort());
            inbox.down(session.number, session.peer, reason).await;
        });
    }

    /// Returns the connection and age of the session with `peer`.
    pub(super) fn session_with(&self, peer: &PeerId) -> Option<(ConnectionId, Duration)> {
        let live = self.sessions.values().find(|live| live.session.peer == *peer)?;
        Some((live.session.connection, live.session.since.elapsed()))
    }

    /// Takes a session from the table that senders use.
    fn forget(&self, connection: ConnectionId) {
        let Some(live) = self.sessions.get(&connection) else { return };
        let mut sessions = self.shared.sessions_mut();
        let peer = live.session.peer;
        if sessions.get(&peer).is_some_and(|session| session.number == live.session.number) {
            sessions.remove(&peer);
        }
    }
}
