//! A host's turn: inputs go in, outputs are performed in order, and nothing that waits for a write acts before it
//! is durable.

use super::{
    BlockHistory, World,
    network::Frame,
    queue::Happening,
    work::{self, Spent},
};
use crate::{
    Moment,
    checkers::{Observation, Violation},
    disk::{DiskError, Loss},
    machine::RawFrame,
    scenario::step::{DiskFault, Side},
};
use kette_chain::Record;
use kette_node::{Event, Input, Output, serve};
use kette_types::{
    B256, Message, PeerId,
    bft::Seal,
    planted::{Bug, is_planted},
};
use std::{sync::Arc, time::Duration};

/// Ticks of one node at one moment: beyond that it spins.
const TICKS_MAX: u32 = 10_000;
/// A slow disk takes this much longer.
const SLOW_DISK: u32 = 100;

impl World {
    /// Gives a host an input, now or when it can take it.
    pub(crate) fn input(&mut self, host: usize, input: Input) {
        let here = &mut self.hosts[host];
        if here.machine.is_none() {
            return;
        }
        let busy = here.writing || here.busy_until > self.now;
        if here.paused || busy || !here.inbox.is_empty() {
            here.inbox.push_back(input);
            return self.schedule_turn(host);
        }
        self.take(host, input);
    }

    fn schedule_turn(&mut self, host: usize) {
        let here = &mut self.hosts[host];
        if here.turn_due || here.writing || here.paused || here.inbox.is_empty() {
            return;
        }
        here.turn_due = true;
        let at = here.busy_until.max(self.now);
        let (host, life) = (host as u32, here.life);
        self.queue.push(at, Happening::Turn { host, life });
    }

    /// Lets a host take what waits, until it is busy again.
    pub(super) fn turn(&mut self, host: usize) {
        self.hosts[host].turn_due = false;
        loop {
            let here = &mut self.hosts[host];
            if here.paused || here.writing || here.busy_until > self.now || here.machine.is_none() {
                break;
            }
            let Some(input) = here.inbox.pop_front() else { break };
            self.take(host, input);
        }
        self.schedule_turn(host);
    }

    fn take(&mut self, host: usize, input: Input) {
        let here = &mut self.hosts[host];
        let Some(machine) = &mut here.machine else { return };
        here.turns += 1;
        let turn = here.turns;
        if let Input::Connected { peer, .. } = &input {
            // If the peer came once more meanwhile, this session is gone, and the node will be told of the next.
            let again =
                |input: &Input| matches!(input, Input::Connected { peer: p, .. } if p == peer);
            if let Some(session) = here.sessions.get_mut(peer)
                && !here.inbox.iter().any(again)
            {
                session.told = Some(turn);
            }
        }
        let time = here.clock.time(self.now);
        let spent = Spent::on(&input);
        if self.trace.is_read() {
            let text = describe_input(&input);
            self.trace.line(self.now, Some(host), text);
        }
        let outputs = written_first(machine.handle(time, input));
        let mut at = self.now;
        if let Some(pace) = self.cpu {
            at = at + spent.and(&outputs).time(pace * here.slow);
            here.busy_until = at;
        }
        self.perform(host, at, turn, outputs.into_iter());
        self.send_raw(host, at, turn);
        self.schedule_tick(host);
    }

    fn send_raw(&mut self, host: usize, at: Moment, turn: u64) {
        let Some(machine) = &mut self.hosts[host].machine else { return };
        for RawFrame { to, lane, bytes } in machine.raw() {
            self.send(at, host, turn, to, &Frame::raw(lane, bytes));
        }
    }

