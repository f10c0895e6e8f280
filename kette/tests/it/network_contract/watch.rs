//! A network whose every word is checked against the grammar of sessions and dials.
//!
//! Of one peer: connected, then messages, then disconnected, then perhaps again. Of a dial: one outcome.

use super::{Net, Seen};
use kette_types::{Direction, Message, PeerAddress, PeerId};
use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
};

/// The network and what each side knows.
pub(super) struct Watched<N> {
    pub(super) net: N,
    sides: Vec<Side>,
}

#[derive(Default)]
struct Side {
    connected: BTreeSet<PeerId>,
    /// Dials without an outcome.
    dials: Vec<SocketAddr>,
    /// What was seen while waiting for something else.
    aside: VecDeque<Seen>,
}

impl<N: Net> Watched<N> {
    pub(super) fn of(sides: usize) -> Self {
        let sides_known = (0..sides).map(|_| Side::default()).collect();
        Self { net: N::of(sides), sides: sides_known }
    }

    pub(super) fn id(&self, side: usize) -> PeerId {
        self.net.id(side)
    }

    pub(super) fn dial(&mut self, side: usize, address: PeerAddress) {
        self.sides[side].dials.push(address.socket);
        self.net.dial(side, address);
    }

    pub(super) fn say(&mut self, from: usize, to: usize, message: Message) {
        self.net.send(from, self.id(to), message);
    }

    pub(super) fn crash(&mut self, side: usize) {
        self.sides[side] = Side::default();
        self.net.crash(side);
    }

    pub(super) fn is_connected(&self, side: usize, to: usize) -> bool {
        self.sides[side].connected.contains(&self.id(to))
    }

    /// Waits for what a side is told next.
    #[track_caller]
    pub(super) fn next(&mut self, side: usize) -> Seen {
        if let Some(seen) = self.sides[side].aside.pop_front() {
            return seen;
        }
        self.hear(side)
    }

    #[track_caller]
    fn hear(&mut self, side: usize) -> Seen {
        let seen = self.net.next(side).unwrap_or_else(|| panic!("side {side} waits in vain"));
        let known = &mut self.sides[side];
        let mut settled = |socket: SocketAddr| match known.dials.iter().position(|d| *d == socket) {
            Some(place) => drop(known.dials.swap_remove(place)),
            None => panic!("side {side}: an outcome of no dial: {seen:?}"),
        };
        match &seen {
            Seen::Connected { peer, address, direction } => {
                if *direction == Direction::Outbound {
                    settled(address.socket);
                }
                assert_eq!(address.peer, Some(*peer), "an address without its identity");
                assert!(known.connected.insert(*peer), "side {side}: connected twice: {seen:?}");
            }
            Seen::Disconnected { peer, .. } => {
                assert!(known.connected.remove(peer), "side {side}: the end of nothing: {seen:?}");
            }
            Seen::DialFailed(address) => settled(address.socket),
            Seen::Message(peer, _) => {
                assert!(known.connected.contains(peer), "side {side}: from a stranger: {seen:?}");
            }
        }
        seen
    }

    /// Waits for the first thing of its kind that a side is told; the rest is kept for later.
    #[track_caller]
    pub(super) fn until<T>(&mut self, side: usize, pick: impl Fn(&Seen) -> Option<T>) -> T {
        let aside = &mut self.sides[side].aside;
        let found = aside.iter().enumerate().find_map(|(at, seen)| Some((at, pick(seen)?)));
        if let Some((at, picked)) = found {
            aside.remove(at);
            return picked;
        }
        loop {
            let seen = self.hear(side);
            match pick(&seen) {
                Some(picked) => return picked,
                None => self.sides[side].aside.push_back(seen),
            }
        }
    }

    #[track_caller]
    pub(super) fn until_connected(&mut self, side: usize, to: usize) -> (PeerAddress, Direction) {
        let wanted = self.id(to);
        self.until(side, |seen| match seen {
            Seen::Connected { peer, address, direction } if *peer == wanted => {
                Some((*address, *direction))
            }
            _ => None,
        })
    }

    #[track_caller]
    pub(super) fn until_disconnected(&mut self, side: usize, to: usize) {
        let wanted = self.id(to);
        self.until(side, |seen| {
            matches!(seen, Seen::Disconnected { peer, .. } if *peer == wanted).then_some(())
        });
    }

    #[track_caller]
    pub(super) fn until_failed(&mut self, side: usize) -> PeerAddress {
        self.until(side, |seen| match seen {
            Seen::DialFailed(address) => Some(*address),
            _ => None,
        })
    }

    #[track_caller]
    pub(super) fn until_message(&mut self, side: usize, from: usize) -> Message {
        let wanted = self.id(from);
        self.until(side, |seen| match seen {
            Seen::Message(peer, message) if *peer == wanted => Some(message.clone()),
            _ => None,
        })
    }

    /// Connects two sides.
    #[track_caller]
    pub(super) fn connect(&mut self, from: usize, to: usize) {
        self.dial(from, self.net.address(to));
        self.until_connected(from, to);
        self.until_connected(to, from);
    }

    /// Waits until a side has a session with another.
    #[track_caller]
    pub(super) fn until_session(&mut self, side: usize, other: usize) {
        while !self.is_connected(side, other) {
            let seen = self.hear(side);
            self.sides[side].aside.push_back(seen);
        }
    }

    /// Dials until there is a session; returns when both know it.
    #[track_caller]
    pub(super) fn connect_at_last(&mut self, from: usize, to: usize) {
        while !self.is_connected(from, to) {
            self.dial(from, self.net.address(to));
            let socket = self.net.address(to).socket;
            self.until(from, |seen| match seen {
                Seen::Connected { direction: Direction::Outbound, .. } => Some(()),
                Seen::DialFailed(address) if address.socket == socket => Some(()),
                _ => None,
            });
        }
        self.until_session(to, from);
    }

    /// Lets each side hear the other.
    #[track_caller]
    pub(super) fn talk(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.say(from, to, Message::Ping(71));
            assert_eq!(self.until_message(to, from), Message::Ping(71));
        }
    }

    /// Ends a case: a last dial of each side that runs comes back, so whatever came twice has come before it.
    #[track_caller]
    pub(super) fn end(mut self, running: &[usize]) {
        for side in running {
            self.dial(*side, self.net.nobody());
            let nobody = self.net.nobody().socket;
            self.until(*side, |seen| match seen {
                Seen::DialFailed(address) if address.socket == nobody => Some(()),
                _ => None,
            });
            assert_eq!(self.sides[*side].dials, [], "side {side}: dials without an outcome");
        }
    }
}
