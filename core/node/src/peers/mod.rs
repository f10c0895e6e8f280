//! Peers as one pure machine: sessions, hello, pings, scores, bans, rate limits, address book and dials.
//!
//! The host keeps at most one session per peer ([`keeps_new`] decides which), hands over a peer's hello
//! before anything that came on other lanes, and flushes what was sent before it ends a session.

mod book;
mod config;
mod dial;
pub mod eviction;
mod exchange;
mod hello;
mod limits;
mod score;
mod session;

pub use book::Group;
pub use config::{Config, INBOUND_MAX, OUTBOUND_MIN, OUTBOUND_TARGET, SESSIONS_MAX};
pub use hello::{check, keeps_new};

use crate::{Counters, Event, Output, io::earliest};
use book::{Book, Endpoint};
use dial::Target;
use exchange::Answer;
use kette_chain::Record;
use kette_types::{
    Direction, DisconnectReason, Fault, Message, PeerAddress, PeerId, Time, message::ChainStatus,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use score::{Bans, Score};
use session::Session;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Whether a message may be handled.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Handle it.
    Pass,
    /// Do not look at it.
    Drop,
    /// Do not look at it, and book this with [`Peers::fault`].
    Fault(Fault),
}

/// All peers of one node.
#[derive(Clone, Debug)]
pub struct Peers {
    config: Config,
    /// Said in the hello, to recognize ourselves.
    nonce: u64,
    eviction_key: (u64, u64),
    rng: ChaCha8Rng,
    started: bool,
    sessions: BTreeMap<PeerId, Session>,
    /// Nothing is due for any session before this. What peers send moves deadlines only later.
    sessions_due: Option<Time>,
    targets: Vec<Target>,
    /// Dials under way, and since when.
    dials: BTreeMap<Endpoint, Time>,
    /// No dial can be due before this.
    dial_due: Time,
    /// From when on another dial beyond the first few is allowed.
    settled: Time,
    book: Book,
    /// Addresses at which we listen ourselves.
    own: BTreeSet<Endpoint>,
    scores: BTreeMap<PeerId, Score>,
    bans: Bans,
    answer: Option<Answer>,
    ask_at: Time,
    skew_alarmed: bool,
    gone: Vec<PeerId>,
    /// To be written at the end of the call.
    records: Vec<Record>,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    handshakes_attempted: u64,
    handshakes_completed: u64,
    sessions_refused: u64,
    dials_failed: u64,
    faults: u64,
    bans: u64,
    unknown_messages: u64,
}

impl Peers {
    /// Builds the machine with what was stored: addresses with last success and failures, and bans.
    pub fn new(
        config: Config,
        addresses: Vec<(PeerAddress, Time, u32)>,
        bans: Vec<(PeerId, Time)>,
    ) -> Self {
        // The identity is part of the seed, so that nodes of one simulation never share a nonce.
        let mut seed = *config.me.0;
        for (byte, extra) in seed.iter_mut().zip(config.seed.to_le_bytes()) {
            *byte ^= extra;
        }
        let mut rng = ChaCha8Rng::from_seed(seed);
        let nonce = rng.random();
        let eviction_key = rng.random();
        let mut book = Book::new(config.kind, rng.random());
        let mut records = Vec::new();
        let addresses = if config.discovery { addresses } else { Vec::new() };
        book.restore(addresses, &mut records);
        Self {
            nonce,
            eviction_key,
            rng,
            started: false,
            sessions: BTreeMap::new(),
            sessions_due: None,
            targets: config.configured.iter().copied().map(Target::new).collect(),
            dials: BTreeMap::new(),
            dial_due: Time::ZERO,
            settled: Time::ZERO,
            book,
            own: BTreeSet::from([Endpoint::of(&config.listen)]),
            scores: BTreeMap::new(),
            bans: Bans::restore(bans),
            answer: None,
            ask_at: Time::ZERO,
            skew_alarmed: false,
            gone: Vec::new(),
            records,
            counts: Counts::default(),
            config,
        }
    }

