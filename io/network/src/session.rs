//! One session: its send queues and counters, the tasks that write and read its lanes.

use crate::{
    config::{CHUNK_BYTES, FRAME_RATE_MIN},
    event::{NetworkEvent, SessionNumber},
    inbox::Inbox,
    link::{Link, Passage, Way},
    queue::{Frame, LaneQueue, Popped, Pushed},
    stats::{PeerStats, Traffic},
    wire::Wire,
};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use kette_types::{
    DecodeError, Direction, DisconnectReason, Lane, Message, PeerAddress, PeerId, Transport,
};
use libp2p::swarm::ConnectionId;
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until, timeout},
};

/// What the handle, the driver and the tasks share about a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: SessionNumber,
    pub(crate) connection: ConnectionId,
    pub(crate) peer: PeerId,
    pub(crate) address: PeerAddress,
    pub(crate) direction: Direction,
    pub(crate) since: Instant,
    queues: [LaneQueue; Lane::ALL.len()],
    traffic: Mutex<Traffic>,
    /// Of all sessions, ended ones included.
    total: Arc<Mutex<Traffic>>,
    /// Where frames count that no counted connection carries.
    uncounted: Option<Wire>,
    /// Microseconds; 0 is unknown.
    rtt: AtomicU64,
    /// The first control frame was handed on.
    greeted: watch::Sender<bool>,
    /// The control lane was read to its end.
    parted: watch::Sender<bool>,
    /// Our host knows of it: what it said before was meant for a former session with this peer.
    met: AtomicBool,
}

impl Session {
    /// Builds the shared part of a session that begins now.
    pub(crate) fn new(
        number: SessionNumber,
        connection: ConnectionId,
        peer: PeerId,
        address: PeerAddress,
        direction: Direction,
        (total, wire): (Arc<Mutex<Traffic>>, &Wire),
    ) -> Self {
        let uncounted = (address.transport == Transport::Quic).then(|| wire.clone());
        Self {
            number,
            connection,
            peer,
            address,
            direction,
            since: Instant::now(),
            queues: Lane::ALL.map(LaneQueue::new),
            traffic: Mutex::default(),
            total,
            uncounted,
            rtt: AtomicU64::new(0),
            greeted: watch::Sender::new(false),
            parted: watch::Sender::new(false),
            met: AtomicBool::new(false),
        }
    }

    /// Notes that the host knows of it.
    pub(crate) fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// Tells whether the host knows of it.
    pub(crate) fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    /// Lets the other lanes flow.
    pub(crate) fn greet(&self) {
        self.greeted.send_replace(true);
    }

    /// Waits until the first control frame was handed on. Lanes are streams of their own, so what a peer
    /// says right after its hello may arrive before it.
    async fn greeting(&self) {
        // The sender lives as long as the session.
        let _ = self.greeted.subscribe().wait_for(|greeted| *greeted).await;
    }

    /// Notes that the control lane was read to its end.
    pub(crate) fn part(&self) {
        self.parted.send_replace(true);
    }

    /// Waits until the control lane was read to its end.
    pub(crate) async fn parting(&self) {
        // The sender lives as long as the session.
        let _ = self.parted.subscribe().wait_for(|parted| *parted).await;
    }

    /// Returns the send queue of `lane`.
    pub(crate) fn queue(&self, lane: Lane) -> &LaneQueue {
        &self.queues[lane as usize]
    }

    /// Hands a frame to its lane's queue and counts what was dropped or refused.
    pub(crate) fn push(&self, lane: Lane, frame: Frame) -> Pushed {
        let pushed = self.queue(lane).push(frame);
        let lost = match pushed {
            Pushed::Queued { dropped, .. } => dropped as u64,
            Pushed::Full => 1,
            Pushed::Closed => 0,
        };
        if lost > 0 {
            self.count(|traffic| *traffic.overflows.entry(lane.name()).or_default() += lost);
        }
        pushed
    }

    /// Refuses and forgets everything on the lanes but control, whose queue may still be written.
    pub(crate) fn close(&self) {
        for lane in Lane::ALL {
            if lane == Lane::Control {
                self.queue(lane).close();
            } else {
                self.queue(lane).clear();
            }
        }
    }

