//! Links made slower, lossier, narrower or dead in one direction, for networks of a laboratory.
//!
//! A node shapes what it sends, frame by frame, between a lane's send queue and its stream; the other direction is the
//! peer's own. So a link may differ by direction, TCP and QUIC sessions are shaped alike, and what is shaped is what the
//! simulator shapes. A frame
//!
//! - first leaves: it takes its turn at the node's uplink and at the link, each with its rate, lanes other than `bulk`
//!   first, and until its last bit has left no other frame of its lane leaves the queue;
//! - then is on its way, as long as is drawn for it; frames of a lane never overtake each other;
//! - then is written to the stream.
//!
//! What has not left waits in the lane's bounded queue, so a link that is too slow ends in a full queue as a slow peer
//! does. What is on its way is bounded like the window of a stream. Packets are not lost: that is a longer way, because
//! the transports retransmit.
//!
//! Not shaped are the transports' handshakes and what libp2p says for itself: the negotiation of streams, ping,
//! identify, Kademlia, flow control, and the end of a connection.

use bytes::Bytes;
use kette_types::{Lane, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Draws how long a frame of so many bytes is on its way, without the time that sending it takes.
pub type Delay = Arc<dyn Fn(usize) -> Duration + Send + Sync>;

/// What the way to a peer is like. The default is as fast as the machine.
#[derive(Clone, Default)]
pub struct LinkShape {
    /// How long frames are on their way; not at all if absent.
    pub delay: Option<Delay>,
    /// Bits per second, without a bound if absent.
    pub bandwidth: Option<u64>,
    /// Frames are held back until this ends, and no new session is opened.
    pub held: bool,
}

impl fmt::Debug for LinkShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkShape")
            .field("delayed", &self.delay.is_some())
            .field("bandwidth", &self.bandwidth)
            .field("held", &self.held)
            .finish()
    }
}

/// What the ways to all peers are like.
#[derive(Clone, Debug, Default)]
pub struct LinkShapes {
    /// Bits per second of all that the node sends, without a bound if absent.
    pub uplink: Option<u64>,
    /// Ways that are not as fast as the machine.
    pub links: BTreeMap<PeerId, LinkShape>,
}

impl LinkShapes {
    /// Returns the peers to whom frames are held back.
    pub(crate) fn held(&self) -> BTreeSet<PeerId> {
        self.links.iter().filter(|(_, link)| link.held).map(|(peer, _)| *peer).collect()
    }

    fn of(&self, peer: &PeerId) -> LinkShape {
        self.links.get(peer).cloned().unwrap_or_default()
    }
}

/// All links of a node, shared by its sessions.
#[derive(Debug)]
pub(crate) struct Links {
    shapes: watch::Sender<Arc<LinkShapes>>,
    senders: Mutex<Senders>,
}

/// Until when senders are busy.
#[derive(Debug, Default)]
struct Senders {
    uplink: Sender,
    links: BTreeMap<PeerId, Sender>,
}

impl Links {
    pub(crate) fn new(shapes: LinkShapes) -> Self {
        let shapes = watch::Sender::new(Arc::new(shapes));
        Self { shapes, senders: Mutex::default() }
    }

    /// Replaces all shapes. What is on its way then arrives no later than it would with the new ones.
    pub(crate) fn set(&self, shapes: LinkShapes) {
        *self.senders() = Senders::default();
        self.shapes.send_replace(Arc::new(shapes));
    }

    /// Returns the way to a peer.
    pub(crate) fn to(self: &Arc<Self>, peer: PeerId) -> Link {
        let mut shapes = self.shapes.subscribe();
        let shape = shapes.borrow_and_update().of(&peer);
        let uplink = shapes.borrow().uplink;
        Link { links: Arc::clone(self), peer, shapes, shape, uplink }
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to one peer, as one lane's writer sees it.
#[derive(Debug)]
pub(crate) struct Link {
    links: Arc<Links>,
    peer: PeerId,
    shapes: watch::Receiver<Arc<LinkShapes>>,
    shape: LinkShape,
    uplink: Option<u64>,
}

impl Link {
    /// Waits until the shapes were replaced. Takes note only with [`Self::renew`].
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as we do.
        let _ = self.shapes.changed().await;
        self.shapes.mark_changed();
    }

    /// Takes note of replaced shapes; tells whether there were any.
    pub(crate) fn renew(&mut self) -> bool {
        if !self.shapes.has_changed().unwrap_or(false) {
            return false;
        }
        let shapes = self.shapes.borrow_and_update();
        self.shape = shapes.of(&self.peer);
        self.uplink = shapes.uplink;
        true
    }

    pub(crate) const fn is_held(&self) -> bool {
        self.shape.held
    }

    /// Gives a frame its turn to leave; returns when its last bit has left.
    fn leave(&self, now: Instant, lane: Lane, bytes: usize) -> Instant {
        if self.uplink.is_none() && self.shape.bandwidth.is_none() {
            return now;
        }
        let mut senders = self.links.senders();
        let mut left = now;
        if let Some(rate) = self.uplink {
            left = left.max(senders.uplink.leave(now, lane, transmission(bytes, rate)));
        }
        if let Some(rate) = self.shape.bandwidth {
            let sender = senders.links.entry(self.peer).or_default();
            left = left.max(sender.leave(now, lane, transmission(bytes, rate)));
        }
        left
    }

    fn delay(&self, bytes: usize) -> Duration {
        self.shape.delay.as_ref().map_or(Duration::ZERO, |delay| delay(bytes))
    }
}

/// Until when a sender with a rate is busy.
#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    /// With frames of all lanes but `bulk`.
    fast: Option<Instant>,
    /// With all frames.
    all: Option<Instant>,
}

