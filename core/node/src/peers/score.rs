//! Scores and bans: what a fault costs and how it is forgotten.
//!
//! A score starts at 100 and what was lost halves every ten minutes. Below 50 the session ends; at 0 the
//! peer is banned for an hour. Bans are by identity; an address is banned only when many of its
//! identities are, and only on public networks.

use super::Peers;
use crate::{Event, Output};
use kette_chain::Record;
use kette_types::{DecodeError, DisconnectReason, Fault, PeerId, Time};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// What a peer has lost of its 100 points, in millionths, as of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Score {
    lost: u64,
    at: Time,
}

impl Score {
    pub(super) const fn new(now: Time) -> Self {
        Self { lost: 0, at: now }
    }

    /// Returns the points left, 0 to 100.
    pub(super) fn points(&self, now: Time) -> i32 {
        let lost = self.decayed(now).lost.div_ceil(POINT);
        SCORE_MAX - i32::try_from(lost).unwrap_or(SCORE_MAX)
    }

    pub(super) fn lose(&mut self, now: Time, points: u32) {
        let most = u64::from(SCORE_MAX.unsigned_abs()) * POINT;
        *self = self.decayed(now);
        self.lost = (self.lost + u64::from(points) * POINT).min(most);
    }

    /// Multiplies what was lost by 2^(-t / 600 s), by whole seconds, in fixed point.
    fn decayed(self, now: Time) -> Self {
        let secs = now.since(self.at).as_secs();
        let (mut lost, mut factor, mut n) = (self.lost, DECAY_PER_SECOND, secs);
        while n > 0 && lost > 0 && factor > 0 {
            if n & 1 == 1 {
                lost = (lost * factor) >> 32;
            }
            factor = (factor * factor) >> 32;
            n >>= 1;
        }
        if n > 0 {
            lost = 0;
        }
        Self { lost, at: self.at + Duration::from_secs(secs) }
    }

    fn is_clean(&self, now: Time) -> bool {
        self.decayed(now).lost < POINT
    }
}

/// Who is refused, until when, and from where it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Bans {
    until: BTreeMap<PeerId, (Time, Option<IpAddr>)>,
}

impl Bans {
    pub(super) fn restore(bans: Vec<(PeerId, Time)>) -> Self {
        Self { until: bans.into_iter().take(BANS_MAX).map(|(peer, t)| (peer, (t, None))).collect() }
    }

    pub(super) fn holds(&self, now: Time, peer: &PeerId) -> bool {
        self.until.get(peer).is_some_and(|(until, _)| *until > now)
    }

    /// Whether so many identities of this address are banned that the address is.
    pub(super) fn holds_address(&self, now: Time, ip: IpAddr) -> bool {
        let banned =
            self.until.values().filter(|(until, from)| *until > now && *from == Some(ip)).count();
        banned >= BANNED_PER_ADDRESS
    }

    /// Adds a ban and returns the ban that had to give way, if the list was full.
    fn insert(&mut self, peer: PeerId, until: Time, from: Option<IpAddr>) -> Option<PeerId> {
        self.until.insert(peer, (until, from));
        if self.until.len() <= BANS_MAX {
            return None;
        }
        let first =
            self.until.iter().filter(|(p, _)| **p != peer).min_by_key(|(p, (t, _))| (*t, **p));
        let first = first.map(|(p, _)| *p)?;
        self.until.remove(&first);
        Some(first)
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    fn remove(&mut self, peer: &PeerId) -> bool {
        self.until.remove(peer).is_some()
    }

    fn expired(&self, now: Time) -> Vec<PeerId> {
        self.until.iter().filter(|(_, (t, _))| *t <= now).map(|(p, _)| *p).collect()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.until.values().map(|(t, _)| *t).min()
    }
}

impl Peers {
    /// Books a fault: the score falls, and the session or the peer's welcome may end.
    pub fn fault(&mut self, now: Time, peer: PeerId, fault: Fault, out: &mut Vec<Output>) {
        self.blame(now, peer, fault, out);
        self.flush(out);
    }

