//! The host's handle, and how a driver starts.

use crate::{
    address::{from_libp2p, keypair},
    config::Config,
    driver::{self, Command},
    event::{NetworkError, NetworkEvent, SendError, SessionNumber},
    gate::CutSet,
    link::{LinkShapes, Links},
    queue::{Frame, Pushed},
    session::Session,
    stats::{Counters, NetworkStats, Traffic},
    wire::Wire,
};
use bytes::Bytes;
use kette_types::{DisconnectReason, Lane, Message, PeerAddress, PeerId};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{
    mpsc::{Receiver, UnboundedSender},
    oneshot,
};

/// Returns the identity of an ed25519 seed.
pub fn peer_id(secret: &[u8; 32]) -> PeerId {
    from_libp2p(&keypair(secret).public().to_peer_id()).expect("the key is an ed25519 key")
}

/// Starts a driver on the current tokio runtime; it listens when this returns.
///
/// # Errors
/// If an address to listen on cannot be bound.
pub async fn start(config: Config) -> Result<(Network, Receiver<NetworkEvent>), NetworkError> {
    let shared = Arc::new(Shared::new(peer_id(&config.secret), config.links.clone()));
    let (commands, events) = driver::start(config, Arc::clone(&shared)).await?;
    Ok((Network { shared, commands }, events))
}

/// A handle to a running driver. The driver stops when [`Self::shutdown`] is called, when all handles
/// are dropped, or when the receiver of its events is dropped.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
}

impl Network {
    /// Returns the node's own identity.
    pub fn peer_id(&self) -> PeerId {
        self.shared.own
    }

    /// Says that the host takes note of a session, at [`NetworkEvent::Connected`]. Before that nothing is sent on it and
    /// no order of the host ends it: whatever the host says until then about this peer is meant for a former session,
    /// which ended without its knowledge.
    pub fn meet(&self, peer: PeerId, session: SessionNumber) {
        let sessions = self.shared.sessions.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sessions.get(&peer).filter(|known| known.number == session) {
            known.meet();
        }
    }

    /// Returns the way back to a peer for an answer that will be ready later: it goes to the session that there is now,
    /// or to none.
    pub fn reply(&self, peer: PeerId) -> Option<Reply> {
        let session = self.session(&peer).ok()?;
        Some(Reply { network: self.clone(), session })
    }

    /// Queues a message; never blocks. Encodes once when the same `Arc` goes to many peers in a row.
    ///
    /// # Errors
    /// If the message was not queued.
    pub fn send(&self, peer: PeerId, message: Arc<Message>) -> Result<(), SendError> {
        let session = self.session(&peer)?;
        let frame = self.shared.encode(&message)?;
        self.push(&session, &message, frame)
    }

    /// Queues a message to several peers, encoding it once; returns those to whom it was not queued.
    pub fn broadcast(&self, peers: &[PeerId], message: &Message) -> Vec<(PeerId, SendError)> {
        let all = |error| peers.iter().map(|peer| (*peer, error)).collect();
        if peers.is_empty() {
            return Vec::new();
        }
        let frame = match frame(message) {
            Ok(frame) => frame,
            Err(error) => return all(error),
        };
        let send = |peer: &PeerId| {
            let session = self.session(peer)?;
            self.push(&session, message, frame.clone())
        };
        peers.iter().filter_map(|peer| send(peer).err().map(|error| (*peer, error))).collect()
    }

    /// Queues a frame that need not be a message, whatever its first byte says: for liars of the tests.
    ///
    /// # Errors
    /// If there is no session, the lane is full, or the frame is too large for it.
    pub fn send_bytes(&self, peer: PeerId, lane: Lane, bytes: Bytes) -> Result<(), SendError> {
        if bytes.is_empty() || bytes.len() > lane.frame_bytes_max() {
            return Err(SendError::TooLarge { lane, bytes: bytes.len() });
        }
        let session = self.session(&peer)?;
        self.push_on(&session, lane, Frame { bytes, name: "raw", droppable: false })
    }

    /// Dials; ends in exactly one `Connected` or `DialFailed`.
    pub fn dial(&self, address: PeerAddress) {
        self.command(Command::Dial(address));
    }

    /// Ends a session after the control frames that are queued, such as a goodbye, were written, or
    /// after a short time. Nothing can be sent to the peer from here on.
    pub fn disconnect(&self, peer: PeerId, reason: DisconnectReason) {
        self.end(peer, reason, |_| true);
    }

    fn end(&self, peer: PeerId, reason: DisconnectReason, meant: impl Fn(&Session) -> bool) {
        let mut sessions = self.shared.sessions_mut();
        if !sessions.get(&peer).is_some_and(|session| session.is_met() && meant(session)) {
            return;
        }
        if let Some(session) = sessions.remove(&peer) {
            session.close();
            self.command(Command::Disconnect(session.connection, reason));
        }
    }

    /// Replaces the set of peers with whom no session may exist. Sessions with them end at once.
    pub fn set_cut(&self, cut: CutSet) {
        *self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut.clone();
        self.command(Command::SetCut(cut));
    }