impl Sender {
    /// Queues a frame that takes so long; returns when its last bit has left. `bulk` goes last.
    fn leave(&mut self, now: Instant, lane: Lane, takes: Duration) -> Instant {
        let free = |until: Option<Instant>| until.map_or(now, |until| until.max(now));
        let all = free(self.all) + takes;
        self.all = Some(all);
        if lane == Lane::Bulk {
            return all;
        }
        let fast = free(self.fast) + takes;
        self.fast = Some(fast);
        fast
    }
}

/// Frames of one lane between its queue and its stream.
#[derive(Debug, Default)]
pub(crate) struct Way {
    leaving: Option<(Instant, Passage)>,
    flying: VecDeque<(Instant, Passage)>,
    flying_bytes: usize,
}

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) bytes: Bytes,
    pub(crate) name: &'static str,
}

impl Passage {
    fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD_BYTES
    }
}

impl Way {
    /// Tells whether the next frame may leave the queue.
    pub(crate) fn has_room(&self, link: &Link) -> bool {
        !link.is_held() && self.leaving.is_none() && self.flying_bytes < FLYING_BYTES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.leaving.is_none() && self.flying.is_empty()
    }

    /// Takes a frame from the queue.
    pub(crate) fn enter(&mut self, now: Instant, link: &Link, lane: Lane, frame: Passage) {
        let left = link.leave(now, lane, frame.size());
        self.leaving = Some((left, frame));
        self.go_on(now, link);
    }

    /// Takes back what was drawn from shapes that were replaced, where the new ones are faster.
    pub(crate) fn redraw(&mut self, now: Instant, link: &Link, lane: Lane) {
        if let Some((left, frame)) = &mut self.leaving {
            *left = (*left).min(link.leave(now, lane, frame.size()));
        }
        let mut last = now;
        for (arrives, frame) in &mut self.flying {
            *arrives = (*arrives).min(now + link.delay(frame.size())).max(last);
            last = *arrives;
        }
        self.go_on(now, link);
    }

    /// Returns when something happens next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let leaves = self.leaving.as_ref().map(|(left, _)| *left);
        let arrives = self.flying.front().map(|(arrives, _)| *arrives);
        leaves.into_iter().chain(arrives).min()
    }

    /// Returns the next frame that has arrived.
    pub(crate) fn arrived(&mut self, now: Instant, link: &Link) -> Option<Passage> {
        self.go_on(now, link);
        self.flying.front().filter(|(arrives, _)| *arrives <= now + GRAIN)?;
        let (_, frame) = self.flying.pop_front()?;
        self.flying_bytes -= frame.size();
        Some(frame)
    }

    /// Sends off the frame whose last bit has left.
    fn go_on(&mut self, now: Instant, link: &Link) {
        if let Some((left, frame)) = self.leaving.take_if(|(left, _)| *left <= now + GRAIN) {
            let arrives = left + link.delay(frame.size());
            let last = self.flying.back().map(|(arrives, _)| *arrives);
            self.flying_bytes += frame.size();
            self.flying.push_back((last.map_or(arrives, |last| last.max(arrives)), frame));
        }
    }
}

/// Returns how long sending takes at this rate.
fn transmission(bytes: usize, bits_per_second: u64) -> Duration {
    let micros = (bytes as u64).saturating_mul(8_000_000) / bits_per_second.max(1);
    Duration::from_micros(micros)
}

/// Bytes of Noise, yamux, TCP and IP around a frame, about; also for QUIC. As in the simulator.
const OVERHEAD_BYTES: usize = 80;
/// Bytes of one lane that are on their way at most, or one frame: the window of a stream.
const FLYING_BYTES_MAX: usize = 1024 * 1024;
/// Half of what timers resolve: what is due within it is due now.
const GRAIN: Duration = Duration::from_micros(500);
#[cfg(test)]
mod tests {
    use super::*;

