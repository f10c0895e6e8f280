//! Sends more than anybody asked for, and rubbish.
//!
//! Each session gets one kind of spam, drawn when it begins, so that every limit is reached and not only the first
//! one that bans. Half of the sessions are flooded; the other half get it slowly, below most limits and for long.

use super::{Setup, actor::Actor, flaw, pick, sessions::Sessions};
use crate::rng::ChaCha8Rng;
use kette_node::{Event, Input, Node, Output, relay};
use kette_types::{
    B256, Body, Bytes, Message, PeerAddress, PeerId, Time, Transaction, U256,
    limits::{BODIES_MAX, HEADERS_MAX, LOCATOR_MAX, PEERS_MAX},
    message::ChainStatus,
};
use rand::RngExt;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// An actor that floods its peers.
pub(super) struct Spammer {
    rng: ChaCha8Rng,
    chain_id: u64,
    sessions: Sessions,
    /// What each session gets, and whether slowly.
    plans: BTreeMap<PeerId, (Spam, bool)>,
    /// Signed once: signing is what costs.
    penniless: Vec<Transaction>,
    /// What it said first.
    hello: Option<Arc<Message>>,
    /// When it sends again; `None` while nobody listens.
    next: Option<Time>,
    rounds: u64,
}

/// A kind of spam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spam {
    /// Hashes of transactions that do not exist.
    Inventory,
    /// The same transactions again and again.
    Repeats,
    /// Transactions with invalid signatures.
    BadSignatures,
    /// Well-formed transactions of accounts without coins.
    Penniless,
    /// Questions for transactions that do not exist.
    Questions,
    /// Questions for headers.
    GetHeaders,
    /// Questions for bodies.
    GetBodies,
    /// Questions for parts of blocks.
    GetBlockTransactions,
    /// Questions for addresses.
    GetPeers,
    /// Addresses where nobody lives.
    Junk,
    /// Its newest block again and again.
    OldBlocks,
    /// Answers that nobody asked for.
    Answers,
    /// Claims that change all the time.
    Status,
    /// Pings.
    Pings,
    /// Messages for an engine that has none.
    Engine,
    /// A second hello.
    Hello,
}

impl Spam {
    const ALL: [Self; 16] = [
        Self::Inventory,
        Self::Repeats,
        Self::BadSignatures,
        Self::Penniless,
        Self::Questions,
        Self::GetHeaders,
        Self::GetBodies,
        Self::GetBlockTransactions,
        Self::GetPeers,
        Self::Junk,
        Self::OldBlocks,
        Self::Answers,
        Self::Status,
        Self::Pings,
        Self::Engine,
        Self::Hello,
    ];
}

impl Spammer {
    pub(super) fn new(setup: Setup<'_>) -> Self {
        Self {
            rng: setup.rng,
            chain_id: setup.spec.chain_id(),
            sessions: Sessions::default(),
            plans: BTreeMap::new(),
            penniless: (0..ITEMS as u64)
                .filter_map(|nonce| flaw::penniless_transaction(setup.spec.chain_id(), nonce))
                .collect(),
            hello: None,
            next: None,
            rounds: 0,
        }
    }

    /// Follows sessions, and draws what each new one gets.
    fn plan(&mut self, now: Time, outputs: &[Output]) {
        self.sessions.note(outputs);
        for output in outputs {
            match output {
                Output::Event(Event::PeerUp { peer, .. }) => {
                    if let Some(spam) = pick(&mut self.rng, &Spam::ALL) {
                        self.plans.insert(*peer, (*spam, self.rng.random()));
                    }
                }
                Output::Event(Event::PeerDown { peer, .. }) => drop(self.plans.remove(peer)),
                Output::Send(_, message) if matches!(**message, Message::Hello(_)) => {
                    self.hello = Some(message.clone());
                }
                _ => {}
            }
        }
        self.next = if self.sessions.is_empty() { None } else { self.next.or(Some(now + ROUND)) };
    }

