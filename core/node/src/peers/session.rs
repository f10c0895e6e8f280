//! One session with a peer: what it said, when it was last heard, and what it may still send.

use super::{
    Config, Peers,
    book::{Endpoint, Group},
    limits::{Bucket, Buckets, Limit, address_bucket},
};
use crate::{Output, PeerInfo, io::earliest};
use kette_types::{
    B256, Direction, DisconnectReason, Message, PeerAddress, PeerId, Time, U256,
    message::ChainStatus,
};
use rand::RngExt;
use std::{sync::Arc, time::Duration};

/// A session that the host reported, before and after its hello.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) address: PeerAddress,
    pub(super) direction: Direction,
    /// When the dial began, or when the peer came.
    pub(super) started: Time,
    pub(super) since: Time,
    /// What our hello, or the status after it, told the peer about our chain.
    pub(super) told: ChainStatus,
    pub(super) greeted: Option<Greeted>,
    pub(super) last_received: Time,
    /// The ping that is out.
    ping: Option<(u64, Time)>,
    last_ping: Time,
    rtt_ms: Option<u64>,
    pub(super) rtt_min_ms: Option<u64>,
    pub(super) buckets: Buckets,
    pub(super) addresses: Bucket,
    /// Messages of kinds that we do not know.
    pub(super) unknown: Bucket,
    pub(super) useful_block: Option<Time>,
    pub(super) useful_transaction: Option<Time>,
}

/// What a peer said in its hello, and since.
#[derive(Clone, Debug)]
pub(super) struct Greeted {
    pub(super) at: Time,
    pub(super) listen: Option<PeerAddress>,
    pub(super) moniker: String,
    pub(super) agent: String,
    pub(super) region: String,
    pub(super) status: ChainStatus,
    /// How far its clock is ahead of ours.
    pub(super) skew_ms: i64,
}

impl Session {
    pub(super) fn new(
        config: &Config,
        now: Time,
        address: PeerAddress,
        direction: Direction,
        started: Time,
        told: ChainStatus,
    ) -> Self {
        Self {
            address,
            direction,
            started,
            since: now,
            told,
            greeted: None,
            last_received: now,
            ping: None,
            last_ping: now,
            rtt_ms: None,
            rtt_min_ms: None,
            buckets: Buckets::new(config.is_local(), now),
            addresses: address_bucket(config.is_local(), now),
            unknown: Bucket::full(UNKNOWN_LIMIT, now),
            useful_block: None,
            useful_transaction: None,
        }
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.greeted.is_some()
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::of(&self.address)
    }

    pub(super) fn subnet(&self) -> Group {
        Group::subnet(self.address.socket.ip())
    }

    /// Returns whether a dial to `endpoint` would reach this peer, as far as we saw or were told.
    pub(super) fn listens_at(&self, endpoint: &Endpoint) -> bool {
        (self.direction == Direction::Outbound && self.endpoint() == *endpoint)
            || self
                .greeted
                .as_ref()
                .and_then(|g| g.listen.as_ref())
                .is_some_and(|listen| Endpoint::of(listen) == *endpoint)
    }

    /// Returns why the session must end now, if so.
    fn overdue(&self, config: &Config, now: Time) -> Option<DisconnectReason> {
        if !self.is_ready() {
            let late = now >= self.since + config.hello_timeout;
            return late.then_some(DisconnectReason::HelloTimeout);
        }
        let silent = now >= self.last_received + config.ping_timeout;
        silent.then_some(DisconnectReason::PingTimeout)
    }

    /// Returns when a ping is due: after silence, and now and then to measure the round trip.
    fn ping_due(&self, config: &Config) -> Time {
        let quiet_since = self.last_received.max(self.last_ping);
        let refresh = self.last_ping + config.ping_interval * RTT_REFRESH_INTERVALS;
        (quiet_since + config.ping_interval).min(refresh)
    }

