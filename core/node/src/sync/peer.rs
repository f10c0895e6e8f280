//! What is known of a peer that may be asked.

use kette_types::{B256, Time, U256};
use std::collections::VecDeque;

/// What sync knows of one peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// What it is taken to have: its claim, and what it showed since.
    pub(super) weight: U256,
    /// What it claimed itself: it is blamed for this only.
    pub(super) claim: U256,
    pub(super) number: u64,
    pub(super) headers: Option<HeaderRequest>,
    /// The pending header after which its last request asked for more.
    pub(super) named: Option<B256>,
    pub(super) unbacked: u32,
    /// Answers that were late, empty or brought nothing, since the last good one: others are asked first.
    pub(super) strikes: u32,
    /// It announced a block of this number whose parent, this one, we did not have: ask it once, whatever it claims.
    pub(super) announced: Option<(u64, B256)>,
    /// Requests that timed out: an answer after all is late, not unasked for.
    pub(super) overdue: VecDeque<u64>,
    pub(super) pause_until: Option<Time>,
    /// Bodies it may have in flight; grows with good answers, shrinks with time-outs.
    pub(super) window: usize,
}

impl Peer {
    pub(super) fn deadlines(&self) -> [Option<Time>; 2] {
        [self.headers.as_ref().map(|request| request.due), self.pause_until]
    }

    pub(super) fn note_overdue(&mut self, request: Option<u64>) {
        self.overdue.extend(request);
        if self.overdue.len() > OVERDUE_MAX {
            self.overdue.pop_front();
        }
    }

    /// Tells whether this request timed out, once.
    pub(super) fn takes_overdue(&mut self, request: u64) -> bool {
        let at = self.overdue.iter().position(|overdue| *overdue == request);
        at.is_some_and(|at| self.overdue.remove(at).is_some())
    }
}

/// A request for headers that is out.
#[derive(Debug)]
pub(super) struct HeaderRequest {
    pub(super) id: u64,
    pub(super) due: Time,
    /// The best that we knew of when it was asked.
    pub(super) best: U256,
    /// It claimed more than that: honest peers have something to answer.
    pub(super) claimed_more: bool,
}

/// Timed-out requests remembered per peer.
pub(super) const OVERDUE_MAX: usize = 8;
