//! Which peers have which messages of the engine, so that each is told each of them once.
//!
//! A message is named by the first half of its keccak256. Names are kept in two generations: when the young one is full
//! it becomes the old one, and the old one is forgotten. A session is one bit of an entry, so that telling a hundred
//! peers of a message is one look-up. What is forgotten is at worst told twice; engines ignore what they have.

use alloy_primitives::keccak256;
use kette_types::PeerId;
use std::collections::BTreeMap;

/// Messages in a generation: several rounds of the largest validator set.
const GENERATION_MAX: usize = 4_096;
/// Sessions that are told apart; others are told everything.
const PLACES: u32 = u128::BITS;

/// Who has what.
#[derive(Debug, Default)]
pub(crate) struct Gossip {
    /// Every session, with its bit if it has one.
    sessions: BTreeMap<PeerId, u128>,
    /// Bits that sessions have.
    taken: u128,
    young: BTreeMap<u128, u128>,
    old: BTreeMap<u128, u128>,
}

impl Gossip {
    /// Notes a new session. It has nothing yet.
    pub(crate) fn connected(&mut self, peer: PeerId) {
        self.disconnected(peer);
        let place = self.taken.trailing_ones();
        let bit = if place < PLACES { 1 << place } else { 0 };
        self.taken |= bit;
        self.sessions.insert(peer, bit);
    }

    /// Forgets a session.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        let Some(bit) = self.sessions.remove(&peer).filter(|bit| *bit != 0) else { return };
        self.taken &= !bit;
        for known in self.young.values_mut().chain(self.old.values_mut()) {
            *known &= !bit;
        }
    }

    /// Notes that a peer sent these bytes, or is sent them.
    pub(crate) fn knows(&mut self, peer: PeerId, bytes: &[u8]) {
        if let Some(bit) = self.sessions.get(&peer).copied().filter(|bit| *bit != 0) {
            *self.entry(bytes) |= bit;
        }
    }

    /// Returns the peers that lack these bytes, in the order of their ids; they are sent them now.
    pub(crate) fn lacking(&mut self, bytes: &[u8]) -> Vec<PeerId> {
        let taken = self.taken;
        let known = std::mem::replace(self.entry(bytes), taken);
        let lacks = |(_, bit): &(&PeerId, &u128)| **bit & known == 0;
        self.sessions.iter().filter(lacks).map(|(peer, _)| *peer).collect()
    }

    /// Notes that everybody is sent these bytes; returns all peers.
    pub(crate) fn all(&mut self, bytes: &[u8]) -> Vec<PeerId> {
        *self.entry(bytes) = self.taken;
        self.sessions.keys().copied().collect()
    }

    /// Finds the entry of a message, or makes one.
    fn entry(&mut self, bytes: &[u8]) -> &mut u128 {
        let hash = keccak256(bytes);
        let half = u128::from_be_bytes(hash[..16].try_into().expect("a hash has 32 bytes"));
        if self.old.contains_key(&half) {
            return self.old.get_mut(&half).expect("just found");
        }
        if self.young.len() >= GENERATION_MAX && !self.young.contains_key(&half) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entry(half).or_default()
    }

    pub(crate) fn loads(&self, peers: usize, loads: &mut crate::Loads) {
        loads.note("gossip_peers", self.sessions.len(), peers);
        loads.note("gossip_known", self.young.len() + self.old.len(), 2 * GENERATION_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn peer(n: u8) -> PeerId {
        PeerId(B256::with_last_byte(n))
    }

    fn three() -> Gossip {
        let mut gossip = Gossip::default();
        (1..=3).for_each(|n| gossip.connected(peer(n)));
        gossip
    }

    #[test]
    fn each_peer_is_told_once_and_the_sender_not_at_all() {
        let mut gossip = three();
        gossip.knows(peer(2), b"vote");
        assert_eq!(gossip.lacking(b"vote"), [peer(1), peer(3)]);
        assert_eq!(gossip.lacking(b"vote"), []);
        assert_eq!(gossip.lacking(b"another"), [peer(1), peer(2), peer(3)]);
        assert_eq!(gossip.all(b"another"), [peer(1), peer(2), peer(3)]);
        gossip.all(b"third");
        assert_eq!(gossip.lacking(b"third"), []);
    }

    #[test]
    fn a_new_session_has_nothing_whoever_had_its_place() {
        let mut gossip = three();
        gossip.lacking(b"vote");
        gossip.disconnected(peer(2));
        gossip.knows(peer(2), b"late");
        gossip.connected(peer(9));
        assert_eq!(gossip.lacking(b"vote"), [peer(9)]);
        gossip.connected(peer(1));
        assert_eq!(gossip.lacking(b"vote"), [peer(1)], "the same peer, another session");
        assert_eq!(gossip.lacking(b"late"), [peer(1), peer(3), peer(9)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_stays() {
        let mut gossip = three();
        for n in 0..10 * GENERATION_MAX as u64 {
            gossip.knows(peer(1), &n.to_be_bytes());
            assert_eq!(gossip.lacking(&n.to_be_bytes()), [peer(2), peer(3)]);
        }
        assert!(gossip.young.len() + gossip.old.len() <= 2 * GENERATION_MAX);
        let last = 10 * GENERATION_MAX as u64 - 1;
        for n in last - GENERATION_MAX as u64 + 1..=last {
            assert_eq!(gossip.lacking(&n.to_be_bytes()), [], "{n}");
        }
    }

    #[test]
    fn who_has_no_place_is_told_everything() {
        let mut gossip = Gossip::default();
        (0..=PLACES as u8).for_each(|n| gossip.connected(peer(n)));
        let last = peer(PLACES as u8);
        gossip.knows(last, b"vote");
        assert_eq!(gossip.lacking(b"vote").len(), PLACES as usize + 1);
        assert_eq!(gossip.lacking(b"vote"), [last]);
        gossip.disconnected(peer(5));
        gossip.connected(peer(200));
        assert_eq!(gossip.lacking(b"vote"), [last, peer(200)]);
    }
}