    fn deadline(&self, config: &Config) -> Time {
        if self.is_ready() {
            self.ping_due(config).min(self.last_received + config.ping_timeout)
        } else {
            self.since + config.hello_timeout
        }
    }
}

impl Peers {
    /// Takes a ping, pong or goodbye; other messages are not for this part.
    pub fn control(&mut self, now: Time, peer: PeerId, message: &Message, out: &mut Vec<Output>) {
        match message {
            Message::Ping(number) => self.ping(peer, *number, out),
            Message::Pong(number) => self.pong(now, peer, *number),
            Message::Goodbye(reason) => self.goodbye(now, peer, *reason, out),
            _ => {}
        }
    }

    /// Answers a ping.
    fn ping(&mut self, peer: PeerId, number: u64, out: &mut Vec<Output>) {
        if self.is_ready(&peer) {
            out.push(Output::Send(vec![peer], Arc::new(Message::Pong(number))));
        }
    }

    /// Takes the answer to a ping; a number that is not out is ignored.
    fn pong(&mut self, now: Time, peer: PeerId, number: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let Some((_, sent)) = session.ping.take_if(|(out, _)| *out == number) else { return };
        let rtt = u64::try_from(now.since(sent).as_millis()).unwrap_or(u64::MAX);
        session.rtt_ms = Some(rtt);
        session.rtt_min_ms = Some(session.rtt_min_ms.map_or(rtt, |least| least.min(rtt)));
    }

    /// Takes a peer's goodbye: the session is over for the reason it gave.
    fn goodbye(
        &mut self,
        now: Time,
        peer: PeerId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        use DisconnectReason::{TooManyFromAddress, TooManyPeers};
        if let Some(session) = self.sessions.get(&peer) {
            // It says so in the place of a hello.
            let greeted = session.greeted.as_ref().map(|greeted| now.since(greeted.at));
            let at_once = greeted.is_some_and(|since| since < self.config.hello_timeout);
            let refused = at_once && matches!(reason, TooManyPeers | TooManyFromAddress);
            self.counts.sessions_refused += u64::from(refused);
            out.push(Output::Disconnect(peer, reason));
            self.closed(now, peer, reason, out);
        }
        self.flush(out);
    }

    /// Takes a peer's newest claim about its chain.
    pub fn set_status(&mut self, now: Time, peer: PeerId, status: ChainStatus) {
        tracing::trace!(%now, %peer, number = status.number, "status");
        if let Some(greeted) = self.sessions.get_mut(&peer).and_then(|s| s.greeted.as_mut()) {
            greeted.status = status;
        }
    }

    /// Notes that a peer showed that it has at least this head.
    pub fn saw_head(&mut self, peer: &PeerId, head: B256, number: u64, weight: U256) {
        if let Some(greeted) = self.sessions.get_mut(peer).and_then(|s| s.greeted.as_mut())
            && weight > greeted.status.weight
        {
            let finalized = greeted.status.finalized;
            greeted.status = ChainStatus { head, number, weight, finalized };
        }
    }

    /// Notes that a peer sent a block that was new to us; such peers are not evicted.
    pub fn useful_block(&mut self, now: Time, peer: &PeerId) {
        if let Some(session) = self.sessions.get_mut(peer) {
            session.useful_block = Some(now);
        }
    }

    /// Notes that a peer sent a transaction that was new to us; such peers are not evicted.
    pub fn useful_transaction(&mut self, now: Time, peer: &PeerId) {
        if let Some(session) = self.sessions.get_mut(peer) {
            session.useful_transaction = Some(now);
        }
    }

    /// Returns the peers whose hello is done, in the order of their ids.
    pub fn ready(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.sessions.iter().filter(|(_, s)| s.is_ready()).map(|(peer, _)| *peer)
    }

    /// Whether the peer's hello is done.
    pub fn is_ready(&self, peer: &PeerId) -> bool {
        self.sessions.get(peer).is_some_and(Session::is_ready)
    }

