//! Nodes for tests, and waiting for what they report.

use kette_network::{Config, Network, NetworkEvent, start};
use kette_types::{
    B256, Bytes, Direction, DisconnectReason, Header, Message, PeerAddress, PeerId, SealedHeader,
    Transport, message::CompactBlock,
};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc::Receiver;

/// Upper bound of every wait; reached only by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const GENESIS: B256 = B256::repeat_byte(7);

pub(crate) struct Node {
    pub(crate) network: Network,
    pub(crate) events: Receiver<NetworkEvent>,
}

/// The settings of node `seed`: any port of loopback, QUIC as well.
pub(crate) fn config(seed: u8) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { quic: true, ..Config::new([seed; 32], vec![any], GENESIS) }
}

pub(crate) fn id(seed: u8) -> PeerId {
    kette_network::peer_id(&[seed; 32])
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

impl Node {
    pub(crate) async fn new(seed: u8) -> Self {
        Self::with(config(seed)).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let (network, events) = start(config).await.expect("a free port");
        Self { network, events }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.network.peer_id()
    }

    pub(crate) fn address(&self, transport: Transport) -> PeerAddress {
        let addresses = self.network.listen_addresses();
        addresses.into_iter().find(|a| a.transport == transport).expect("it listens")
    }

    pub(crate) fn say(&self, to: PeerId, message: Message) {
        self.network.send(to, Arc::new(message)).expect("room in the queue");
    }

    /// Waits for the first event that `pick` takes.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(NetworkEvent) -> Option<T>,
    ) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the driver runs");
                if let NetworkEvent::Connected { peer, session, .. } = &event {
                    self.network.meet(*peer, *session);
                }
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        })
        .await
    }

    pub(crate) async fn connected(&mut self, peer: PeerId) -> (PeerAddress, Direction) {
        self.until("connected", |event| match event {
            NetworkEvent::Connected { peer: who, address, direction, .. } if who == peer => {
                Some((address, direction))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn disconnected(&mut self, peer: PeerId) -> DisconnectReason {
        self.until("disconnected", |event| match event {
            NetworkEvent::Disconnected { peer: who, reason } if who == peer => Some(reason),
            _ => None,
        })
        .await
    }

    pub(crate) async fn dial_failed(&mut self, address: PeerAddress) -> String {
        self.until("dial failed", |event| match event {
            NetworkEvent::DialFailed { address: which, error } if which == address => Some(error),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> (PeerId, Message, usize) {
        self.until("message", |event| match event {
            NetworkEvent::Message { peer, message, bytes } => Some((peer, message, bytes)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn heard(&mut self, from: PeerId, expected: &Message) {
        self.until("message", |event| match event {
            NetworkEvent::Message { peer, message, .. } if peer == from => {
                (message == *expected).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

/// Connects two nodes.
pub(crate) async fn connect(a: &mut Node, b: &mut Node, transport: Transport) {
    a.network.dial(b.address(transport));
    let (id_a, id_b) = (a.id(), b.id());
    tokio::join!(a.connected(id_b), b.connected(id_a));
}

/// Lets each node hear one message of the other.
pub(crate) async fn talk(a: &mut Node, b: &mut Node, message: &Message) {
    a.say(b.id(), message.clone());
    assert_eq!(b.message().await, (a.id(), message.clone(), 4 + message.encode().len()));
    b.say(a.id(), message.clone());
    assert_eq!(a.message().await, (b.id(), message.clone(), 4 + message.encode().len()));
}

/// A bulk message of about `kib` KiB.
pub(crate) fn bulk(id: u64, kib: usize) -> Message {
    const SEAL_KIB: usize = 8;
    let seal = Bytes::from(vec![id as u8; SEAL_KIB * 1024]);
    let header = SealedHeader::new(Header::default(), seal);
    Message::Headers { id, headers: vec![header; kib.div_ceil(SEAL_KIB)] }
}

pub(crate) fn vote(n: u64) -> Message {
    Message::Engine(n.to_be_bytes().to_vec().into())
}

pub(crate) fn announcement() -> Message {
    let header = SealedHeader::new(Header::default(), Bytes::new());
    Message::NewBlock(Box::new(CompactBlock { header, short_ids: vec![1, 2, 3] }))
}

/// One message of every lane.
pub(crate) fn one_of_each() -> Vec<Message> {
    vec![
        Message::Ping(1),
        vote(2),
        announcement(),
        Message::NewTransactions(vec![B256::repeat_byte(3)]),
        Message::GetPeers,
    ]
}

/// Anonymous memory of this process, bytes.
pub(crate) fn anonymous_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a field");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}
