//! The run itself: looks at the nodes several times a second, does what is due, and tells what happens.

use super::{
    Script,
    desk::Counter,
    invariants::{Finals, LIVENESS, PROCESSES, Violation},
    nodes::{Nodes, Said},
    report::{Bands, Line, Samples},
};
use crate::interrupt::Interrupt;
use futures::future::BoxFuture;
use kette_sim::{
    Moment,
    engine::block_time,
    faults::{Downs, Holds, Links, closed_ways},
    scenario::{Action, Checks, Facts, Missed, Order, Timeline, select, units::format_duration},
    workload::Workload,
};
use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant, SystemTime},
};

/// Time between two looks at all nodes.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Time between two questions about the accounts of users.
const NONCES_EVERY: Duration = Duration::from_secs(2);
/// How long the healed network may take, if the file does not say: in block times,
const SETTLE_BLOCKS: u32 = 60;
/// and at least.
const SETTLE_MIN: Duration = Duration::from_secs(120);
/// Blocks after the end of all faults until users' transactions must be in,
const INCLUSION_BLOCKS: u32 = 12;
/// and at least: users hand in again, after half a minute, what got lost with a node.
const INCLUSION_MIN: Duration = Duration::from_secs(45);
/// How long a network without miners may take to come to rest.
const REST: Duration = Duration::from_secs(30);
/// Lines that a report keeps; churn for a year has more.
const LINES_MAX: usize = 10_000;
/// It is at rest when so many looks in a row see one head.
const REST_LOOKS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Faults,
    Healing { since: Duration, until: Duration, height: u64 },
    Rest { until: Duration, looks: u32 },
    Done,
}

/// A run on its way.
pub struct Play<'a> {
    /// What is carried out.
    pub script: &'a Script,
    /// On whom.
    pub nodes: &'a mut Nodes,
    /// Users.
    pub workload: Workload,
    /// What users see.
    counter: Counter,
    timeline: Timeline,
    /// Checks of the file.
    pub checks: Checks,
    downs: Downs,
    paused: Holds<usize>,
    /// Changes of links that are on.
    links: Links,
    starts: VecDeque<(Duration, usize)>,
    /// Nodes that lost their databases.
    pub wiped: BTreeSet<usize>,
    /// What was called final.
    pub finals: Finals,
    /// Heights over time.
    pub samples: Samples,
    /// Faults over time.
    pub bands: Bands,
    /// What happened.
    pub lines: Vec<Line>,
    /// What did not hold.
    pub violations: Vec<Violation>,
    say: &'a mut dyn FnMut(&Line),
    phase: Phase,
    /// When seconds began to count.
    began: Instant,
    /// The same, microseconds since 1970.
    pub began_micros: u64,
    /// How long the start took.
    pub start: Duration,
    nonces_at: Duration,
    /// When all faults had ended.
    pub healed: Duration,
    /// How long it took to converge then.
    pub converged: Option<Duration>,
    /// Somebody pressed Ctrl-C.
    pub interrupted: bool,
    /// Steps that never happened.
    pub missed: Missed,
    /// Deepest reorganization so far.
    pub deepest: u64,
    /// Who mined before all were told to stop.
    pub miners: Vec<usize>,
}