    /// Begins: dials the configured peers, in order.
    pub fn start(&mut self, now: Time, out: &mut Vec<Output>) {
        self.started = true;
        self.settled = now + self.config.settle;
        self.ask_at = now + self.config.ask_interval;
        self.expire_bans(now);
        self.dial(now, out);
        self.flush(out);
    }

    /// Takes a new session: says our hello or refuses. `status` is what our chain looks like.
    pub fn connected(
        &mut self,
        now: Time,
        peer: PeerId,
        address: PeerAddress,
        direction: Direction,
        status: ChainStatus,
        out: &mut Vec<Output>,
    ) {
        self.counts.handshakes_attempted += 1;
        let mut started = now;
        if direction == Direction::Outbound {
            let endpoint = Endpoint::of(&address);
            started = self.dials.remove(&endpoint).unwrap_or(now);
            self.learn_target(&endpoint, peer);
            self.dial_due = Time::ZERO;
        }
        if let Some(old) = self.sessions.get(&peer) {
            if !keeps_new(self.config.me, peer, old.direction, direction) {
                self.flush(out);
                return;
            }
            self.closed(now, peer, DisconnectReason::Duplicate, out);
        }
        let refusal = self.refusal(now, peer, &address, direction);
        let session = Session::new(&self.config, now, address, direction, started, status);
        self.sessions.insert(peer, session);
        self.note_due(&peer);
        match refusal {
            Some(reason) => self.end(now, peer, reason, out),
            None => {
                let hello = Arc::new(self.own_hello(now, status));
                out.push(Output::Send(vec![peer], hello));
            }
        }
        self.flush(out);
    }

    /// Takes the end of a session. Sessions that ended by our own order are gone already.
    pub fn disconnected(
        &mut self,
        now: Time,
        peer: PeerId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        self.closed(now, peer, reason, out);
        self.dial(now, out);
        self.flush(out);
    }

    /// Judges every message before anything else looks at it: order of the hello, and the peer's share.
    pub fn gate(
        &mut self,
        now: Time,
        peer: PeerId,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> Gate {
        let Some(session) = self.sessions.get_mut(&peer) else { return Gate::Drop };
        session.last_received = now;
        let admitted = session.buckets.admit(now, message);
        let fault = match (message, session.is_ready()) {
            (Message::Hello(_), true) => Fault::HelloOrder,
            // A refusal says goodbye without a hello.
            (Message::Hello(_) | Message::Goodbye(_), _) | (_, true) if admitted => {
                return Gate::Pass;
            }
            (_, true) | (Message::Hello(_) | Message::Goodbye(_), _) => Fault::RateLimit,
            (_, false) => Fault::HelloOrder,
        };
        if !session.is_ready() && fault == Fault::HelloOrder {
            self.end(now, peer, DisconnectReason::MessageBeforeHello, out);
            self.flush(out);
        }
        Gate::Fault(fault)
    }

    /// Does what is due: timeouts, pings, dials, questions, bans that end.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        self.expire_bans(now);
        self.tick_sessions(now, out);
        self.expire_dials(now);
        self.ask_again(now, out);
        self.dial(now, out);
        self.flush(out);
    }

