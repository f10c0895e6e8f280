//! Puppets: peers that a test speaks for.

use super::{
    forge::{CHAIN_ID, Forge},
    world::{Remote, World},
};
use crate::Input;
use kette_types::{
    B256, Direction, DisconnectReason, Fault, Hello, Message, PeerAddress, PeerId, U256,
    limits::PROTOCOL_VERSION, message::ChainStatus,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(super) struct Puppet {
    pub(super) id: PeerId,
    pub(super) host: usize,
    pub(super) link: u64,
    pub(super) inbox: Vec<Arc<Message>>,
    pub(super) closed: Option<DisconnectReason>,
}

impl World {
    /// Connects a puppet that has not said hello.
    pub(super) fn stranger(&mut self, i: usize) -> usize {
        let p = self.puppets.len();
        let id = PeerId(B256::left_padding_from(&[0xbb, p as u8]));
        self.links += 1;
        let link = self.links;
        self.puppets.push(Puppet { id, host: i, link, inbox: Vec::new(), closed: None });
        self.hosts[i].links.insert(id, (link, Remote::Puppet(p)));
        let port = 50_000 + p as u16;
        let address = PeerAddress::tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        self.input(i, Input::Connected { peer: id, address, direction: Direction::Inbound });
        p
    }

    pub(super) fn hello(&self, claim: ChainStatus) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            chain_id: CHAIN_ID,
            genesis: self.genesis,
            rules: self.spec.rules_hash(),
            nonce: 0xdead_0000 + self.puppets.len() as u64,
            clock_ms: self.now.as_millis(),
            listen: PeerAddress::tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            agent: "puppet".to_owned(),
            moniker: String::new(),
            region: String::new(),
            status: claim,
        }
    }

    /// Connects a puppet that claims this chain.
    pub(super) fn puppet(&mut self, i: usize, number: u64, weight: U256) -> usize {
        let p = self.stranger(i);
        let claim = ChainStatus { head: B256::ZERO, number, weight, finalized: 0 };
        let hello = self.hello(claim);
        self.say(p, Message::Hello(Box::new(hello)));
        assert!(self.puppets[p].closed.is_none());
        p
    }

    /// Connects a puppet that claims nothing.
    pub(super) fn quiet(&mut self, i: usize) -> usize {
        self.puppet(i, 0, U256::ZERO)
    }

    /// Says something for a puppet; what the node said since is read with [`Self::hear`].
    pub(super) fn say(&mut self, p: usize, message: Message) {
        let Puppet { id, host, link, .. } = self.puppets[p];
        if self.hosts[host].links.get(&id).is_some_and(|(open, _)| *open == link) {
            self.input(host, Input::Message(id, message));
        }
    }

    /// Takes what the node said to a puppet.
    pub(super) fn hear(&mut self, p: usize) -> Vec<Arc<Message>> {
        std::mem::take(&mut self.puppets[p].inbox)
    }

    /// Lets a puppet answer as an honest node whose head is `tip`, for a while.
    pub(super) fn serve(&mut self, p: usize, forge: &Forge, tip: B256, time: Duration) {
        self.serve_all(&[(p, tip)], forge, time);
    }

    /// Lets puppets answer as honest nodes with these heads, for a while.
    pub(super) fn serve_all(&mut self, puppets: &[(usize, B256)], forge: &Forge, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            for (p, tip) in puppets {
                for message in self.hear(*p) {
                    if let Some(answer) = forge.answer(*tip, &message) {
                        self.say(*p, answer);
                    }
                }
            }
            self.run(Duration::from_millis(50));
        }
    }

    /// Hangs up for a puppet.
    pub(super) fn hang_up(&mut self, p: usize) {
        let Puppet { id, host, .. } = self.puppets[p];
        if self.hosts[host].links.remove(&id).is_some() {
            let reason = DisconnectReason::ConnectionLost;
            self.input(host, Input::Disconnected { peer: id, reason });
        }
    }

    /// Returns what a puppet was blamed for.
    pub(super) fn blamed(&self, p: usize) -> Vec<Fault> {
        let id = self.puppets[p].id;
        let faults = self.faults(self.puppets[p].host);
        faults.into_iter().filter(|(peer, _)| *peer == id).map(|(_, fault)| fault).collect()
    }
}