impl<'a> Play<'a> {
    /// Begins now: the first nodes answer.
    pub fn new(script: &'a Script, nodes: &'a mut Nodes, say: &'a mut dyn FnMut(&Line)) -> Self {
        let plan = script.plan.nodes.iter().enumerate();
        let mut starts: Vec<(Duration, usize)> = plan
            .filter(|(_, node)| !node.start_at.is_zero())
            .map(|(index, node)| (node.start_at, index))
            .collect();
        starts.sort_unstable();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            script,
            nodes,
            workload: script.workload(),
            counter: Counter::default(),
            timeline: Timeline::new(&script.file, script.seed),
            checks: Checks::new(&script.file),
            downs: Downs::default(),
            paused: Holds::default(),
            links: Links::default(),
            starts: starts.into(),
            wiped: BTreeSet::new(),
            finals: Finals::default(),
            samples: Samples::default(),
            bands: Bands::default(),
            lines: Vec::new(),
            violations: Vec::new(),
            say,
            phase: Phase::Faults,
            began: Instant::now(),
            began_micros: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
            start: Duration::ZERO,
            nonces_at: Duration::ZERO,
            healed: Duration::ZERO,
            converged: None,
            interrupted: false,
            missed: Missed::default(),
            deepest: 0,
            miners: Vec::new(),
        }
    }

    /// Says that the network is there.
    pub fn begin(&mut self, start: Duration) {
        self.start = start;
        let count = self.script.first().len();
        self.tell(format!(
            "{count} nodes answer, {:.1} s after the first start",
            start.as_secs_f64()
        ));
    }

    /// Returns the time since the start.
    pub fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// Observes all nodes, from what they said last.
    pub fn facts(&self) -> Facts {
        self.nodes.facts(self.at())
    }

    /// Tells whether the run came to its end.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Done && !self.interrupted && !self.is_broken()
    }

    /// A process ended by itself: what follows would show nothing.
    fn is_broken(&self) -> bool {
        self.violations.iter().any(|violation| violation.checker == PROCESSES)
    }

    fn tell(&mut self, what: String) {
        let line = Line::new(&self.facts(), what);
        (self.say)(&line);
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// If a process cannot be started or ended.
    pub async fn play(&mut self, interrupt: &mut Interrupt) -> anyhow::Result<()> {
        let mut look = self.look();
        while self.phase != Phase::Done && !self.is_broken() {
            let due = tokio::time::Instant::from_std(self.began + self.due());
            let mut fresh = false;
            tokio::select! {
                biased;
                () = interrupt.heard() => {
                    self.interrupted = true;
                    self.tell("interrupted".to_owned());
                    return Ok(());
                }
                said = &mut look => {
                    self.nodes.hear(said);
                    fresh = true;
                }
                () = self.counter.answered() => {}
                () = tokio::time::sleep_until(due) => {}
            }
            if fresh {
                look = self.look();
            }
            self.act(fresh).await?;
        }
        Ok(())
    }

    /// Returns the next look at all nodes.
    fn look(&self) -> BoxFuture<'static, Vec<Said>> {
        let look = self.nodes.look();
        Box::pin(async move {
            tokio::time::sleep(LOOK_EVERY).await;
            look.await
        })
    }

    /// Returns when there is something to do at the latest.
    fn due(&self) -> Duration {
        let start = self.starts.front().map(|(at, _)| *at);
        let (end, steps, users) = match self.phase {
            Phase::Faults => (self.script.file.network.duration, true, true),
            Phase::Healing { until, .. } => (until, false, true),
            Phase::Rest { until, .. } => (until, false, false),
            Phase::Done => (Duration::MAX, false, false),
        };
        let step = self.timeline.next().filter(|_| steps);
        let user = self.workload.next().filter(|_| users).map(Moment::since_start);
        [start, step, user].into_iter().flatten().fold(end, Duration::min)
    }

    /// Does what is due.
    async fn act(&mut self, fresh: bool) -> anyhow::Result<()> {
        self.reap()?;
        while self.starts.front().is_some_and(|(at, _)| *at <= self.at()) {
            if let Some((_, node)) = self.starts.pop_front() {
                self.nodes.start(node)?;
                self.tell(format!("{} starts", self.nodes.name(node)));
            }
        }
        let by_time = self.timeline.next().is_some_and(|due| due <= self.at());
        if self.phase == Phase::Faults && (by_time || fresh && self.timeline.waits_for_height()) {
            for order in self.timeline.due(&self.facts()) {
                self.perform(&order).await?;
            }
        }
        self.users(fresh).await?;
        if fresh {
            let facts = self.facts();
            self.finals.observe(&facts);
            self.samples.take(&facts);
            let deepest = facts.nodes.iter().map(|node| node.reorg_depth_max).max();
            self.deepest = self.deepest.max(deepest.unwrap_or(0));
            self.checks.observe(&facts, self.timeline.healed_at());
            self.change_phase(&facts)?;
            self.nodes.reconcile().await;
        }
        Ok(())
    }

    fn reap(&mut self) -> anyhow::Result<()> {
        let at = self.at();
        let (ended, stuck) = self.nodes.reap()?;
        let ended = ended.into_iter().map(|it| (it.node, format!("ended by itself: {}", it.how)));
        let stuck = stuck.into_iter().map(|node| (node, "did not end when told to".to_owned()));
        for (node, what) in ended.chain(stuck) {
            let name = self.nodes.name(node).to_owned();
            let what = format!("the process of {name} {what}");
            self.tell(what.clone());
            self.violations.push(Violation::at(PROCESSES, &name, at, what));
        }
        Ok(())
    }

    async fn users(&mut self, fresh: bool) -> anyhow::Result<()> {
        if matches!(self.phase, Phase::Rest { .. } | Phase::Done) || !self.script.has_users() {
            return Ok(());
        }
        if fresh
            && self.at() >= self.nonces_at
            && let Some(best) = self.nodes.best()
        {
            let accounts: Vec<_> = self.workload.accounts().collect();
            self.counter.ask_nonces(self.nodes.client(best), &accounts).await;
            self.nonces_at = self.at() + NONCES_EVERY;
        }
        self.counter.show(self.at(), self.nodes);
        self.workload.act(&mut self.counter);
        match self.counter.trouble.take() {
            Some(trouble) => Err(anyhow::Error::msg(trouble)),
            None => Ok(()),
        }
    }

    fn change_phase(&mut self, facts: &Facts) -> anyhow::Result<()> {
        match self.phase {
            Phase::Faults if facts.at >= self.script.file.network.duration => self.heal_all(facts),
            Phase::Healing { since, height, until } => {
                // Who retired has nothing to do any more when the chain has all that was sent.
                let taken_up = self.workload.next().is_none()
                    && facts.nodes.iter().all(|node| !node.honest || node.pending == 0);
                let waited = INCLUSION_MIN.max(self.blocks(INCLUSION_BLOCKS));
                let included = taken_up || facts.at > since + waited;
                if facts.has_converged(height) && self.converged.is_none() {
                    self.converged = Some(facts.at.saturating_sub(since));
                }
                if facts.has_converged(height) && included {
                    self.rest(facts.at);
                } else if facts.at >= until {
                    self.not_converged(facts, until.saturating_sub(since));
                    self.rest(facts.at);
                }
                Ok(())
            }
            Phase::Rest { until, looks } => {
                let mut honest = facts.nodes.iter().filter(|node| node.honest);
                let first = honest.clone().next().map(|node| node.hash);
                let calm = honest.all(|node| Some(node.hash) == first && !node.syncing);
                let looks = if calm { looks + 1 } else { 0 };
                let over = looks >= REST_LOOKS || facts.at >= until;
                self.phase = if over { Phase::Done } else { Phase::Rest { until, looks } };
                Ok(())
            }
            Phase::Faults | Phase::Done => Ok(()),
        }
    }

    /// Ends all faults and starts everybody.
    fn heal_all(&mut self, facts: &Facts) -> anyhow::Result<()> {
        self.timeline.end(facts.at);
        self.heal_links();
        self.resume();
        self.downs.clear();
        self.missed = Missed::new(&self.script.file, self.timeline.missed(), facts);
        for (at, node) in std::mem::take(&mut self.starts) {
            let (name, at) = (self.nodes.name(node), format_duration(at));
            self.missed
                .notes
                .push(format!("{name} was to start at {at}, and starts with the heal"));
        }
        for node in 0..self.nodes.count() {
            self.nodes.start(node)?;
        }
        self.workload.retire(Moment::START + facts.at);
        self.healed = facts.at;
        let settle = self.script.file.network.settle;
        let limit = settle.unwrap_or_else(|| SETTLE_MIN.max(self.blocks(SETTLE_BLOCKS)));
        let height = facts.nodes.iter().map(|node| node.height).max().unwrap_or(0);
        self.phase = Phase::Healing { since: facts.at, until: facts.at + limit, height };
        self.tell(format!(
            "all faults end; within {} all must agree and grow",
            format_duration(limit)
        ));
        Ok(())
    }

    fn not_converged(&mut self, facts: &Facts, limit: Duration) {
        let heads: Vec<String> = facts
            .nodes
            .iter()
            .map(|node| {
                format!("{} {} at {}", node.name, &node.hash.to_string()[..10], node.height)
            })
            .collect();
        let what = format!("not converged within {}: {}", format_duration(limit), heads.join(", "));
        let lowest = facts.nodes.iter().min_by_key(|node| node.weight);
        let node = lowest.map(|node| node.name.clone());
        let at_seconds = facts.at.as_secs_f64();
        self.violations.push(Violation { checker: LIVENESS, what, node, at_seconds });
    }

    /// Stops all miners and liars, so that one head is left.
    fn rest(&mut self, at: Duration) {
        self.miners = (0..self.nodes.count()).filter(|node| self.nodes.is_mining(*node)).collect();
        for node in 0..self.nodes.count() {
            self.nodes.mine(node, false);
            if !self.nodes.is_honest(node) {
                self.nodes.stop(node);
            }
        }
        self.phase = Phase::Rest { until: at + REST, looks: 0 };
        let what = match self.converged {
            Some(time) => format!("converged {:.1} s later; miners stop", time.as_secs_f64()),
            None => "not converged; miners stop".to_owned(),
        };
        self.tell(what);
    }

    fn blocks(&self, count: u32) -> Duration {
        block_time(&self.script.spec).saturating_mul(count)
    }

    /// Performs what the timeline orders.
    async fn perform(&mut self, order: &Order) -> anyhow::Result<()> {
        self.bands.note(order, self.at());
        match order {
            Order::Begin { step, action } => {
                self.begin_step(*step, action).await?;
                self.nodes.reconcile().await;
                self.tell(words(action));
            }
            Order::End { step, action } => {
                match action {
                    Action::Partition(_) | Action::Cut(_) => self.nodes.cuts.end(*step),
                    Action::Link(_) => self.links.end(&mut self.nodes.links, *step),
                    Action::Pause(_) => {
                        for node in self.paused.release_step(*step) {
                            self.nodes.pause(node, false);
                        }
                    }
                    Action::Load(_) => self.workload.end_load(Moment::START + self.at(), *step),
                    // Who is down returns by an order of its own; the others happen at once.
                    _ => {}
                }
                self.nodes.reconcile().await;
                self.tell(format!("end: {}", action.describe()));
            }
        }
        Ok(())
    }

    async fn begin_step(&mut self, step: usize, action: &Action) -> anyhow::Result<()> {
        let plan = &self.script.plan;
        let select = |names: &[String]| select::select(plan, names).map_err(anyhow::Error::msg);
        match action {
            Action::Partition(_) | Action::Cut(_) => {
                let ways = closed_ways(plan, self.script.seed, step, action);
                self.nodes.cuts.begin(step, ways.map_err(anyhow::Error::msg)?);
            }
            Action::Link(it) => self
                .links
                .begin(&mut self.nodes.links, plan, step, &it.link)
                .map_err(anyhow::Error::msg)?,
            Action::Heal(_) => {
                self.heal_links();
                self.resume();
            }
            Action::Reset(it) => {
                for node in select(&it.nodes)? {
                    self.nodes.reset(node).await;
                }
            }
            Action::Crash(it) => {
                for node in select(&it.nodes)? {
                    if self.downs.takes(step, node, self.nodes.is_up(node)) {
                        self.nodes.kill(node)?;
                    }
                }
            }
            Action::Stop(it) => {
                for node in select(&it.nodes)? {
                    if it.upgrade {
                        self.nodes.upgrade(node)?;
                    }
                    if self.downs.takes(step, node, self.nodes.is_up(node)) {
                        self.nodes.stop(node);
                    }
                }
            }
            Action::Start(it) => {
                for node in select(&it.nodes)? {
                    if self.downs.returns(step, node) {
                        self.nodes.start(node)?;
                    }
                }
            }
            Action::Wipe(it) => {
                for node in select(&it.nodes)? {
                    self.downs.takes(step, node, self.nodes.is_up(node));
                    self.nodes.wipe(node)?;
                    self.wiped.insert(node);
                }
            }
            Action::Pause(it) => {
                for node in select(&it.nodes)? {
                    self.paused.hold(step, node);
                    self.nodes.pause(node, true);
                }
            }
            Action::Mine(it) => {
                for node in select(&it.nodes)? {
                    self.nodes.mine(node, it.on);
                }
            }
            Action::Load(it) => {
                let now = Moment::START + self.at();
                self.workload.add_load(now, step, it.rate).map_err(anyhow::Error::msg)?;
            }
            // The timeline orders the crashes of a churn; the others were refused before anything was started.
            Action::Churn(_)
            | Action::Slow(_)
            | Action::Clock(_)
            | Action::Disk(_)
            | Action::Frames(_) => {}
        }
        Ok(())
    }

    fn heal_links(&mut self) {
        self.nodes.cuts.heal();
        self.links.heal(&mut self.nodes.links);
    }

    fn resume(&mut self) {
        for node in self.paused.clear() {
            self.nodes.pause(node, false);
        }
    }
}

/// A step as it begins.
fn words(action: &Action) -> String {
    // What a churn draws has microseconds that nobody reads.
    let time = action.lasts().map(|time| match time.subsec_micros() % 1_000 {
        0 => format_duration(time),
        _ => format!("{:.1}s", time.as_secs_f64()),
    });
    let lasts = match (action, time) {
        (_, None) => String::new(),
        (Action::Crash(_) | Action::Stop(_) | Action::Wipe(_), Some(time)) => {
            format!(", returns after {time}")
        }
        (_, Some(time)) => format!(" for {time}"),
    };
    match action {
        Action::Mine(it) => format!("{} {}", action.describe(), if it.on { "on" } else { "off" }),
        _ => format!("{}{lasts}", action.describe()),
    }
}
