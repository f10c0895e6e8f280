//! One run: a scenario and a seed, a safety phase with faults, a liveness phase without, and a verdict.
//!
//! ```text
//! safety    0 .. duration      steps, Byzantine actors, users; checkers watch
//! liveness  .. converged       every fault ends, crashed nodes return; honest nodes must agree and grow
//! quiet     + 60 s             Byzantine actors and miners stop, pools and heads come to rest; final checks
//! ```

mod finality;
mod measure;
mod report;
mod scenario;

pub use measure::percentile;
pub use report::{
    BlockFigures, FaultBand, FinalityFigures, HeightSample, NodeFigures, Propagation, RunReport,
    TransactionFigures,
};
pub use scenario::{NODES_MAX, Scenario, merge_genesis};

use crate::{
    Moment, World,
    checkers::{self, Checker},
    disk::Loss,
    engine,
    faults::Faults,
    scenario::{
        Facts, Missed, Order, Timeline, Verdict,
        check::{Checks, Measured},
        units::format_duration,
    },
    workload::Workload,
    world::{Options, SetupError, Sink},
};
use std::{collections::VecDeque, time::Duration};

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where all choices come from.
    pub seed: u64,
    /// Stops after this many events.
    pub until_event: Option<u64>,
    /// Shares executed blocks between nodes; by size if `None`.
    pub memo: Option<bool>,
}

/// Time between two looks at all nodes.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How long a network without miners and users gets to come to rest.
const QUIET: Duration = Duration::from_secs(60);
/// How much longer the liveness phase may take than its checker allows, besides what users' transactions need.
const LIVENESS_MARGIN: Duration = Duration::from_secs(10);
/// Blocks after convergence until users' transactions must be in.
const INCLUSION_BLOCKS: u32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Safety,
    /// Until converged, or until this moment.
    Liveness {
        until: Moment,
        height: u64,
    },
    Quiet {
        until: Moment,
    },
    Done,
}

/// A run on its way.
pub struct Run {
    /// The world: to look at, or to act on from a test.
    pub world: World,
    scenario: Scenario,
    options: RunOptions,
    timeline: Timeline,
    faults: Faults,
    workload: Workload,
    checks: Checks,
    missed: Missed,
    starts: VecDeque<(Moment, usize)>,
    samples: measure::Samples,
    bands: Vec<(usize, FaultBand)>,
    next_sample: Moment,
    phase: Phase,
    seen_height: u64,
}

impl Run {
    /// Prepares a run.
    ///
    /// # Errors
    /// If the scenario cannot be used.
    pub fn new(scenario: &Scenario, options: &RunOptions) -> Result<Self, SetupError> {
        Self::with_checkers(scenario, options, checkers::all())
    }

