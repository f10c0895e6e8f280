//! Whom to dial and when: configured peers first and for ever, then the book up to the target.

use super::{
    Peers,
    book::{Endpoint, Group},
    config::OUTBOUND_MIN,
    score::DISCONNECT_BELOW,
    session::{STABLE, Session},
};
use crate::Output;
use kette_types::{Direction, DisconnectReason, PeerAddress, PeerId, Time, spec::NetworkKind};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, time::Duration};

/// A configured peer. It is dialled whenever no session with it exists, for ever.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: PeerAddress,
    /// Who answered there, if the configuration does not say.
    learned: Option<PeerId>,
    failures: u32,
    next: Time,
}

impl Target {
    pub(super) const fn new(address: PeerAddress) -> Self {
        Self { address, learned: None, failures: 0, next: Time::ZERO }
    }

    fn id(&self) -> Option<PeerId> {
        self.address.peer.or(self.learned)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::of(&self.address)
    }
}

/// Returns the wait after `failures` failures in a row: 1 s doubled each time, within 20 percent, at
/// most `max`.
pub(super) fn backoff(rng: &mut ChaCha8Rng, failures: u32, max: Duration) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20));
    // The jitter stays even at the cap, so that many nodes do not return at once.
    let base = doubled.min(max * 100 / (100 + JITTER_PERCENT));
    let percent = rng.random_range(100 - JITTER_PERCENT..=100 + JITTER_PERCENT);
    base * percent / 100
}

impl Peers {
    /// Begins to keep an address connected, on behalf of an operator; `false` if there are too many
    /// such addresses.
    pub fn add(&mut self, now: Time, address: PeerAddress, out: &mut Vec<Output>) -> bool {
        let endpoint = Endpoint::of(&address);
        let known = self.targets.iter().position(|t| t.endpoint() == endpoint);
        match known {
            Some(i) => self.targets[i] = Target::new(address),
            None if self.targets.len() >= TARGETS_MAX => return false,
            None => self.targets.push(Target::new(address)),
        }
        self.dial_due = Time::ZERO;
        self.dial(now, out);
        self.flush(out);
        true
    }

    /// Forgets a configured peer and ends its session, on behalf of an operator; `false` if it is neither
    /// configured nor connected.
    pub fn remove(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) -> bool {
        let listed = self.targets.len();
        self.targets.retain(|t| t.id() != Some(peer));
        let connected = self.sessions.contains_key(&peer);
        self.end(now, peer, DisconnectReason::Requested, out);
        self.flush(out);
        connected || self.targets.len() < listed
    }

    /// Takes a failed dial. If the host found that the address belongs to a peer that has a session, the
    /// address carries that peer's id, and nothing failed.
    pub fn dial_failed(&mut self, now: Time, address: PeerAddress, out: &mut Vec<Output>) {
        let endpoint = Endpoint::of(&address);
        self.dials.remove(&endpoint);
        let session = address.peer.filter(|peer| self.sessions.contains_key(peer));
        if let Some(peer) = session {
            self.learn_target(&endpoint, peer);
            self.book.put_off(&endpoint, now + self.config.refused_retry);
        } else {
            self.dial_lost(now, &endpoint);
        }
        self.dial_due = Time::ZERO;
        self.dial(now, out);
        self.flush(out);
    }

    /// Whether the peer is configured. Only an identity that the configuration names or that answered
    /// our own dial counts: anybody can claim an address.
    pub fn is_configured(&self, peer: &PeerId) -> bool {
        self.targets.iter().any(|t| t.id() == Some(*peer))
    }

    /// Whether the peer is configured or has a session.
    pub fn is_known(&self, peer: PeerId) -> bool {
        self.sessions.contains_key(&peer) || self.is_configured(&peer)
    }

    /// Returns how many sessions this node opened itself, with or without hello.
    pub fn outbound(&self) -> usize {
        self.sessions.values().filter(|s| s.direction == Direction::Outbound).count()
    }