    /// Returns the set of peers with whom no session may exist.
    pub fn cut(&self) -> CutSet {
        self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what the ways to all peers are like; at once, also in sessions that exist.
    pub fn set_links(&self, shapes: LinkShapes) {
        self.command(Command::SetHeld(shapes.held()));
        self.shared.links.set(shapes);
    }

    /// Returns the counters.
    pub fn stats(&self) -> NetworkStats {
        let shared = &self.shared;
        let sessions = shared.sessions.read().unwrap_or_else(PoisonError::into_inner).clone();
        NetworkStats {
            peers: sessions.iter().map(|(peer, session)| (*peer, session.stats())).collect(),
            total: shared.total.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            wire: shared.wire.bytes(),
            handshakes: shared.counters.handshakes(),
            events_dropped: shared.counters.events_dropped.load(Ordering::Relaxed),
        }
    }

    /// Returns where the node listens, with its identity.
    pub fn listen_addresses(&self) -> Vec<PeerAddress> {
        self.shared.listening().clone()
    }

    /// Stops the driver: flushes and closes all sessions, frees the ports, ends all tasks. The channel
    /// of events ends; not every session's end is reported.
    pub async fn shutdown(self) {
        let (done, stopped) = oneshot::channel();
        self.command(Command::Shutdown(done));
        // An error means that the driver has stopped already.
        let _ = stopped.await;
    }

    fn session(&self, peer: &PeerId) -> Result<Arc<Session>, SendError> {
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(SendError::Closed);
        }
        let sessions = self.shared.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let met = sessions.get(peer).filter(|session| session.is_met());
        met.map(Arc::clone).ok_or(SendError::NotConnected)
    }

    fn push(&self, session: &Session, message: &Message, frame: Frame) -> Result<(), SendError> {
        self.push_on(session, message.lane(), frame)
    }

    fn push_on(&self, session: &Session, lane: Lane, frame: Frame) -> Result<(), SendError> {
        match session.push(lane, frame) {
            Pushed::Queued { open, .. } => {
                if open {
                    self.command(Command::Open(session.connection, lane));
                }
                Ok(())
            }
            Pushed::Full => Err(SendError::Overflow(lane)),
            Pushed::Closed => Err(SendError::NotConnected),
        }
    }

    fn command(&self, command: Command) {
        // Fails only when the driver has stopped, which the host learns from its event channel.
        let _ = self.commands.send(command);
    }
}

/// The way back to a peer, for one session.
pub struct Reply {
    network: Network,
    session: Arc<Session>,
}

impl Reply {
    /// Queues the answer; never blocks.
    ///
    /// # Errors
    /// If it was not queued: [`SendError::NotConnected`] if the session is over.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        self.network.push(&self.session, message, frame(message)?)
    }

    /// Ends the session, if it is not over.
    pub fn disconnect(&self, reason: DisconnectReason) {
        let number = self.session.number;
        self.network.end(self.session.peer, reason, |session| session.number == number);
    }
}

/// What handles and driver share.
pub(crate) struct Shared {
    pub(crate) own: PeerId,
    pub(crate) counters: Arc<Counters>,
    pub(crate) total: Arc<Mutex<Traffic>>,
    pub(crate) wire: Wire,
    pub(crate) closed: AtomicBool,
    sessions: RwLock<BTreeMap<PeerId, Arc<Session>>>,
    listening: Mutex<Vec<PeerAddress>>,
    cut: Mutex<CutSet>,
    pub(crate) links: Arc<Links>,
    /// The last message that was encoded and is still alive. Weak: an idle node keeps no block.
    encoded: Mutex<Option<(Weak<Message>, Frame)>>,
}

impl Shared {
    fn new(own: PeerId, links: LinkShapes) -> Self {
        Self {
            own,
            counters: Arc::default(),
            total: Arc::default(),
            wire: Wire::default(),
            closed: AtomicBool::new(false),
            sessions: RwLock::default(),
            listening: Mutex::default(),
            cut: Mutex::default(),
            links: Arc::new(Links::new(links)),
            encoded: Mutex::default(),
        }
    }

    /// Locks the sessions that can be sent to.
    pub(crate) fn sessions_mut(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, BTreeMap<PeerId, Arc<Session>>> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the addresses listened on.
    pub(crate) fn listening(&self) -> MutexGuard<'_, Vec<PeerAddress>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode(&self, message: &Arc<Message>) -> Result<Frame, SendError> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        // The weak pointer keeps the allocation, so an equal address means the same message.
        if let Some((last, frame)) = &*encoded
            && std::ptr::eq(last.as_ptr(), Arc::as_ptr(message))
        {
            return Ok(frame.clone());
        }
        let frame = frame(message)?;
        *encoded = (frame.bytes.len() <= ENCODED_BYTES_MAX)
            .then(|| (Arc::downgrade(message), frame.clone()));
        Ok(frame)
    }
}

fn frame(message: &Message) -> Result<Frame, SendError> {
    let bytes = message.encode();
    let lane = message.lane();
    if bytes.len() > lane.frame_bytes_max() {
        return Err(SendError::TooLarge { lane, bytes: bytes.len() });
    }
    let droppable = matches!(message, Message::NewTransactions(_));
    Ok(Frame { bytes: Bytes::from(bytes), name: message.name(), droppable })
}

/// Largest encoding that is remembered; larger ones go to few peers, and an idle node should be small.
const ENCODED_BYTES_MAX: usize = 256 * 1024;
