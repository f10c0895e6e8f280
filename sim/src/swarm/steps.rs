//! What goes wrong when: first which kinds of steps, then each step.

use super::{Features, chain::Chain, dice::Dice};
use crate::scenario::{
    Action, At, Link, NetworkFile, Plan, Role, Step,
    step::{
        Churn, Clock, Crash, Cut, Disk, DiskFault, Frames, Heal, LinkChange, Load, Mine, Nodes,
        Partition, PartitionKind, Side, Slow, Span, Stop,
    },
};
use std::time::Duration;

/// Draws the steps of a file whose groups are complete.
pub(super) fn draw(
    dice: &mut Dice,
    features: &Features,
    chain: &Chain,
    file: &NetworkFile,
) -> Vec<Step> {
    let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| dice.coin(0.5)).collect();
    kinds.retain(|kind| chain.rate > 0 || !matches!(kind, Kind::MineRate | Kind::MineOff));
    if !features.steps || kinds.is_empty() {
        return Vec::new();
    }
    let Some(mut drawing) = Drawing::new(dice, chain, file) else { return Vec::new() };
    let wanted = drawing.dice.count(1..=STEPS_MAX);
    let mut steps = Vec::new();
    while steps.len() < wanted && drawing.tries < TRIES_MAX {
        drawing.tries += 1;
        let kind = drawing.dice.pick(&kinds);
        let drawn = drawing.step(kind);
        if steps.len() + drawn.len() <= STEPS_MAX {
            steps.extend(drawn);
        }
    }
    steps
}

/// Steps of one run.
const STEPS_MAX: usize = 8;
/// Draws that may come to nothing.
const TRIES_MAX: usize = 32;
/// What a node that was cut off for longer than a session lasts needs to come back: ping timeout, backoff and dial
/// timeout of `peers::Config`.
const RECONNECT: Duration = Duration::from_secs(45);
/// Shorter interruptions end no session; what was sent meanwhile arrives some seconds later.
const UNNOTICED: Duration = Duration::from_secs(8);
const RETRANSMIT: Duration = Duration::from_secs(4);
/// Shortest interruption.
const SPAN_MIN: Duration = Duration::from_millis(500);
/// Processor factors of shape and step together.
const SLOWNESS_MAX: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Partition,
    Flapping,
    Cut,
    /// A partition that only `heal` ends.
    Heal,
    Reset,
    Crash,
    CrashAtWrite,
    Stop,
    /// A stop that only `start` ends.
    Away,
    Wipe,
    Pause,
    Slow,
    Churn,
    ClockJump,
    ClockDrift,
    DiskLies,
    DiskRots,
    DiskFull,
    DiskSlow,
    Link,
    Frames,
    Corrupt,
    MineRate,
    MineOff,
    Load,
}

const KINDS: [Kind; 25] = [
    Kind::Partition,
    Kind::Flapping,
    Kind::Cut,
    Kind::Heal,
    Kind::Reset,
    Kind::Crash,
    Kind::CrashAtWrite,
    Kind::Stop,
    Kind::Away,
    Kind::Wipe,
    Kind::Pause,
    Kind::Slow,
    Kind::Churn,
    Kind::ClockJump,
    Kind::ClockDrift,
    Kind::DiskLies,
    Kind::DiskRots,
    Kind::DiskFull,
    Kind::DiskSlow,
    Kind::Link,
    Kind::Frames,
    Kind::Corrupt,
    Kind::MineRate,
    Kind::MineOff,
    Kind::Load,
];

struct Drawing<'a> {
    dice: &'a mut Dice,
    chain: &'a Chain,
    file: &'a NetworkFile,
    names: Vec<String>,
    /// Honest miners that are there from the start.
    miners: Vec<String>,
    /// The only node that may lose data; in tiny networks nobody.
    victim: Option<String>,
    /// How much interruption is left.
    budget: Duration,
    /// Clocks jump once per run.
    jumped: bool,
    /// One miner is switched off at most.
    switched_off: bool,
    tries: usize,
}

