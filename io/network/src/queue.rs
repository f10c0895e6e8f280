//! The bounded send queue of one lane of one session.

use bytes::Bytes;
use kette_types::Lane;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// An encoded message, shared between all the peers it goes to.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The message without its length prefix.
    pub(crate) bytes: Bytes,
    /// The message's name, for counters.
    pub(crate) name: &'static str,
    /// Whether a newer frame may take its place: a transaction announcement, which somebody else
    /// makes too.
    pub(crate) droppable: bool,
}

/// Returns how many frames and bytes may wait on `lane`. Together 25.1 MiB for a peer that reads
/// nothing, until the core disconnects it; nothing for one that reads.
pub(crate) const fn bounds(lane: Lane) -> (usize, usize) {
    const MIB: usize = 1024 * 1024;
    match lane {
        Lane::Control => (64, 64 * 1024),
        Lane::Consensus => (1024, MIB),
        Lane::Announce => (128, 8 * MIB),
        Lane::Inventory => (512, 8 * MIB),
        Lane::Bulk => (64, 8 * MIB),
    }
}

/// What happened to a frame handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits. `open` says that it is the first ever and the lane's stream must be opened.
    Queued { open: bool, dropped: usize },
    /// The queue is full.
    Full,
    /// The session ends.
    Closed,
}

/// What the writer finds.
#[derive(Debug)]
pub(crate) enum Popped {
    Frame(Frame),
    Empty,
    Closed,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct LaneQueue {
    lane: Lane,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    opened: bool,
    closed: bool,
}

impl LaneQueue {
    /// Builds an empty queue.
    pub(crate) fn new(lane: Lane) -> Self {
        // The control stream exists before the session does.
        let state = State { opened: lane == Lane::Control, ..State::default() };
        Self { lane, state: Mutex::new(state), ready: Notify::new() }
    }

    /// Hands in a frame.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        let (frames_max, bytes_max) = bounds(self.lane);
        let mut state = self.lock();
        if state.closed {
            return Pushed::Closed;
        }
        let mut dropped = 0;
        while state.frames.len() >= frames_max || state.bytes + frame.bytes.len() > bytes_max {
            let Some(oldest) = state.frames.iter().position(|frame| frame.droppable) else {
                return Pushed::Full;
            };
            let gone = state.frames.remove(oldest).expect("the position was just found");
            state.bytes -= gone.bytes.len();
            dropped += 1;
        }
        state.bytes += frame.bytes.len();
        state.frames.push_back(frame);
        let open = !std::mem::replace(&mut state.opened, true);
        drop(state);
        self.ready.notify_one();
        Pushed::Queued { open, dropped }
    }

    /// Takes the oldest frame.
    pub(crate) fn pop(&self) -> Popped {
        let mut state = self.lock();
        match state.frames.pop_front() {
            Some(frame) => {
                state.bytes -= frame.bytes.len();
                Popped::Frame(frame)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Empty,
        }
    }

    /// Waits until something may have changed; for the one writer.
    pub(crate) async fn changed(&self) {
        self.ready.notified().await;
    }

    /// Refuses further frames; those that wait can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Refuses further frames and forgets those that wait.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.frames = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.ready.notify_one();
    }

    /// Returns the bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize, droppable: bool) -> Frame {
        Frame { bytes: vec![0; bytes].into(), name: "test", droppable }
    }

    #[test]
    fn every_lane_holds_its_largest_frame() {
        for lane in Lane::ALL {
            assert!(bounds(lane).1 >= lane.frame_bytes_max(), "{lane:?}");
        }
    }

    #[test]
    fn refuses_beyond_either_bound() {
        for lane in Lane::ALL {
            let (frames, bytes) = bounds(lane);
            let queue = LaneQueue::new(lane);
            for _ in 0..frames {
                assert!(matches!(queue.push(frame(1, false)), Pushed::Queued { dropped: 0, .. }));
            }
            assert_eq!(queue.push(frame(1, false)), Pushed::Full, "{lane:?}: frames");

            let queue = LaneQueue::new(lane);
            assert!(matches!(queue.push(frame(bytes, false)), Pushed::Queued { .. }));
            assert_eq!(queue.push(frame(1, false)), Pushed::Full, "{lane:?}: bytes");
        }
    }

    #[test]
    fn drops_the_oldest_announcement_and_nothing_else() {
        let queue = LaneQueue::new(Lane::Inventory);
        let (frames, _) = bounds(Lane::Inventory);
        queue.push(frame(1, false));
        queue.push(frame(2, true));
        for _ in 2..frames {
            queue.push(frame(3, false));
        }
        assert_eq!(queue.push(frame(4, false)), Pushed::Queued { open: false, dropped: 1 });
        assert_eq!(queue.push(frame(5, false)), Pushed::Full);
        let mut sizes = Vec::new();
        while let Popped::Frame(frame) = queue.pop() {
            sizes.push(frame.bytes.len());
        }
        assert_eq!(sizes.len(), frames);
        assert_eq!((sizes[0], sizes[1], sizes[frames - 1]), (1, 3, 4));
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn says_once_that_the_lane_must_be_opened() {
        let queue = LaneQueue::new(Lane::Bulk);
        assert_eq!(queue.push(frame(1, false)), Pushed::Queued { open: true, dropped: 0 });
        assert_eq!(queue.push(frame(1, false)), Pushed::Queued { open: false, dropped: 0 });
        let control = LaneQueue::new(Lane::Control);
        assert_eq!(control.push(frame(1, false)), Pushed::Queued { open: false, dropped: 0 });
    }

    #[test]
    fn closing_keeps_what_waits_and_clearing_does_not() {
        let queue = LaneQueue::new(Lane::Control);
        queue.push(frame(1, false));
        queue.close();
        assert_eq!(queue.push(frame(1, false)), Pushed::Closed);
        assert!(matches!(queue.pop(), Popped::Frame(_)));
        assert!(matches!(queue.pop(), Popped::Closed));
        let queue = LaneQueue::new(Lane::Control);
        queue.push(frame(1, false));
        queue.clear();
        assert!(matches!(queue.pop(), Popped::Closed));
        assert_eq!(queue.bytes(), 0);
    }
}
