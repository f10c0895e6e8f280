//! Sessions and frames: what the transport does between two hosts.
//!
//! A session is an authenticated connection with one ordered stream per lane and direction, as the libp2p driver
//! offers it. Frames are never lost while it lives: packet loss is a delay, and what is sent during a cut is
//! retransmitted after it. Sessions end when a side ends them, crashes, or is reset.

use super::{
    Session, World,
    backlog::Backlog,
    queue::{Answer, Content, Happening},
    shape::{Shapes, transmission},
};
use crate::{Moment, rng, rng::ChaCha8Rng};
use kette_node::Input;
use kette_types::{Bytes, Direction, DisconnectReason, Lane, Message, PeerAddress, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// All links.
pub(crate) struct Links {
    pub(crate) shapes: Shapes,
    /// Directions in which nothing passes.
    cuts: BTreeSet<(u32, u32)>,
    /// What waits for a cut's end.
    held: BTreeMap<(u32, u32), Vec<Happening>>,
    /// Sessions that a host ended itself and has not yet been told of: until then it cannot have another one.
    ending: BTreeMap<(u32, PeerId), (u64, DisconnectReason)>,
    next: u64,
    /// One stream of draws per sender.
    rngs: Vec<ChaCha8Rng>,
    /// Bytes of all frames sent.
    pub(crate) bytes: u64,
    /// Frames sent.
    pub(crate) frames: u64,
}

/// A dial that nobody answers fails after this time.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A dial from a peer whose session is older than this means that the peer has lost it (as in `kette-network`); for a
/// shorter time two dials of one peer may be under way.
const REPLACE_AFTER: Duration = Duration::from_secs(3);
/// A host that ends a session waits this long at most for what it sent before to be read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames kept for replays per host.
const OLD_FRAMES_MAX: usize = 256;
/// Frames that wait for a cut's end per direction; more break the session, as a full send buffer does.
const HELD_MAX: usize = 4_096;
/// Inputs that wait at a host that stands still; more break sessions, as full receive buffers do.
const INBOX_MAX: usize = 8_192;
/// What a frame takes longer than the link's latency.
const INSTANT: Duration = Duration::from_micros(1);
/// Bytes of Noise, yamux, TCP and IP around a frame.
pub(crate) const OVERHEAD_BYTES: usize = 80;

impl Links {
    pub(crate) fn new(shapes: Shapes, rngs: Vec<ChaCha8Rng>) -> Self {
        Self {
            shapes,
            cuts: BTreeSet::new(),
            held: BTreeMap::new(),
            ending: BTreeMap::new(),
            next: 0,
            rngs,
            bytes: 0,
            frames: 0,
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(from as u32, to as u32))
    }
}

impl World {
    /// Begins to open a session.
    pub(super) fn dial(&mut self, at: Moment, from: usize, address: PeerAddress) {
        let life = self.hosts[from].life;
        let address = Box::new(address);
        let Some(&to) = self.by_address.get(&address.socket) else {
            let answer = Answer::Failed(None);
            let happening = Happening::Dialled { from: from as u32, life, address, answer };
            return self.queue.push(at + Duration::from_millis(1), happening);
        };
        // SYN and its answer, then half of the handshake that proves identities.
        let delay = self.latency(from, to) * 3;
        self.queue.push(at + delay, Happening::Dial { from: from as u32, life, address });
    }

    /// A dial arrives.
    pub(super) fn dialled_at(&mut self, from: usize, life: u32, address: Box<PeerAddress>) {
        let to = self.by_address[&address.socket];
        let cut = self.links.is_cut(from, to) || self.links.is_cut(to, from);
        let (answer, delay) = if cut || self.hosts[to].paused {
            (Answer::Failed(None), DIAL_TIMEOUT)
        } else {
            (self.accept(from, to, life, &address), self.latency(to, from))
        };
        let happening = Happening::Dialled { from: from as u32, life, address, answer };
        self.queue.push(self.now + delay, happening);
    }

    fn accept(&mut self, from: usize, to: usize, life: u32, address: &PeerAddress) -> Answer {
        let (dialler, here) = (&self.hosts[from], &self.hosts[to]);
        if !here.is_up() || !dialler.is_up() || dialler.life != life {
            return Answer::Failed(None);
        }
        if address.peer.is_some_and(|wanted| wanted != here.id) {
            // Somebody else lives there.
            return Answer::Failed(None);
        }
        let (me, peer) = (here.id, dialler.id);
        if me == peer {
            // Nobody has a session with itself.
            return Answer::Failed(None);
        }
        if dialler.sessions.contains_key(&me) {
            // The handshake tells the dialler that it has a session with this peer.
            return Answer::Failed(Some(me));
        }
        if let Some(old) = here.sessions.get(&peer) {
            if self.now.since(old.since) <= REPLACE_AFTER {
                return Answer::Failed(Some(me));
            }
            self.end_for_twin(to, peer, from);
            self.end_here(to, peer, DisconnectReason::ConnectionLost);
        }
        self.links.next += 1;
        let link = self.links.next;
        let direction = Direction::Inbound;
        self.ended(to, peer, None);
        let session = Session::new(from, link, direction, self.now);
        self.hosts[to].sessions.insert(peer, session);
        let address = self.hosts[from].address.with_peer(peer);
        self.input(to, Input::Connected { peer, address: ephemeral(address), direction });
        Answer::Session { link, to: to as u32 }
    }

    /// The answer to a dial arrives back.
    pub(super) fn answered(&mut self, from: usize, address: PeerAddress, answer: Answer) {
        match answer {
            Answer::Failed(peer) => {
                let address = PeerAddress { peer: peer.or(address.peer), ..address };
                self.input(from, Input::DialFailed { address });
            }
            Answer::Session { link, to } => {
                let to = to as usize;
                let (me, peer) = (self.hosts[from].id, self.hosts[to].id);
                let address = address.with_peer(peer);
                if self.hosts[from].sessions.contains_key(&peer) {
                    self.send_closed(from, to, link, self.now, DisconnectReason::ConnectionLost);
                    return self.input(from, Input::DialFailed { address });
                }
                let direction = Direction::Outbound;
                self.ended(from, peer, None);
                let session = Session::new(to, link, direction, self.now);
                self.hosts[from].sessions.insert(peer, session);
                self.input(from, Input::Connected { peer, address, direction });
                if self.hosts[to].sessions.get(&me).is_none_or(|session| session.link != link) {
                    // The other side ended it before we knew of it; its word may have come too early.
                    let reason = DisconnectReason::ConnectionLost;
                    let (from, to) = (to as u32, from as u32);
                    self.queue.push(self.now, Happening::Closed { from, to, link, reason });
                }
            }
        }
    }

    /// Sends a message to a peer, as its node decided in `turn`. Without a session nothing happens.
    pub(super) fn send(&mut self, at: Moment, from: usize, turn: u64, peer: PeerId, frame: &Frame) {
        let Some(session) = self.session_meant(from, turn, peer) else { return };
        let (to, link) = (session.remote, session.link);
        let faults = self.hosts[from].frames;
        if faults.any() {
            return self.send_badly(at, from, peer, to, link, frame);
        }
        self.transmit(at, from, peer, to, link, frame, false);
    }

    /// Returns the session with a peer if the node knew of it in `turn`. What it decided before, and what waited for a
    /// slow write since, was meant for a former one. So does the driver.
    fn session_meant(&self, host: usize, turn: u64, peer: PeerId) -> Option<&Session> {
        let session = self.hosts[host].sessions.get(&peer)?;
        session.told.is_some_and(|told| told <= turn).then_some(session)
    }

    fn send_badly(
        &mut self,
        at: Moment,
        from: usize,
        peer: PeerId,
        to: usize,
        link: u64,
        frame: &Frame,
    ) {
        let faults = self.hosts[from].frames;
        let rng = &mut self.links.rngs[from];
        if rng::happens(rng, faults.corrupt) {
            // Frames are authenticated: the receiver's transport gives up the connection.
            return self.reset_session(from, to);
        }
        let duplicate = rng::happens(rng, faults.duplicate);
        let reorder = rng::happens(rng, faults.reorder);
        let replay = rng::happens(rng, faults.replay);
        let pick = rng::unit(rng);
        self.transmit(at, from, peer, to, link, frame, reorder);
        if duplicate {
            self.transmit(at, from, peer, to, link, frame, false);
        }
        let old = &mut self.hosts[from].old_frames;
        if faults.replay > 0.0 {
            if old.len() == OLD_FRAMES_MAX {
                old.pop_front();
            }
            if let Content::Message(message) = &frame.content {
                old.push_back(message.clone());
            }
        }
        if replay && !old.is_empty() {
            let message = old[(pick * old.len() as f64) as usize].clone();
            let frame = Frame::new(message);
            self.transmit(at, from, peer, to, link, &frame, false);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one frame's way")]
    fn transmit(
        &mut self,
        at: Moment,
        from: usize,
        peer: PeerId,
        to: usize,
        link: u64,
        frame: &Frame,
        overtakes: bool,
    ) {
        self.links.bytes += frame.bytes as u64;
        self.links.frames += 1;
        let happening = Happening::Frame {
            from: from as u32,
            to: to as u32,
            link,
            digest: frame.digest,
            content: frame.content.clone(),
        };
        if self.links.is_cut(from, to) {
            return self.hold(from, to, happening);
        }
        let left = self.uplink(at, from, frame);
        if left > at && frame.lane == Lane::Bulk && !self.queued(at, from, peer, link, left, frame)
        {
            return self.reset_session(from, to);
        }
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        let shape = self.links.shapes.get((from, a.region), (to, b.region));
        // A moment longer than the answer to a dial takes, which comes before the first frame.
        let delay = shape.delay(frame.bytes, &mut self.links.rngs[from]) + INSTANT;
        let mut arrives = left + delay;
        if let Some(session) = self.hosts[from].sessions.get_mut(&peer)
            && session.link == link
            && !overtakes
        {
            let lane = &mut session.arrives[frame.lane as usize];
            arrives = arrives.max(*lane);
            *lane = arrives;
            session.last = session.last.max(arrives);
            if frame.is_hello() {
                // The driver hands over a hello before anything that came on other lanes.
                session.arrives = session.arrives.map(|lane| lane.max(arrives));
            }
        }
        self.queue.push(arrives, happening);
    }

    /// Queues a frame at the sender's uplink; returns when its last bit has left. Fast lanes go first.
    fn uplink(&mut self, at: Moment, from: usize, frame: &Frame) -> Moment {
        let Some(rate) = self.links.shapes.uplink(self.hosts[from].region) else { return at };
        let time = transmission(frame.bytes, rate);
        let [fast, all] = &mut self.hosts[from].uplink;
        if frame.lane == Lane::Bulk {
            *all = at.max(*all) + time;
            *all
        } else {
            *fast = at.max(*fast) + time;
            *all = (*all).max(at) + time;
            *fast
        }
    }

    /// Notes an answer in its session's send queue; `false` if it is full, and what waits in it is let go.
    fn queued(
        &mut self,
        at: Moment,
        from: usize,
        peer: PeerId,
        link: u64,
        left: Moment,
        frame: &Frame,
    ) -> bool {
        let here = &mut self.hosts[from];
        let Some(session) = here.sessions.get_mut(&peer).filter(|s| s.link == link) else {
            return true;
        };
        if session.backlog.push(at, left, frame.bytes) {
            return true;
        }
        let waits = session.backlog.bytes() + frame.bytes;
        if let Some(rate) = self.links.shapes.uplink(here.region) {
            let [_, all] = &mut here.uplink;
            *all = at.max(*all - transmission(waits, rate));
        }
        false
    }

    fn hold(&mut self, from: usize, to: usize, happening: Happening) {
        let held = self.links.held.entry((from as u32, to as u32)).or_default();
        held.push(happening);
        if held.len() > HELD_MAX {
            held.clear();
            self.reset_session(from, to);
        }
    }

    /// A frame arrives.
    pub(super) fn frame_arrives(&mut self, from: usize, to: usize, link: u64, content: Content) {
        let peer = self.hosts[from].id;
        let open = self.hosts[to].sessions.get(&peer).is_some_and(|session| session.link == link);
        if !open {
            return;
        }
        if self.hosts[to].inbox.len() >= INBOX_MAX {
            return self.reset_session(from, to);
        }
        let input = match content {
            Content::Message(message) => Input::Message(peer, Arc::unwrap_or_clone(message)),
            Content::Bytes(lane, bytes) => match Message::decode(lane, &bytes) {
                Ok(message) => Input::Message(peer, message),
                Err(error) => Input::Malformed(peer, lane, error),
            },
        };
        self.input(to, input);
    }

    /// The other side's end of a session arrives.
    pub(super) fn closed_arrives(
        &mut self,
        from: usize,
        to: usize,
        link: u64,
        reason: DisconnectReason,
    ) {
        let peer = self.hosts[from].id;
        let open = self.hosts[to].sessions.get(&peer).is_some_and(|session| session.link == link);
        if open {
            self.hosts[to].sessions.remove(&peer);
            self.input(to, Input::Disconnected { peer, reason });
        } else {
            self.ended(to, peer, Some(link));
        }
    }

    /// Tells a host that a session is over which it ended itself: that one, or any with this peer.
    fn ended(&mut self, host: usize, peer: PeerId, link: Option<u64>) {
        let key = (host as u32, peer);
        if let Some((ended, reason)) = self.links.ending.get(&key).copied()
            && link.is_none_or(|link| link == ended)
        {
            self.links.ending.remove(&key);
            self.input(host, Input::Disconnected { peer, reason });
        }
    }

    /// Ends a session on the order of a node: after what was sent before. The other side learns no reason but from a
    /// goodbye; this side is told when that was read.
    pub(super) fn disconnect(
        &mut self,
        from: usize,
        turn: u64,
        peer: PeerId,
        reason: DisconnectReason,
    ) {
        if self.session_meant(from, turn, peer).is_none() {
            return;
        }
        if let Some(session) = self.hosts[from].sessions.remove(&peer) {
            let Session { remote, link, last, .. } = session;
            let at = last.max(self.now + self.latency(from, remote));
            self.send_closed(from, remote, link, at, DisconnectReason::ConnectionLost);
            self.links.ending.insert((from as u32, peer), (link, reason));
            let read = (at + self.latency(remote, from)).min(self.now + FLUSH_TIMEOUT);
            let (from, to) = (remote as u32, from as u32);
            self.queue.push(read, Happening::Closed { from, to, link, reason });
        }
    }

    /// Ends all sessions of a host without a word.
    pub(super) fn drop_sessions(&mut self, host: usize) {
        self.links.ending.retain(|(other, _), _| *other != host as u32);
        for (_, session) in std::mem::take(&mut self.hosts[host].sessions) {
            let at = session.last.max(self.now + self.latency(host, session.remote));
            let reason = DisconnectReason::ConnectionLost;
            self.send_closed(host, session.remote, session.link, at, reason);
        }
    }

    /// Ends the session between two hosts on both sides at once.
    pub(super) fn reset_session(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            let peer = self.hosts[other].id;
            let is = self.hosts[one].sessions.get(&peer).is_some_and(|s| s.remote == other);
            if is {
                self.end_here(one, peer, DisconnectReason::ConnectionLost);
            }
        }
    }

    fn end_here(&mut self, host: usize, peer: PeerId, reason: DisconnectReason) {
        if self.hosts[host].sessions.remove(&peer).is_some() {
            self.input(host, Input::Disconnected { peer, reason });
        }
    }

    /// Tells the host at the other end that a session gives way to one with `new`, if that is another host of the
    /// same identity: it would not notice otherwise.
    fn end_for_twin(&mut self, host: usize, peer: PeerId, new: usize) {
        let Some(session) = self.hosts[host].sessions.get(&peer) else { return };
        let (remote, link, last) = (session.remote, session.link, session.last);
        if remote != new {
            let at = last.max(self.now + self.latency(host, remote));
            self.send_closed(host, remote, link, at, DisconnectReason::Duplicate);
        }
    }

    fn send_closed(
        &mut self,
        from: usize,
        to: usize,
        link: u64,
        at: Moment,
        reason: DisconnectReason,
    ) {
        let happening = Happening::Closed { from: from as u32, to: to as u32, link, reason };
        if self.links.is_cut(from, to) {
            self.hold(from, to, happening);
        } else {
            self.queue.push(at.max(self.now), happening);
        }
    }

    /// Cuts one direction, or heals it. What was sent in between is retransmitted.
    pub(super) fn set_cut_direction(&mut self, from: usize, to: usize, cut: bool) {
        let key = (from as u32, to as u32);
        if cut {
            self.links.cuts.insert(key);
            return;
        }
        if !self.links.cuts.remove(&key) {
            return;
        }
        // The sender's timer has backed off: the next retransmission comes within some seconds.
        let rng = &mut self.links.rngs[from];
        let wait = Duration::from_micros((rng::unit(rng) * 2e6) as u64);
        let mut at = self.now + self.latency(from, to) + wait;
        // It does not overtake what an earlier heal released, and what is sent from now on does not overtake it.
        let sessions = || self.hosts[from].sessions.values().filter(|s| s.remote == to);
        at = sessions().map(|session| session.last).fold(at, Moment::max);
        for session in self.hosts[from].sessions.values_mut().filter(|s| s.remote == to) {
            session.arrives = session.arrives.map(|lane| lane.max(at));
            session.last = session.last.max(at);
        }
        for happening in self.links.held.remove(&key).unwrap_or_default() {
            self.queue.push(at, happening);
        }
    }

    /// Returns all directions that are cut.
    pub fn cuts(&self) -> Vec<(usize, usize)> {
        self.links.cuts.iter().map(|(from, to)| (*from as usize, *to as usize)).collect()
    }

    /// Returns the one-way latency between two hosts, without jitter and queues.
    pub fn latency(&self, from: usize, to: usize) -> Duration {
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        self.links.shapes.get((from, a.region), (to, b.region)).latency
    }
}

impl Session {
    pub(super) fn new(remote: usize, link: u64, direction: Direction, since: Moment) -> Self {
        let never = Moment::START;
        Self {
            remote,
            link,
            direction,
            since,
            arrives: [never; 5],
            last: never,
            backlog: Backlog::default(),
            told: None,
        }
    }
}

/// A message with what its transport needs to know.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) content: Content,
    pub(super) bytes: usize,
    pub(super) lane: Lane,
    /// Tells two messages apart in the trace.
    pub(super) digest: u64,
}

impl Frame {
    fn is_hello(&self) -> bool {
        matches!(&self.content, Content::Message(message) if matches!(**message, Message::Hello(_)))
    }

    pub(super) fn new(message: Arc<Message>) -> Self {
        let encoded = message.encode();
        Self {
            bytes: encoded.len() + OVERHEAD_BYTES,
            lane: message.lane(),
            digest: super::trace::digest(&encoded),
            content: Content::Message(message),
        }
    }

    pub(super) fn raw(lane: Lane, bytes: Bytes) -> Self {
        Self {
            bytes: bytes.len() + OVERHEAD_BYTES,
            lane,
            digest: super::trace::digest(&bytes),
            content: Content::Bytes(lane, bytes),
        }
    }
}

/// Inbound sessions come from another port than the one that is listened on.
fn ephemeral(mut address: PeerAddress) -> PeerAddress {
    address.socket.set_port(50_000);
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::Small;

    /// A node may decide something for a session that ends while the decision waits for a slow write.
    #[test]
    fn what_was_decided_before_a_session_is_not_meant_for_it() {
        let mut small = Small::new(2);
        small.run(20);
        let world = &mut small.world;
        let (now, peer) = (world.now(), world.hosts[1].id);
        let told = world.hosts[0].sessions[&peer].told.expect("both are connected");
        let frame = Frame::new(Arc::new(Message::Ping(7)));
        let sent = |world: &mut World, turn| {
            let before = world.links.frames;
            world.send(now, 0, turn, peer, &frame);
            world.links.frames - before
        };
        assert_eq!(sent(world, told - 1), 0);
        assert_eq!(sent(world, told), 1);
        world.disconnect(0, told - 1, peer, DisconnectReason::Requested);
        assert!(world.hosts[0].sessions.contains_key(&peer));
        // One of which the node will hear next.
        world.hosts[0].sessions.get_mut(&peer).expect("it is there").told = None;
        assert_eq!(sent(world, told), 0);
        world.disconnect(0, told, peer, DisconnectReason::Requested);
        assert!(world.hosts[0].sessions.contains_key(&peer));
    }
}