    /// Books bytes that were no message. A kind we do not know is counted and not punished.
    pub fn malformed(
        &mut self,
        now: Time,
        peer: PeerId,
        error: DecodeError,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.last_received = now;
        let greeted = session.greeted.is_some();
        if !greeted {
            self.blame(now, peer, Fault::HelloOrder, out);
            self.end(now, peer, DisconnectReason::MessageBeforeHello, out);
        } else if matches!(error, DecodeError::UnknownKind(_)) {
            self.counts.unknown_messages += 1;
            let session = self.sessions.get_mut(&peer).expect("looked up above");
            if !session.unknown.take(now, 1) {
                self.blame(now, peer, Fault::RateLimit, out);
            }
        } else {
            self.blame(now, peer, Fault::Malformed(error), out);
        }
        self.flush(out);
    }

    /// Bans a peer on behalf of an operator, who may ban anybody.
    pub fn ban(&mut self, now: Time, peer: PeerId, length: Duration, out: &mut Vec<Output>) {
        self.ban_until(now, peer, now + length, out);
        self.flush(out);
    }

    /// Lifts a ban and forgives; `false` if there was none.
    pub fn unban(&mut self, peer: PeerId, out: &mut Vec<Output>) -> bool {
        let held = self.bans.remove(&peer);
        if held {
            self.records.push(Record::Unban(peer));
        }
        self.scores.remove(&peer);
        self.dial_due = Time::ZERO;
        self.flush(out);
        held
    }

    /// Whether the peer is banned.
    pub fn is_banned(&self, now: Time, peer: &PeerId) -> bool {
        self.bans.holds(now, peer)
    }

    /// Whether the peer is banned or has lost points.
    pub fn blames(&self, now: Time, peer: &PeerId) -> bool {
        self.is_banned(now, peer) || self.score(now, peer) < SCORE_MAX
    }

    /// Returns the peer's score, of 100.
    pub fn score(&self, now: Time, peer: &PeerId) -> i32 {
        self.scores.get(peer).map_or(SCORE_MAX, |score| score.points(now))
    }

    pub(super) fn blame(&mut self, now: Time, peer: PeerId, fault: Fault, out: &mut Vec<Output>) {
        if !self.scores.contains_key(&peer) {
            self.make_room_for_score(now);
        }
        let score = self.scores.entry(peer).or_insert_with(|| Score::new(now));
        score.lose(now, fault.penalty());
        let score = score.points(now);
        self.counts.faults += 1;
        out.push(Output::Event(Event::PeerFault { peer, fault, score }));
        if score <= 0 && !self.is_configured(&peer) {
            self.ban_until(now, peer, now + self.config.ban, out);
        } else if score < DISCONNECT_BELOW {
            self.end(now, peer, DisconnectReason::ProtocolViolation, out);
        }
    }

    pub(super) fn expire_bans(&mut self, now: Time) {
        for peer in self.bans.expired(now) {
            self.dial_due = Time::ZERO;
            self.bans.remove(&peer);
            self.records.push(Record::Unban(peer));
        }
    }

    fn ban_until(&mut self, now: Time, peer: PeerId, until: Time, out: &mut Vec<Output>) {
        let from = self.sessions.get(&peer).map(|s| s.address.socket.ip().to_canonical());
        if let Some(dropped) = self.bans.insert(peer, until, from) {
            self.records.push(Record::Unban(dropped));
        }
        self.records.push(Record::Ban(peer, until));
        self.counts.bans += 1;
        self.end(now, peer, DisconnectReason::Banned, out);
    }

    /// Keeps the list of scores bounded: clean ones go first, then the least guilty.
    fn make_room_for_score(&mut self, now: Time) {
        if self.scores.len() < SCORES_MAX {
            return;
        }
        self.scores.retain(|_, score| !score.is_clean(now));
        if self.scores.len() >= SCORES_MAX {
            let best =
                self.scores.iter().max_by_key(|(p, s)| (s.points(now), **p)).map(|(p, _)| *p);
            if let Some(best) = best {
                self.scores.remove(&best);
            }
        }
    }
}

/// The score of a peer without faults.
pub(super) const SCORE_MAX: i32 = 100;
/// Below this the session ends.
pub(super) const DISCONNECT_BELOW: i32 = 50;

const POINT: u64 = 1_000_000;
/// 2^(-1/600) in units of 2^-32: half of what was lost is forgotten within ten minutes.
const DECAY_PER_SECOND: u64 = 4_290_008_420;
/// Identities of one address whose bans ban the address (as Lighthouse).
const BANNED_PER_ADDRESS: usize = 5;
pub(super) const BANS_MAX: usize = 4_096;
pub(super) const SCORES_MAX: usize = 4_096;
