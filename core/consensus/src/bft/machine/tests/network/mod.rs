//! A network of machines in virtual time: delays, loss, cuts, crashes and liars, all from one seed.
//!
//! What an honest node says arrives at every other one in the end, and so does what one of them heard of a liar:
//! paper's gossip property. Before the network heals anything may take long; then 20 ms at most, and whoever did
//! not decide is shown now and then what others count and it does not. After each order of a machine the world
//! checks what an honest node may never do.

mod liars;
mod runs;

use super::*;
use liars::Role;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What happens in a run.
#[derive(Clone, Debug, Default)]
struct Plan {
    weights: Vec<u64>,
    quorum: Quorum,
    liars: Vec<(usize, Role)>,
    /// Nodes of different groups do not hear each other before the network heals.
    groups: Option<Vec<u8>>,
    /// Messages of a hundred that are lost at first.
    loss: u32,
    /// Longest delay, ms.
    delay: u64,
    /// When the network heals, ms.
    heal: u64,
    /// Node, and from when to when it is down. It forgets all but its log.
    crashes: Vec<(usize, u64, u64)>,
    /// The log of a node holds the prepares behind its valid block.
    logs_quorum: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Proposal(u32, B256, Option<u32>),
    Vote(VoteKind, u32, B256),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Who signed it and what.
    Message(usize, Said),
    /// Of which life of the node.
    Wait(u32, Wait, u32),
    Verdict(u32, B256),
    Crash,
    Restart,
    /// Others show what this node lacks.
    Help,
}

struct Node {
    rig: Machine,
    role: Option<Role>,
    up: bool,
    life: u32,
    decision: Option<(u32, B256)>,
    /// What it said, in order.
    log: Vec<Said>,
    locked: Option<(u32, B256)>,
    valid: Option<(u32, B256)>,
    /// Prepares behind the valid block.
    quorum: Vec<(usize, Said)>,
    heard: BTreeSet<(usize, Said)>,
}

struct World {
    plan: Plan,
    rng: ChaCha8Rng,
    now: u64,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    number: u64,
    set: ValidatorSet,
    seed: B256,
    nodes: Vec<Node>,
    /// Blocks and whether they are valid.
    blocks: BTreeMap<B256, bool>,
}

