//! The hello: who is let in, and why not.

use super::{
    Config, Peers,
    book::{Endpoint, Group},
    eviction::{self, Candidate},
    session::Greeted,
};
use crate::{Event, Output};
use kette_types::{
    Direction, DisconnectReason, Hello, Message, PeerAddress, PeerId, Time,
    limits::PROTOCOL_VERSION, message::ChainStatus, spec::NetworkKind,
};
use std::{net::SocketAddr, sync::Arc};

/// Says whether a hello comes from another node of the same chain.
///
/// # Errors
/// The reason that both sides log.
pub fn check(config: &Config, nonce: u64, hello: &Hello) -> Result<(), DisconnectReason> {
    if hello.version != PROTOCOL_VERSION {
        return Err(DisconnectReason::WrongVersion);
    }
    if hello.nonce == nonce {
        return Err(DisconnectReason::SelfConnection);
    }
    if hello.chain_id != config.chain_id {
        return Err(DisconnectReason::WrongChainId);
    }
    // The rules belong to the genesis file, so other rules are another genesis to people.
    if hello.genesis != config.genesis || hello.rules != config.rules {
        return Err(DisconnectReason::WrongGenesis);
    }
    Ok(())
}

/// Decides between two sessions with one peer; both sides decide alike. Of two that were dialled by
/// different sides the one dialled by the smaller id stays, of two dialled by one side the newer.
pub fn keeps_new(me: PeerId, peer: PeerId, old: Direction, new: Direction) -> bool {
    let dialler = |direction| if direction == Direction::Outbound { me } else { peer };
    old == new || dialler(new) < dialler(old)
}

impl Peers {
    /// Builds our own hello.
    pub(super) fn own_hello(&self, now: Time, status: ChainStatus) -> Message {
        let config = &self.config;
        Message::Hello(Box::new(Hello {
            version: PROTOCOL_VERSION,
            chain_id: config.chain_id,
            genesis: config.genesis,
            rules: config.rules,
            nonce: self.nonce,
            clock_ms: now.as_millis(),
            listen: config.listen,
            agent: config.agent.clone(),
            moniker: config.moniker.clone(),
            region: config.region.clone(),
            status,
        }))
    }

    /// Judges a peer's hello; `true` if the peer is ready now. `status` is what our chain looks like.
    pub fn hello(
        &mut self,
        now: Time,
        peer: PeerId,
        hello: Hello,
        status: ChainStatus,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(session) = self.sessions.get(&peer).filter(|s| !s.is_ready()) else {
            return false;
        };
        let (address, direction, started) = (session.address, session.direction, session.started);
        let verdict = check(&self.config, self.nonce, &hello);
        if let Err(reason) = verdict.and_then(|()| self.admit(now, peer, direction, out)) {
            self.end(now, peer, reason, out);
            self.flush(out);
            return false;
        }
        let region = printable(&hello.region);
        let listen = self.learn_address(now, peer, &address, direction, &hello, &region);
        let moniker = printable(&hello.moniker);
        let skew_ms = i64::try_from(i128::from(hello.clock_ms) - i128::from(now.as_millis()));
        let greeted = Greeted {
            at: now,
            listen,
            moniker: moniker.clone(),
            agent: printable(&hello.agent),
            region,
            status: hello.status,
            skew_ms: skew_ms.unwrap_or(i64::MAX),
        };
        let session = self.sessions.get_mut(&peer).expect("looked up above, and admitted");
        session.greeted = Some(greeted);
        let outdated = session.told != status;
        session.told = status;
        self.note_due(&peer);
        self.counts.handshakes_completed += 1;
        self.dial_due = Time::ZERO;
        let handshake_ms = u64::try_from(now.since(started).as_millis()).unwrap_or(u64::MAX);
        out.push(Output::Event(Event::PeerUp { peer, address, direction, moniker, handshake_ms }));
        if outdated {
            out.push(Output::Send(vec![peer], Arc::new(Message::Status(status))));
        }
        self.ask_newcomer(peer, direction, out);
        self.watch_clock(out);
        self.flush(out);
        true
    }

