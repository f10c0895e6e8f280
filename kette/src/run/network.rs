//! Between the core's words and the network's: sessions in, messages out, stored blocks served on the side.

use super::links::Laboratory;
use kette_network::{CutSet, Network, NetworkEvent, SendError, SessionNumber, WireBytes};
use kette_node::Input;
use kette_rpc::{KindTraffic, Links, NetworkControl, Traffic};
use kette_store::Reader;
use kette_types::{Bytes, DisconnectReason, Lane, Message, PeerAddress, PeerId};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

/// Requests of peers that are answered from the store at once; more wait in the peers' streams.
const SERVING_MAX: usize = 4;
/// Requests that wait for a turn; more are dropped and asked again by their senders.
const SERVE_QUEUE_MAX: usize = 256;

/// The loop's end of the network.
pub(super) struct NetworkLink {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    /// Sessions of which the core was not told yet, in the order in which it will be.
    unmet: VecDeque<(PeerId, SessionNumber)>,
    serving: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl NetworkLink {
    pub(super) fn new(network: Network, events: mpsc::Receiver<NetworkEvent>) -> Self {
        Self {
            network,
            events,
            unmet: VecDeque::new(),
            serving: Arc::new(Semaphore::new(SERVING_MAX)),
            waiting: Arc::new(Semaphore::new(SERVE_QUEUE_MAX)),
        }
    }

    /// Waits for the next event; `Some(None)` is one that the core does not need to know.
    pub(super) async fn next(&mut self) -> Option<Option<Input>> {
        let event = self.events.recv().await?;
        Some(self.input(event))
    }

    pub(super) fn try_next(&mut self) -> Option<Option<Input>> {
        let event = self.events.try_recv().ok()?;
        Some(self.input(event))
    }

    fn input(&mut self, event: NetworkEvent) -> Option<Input> {
        if let NetworkEvent::Connected { peer, session, .. } = &event {
            self.unmet.push_back((*peer, *session));
        }
        to_input(event)
    }

    /// Says that the core is told of the next session now. Everything that it decided before must have been performed:
    /// what comes from here on is meant for this session.
    pub(super) fn meet(&mut self) {
        if let Some((peer, session)) = self.unmet.pop_front() {
            self.network.meet(peer, session);
        }
    }

    pub(super) fn send(&self, peers: &[PeerId], message: &Arc<Message>) {
        for (peer, error) in self.network.broadcast(peers, message) {
            if let SendError::Overflow(lane) = error {
                tracing::warn!(%peer, lane = lane.name(), "peer reads too slowly");
                self.network.disconnect(peer, DisconnectReason::TooSlow);
            }
        }
    }

    /// Sends a frame that need not be a message.
    pub(super) fn send_bytes(&self, peer: PeerId, lane: Lane, bytes: Bytes) {
        if let Err(error) = self.network.send_bytes(peer, lane, bytes.0) {
            tracing::debug!(%peer, %error, "a frame of a liar was not sent");
        }
    }

    /// Answers a request from the store, outside of the loop.
    pub(super) fn serve(&self, reader: &Reader, peer: PeerId, request: Message) {
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            tracing::debug!(%peer, "too many requests wait; dropped one");
            return;
        };
        let Some(reply) = self.network.reply(peer) else { return };
        let reader = reader.clone();
        let serving = self.serving.clone();
        tokio::spawn(async move {
            let _place = place;
            let Ok(_turn) = serving.acquire().await else { return };
            let answer =
                tokio::task::spawn_blocking(move || kette_node::serve(&reader, &request)).await;
            match answer {
                Ok(Ok(Some(message))) => {
                    if let Err(SendError::Overflow(_)) = reply.send(&message) {
                        reply.disconnect(DisconnectReason::TooSlow);
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot serve a peer"),
                Err(error) => tracing::error!(%error, "serving a peer failed"),
            }
        });
    }

    pub(super) fn dial(&self, address: PeerAddress) {
        self.network.dial(address);
    }

    pub(super) fn disconnect(&self, peer: PeerId, reason: DisconnectReason) {
        self.network.disconnect(peer, reason);
    }

    pub(super) async fn shut_down(self) {
        self.network.shutdown().await;
    }
}

fn to_input(event: NetworkEvent) -> Option<Input> {
    Some(match event {
        NetworkEvent::Connected { peer, address, direction, .. } => {
            Input::Connected { peer, address, direction }
        }
        NetworkEvent::Disconnected { peer, reason } => Input::Disconnected { peer, reason },
        NetworkEvent::DialFailed { address, error } => {
            tracing::debug!(%address, %error, "dial failed");
            Input::DialFailed { address }
        }
        NetworkEvent::Message { peer, message, .. } => Input::Message(peer, message),
        NetworkEvent::Malformed { peer, lane, error } => Input::Malformed(peer, lane, error),
        NetworkEvent::Discovered(addresses) => Input::Discovered(addresses),
        NetworkEvent::Listening(address) => {
            tracing::debug!(%address, "listening for peers");
            return None;
        }
    })
}

/// What RPC and metrics may see and switch of the network.
pub(super) struct Control(Network, Laboratory, Overhead);

/// The most bytes seen, in and out, that belong to no message: a frame counts when it is whole, its bytes before, and a
/// counter must not go back.
#[derive(Default)]
struct Overhead([AtomicU64; 2]);

impl Overhead {
    fn of(&self, wire: WireBytes, frames: [u64; 2]) -> [u64; 2] {
        let rest = [wire.received.saturating_sub(frames[0]), wire.sent.saturating_sub(frames[1])];
        [0, 1].map(|way| self.0[way].fetch_max(rest[way], Ordering::Relaxed).max(rest[way]))
    }
}

impl Control {
    pub(super) fn new(network: Network, links: Links) -> Self {
        Self(network.clone(), Laboratory::new(network, links), Overhead::default())
    }
}

impl NetworkControl for Control {
    fn stats_json(&self) -> serde_json::Value {
        serde_json::to_value(self.0.stats()).unwrap_or_default()
    }

    fn traffic(&self) -> Traffic {
        let stats = self.0.stats();
        let mut kinds: BTreeMap<String, KindTraffic> = BTreeMap::new();
        for (kind, count) in &stats.total.messages_in {
            let kind = kinds.entry((*kind).to_owned()).or_default();
            (kind.messages_in, kind.bytes_in) = (count.messages, count.bytes);
        }
        for (kind, count) in &stats.total.messages_out {
            let kind = kinds.entry((*kind).to_owned()).or_default();
            (kind.messages_out, kind.bytes_out) = (count.messages, count.bytes);
        }
        // The rest: encryption, multiplexing, handshakes, libp2p's own protocols.
        let rest = kinds.entry("transport".to_owned()).or_default();
        let frames = [stats.total.bytes_in, stats.total.bytes_out];
        [rest.bytes_in, rest.bytes_out] = self.2.of(stats.wire, frames);
        let rtts: Vec<f64> = stats
            .peers
            .values()
            .filter_map(|p| p.rtt)
            .map(|rtt| rtt.as_secs_f64() * 1_000.0)
            .collect();
        let rtt_ms = (!rtts.is_empty()).then(|| rtts.iter().sum::<f64>() / rtts.len() as f64);
        Traffic { kinds, rtt_ms }
    }

    fn set_cut(&self, peers: Vec<PeerId>, lasts: Option<Duration>) {
        self.1.set_cut(peers, lasts);
    }

    fn cut(&self) -> Vec<PeerId> {
        match self.0.cut() {
            CutSet::Peers(peers) => peers.into_iter().collect(),
            CutSet::Everyone => self.0.stats().peers.into_keys().collect(),
        }
    }
    fn set_links(&self, links: Links) {
        self.1.set_links(links);
    }

    fn links(&self) -> Links {
        self.1.links()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_message_never_shrinks() {
        let overhead = Overhead::default();
        let of = |received, sent, frames| overhead.of(WireBytes { received, sent }, frames);
        assert_eq!(of(100, 50, [80, 45]), [20, 5]);
        // Half of a large frame is here; then it is whole.
        assert_eq!(of(1_100, 60, [80, 50]), [1_020, 10]);
        assert_eq!(of(2_100, 60, [2_080, 70]), [1_020, 10]);
        assert_eq!(of(9_000, 90, [7_000, 70]), [2_000, 20]);
    }
}
