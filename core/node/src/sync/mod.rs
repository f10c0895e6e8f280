//! Sync: headers first from the best claims, then bodies in parallel windows from many peers.
//!
//! A pure machine. It decides whom to ask for what and when to ask somebody else; it never executes.
//! Headers reach it after the node checked them against their parents; bodies leave it for the importer.
//! The same machine serves all engines: they supply weights and proof checks.
//!
//! It knows of every checked block that is not in the tree, also of those whose bodies came another way. A body is
//! owed if its block is on the way to the best of them and it is neither asked for nor with the node: nothing else
//! is remembered about it, so nothing else has to be forgotten.

mod answer;
mod bodies;
mod headers;
mod peer;
#[cfg(test)]
mod tests;

pub use answer::{Arrived, HeadersAnswer, Ours};
use bodies::Bodies;
use headers::HeaderChain;
pub use headers::PendingHeader;
use peer::{HeaderRequest, OVERDUE_MAX, Peer};

use crate::{Output, import::STAGED_BLOCKS_MAX, io::earliest, patience::patience};
use kette_types::{B256, Body, Fault, Message, PeerId, SealedHeader, Time, U256, limits};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

/// Headers kept ahead of the executed chain,
pub const HEADERS_AHEAD_MAX: usize = 8_192;
/// and as many blocks again that are with the node: these are not kept out by those that nobody handed out.
pub const AHEAD_MAX: usize = HEADERS_AHEAD_MAX + STAGED_BLOCKS_MAX;
/// An unanswered header request is asked again elsewhere after this time.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// An unanswered body request is asked again elsewhere after this time.
pub const BODIES_TIMEOUT: Duration = Duration::from_secs(8);
/// Unbacked claims of one peer until it counts as a fault.
const UNBACKED_CLAIMS_MAX: u32 = 3;
/// A branch whose first missing block nobody handed out for so long is forgotten.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long a peer whose claim was not backed is not asked again.
const UNBACKED_PAUSE: Duration = Duration::from_secs(2);

/// Fetches what is missing.
#[derive(Debug)]
pub struct Sync {
    peers: BTreeMap<PeerId, Peer>,
    headers: HeaderChain,
    bodies: Bodies,
    next_id: u64,
    /// Number of the head when the current sync began.
    starting: Option<u64>,
    /// The first missing block of the best branch, and since when it is.
    front: Option<(B256, Time)>,
    /// Blocks that were forgotten, until the node took note.
    forgotten: Vec<B256>,
    /// No peer's request or pause ends before this.
    peers_due: Option<Time>,
    /// Headers may be those of mere proposals: each proves only its parent.
    proposes: bool,
    /// Nothing is fetched any more.
    halted: bool,
}

impl Sync {
    /// Starts with no peers.
    pub fn new() -> Self {
        Self {
            peers: BTreeMap::new(),
            headers: HeaderChain::default(),
            bodies: Bodies::default(),
            next_id: 1,
            starting: None,
            front: None,
            forgotten: Vec::new(),
            peers_due: None,
            proposes: false,
            halted: false,
        }
    }

    /// Makes it one for a chain where blocks spread before they are chosen, or not.
    pub fn proposing(self, proposes: bool) -> Self {
        Self { proposes, ..self }
    }

    /// Notes what a peer claims, at the hello and with each status.
    pub fn claimed(&mut self, peer: PeerId, number: u64, weight: U256) {
        let entry = self
            .peers
            .entry(peer)
            .or_insert_with(|| Peer { window: BODIES_WINDOW_START, ..Peer::default() });
        if weight > entry.weight {
            entry.pause_until = None;
        }
        (entry.number, entry.weight, entry.claim) = (number, weight, weight);
    }

