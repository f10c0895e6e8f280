//! A libp2p program that speaks our handshake and then whatever a test wants.

use crate::harness::{GENESIS, id, within};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kette_types::{Lane, PeerAddress, PeerId};
use libp2p::{
    Multiaddr, Stream, StreamProtocol, SwarmBuilder, identity::Keypair, multiaddr::Protocol, noise,
    swarm::SwarmEvent, tcp, yamux,
};
use std::time::Duration;

pub(crate) struct Rogue {
    pub(crate) id: PeerId,
    control: libp2p_stream::Control,
    target: libp2p::PeerId,
    lanes: Vec<Stream>,
    _accepted: tokio::task::JoinHandle<()>,
    swarm: tokio::task::JoinHandle<()>,
}

pub(crate) fn protocol(lane: Lane) -> StreamProtocol {
    let [a, b, c, d, ..] = GENESIS.0;
    let name = lane.name();
    StreamProtocol::try_from_owned(format!("/kette/{a:02x}{b:02x}{c:02x}{d:02x}/{name}/1"))
        .expect("a protocol id")
}

impl Rogue {
    /// Connects to `address` without offering a session.
    pub(crate) async fn connect(seed: u8, address: PeerAddress) -> Self {
        let keypair = Keypair::ed25519_from_bytes([seed; 32]).expect("a seed");
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("a behaviour")
            .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let multiaddr =
            Multiaddr::from(address.socket.ip()).with(Protocol::Tcp(address.socket.port()));
        swarm.dial(multiaddr).expect("an address");
        let mut control = swarm.behaviour().new_control();
        let mut incoming = control.accept(protocol(Lane::Control)).expect("once");
        let target = within("connection", async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        })
        .await;
        let swarm = tokio::spawn(async move {
            loop {
                swarm.next().await;
            }
        });
        let accepted = tokio::spawn(async move {
            while let Some((_, mut stream)) = incoming.next().await {
                let mut sink = Vec::new();
                // The test looks at the other side only.
                let _ = stream.read_to_end(&mut sink).await;
            }
        });
        Self { id: id(seed), control, target, lanes: Vec::new(), _accepted: accepted, swarm }
    }

    /// Connects and offers a session, as a good node does.
    pub(crate) async fn session(seed: u8, address: PeerAddress) -> Self {
        let mut rogue = Self::connect(seed, address).await;
        rogue.open(Lane::Control).await;
        rogue
    }

    /// Opens a lane; bytes go to the lane opened last.
    pub(crate) async fn open(&mut self, lane: Lane) {
        let open = self.control.open_stream(self.target, protocol(lane));
        let stream = within("lane", open).await.expect("the lane opens");
        self.lanes.push(stream);
    }

    pub(crate) async fn try_open(&mut self, protocol: StreamProtocol) -> bool {
        within("an answer", self.control.open_stream(self.target, protocol)).await.is_ok()
    }

    /// Writes to the lane opened last. The other side may have gone away meanwhile.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let lane = self.lanes.last_mut().expect("a lane is open");
        if lane.write_all(bytes).await.is_ok() {
            let _ = lane.flush().await;
        }
    }

    /// Writes one frame to the lane opened last.
    pub(crate) async fn frame(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
        self.write(&[&length[..], bytes].concat()).await;
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}