    /// Returns when [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        if !self.started {
            return None;
        }
        let ask = self.config.discovery.then_some(self.ask_at);
        earliest([self.bans.deadline(), self.sessions_due, self.dials_deadline(), ask])
    }

    /// Returns the peers that were ready and are gone since the last call. The rest of the node takes
    /// back what it expects from them.
    pub fn take_gone(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.gone)
    }

    /// Returns how many peers are ready.
    pub fn count(&self) -> usize {
        self.ready().count()
    }

    /// Writes this machine's counters into the node's.
    pub fn count_into(&self, counters: &mut Counters) {
        counters.handshakes_attempted = self.counts.handshakes_attempted;
        counters.handshakes_completed = self.counts.handshakes_completed;
        counters.sessions_refused = self.counts.sessions_refused;
        counters.dials_failed = self.counts.dials_failed;
        counters.faults = self.counts.faults;
        counters.bans = self.counts.bans;
    }

    pub(crate) fn loads(&self, loads: &mut crate::Loads) {
        let config = &self.config;
        let strangers = config.sessions_max + config.outbound_target;
        let sessions = strangers + config.pending_inbound_max() + self.targets.len();
        loads.note("sessions", self.sessions.len(), sessions);
        loads.note("sessions_ready", self.count(), config.sessions_max + self.targets.len());
        let inbound = self.sessions.values().filter(|s| s.direction == Direction::Inbound);
        let inbound = inbound.filter(|s| s.is_ready()).count();
        loads.note("sessions_inbound", inbound, config.inbound_max + self.targets.len());
        loads.note("dials", self.dials.len(), dial::DIALS_MAX);
        let listed = dial::TARGETS_MAX.max(config.configured.len());
        loads.note("configured_peers", self.targets.len(), listed);
        loads.note("own_addresses", self.own.len(), dial::OWN_MAX);
        loads.note("known_addresses", self.book.len(), book::ADDRESSES_MAX);
        loads.note("scores", self.scores.len(), score::SCORES_MAX);
        loads.note("bans", self.bans.len(), score::BANS_MAX);
        loads.note("gone", self.gone.len(), GONE_MAX);
    }

    /// Returns the settings.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns why a new session is refused before any word, if so.
    fn refusal(
        &self,
        now: Time,
        peer: PeerId,
        address: &PeerAddress,
        direction: Direction,
    ) -> Option<DisconnectReason> {
        if peer == self.config.me {
            return Some(DisconnectReason::SelfConnection);
        }
        if self.bans.holds(now, &peer) {
            return Some(DisconnectReason::Banned);
        }
        if self.config.allow.as_ref().is_some_and(|allow| !allow.contains(&peer)) {
            return Some(DisconnectReason::Requested);
        }
        if direction == Direction::Outbound || self.is_configured(&peer) {
            return None;
        }
        let ip = address.socket.ip().to_canonical();
        let inbound = || self.sessions.values().filter(|s| s.direction == Direction::Inbound);
        if !self.config.is_local() {
            if book::is_global(ip) && self.bans.holds_address(now, ip) {
                return Some(DisconnectReason::Banned);
            }
            let subnet = Group::subnet(ip);
            if inbound().filter(|s| s.subnet() == subnet).count() >= INBOUND_PER_SUBNET {
                return Some(DisconnectReason::TooManyFromAddress);
            }
        }
        let pending = inbound().filter(|s| !s.is_ready()).count();
        (pending >= self.config.pending_inbound_max()).then_some(DisconnectReason::TooManyPeers)
    }

    /// Ends a session, if there is one, telling the peer why.
    fn end(&mut self, now: Time, peer: PeerId, reason: DisconnectReason, out: &mut Vec<Output>) {
        if self.sessions.contains_key(&peer) {
            out.push(Output::Send(vec![peer], Arc::new(Message::Goodbye(reason))));
            out.push(Output::Disconnect(peer, reason));
            self.closed(now, peer, reason, out);
        }
    }

    /// Forgets a session and plans what follows.
    fn closed(&mut self, now: Time, peer: PeerId, reason: DisconnectReason, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.remove(&peer) else { return };
        if session.is_ready() {
            if self.gone.len() == GONE_MAX {
                self.gone.remove(0);
            }
            self.gone.push(peer);
        }
        out.push(Output::Event(Event::PeerDown { peer, reason }));
        self.plan_redial(now, peer, &session, reason);
    }

    /// Orders one atomic write of all that changed during a call.
    fn flush(&mut self, out: &mut Vec<Output>) {
        if !self.records.is_empty() {
            out.push(Output::Persist(std::mem::take(&mut self.records)));
        }
    }
}

/// Ended sessions that are remembered for [`Peers::take_gone`].
const GONE_MAX: usize = 1_024;
/// Inbound sessions from one subnet on public networks.
const INBOUND_PER_SUBNET: usize = 4;

#[cfg(test)]
mod tests;