impl<'a> Drawing<'a> {
    fn new(dice: &'a mut Dice, chain: &'a Chain, file: &'a NetworkFile) -> Option<Self> {
        let plan = Plan::new(file).ok()?;
        let early = |node: &&crate::scenario::PlannedNode| {
            let group = &file.group[node.group];
            node.byzantine.is_none() && group.start_at.is_none()
        };
        let honest: Vec<String> = plan.nodes.iter().filter(early).map(|n| n.name.clone()).collect();
        let miners: Vec<String> = plan
            .nodes
            .iter()
            .filter(early)
            .filter(|node| file.group[node.group].roles.contains(&Role::Miner))
            .map(|node| node.name.clone())
            .collect();
        let victim = (honest.len() >= 3).then(|| dice.pick(&honest));
        let names = plan.nodes.into_iter().map(|node| node.name).collect();
        let blocks = u32::try_from(chain.reorg_limit).unwrap_or(u32::MAX);
        let budget = chain.block_time * blocks / 2;
        let (jumped, switched_off, tries) = (false, false, 0);
        Some(Self { dice, chain, file, names, miners, victim, budget, jumped, switched_off, tries })
    }

    /// Draws a step, or two that belong together, or none if this one does not fit.
    fn step(&mut self, kind: Kind) -> Vec<Step> {
        let duration = self.file.network.duration;
        let at = self.dice.moment(Duration::from_secs(5), duration * 8 / 10);
        let most = duration - at;
        match kind {
            // Those that come in pairs, or need two times.
            Kind::Heal => {
                let Some(lasts) = self.interruption(most) else { return Vec::new() };
                let Some(partition) = self.partition(None, None) else { return Vec::new() };
                let heal = Step::new(At::Time(at + lasts), Action::Heal(Heal {}));
                vec![Step::new(At::Time(at), partition), heal]
            }
            Kind::Away => {
                let Some(lasts) = self.interruption(most) else { return Vec::new() };
                let nodes = self.some();
                let stop = Action::Stop(Stop {
                    nodes: nodes.clone(),
                    restart_after: None,
                    upgrade: false,
                });
                let start = Action::Start(Nodes { nodes });
                vec![Step::new(At::Time(at), stop), Step::new(At::Time(at + lasts), start)]
            }
            kind => {
                let Some(action) = self.action(kind, most) else { return Vec::new() };
                let blocks = duration.as_secs() / self.chain.block_time.as_secs();
                let at = match self.dice.coin(0.15) {
                    true => At::Height(self.dice.number(1..=(blocks / 2).max(1))),
                    false => At::Time(at),
                };
                // A chain that grows slowly is no failure.
                vec![Step { at, action, optional: matches!(at, At::Height(_)) }]
            }
        }
    }