    /// Prepares a run that these checkers judge.
    ///
    /// # Errors
    /// If the scenario cannot be used.
    pub fn with_checkers(
        scenario: &Scenario,
        options: &RunOptions,
        checkers: Vec<Box<dyn Checker>>,
    ) -> Result<Self, SetupError> {
        let Scenario { file, plan, spec, .. } = scenario;
        let setup = Options { seed: options.seed, memo: options.memo };
        let world = World::new(file, plan, spec.clone(), &setup, checkers)?;
        let mut starts: Vec<(Moment, usize)> = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (Moment::START + node.start_at, index))
            .collect();
        starts.sort();
        Ok(Self {
            world,
            timeline: Timeline::new(file, options.seed),
            faults: Faults::new(plan, options.seed),
            workload: Workload::new(spec, &file.workload, options.seed),
            checks: Checks::new(file),
            missed: Missed::default(),
            starts: starts.into(),
            samples: measure::Samples::default(),
            bands: Vec::new(),
            next_sample: Moment::START,
            phase: Phase::Safety,
            seen_height: 0,
            scenario: scenario.clone(),
            options: options.clone(),
        })
    }

    /// Gives every line of a readable trace to somebody.
    pub fn read_trace(&mut self, sink: Sink) {
        self.world.read_trace(sink);
    }

    /// Does about this many events; tells whether there is more to do.
    pub fn advance(&mut self, events: u64) -> bool {
        let end = self.world.trace().events.saturating_add(events);
        let end = end.min(self.options.until_event.unwrap_or(u64::MAX));
        while self.phase != Phase::Done && self.world.violations().is_empty() {
            let due = self.due();
            loop {
                if self.world.trace().events >= end || !self.world.violations().is_empty() {
                    return self.goes_on();
                }
                if !self.world.step(due) {
                    break;
                }
                if self.world.height > self.seen_height {
                    self.seen_height = self.world.height;
                    if self.timeline.waits_for_height() {
                        self.steps();
                    }
                }
            }
            self.act();
        }
        false
    }

    fn goes_on(&self) -> bool {
        let stopped = self.options.until_event.is_some_and(|end| self.world.trace().events >= end);
        self.phase != Phase::Done && self.world.violations().is_empty() && !stopped
    }

    /// Returns when this driver has something to do.
    fn due(&self) -> Moment {
        let start = self.starts.front().map(|(at, _)| *at);
        let end = match self.phase {
            Phase::Safety => Moment::START + self.scenario.file.network.duration,
            Phase::Liveness { until, .. } | Phase::Quiet { until } => until,
            Phase::Done => Moment::NEVER,
        };
        let running = self.phase == Phase::Safety;
        let step = self.timeline.next().filter(|_| running).map(|after| Moment::START + after);
        let user = self.workload.next().filter(|_| !matches!(self.phase, Phase::Quiet { .. }));
        [start, step, user].into_iter().flatten().fold(end.min(self.next_sample), Moment::min)
    }

    /// Does what is due now.
    fn act(&mut self) {
        let now = self.world.now();
        while self.starts.front().is_some_and(|(at, _)| *at <= now) {
            let (_, host) = self.starts.pop_front().expect("looked at");
            self.world.start(host);
        }
        if now >= self.next_sample {
            self.next_sample = now + SAMPLE_EVERY;
            self.samples.take(&self.world);
            self.look();
        }
        if self.phase == Phase::Safety
            && self.timeline.next().is_some_and(|after| Moment::START + after <= now)
        {
            self.steps();
        }
        if !matches!(self.phase, Phase::Quiet { .. }) {
            self.workload.act(&mut self.world);
        }
        self.phases(now);
    }

    /// Looks at all nodes, for checks that hold at some moment.
    fn look(&mut self) {
        let facts = measure::facts(&self.world);
        self.checks.observe(&facts, self.healed_at());
        if let Phase::Liveness { height, .. } = self.phase
            && (self.has_converged(&facts, height) && self.is_included(&facts))
        {
            self.begin_quiet();
        }
    }

    fn has_converged(&self, facts: &Facts, height: u64) -> bool {
        if self.scenario.spec.bft().is_none() {
            return facts.has_converged(height);
        }
        // Validators never stop, so heads are never all the same.
        let mut honest = facts.nodes.iter().filter(|node| node.honest);
        honest.all(|node| node.up && node.height >= height + 2)
    }

    fn healed_at(&self) -> Option<Duration> {
        self.timeline.healed_at()
    }

    fn steps(&mut self) {
        let facts = measure::facts(&self.world);
        for order in self.timeline.due(&facts) {
            self.note_band(&order);
            if let Err(what) = self.faults.perform(&mut self.world, &mut self.workload, &order) {
                self.world.object("scenario", what);
            }
        }
    }

    fn note_band(&mut self, order: &Order) {
        let now = self.world.now().since_start().as_secs_f64();
        match order {
            Order::Begin { step, action } => {
                if action.is_fault() {
                    let to = now + action.lasts().map_or(0.0, |lasts| lasts.as_secs_f64());
                    let band = FaultBand { from: now, to, what: action.describe() };
                    self.bands.push((*step, band));
                }
            }
            Order::End { step, .. } => {
                if let Some((_, band)) = self.bands.iter_mut().rev().find(|(s, _)| s == step) {
                    band.to = now;
                }
            }
        }
    }

    fn phases(&mut self, now: Moment) {
        match self.phase {
            Phase::Safety if now >= Moment::START + self.scenario.file.network.duration => {
                self.begin_liveness(now);
            }
            Phase::Liveness { until, .. } if now >= until => self.begin_quiet(),
            Phase::Quiet { until } if now >= until => {
                self.look();
                self.world.finish();
                self.phase = Phase::Done;
            }
            _ => {}
        }
    }

    fn begin_liveness(&mut self, now: Moment) {
        let facts = measure::facts(&self.world);
        let late = self.start_late();
        self.faults.heal_all(&mut self.world);
        for (_, band) in &mut self.bands {
            if band.to <= band.from {
                band.to = now.since_start().as_secs_f64();
            }
        }
        self.timeline.end(now.since_start());
        self.missed = Missed::new(&self.scenario.file, self.timeline.missed(), &facts);
        self.missed.notes.extend(late);
        self.workload.retire(now);
        self.world.set_healed();
        let limit = checkers::liveness::settle(&self.world)
            + self.blocks(INCLUSION_BLOCKS)
            + LIVENESS_MARGIN;
        self.phase = Phase::Liveness { until: now + limit, height: self.world.height };
    }

    /// Starts the nodes whose time would come after the steps'; says so.
    fn start_late(&mut self) -> Option<String> {
        let late: Vec<usize> = self.starts.drain(..).map(|(_, host)| host).collect();
        for host in &late {
            self.world.start(*host);
        }
        let first = &self.scenario.plan.nodes[*late.first()?];
        let (at, name) = (format_duration(first.start_at), &first.name);
        let what = match late.len() {
            1 => format!("{name} was to start at {at}"),
            count => format!("{count} nodes were to start at {at} ({name}) or later"),
        };
        let end = format_duration(self.scenario.file.network.duration);
        Some(format!("{what}, after the steps: started at {end}, with the heal"))
    }

    /// Byzantine actors and miners stop; what is under way comes to rest.
    fn begin_quiet(&mut self) {
        for host in 0..self.world.hosts.len() {
            if self.world.hosts[host].is_honest() {
                self.world.mine(host, false);
            } else {
                self.world.crash(host, Loss::Unsynced);
            }
        }
        // Validators go on: there is nothing to wait for but what is under way.
        let quiet = if self.scenario.spec.bft().is_some() { QUIET / 6 } else { QUIET };
        self.phase = Phase::Quiet { until: self.world.now() + quiet };
    }

    fn is_included(&self, facts: &Facts) -> bool {
        let healed = Moment::START + self.scenario.file.network.duration;
        let waited = self.world.now() > healed + self.blocks(INCLUSION_BLOCKS);
        waited || facts.nodes.iter().all(|node| node.pending == 0 || !node.honest)
    }

    fn blocks(&self, count: u32) -> Duration {
        engine::block_time(&self.scenario.spec).saturating_mul(count)
    }

    /// Returns how much of the planned virtual time has passed, 0 to 1.
    pub fn progress(&self) -> f64 {
        let planned = self.scenario.file.network.duration.as_secs_f64() + QUIET.as_secs_f64();
        match self.phase {
            Phase::Done => 1.0,
            _ => (self.world.now().since_start().as_secs_f64() / planned).min(0.99),
        }
    }

    /// Judges and measures what was run so far.
    pub fn report(&mut self) -> RunReport {
        let world = &self.world;
        let chain = measure::canonical(world);
        let blocks = measure::blocks(world, &chain, measure::reorgs(world));
        let facts = measure::facts(world);
        let reach = |percent, of, after| measure::reach(world, &chain, percent, of, after);
        let transactions = measure::transactions(world, &chain, self.workload.sent());
        let filled = measure::filled(world, &chain);
        let (pools, conflicts) = measure::pools(world, &chain, self.workload.sent());
        let measured = Measured {
            stale_rate: blocks.stale_rate,
            reach: &reach,
            // Simulated nodes write no logs.
            log_errors: &[],
            submitted: transactions.submitted,
            included: transactions.included,
            per_second: transactions.per_second,
            filled: &filled,
            pools,
            conflicts,
        };
        let complete = self.phase == Phase::Done;
        let mut checks: Vec<Verdict> = Vec::new();
        if complete {
            checks = self.checks.finish(&facts, &measured);
            checks.extend(self.missed.verdict.clone());
        }
        let (bytes, frames) = world.traffic();
        let violations = world.violations().to_vec();
        let engine = self.scenario.spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
        RunReport {
            engine: engine.to_owned(),
            seed: self.options.seed,
            trace_hash: world.trace().hash(),
            checkpoints: world.trace().checkpoints.clone(),
            events: world.trace().events,
            virtual_seconds: world.now().since_start().as_secs_f64(),
            ok: violations.is_empty() && checks.iter().all(|check| check.ok),
            complete,
            violations,
            checks,
            notes: self.missed.notes.clone(),
            nodes: world.hosts.len(),
            height: chain.len() as u64,
            head: chain.last().copied().unwrap_or_else(|| world.genesis.hash()),
            propagation: measure::propagation(world, &chain),
            finality: finality::finality(world, &chain),
            transactions,
            blocks,
            bytes,
            frames,
            names: measure::names(&self.scenario),
            heights: self.samples.heights(),
            faults: self.bands.iter().map(|(_, band)| band.clone()).collect(),
            list: NodeFigures::list(&self.scenario.plan, &facts),
        }
    }
}

/// Runs to the end.
///
/// # Errors
/// If the scenario cannot be used.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<RunReport, SetupError> {
    let mut run = Run::new(scenario, options)?;
    while run.advance(u64::MAX) {}
    Ok(run.report())
}
