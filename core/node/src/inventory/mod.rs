//! Relay of transactions: announce hashes, fetch what is new, serve what others ask for.
//!
//! Pure: it orders messages and never decides whether a transaction is valid (mempool). Small ones go
//! whole to a few peers, everything else is announced and pulled. A hash is asked of one peer at a time;
//! whoever else announced it is asked next if the first one is silent.

#[cfg(test)]
mod net_tests;
mod peer;
#[cfg(test)]
mod tests;

use crate::{Mempool, Output, bounded::BoundedSet, io::earliest, patience::patience};
use kette_types::{
    B256, Fault, Message, PeerId, Recovered, Time, Transaction,
    limits::{INVENTORY_MAX, TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX},
};
use peer::{Backlog, Peer};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Bounds and pace of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Hashes per peer that we remember it to know.
    pub known: usize,
    /// Hashes that one peer announced and that wait to be asked of it. Room for a few pages of a late
    /// joiner's backlog; what comes on top is ignored.
    pub announced: usize,
    /// Transactions asked of one peer and not answered: at 200 ms round trip still 10,000 per second.
    pub in_flight: usize,
    /// Least time between two batches of announcements.
    pub flush: Duration,
    /// How long a peer may take to answer before the next one is asked.
    pub timeout: Duration,
    /// Transactions per second that one peer may send without being asked, and at once.
    pub pushes_per_sec: u64,
    /// Bytes of transactions per second that one peer may ask for; four times that, a full pool, at once.
    pub served_bytes_per_sec: u64,
    /// Hashes that are not fetched because they arrived, were refused or were in a block lately.
    pub recent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            known: 32_768,
            announced: 8_192,
            in_flight: 2_048,
            flush: Duration::from_millis(50),
            timeout: Duration::from_secs(2),
            pushes_per_sec: 10_000,
            served_bytes_per_sec: 16 * 1024 * 1024,
            recent: 65_536,
        }
    }
}

/// Who knows which transaction, and what is being fetched from whom.
#[derive(Clone, Debug)]
pub struct Inventory {
    limits: Limits,
    now: Time,
    peers: BTreeMap<PeerId, Peer>,
    /// Announced and not here yet. Each is in its owner's queue or in one of its requests.
    wanted: BTreeMap<B256, Want>,
    deadlines: BTreeSet<(Time, B256)>,
    /// Peers that may be asked for more.
    askable: BTreeSet<PeerId>,
    next_request: u64,
    /// Arrived or refused since the head changed.
    handled: BoundedSet<B256>,
    /// In blocks lately: late announcements of them are not fetched.
    included: BoundedSet<B256>,
    flush_due: Option<Time>,
    /// No page of a backlog is due before this.
    pages_due: Option<Time>,
    flushed: Time,
    /// To be reported by the next tick, one per peer.
    faults: BTreeMap<PeerId, Fault>,
}

/// A hash that somebody announced.
#[derive(Clone, Debug)]
struct Want {
    /// Who is asked, or will be when it has room.
    owner: PeerId,
    /// Who else announced it, in order.
    others: Vec<PeerId>,
    /// The request that it was asked with.
    asked: Option<u64>,
    /// When the next announcer is tried.
    due: Time,
}

impl Inventory {
    /// Makes a relay without peers.
    pub const fn new(limits: Limits) -> Self {
        Self {
            now: Time::ZERO,
            peers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            askable: BTreeSet::new(),
            next_request: 0,
            handled: BoundedSet::new(limits.recent),
            included: BoundedSet::new(limits.recent),
            flush_due: None,
            pages_due: None,
            flushed: Time::ZERO,
            faults: BTreeMap::new(),
            limits,
        }
    }

    /// Notes a peer and begins to announce to it what the pool can execute, page by page.
    pub fn connected(&mut self, now: Time, peer: PeerId, pool: &Mempool, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        let mut entry = Peer::new(&self.limits);
        if pool.pending_count() > 0 {
            entry.backlog = Some(Backlog { view: pool.snapshot(), from: None, due: self.now });
        }
        entry.send_page(peer, self.now, out);
        self.pages_due = earliest([self.pages_due, entry.page_due()]);
        self.peers.insert(peer, entry);
    }

    /// Forgets a peer; what was asked of it is asked of others.
    pub fn disconnected(&mut self, now: Time, peer: PeerId) {
        self.now = self.now.max(now);
        self.askable.remove(&peer);
        self.faults.remove(&peer);
        let Some(gone) = self.peers.remove(&peer) else { return };
        let asked = gone.requests.into_values().flatten();
        for hash in gone.queue.into_iter().chain(asked) {
            if self.wanted.get(&hash).is_some_and(|want| want.owner == peer) {
                self.pass_on(hash);
            }
        }
    }

