//! Whom to evict from a full node so that a newcomer gets a slot: a pure function.
//!
//! The rule is that of Bitcoin Core (`src/node/eviction.cpp`): peers are protected by traits that an
//! attacker cannot have all at once, and of the rest the youngest of the largest network group goes.

use super::book::Group;
use kette_types::{PeerId, Time};
use siphasher::sip::SipHasher24;
use std::{cmp::Reverse, collections::BTreeMap, hash::Hasher};

/// What is known about a peer that may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who it is.
    pub peer: PeerId,
    /// The network it comes from.
    pub group: Group,
    /// When the session began.
    pub since: Time,
    /// Shortest round trip seen, milliseconds.
    pub rtt_min_ms: Option<u64>,
    /// When it last sent a transaction that was new to us.
    pub useful_transaction: Option<Time>,
    /// When it last sent a block that was new to us.
    pub useful_block: Option<Time>,
}

/// Returns whom to evict, or `None` if all are worth protecting. Independent of the order of `candidates`.
pub fn select(key: (u64, u64), candidates: &[Candidate]) -> Option<PeerId> {
    let mut rest: Vec<&Candidate> = candidates.iter().collect();
    // An attacker cannot predict which groups the key favours.
    protect(&mut rest, PROTECT_GROUP, |c| Some((c.group.keyed(key), hash(key, c))));
    protect(&mut rest, PROTECT_RTT, |c| c.rtt_min_ms.map(|ms| (ms, hash(key, c))));
    protect(&mut rest, PROTECT_TRANSACTION, |c| {
        c.useful_transaction.map(|t| (Reverse(t), hash(key, c)))
    });
    protect(&mut rest, PROTECT_BLOCK, |c| c.useful_block.map(|t| (Reverse(t), hash(key, c))));
    let half = rest.len() / 2;
    protect(&mut rest, half, |c| Some((c.since, hash(key, c))));

    let mut groups: BTreeMap<Group, Vec<&Candidate>> = BTreeMap::new();
    for candidate in rest {
        groups.entry(candidate.group).or_default().push(candidate);
    }
    let youngest = |members: &[&Candidate]| members.iter().map(|c| (c.since, c.peer)).max();
    let largest = groups.values().max_by_key(|members| (members.len(), youngest(members)))?;
    youngest(largest).map(|(_, peer)| peer)
}

/// Removes the `n` candidates with the smallest rank; those without a rank stay.
fn protect<R: Ord>(rest: &mut Vec<&Candidate>, n: usize, rank: impl Fn(&Candidate) -> Option<R>) {
    let mut ranked: Vec<_> = rest.iter().filter_map(|c| Some((rank(c)?, c.peer))).collect();
    ranked.sort();
    ranked.truncate(n);
    rest.retain(|c| !ranked.iter().any(|(_, peer)| *peer == c.peer));
}

/// Breaks ties in an order that nobody else knows.
fn hash(key: (u64, u64), candidate: &Candidate) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key.0, key.1);
    hasher.write(candidate.peer.0.as_slice());
    hasher.finish()
}

/// Peers protected by the keyed hash of their network group.
pub const PROTECT_GROUP: usize = 4;
/// Peers protected by the shortest round trip.
pub const PROTECT_RTT: usize = 8;
/// Peers protected by the newest useful transaction.
pub const PROTECT_TRANSACTION: usize = 4;
/// Peers protected by the newest useful block.
pub const PROTECT_BLOCK: usize = 4;