    /// Remembers who answered at a configured address that names no identity.
    pub(super) fn learn_target(&mut self, endpoint: &Endpoint, peer: PeerId) {
        for target in self.targets.iter_mut().filter(|t| t.endpoint() == *endpoint) {
            target.learned = Some(peer);
        }
    }

    fn dial_lost(&mut self, now: Time, endpoint: &Endpoint) {
        self.counts.dials_failed += 1;
        let max = self.config.backoff_max;
        for target in self.targets.iter_mut().filter(|t| t.endpoint() == *endpoint) {
            target.failures = target.failures.saturating_add(1);
            target.next = now + backoff(&mut self.rng, target.failures, max);
        }
        if let Some(entry) = self.book.get(endpoint) {
            let wait = backoff(&mut self.rng, entry.failures.saturating_add(1), max);
            self.book.failed(now, endpoint, now + wait, &mut self.records);
        }
    }

    /// Plans the next dial after a session.
    pub(super) fn plan_redial(
        &mut self,
        now: Time,
        peer: PeerId,
        session: &Session,
        reason: DisconnectReason,
    ) {
        use DisconnectReason as R;
        let endpoint = session.endpoint();
        let outbound = session.direction == Direction::Outbound;
        let other_chain = matches!(reason, R::WrongGenesis | R::WrongChainId | R::WrongVersion);
        let stable = session.greeted.as_ref().is_some_and(|g| now.since(g.at) >= STABLE);
        let max = self.config.backoff_max;
        if outbound && reason == R::SelfConnection && self.own.len() < OWN_MAX {
            self.own.insert(endpoint);
        }
        for target in &mut self.targets {
            if target.id() == Some(peer) || (outbound && target.endpoint() == endpoint) {
                target.failures = if stable { 1 } else { target.failures.saturating_add(1) };
                let wait = backoff(&mut self.rng, target.failures, max);
                target.next = now + if other_chain { max } else { wait };
            }
        }
        if outbound {
            let refused = matches!(
                reason,
                R::TooManyPeers | R::TooManyFromAddress | R::Evicted | R::Banned | R::Requested
            );
            if other_chain || reason == R::SelfConnection {
                self.book.remove(&endpoint, &mut self.records);
            } else if refused {
                let wait = backoff(&mut self.rng, u32::MAX, self.config.refused_retry);
                self.book.put_off(&endpoint, now + wait);
            } else if session.is_ready() {
                let wait = backoff(&mut self.rng, if stable { 1 } else { UNSTABLE_FAILURES }, max);
                self.book.put_off(&endpoint, now + wait);
            } else if let Some(entry) = self.book.get(&endpoint) {
                let wait = backoff(&mut self.rng, entry.failures.saturating_add(1), max);
                self.book.failed(now, &endpoint, now + wait, &mut self.records);
            }
        }
        self.dial_due = Time::ZERO;
    }

    /// Counts dials that the host never reported on as failed.
    pub(super) fn expire_dials(&mut self, now: Time) {
        let timeout = self.config.dial_timeout;
        let late: Vec<Endpoint> =
            self.dials.iter().filter(|(_, at)| now >= **at + timeout).map(|(e, _)| *e).collect();
        for endpoint in late {
            self.dials.remove(&endpoint);
            self.dial_lost(now, &endpoint);
            self.dial_due = Time::ZERO;
        }
    }

    pub(super) fn dials_deadline(&self) -> Option<Time> {
        let first = self.dials.values().min().map(|at| *at + self.config.dial_timeout);
        let due = (self.started && self.dial_due < Time::MAX).then_some(self.dial_due);
        first.into_iter().chain(due).min()
    }

    /// Orders all dials that are due.
    pub(super) fn dial(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.started || now < self.dial_due {
            return;
        }
        self.dial_due = Time::MAX;
        self.dial_configured(now, out);
        if self.config.discovery {
            self.dial_book(now, out);
        }
    }