    fn action(&mut self, kind: Kind, most: Duration) -> Option<Action> {
        Some(match kind {
            Kind::Heal | Kind::Away => return None,
            Kind::Partition => {
                let lasts = self.interruption(most)?;
                self.partition(Some(lasts), None)?
            }
            Kind::Flapping => {
                let lasts = self.interruption(most)?;
                let flap = self.dice.time(Duration::from_millis(100), lasts);
                self.partition(Some(lasts), Some(flap))?
            }
            Kind::Cut => {
                let lasts = Some(self.interruption(most)?);
                let (from, to) = self.two()?;
                let one_way = self.dice.coin(0.5);
                Action::Cut(Cut { from, to, one_way, lasts })
            }
            Kind::Reset => {
                self.spend(RETRANSMIT)?;
                Action::Reset(Nodes { nodes: self.some() })
            }
            Kind::Crash | Kind::CrashAtWrite => {
                let restart_after = Some(self.interruption(most)?);
                let side = self.dice.pick(&[Side::Before, Side::After]);
                let at_write = (kind == Kind::CrashAtWrite).then_some(side);
                Action::Crash(Crash { nodes: self.some(), at_write, restart_after })
            }
            Kind::Stop => {
                let restart_after = Some(self.interruption(most)?);
                Action::Stop(Stop { nodes: self.some(), restart_after, upgrade: false })
            }
            Kind::Wipe => {
                let nodes = vec![self.victim.clone()?];
                let restart_after = match self.dice.coin(0.5) {
                    true => Some(self.interruption(most)?),
                    false => None,
                };
                Action::Wipe(Stop { nodes, restart_after, upgrade: false })
            }
            Kind::Pause => {
                let lasts = Some(self.interruption(most)?);
                Action::Pause(Span { nodes: self.some(), lasts })
            }
            Kind::Slow => {
                let pace = self.file.shape.cpu.unwrap_or(1.0).max(1.0);
                let factor = self.dice.pick(&[2.0_f64, 5.0, 10.0, 50.0]).min(SLOWNESS_MAX / pace);
                // A slow miner mines less: everybody slow would be a pause.
                Action::Slow(Slow { nodes: vec![self.one()], factor, lasts: self.span(most) })
            }
            Kind::Churn => {
                let lasts = self.interruption(most)?;
                let every = self.dice.time(Duration::from_secs(1), Duration::from_secs(20));
                let down = self.dice.time(SPAN_MIN, Duration::from_secs(10).min(lasts));
                Action::Churn(Churn { nodes: self.some(), every, down, lasts: Some(lasts) })
            }
            Kind::ClockJump if self.jumped => return None,
            Kind::ClockJump => {
                self.jumped = true;
                let jump_ms = self.dice.signed(self.chain.clock_part_ms());
                let jump_ms = if jump_ms == 0 { 1 } else { jump_ms };
                Action::Clock(Clock { nodes: self.some(), jump_ms, drift_ppm: 0 })
            }
            Kind::ClockDrift => {
                // Not more than a twelfth of the limit until the end.
                let most_ms = self.chain.clock_part_ms() / 2;
                let ppm = most_ms * 1_000_000 / self.file.network.duration.as_millis() as u64;
                let drift_ppm = self.dice.signed(ppm.min(5_000));
                let drift_ppm = if drift_ppm == 0 { 1 } else { drift_ppm };
                Action::Clock(Clock { nodes: self.some(), jump_ms: 0, drift_ppm })
            }
            Kind::DiskLies | Kind::DiskRots => {
                let nodes = vec![self.victim.clone()?];
                let rots = kind == Kind::DiskRots;
                let fault = if rots { DiskFault::BitRot } else { DiskFault::LostFsync };
                let lasts = if rots { Some(self.interruption(most)?) } else { self.span(most) };
                Action::Disk(Disk { nodes, fault, lasts })
            }
            Kind::DiskFull => {
                let lasts = Some(self.interruption(most)?);
                Action::Disk(Disk { nodes: self.some(), fault: DiskFault::Full, lasts })
            }
            Kind::DiskSlow => {
                let fsync = self.file.shape.fsync.unwrap_or(Duration::from_millis(2));
                if fsync > Duration::from_millis(5) {
                    return None;
                }
                let lasts = Some(self.interruption(most)?);
                Action::Disk(Disk { nodes: self.some(), fault: DiskFault::Slow, lasts })
            }
            Kind::Link => self.link(most)?,
            Kind::Frames => {
                let [mut duplicate, replay, reorder] =
                    [0; 3].map(|_: u32| match self.dice.coin(0.6) {
                        true => self.dice.share(0.001, 0.3),
                        false => 0.0,
                    });
                if duplicate + replay + reorder == 0.0 {
                    duplicate = 0.1;
                }
                let (nodes, lasts) = (self.some(), self.span(most));
                Action::Frames(Frames { nodes, duplicate, replay, reorder, corrupt: 0.0, lasts })
            }
            Kind::Corrupt => {
                let lasts = Some(self.interruption(most)?);
                let corrupt = self.dice.share(0.001, 0.05).max(0.001);
                let (duplicate, replay, reorder) = (0.0, 0.0, 0.0);
                let nodes = self.some();
                Action::Frames(Frames { nodes, duplicate, replay, reorder, corrupt, lasts })
            }
            Kind::MineRate => {
                // Up only: a Byzantine minority stays one.
                let rate = Some(self.chain.rate * 2);
                let nodes = vec![self.dice.pick(&self.miners)];
                Action::Mine(Mine { nodes, on: true, rate })
            }
            Kind::MineOff if self.switched_off || self.miners.len() < 4 => return None,
            Kind::MineOff => {
                self.switched_off = true;
                let nodes = vec![self.dice.pick(&self.miners)];
                Action::Mine(Mine { nodes, on: false, rate: None })
            }
            Kind::Load => {
                let rate = self.dice.share(1.0, 20.0);
                let lasts = Some(self.dice.time(Duration::from_secs(1), most.min(LOAD_MAX)));
                Action::Load(Load { rate, lasts })
            }
        })
    }

