//! Disks that lie, rot, are full or slow.

use super::holds::Holds;
use crate::{World, scenario::step::DiskFault};

/// Disk faults that are on.
#[derive(Debug, Default)]
pub(super) struct Disks {
    held: Holds<(usize, DiskFault)>,
}

impl Disks {
    pub(super) fn begin(
        &mut self,
        world: &mut World,
        step: usize,
        nodes: &[usize],
        fault: DiskFault,
    ) {
        for &node in nodes {
            if self.held.hold(step, (node, fault)) {
                world.set_disk_fault(node, fault, true);
            }
        }
    }

    /// Ends what no other step wants; returns the nodes that stopped by themselves and whose disks are sound again.
    pub(super) fn end(&mut self, world: &mut World, step: usize) -> Vec<usize> {
        let ended = self.held.release_step(step);
        off(world, &ended);
        ended
            .into_iter()
            .map(|(node, _)| node)
            .filter(|node| !world.hosts[*node].is_up() && world.hosts[*node].failed.is_some())
            .filter(|node| !self.is_broken(*node))
            .collect()
    }

    pub(super) fn heal(&mut self, world: &mut World) -> Vec<usize> {
        let ended = self.held.clear();
        off(world, &ended);
        let failed =
            |node: &usize| !world.hosts[*node].is_up() && world.hosts[*node].failed.is_some();
        ended.into_iter().map(|(node, _)| node).filter(failed).collect()
    }

    fn is_broken(&self, node: usize) -> bool {
        [DiskFault::Full, DiskFault::BitRot]
            .into_iter()
            .any(|fault| self.held.is_held((node, fault)))
    }
}

fn off(world: &mut World, faults: &[(usize, DiskFault)]) {
    for (node, fault) in faults {
        world.set_disk_fault(*node, *fault, false);
    }
}