    /// Performs outputs in order; what follows a write waits until it is durable.
    pub(super) fn perform(
        &mut self,
        host: usize,
        at: Moment,
        turn: u64,
        mut outputs: std::vec::IntoIter<Output>,
    ) {
        let life = self.hosts[host].life;
        let mut notable = false;
        while let Some(output) = outputs.next() {
            notable |= matches!(output, Output::Persist(_) | Output::Event(_));
            if let Output::Persist(records) = output {
                if self.write(host, at, turn, &records, &mut outputs) {
                    return;
                }
            } else {
                self.perform_one(host, at, turn, output);
            }
            if self.hosts[host].life != life || self.hosts[host].machine.is_none() {
                return;
            }
        }
        if notable {
            self.observe(&Observation::Turned { host });
        }
    }

    /// Writes; returns whether the rest has to wait (and was put aside) or the node is gone.
    fn write(
        &mut self,
        host: usize,
        at: Moment,
        turn: u64,
        records: &[Record],
        rest: &mut std::vec::IntoIter<Output>,
    ) -> bool {
        if let Err(error) = self.hosts[host].disk.write(records) {
            let here = &self.hosts[host];
            if matches!(error, DiskError::Refused(_)) && here.is_honest() && !here.disk.is_excused()
            {
                let what = format!("{}: {error}", here.name);
                self.violated("disk", what);
            }
            self.fail(host, error.to_string());
            return true;
        }
        self.note_blocks(host, records);
        self.observe(&Observation::Ordered { host, records });
        if self.hosts[host].crash_at_write == Some(Side::Before) {
            self.crash(host, Loss::Unsynced);
            return true;
        }
        let here = &mut self.hosts[host];
        let mut time = self.fsync;
        if records.iter().any(|record| matches!(record, Record::Sign(_))) {
            // The file beside the database is synced after it.
            time *= 2;
        }
        if here.disk.has_fault(DiskFault::Slow) {
            time = time.max(Duration::from_millis(1)) * SLOW_DISK;
        }
        if time.is_zero() {
            return self.written(host);
        }
        here.writing = true;
        here.busy_until = at + time;
        let outputs = std::mem::take(rest);
        let (to, life) = (host as u32, here.life);
        self.queue.push(at + time, Happening::Written { host: to, life, turn, outputs });
        true
    }

    /// A write is durable; returns whether the node crashed at this very point.
    fn written(&mut self, host: usize) -> bool {
        self.hosts[host].disk.sync();
        if self.hosts[host].crash_at_write == Some(Side::After) {
            self.crash(host, Loss::Unsynced);
            return true;
        }
        false
    }

    /// A write is durable: what waited for it acts, and the node goes on.
    pub(super) fn after_write(
        &mut self,
        host: usize,
        turn: u64,
        outputs: std::vec::IntoIter<Output>,
    ) {
        self.hosts[host].writing = false;
        if self.written(host) {
            return;
        }
        self.perform(host, self.now, turn, outputs);
        if self.hosts[host].is_up() && !self.hosts[host].writing {
            self.observe(&Observation::Turned { host });
        }
        self.schedule_turn(host);
        self.schedule_tick(host);
    }

    fn perform_one(&mut self, host: usize, at: Moment, turn: u64, output: Output) {
        match output {
            Output::Persist(_) => unreachable!("handled by the caller"),
            Output::Send(peers, message) => self.send_all(host, at, turn, &peers, message),
            Output::Serve(peer, request) => match serve(&*self.hosts[host].disk, &request) {
                Ok(Some(answer)) => self.send_all(host, at, turn, &[peer], Arc::new(answer)),
                Ok(None) => {}
                // As the driver does: nobody is answered, the store's failure shows when the node reads.
                Err(error) => tracing::debug!(host, %error, "cannot serve"),
            },
            Output::Dial(address) => self.dial(at, host, address),
            Output::Disconnect(peer, reason) => self.disconnect(host, turn, peer, reason),
            Output::Start(id, job) => self.start_job(host, at, id, job),
            Output::Cancel(id) => drop(self.hosts[host].jobs.remove(&id)),
            Output::Reply(ticket, result) => {
                self.note_answer(ticket, &result);
                self.observe(&Observation::Replied { host, ticket, result: &result });
            }
            Output::Event(event) => self.event(host, &event),
        }
    }

