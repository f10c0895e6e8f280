//! Claims a chain that it cannot show.
//!
//! Hello and status claim a height and a weight beyond everybody's; no block is announced. Asked for headers it makes
//! some up, gives the true ones cut short, or those of a lighter branch that it forged; asked for bodies it gives
//! others', none, too many, or the right ones too late. Some liars always tell the same lie about headers, the others
//! draw each answer anew; now and then it is the true one.

use super::{
    Setup,
    actor::Actor,
    announced,
    forge::{Forge, Recipe},
    late::Late,
    sessions::Sessions,
    shelf::Shelf,
};
use crate::rng::ChaCha8Rng;
use kette_node::{Input, Node, Output, serve, sync::BODIES_TIMEOUT};
use kette_types::{
    Address, B256, Body, Bytes, Header, Message, PeerId, SealedHeader, Time, U256,
    limits::BODIES_MAX, message::ChainStatus,
};
use rand::RngExt;
use std::{sync::Arc, time::Duration};

/// An actor that lies to those who sync from it.
pub(super) struct SyncLiar {
    rng: ChaCha8Rng,
    forge: Option<Forge>,
    shelf: Shelf,
    sessions: Sessions,
    late: Late,
    /// The lie about headers that it always tells; [`LIES`] if it has none.
    habit: u8,
}

impl SyncLiar {
    pub(super) fn new(mut setup: Setup<'_>) -> Self {
        Self {
            habit: setup.rng.random_range(0..=LIES),
            rng: setup.rng,
            forge: Forge::new(&setup.spec, &setup.memo),
            shelf: Shelf::default(),
            sessions: Sessions::default(),
            late: Late::default(),
        }
    }

    /// Answers a request, some time or not at all.
    fn answer(
        &mut self,
        node: &Node,
        now: Time,
        peer: PeerId,
        request: Message,
        out: &mut Vec<Output>,
    ) {
        let reader = node.tree().reader().clone();
        let truth = match self.shelf.answer(&*reader, &request) {
            Some(answer) => Some(answer),
            None => serve(&*reader, &request).ok().flatten(),
        };
        let answer = match truth {
            Some(Message::Headers { id, headers }) => {
                let Message::GetHeaders { locator, .. } = &request else { return };
                self.headers(node, id, headers, locator.first().copied())
            }
            Some(Message::Bodies { id, bodies }) => {
                let (bodies, wait) = self.bodies(node, bodies);
                let output = Output::Send(vec![peer], Arc::new(Message::Bodies { id, bodies }));
                return self.late.keep(now + wait, output);
            }
            Some(Message::BlockTransactions { block, mut transactions }) => {
                transactions.reverse();
                Some(Message::BlockTransactions { block, transactions })
            }
            _ => None,
        };
        out.extend(answer.map(|answer| Output::Send(vec![peer], Arc::new(answer))));
    }

    fn headers(
        &mut self,
        node: &Node,
        id: u64,
        mut truth: Vec<SealedHeader>,
        known: Option<B256>,
    ) -> Option<Message> {
        let lie = if self.habit < LIES { self.habit } else { self.rng.random_range(0..LIES) };
        let headers = match lie {
            // Nobody home.
            0 => return None,
            1 => Vec::new(),
            2 => self.made_up(node, known.unwrap_or_default()),
            3 => self.branch(node),
            4 => {
                truth.truncate(1);
                truth
            }
            5 => {
                // Not linked.
                truth.reverse();
                truth
            }
            // The true ones, as an answer to a question that nobody asked.
            6 => return Some(Message::Headers { id: id ^ 1 << 40, headers: truth }),
            _ => truth,
        };
        Some(Message::Headers { id, headers })
    }

    /// Makes up a linked chain without work after a block that the asker knows.
    fn made_up(&mut self, node: &Node, parent: B256) -> Vec<SealedHeader> {
        let mut last = node.tree().head().clone();
        let (mut parent, mut headers) = (parent, Vec::new());
        for _ in 0..MADE_UP {
            let header = Header {
                parent_hash: parent,
                number: last.number + 1,
                timestamp: last.timestamp + 1,
                difficulty: U256::from(1u64 << 40),
                state_root: B256::from(self.rng.random::<[u8; 32]>()),
                ..last.header().clone()
            };
            last = SealedHeader::new(header, Bytes::new());
            parent = last.hash();
            headers.push(last.clone());
        }
        headers
    }

    /// Forges a short branch off the canonical chain: valid, and lighter.
    fn branch(&mut self, node: &Node) -> Vec<SealedHeader> {
        self.try_branch(node).unwrap_or_default()
    }

    fn try_branch(&mut self, node: &Node) -> Option<Vec<SealedHeader>> {
        let forge = self.forge.as_ref()?;
        let tree = node.tree();
        let number = tree.head().number.checked_sub(self.rng.random_range(1..=FORK_DEPTH_MAX))?;
        let parent = forge.parent(node, tree.canonical(number).ok()??)?;
        let recipe = Recipe {
            timestamp: parent.block.header.timestamp + 1,
            beneficiary: Address::from(self.rng.random::<[u8; 20]>()),
            transactions: Vec::new(),
        };
        let block = forge.valid(node, &parent, &recipe)?;
        let headers = vec![block.header.clone()];
        self.shelf.keep(block);
        Some(headers)
    }

    /// Draws what bodies are given and how late.
    fn bodies(&mut self, node: &Node, mut truth: Vec<Body>) -> (Vec<Body>, Duration) {
        let mut wait = Duration::ZERO;
        match self.rng.random_range(0..6) {
            0 => truth.clear(),
            1 => truth.reverse(),
            2 => {
                for body in &mut truth {
                    body.transactions.clear();
                    body.ommers = vec![node.tree().head().header().clone()];
                }
            }
            3 => {
                let all = truth.iter().cloned().cycle().take(BODIES_MAX);
                truth = all.collect();
            }
            4 => wait = BODIES_TIMEOUT + Duration::from_secs(1),
            _ => wait = BODIES_TIMEOUT.saturating_sub(Duration::from_millis(600)),
        }
        (truth, wait)
    }

    /// Lies about the chain in what the node says of it.
    fn boast(&self, output: Output) -> Output {
        let Output::Send(peers, message) = output else { return output };
        let message = match &*message {
            Message::Hello(hello) => {
                let mut hello = hello.clone();
                hello.status = enormous(hello.status);
                Arc::new(Message::Hello(hello))
            }
            Message::Status(status) => Arc::new(Message::Status(enormous(*status))),
            _ => message,
        };
        Output::Send(peers, message)
    }
}

impl Actor for SyncLiar {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let outputs = node.handle(now, input);
        self.sessions.note(&outputs);
        let mut out = Vec::with_capacity(outputs.len());
        for output in outputs {
            match output {
                Output::Serve(peer, request) => self.answer(node, now, peer, request, &mut out),
                // A true block would take the place of the claim.
                output if announced(&output).is_some() => {}
                other => out.push(self.boast(other)),
            }
        }
        self.late.release(now, &self.sessions, &mut out);
        out
    }

    fn due(&self) -> Option<Time> {
        self.late.deadline()
    }
}

fn enormous(status: ChainStatus) -> ChainStatus {
    ChainStatus {
        number: status.number.saturating_add(1_000_000),
        weight: status.weight.saturating_add(U256::MAX >> 64),
        ..status
    }
}

/// Lies about headers.
const LIES: u8 = 8;
/// Headers made up for one answer.
const MADE_UP: usize = 50;
/// How far below the head its branches leave the chain.
const FORK_DEPTH_MAX: u64 = 5;