    /// Sends one round.
    fn spam(&mut self, node: &Node, now: Time, out: &mut Vec<Output>) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.next = Some(now + ROUND);
        self.rounds += 1;
        let slowly = self.rounds.is_multiple_of(SLOW_ROUNDS);
        let frames = if slowly { 1 } else { FRAMES_PER_ROUND };
        let plans = self.plans.iter().filter(|(_, (_, slow))| *slow == slowly);
        let targets: Vec<(PeerId, Spam)> = plans.map(|(peer, (spam, _))| (*peer, *spam)).collect();
        let Some((peer, spam)) = pick(&mut self.rng, &targets).copied() else { return };
        for _ in 0..frames {
            let message = self.message(node, spam);
            out.extend(message.map(|message| Output::Send(vec![peer], message)));
        }
    }

    /// Makes a message of a kind of spam.
    fn message(&mut self, node: &Node, spam: Spam) -> Option<Arc<Message>> {
        let id = self.rng.random();
        let message = match spam {
            Spam::Inventory => Message::NewTransactions(self.hashes(ITEMS)),
            Spam::Repeats => {
                let same = node.mempool().best(0).next().map(|t| t.inner().clone());
                let same = same.or_else(|| self.penniless.first().cloned())?;
                Message::Transactions(vec![same; ITEMS])
            }
            Spam::BadSignatures => {
                let nonce = self.rng.random::<u32>().into();
                Message::Transactions(vec![flaw::forged_transaction(self.chain_id, nonce)])
            }
            Spam::Penniless => {
                Message::Transactions(vec![pick(&mut self.rng, &self.penniless)?.clone()])
            }
            Spam::Questions => Message::GetTransactions(self.hashes(ITEMS)),
            Spam::GetHeaders => {
                let mut locator = self.hashes(LOCATOR_MAX - 1);
                locator.push(node.tree().canonical(0).ok()??);
                Message::GetHeaders { id, locator, limit: HEADERS_MAX as u32 }
            }
            Spam::GetBodies => {
                let head = node.tree().head().hash();
                Message::GetBodies { id, hashes: vec![head; BODIES_MAX] }
            }
            Spam::GetBlockTransactions => {
                let block = node.tree().head().hash();
                Message::GetBlockTransactions { block, indexes: (0..ITEMS as u32).rev().collect() }
            }
            Spam::GetPeers => Message::GetPeers,
            Spam::Junk => Message::Peers((0..PEERS_MAX).map(|_| self.junk()).collect()),
            Spam::OldBlocks => {
                let block = &node.tree().head_block().block;
                if block.header.number == 0 {
                    return None;
                }
                Message::NewBlock(Box::new(relay::compact(block)))
            }
            Spam::Answers => match self.rng.random_range(0..4) {
                0 => Message::Pong(id),
                1 => {
                    let headers = vec![node.tree().head().clone()];
                    Message::Headers { id, headers }
                }
                2 => Message::Bodies { id, bodies: vec![Body::default(); ITEMS] },
                _ => {
                    let block = node.tree().head().hash();
                    Message::BlockTransactions { block, transactions: Vec::new() }
                }
            },
            Spam::Status => Message::Status(ChainStatus {
                head: self.hash(),
                number: self.rng.random(),
                weight: U256::from(self.rng.random::<u128>()),
                finalized: self.rng.random(),
            }),
            Spam::Pings => Message::Ping(id),
            Spam::Engine => Message::Engine(Bytes::copy_from_slice(&self.rng.random::<[u8; 32]>())),
            Spam::Hello => return self.hello.clone(),
        };
        Some(Arc::new(message))
    }

    fn hash(&mut self) -> B256 {
        B256::from(self.rng.random::<[u8; 32]>())
    }

    fn hashes(&mut self, count: usize) -> Vec<B256> {
        (0..count).map(|_| self.hash()).collect()
    }

    /// Makes up an address in the private range that no host of a simulation has.
    fn junk(&mut self) -> PeerAddress {
        let [a, b] = self.rng.random::<[u8; 2]>();
        PeerAddress::tcp(SocketAddr::from(([172, 16, a, b], self.rng.random_range(1..=u16::MAX))))
    }
}

impl Actor for Spammer {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let mut out = node.handle(now, input);
        self.plan(now, &out);
        self.spam(node, now, &mut out);
        out
    }

    fn due(&self) -> Option<Time> {
        self.next
    }
}

/// Time between two rounds: with [`FRAMES_PER_ROUND`] at most 200 frames per second, so that simulations stay cheap.
const ROUND: Duration = Duration::from_millis(50);
/// Frames of a round to a session that is flooded.
const FRAMES_PER_ROUND: usize = 10;
/// Every so many rounds the slow sessions have their turn, with one frame.
const SLOW_ROUNDS: u64 = 10;
/// Items in one message.
const ITEMS: usize = 16;