    /// Finds a slot, evicting somebody on public networks, or names alternatives and refuses.
    fn admit(
        &mut self,
        now: Time,
        peer: PeerId,
        direction: Direction,
        out: &mut Vec<Output>,
    ) -> Result<(), DisconnectReason> {
        if self.is_configured(&peer) {
            return Ok(());
        }
        let ready = self.sessions.values().filter(|s| s.is_ready());
        let (inbound, outbound): (Vec<_>, Vec<_>) =
            ready.partition(|s| s.direction == Direction::Inbound);
        let full = inbound.len() + outbound.len() >= self.config.sessions_max
            || (direction == Direction::Inbound && inbound.len() >= self.config.inbound_max);
        if !full {
            return Ok(());
        }
        if direction == Direction::Inbound && self.config.kind == NetworkKind::Public {
            let candidates = self.eviction_candidates();
            if let Some(victim) = eviction::select(self.eviction_key, &candidates) {
                self.end(now, victim, DisconnectReason::Evicted, out);
                return Ok(());
            }
        }
        let alternatives = self.answer(now, &peer);
        if !alternatives.is_empty() {
            out.push(Output::Send(vec![peer], Arc::new(Message::Peers(alternatives))));
        }
        Err(DisconnectReason::TooManyPeers)
    }

    fn eviction_candidates(&self) -> Vec<Candidate> {
        self.sessions
            .iter()
            .filter(|(peer, s)| {
                s.is_ready() && s.direction == Direction::Inbound && !self.is_configured(peer)
            })
            .map(|(peer, s)| Candidate {
                peer: *peer,
                group: Group::of(self.config.kind, s.address.socket),
                since: s.since,
                rtt_min_ms: s.rtt_min_ms,
                useful_transaction: s.useful_transaction,
                useful_block: s.useful_block,
            })
            .collect()
    }

    /// Remembers where the peer can be dialled and returns where it says so: the IP that we saw with the
    /// port that it named.
    fn learn_address(
        &mut self,
        now: Time,
        peer: PeerId,
        seen: &PeerAddress,
        direction: Direction,
        hello: &Hello,
        region: &str,
    ) -> Option<PeerAddress> {
        let port = hello.listen.socket.port();
        let listen = (port != 0).then(|| PeerAddress {
            peer: Some(peer),
            socket: SocketAddr::new(seen.socket.ip().to_canonical(), port),
            transport: hello.listen.transport,
        });
        if direction == Direction::Outbound {
            // We reached this one ourselves; what it says beyond that proves nothing.
            let endpoint = Endpoint::of(seen);
            self.book.reached(now, endpoint, peer, region, &mut self.records);
        } else if let Some(listen) = &listen {
            let endpoint = Endpoint::of(listen);
            if !self.own.contains(&endpoint) {
                let source = Group::of(self.config.kind, seen.socket);
                self.book.heard(endpoint, source, &mut self.records);
                if !region.is_empty() {
                    self.book.set_region(&endpoint, region);
                }
            }
        }
        listen
    }

    fn watch_clock(&mut self, out: &mut Vec<Output>) {
        let Some(median) = self.clock_skew_ms() else { return };
        let off = median.unsigned_abs() > SKEW_ALARM_MS;
        if off && !self.skew_alarmed {
            let side = if median > 0 { "behind" } else { "ahead of" };
            out.push(Output::Event(Event::Alarm(format!(
                "this node's clock is {} ms {side} its peers' (median): check its time source",
                median.unsigned_abs()
            ))));
        }
        self.skew_alarmed = off;
    }
}

/// Drops characters that would let a peer write into our logs and terminals.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

/// Clocks that differ by more than this are worth an alarm.
const SKEW_ALARM_MS: u64 = 5_000;
