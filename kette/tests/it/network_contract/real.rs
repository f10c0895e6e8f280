//! The libp2p driver over loopback.

use super::{Net, Seen};
use crate::harness::secs;
use kette_network::{Config, CutSet, Network, NetworkEvent};
use kette_types::{B256, DisconnectReason, Message, PeerAddress, PeerId, Transport};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    runtime::Runtime,
    sync::mpsc::Receiver,
    time::{Instant, timeout},
};

/// Sides in one process.
pub(super) struct Real {
    sides: Vec<Side>,
    runtime: Runtime,
}

struct Side {
    secret: [u8; 32],
    address: PeerAddress,
    driver: Option<(Network, Receiver<NetworkEvent>)>,
}

/// Reached only by a test that fails.
const PATIENCE: std::time::Duration = secs(30);

fn config(secret: [u8; 32], listen: SocketAddr) -> Config {
    Config::new(secret, vec![listen], B256::repeat_byte(7))
}

impl Real {
    fn network(&self, side: usize) -> Network {
        self.sides[side].driver.as_ref().expect("it runs").0.clone()
    }
}

impl Net for Real {
    fn of(sides: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let start = |place: usize| {
            let secret = [place as u8 + 1; 32];
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let driver =
                runtime.block_on(kette_network::start(config(secret, any))).expect("a free port");
            let mut addresses = driver.0.listen_addresses().into_iter();
            let address = addresses.find(|a| a.transport == Transport::Tcp).expect("it listens");
            Side { secret, address, driver: Some(driver) }
        };
        let sides = (0..sides).map(start).collect();
        Self { sides, runtime }
    }

    fn id(&self, side: usize) -> PeerId {
        kette_network::peer_id(&self.sides[side].secret)
    }

    fn address(&self, side: usize) -> PeerAddress {
        self.sides[side].address
    }

    fn nobody(&self) -> PeerAddress {
        // Port 1 is for the system, and nobody has used it for decades (TCPMUX, RFC 1078).
        PeerAddress::tcp(([127, 0, 0, 1], 1).into())
    }

    fn dial(&mut self, side: usize, address: PeerAddress) {
        self.network(side).dial(address);
    }

    fn send(&mut self, side: usize, to: PeerId, message: Message) {
        // Without a session nothing is sent, as in the model.
        let _ = self.network(side).send(to, Arc::new(message));
    }

    fn disconnect(&mut self, side: usize, peer: PeerId, reason: DisconnectReason) {
        self.network(side).disconnect(peer, reason);
    }

    fn crash(&mut self, side: usize) {
        self.sides[side].driver = None;
    }

    fn restart(&mut self, side: usize) {
        let Side { secret, address, .. } = self.sides[side];
        let begin = Instant::now();
        // The driver that was dropped may hold its port for a moment more.
        let driver = loop {
            match self.runtime.block_on(kette_network::start(config(secret, address.socket))) {
                Ok(driver) => break driver,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
        };
        self.sides[side].driver = Some(driver);
    }

    fn cut(&mut self, a: usize, b: usize, cut: bool) {
        for (side, other) in [(a, b), (b, a)] {
            let peers = if cut { [self.id(other)].into() } else { [].into() };
            self.network(side).set_cut(CutSet::Peers(peers));
        }
    }

    fn next(&mut self, side: usize) -> Option<Seen> {
        let (network, events) = self.sides[side].driver.as_mut().expect("it runs");
        loop {
            let event = self.runtime.block_on(async { timeout(PATIENCE, events.recv()).await });
            return Some(match event.ok()?? {
                NetworkEvent::Connected { peer, session, address, direction } => {
                    network.meet(peer, session);
                    Seen::Connected { peer, address, direction }
                }
                NetworkEvent::Disconnected { peer, reason } => Seen::Disconnected { peer, reason },
                NetworkEvent::DialFailed { address, .. } => Seen::DialFailed(address),
                NetworkEvent::Message { peer, message, .. } => Seen::Message(peer, message),
                NetworkEvent::Malformed { error, .. } => panic!("{error}"),
                NetworkEvent::Discovered(_) | NetworkEvent::Listening(_) => continue,
            });
        }
    }
}