    /// Queues a transaction that the pool took for every peer that does not know it.
    pub fn added(&mut self, now: Time, tx: &Arc<Recovered<Transaction>>) {
        self.now = self.now.max(now);
        let hash = *tx.tx_hash();
        self.forget(hash);
        let mut targets: Vec<&mut Peer> =
            self.peers.values_mut().filter(|peer| !peer.knows(hash)).collect();
        if targets.is_empty() {
            return;
        }
        let small = tx.eip2718_encoded_length() <= PUSH_BYTES_MAX;
        let pushes = if small { targets.len().isqrt() } else { 0 };
        // The hash chooses where the row of those who get it whole begins, so that each peer has its turn.
        let start = usize::from(u16::from_be_bytes([hash[8], hash[9]])) % targets.len();
        targets.rotate_left(start);
        for (position, peer) in targets.into_iter().enumerate() {
            peer.queue_outgoing(hash, (position < pushes).then_some(tx));
        }
        let due = self.now.max(self.flushed + self.limits.flush);
        self.flush_due = Some(self.flush_due.map_or(due, |at| at.min(due)));
    }

    /// Takes an announcement; asks for what is new.
    pub fn announced(
        &mut self,
        now: Time,
        peer: PeerId,
        hashes: Vec<B256>,
        pool: &Mempool,
        out: &mut Vec<Output>,
    ) -> Option<Fault> {
        self.now = self.now.max(now);
        if hashes.len() > INVENTORY_MAX {
            return Some(Fault::RateLimit);
        }
        if !self.peers.contains_key(&peer) {
            return None;
        }
        for hash in hashes {
            self.note_known(peer, hash);
            if self.is_new(hash, pool) {
                self.want(peer, hash);
            }
        }
        self.ask(peer, out);
        None
    }

    /// Serves a request with what the pool has, in the order asked for, within [`REPLY_BYTES_MAX`]; an
    /// answer within one largest transaction of that bound may have been cut and is asked for again.
    /// Returns how many transactions are sent.
    pub fn requested(
        &mut self,
        peer: PeerId,
        hashes: &[B256],
        pool: &Mempool,
        out: &mut Vec<Output>,
    ) -> usize {
        let now = self.now;
        let Some(entry) = self.peers.get_mut(&peer) else { return 0 };
        let mut asked = BTreeSet::new();
        let mut transactions = Vec::new();
        let mut bytes = 0;
        for hash in hashes.iter().take(INVENTORY_MAX).filter(|hash| asked.insert(**hash)) {
            let Some(tx) = pool.get(*hash) else { continue };
            let size = tx.eip2718_encoded_length();
            if bytes + size > REPLY_BYTES_MAX || !entry.served.take(now, size as u64) {
                break;
            }
            bytes += size;
            entry.note_known(*hash);
            transactions.push(tx.inner().clone());
        }
        let sent = transactions.len();
        out.push(Output::Send(vec![peer], Arc::new(Message::Transactions(transactions))));
        sent
    }

    /// Takes transactions, asked for or pushed; returns those that are new. Each is returned once until
    /// the head changes, so nothing is recovered twice while the first copy is.
    pub fn received(
        &mut self,
        now: Time,
        peer: PeerId,
        transactions: Vec<Transaction>,
        pool: &Mempool,
    ) -> Vec<Transaction> {
        self.now = self.now.max(now);
        if !self.peers.contains_key(&peer) {
            return Vec::new();
        }
        let request = self.answered(peer, &transactions);
        let mut bytes = 0;
        let mut fresh = Vec::new();
        for tx in transactions.into_iter().take(TRANSACTIONS_MAX) {
            let hash = *tx.tx_hash();
            bytes += tx.eip2718_encoded_length();
            self.note_known(peer, hash);
            let wanted = self.forget(hash);
            if !self.is_new(hash, pool) {
                continue;
            }
            let entry = self.peers.get_mut(&peer).expect("it was there above");
            if wanted || entry.pushes.take(self.now, 1) {
                self.handled.insert(hash);
                fresh.push(tx);
            } else {
                self.faults.insert(peer, Fault::RateLimit);
            }
        }
        if let Some(request) = request {
            let cut = bytes > REPLY_BYTES_MAX - TRANSACTION_BYTES_MAX;
            self.close(peer, request, cut);
        }
        fresh
    }

