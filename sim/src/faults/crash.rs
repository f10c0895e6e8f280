//! Crashes, clean stops, lost databases, and the return of their nodes.

use super::holds::Holds;
use crate::{World, disk::Loss, rng, rng::ChaCha8Rng, scenario::step::Side};
use std::collections::BTreeSet;

/// Nodes that steps keep down.
#[derive(Debug, Default)]
pub struct Downs {
    held: Holds<usize>,
    /// Steps that take nodes down: the timeline orders the return under the same number.
    takers: BTreeSet<usize>,
}

impl Downs {
    /// Tells whether a step can take a node down: it runs, or another step keeps it down and so does this one now.
    pub fn takes(&mut self, step: usize, node: usize, up: bool) -> bool {
        self.takers.insert(step);
        let takes = up || self.held.is_held(node);
        if takes {
            self.held.hold(step, node);
        }
        takes
    }

    /// Tells whether a node starts now that a step wants it back: if the step took it down, unless another one keeps it
    /// down. A step that took nobody down starts a node whatever happened to it.
    pub fn returns(&mut self, step: usize, node: usize) -> bool {
        if self.takers.contains(&step) {
            return self.held.release(step, node);
        }
        self.held.free(node);
        true
    }

    /// Forgets all steps.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Crashes nodes, at once or at their next write. One that never started is left alone.
    pub(super) fn crash(
        &mut self,
        world: &mut World,
        step: usize,
        nodes: &[usize],
        at_write: Option<Side>,
        rng: &mut ChaCha8Rng,
    ) {
        for &node in nodes {
            let loss = if rng::happens(rng, 0.5) { Loss::Torn } else { Loss::Unsynced };
            if !self.takes(step, node, world.hosts[node].is_up()) {
                continue;
            }
            match at_write {
                Some(side) if world.hosts[node].is_up() => world.crash_at_write(node, side),
                _ => world.crash(node, loss),
            }
        }
    }

    /// Stops nodes cleanly.
    pub(super) fn stop(&mut self, world: &mut World, step: usize, nodes: &[usize]) {
        for &node in nodes {
            if self.takes(step, node, world.hosts[node].is_up()) {
                world.stop(node);
            }
        }
    }

    /// Empties nodes' disks.
    pub(super) fn wipe(&mut self, world: &mut World, step: usize, nodes: &[usize]) {
        for &node in nodes {
            self.takes(step, node, world.hosts[node].is_up());
            world.wipe(node);
        }
    }

    /// Starts nodes that may return.
    pub(super) fn start(&mut self, world: &mut World, step: usize, nodes: &[usize]) {
        for &node in nodes {
            if self.returns(step, node) {
                world.hosts[node].crash_at_write = None;
                world.start(node);
            }
        }
    }

    /// Tells whether some step keeps a node down.
    pub(super) fn is_down(&self, node: usize) -> bool {
        self.held.is_held(node)
    }

    /// Forgets all steps, and starts every honest node that is down.
    pub(super) fn heal(&mut self, world: &mut World) {
        self.clear();
        for node in 0..world.hosts.len() {
            world.hosts[node].crash_at_write = None;
            if world.hosts[node].is_honest() {
                world.start(node);
            }
        }
    }
}
