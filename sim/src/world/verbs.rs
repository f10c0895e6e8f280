//! What may be done to the world: by steps, by swarm runs, by tests.

use super::{FrameFaults, LinkShape, LinkTable, World};
use crate::{
    Moment, byzantine,
    checkers::Observation,
    disk::Loss,
    rng::{Purpose, stream},
    scenario::step::{DiskFault, Side},
};
use kette_node::{Command, CommandError, Input, Node, Rejection, Submitted, Ticket};
use kette_types::{Recovered, Transaction, bft::SignState};
use std::sync::Arc;

/// Answers kept for whoever asks for them.
const ANSWERS_MAX: usize = 65_536;

impl World {
    /// Returns the current moment.
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// Starts a node from what its disk holds. A node that runs goes on.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].is_up() {
            return;
        }
        let here = &self.hosts[host];
        let time = here.clock.time(self.now);
        let restored = match here.disk.restored() {
            Ok(restored) => restored,
            Err(error) => return self.refuse(host, error.to_string()),
        };
        let disk = here.disk.clone();
        let node = Node::restore(self.spec.clone(), here.settings(), disk, time, restored);
        match node {
            Ok(node) => {
                let machine = self.machine(host, node);
                let here = &mut self.hosts[host];
                here.machine = Some(machine);
                here.life += 1;
                here.failed = None;
                here.busy_until = self.now;
                self.observe(&Observation::Up { host });
                self.input(host, Input::Start);
            }
            Err(error) => self.refuse(host, error.to_string()),
        }
    }

    fn refuse(&mut self, host: usize, why: String) {
        if self.hosts[host].disk.is_excused() {
            // A damaged disk is noticed, and the operator replaces it: that is the right answer.
            self.hosts[host].disk.set_fault(DiskFault::BitRot, false);
            self.hosts[host].disk.wipe();
            return self.start(host);
        }
        let name = &self.hosts[host].name;
        let what = format!("{name} does not start on an honest disk: {why}");
        self.hosts[host].failed = Some(why);
        self.violated("restart", what);
    }

    fn machine(&mut self, host: usize, node: Node) -> Box<dyn crate::Machine> {
        let Some(misbehaviour) = self.hosts[host].byzantine else { return Box::new(node) };
        let everybody = self.hosts.iter().map(|h| (h.id, h.address)).collect();
        let accomplices = self
            .hosts
            .iter()
            .filter(|h| h.byzantine == Some(misbehaviour))
            .map(|h| h.index)
            .collect();
        let (spec, config) = (self.spec.clone(), self.hosts[host].config.clone());
        let (disk, time) = (self.hosts[host].disk.clone(), self.hosts[host].clock.time(self.now));
        let mut another = move || {
            let disk = Arc::new(disk.blank());
            let restored = disk.restored().expect("a new disk is whole");
            Node::restore(spec.clone(), config.clone(), disk, time, restored)
                .expect("block 0 is enough")
        };
        let setup = byzantine::Setup {
            host,
            spec: self.spec.clone(),
            memo: self.memo.clone(),
            rng: stream(self.seed, Purpose::Byzantine, host as u64),
            another: &mut another,
            everybody,
            accomplices,
            validators: self.hosts.iter().map(|h| h.config.local.validator.clone()).collect(),
        };
        byzantine::build(misbehaviour, node, setup)
    }

    /// Ends a node without a word; what was not durable is lost.
    pub fn crash(&mut self, host: usize, loss: Loss) {
        if !self.hosts[host].is_up() {
            return;
        }
        self.drop_sessions(host);
        self.hosts[host].disk.crash(loss);
        self.end(host);
    }

    /// Ends a node cleanly.
    pub fn stop(&mut self, host: usize) {
        let here = &mut self.hosts[host];
        let Some(machine) = &mut here.machine else { return };
        let outputs = machine.stop();
        // A clean stop waits for its writes.
        let fsync = std::mem::take(&mut self.fsync);
        let turn = self.hosts[host].turns;
        self.perform(host, self.now, turn, outputs.into_iter());
        self.fsync = fsync;
        if self.hosts[host].is_up() {
            self.hosts[host].disk.sync();
            self.drop_sessions(host);
            self.end(host);
        }
    }

    /// A node stops by itself, because its host failed.
    pub(crate) fn fail(&mut self, host: usize, why: String) {
        if self.trace.is_read() {
            self.trace.line(self.now, Some(host), format!("! stops: {why}"));
        }
        self.crash(host, Loss::Unsynced);
        self.hosts[host].failed = Some(why);
    }

    fn end(&mut self, host: usize) {
        let here = &mut self.hosts[host];
        here.machine = None;
        here.inbox.clear();
        here.jobs.clear();
        here.old_frames.clear();
        here.turn_due = false;
        here.writing = false;
        here.tick_at = None;
        here.paused = false;
        here.crash_at_write = None;
        here.life += 1;
        self.observe(&Observation::Down { host });
    }

    /// Crashes a node if it runs, and empties its disk.
    pub fn wipe(&mut self, host: usize) {
        self.crash(host, Loss::Unsynced);
        self.hosts[host].disk.wipe();
    }

    /// Crashes a node at its next write.
    pub fn crash_at_write(&mut self, host: usize, side: Side) {
        self.hosts[host].crash_at_write = Some(side);
    }

    /// Makes a node stand still, or go on.
    pub fn pause(&mut self, host: usize, paused: bool) {
        let here = &mut self.hosts[host];
        if here.paused == paused || here.machine.is_none() {
            return;
        }
        here.paused = paused;
        if !paused {
            self.turn_again(host);
        }
    }

    fn turn_again(&mut self, host: usize) {
        let (to, life) = (host as u32, self.hosts[host].life);
        if !self.hosts[host].turn_due {
            self.hosts[host].turn_due = true;
            let happening = super::queue::Happening::Turn { host: to, life };
            self.queue.push(self.now, happening);
        }
    }

    /// Makes a node's processor this many times slower than others'.
    pub fn set_slow(&mut self, host: usize, factor: f64) {
        self.hosts[host].slow = factor.clamp(0.01, 1e6);
        self.set_mine_rate(host, self.hosts[host].mine_rate);
    }

    /// Adds milliseconds to a node's clock.
    pub fn jump_clock(&mut self, host: usize, millis: i64) {
        let now = self.now;
        self.hosts[host].clock.jump(now, millis);
        self.clock_changed(host);
    }

    /// Makes a node's clock run faster by this many parts per million.
    pub fn drift_clock(&mut self, host: usize, ppm: i64) {
        let now = self.now;
        self.hosts[host].clock.drift(now, ppm);
        self.clock_changed(host);
    }

    fn clock_changed(&mut self, host: usize) {
        self.hosts[host].tick_at = None;
        self.schedule_tick(host);
    }

    /// Switches a disk fault on or off.
    pub fn set_disk_fault(&mut self, host: usize, fault: DiskFault, on: bool) {
        self.hosts[host].disk.set_fault(fault, on);
    }

    /// Loses what a validator signed last, or restores it from a backup; its node finds that at its next start.
    pub fn set_signed(&mut self, host: usize, state: Option<SignState>) {
        self.hosts[host].disk.set_signed(state);
    }

    /// Cuts the way from one host to another, or heals it.
    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.set_cut_direction(from, to, cut);
    }

    /// Ends the session between two hosts at once; it may be opened again.
    pub fn reset(&mut self, a: usize, b: usize) {
        self.reset_session(a, b);
    }

    /// Makes a host's outgoing frames go wrong now and then.
    pub fn set_frame_faults(&mut self, host: usize, faults: FrameFaults) {
        self.hosts[host].frames = faults;
        self.hosts[host].old_frames.clear();
    }

    /// Starts or stops block production of a node.
    pub fn mine(&mut self, host: usize, on: bool) {
        let command = kette_consensus::Command::Mining { on, threads: None };
        self.command(host, Command::Engine(command));
    }

    /// Changes a node's hash rate.
    pub fn set_rate(&mut self, host: usize, hashes_per_second: u64) {
        self.set_mine_rate(host, hashes_per_second);
    }

    /// Gives a node an operator's command.
    pub fn command(&mut self, host: usize, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        self.input(host, Input::Command(ticket, command));
        ticket
    }

    /// Hands a node a user's transaction.
    pub fn submit(&mut self, host: usize, transaction: Recovered<Transaction>) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        self.input(host, Input::Submit(ticket, transaction));
        ticket
    }

    /// Returns what clients were answered since the last call. A transaction that was known already was taken.
    pub(crate) fn take_answers(&mut self) -> Vec<(Ticket, bool)> {
        std::mem::take(&mut self.answers)
    }

    pub(super) fn note_answer(&mut self, ticket: Ticket, result: &Submitted) {
        if self.answers.len() < ANSWERS_MAX {
            let known = |error: &CommandError| {
                matches!(error, CommandError::Transaction(Rejection::AlreadyKnown(_)))
            };
            self.answers.push((ticket, result.as_ref().err().is_none_or(known)));
        }
    }

    /// Gives a node any input, as a test's own peer or client would.
    pub fn give(&mut self, host: usize, input: Input) {
        self.input(host, input);
    }
}

impl LinkTable for World {
    fn link(&self, from: usize, to: usize) -> LinkShape {
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        self.links.shapes.get((from, a.region), (to, b.region))
    }

    fn set_link(&mut self, from: usize, to: usize, shape: Option<LinkShape>) {
        self.links.shapes.set(from, to, shape);
    }
}
