//! What the relay keeps of one peer.

use super::Limits;
use crate::{Output, PoolView, bounded::BoundedSet, mempool::Cursor};
use kette_types::{B256, Message, PeerId, Recovered, Time, Transaction, limits::INVENTORY_MAX};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The first 8 bytes of the hashes that it knows. Only what the peer and we ourselves say gets in, so
    /// a collision that hides a transaction from an honest peer costs 2^64 work.
    known: BoundedSet<u64>,
    announce: Vec<B256>,
    push: Vec<Arc<Recovered<Transaction>>>,
    pub(super) backlog: Option<Backlog>,
    /// Hashes to ask of it, oldest first; some may have been answered by others.
    pub(super) queue: VecDeque<B256>,
    /// What it was asked and has not answered.
    pub(super) requests: BTreeMap<u64, BTreeSet<B256>>,
    pub(super) in_flight: usize,
    pub(super) pushes: Allowance,
    pub(super) served: Allowance,
}

/// What a new peer has still to hear of the pool as it was when it came.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    pub(super) view: PoolView,
    pub(super) from: Option<Cursor>,
    pub(super) due: Time,
}

impl Peer {
    pub(super) const fn new(limits: &Limits) -> Self {
        let (pushes, bytes) = (limits.pushes_per_sec, limits.served_bytes_per_sec);
        Self {
            known: BoundedSet::new(limits.known),
            announce: Vec::new(),
            push: Vec::new(),
            backlog: None,
            queue: VecDeque::new(),
            requests: BTreeMap::new(),
            in_flight: 0,
            pushes: Allowance::new(pushes, pushes),
            served: Allowance::new(bytes, bytes.saturating_mul(4)),
        }
    }

    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    pub(super) const fn announcing(&self) -> usize {
        self.announce.len()
    }

    pub(super) const fn pushing(&self) -> usize {
        self.push.len()
    }

    pub(super) fn knows(&self, hash: B256) -> bool {
        self.known.contains(&short(hash))
    }

    pub(super) fn note_known(&mut self, hash: B256) {
        self.known.insert(short(hash));
    }

    /// Queues a hash to be announced, or the transaction to be sent whole while there is room for that.
    /// Beyond [`ANNOUNCE_MAX`] it is skipped.
    pub(super) fn queue_outgoing(
        &mut self,
        hash: B256,
        whole: Option<&Arc<Recovered<Transaction>>>,
    ) {
        match whole {
            Some(tx) if self.push.len() < PUSHES_MAX => self.push.push(tx.clone()),
            _ if self.announce.len() < ANNOUNCE_MAX => self.announce.push(hash),
            _ => return,
        }
        self.note_known(hash);
    }

    /// Sends everything queued.
    pub(super) fn flush(&mut self, id: PeerId, out: &mut Vec<Output>) {
        if !self.push.is_empty() {
            let whole =
                std::mem::take(&mut self.push).iter().map(|tx| tx.inner().clone()).collect();
            out.push(Output::Send(vec![id], Arc::new(Message::Transactions(whole))));
        }
        for page in std::mem::take(&mut self.announce).chunks(INVENTORY_MAX) {
            let message = Message::NewTransactions(page.to_vec());
            out.push(Output::Send(vec![id], Arc::new(message)));
        }
    }

    /// Returns when the next page of the backlog is due.
    pub(super) fn page_due(&self) -> Option<Time> {
        self.backlog.as_ref().map(|backlog| backlog.due)
    }

    /// Announces the next page of the backlog if it is due.
    pub(super) fn send_page(&mut self, id: PeerId, now: Time, out: &mut Vec<Output>) {
        let Some(mut backlog) = self.backlog.take_if(|backlog| backlog.due <= now) else { return };
        let (mut hashes, next) = backlog.view.page(backlog.from, INVENTORY_MAX);
        hashes.retain(|hash| !self.knows(*hash));
        if !hashes.is_empty() {
            for hash in &hashes {
                self.note_known(*hash);
            }
            out.push(Output::Send(vec![id], Arc::new(Message::NewTransactions(hashes))));
        }
        if next.is_some() {
            backlog.from = next;
            backlog.due = now + PAGE_INTERVAL;
            self.backlog = Some(backlog);
        }
    }

    /// Takes a hash out of the request that it was asked with.
    pub(super) fn answered(&mut self, request: u64, hash: B256) {
        let Some(hashes) = self.requests.get_mut(&request) else { return };
        if hashes.remove(&hash) {
            self.in_flight -= 1;
        }
        if hashes.is_empty() {
            self.requests.remove(&request);
        }
    }
}

/// A token bucket, in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    left: u64,
    at: Time,
    per_sec: u64,
    burst: u64,
}

impl Allowance {
    const fn new(per_sec: u64, burst: u64) -> Self {
        let burst = burst.saturating_mul(1_000);
        Self { left: burst, at: Time::ZERO, per_sec, burst }
    }

    /// Takes `amount` if there is that much.
    pub(super) fn take(&mut self, now: Time, amount: u64) -> bool {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let refill = millis.saturating_mul(self.per_sec);
        self.left = self.left.saturating_add(refill).min(self.burst);
        self.at = self.at.max(now);
        match self.left.checked_sub(amount.saturating_mul(1_000)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn short(hash: B256) -> u64 {
    u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

/// Transactions sent whole to one peer in one batch; with 20 batches per second half of what a receiver
/// allows. 256 of at most 512 bytes fit a frame.
pub(super) const PUSHES_MAX: usize = 256;
/// Hashes that wait for the next batch to one peer: more than a pool holds.
pub(super) const ANNOUNCE_MAX: usize = 65_536;
/// Pause between two pages of a backlog: 10,000 hashes per second, which a receiver fetches at 200 ms
/// round trip.
const PAGE_INTERVAL: Duration = Duration::from_millis(100);
