//! Clocks that jump or run at another pace.

use crate::{
    World,
    scenario::{PlannedNode, step},
    world,
};
use std::collections::BTreeSet;

/// Nodes whose clocks steps have changed.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    changed: BTreeSet<usize>,
}

impl Clocks {
    /// Changes clocks. A jump alone leaves the pace as it is.
    pub(super) fn begin(&mut self, world: &mut World, nodes: &[usize], change: &step::Clock) {
        for &node in nodes {
            if change.jump_ms != 0 {
                world.jump_clock(node, change.jump_ms);
            }
            if change.drift_ppm != 0 || change.jump_ms == 0 {
                world.drift_clock(node, change.drift_ppm);
            }
            self.changed.insert(node);
        }
    }

    /// Sets all clocks to what they would show without any step, as a time service does.
    pub(super) fn heal(&mut self, world: &mut World, plan: &[PlannedNode]) {
        let now = world.now();
        for node in std::mem::take(&mut self.changed) {
            let PlannedNode { clock_offset_ms, clock_drift_ppm, .. } = plan[node];
            let right = world::Clock::new(world.epoch, clock_offset_ms, clock_drift_ppm).time(now);
            let shown = world.hosts[node].clock.time(now);
            let millis = i128::from(right.as_millis()) - i128::from(shown.as_millis());
            world.jump_clock(node, i64::try_from(millis).unwrap_or(0));
            world.drift_clock(node, clock_drift_ppm);
        }
    }
}
