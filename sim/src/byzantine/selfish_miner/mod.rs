//! Keeps blocks private to waste others' work (Eyal and Sirer, Majority is not enough: Bitcoin mining is vulnerable,
//! 2014, section 4).
//!
//! Two honest nodes under one identity. `public` has the sessions and does not mine: its head is what everybody knows.
//! `private` mines, has no session, and sees only what the strategy gives it: the public chain whenever the pool gives
//! up its own branch. So in a tie the pool goes on mining on its own block, whatever the fork choice of the others says.
//!
//! In the paper a share `gamma` of the others mines on the pool's block in a tie. Kette's fork choice takes the smaller
//! hash and not the first seen, so in each tie either all others do or none, with equal chances: revenue depends on
//! gamma linearly, so on average it is that of gamma = 1/2, however well the pool is connected.
//!
//! Lengths are compared, as in the paper, and not weights: with a difficulty that follows the clock the two may
//! disagree in a tie, which costs the pool a little.

mod strategy;

use super::{OWN_TICKET, Setup};
use crate::{Machine, memo::Memo};
use kette_consensus::{Job, JobId, JobResult};
use kette_node::{Command, Event, Input, Node, Output};
use kette_types::{B256, Block, Time};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use strategy::{Move, Strategy};

/// An actor that mines selfishly.
pub(super) struct SelfishMiner {
    public: Node,
    private: Node,
    memo: Arc<Memo>,
    strategy: Strategy,
    /// Own blocks that nobody knows, ascending.
    withheld: VecDeque<Block>,
    /// Own blocks by hash: number, and whether the world was told who produced it.
    own: BTreeMap<B256, (u64, bool)>,
}

impl SelfishMiner {
    pub(super) fn new(node: Node, setup: Setup<'_>) -> Self {
        let private = (setup.another)();
        let head = node.tree().head().number;
        Self {
            public: node,
            private,
            memo: setup.memo,
            strategy: Strategy::new(head),
            withheld: VecDeque::new(),
            own: BTreeMap::new(),
        }
    }

    /// Gives the node with the sessions an input; appends what it orders.
    fn tell_public(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        let outputs = self.public.handle(now, input);
        out.extend(outputs.into_iter().filter(|output| match output {
            // It does not mine.
            Output::Start(_, Job::Mine(_)) => false,
            Output::Cancel(id) => !is_search(*id),
            Output::Reply(ticket, _) => *ticket != OWN_TICKET,
            _ => true,
        }));
    }

    /// Gives the mining node an input and lets it do what follows at once. Appends its orders for searches; returns
    /// the blocks that it found.
    fn tell_private(&mut self, now: Time, input: Input, out: &mut Vec<Output>) -> Vec<B256> {
        let mut found = Vec::new();
        let mut inputs = VecDeque::from([input]);
        for _ in 0..STEPS_MAX {
            let due = self.private.deadline().is_some_and(|due| due <= now);
            let Some(input) = inputs.pop_front().or_else(|| due.then_some(Input::Tick)) else {
                break;
            };
            for output in self.private.handle(now, input) {
                match output {
                    Output::Start(id, Job::Recover(transactions)) => {
                        let senders = self.memo.recover(&transactions);
                        inputs.push_back(Input::Done(id, JobResult::Senders(senders)));
                    }
                    Output::Start(..) | Output::Cancel(_) => out.push(output),
                    Output::Reply(ticket, _) if ticket != OWN_TICKET => out.push(output),
                    Output::Event(Event::Produced { hash, .. }) => found.push(hash),
                    // It has neither disk nor sessions, and its view is nobody's business.
                    _ => {}
                }
            }
        }
        found
    }

    /// Lets the mining node take an input, and does what the strategy makes of blocks found by it.
    fn mine(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        for hash in self.tell_private(now, input, out) {
            let Some(block) = self.private.tree().executed(hash) else { continue };
            let block = block.block.clone();
            self.remember(hash, block.header.number);
            self.withheld.push_back(block);
            let number = self.private.tree().head().number;
            let mut decision = self.strategy.pool_found(number);
            if self.withheld.len() >= WITHHELD_MAX {
                decision = self.strategy.give_up_lead();
            }
            self.act(now, decision, out);
        }
    }

    fn act(&mut self, now: Time, decision: Move, out: &mut Vec<Output>) {
        match decision {
            Move::Wait => {}
            Move::Adopt => self.adopt(now, out),
            Move::PublishOne => self.publish(now, 1, out),
            Move::Race | Move::Win => self.publish(now, usize::MAX, out),
        }
    }