    fn dial_configured(&mut self, now: Time, out: &mut Vec<Output>) {
        for i in 0..self.targets.len() {
            let target = &self.targets[i];
            let endpoint = target.endpoint();
            let connected = target.id().is_some_and(|peer| self.sessions.contains_key(&peer));
            if connected || !self.is_free(&endpoint) {
                continue;
            }
            if target.id().is_some_and(|peer| self.bans.holds(now, &peer)) {
                continue;
            }
            if target.next > now {
                self.dial_due = self.dial_due.min(target.next);
            } else if self.dials.len() < DIALS_MAX {
                let address = target.address;
                self.order(now, endpoint, address, out);
            }
        }
    }

    fn dial_book(&mut self, now: Time, out: &mut Vec<Output>) {
        loop {
            let open = self.outbound() + self.dials.len();
            let room = self.sessions.len() + self.dials.len() < self.config.sessions_max;
            if open >= self.config.outbound_target || self.dials.len() >= DIALS_MAX || !room {
                return;
            }
            let beyond_first = open >= OUTBOUND_MIN;
            if beyond_first && now < self.settled {
                self.dial_due = self.dial_due.min(self.settled);
                return;
            }
            let Some((endpoint, address)) = self.pick(now) else {
                // Whatever becomes free before that, other than by time, brings a pass of its own.
                let next = self.book.iter().map(|(_, e)| e.next_try).filter(|t| *t > now).min();
                self.dial_due = self.dial_due.min(next.unwrap_or(Time::MAX));
                return;
            };
            if beyond_first {
                self.settled = now + self.config.settle;
            }
            self.order(now, endpoint, address, out);
        }
    }

    fn pick(&mut self, now: Time) -> Option<(Endpoint, PeerAddress)> {
        let outbound = || self.sessions.values().filter(|s| s.direction == Direction::Outbound);
        let regions: BTreeSet<&str> =
            outbound().filter_map(|s| s.greeted.as_ref()).map(|g| g.region.as_str()).collect();
        let kind = self.config.kind;
        let mut groups = BTreeSet::new();
        if kind == NetworkKind::Public {
            groups.extend(outbound().map(|s| Group::of(kind, s.address.socket)));
            groups.extend(self.dials.keys().map(|e| Group::of(kind, e.socket)));
        }
        let mut rng = self.rng.clone();
        let endpoint = self.book.pick(now, &mut rng, &regions, &groups, |endpoint, entry| {
            let welcome = entry.peer.is_none_or(|peer| {
                !self.sessions.contains_key(&peer)
                    && !self.bans.holds(now, &peer)
                    && self.score(now, &peer) >= DISCONNECT_BELOW
                    && self.config.allow.as_ref().is_none_or(|allow| allow.contains(&peer))
            });
            welcome && self.is_free(endpoint) && !self.is_target(endpoint)
        });
        self.rng = rng;
        let endpoint = endpoint?;
        let expected = self.book.get(&endpoint)?.expected();
        Some((endpoint, endpoint.address(expected)))
    }

    /// Whether nothing is known to be at, or under way to, this address.
    fn is_free(&self, endpoint: &Endpoint) -> bool {
        !self.own.contains(endpoint)
            && !self.dials.contains_key(endpoint)
            && !self.sessions.values().any(|s| s.listens_at(endpoint))
    }

    fn is_target(&self, endpoint: &Endpoint) -> bool {
        self.targets.iter().any(|t| t.endpoint() == *endpoint)
    }

    fn order(
        &mut self,
        now: Time,
        endpoint: Endpoint,
        address: PeerAddress,
        out: &mut Vec<Output>,
    ) {
        self.dials.insert(endpoint, now);
        out.push(Output::Dial(address));
    }
}

/// Dials under way at the same time.
pub(super) const DIALS_MAX: usize = 16;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const JITTER_PERCENT: u32 = 20;
/// Addresses that an operator may configure.
pub(super) const TARGETS_MAX: usize = 1_024;
/// Addresses at which we found ourselves.
pub(super) const OWN_MAX: usize = 64;
/// A peer whose sessions break at once is dialled as after this many failures.
const UNSTABLE_FAILURES: u32 = 4;