    fn send_all(
        &mut self,
        host: usize,
        at: Moment,
        turn: u64,
        to: &[PeerId],
        message: Arc<Message>,
    ) {
        self.observe(&Observation::Sent { host, to, message: &message });
        let frame = Frame::new(message);
        for peer in to {
            self.send(at, host, turn, *peer, &frame);
        }
    }

    fn event(&mut self, host: usize, event: &Event) {
        if let Event::Produced { hash, .. } = event
            && let Some(history) = self.blocks.get_mut(hash)
        {
            history.producer.get_or_insert(host);
        }
        if let Event::Pending(transaction) = event
            && let Some(pools) = &mut self.pools
        {
            let had = pools.entry(*transaction.inner().tx_hash()).or_default();
            had.push((host as u32, self.now));
        }
        if let Event::Finalized { hash, .. } = event
            && self.spec.bft().is_some()
        {
            self.note_final(host, *hash);
        }
        if self.trace.is_read() {
            self.trace.line(self.now, Some(host), describe_event(event));
        }
        self.observe(&Observation::Event { host, event });
    }

    fn note_final(&mut self, host: usize, hash: B256) {
        let now = self.epoch.as_millis() * 1_000 + self.now.as_micros();
        let Some(history) = self.blocks.get_mut(&hash) else { return };
        if let Ok(seal) = Seal::decode_exact(history.block.block.header.seal()) {
            let after = now.saturating_sub(seal.time_ms.saturating_mul(1_000));
            history.finalized.push((host as u32, after));
        }
    }

    fn note_blocks(&mut self, host: usize, records: &[Record]) {
        for record in records {
            let Record::Block(block) = record else { continue };
            let now = self.now;
            if self.hosts[host].is_honest() {
                self.height = self.height.max(block.number());
            }
            let history = self.blocks.entry(block.hash()).or_insert_with(|| BlockHistory {
                block: block.clone(),
                producer: None,
                born: now,
                reached: Vec::new(),
                finalized: Vec::new(),
            });
            let after = now.since(history.born).as_micros() as u64;
            history.reached.push((host as u32, after));
        }
    }

    /// Sees to it that the node's deadline is in the heap.
    pub(super) fn schedule_tick(&mut self, host: usize) {
        let here = &mut self.hosts[host];
        let Some(machine) = &here.machine else { return };
        let Some(due) = machine.deadline() else { return };
        let at = here.clock.moment(self.now, due);
        if here.tick_at.is_none_or(|planned| at < planned) {
            here.tick_at = Some(at);
            let (host, life) = (host as u32, here.life);
            self.queue.push(at, Happening::Tick { host, life });
        }
    }

    /// A node's deadline, unless it has moved.
    pub(super) fn tick(&mut self, host: usize, at: Moment) {
        let here = &mut self.hosts[host];
        if here.tick_at != Some(at) {
            return;
        }
        here.tick_at = None;
        let Some(machine) = &here.machine else { return };
        let due = machine.deadline().is_some_and(|due| due <= here.clock.time(self.now));
        if !due {
            return self.schedule_tick(host);
        }
        here.ticks = if here.ticks.0 == at { (at, here.ticks.1 + 1) } else { (at, 1) };
        if here.ticks.1 > TICKS_MAX {
            let what = format!("{} asks for tick after tick without time passing", here.name);
            return self.violated("progress", what);
        }
        self.input(host, Input::Tick);
        if self.hosts[host].tick_at.is_none() && !self.hosts[host].inbox.is_empty() {
            // The tick waits in the inbox; the next one is planned after it.
            self.schedule_turn(host);
        }
    }

    /// Shows an observation to all checkers.
    pub(crate) fn observe(&mut self, seen: &Observation<'_>) {
        if self.checkers.is_empty() {
            return;
        }
        let mut checkers = std::mem::take(&mut self.checkers);
        for checker in &mut checkers {
            if let Err(what) = checker.observe(self, seen) {
                self.violated(checker.name(), what);
            }
        }
        self.checkers = checkers;
    }

