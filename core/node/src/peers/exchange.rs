//! Peer exchange: asking for addresses, answering with a few, and what is believed.

use super::{
    Peers,
    book::{Endpoint, Group, SHARE_MIN},
};
use crate::Output;
use kette_types::{Direction, Message, PeerAddress, PeerId, Time, limits::PEERS_MAX};
use rand::RngExt;
use std::sync::Arc;

/// An answer that everybody gets for a while, so that asking often shows no more of the book.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    at: Time,
    book_len: usize,
    addresses: Vec<PeerAddress>,
}

impl Peers {
    /// Takes a question for addresses or an answer; other messages are not for this part.
    pub fn exchange(&mut self, now: Time, peer: PeerId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::GetPeers => self.get_peers(now, peer, out),
            Message::Peers(addresses) => self.peers(now, peer, &addresses, out),
            _ => {}
        }
    }

    /// Answers a question for addresses.
    fn get_peers(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        if self.is_ready(&peer) {
            let addresses = self.answer(now, &peer);
            out.push(Output::Send(vec![peer], Arc::new(Message::Peers(addresses))));
        }
    }

    /// Takes addresses from a peer: as many as it may tell, without the identities it claims for them.
    fn peers(&mut self, now: Time, peer: PeerId, addresses: &[PeerAddress], out: &mut Vec<Output>) {
        if !self.config.discovery {
            return;
        }
        let Some(session) = self.sessions.get_mut(&peer).filter(|s| s.is_ready()) else { return };
        let told = u64::try_from(addresses.len()).unwrap_or(u64::MAX);
        let believed = usize::try_from(session.addresses.take_up_to(now, told)).unwrap_or(0);
        let source = Group::of(self.config.kind, session.address.socket);
        self.hear(&addresses[..believed.min(addresses.len())], source);
        self.dial(now, out);
        self.flush(out);
    }

    /// Takes addresses that the host's discovery found.
    pub fn discovered(&mut self, now: Time, addresses: &[PeerAddress], out: &mut Vec<Output>) {
        if self.config.discovery {
            self.hear(&addresses[..addresses.len().min(DISCOVERED_MAX)], Group::DISCOVERY);
            self.dial(now, out);
        }
        self.flush(out);
    }

    /// Returns how many addresses are known.
    pub fn known_addresses(&self) -> usize {
        self.book.len()
    }

    fn hear(&mut self, addresses: &[PeerAddress], source: Group) {
        for address in addresses {
            let endpoint = Endpoint::of(address);
            if !self.own.contains(&endpoint) {
                self.book.heard(endpoint, source, &mut self.records);
            }
        }
        self.dial_due = Time::ZERO;
    }

    /// Returns the current answer, without the asker itself.
    pub(super) fn answer(&mut self, now: Time, asker: &PeerId) -> Vec<PeerAddress> {
        if !self.config.discovery {
            return Vec::new();
        }
        // A young book grows quickly, and its first answer would starve newcomers for the whole time.
        let valid = self.answer.as_ref().is_some_and(|a| {
            now < a.at + self.config.answer_ttl
                && (a.addresses.len() >= SHARE_MIN || a.book_len == self.book.len())
        });
        if !valid {
            let addresses = self.book.sample(&mut self.rng, PEERS_MAX);
            self.answer = Some(Answer { at: now, book_len: self.book.len(), addresses });
        }
        let session = self.sessions.get(asker);
        let answer = self.answer.as_ref().expect("made above");
        let is_asker = |a: &PeerAddress| session.is_some_and(|s| s.listens_at(&Endpoint::of(a)));
        answer.addresses.iter().filter(|a| !is_asker(a)).copied().collect()
    }

    /// Asks a new peer for addresses: always if we chose it, else only if we know few, because an
    /// attacker would rather come than wait to be chosen.
    pub(super) fn ask_newcomer(
        &mut self,
        peer: PeerId,
        direction: Direction,
        out: &mut Vec<Output>,
    ) {
        let hungry = self.book.len() < BOOK_SMALL || self.config.is_local();
        if direction == Direction::Outbound || hungry {
            self.ask(peer, out);
        }
    }

    /// Asks somebody again while outbound slots are free.
    pub(super) fn ask_again(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.ask_at {
            return;
        }
        self.ask_at = now + self.config.ask_interval;
        if self.outbound() >= self.config.outbound_target {
            return;
        }
        let ready: Vec<PeerId> = self.ready().collect();
        if !ready.is_empty() {
            let chosen = ready[self.rng.random_range(0..ready.len())];
            self.ask(chosen, out);
        }
    }

    fn ask(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        if !self.config.discovery {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.addresses.grant(PEERS_MAX as u64);
            out.push(Output::Send(vec![peer], Arc::new(Message::GetPeers)));
        }
    }
}

/// Addresses that are taken from one report of the host's discovery.
const DISCOVERED_MAX: usize = 256;
/// A book below this asks everybody.
const BOOK_SMALL: usize = 64;