    /// Remembers a measured round trip.
    pub(crate) fn set_rtt(&self, rtt: Duration) {
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).max(1);
        self.rtt.store(micros, Ordering::Relaxed);
    }

    /// Changes the session's counters and the totals.
    fn count(&self, change: impl Fn(&mut Traffic)) {
        for traffic in [&self.traffic, &*self.total] {
            change(&mut traffic.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Returns what is shown of the session.
    pub(crate) fn stats(&self) -> PeerStats {
        let rtt = self.rtt.load(Ordering::Relaxed);
        PeerStats {
            address: self.address,
            direction: self.direction,
            age: self.since.elapsed(),
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt)),
            queued_bytes: self.queues.iter().map(LaneQueue::bytes).sum(),
            traffic: self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn count_in(&self, name: &'static str, bytes: usize) {
        self.count(|traffic| {
            traffic.bytes_in += bytes as u64;
            traffic.messages_in.entry(name).or_default().add(bytes);
        });
        if let Some(wire) = &self.uncounted {
            wire.note_received(bytes);
        }
    }

    fn count_out(&self, name: &'static str, bytes: usize) {
        self.count(|traffic| {
            traffic.bytes_out += bytes as u64;
            traffic.messages_out.entry(name).or_default().add(bytes);
        });
        if let Some(wire) = &self.uncounted {
            wire.note_sent(bytes);
        }
    }
}

/// Writes one lane until its queue is closed and empty and all has arrived, then ends the stream.
pub(crate) async fn write_lane<S: AsyncWrite + Unpin>(
    session: &Session,
    lane: Lane,
    mut stream: S,
    mut link: Link,
) -> io::Result<()> {
    let queue = session.queue(lane);
    let mut way = Way::default();
    loop {
        let now = Instant::now();
        if link.renew() {
            way.redraw(now, &link, lane);
        }
        if let Some(frame) = way.arrived(now, &link) {
            write_frame(&mut stream, &frame.bytes).await?;
            session.count_out(frame.name, PREFIX_BYTES + frame.bytes.len());
            continue;
        }
        let has_room = way.has_room(&link);
        if has_room {
            match queue.pop() {
                Popped::Frame(Frame { bytes, name, .. }) => {
                    way.enter(now, &link, lane, Passage { bytes, name });
                    continue;
                }
                Popped::Closed if way.is_empty() => return stream.close().await,
                Popped::Closed | Popped::Empty => {}
            }
        }
        stream.flush().await?;
        tokio::select! {
            () = queue.changed(), if has_room => {}
            () = link.changed() => {}
            () = at(way.next()) => {}
        }
    }
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("frames are bounded");
    stream.write_all(&length.to_be_bytes()).await?;
    for chunk in frame.chunks(CHUNK_BYTES) {
        stream.write_all(chunk).await?;
    }
    Ok(())
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Reads one lane until it ends; returns why the session should end.
pub(crate) async fn read_lane<S: AsyncRead + Unpin>(
    session: &Session,
    lane: Lane,
    mut stream: S,
    inbox: &Inbox,
    frame_timeout: Duration,
) -> DisconnectReason {
    let (number, peer) = (session.number, session.peer);
    if lane != Lane::Control {
        session.greeting().await;
    }
    loop {
        let (frame, permit) = match read_frame(&mut stream, lane, inbox, frame_timeout).await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Io) => return DisconnectReason::ConnectionLost,
            Err(FrameError::Stalled) => {
                tracing::debug!(peer = %peer.short(), lane = lane.name(), "frame stalled");
                return DisconnectReason::ProtocolViolation;
            }
            Err(FrameError::TooLarge(got)) => {
                session.count_in(MALFORMED, PREFIX_BYTES);
                let error = DecodeError::TooLarge { got, max: lane.frame_bytes_max() };
                let event = NetworkEvent::Malformed { peer, lane, error };
                inbox.said(number, peer, Lane::Control, event, None).await;
                return DisconnectReason::ProtocolViolation;
            }
        };
        let bytes = PREFIX_BYTES + frame.len();
        let (event, urgency) = match Message::decode(lane, &frame) {
            Ok(message) => {
                session.count_in(message.name(), bytes);
                (NetworkEvent::Message { peer, message, bytes }, lane)
            }
            // What is wrong with a peer is urgent on every lane, and must not be overtaken by its end.
            Err(error) => {
                session.count_in(MALFORMED, bytes);
                (NetworkEvent::Malformed { peer, lane, error }, Lane::Control)
            }
        };
        drop(frame);
        if !inbox.said(number, peer, urgency, event, permit).await {
            return DisconnectReason::Shutdown;
        }
        if lane == Lane::Control {
            session.greet();
        }
    }
}

/// Why a frame could not be read.
#[derive(Debug, PartialEq, Eq)]
enum FrameError {
    Io,
    Stalled,
    TooLarge(usize),
}

/// Reads one frame; nothing if the stream ends before it begins. Waits as long as it takes for the
/// first byte, and no longer than the frame's length allows for the last.
async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    lane: Lane,
    inbox: &Inbox,
    frame_timeout: Duration,
) -> Result<Option<(Vec<u8>, Option<OwnedSemaphorePermit>)>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    match stream.read(&mut prefix[..1]).await {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(_) => return Err(FrameError::Io),
    }
    timeout(frame_timeout, stream.read_exact(&mut prefix[1..]))
        .await
        .map_err(|_| FrameError::Stalled)?
        .map_err(|_| FrameError::Io)?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > lane.frame_bytes_max() {
        return Err(FrameError::TooLarge(length));
    }
    let patience = frame_timeout + Duration::from_secs((length / FRAME_RATE_MIN) as u64);
    let mut frame = Vec::new();
    timeout(patience, read_up_to(stream, &mut frame, length.min(CHUNK_BYTES)))
        .await
        .map_err(|_| FrameError::Stalled)??;
    if length <= CHUNK_BYTES {
        return Ok(Some((frame, None)));
    }
    // Claiming memory costs the peer a chunk of real bytes; waiting for memory is not its fault.
    let permit = inbox.reserve(length).await;
    timeout(patience, async {
        while frame.len() < length {
            // Grows with what has arrived, at most doubling.
            let next = length.min(2 * frame.len());
            read_up_to(stream, &mut frame, next).await?;
        }
        Ok(())
    })
    .await
    .map_err(|_| FrameError::Stalled)??;
    Ok(Some((frame, permit)))
}

async fn read_up_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    frame: &mut Vec<u8>,
    length: usize,
) -> Result<(), FrameError> {
    let have = frame.len();
    frame.reserve_exact(length - have);
    frame.resize(length, 0);
    stream.read_exact(&mut frame[have..]).await.map_err(|_| FrameError::Io)
}

/// The length prefix of a frame.
const PREFIX_BYTES: usize = 4;
/// The name under which frames that are no message are counted.
const MALFORMED: &str = "malformed";
