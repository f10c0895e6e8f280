//! Nodes that stand still or become slow.

use super::{holds::Holds, layers::Layers};
use crate::{World, scenario::PlannedNode};

/// Pauses and slowness that are on.
#[derive(Debug, Default)]
pub(super) struct Paces {
    paused: Holds<usize>,
    slow: Layers<usize, f64>,
}

impl Paces {
    /// Makes nodes stand still, as SIGSTOP does to a process: one that starts later is not meant.
    pub(super) fn pause(&mut self, world: &mut World, step: usize, nodes: &[usize]) {
        for &node in nodes {
            self.paused.hold(step, node);
            world.pause(node, true);
        }
    }

    /// Makes nodes slower.
    pub(super) fn slow(
        &mut self,
        world: &mut World,
        plan: &[PlannedNode],
        step: usize,
        nodes: &[usize],
        factor: f64,
    ) -> Result<(), String> {
        if !factor.is_finite() || factor <= 0.0 {
            return Err(format!("slow: factor = {factor} is not a number above 0"));
        }
        for &node in nodes {
            self.slow.put(step, node, factor);
            self.apply(world, plan, node);
        }
        Ok(())
    }

    pub(super) fn end(&mut self, world: &mut World, plan: &[PlannedNode], step: usize) {
        for node in self.paused.release_step(step) {
            world.pause(node, false);
        }
        for node in self.slow.remove(step) {
            self.apply(world, plan, node);
        }
    }

    pub(super) fn heal(&mut self, world: &mut World, plan: &[PlannedNode]) {
        for node in self.paused.clear() {
            world.pause(node, false);
        }
        for node in self.slow.clear() {
            self.apply(world, plan, node);
        }
    }

    /// Of several steps the slowest counts.
    fn apply(&self, world: &mut World, plan: &[PlannedNode], node: usize) {
        let factor = self.slow.at(node).copied().reduce(f64::max).unwrap_or(1.0);
        world.set_slow(node, plan[node].slow * factor);
    }
}
