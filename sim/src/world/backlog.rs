//! The send queue of a session for answers: what waits until the uplink has room for it.
//!
//! Bounded as in `kette-network` (`io/network/src/queue.rs`, lane `Bulk`): a peer that asks for more than the uplink
//! can carry loses its session, and what it asked for takes no memory. The other lanes have no queue in the model: what
//! they carry is small.

use crate::Moment;
use std::collections::VecDeque;

/// Frames that wait, at most.
const FRAMES_MAX: usize = 64;
/// Bytes that wait, at most.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What waits, in the order in which it leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<(Moment, usize)>,
    bytes: usize,
}

impl Backlog {
    /// Adds a frame that leaves at some moment; `false` if the queue is full.
    pub(super) fn push(&mut self, now: Moment, leaves: Moment, bytes: usize) -> bool {
        while let Some((_, gone)) = self.frames.pop_front_if(|(at, _)| *at <= now) {
            self.bytes -= gone;
        }
        if self.frames.len() >= FRAMES_MAX || self.bytes + bytes > BYTES_MAX {
            return false;
        }
        self.frames.push_back((leaves, bytes));
        self.bytes += bytes;
        true
    }

    /// Returns how many bytes have not left.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_has_left_makes_room() {
        let mut backlog = Backlog::default();
        let now = Moment::START + Duration::from_secs(1);
        let leaves = |n: u64| now + Duration::from_secs(n);
        assert!((1..=64).all(|n| backlog.push(now, leaves(n), 10)));
        assert!(!backlog.push(now, leaves(65), 10), "too many frames");
        assert!(backlog.push(leaves(2), leaves(65), 10));
        assert_eq!(backlog.bytes(), 63 * 10);
        assert!(!backlog.push(leaves(65), leaves(66), BYTES_MAX + 1), "too many bytes");
        assert!(backlog.push(leaves(65), leaves(66), BYTES_MAX));
        assert!(!backlog.push(leaves(65), leaves(67), 1));
    }
}