    fn link(shape: LinkShape, uplink: Option<u64>) -> Link {
        let peer = PeerId(kette_types::B256::repeat_byte(1));
        let links = LinkShapes { uplink, links: [(peer, shape)].into() };
        Arc::new(Links::new(links)).to(peer)
    }

    fn passage(bytes: usize) -> Passage {
        Passage { bytes: vec![0; bytes - OVERHEAD_BYTES].into(), name: "test" }
    }

    const S: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_narrower_of_uplink_and_link_says_when_a_frame_has_left() {
        let now = Instant::now();
        for (uplink, bandwidth, seconds) in [
            (None, None, 0),
            (Some(8_000), None, 1),
            (None, Some(4_000), 2),
            (Some(8_000), Some(4_000), 2),
        ] {
            let link = link(LinkShape { bandwidth, ..LinkShape::default() }, uplink);
            let first = link.leave(now, Lane::Consensus, 1_000);
            assert_eq!(first, now + seconds * S, "{uplink:?} {bandwidth:?}");
            let second = link.leave(now, Lane::Consensus, 1_000);
            assert_eq!(second, now + 2 * seconds * S, "{uplink:?} {bandwidth:?}");
        }
    }

    #[tokio::test]
    async fn bulk_leaves_after_all_others_and_they_do_not_wait_for_it() {
        let now = Instant::now();
        let link = link(LinkShape { bandwidth: Some(8_000), ..LinkShape::default() }, None);
        assert_eq!(link.leave(now, Lane::Bulk, 1_000), now + S);
        assert_eq!(link.leave(now, Lane::Consensus, 1_000), now + S);
        assert_eq!(link.leave(now, Lane::Bulk, 1_000), now + 3 * S);
        // An idle link saves up nothing.
        assert_eq!(link.leave(now + 10 * S, Lane::Bulk, 1_000), now + 11 * S);
    }

    #[tokio::test]
    async fn one_frame_of_a_lane_leaves_at_a_time_and_a_window_full_is_on_its_way() {
        let now = Instant::now();
        let delay: Delay = Arc::new(|_| S);
        let narrow = LinkShape { delay: Some(delay.clone()), bandwidth: Some(8_000), held: false };
        let link_narrow = link(narrow, None);
        let mut way = Way::default();
        way.enter(now, &link_narrow, Lane::Bulk, passage(1_000));
        assert!(!way.has_room(&link_narrow));
        assert_eq!(way.next(), Some(now + S));
        assert!(way.arrived(now + S, &link_narrow).is_none(), "it has left, and is on its way");
        assert!(way.has_room(&link_narrow));
        assert_eq!(way.next(), Some(now + 2 * S));
        assert!(way.arrived(now + 2 * S, &link_narrow).is_some() && way.is_empty());

        let wide = link(LinkShape { delay: Some(delay), ..LinkShape::default() }, None);
        let frames = (0..).take_while(|_| {
            let room = way.has_room(&wide);
            way.enter(now, &wide, Lane::Bulk, passage(100_000));
            room
        });
        assert_eq!(frames.count(), FLYING_BYTES_MAX / 100_000 + 1);
    }

    #[tokio::test]
    async fn frames_do_not_overtake_each_other() {
        let now = Instant::now();
        let delay: Delay = Arc::new(|bytes| Duration::from_secs(bytes as u64 / 1_000));
        let link = link(LinkShape { delay: Some(delay), ..LinkShape::default() }, None);
        let mut way = Way::default();
        way.enter(now, &link, Lane::Bulk, passage(3_000));
        way.enter(now, &link, Lane::Bulk, passage(1_000));
        assert!(way.arrived(now + 2 * S, &link).is_none());
        assert_eq!(way.arrived(now + 3 * S, &link).unwrap().size(), 3_000);
        assert_eq!(way.arrived(now + 3 * S, &link).unwrap().size(), 1_000);
        assert_eq!(way.flying_bytes, 0);
    }

    #[tokio::test]
    async fn replaced_shapes_hold_for_what_is_on_its_way_if_they_are_faster() {
        let now = Instant::now();
        let slow: Delay = Arc::new(|_| 100 * S);
        let mut link = link(LinkShape { delay: Some(slow), bandwidth: Some(8), held: false }, None);
        let mut way = Way::default();
        way.enter(now, &link, Lane::Bulk, passage(1_000));
        assert_eq!(way.next(), Some(now + 1_000 * S));
        assert!(!link.renew());
        link.links.set(LinkShapes::default());
        assert!(link.renew() && !link.renew());
        way.redraw(now + S, &link, Lane::Bulk);
        assert!(way.arrived(now + S, &link).is_some());
    }
}