    fn partition(&mut self, lasts: Option<Duration>, flap: Option<Duration>) -> Option<Action> {
        let count = self.names.len();
        if count < 2 {
            return None;
        }
        let kind = self.dice.pick(&[
            PartitionKind::Halves,
            PartitionKind::Majority,
            PartitionKind::Ring,
            PartitionKind::Isolate,
        ]);
        let one_way = kind != PartitionKind::Ring && self.dice.coin(0.3);
        let mut partition =
            Partition { groups: Vec::new(), kind: Some(kind), one_way, lasts, flap };
        if self.dice.coin(0.25) {
            let place = self.dice.count(1..=count - 1);
            let (a, b) = self.names.split_at(place);
            partition.groups = vec![a.to_vec(), b.to_vec()];
            partition.kind = None;
        }
        Some(Action::Partition(partition))
    }

    fn link(&mut self, most: Duration) -> Option<Action> {
        let (from, to) = self.two()?;
        let block_time = self.chain.block_time;
        let milli = Duration::from_millis(1);
        let mut link = Link {
            from,
            to,
            latency: self.dice.coin(0.6).then(|| self.dice.time(milli, block_time / 4)),
            jitter: self.dice.coin(0.3).then(|| self.dice.time(milli, block_time / 8)),
            loss: None,
            bandwidth: self.dice.coin(0.3).then(|| self.dice.pick(&[1_000_000, 10_000_000])),
            one_way: self.dice.coin(0.3),
        };
        if block_time.as_secs() >= 4 && self.dice.coin(0.4) {
            link.loss = Some(self.dice.share(0.001, super::LOSS_MAX));
        }
        if (link.latency, link.jitter, link.loss, link.bandwidth) == (None, None, None, None) {
            link.latency = Some(block_time / 8);
        }
        Some(Action::Link(LinkChange { link, lasts: self.span(most) }))
    }

    /// Draws how long something lasts that costs nothing; sometimes until it is healed.
    fn span(&mut self, most: Duration) -> Option<Duration> {
        self.dice.coin(0.7).then(|| self.dice.time(Duration::from_secs(1), most))
    }

    /// Draws how long something lasts that parts nodes, and takes it from the budget.
    fn interruption(&mut self, most: Duration) -> Option<Duration> {
        let long = self.budget.checked_sub(RECONNECT).unwrap_or_default().min(most);
        let is_long = long > UNNOTICED && self.dice.coin(0.7);
        let (lasts, cost) = match is_long {
            true => (self.dice.time(UNNOTICED, long), RECONNECT),
            false => {
                let left = self.budget.checked_sub(RETRANSMIT).unwrap_or_default();
                let short = left.min(most).min(UNNOTICED);
                if short < SPAN_MIN {
                    return None;
                }
                (self.dice.time(SPAN_MIN, short), RETRANSMIT)
            }
        };
        self.spend(lasts + cost)?;
        Some(lasts)
    }

    fn spend(&mut self, cost: Duration) -> Option<()> {
        self.budget = self.budget.checked_sub(cost)?;
        Some(())
    }

    fn one(&mut self) -> String {
        self.dice.pick(&self.names)
    }

    /// Draws one node mostly, or several, or all.
    fn some(&mut self) -> Vec<String> {
        match self.dice.number(0..=9) {
            0 => vec!["*".to_owned()],
            1..4 => {
                let all = self.names.clone();
                let mut some: Vec<String> =
                    all.into_iter().filter(|_| self.dice.coin(0.5)).collect();
                if some.is_empty() {
                    some.push(self.one());
                }
                some
            }
            _ => vec![self.one()],
        }
    }

    /// Draws two different nodes, or one and all.
    fn two(&mut self) -> Option<(Vec<String>, Vec<String>)> {
        if self.names.len() < 2 {
            return None;
        }
        let a = self.one();
        let others: Vec<String> = self.names.iter().filter(|name| **name != a).cloned().collect();
        let b = if self.dice.coin(0.3) { "*".to_owned() } else { self.dice.pick(&others) };
        Some((vec![a], vec![b]))
    }
}

/// Longest burst of users.
const LOAD_MAX: Duration = Duration::from_secs(30);