    /// Returns what a peer claims about its chain.
    pub fn status_of(&self, peer: &PeerId) -> Option<&ChainStatus> {
        self.sessions.get(peer)?.greeted.as_ref().map(|g| &g.status)
    }

    /// Returns the round trip of the last ping, milliseconds.
    pub fn rtt_ms(&self, peer: &PeerId) -> Option<u64> {
        self.sessions.get(peer)?.rtt_ms
    }

    /// Returns who opened the session.
    pub fn direction_of(&self, peer: &PeerId) -> Option<Direction> {
        self.sessions.get(peer).map(|s| s.direction)
    }

    /// Returns the peers whose hello is done, as shown to people.
    pub fn infos(&self, now: Time) -> Vec<PeerInfo> {
        let info = |(peer, session): (&PeerId, &Session)| {
            let greeted = session.greeted.as_ref()?;
            Some(PeerInfo {
                id: *peer,
                address: session.address,
                listen: greeted.listen,
                direction: session.direction,
                moniker: greeted.moniker.clone(),
                agent: greeted.agent.clone(),
                region: greeted.region.clone(),
                height: greeted.status.number,
                weight: greeted.status.weight,
                score: self.score(now, peer),
                rtt_ms: session.rtt_ms,
                age_secs: now.since(session.since).as_secs(),
                last_seen_secs: now.since(session.last_received).as_secs(),
                persistent: self.is_configured(peer),
            })
        };
        self.sessions.iter().filter_map(info).collect()
    }

    /// Returns the median of what peers' clocks are ahead of ours, milliseconds, given enough peers.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        let greeted = self.sessions.values().filter_map(|s| s.greeted.as_ref());
        let mut skews: Vec<i64> = greeted.map(|g| g.skew_ms).collect();
        skews.sort_unstable();
        (skews.len() >= SKEW_PEERS_MIN).then(|| skews[skews.len() / 2])
    }

    pub(super) fn tick_sessions(&mut self, now: Time, out: &mut Vec<Output>) {
        let config = &self.config;
        let overdue: Vec<_> = self
            .sessions
            .iter()
            .filter_map(|(peer, s)| Some((*peer, s.overdue(config, now)?)))
            .collect();
        for (peer, reason) in overdue {
            self.end(now, peer, reason, out);
        }
        // What is due soon goes along, so that many sessions do not wake the node one by one.
        let soon = now + self.config.ping_interval / PING_BATCH;
        let due = |session: &Session| session.ping_due(&self.config);
        let any = self.sessions.values().any(|s| s.is_ready() && due(s) <= now);
        for (peer, session) in self.sessions.iter_mut().filter(|_| any) {
            if session.is_ready() && soon >= session.ping_due(&self.config) {
                // Not guessable, so that no pong comes before its ping.
                let number = self.rng.random();
                session.ping = Some((number, now));
                session.last_ping = now;
                let ping = Arc::new(Message::Ping(number));
                out.push(Output::Send(vec![*peer], ping));
            }
        }
        self.sessions_due = self.sessions.values().map(|s| s.deadline(&self.config)).min();
    }

    /// Notes that a session's deadline may have moved closer.
    pub(super) fn note_due(&mut self, peer: &PeerId) {
        let due = self.sessions.get(peer).map(|session| session.deadline(&self.config));
        self.sessions_due = earliest([self.sessions_due, due]);
    }
}

/// Sessions shorter than this count as failed when it comes to redialling.
pub(super) const STABLE: Duration = Duration::from_secs(30);

/// Pings that are due within this part of an interval are sent together.
const PING_BATCH: u32 = 5;
/// The round trip is measured this many ping intervals apart on a busy session.
const RTT_REFRESH_INTERVALS: u32 = 4;
/// Peers that are needed before their clocks say something about ours.
const SKEW_PEERS_MIN: usize = 3;
/// Messages of unknown kinds that a newer peer may send.
const UNKNOWN_LIMIT: Limit = Limit::new(100, 1_000);
