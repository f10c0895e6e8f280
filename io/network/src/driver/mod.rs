//! The task that owns the swarm: dials, listens, and turns connections into sessions.

mod listen;
mod offers;
mod sessions;
mod text;

use crate::{
    address::{from_libp2p, from_multiaddr, is_global, keypair, to_libp2p, to_multiaddr},
    behaviour::{Behaviour, BehaviourEvent, kademlia_protocol},
    config::{CLAIMED_ADDRESSES_MAX, CLOSE_TIMEOUT, Config, DIALS_MAX, IDLE},
    event::{NetworkError, NetworkEvent},
    gate::CutSet,
    inbox::{self, Inbox},
    network::Shared,
    stats::Counters,
    tasks::Tasks,
    transport::{self, DialPolicy},
};
use futures::StreamExt;
use kette_types::{Direction, DisconnectReason, Lane, PeerAddress, PeerId, Transport};
use libp2p::{
    Multiaddr, StreamProtocol, Swarm,
    core::ConnectedPoint,
    identify, kad, ping,
    swarm::{
        self, ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use offers::Offer;
use sessions::Live;
use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    sync::{
        mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::{Instant, sleep_until},
};

/// What the host orders.
pub(crate) enum Command {
    Dial(PeerAddress),
    Open(ConnectionId, Lane),
    Disconnect(ConnectionId, DisconnectReason),
    SetCut(CutSet),
    SetHeld(BTreeSet<PeerId>),
    Shutdown(oneshot::Sender<()>),
}

/// What a session's tasks report.
enum Signal {
    /// A lane ended, or the time to close is over, so the session ends.
    Ended(ConnectionId, DisconnectReason),
}

/// A connection, whatever it carries.
struct Seen {
    peer: libp2p::PeerId,
    direction: Direction,
    /// Without an identity.
    address: PeerAddress,
}

/// The driver.
struct Driver {
    config: Config,
    prefix: String,
    kademlia: StreamProtocol,
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    inbox: Inbox,
    tasks: Tasks,
    policy: DialPolicy,
    commands: UnboundedReceiver<Command>,
    signals: UnboundedReceiver<Signal>,
    signal: UnboundedSender<Signal>,
    cut: CutSet,
    /// To whom frames are held back: no session begins.
    held: BTreeSet<PeerId>,
    /// Dials that the host asked for and whose connection does not exist yet.
    dials: HashMap<ConnectionId, PeerAddress>,
    connections: HashMap<ConnectionId, Seen>,
    /// Connections on their way to a session, one per peer.
    offers: HashMap<libp2p::PeerId, Offer>,
    sessions: HashMap<ConnectionId, Live>,
    sessions_begun: u64,
    /// Addresses that were reported already; bounded, then forgotten.
    discovered: BTreeSet<PeerAddress>,
}

/// Binds, then starts the driver's task.
pub(crate) async fn start(
    config: Config,
    shared: Arc<Shared>,
) -> Result<(UnboundedSender<Command>, Receiver<NetworkEvent>), NetworkError> {
    let keypair = keypair(&config.secret);
    let policy = DialPolicy::new(config.public);
    let tasks = Tasks::new();
    let transport = transport::build(&config, &keypair, &policy, shared.wire.clone())?;
    let executor = tasks.clone();
    let settings = swarm::Config::with_executor(move |task| {
        executor.spawn(task);
    })
    .with_idle_connection_timeout(IDLE)
    .with_notify_handler_buffer_size(NonZeroUsize::MIN)
    .with_per_connection_event_buffer_size(2)
    .with_max_negotiating_inbound_streams(16);
    let behaviour = Behaviour::new(&config, &keypair);
    let own = keypair.public().to_peer_id();
    let mut swarm = Swarm::new(transport, behaviour, own, settings);
    let listening = listen::listen(&mut swarm, &config).await?;

    let (inbox, merger, events) = inbox::new(Arc::clone(&shared.counters));
    let (command, commands) = mpsc::unbounded_channel();
    let (signal, signals) = mpsc::unbounded_channel();
    tasks.spawn(merger.run());
    let prefix = config.protocol_prefix();
    let held = config.links.held();
    let mut driver = Driver {
        kademlia: kademlia_protocol(&prefix),
        prefix,
        config,
        swarm,
        shared,
        inbox,
        tasks,
        policy,
        commands,
        signals,
        signal,
        cut: CutSet::default(),
        held: BTreeSet::new(),
        dials: HashMap::new(),
        connections: HashMap::new(),
        offers: HashMap::new(),
        sessions: HashMap::new(),
        sessions_begun: 0,
        discovered: BTreeSet::new(),
    };
    driver.set_held(held);
    for address in listening {
        driver.on_listening(&address);
    }
    tokio::spawn(driver.run());
    Ok((command, events))
}

impl Driver {
    async fn run(mut self) {
        let done = self.serve().await;
        self.shared.closed.store(true, Ordering::Relaxed);
        let ports = self.shared.listening().clone();
        let Self { swarm, tasks, shared, .. } = self;
        shared.sessions_mut().clear();
        drop(swarm);
        tasks.stop().await;
        if let Some(done) = done {
            listen::wait_until_free(&ports).await;
            // Nobody may wait for the end.
            let _ = done.send(());
        }
    }

    /// Works until the host wants to stop; returns whom to tell.
    async fn serve(&mut self) -> Option<oneshot::Sender<()>> {
        let host = self.inbox.clone();
        let gone = host.host_gone();
        tokio::pin!(gone);
        loop {
            let deadline = self.offers.values().map(|offer| offer.deadline).min();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command? {
                    Command::Dial(address) => self.dial(address),
                    Command::Open(connection, lane) => self.open(connection, lane),
                    Command::Disconnect(connection, reason) => self.close_session(connection, reason),
                    Command::SetCut(cut) => self.set_cut(cut),
                    Command::SetHeld(held) => self.set_held(held),
                    Command::Shutdown(done) => {
                        self.close_all().await;
                        return Some(done);
                    }
                },
                Some(signal) = self.signals.recv() => self.on_signal(signal),
                () = at(deadline) => self.expire_offers(),
                () = &mut gone => return None,
            }
        }
    }

    /// Closes all sessions, flushing their control lanes.
    async fn close_all(&mut self) {
        let connections: Vec<_> = self.sessions.keys().copied().collect();
        for connection in connections {
            self.close_session(connection, DisconnectReason::Shutdown);
        }
        let others: Vec<_> = self.connections.keys().copied().collect();
        for connection in others {
            if !self.sessions.contains_key(&connection) {
                self.swarm.close_connection(connection);
            }
        }
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        while !self.connections.is_empty() {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(signal) = self.signals.recv() => self.on_signal(signal),
                () = sleep_until(deadline) => return,
            }
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        let Signal::Ended(connection, reason) = signal;
        self.end_session(connection, reason, true);
        self.swarm.close_connection(connection);
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let counters = Arc::clone(&self.shared.counters);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::IncomingConnection { .. } => Counters::bump(&counters.inbound_attempted),
            SwarmEvent::Dialing { .. } => Counters::bump(&counters.outbound_attempted),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                tracing::trace!(?connection_id, ?cause, "connection closed");
                self.connections.remove(&connection_id);
                self.end_session(connection_id, DisconnectReason::ConnectionLost, true);
                self.fail_offer(
                    connection_id,
                    "the peer closed the connection: it has no free slot, or a session with this node",
                );
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(address) = self.dials.remove(&connection_id) {
                    self.dial_failed(address, text::dial_error(&error, &address));
                }
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                tracing::debug!(%send_back_addr, %error, "inbound connection failed");
            }
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(&address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                if let Some(gone) = from_multiaddr(&address) {
                    self.shared.listening().retain(|address| {
                        (address.socket, address.transport) != (gone.socket, gone.transport)
                    });
                }
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Lanes(event) => self.on_lane(event),
            BehaviourEvent::Ping(ping::Event { connection, result: Ok(rtt), .. }) => {
                if let Some(live) = self.sessions.get(&connection) {
                    live.session.set_rtt(rtt);
                }
            }
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) if self.connections.contains_key(&connection_id) => {
                self.on_identified(peer_id, info);
            }
            BehaviourEvent::Kademlia(kad::Event::RoutingUpdated { peer, addresses, .. }) => {
                let addresses: Vec<_> = addresses.into_vec();
                self.on_discovered(&peer, &addresses);
            }
            BehaviourEvent::Kademlia(
                kad::Event::RoutablePeer { peer, address }
                | kad::Event::PendingRoutablePeer { peer, address },
            ) => self.on_discovered(&peer, &[address]),
            _ => {}
        }
    }

    fn on_established(
        &mut self,
        peer: libp2p::PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let counters = &self.shared.counters;
        let direction = if endpoint.is_dialer() {
            Counters::bump(&counters.outbound_completed);
            Direction::Outbound
        } else {
            Counters::bump(&counters.inbound_completed);
            Direction::Inbound
        };
        let dialled = self.dials.remove(&connection);
        self.update_policy();
        let Some(address) = from_multiaddr(endpoint.get_remote_address()) else {
            // Neither transport yields another shape of address.
            self.swarm.close_connection(connection);
            return;
        };
        let address = PeerAddress { peer: None, ..address };
        self.connections.insert(connection, Seen { peer, direction, address });
        if let Some(address) = dialled {
            self.offer(peer, connection, address);
        }
    }

    fn dial(&mut self, address: PeerAddress) {
        let refusal = if address.peer == Some(self.shared.own)
            || self
                .shared
                .listening()
                .iter()
                .any(|own| (own.socket, own.transport) == (address.socket, address.transport))
        {
            Some(text::SELF_DIAL)
        } else if address.transport == Transport::Quic && !self.config.quic {
            Some("QUIC is off on this node, and the address asks for it")
        } else if address.socket.port() == 0 || address.socket.ip().is_unspecified() {
            Some("the address names no reachable host and port")
        } else if address
            .peer
            .is_some_and(|peer| self.cut.contains(&peer) || self.held.contains(&peer))
            || self.cut == CutSet::Everyone
        {
            Some(text::CUT)
        } else if self.dials.len() >= DIALS_MAX {
            Some("too many dials at a time")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.dial_failed(address, refusal);
        }
        let options = match address.peer.as_ref().map(to_libp2p) {
            Some(None) => {
                return self.dial_failed(address, "the identity is not an ed25519 public key");
            }
            Some(Some(peer)) => DialOpts::peer_id(peer)
                .addresses(vec![to_multiaddr(&address)])
                .condition(PeerCondition::Always)
                .build(),
            None => DialOpts::unknown_peer_id().address(to_multiaddr(&address)).build(),
        };
        self.dials.insert(options.connection_id(), address);
        self.update_policy();
        let connection = options.connection_id();
        if let Err(error) = self.swarm.dial(options) {
            self.dials.remove(&connection);
            self.dial_failed(address, text::dial_error(&error, &address));
        }
    }

    fn dial_failed(&self, address: PeerAddress, error: impl Into<String>) {
        let error = error.into();
        tracing::debug!(%address, %error, "dial failed");
        self.inbox.fact(NetworkEvent::DialFailed { address, error });
    }

    fn update_policy(&self) {
        if self.config.public {
            self.policy.set_wanted(self.dials.values().map(|address| address.socket).collect());
        }
    }

    fn set_cut(&mut self, cut: CutSet) {
        self.swarm.behaviour_mut().gate.set_cut(cut.clone());
        self.cut = cut;
        let gone: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, seen)| from_libp2p(&seen.peer).is_none_or(|peer| self.cut.contains(&peer)))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in gone {
            self.end_session(connection, DisconnectReason::ConnectionLost, false);
            self.fail_offer(connection, text::CUT);
            self.swarm.close_connection(connection);
        }
    }

    /// Refuses new sessions with peers to whom nothing passes. Those that exist stay until somebody misses something.
    fn set_held(&mut self, held: BTreeSet<PeerId>) {
        self.swarm.behaviour_mut().gate.set_held(held.clone());
        self.held = held;
    }

    fn on_listening(&self, address: &Multiaddr) {
        let Some(address) = from_multiaddr(address) else { return };
        let address = address.with_peer(self.shared.own);
        let mut listening = self.shared.listening();
        if !listening.contains(&address) {
            listening.push(address);
            self.inbox.fact(NetworkEvent::Listening(address));
        }
    }

    fn on_identified(&mut self, peer: libp2p::PeerId, info: identify::Info) {
        if info.protocol_version != self.prefix {
            tracing::warn!(
                %peer, theirs = info.protocol_version.escape_debug().take(64).collect::<String>(),
                ours = self.prefix, "no session: the peer follows another chain or is another program"
            );
            // Not closed here: the dialler learns the reason from the answer to its offer, and a
            // connection without a session ends when it is idle.
            Counters::bump(&self.shared.counters.foreign);
            return;
        }
        let public = self.config.public;
        let Some(kademlia) = self.swarm.behaviour_mut().kademlia.as_mut() else { return };
        if !info.protocols.contains(&self.kademlia) {
            return;
        }
        for address in info.listen_addrs.into_iter().take(CLAIMED_ADDRESSES_MAX) {
            if from_multiaddr(&address).is_some_and(|a| !public || is_global(&a.socket)) {
                kademlia.add_address(&peer, address);
            }
        }
    }

    fn on_discovered(&mut self, peer: &libp2p::PeerId, addresses: &[Multiaddr]) {
        const DISCOVERED_MAX: usize = 1024;
        let Some(peer) = from_libp2p(peer).filter(|peer| *peer != self.shared.own) else { return };
        if self.discovered.len() >= DISCOVERED_MAX {
            self.discovered.clear();
        }
        let public = self.config.public;
        let fresh: Vec<_> = addresses
            .iter()
            .take(CLAIMED_ADDRESSES_MAX)
            .filter_map(from_multiaddr)
            .filter(|address| !public || is_global(&address.socket))
            .map(|address| address.with_peer(peer))
            .filter(|address| self.discovered.insert(*address))
            .collect();
        if !fresh.is_empty() {
            self.inbox.fact(NetworkEvent::Discovered(fresh));
        }
    }

    fn own(&self) -> PeerId {
        self.shared.own
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
