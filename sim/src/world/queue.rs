//! The heap of what is going to happen, in order of time and then of insertion.

use crate::Moment;
use kette_consensus::JobId;
use kette_node::Output;
use kette_types::{Bytes, DisconnectReason, Lane, Message, PeerAddress, PeerId, Transaction};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// What is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A frame arrives.
    Frame { from: u32, to: u32, link: u64, digest: u64, content: Content },
    /// A session's end arrives.
    Closed { from: u32, to: u32, link: u64, reason: DisconnectReason },
    /// A dial arrives at its target.
    Dial { from: u32, life: u32, address: Box<PeerAddress> },
    /// The answer to a dial arrives back: a session, or `None`.
    Dialled { from: u32, life: u32, address: Box<PeerAddress>, answer: Answer },
    /// A node's deadline, unless it has moved.
    Tick { host: u32, life: u32 },
    /// A node that was busy takes what waits.
    Turn { host: u32, life: u32 },
    /// A node's write is durable, and what waited for it acts.
    Written { host: u32, life: u32, turn: u64, outputs: std::vec::IntoIter<Output> },
    /// Work is done.
    Done { host: u32, life: u32, id: JobId, draw: u32, work: Work },
}

/// What a frame holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A message, as honest nodes send them.
    Message(Arc<Message>),
    /// Bytes of an actor on this lane.
    Bytes(Lane, Bytes),
}

/// What a dial led to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A session.
    Session { link: u64, to: u32 },
    /// Nobody, or nobody new.
    Failed(Option<PeerId>),
}

/// How to get a job's result when its time has come: most searches are cancelled before.
#[derive(Debug)]
pub(crate) enum Work {
    /// Senders of these transactions.
    Recover(Arc<Vec<Transaction>>),
    /// A nonce search.
    Search(Box<kette_consensus::job::MineJob>),
}

#[derive(Debug)]
struct Entry {
    at: Moment,
    sequence: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// The heap.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Moment, happening: Happening) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at, sequence: self.sequence, happening }));
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Moment, Happening)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.happening))
    }
}