    /// Notes that the pool refused a transaction: it is not fetched again before the head changes.
    pub fn rejected(&mut self, hash: B256) {
        self.handled.insert(hash);
    }

    /// Notes that the head changed: what was refused may be valid now.
    pub fn on_head(&mut self) {
        self.handled = BoundedSet::new(self.limits.recent);
    }

    /// Notes transactions of a block that became canonical: late announcements of them are not fetched.
    pub fn included(&mut self, hashes: &[B256]) {
        for hash in hashes {
            self.forget(*hash);
            self.included.insert(*hash);
        }
    }

    /// Sends what is due, asks the next announcer for what did not come. Returns who is to blame.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Output>) -> Vec<(PeerId, Fault)> {
        self.now = self.now.max(now);
        self.time_out();
        for peer in std::mem::take(&mut self.askable) {
            self.ask(peer, out);
        }
        if self.flush_due.is_some_and(|due| due <= self.now) {
            self.flush_due = None;
            self.flushed = self.now;
            for (id, peer) in &mut self.peers {
                peer.flush(*id, out);
            }
        }
        for (id, peer) in &mut self.peers {
            peer.send_page(*id, self.now, out);
        }
        self.pages_due = earliest(self.peers.values().map(Peer::page_due));
        std::mem::take(&mut self.faults).into_iter().collect()
    }

    /// Returns when [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        let at_once = !self.askable.is_empty() || !self.faults.is_empty();
        let wanted = self.deadlines.first().map(|(due, _)| *due);
        earliest([self.pages_due, self.flush_due, wanted, at_once.then_some(self.now)])
    }

    pub(crate) fn loads(&self, peers: usize, loads: &mut crate::Loads) {
        let most = |of: fn(&Peer) -> usize| self.peers.values().map(of).max().unwrap_or(0);
        let limits = &self.limits;
        loads.note("inventory_peers", self.peers.len(), peers);
        loads.note("inventory_known", most(Peer::known), limits.known);
        loads.note("inventory_announce", most(Peer::announcing), peer::ANNOUNCE_MAX);
        loads.note("inventory_push", most(Peer::pushing), peer::PUSHES_MAX);
        loads.note("inventory_queue", most(|peer| peer.queue.len()), limits.announced);
        loads.note("inventory_in_flight", most(|peer| peer.in_flight), limits.in_flight);
        loads.note("inventory_requests", most(|peer| peer.requests.len()), limits.in_flight);
        let wanted = peers * (limits.announced + limits.in_flight);
        loads.note("wanted", self.wanted.len(), wanted);
        loads.note("wanted_deadlines", self.deadlines.len(), self.wanted.len());
        loads.note("askable", self.askable.len(), peers);
        loads.note("inventory_faults", self.faults.len(), peers);
        loads.note("handled", self.handled.len(), limits.recent);
        loads.note("included", self.included.len(), limits.recent);
    }

    fn is_new(&self, hash: B256, pool: &Mempool) -> bool {
        !pool.contains(hash) && !self.handled.contains(&hash) && !self.included.contains(&hash)
    }

    fn note_known(&mut self, peer: PeerId, hash: B256) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.note_known(hash);
        }
    }

    /// Notes that `peer` has `hash`, which we lack.
    fn want(&mut self, peer: PeerId, hash: B256) {
        let has_room = |peer: &Peer| peer.in_flight + peer.queue.len() < self.limits.in_flight;
        let Some(want) = self.wanted.get_mut(&hash) else {
            let want = Want { owner: peer, others: Vec::new(), asked: None, due: Time::ZERO };
            self.assign(hash, want);
            return;
        };
        if want.owner == peer || want.others.contains(&peer) {
            return;
        }
        let idle = want.asked.is_none() && self.peers.get(&peer).is_some_and(has_room);
        if idle {
            // Its owner is busy and this one is not.
            let want = self.take(hash).expect("it was there above");
            let mut others = want.others;
            if others.len() < ANNOUNCERS_MAX {
                others.push(want.owner);
            }
            self.assign(hash, Want { owner: peer, others, ..want });
        } else if want.others.len() < ANNOUNCERS_MAX {
            want.others.push(peer);
        }
    }

    /// Queues a want at its owner, or at the next announcer that is here and has room; drops it if there
    /// is none.
    fn assign(&mut self, hash: B256, mut want: Want) {
        loop {
            if let Some(owner) = self.peers.get_mut(&want.owner)
                && owner.queue.len() < self.limits.announced
            {
                owner.queue.push_back(hash);
                self.askable.insert(want.owner);
                want.asked = None;
                want.due = self.now + patience(self.limits.timeout);
                self.deadlines.insert((want.due, hash));
                self.wanted.insert(hash, want);
                return;
            }
            if want.others.is_empty() {
                return;
            }
            want.owner = want.others.remove(0);
        }
    }

    /// Takes a want out of everything but its owner's queue, where a stale hash does no harm.
    fn take(&mut self, hash: B256) -> Option<Want> {
        let want = self.wanted.remove(&hash)?;
        self.deadlines.remove(&(want.due, hash));
        if let (Some(request), Some(owner)) = (want.asked, self.peers.get_mut(&want.owner)) {
            owner.answered(request, hash);
            if !owner.queue.is_empty() {
                self.askable.insert(want.owner);
            }
        }
        Some(want)
    }

    /// Stops wanting a hash; tells whether it was wanted.
    fn forget(&mut self, hash: B256) -> bool {
        self.take(hash).is_some()
    }

    /// Gives a want to the next announcer.
    fn pass_on(&mut self, hash: B256) {
        let Some(mut want) = self.take(hash) else { return };
        if !want.others.is_empty() {
            want.owner = want.others.remove(0);
            self.assign(hash, want);
        }
    }

    /// Asks a peer for what is queued at it, as far as it has room.
    fn ask(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        self.askable.remove(&peer);
        loop {
            let room = self.limits.in_flight.saturating_sub(entry.in_flight).min(INVENTORY_MAX);
            let mut batch = Vec::new();
            while batch.len() < room
                && let Some(hash) = entry.queue.pop_front()
            {
                let Some(want) = self.wanted.get_mut(&hash) else { continue };
                if want.owner != peer || want.asked.is_some() {
                    continue;
                }
                self.deadlines.remove(&(want.due, hash));
                want.due = self.now + patience(self.limits.timeout);
                want.asked = Some(self.next_request);
                self.deadlines.insert((want.due, hash));
                batch.push(hash);
            }
            if batch.is_empty() {
                return;
            }
            entry.in_flight += batch.len();
            entry.requests.insert(self.next_request, batch.iter().copied().collect());
            self.next_request += 1;
            out.push(Output::Send(vec![peer], Arc::new(Message::GetTransactions(batch))));
        }
    }

    /// Returns the request that a message answers: the one that asked for something in it; an empty
    /// message answers the oldest.
    fn answered(&self, peer: PeerId, transactions: &[Transaction]) -> Option<u64> {
        if transactions.is_empty() {
            return self.peers.get(&peer)?.requests.keys().next().copied();
        }
        transactions.iter().find_map(|tx| {
            let want = self.wanted.get(tx.tx_hash()).filter(|want| want.owner == peer)?;
            want.asked
        })
    }

    /// Ends a request. What did not come is asked again of the same peer if its answer was cut short,
    /// else of the next announcer: not having it any more is no fault.
    fn close(&mut self, peer: PeerId, request: u64, cut: bool) {
        let missing = self.peers.get(&peer).and_then(|entry| entry.requests.get(&request)).cloned();
        for hash in missing.into_iter().flatten() {
            if cut {
                // Whoever has it as well goes first: cut answers cannot keep a transaction from us.
                if let Some(mut want) = self.take(hash) {
                    want.others.push(want.owner);
                    want.owner = want.others.remove(0);
                    self.assign(hash, want);
                }
            } else {
                self.pass_on(hash);
            }
        }
    }

    /// Passes on what was not answered in time. Only who was asked is to blame.
    fn time_out(&mut self) {
        while let Some((_, hash)) = self.deadlines.first().filter(|(due, _)| *due <= self.now) {
            let hash = *hash;
            let Some(mut want) = self.take(hash) else {
                unreachable!("a deadline belongs to a want");
            };
            if want.asked.is_some() {
                self.faults.entry(want.owner).or_insert(Fault::Timeout);
                if want.others.is_empty() {
                    continue;
                }
            } else if want.others.is_empty() {
                // Its turn has not come, and nobody else has it.
                want.due = self.now + patience(self.limits.timeout);
                self.deadlines.insert((want.due, hash));
                self.wanted.insert(hash, want);
                continue;
            } else {
                want.others.push(want.owner);
            }
            want.owner = want.others.remove(0);
            self.assign(hash, want);
        }
    }
}

/// Transactions of at most so many bytes are sent whole to some peers: an announcement, a request and
/// three messages' latency would cost more.
pub const PUSH_BYTES_MAX: usize = 512;
/// Bytes of transactions in one answer; well below a frame.
pub const REPLY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Other announcers remembered per wanted hash.
const ANNOUNCERS_MAX: usize = 8;