    /// Notes that something is wrong with the run itself.
    pub fn object(&mut self, checker: &'static str, what: String) {
        self.violated(checker, what);
    }

    pub(crate) fn violated(&mut self, checker: &'static str, what: String) {
        if self.trace.is_read() {
            self.trace.line(self.now, None, format!("VIOLATION {checker}: {what}"));
        }
        let (event, at_micros) = (self.trace.events, self.now.as_micros());
        self.violations.push(Violation { checker, what, event, at_micros });
    }
}

/// Gathers what one turn writes into one write before everything else, as the driver of a real node does: nothing that
/// waits for a record acts before it.
fn written_first(outputs: Vec<Output>) -> Vec<Output> {
    let writes = outputs.iter().filter(|output| matches!(output, Output::Persist(_))).count();
    if writes == 0 || is_planted(Bug::SendBeforeDurable) {
        return outputs;
    }
    let mut records = Vec::new();
    let mut rest = Vec::with_capacity(outputs.len());
    for output in outputs {
        match output {
            Output::Persist(batch) => records.extend(batch),
            other => rest.push(other),
        }
    }
    rest.insert(0, Output::Persist(records));
    rest
}

/// Names an input for readers of a trace.
fn describe_input(input: &Input) -> String {
    match input {
        Input::Start => "start".to_owned(),
        Input::Connected { peer, direction, .. } => {
            format!("connected {} {direction:?}", peer.short())
        }
        Input::Disconnected { peer, reason } => format!("disconnected {} {reason}", peer.short()),
        Input::DialFailed { address } => format!("dial failed {address}"),
        Input::Discovered(addresses) => format!("discovered {}", addresses.len()),
        Input::Message(peer, message) => format!("{} from {}", message.name(), peer.short()),
        Input::Malformed(peer, lane, error) => {
            format!("malformed from {} on {}: {error}", peer.short(), lane.name())
        }
        Input::Submit(_, transaction) => format!("submit {}", transaction.inner().tx_hash()),
        Input::SubmitBlock(_, block) => format!("submit block {}", block.hash()),
        Input::Command(_, command) => format!("command {command:?}"),
        Input::Done(id, _) => format!("job {} done", id.0),
        Input::Tick => "tick".to_owned(),
    }
}

/// Names a fact for readers of a trace.
fn describe_event(event: &Event) -> String {
    match event {
        Event::Head { added, depth, .. } => match added.last() {
            Some(head) if *depth > 0 => {
                format!("! head {} {} reorg {depth}", head.number(), work::short(head.hash()))
            }
            Some(head) => format!("! head {} {}", head.number(), work::short(head.hash())),
            None => format!("! head goes back {depth}"),
        },
        Event::Finalized { number, hash } => format!("! final {number} {}", work::short(*hash)),
        Event::SideBlock { number, hash } => format!("! side {number} {}", work::short(*hash)),
        Event::Produced { number, hash } => format!("! produced {number} {}", work::short(*hash)),
        Event::InvalidBlock { hash, reason, .. } => {
            format!("! invalid {} {reason}", work::short(*hash))
        }
        Event::Pending(transaction) => format!("! pending {}", transaction.inner().tx_hash()),
        Event::Dropped { hash, reason } => format!("! dropped {} {reason}", work::short(*hash)),
        Event::PeerUp { peer, .. } => format!("! peer up {}", peer.short()),
        Event::PeerDown { peer, reason } => format!("! peer down {} {reason}", peer.short()),
        Event::PeerFault { peer, fault, score } => {
            format!("! fault of {} {fault} score {score}", peer.short())
        }
        Event::SyncProgress { number, target } => format!("! syncing {number} of {target}"),
        Event::Synced { number } => format!("! synced {number}"),
        Event::Engine(event) => format!("! {event:?}"),
        Event::Alarm(text) => format!("! ALARM {text}"),
    }
}
