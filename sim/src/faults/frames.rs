//! Frames that are duplicated, replayed, reordered or damaged.

use super::layers::Layers;
use crate::{World, scenario::step::Frames, world::FrameFaults};
use kette_node::Command;
use std::collections::BTreeSet;

/// Frame faults that are on, by sender.
#[derive(Debug, Default)]
pub(super) struct Senders {
    faults: Layers<usize, FrameFaults>,
    /// Whose frames were ever tampered with.
    tampered: BTreeSet<usize>,
}

impl Senders {
    pub(super) fn begin(
        &mut self,
        world: &mut World,
        step: usize,
        nodes: &[usize],
        frames: &Frames,
    ) -> Result<(), String> {
        let faults = FrameFaults {
            duplicate: probability("duplicate", frames.duplicate)?,
            replay: probability("replay", frames.replay)?,
            reorder: probability("reorder", frames.reorder)?,
            corrupt: probability("corrupt", frames.corrupt)?,
        };
        for &node in nodes {
            self.faults.put(step, node, faults);
            self.tampered.insert(node);
            self.apply(world, node);
        }
        Ok(())
    }

    pub(super) fn end(&mut self, world: &mut World, step: usize) {
        for node in self.faults.remove(step) {
            self.apply(world, node);
        }
    }

    pub(super) fn heal(&mut self, world: &mut World) {
        for node in self.faults.clear() {
            self.apply(world, node);
        }
    }

    /// Lets operators forgive honest peers that looked guilty, because frames of either side were tampered with: a ban
    /// lasts longer than a network may take to converge.
    pub(super) fn forgive(&self, world: &mut World) {
        let honest: Vec<usize> =
            (0..world.hosts.len()).filter(|host| world.hosts[*host].is_honest()).collect();
        for (judge, accused) in honest.iter().flat_map(|a| honest.iter().map(move |b| (*a, *b))) {
            if !self.tampered.contains(&judge) && !self.tampered.contains(&accused) {
                continue;
            }
            let peer = world.hosts[accused].id;
            if world.hosts[judge].node().is_some_and(|node| node.blames(&peer)) {
                world.command(judge, Command::Unban(peer));
            }
        }
    }

    /// Of several steps the worst counts, for each kind.
    fn apply(&self, world: &mut World, node: usize) {
        let worst = self.faults.at(node).fold(FrameFaults::default(), |worst, one| FrameFaults {
            duplicate: worst.duplicate.max(one.duplicate),
            replay: worst.replay.max(one.replay),
            reorder: worst.reorder.max(one.reorder),
            corrupt: worst.corrupt.max(one.corrupt),
        });
        world.set_frame_faults(node, worst);
    }
}

fn probability(name: &str, value: f64) -> Result<f64, String> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err(format!("frames: {name} = {value} is not between 0 and 1")),
    }
}
