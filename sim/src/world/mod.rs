//! The world: hosts, links, virtual time, and the loop that moves them.

mod backlog;
mod clock;
mod host;
mod network;
mod queue;
mod setup;
mod shape;
mod trace;
mod turn;
mod verbs;
mod work;

pub use clock::Clock;
pub use host::{Host, Session};
pub(crate) use network::OVERHEAD_BYTES;
pub use setup::{LARGE, MEMO_ABOVE, Options, SetupError, genesis_block};
pub use shape::{FrameFaults, LinkShape, LinkTable, Shapes};
pub use trace::{CHECKPOINT_EVERY, Sink, Trace, TraceLine};

use crate::{
    Moment,
    checkers::{Checker, Observation, Violation},
    memo::Memo,
    rng::ChaCha8Rng,
};
use kette_chain::ExecutedBlock;
use kette_ledger::Rules;
use kette_types::{B256, ChainSpec, PeerId, Time};
use queue::{Happening, Queue};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Many nodes, one thread, one heap, virtual time.
pub struct World {
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Its rules.
    pub rules: Rules,
    /// Block 0.
    pub genesis: Arc<ExecutedBlock>,
    /// Shared results.
    pub memo: Arc<Memo>,
    /// All hosts, in the order of the plan.
    pub hosts: Vec<Host>,
    /// Whether any fault or Byzantine actor is part of the run: some checkers demand more without.
    pub faulty: bool,
    /// Whether everything was healed: the liveness phase.
    pub healed: bool,
    /// How long the healed network may take to converge, if the file says so.
    pub settle: Option<std::time::Duration>,
    /// The highest number of any block that an honest host attached.
    pub height: u64,
    /// Every block that any host produced or attached, with who did when.
    pub blocks: BTreeMap<B256, BlockHistory>,
    /// Which pools had a transaction since when, if the file has a check about it.
    pub pools: Option<BTreeMap<B256, Vec<(u32, Moment)>>>,
    pub(crate) seed: u64,
    pub(crate) now: Moment,
    pub(crate) queue: Queue,
    pub(crate) links: network::Links,
    pub(crate) trace: Trace,
    pub(crate) checkers: Vec<Box<dyn Checker>>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) by_id: BTreeMap<PeerId, Vec<usize>>,
    pub(crate) by_address: BTreeMap<SocketAddr, usize>,
    pub(crate) tickets: u64,
    /// What clients were answered since somebody asked for it, bounded: whether they got what they wanted.
    pub(crate) answers: Vec<(kette_node::Ticket, bool)>,
    pub(crate) epoch: Time,
    pub(crate) mining_rng: Vec<ChaCha8Rng>,
    pub(crate) cpu: Option<f64>,
    pub(crate) fsync: std::time::Duration,
}

/// What became of a block.
#[derive(Clone, Debug)]
pub struct BlockHistory {
    /// The block.
    pub block: Arc<ExecutedBlock>,
    /// Who produced it, if a host did.
    pub producer: Option<usize>,
    /// When it was first attached anywhere.
    pub born: Moment,
    /// Which hosts attached it, with how many microseconds after its birth.
    pub reached: Vec<(u32, u64)>,
    /// Which hosts called it final, how many microseconds after the block's own time. Only where blocks have such a
    /// time: `bft`.
    pub finalized: Vec<(u32, u64)>,
}

impl World {
    /// Does the next thing, if it is due by `until`; tells whether there was one.
    pub fn step(&mut self, until: Moment) -> bool {
        if self.queue.next().is_none_or(|at| at > until) {
            self.now = self.now.max(until);
            return false;
        }
        let Some((at, happening)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.happen(at, happening);
        true
    }

    fn alive(&self, host: u32, life: u32) -> bool {
        let host = &self.hosts[host as usize];
        host.life == life && host.is_up()
    }

    fn happen(&mut self, at: Moment, happening: Happening) {
        match happening {
            Happening::Frame { from, to, link, digest, content } => {
                self.trace.event(at, to as usize, 0, link ^ digest);
                self.frame_arrives(from as usize, to as usize, link, content);
            }
            Happening::Closed { from, to, link, reason } => {
                self.trace.event(at, to as usize, 1, link);
                self.closed_arrives(from as usize, to as usize, link, reason);
            }
            Happening::Dial { from, life, address } => {
                self.trace.event(at, from as usize, 2, u64::from(life));
                self.dialled_at(from as usize, life, address);
            }
            Happening::Dialled { from, life, address, answer } => {
                self.trace.event(at, from as usize, 3, u64::from(life));
                if self.alive(from, life) {
                    self.answered(from as usize, *address, answer);
                }
            }
            Happening::Tick { host, life } => {
                if self.alive(host, life) && self.hosts[host as usize].tick_at == Some(at) {
                    self.trace.event(at, host as usize, 4, 0);
                    self.tick(host as usize, at);
                }
            }
            Happening::Turn { host, life } => {
                if self.alive(host, life) {
                    self.trace.event(at, host as usize, 5, 0);
                    self.turn(host as usize);
                }
            }
            Happening::Written { host, life, turn, outputs } => {
                if self.alive(host, life) {
                    self.trace.event(at, host as usize, 6, outputs.len() as u64);
                    self.after_write(host as usize, turn, outputs);
                }
            }
            Happening::Done { host, life, id, draw, work } => {
                if self.alive(host, life) {
                    self.trace.event(at, host as usize, 7, id.0 ^ u64::from(draw));
                    self.job_done(host as usize, id, draw, work);
                }
            }
        }
    }

    /// Runs until this moment, or until a checker objects.
    pub fn run_until(&mut self, until: Moment) {
        while self.violations.is_empty() && self.step(until) {}
    }

    /// Returns what checkers objected to.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Returns the trace.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Gives every line of a readable trace to somebody.
    pub fn read_trace(&mut self, sink: Sink) {
        self.trace.sink = Some(sink);
    }

    /// Returns bytes and frames sent so far.
    pub const fn traffic(&self) -> (u64, u64) {
        (self.links.bytes, self.links.frames)
    }

    /// Tells everybody that all faults have ended.
    pub fn set_healed(&mut self) {
        self.healed = true;
        self.observe(&Observation::Healed);
    }

    /// Lets all checkers look at the end.
    pub fn finish(&mut self) {
        let mut checkers = std::mem::take(&mut self.checkers);
        for checker in &mut checkers {
            if let Err(what) = checker.finish(self) {
                self.violated(checker.name(), what);
            }
        }
        self.checkers = checkers;
    }

    /// Returns hosts that run honestly now.
    pub fn honest(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.is_honest() && host.is_up())
    }

    /// Returns the hosts of an identity: one, or two if it is a twin.
    pub fn hosts_of(&self, id: PeerId) -> &[usize] {
        self.by_id.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns what the world's own clock shows.
    pub fn time(&self) -> Time {
        self.epoch + self.now.since_start()
    }
}
