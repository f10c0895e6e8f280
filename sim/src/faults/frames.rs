//! Frames that are duplicated, replayed, reordered or damaged.

use super::layers::Layers;
use crate::{World, scenario::step::Frames, world::FrameFaults};

/// Frame faults that are on, by sender.
#[derive(Debug, Default)]
pub(super) struct Senders {
    faults: Layers<usize, FrameFaults>,
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