    fn publish(&mut self, now: Time, count: usize, out: &mut Vec<Output>) {
        let count = count.min(self.withheld.len());
        for block in self.withheld.drain(..count).collect::<Vec<_>>() {
            self.tell_public(now, Input::SubmitBlock(OWN_TICKET, Box::new(block)), out);
        }
    }

    /// Gives the mining node the public chain.
    fn adopt(&mut self, now: Time, out: &mut Vec<Output>) {
        self.withheld.clear();
        let mut missing = Vec::new();
        let mut cursor = self.public.tree().head().hash();
        while !self.private.tree().contains(cursor) {
            let Some(block) = whole(&self.public, cursor) else { return };
            cursor = block.header.parent_hash;
            missing.push(block);
        }
        for block in missing.into_iter().rev() {
            self.mine(now, Input::SubmitBlock(OWN_TICKET, Box::new(block)), out);
        }
        self.strategy.adopted(self.private.tree().head().number);
    }

    /// Looks at what became public since `from`, and answers it.
    fn react(&mut self, now: Time, mut from: usize, out: &mut Vec<Output>) {
        while let Some(output) = out.get(from) {
            from += 1;
            let news: Vec<(u64, B256)> = match output {
                Output::Event(Event::Head { added, .. }) => {
                    added.iter().map(|block| (block.number(), block.hash())).collect()
                }
                Output::Event(Event::SideBlock { number, hash }) => vec![(*number, *hash)],
                Output::Event(Event::Pending(transaction)) => {
                    let transaction = (**transaction).clone();
                    self.mine(now, Input::Submit(OWN_TICKET, transaction), out);
                    continue;
                }
                _ => continue,
            };
            for (number, hash) in news {
                match self.own.get_mut(&hash) {
                    Some((_, told)) => {
                        if !std::mem::replace(told, true) {
                            out.push(Output::Event(Event::Produced { number, hash }));
                        }
                    }
                    None => {
                        let decision = self.strategy.others_found(number);
                        self.act(now, decision, out);
                    }
                }
            }
        }
        // With no branch of its own the pool follows the public chain, also from one block to its sibling.
        let head = self.public.tree().head().hash();
        if self.strategy.is_level() && self.private.tree().head().hash() != head {
            self.adopt(now, out);
        }
    }

    fn remember(&mut self, hash: B256, number: u64) {
        self.own.insert(hash, (number, false));
        if self.own.len() > OWN_MAX {
            let oldest = number.saturating_sub(OWN_MAX as u64 / 2);
            self.own.retain(|_, (number, _)| *number >= oldest);
        }
    }
}

impl Machine for SelfishMiner {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Start => {
                self.tell_public(now, Input::Start, &mut out);
                let off = kette_consensus::Command::Mining { on: false, threads: None };
                let off = Input::Command(OWN_TICKET, Command::Engine(off));
                self.tell_public(now, off, &mut out);
                self.adopt(now, &mut out);
            }
            Input::Done(id, _) if is_search(id) => self.mine(now, input, &mut out),
            Input::Command(_, Command::Engine(_)) => self.mine(now, input, &mut out),
            input => self.tell_public(now, input, &mut out),
        }
        self.react(now, 0, &mut out);
        if self.private.deadline().is_some_and(|due| due <= now) {
            let from = out.len();
            self.mine(now, Input::Tick, &mut out);
            self.react(now, from, &mut out);
        }
        out
    }

    fn deadline(&self) -> Option<Time> {
        self.public.deadline().into_iter().chain(self.private.deadline()).min()
    }

    fn stop(&mut self) -> Vec<Output> {
        self.public.stop()
    }

    fn node(&self) -> &Node {
        &self.public
    }
}

/// Tells whose job this is: engines count from zero, a node's own jobs have the highest bit. Only the mining node's
/// engine has jobs, and its own ones are answered inside.
const fn is_search(id: JobId) -> bool {
    id.0 >> 63 == 0
}

/// Returns a block of a node's tree or of its store.
fn whole(node: &Node, hash: B256) -> Option<Block> {
    if let Some(block) = node.tree().executed(hash) {
        return Some(block.block.clone());
    }
    let reader = node.tree().reader();
    let header = reader.header(hash).ok()??;
    let body = reader.body(hash).ok()??;
    Some(Block { header, body })
}

/// Inputs that may follow from one: a whole chain is executed after a restart.
const STEPS_MAX: usize = 100_000;
/// A lead that is published whatever happens: well below the limit of a reorganization.
const WITHHELD_MAX: usize = 32;
/// Own blocks remembered.
const OWN_MAX: usize = 4_096;