/// Longest delay once the network healed, ms.
const SOON: u64 = 20;
/// Between one help and the next, ms.
const HELP: u64 = 400;
/// A run ends this long after the network healed, ms.
const LIMIT: u64 = 60_000;

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let set = set(&plan.weights);
        let beacon = B256::from(rng.random::<[u8; 32]>());
        let machine = |me| Machine::new(set.clone(), plan.quorum, Some(me), beacon);
        let nodes = (0..set.len()).map(|me| Node {
            rig: machine(me),
            role: plan.liars.iter().find(|(liar, _)| *liar == me).map(|(_, role)| *role),
            up: true,
            life: 0,
            decision: None,
            log: Vec::new(),
            locked: None,
            valid: None,
            quorum: Vec::new(),
            heard: BTreeSet::new(),
        });
        let nodes = nodes.collect();
        let blocks = BTreeMap::new();
        let queue = BTreeMap::new();
        Self { plan, rng, now: 0, queue, number: 0, set, seed: beacon, nodes, blocks }
    }

    /// Runs until all honest nodes decided. Returns what they decided; `None` for those that did not in time.
    fn run(&mut self) -> Vec<Option<B256>> {
        for (node, from, to) in self.plan.crashes.clone() {
            self.at(from, node, Event::Crash);
            self.at(to, node, Event::Restart);
        }
        for me in 0..self.nodes.len() {
            self.at(self.plan.heal + HELP, me, Event::Help);
            self.act(me, |machine, out| machine.start(0, None, out));
        }
        let limit = self.plan.heal + LIMIT;
        while let Some(((at, _), (node, event))) = self.queue.pop_first() {
            self.now = at;
            if at > limit || self.honest().all(|node| node.decision.is_some()) {
                break;
            }
            self.happen(node, event);
        }
        self.honest().map(|node| node.decision.map(|(_, block)| block)).collect()
    }

    fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role.is_none())
    }

    fn at(&mut self, time: u64, node: usize, event: Event) {
        self.number += 1;
        self.queue.insert((time, self.number), (node, event));
    }

    fn happen(&mut self, me: usize, event: Event) {
        match event {
            Event::Crash => {
                let node = &mut self.nodes[me];
                node.up = false;
                node.life += 1;
                // A certificate is kept.
                if node.decision.is_none() {
                    node.heard.clear();
                }
            }
            Event::Restart => self.restart(me),
            Event::Help => self.help(me),
            _ if !self.nodes[me].up => {}
            Event::Message(from, said) => self.hear(me, from, said),
            Event::Wait(life, wait, round) if life == self.nodes[me].life => {
                self.act(me, |machine, out| machine.timeout(wait, round, out));
            }
            Event::Verdict(life, block) if life == self.nodes[me].life => {
                let valid = self.blocks[&block];
                self.act(me, |machine, out| machine.verdict(block, valid, out));
            }
            Event::Wait(..) | Event::Verdict(..) => {}
        }
    }

    fn hear(&mut self, me: usize, from: usize, said: Said) {
        if !self.nodes[me].heard.insert((from, said)) {
            return;
        }
        match said {
            Said::Proposal(round, block, valid_round) => {
                if self.nodes[me].rig.leader(round) != from {
                    return;
                }
                self.judge(me, block);
                let proposed = Proposed { block, valid_round };
                self.act(me, |machine, out| machine.propose(round, proposed, out));
            }
            Said::Vote(kind, round, block) => {
                let mut added = Added::Known;
                self.act(me, |machine, out| {
                    added = machine.vote(kind, round, from, block, Signature::ZERO, out);
                });
                if matches!(added, Added::Refused(..)) {
                    self.nodes[me].heard.remove(&(from, said));
                    return;
                }
            }
        }
        // What a liar says reaches all honest nodes if it counts with one.
        if self.nodes[me].role.is_none() && self.nodes[from].role.is_some() {
            for other in 0..self.nodes.len() {
                if other != me && other != from && self.nodes[other].role.is_none() {
                    self.send(me, other, from, said);
                }
            }
        }
    }

    fn help(&mut self, me: usize) {
        let node = &self.nodes[me];
        if node.decision.is_some() || node.role.is_some() {
            return;
        }
        self.at(self.now + HELP, me, Event::Help);
        for other in 0..self.nodes.len() {
            if self.nodes[other].role.is_none() {
                let lacks = self.nodes[other].heard.difference(&self.nodes[me].heard);
                for (from, said) in lacks.copied().collect::<Vec<_>>() {
                    self.send(other, me, from, said);
                }
            }
        }
    }

    /// Executes a block, some time from now.
    fn judge(&mut self, me: usize, block: B256) {
        if self.blocks.contains_key(&block) {
            let at = self.now + self.rng.random_range(0..=10);
            self.at(at, me, Event::Verdict(self.nodes[me].life, block));
        }
    }

    fn restart(&mut self, me: usize) {
        let plan = &self.plan;
        let mut machine = Machine::new(self.set.clone(), plan.quorum, Some(me), self.seed);
        let node = &mut self.nodes[me];
        node.up = true;
        let (mut round, mut done) = (0, None);
        for said in &node.log {
            (round, done) = (round, done).max(match said {
                Said::Proposal(round, ..) => (*round, None),
                Said::Vote(kind, round, _) => (*round, Some(*kind)),
            });
        }
        machine.restore(round, node.locked, node.valid);
        let own: Vec<_> = node.log.iter().map(|said| (me, *said)).collect();
        let quorum = if plan.logs_quorum { node.quorum.clone() } else { Vec::new() };
        for (from, said) in own.iter().chain(&quorum) {
            if let Said::Vote(kind, round, block) = said {
                machine.vote(*kind, *round, *from, *block, Signature::ZERO, &mut Vec::new());
            }
            node.heard.insert((*from, *said));
        }
        node.rig = machine;
        for block in self.blocks.keys().copied().collect::<Vec<_>>() {
            self.judge(me, block);
        }
        if self.nodes[me].decision.is_none() {
            self.act(me, |machine, out| machine.start(round, done, out));
        }
        // It hears what others know, and they hear what it knows.
        for other in 0..self.nodes.len() {
            if other == me || self.nodes[other].role.is_some() {
                continue;
            }
            for (from, said) in self.nodes[other].heard.clone() {
                self.send(other, me, from, said);
            }
            for (from, said) in own.iter().chain(&quorum).copied().collect::<Vec<_>>() {
                self.send(me, other, from, said);
            }
        }
    }

    /// Does something to a machine and carries out what it orders.
    fn act<T>(&mut self, me: usize, act: impl FnOnce(&mut Machine, &mut Vec<Effect>) -> T) {
        if self.nodes[me].decision.is_some() {
            return;
        }
        let mut effects = Vec::new();
        act(&mut self.nodes[me].rig, &mut effects);
        let mut next = 0;
        while let Some(effect) = effects.get(next).copied() {
            next += 1;
            let honest = self.nodes[me].role.is_none();
            match effect {
                Effect::Wait(wait, round) => {
                    let base = if wait == Wait::Propose { 60 } else { 40 };
                    let at = self.now + base + 30 * u64::from(round);
                    self.at(at, me, Event::Wait(self.nodes[me].life, wait, round));
                }
                Effect::Missing(block) => self.judge(me, block),
                _ if !honest => self.lie(me, effect, &mut effects),
                Effect::Build(round) => {
                    let said = self.nodes[me].log.iter().copied().find(
                        |said| matches!(said, Said::Proposal(proposed, ..) if *proposed == round),
                    );
                    let said =
                        said.unwrap_or_else(|| Said::Proposal(round, self.block(true), None));
                    self.propose(me, said, &mut effects);
                }
                Effect::Propose { round, block, valid_round } => {
                    let said = Said::Proposal(round, block, Some(valid_round));
                    self.propose(me, said, &mut effects);
                }
                Effect::Vote(kind, round, block) => {
                    self.check_vote(me, kind, round, block);
                    let said = Said::Vote(kind, round, block);
                    self.nodes[me].log.push(said);
                    let machine = &mut self.nodes[me].rig;
                    machine.vote(kind, round, me, block, Signature::ZERO, &mut effects);
                    self.tell(me, said);
                }
                Effect::Lock(round, block) => self.nodes[me].locked = Some((round, block)),
                Effect::Valid(round, block) => {
                    let node = &mut self.nodes[me];
                    node.valid = Some((round, block));
                    let cast = node.rig.votes().cast(VoteKind::Prepare, round);
                    let said = Said::Vote(VoteKind::Prepare, round, block);
                    let behind = cast.filter(|(_, voted, _)| *voted == block);
                    node.quorum = behind.map(|(from, ..)| (from, said)).collect();
                }
                Effect::Decide(round, block) => {
                    assert!(self.blocks[&block], "decided what is invalid");
                    let votes = self.nodes[me].rig.votes();
                    assert!(votes.has_quorum(VoteKind::Precommit, round, block));
                    self.nodes[me].decision = Some((round, block));
                    return;
                }
                Effect::Round(..) | Effect::Quorum(..) => {}
            }
        }
    }

    fn propose(&mut self, me: usize, said: Said, effects: &mut Vec<Effect>) {
        let Said::Proposal(round, block, valid_round) = said else { return };
        self.nodes[me].log.push(said);
        self.judge(me, block);
        let proposed = Proposed { block, valid_round };
        self.nodes[me].rig.propose(round, proposed, effects);
        self.tell(me, said);
    }

    /// Makes a block.
    fn block(&mut self, valid: bool) -> B256 {
        let block = B256::from(self.rng.random::<[u8; 32]>());
        self.blocks.insert(block, valid);
        block
    }

    fn tell(&mut self, me: usize, said: Said) {
        self.nodes[me].heard.insert((me, said));
        for other in 0..self.nodes.len() {
            if other != me {
                self.send(me, other, me, said);
            }
        }
    }

    /// Sends what `signer` said from one node to another.
    fn send(&mut self, from: usize, to: usize, signer: usize, said: Said) {
        let plan = &self.plan;
        let cut = |groups: &Vec<u8>| {
            let liar = self.nodes[from].role.is_some() || self.nodes[to].role.is_some();
            !liar && groups[from] != groups[to]
        };
        let soon = self.now.max(plan.heal) + self.rng.random_range(1..=SOON);
        let at = if self.now >= plan.heal || plan.groups.as_ref().is_some_and(cut) {
            soon
        } else if self.rng.random_ratio(plan.loss, 100) {
            soon.min(self.now + self.rng.random_range(plan.delay..=40 * plan.delay))
        } else {
            soon.min(self.now + self.rng.random_range(1..=plan.delay))
        };
        self.at(at, to, Event::Message(signer, said));
    }

    /// What an honest node may vote for.
    fn check_vote(&self, me: usize, kind: VoteKind, round: u32, block: B256) {
        let node = &self.nodes[me];
        for said in &node.log {
            if let Said::Vote(earlier, voted, other) = said {
                let before = (*voted, *earlier) < (round, kind);
                assert!(
                    before,
                    "{me} votes {kind:?} {round} {block} after {earlier:?} {voted} {other}"
                );
            }
        }
        if block.is_zero() {
            return;
        }
        let votes = node.rig.votes();
        match kind {
            VoteKind::Precommit => {
                assert!(votes.has_quorum(VoteKind::Prepare, round, block), "no quorum");
                assert_eq!(node.locked, Some((round, block)), "not locked");
            }
            VoteKind::Prepare => {
                if let Some((locked, other)) = node.locked
                    && other != block
                {
                    let mut free = locked..round;
                    assert!(
                        free.any(|round| votes.has_quorum(VoteKind::Prepare, round, block)),
                        "{me} is locked on {other} since {locked} and prepares {block} in {round}"
                    );
                }
            }
        }
    }
}