    /// Notes that a peer has at least this.
    pub fn shown(&mut self, peer: PeerId, number: u64, weight: U256) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.weight = entry.weight.max(weight);
            entry.number = entry.number.max(number);
        }
    }

    /// Forgets a peer; what it was asked for is asked elsewhere.
    pub fn disconnected(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.bodies.peer_gone(peer);
    }

    /// Makes sure that headers are asked from a peer that announced a block with an unknown parent.
    ///
    /// Where blocks spread when they are chosen, that says that it has more than we do. A mere proposal says nothing of
    /// the kind: its sender may not have chosen the parent either.
    pub fn missing_parent(&mut self, peer: PeerId, block: &SealedHeader, weight_floor: U256) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            if !self.proposes {
                let more = weight_floor.saturating_add(U256::from(1));
                entry.number = entry.number.max(block.number);
                entry.weight = entry.weight.max(more);
                entry.claim = entry.claim.max(more);
                entry.pause_until = None;
            }
            // Nobody is blamed for a proposal that led nowhere, so a pause stays: else whoever makes up parents could
            // keep us asking.
            entry.announced = Some((block.number, block.parent_hash));
        }
    }

    /// Forgets announcements of proposals of such a height, or on such a parent: their senders need not be asked.
    fn forget_announced(&mut self, is_settled: impl Fn(u64, B256) -> bool) {
        for peer in self.peers.values_mut().filter(|_| self.proposes) {
            peer.announced.take_if(|(number, parent)| is_settled(*number, *parent));
        }
    }

    /// Notes that a peer kept the node waiting elsewhere: others are asked first.
    pub fn late(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.strikes = entry.strikes.saturating_add(1);
        }
    }

    /// Takes an answer of headers.
    pub fn headers(
        &mut self,
        now: Time,
        peer: PeerId,
        id: u64,
        headers: Vec<SealedHeader>,
    ) -> HeadersAnswer {
        let Some(entry) = self.peers.get_mut(&peer) else { return HeadersAnswer::Nothing };
        let request = match entry.headers.take() {
            Some(request) if request.id == id => request,
            other => {
                entry.headers = other;
                if entry.takes_overdue(id) {
                    return HeadersAnswer::Nothing;
                }
                return HeadersAnswer::Fault(Fault::Unsolicited);
            }
        };
        if headers.len() > limits::HEADERS_MAX {
            return HeadersAnswer::Fault(Fault::WrongAnswer("more headers than asked for"));
        }
        let linked = headers.windows(2).all(|pair| pair[1].parent_hash == pair[0].hash());
        if !linked {
            return HeadersAnswer::Fault(Fault::WrongAnswer("headers are not linked"));
        }
        if headers.is_empty() {
            entry.strikes = entry.strikes.saturating_add(1);
            entry.pause_until = Some(now + UNBACKED_PAUSE);
            self.peers_due = earliest([self.peers_due, entry.pause_until]);
            entry.weight = entry.weight.min(request.best);
            entry.claim = entry.claim.min(request.best);
            // What we concluded from what it passed on may be wrong; what it claimed it must have. Its head may have
            // changed since; more than a few times it is a lie.
            entry.unbacked += u32::from(request.claimed_more);
            if entry.unbacked >= UNBACKED_CLAIMS_MAX {
                entry.unbacked = 0;
                entry.weight = U256::ZERO;
                return HeadersAnswer::Fault(Fault::FalseClaim("weight without headers"));
            }
            return HeadersAnswer::Nothing;
        }
        entry.unbacked = 0;
        HeadersAnswer::Check(headers)
    }

    /// Takes a header that passed its checks and is not in the tree. Tells whether it was new.
    pub fn header_accepted(
        &mut self,
        header: SealedHeader,
        weight: U256,
        total_weight: U256,
        from: PeerId,
    ) -> bool {
        let pending = PendingHeader { header, weight, total_weight, from: Some(from) };
        self.accepted(pending, HEADERS_AHEAD_MAX)
    }

    /// Notes a block that is with the node and not in the tree. Tells whether there is room for it.
    pub fn block_accepted(
        &mut self,
        header: SealedHeader,
        weight: U256,
        total_weight: U256,
        from: Option<PeerId>,
    ) -> bool {
        self.headers.get(header.hash()).is_some()
            || self.accepted(PendingHeader { header, weight, total_weight, from }, AHEAD_MAX)
    }

    fn accepted(&mut self, pending: PendingHeader, max: usize) -> bool {
        if let Some(from) = pending.from {
            // What it showed it has, whatever it claimed before.
            let (number, total) = (pending.header.number, pending.total_weight);
            if self.proposes {
                self.shown(from, number.saturating_sub(1), total.saturating_sub(pending.weight));
            } else {
                self.shown(from, number, total);
            }
        }
        let came = pending.header.hash();
        self.forget_announced(|_, parent| parent == came);
        self.headers.insert(pending, max)
    }

    /// Tells whether a peer was told that we have this block: an answer that follows it is no fault, even if the block
    /// was forgotten meanwhile.
    pub fn was_named(&self, peer: PeerId, hash: B256) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.named == Some(hash))
    }

    /// A header answer brought nothing that we did not have although its sender claims more weight.
    pub fn headers_useless(&mut self, now: Time, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.pause_until = Some(now + UNBACKED_PAUSE);
            self.peers_due = earliest([self.peers_due, entry.pause_until]);
            entry.strikes = entry.strikes.saturating_add(1);
        }
    }

    /// Returns the header of a checked block that is not in the tree.
    pub fn pending(&self, hash: B256) -> Option<&PendingHeader> {
        self.headers.get(hash)
    }

    /// Takes an answer of bodies. Returns what arrived, in the order asked for.
    ///
    /// # Errors
    /// If nobody asked for it or it has more than was asked.
    pub fn bodies(
        &mut self,
        now: Time,
        peer: PeerId,
        id: u64,
        bodies: Vec<Body>,
    ) -> Result<Vec<Arrived>, Fault> {
        let Some(asked) = self.bodies.answered(peer, id) else {
            let late = self.peers.get_mut(&peer).is_some_and(|entry| entry.takes_overdue(id));
            return if late { Ok(Vec::new()) } else { Err(Fault::Unsolicited) };
        };
        if bodies.len() > asked.len() {
            return Err(Fault::WrongAnswer("more bodies than asked for"));
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            if bodies.is_empty() {
                // It does not have what it claimed: ask it again only later.
                entry.pause_until = Some(now + UNBACKED_PAUSE);
                self.peers_due = earliest([self.peers_due, entry.pause_until]);
                entry.window = BODIES_WINDOW_MIN;
                entry.strikes = entry.strikes.saturating_add(1);
            } else if bodies.len() < asked.len() {
                // Its blocks are large, or it is slow on purpose: ask for as many as it gives.
                entry.window = bodies.len().max(BODIES_WINDOW_MIN);
                entry.strikes = entry.strikes.saturating_add(1);
            } else {
                entry.window = (entry.window * 2).min(limits::BODIES_MAX);
                entry.strikes = 0;
            }
        }
        let mut arrived = Vec::with_capacity(bodies.len());
        for (hash, body) in asked.into_iter().zip(bodies) {
            if let Some(pending) = self.headers.get(hash) {
                arrived.push(Arrived { header: pending.header.clone(), body, peer });
            }
        }
        Ok(arrived)
    }

    /// A body did not belong to its header: fetch it again, from another peer.
    pub fn body_refused(&mut self, hash: B256, peer: PeerId) {
        if self.headers.get(hash).is_some() {
            self.bodies.refused(hash, peer);
        }
    }

    /// A block joined the tree.
    pub fn attached(&mut self, hash: B256) {
        self.headers.attached(hash);
        self.bodies.done(hash);
        self.forget_announced(|_, parent| parent == hash);
    }

    /// A block broke a rule: it and all headers on top of it are forgotten. Returns who sent those headers.
    pub fn invalid(&mut self, hash: B256) -> Vec<(B256, Option<PeerId>)> {
        let gone = self.headers.remove_branch(hash);
        for (hash, _) in &gone {
            self.bodies.done(*hash);
        }
        gone
    }

    /// Forgets headers that can no longer join the tree: its lowest block is now at `horizon`, and these blocks of
    /// side branches left it.
    pub fn prune(&mut self, horizon: u64, left: &[B256]) {
        for hash in self.headers.prune(horizon, left) {
            self.bodies.done(hash);
            self.forgotten.push(hash);
        }
    }

    /// Forgets what is pending and asks for nothing any more.
    pub fn halt(&mut self) {
        self.halted = true;
        self.front = None;
        self.prune(u64::MAX, &[]);
    }

    /// Asks for what is due: headers where a peer claims more, bodies of the best headers.
    ///
    /// `locator` is computed only if a header request goes out; `is_here` tells whether a block is with the node or
    /// being rebuilt. Returns faults of peers that did not answer.
    pub fn tick(
        &mut self,
        now: Time,
        ours: Ours,
        locator: &mut dyn FnMut() -> Vec<B256>,
        is_here: &dyn Fn(B256) -> bool,
        out: &mut Vec<Output>,
    ) -> Vec<(PeerId, Fault)> {
        let mut faults = Vec::new();
        self.expire(now, &mut faults);
        if !self.halted {
            self.give_up(now, ours, is_here, &mut faults);
            self.ask_headers(now, ours, locator, out);
            self.ask_bodies(now, ours, is_here, out);
        }
        let best = self.best_weight(ours);
        if best > ours.weight && self.headers.best().is_some() {
            self.starting.get_or_insert(ours.number);
        } else {
            self.starting = None;
        }
        let peers = self.peers.values();
        self.peers_due = earliest(peers.flat_map(Peer::deadlines));
        faults
    }

    fn expire(&mut self, now: Time, faults: &mut Vec<(PeerId, Fault)>) {
        for (id, peer) in &mut self.peers {
            if peer.headers.as_ref().is_some_and(|request| request.due <= now) {
                let overdue = peer.headers.take().map(|request| request.id);
                peer.note_overdue(overdue);
                peer.strikes = peer.strikes.saturating_add(1);
                peer.pause_until = Some(now + HEADERS_TIMEOUT);
                faults.push((*id, Fault::Timeout));
            }
            if peer.pause_until.is_some_and(|until| until <= now) {
                peer.pause_until = None;
            }
        }
        for (id, request) in self.bodies.expire(now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.note_overdue(Some(request));
                peer.window = (peer.window / 2).max(BODIES_WINDOW_MIN);
                peer.strikes = peer.strikes.saturating_add(1);
                peer.pause_until = Some(now + UNBACKED_PAUSE);
            }
            faults.push((id, Fault::Timeout));
        }
    }

    /// Forgets the best branch if nobody hands out its next block. While it counts as the best one, lighter
    /// branches that do exist are not asked for, and its headers take their room. Whoever was just asked for the block
    /// may still answer.
    ///
    /// A branch that is no better than ours is not asked for, so nobody is late with it.
    fn give_up(
        &mut self,
        now: Time,
        ours: Ours,
        is_here: &dyn Fn(B256) -> bool,
        faults: &mut Vec<(PeerId, Fault)>,
    ) {
        let better = self.headers.best().is_some_and(|best| best.is_better(ours));
        let path = if better { self.headers.path(1) } else { Vec::new() };
        // Its parent is in the tree: what waits on top of it cannot go on without it.
        let first = path.first().copied().filter(|hash| !is_here(*hash));
        let Some(first) = first else {
            self.front = None;
            return;
        };
        let since = match self.front {
            Some((hash, since)) if hash == first => since,
            _ => now,
        };
        self.front = Some((first, since));
        if now < since + patience(GIVE_UP_AFTER) || self.bodies.is_asked(first) {
            return;
        }
        self.front = None;
        for (hash, from) in self.headers.remove_branch(first) {
            self.bodies.done(hash);
            self.forgotten.push(hash);
            if hash == first
                && let Some(from) = from
                && let Some(peer) = self.peers.get_mut(&from)
            {
                peer.weight = U256::ZERO;
                peer.strikes = peer.strikes.saturating_add(1);
                faults.push((from, Fault::FalseClaim("headers without bodies")));
            }
        }
    }

    /// Returns the blocks that were forgotten since the last call: what is with the node has no future either.
    pub fn take_forgotten(&mut self) -> Vec<B256> {
        std::mem::take(&mut self.forgotten)
    }

    fn best_weight(&self, ours: Ours) -> U256 {
        self.headers.best().map_or(ours.weight, |best| best.total_weight.max(ours.weight))
    }

    fn ask_headers(
        &mut self,
        now: Time,
        ours: Ours,
        locator: &mut dyn FnMut() -> Vec<B256>,
        out: &mut Vec<Output>,
    ) {
        if self.headers.len() + limits::HEADERS_MAX > HEADERS_AHEAD_MAX {
            return;
        }
        let best = self.best_weight(ours);
        let asking = self.peers.values().filter(|peer| peer.headers.is_some()).count();
        if asking >= HEADER_REQUESTS_MAX {
            return;
        }
        self.forget_announced(|number, _| number <= ours.number);
        let candidate = self
            .peers
            .iter()
            .filter(|(_, p)| p.headers.is_none() && p.pause_until.is_none())
            .filter(|(_, p)| p.weight > best || p.announced.is_some())
            .max_by_key(|(id, p)| (Reverse(p.strikes), p.weight, **id))
            .map(|(id, _)| *id);
        let Some(id) = candidate else { return };
        let named = self.headers.best().map(|best| best.header.hash());
        let mut hashes: Vec<B256> = named.into_iter().collect();
        hashes.extend(locator());
        hashes.truncate(limits::LOCATOR_MAX);
        let request = self.next_id;
        self.next_id += 1;
        let peer = self.peers.get_mut(&id).expect("the candidate was just found");
        peer.announced = None;
        peer.named = named;
        peer.headers = Some(HeaderRequest {
            id: request,
            due: now + patience(HEADERS_TIMEOUT),
            best,
            claimed_more: peer.claim > best,
        });
        let limit = limits::HEADERS_MAX as u32;
        let message = Message::GetHeaders { id: request, locator: hashes, limit };
        out.push(Output::Send(vec![id], Arc::new(message)));
    }

    fn ask_bodies(
        &mut self,
        now: Time,
        ours: Ours,
        is_here: &dyn Fn(B256) -> bool,
        out: &mut Vec<Output>,
    ) {
        let Some(best) = self.headers.best() else { return };
        let (weight, tie) = (best.total_weight, best.total_weight == ours.weight);
        if !best.is_better(ours) {
            return;
        }
        // The window counts from the tree: blocks that arrived early take their place in it.
        let mut wanted = self.headers.path(BODIES_AHEAD_MAX);
        wanted.retain(|hash| !self.bodies.is_asked(*hash) && !is_here(*hash));
        if wanted.is_empty() {
            return;
        }
        // Heaviest claims first; each peer gets the next run of missing blocks up to its window.
        let mut order: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(id, p)| {
                p.pause_until.is_none() && self.bodies.in_flight(**id) < REQUESTS_PER_PEER
            })
            .filter(|(_, p)| p.weight > ours.weight || (tie && p.weight == weight))
            .map(|(id, _)| *id)
            .collect();
        order.sort_by_key(|id| {
            let peer = &self.peers[id];
            (peer.strikes, self.bodies.in_flight(*id), Reverse(peer.weight))
        });
        let mut rest = wanted.as_slice();
        for id in order {
            let window = self.peers[&id].window;
            let (hashes, later) = self.bodies.choose(id, rest, window);
            rest = later;
            if hashes.is_empty() {
                continue;
            }
            let request = self.next_id;
            self.next_id += 1;
            self.bodies.asked(id, request, now + patience(BODIES_TIMEOUT), &hashes);
            let message = Message::GetBodies { id: request, hashes };
            out.push(Output::Send(vec![id], Arc::new(message)));
            if rest.is_empty() {
                break;
            }
        }
    }

    /// Returns when [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        // A request for it has its own deadline.
        let front = self.front.filter(|(hash, _)| !self.bodies.is_asked(*hash));
        let front = front.map(|(_, since)| since + patience(GIVE_UP_AFTER));
        earliest([self.peers_due, self.bodies.deadline(), front])
    }

    pub(crate) fn loads(&self, peers: usize, loads: &mut crate::Loads) {
        loads.note("sync_peers", self.peers.len(), peers);
        loads.note("sync_headers", self.headers.len(), AHEAD_MAX);
        let asking = self.peers.values().filter(|peer| peer.headers.is_some()).count();
        loads.note("header_requests", asking, HEADER_REQUESTS_MAX);
        let overdue = self.peers.values().map(|peer| peer.overdue.len()).max();
        loads.note("overdue", overdue.unwrap_or(0), OVERDUE_MAX);
        loads.note("forgotten", self.forgotten.len(), AHEAD_MAX);
        self.bodies.loads(peers, self.headers.len(), loads);
    }

    /// Returns where sync stands, or `None` when caught up: (start, highest).
    pub fn progress(&self, ours: Ours) -> Option<(u64, u64)> {
        let best = self.headers.best()?;
        let proven = if self.proposes {
            best.total_weight.saturating_sub(best.weight)
        } else {
            best.total_weight
        };
        (proven > ours.weight).then(|| (self.starting.unwrap_or(ours.number), best.header.number))
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self::new()
    }
}

/// Header requests out at once: one, and a second one racing it.
const HEADER_REQUESTS_MAX: usize = 2;
/// Blocks ahead of the tree whose bodies are fetched.
const BODIES_AHEAD_MAX: usize = 1_024;
/// Body requests out at once per peer.
const REQUESTS_PER_PEER: usize = 2;
/// Bodies in the first request to a peer.
const BODIES_WINDOW_START: usize = 16;
/// Bodies in a request to a peer that timed out.
const BODIES_WINDOW_MIN: usize = 4;
