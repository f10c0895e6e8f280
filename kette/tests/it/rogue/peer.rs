//! A peer that says whatever a test wants, over the program's own transport.

use crate::harness::{Chain, Node, secs, until};
use kette_network::{Config, Network, NetworkEvent};
use kette_types::{
    DisconnectReason, Hello, Message, PeerAddress, PeerId, limits::PROTOCOL_VERSION,
    message::ChainStatus,
};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Runtime, sync::mpsc::Receiver};

/// One session with a node.
pub(super) struct Rogue {
    target: PeerId,
    network: Network,
    events: Receiver<NetworkEvent>,
    runtime: Runtime,
    /// Why the node said that it ends the session.
    pub(super) goodbye: Option<DisconnectReason>,
    /// How the session ended.
    over: Option<DisconnectReason>,
}

impl Rogue {
    /// Opens a session and says nothing.
    pub(super) fn silent(node: &Node, chain: &Chain, seed: u8) -> Self {
        until("a session", secs(10), || Self::connect(node, chain, seed)).0
    }

    /// Tries to open a session.
    pub(super) fn connect(node: &Node, chain: &Chain, seed: u8) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (genesis, _) = kette_ledger::genesis(&chain.spec()).expect("a genesis block");
        let config = Config::new([seed; 32], vec![([127, 0, 0, 1], 0).into()], genesis.hash());
        let (network, events) =
            runtime.block_on(kette_network::start(config)).expect("the rogue starts");
        let address: PeerAddress = format!("127.0.0.1:{}", node.p2p).parse().expect("an address");
        network.dial(address);
        let target = network.peer_id();
        let mut rogue = Self { target, network, events, runtime, goodbye: None, over: None };
        let found = rogue.next(secs(3), |event| match event {
            NetworkEvent::Connected { peer, session, .. } => Some(Ok((*peer, *session))),
            NetworkEvent::DialFailed { error, .. } => Some(Err(error.clone())),
            _ => None,
        });
        let (target, session) = found.unwrap_or_else(|| Err("nothing".to_owned()))?;
        rogue.target = target;
        rogue.network.meet(target, session);
        Ok(rogue)
    }

    /// Opens a session and greets as a good node of this chain does, with this claim.
    pub(super) fn greet(node: &Node, chain: &Chain, seed: u8, claim: ChainStatus) -> Self {
        let mut rogue = Self::silent(node, chain, seed);
        rogue.say(Message::Hello(Box::new(hello(chain, claim))));
        let answer =
            rogue.hear(secs(10), |message| matches!(message, Message::Hello(_)).then_some(()));
        assert!(answer.is_some(), "no hello; goodbye {:?}", rogue.goodbye);
        rogue
    }

    /// Greets with nothing to offer.
    pub(super) fn ready(node: &Node, chain: &Chain, seed: u8) -> Self {
        Self::greet(node, chain, seed, ChainStatus::default())
    }

    /// Says something; tells whether it was queued.
    pub(super) fn say(&self, message: Message) -> bool {
        self.network.send(self.target, Arc::new(message)).is_ok()
    }

    /// Waits for a message that `pick` takes; `None` if the session or the time ends before.
    pub(super) fn hear<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Message) -> Option<T>,
    ) -> Option<T> {
        let heard = self.next(limit, |event| match event {
            NetworkEvent::Message { message, .. } => pick(message).map(Some),
            NetworkEvent::Disconnected { .. } => Some(None),
            _ => None,
        });
        heard.flatten()
    }

    /// Waits until the node ends the session; returns the reason it gave.
    #[track_caller]
    pub(super) fn ended(&mut self, limit: Duration) -> DisconnectReason {
        if self.over.is_none() {
            self.next(limit, |event| {
                matches!(event, NetworkEvent::Disconnected { .. }).then_some(())
            });
        }
        let reason = self.over.unwrap_or_else(|| panic!("still connected after {limit:?}"));
        self.goodbye.unwrap_or(reason)
    }

    /// Waits until the node has looked at everything said before; tells whether the session still stands.
    pub(super) fn stands(&mut self) -> bool {
        const NUMBER: u64 = 0x6b65_7474;
        // The least urgent question: its answer comes after all else was taken.
        self.say(Message::GetHeaders { id: NUMBER, locator: Vec::new(), limit: 0 });
        let answer = |m: &Message| matches!(m, Message::Headers { id: NUMBER, .. }).then_some(());
        self.hear(secs(20), answer).is_some()
    }

    fn next<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&NetworkEvent) -> Option<T>,
    ) -> Option<T> {
        if self.over.is_some() {
            return None;
        }
        let (events, goodbye, over) = (&mut self.events, &mut self.goodbye, &mut self.over);
        self.runtime.block_on(async {
            tokio::time::timeout(limit, async {
                loop {
                    let event = events.recv().await?;
                    match &event {
                        NetworkEvent::Message { message: Message::Goodbye(reason), .. } => {
                            *goodbye = Some(*reason);
                        }
                        NetworkEvent::Disconnected { reason, .. } => *over = Some(*reason),
                        _ => {}
                    }
                    if let Some(found) = pick(&event) {
                        return Some(found);
                    }
                }
            })
            .await
            .ok()
            .flatten()
        })
    }
}

/// What a good node of this chain says first.
pub(super) fn hello(chain: &Chain, status: ChainStatus) -> Hello {
    let spec = chain.spec();
    let (genesis, _) = kette_ledger::genesis(&spec).expect("a genesis block");
    Hello {
        version: PROTOCOL_VERSION,
        chain_id: spec.chain_id(),
        genesis: genesis.hash(),
        rules: spec.rules_hash(),
        nonce: 1,
        clock_ms: 0,
        listen: "127.0.0.1:1".parse().expect("an address"),
        agent: "rogue".to_owned(),
        moniker: String::new(),
        region: String::new(),
        status,
    }
}
