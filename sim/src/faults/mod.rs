//! Faults: actions of a network file, performed on the world. A file per family.
//!
//! Steps may overlap. What a step began ends with it, unless another running step wants the same: two partitions that
//! share a cut heal it with the later end, a node crashed by two steps returns with the second.

mod clock;
mod crash;
mod disk;
mod frames;
mod holds;
mod layers;
mod link;
mod pace;
mod partition;
#[cfg(test)]
mod tests;

pub use crash::Downs;
pub use holds::Holds;
pub use link::Links;

use crate::{
    World,
    rng::{ChaCha8Rng, Purpose, stream},
    scenario::{Action, Link, Order, Plan, select, step::Mine},
    workload::Workload,
    world::LinkTable,
};
use std::collections::BTreeMap;

/// Changes links as the file says.
///
/// # Errors
/// If a name is not known.
pub fn set_link(table: &mut impl LinkTable, plan: &Plan, link: &Link) -> Result<(), String> {
    link::set(table, plan, link)
}

/// Returns the directions, from whom to whom, that a partition or a cut closes as step `step` of a file; none for any
/// other action. Both hosts draw what the file leaves open from here, each time the same: a flapping partition parts
/// the same groups.
///
/// # Errors
/// If a name is not known, a node is in two groups, or it is not said how to part them.
pub fn closed_ways(
    plan: &Plan,
    seed: u64,
    step: usize,
    action: &Action,
) -> Result<Vec<(usize, usize)>, String> {
    match action {
        Action::Partition(what) => {
            let mut rng = stream(seed, Purpose::Faults, step as u64);
            partition::partition(plan, what, &mut rng)
        }
        Action::Cut(what) => partition::cut(plan, what),
        _ => Ok(Vec::new()),
    }
}

/// Effects of steps that are under way.
#[derive(Debug)]
pub struct Faults {
    plan: Plan,
    seed: u64,
    cuts: partition::Cuts,
    downs: Downs,
    clocks: clock::Clocks,
    disks: disk::Disks,
    links: Links,
    senders: frames::Senders,
    paces: pace::Paces,
    /// What crashes lose, by step.
    losses: BTreeMap<usize, ChaCha8Rng>,
}

impl Faults {
    /// Begins without any fault; `seed` decides what a file leaves open.
    pub fn new(plan: &Plan, seed: u64) -> Self {
        Self {
            plan: plan.clone(),
            seed,
            cuts: partition::Cuts::default(),
            downs: Downs::default(),
            clocks: clock::Clocks::default(),
            disks: disk::Disks::default(),
            links: Links::default(),
            senders: frames::Senders::default(),
            paces: pace::Paces::default(),
            losses: BTreeMap::new(),
        }
    }

    /// Performs what a timeline orders.
    ///
    /// # Errors
    /// If a name is not known or a number makes no sense. Nothing was done then.
    pub fn perform(
        &mut self,
        world: &mut World,
        workload: &mut Workload,
        order: &Order,
    ) -> Result<(), String> {
        match order {
            Order::Begin { step, action } => self.begin(world, workload, *step, action),
            Order::End { step, action } => {
                self.end(world, workload, *step, action);
                Ok(())
            }
        }
    }

    fn begin(
        &mut self,
        world: &mut World,
        workload: &mut Workload,
        step: usize,
        action: &Action,
    ) -> Result<(), String> {
        let select = |names: &[String]| select::select(&self.plan, names);
        match action {
            Action::Partition(_) | Action::Cut(_) => {
                let ways = closed_ways(&self.plan, self.seed, step, action)?;
                self.cuts.begin(world, step, ways);
            }
            Action::Heal(_) => self.heal(world),
            Action::Reset(what) => link::reset(world, &select(&what.nodes)?),
            Action::Crash(what) => {
                let nodes = select(&what.nodes)?;
                let rng = self
                    .losses
                    .entry(step)
                    .or_insert_with(|| stream(self.seed, Purpose::Faults, step as u64));
                self.downs.crash(world, step, &nodes, what.at_write, rng);
            }
            Action::Stop(what) => self.downs.stop(world, step, &select(&what.nodes)?),
            Action::Start(what) => self.downs.start(world, step, &select(&what.nodes)?),
            Action::Wipe(what) => self.downs.wipe(world, step, &select(&what.nodes)?),
            Action::Pause(what) => self.paces.pause(world, step, &select(&what.nodes)?),
            Action::Slow(what) => {
                let nodes = select(&what.nodes)?;
                self.paces.slow(world, &self.plan.nodes, step, &nodes, what.factor)?;
            }
            // The timeline orders its crashes and returns.
            Action::Churn(_) => {}
            Action::Clock(what) => self.clocks.begin(world, &select(&what.nodes)?, what),
            Action::Disk(what) => {
                self.disks.begin(world, step, &select(&what.nodes)?, what.fault);
            }
            Action::Link(what) => self.links.begin(world, &self.plan, step, &what.link)?,
            Action::Frames(what) => {
                self.senders.begin(world, step, &select(&what.nodes)?, what)?;
            }
            Action::Mine(what) => mine(world, &select(&what.nodes)?, what),
            Action::Load(what) => workload.add_load(world.now(), step, what.rate)?,
        }
        Ok(())
    }

    fn end(&mut self, world: &mut World, workload: &mut Workload, step: usize, action: &Action) {
        match action {
            Action::Partition(_) | Action::Cut(_) => self.cuts.end(world, step),
            Action::Pause(_) | Action::Slow(_) => self.paces.end(world, &self.plan.nodes, step),
            Action::Disk(_) => {
                let stopped = self.disks.end(world, step);
                self.restart(world, &stopped);
            }
            Action::Link(_) => self.links.end(world, step),
            Action::Frames(_) => self.senders.end(world, step),
            Action::Load(_) => workload.end_load(world.now(), step),
            // Who is down returns by an order of its own; the others happen at once.
            Action::Crash(_)
            | Action::Stop(_)
            | Action::Wipe(_)
            | Action::Churn(_)
            | Action::Heal(_)
            | Action::Reset(_)
            | Action::Start(_)
            | Action::Clock(_)
            | Action::Mine(_) => {}
        }
    }

    /// Ends everything, starts every honest host that is down, and lifts bans that tampered frames led to.
    pub fn heal_all(&mut self, world: &mut World) {
        self.heal(world);
        self.clocks.heal(world, &self.plan.nodes);
        self.downs.heal(world);
        self.senders.forgive(world);
    }

    /// Ends what [`Action::Heal`] ends: crashed nodes stay down, clocks stay as they are.
    fn heal(&mut self, world: &mut World) {
        self.cuts.heal(world);
        self.links.heal(world);
        self.senders.heal(world);
        self.paces.heal(world, &self.plan.nodes);
        let stopped = self.disks.heal(world);
        self.restart(world, &stopped);
    }

    /// Starts nodes that stopped because of their disks, unless a step keeps them down.
    fn restart(&self, world: &mut World, nodes: &[usize]) {
        for &node in nodes {
            if !self.downs.is_down(node) {
                world.start(node);
            }
        }
    }
}

/// Changes what nodes mine. It holds for later starts as well.
fn mine(world: &mut World, nodes: &[usize], what: &Mine) {
    for &node in nodes {
        if let Some(rate) = what.rate {
            world.set_rate(node, rate);
        }
        world.hosts[node].config.local.mining = what.on;
        world.mine(node, what.on);
    }
}
