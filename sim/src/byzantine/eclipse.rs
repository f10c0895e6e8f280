//! Surrounds peers with addresses of accomplices and tells them nothing.
//!
//! It dials everybody who is not an accomplice, names only accomplices when asked for addresses (and unasked), and
//! relays neither blocks nor transactions nor its status. A victim that has no other peer hears of nothing.

use super::{Setup, actor::Actor, sessions::Sessions, shuffle};
use crate::rng::ChaCha8Rng;
use kette_node::{Input, Node, Output};
use kette_types::{Lane, Message, PeerAddress, PeerId, Time, limits::PEERS_MAX};
use std::{sync::Arc, time::Duration};

/// An actor that eclipses.
pub(super) struct Eclipse {
    rng: ChaCha8Rng,
    sessions: Sessions,
    accomplices: Vec<PeerAddress>,
    victims: Vec<(PeerId, PeerAddress)>,
    /// When it dials and tells addresses next; `None` before the start.
    next: Option<Time>,
}

impl Eclipse {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        let Setup { host, rng, everybody, accomplices, .. } = setup;
        let others = accomplices.iter().filter(|index| **index != host);
        let mut addresses: Vec<PeerAddress> =
            others.filter_map(|index| everybody.get(*index)).map(|(_, address)| *address).collect();
        addresses.truncate(PEERS_MAX);
        let mut victims = Vec::new();
        for (index, (id, address)) in everybody.iter().enumerate() {
            if index != host && !accomplices.contains(&index) {
                victims.push((*id, address.with_peer(*id)));
            }
        }
        Self { rng, sessions: Sessions::default(), accomplices: addresses, victims, next: None }
    }

    /// Dials some victims and tells those it has about accomplices.
    fn surround(&mut self, now: Time, out: &mut Vec<Output>) {
        self.next = Some(now + ROUND);
        shuffle(&mut self.rng, &mut self.victims);
        let free = self.victims.iter().filter(|(id, _)| !self.sessions.contains(id));
        out.extend(free.take(DIALS_PER_ROUND).map(|(_, address)| Output::Dial(*address)));
        let peers = self.sessions.all();
        if !peers.is_empty() && !self.accomplices.is_empty() {
            out.push(Output::Send(peers, Arc::new(Message::Peers(self.accomplices.clone()))));
        }
    }

    /// Replaces what the node would say.
    fn silence(&self, output: Output) -> Option<Output> {
        match output {
            Output::Serve(..) => None,
            Output::Send(peers, message) => match &*message {
                Message::Peers(_) => {
                    Some(Output::Send(peers, Arc::new(Message::Peers(self.accomplices.clone()))))
                }
                Message::Status(_) => None,
                other if matches!(other.lane(), Lane::Announce | Lane::Inventory) => None,
                _ => Some(Output::Send(peers, message)),
            },
            other => Some(other),
        }
    }
}

impl Actor for Eclipse {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let starts = matches!(input, Input::Start);
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        let mut out: Vec<Output> = outputs.into_iter().filter_map(|o| self.silence(o)).collect();
        if starts || self.next.is_some_and(|next| next <= now) {
            self.surround(now, &mut out);
        }
        out
    }

    fn due(&self) -> Option<Time> {
        self.next
    }
}

/// Time between two rounds of dials and addresses.
const ROUND: Duration = Duration::from_secs(10);
/// Victims dialled in a round.
const DIALS_PER_ROUND: usize = 8;
