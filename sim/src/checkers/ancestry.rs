//! A chain is a chain: each change of the canonical chain fits what was there, what becomes final lies on it and above what
//! was final before, and at the end it leads from the head to block 0 without a gap.

use super::{Checker, Observation, lineage, per_host::PerHost};
use crate::World;
use alloy_primitives::B256;
use kette_chain::Record;

/// Chains walked whole at the end, at most.
const WALKED_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Ancestry {
    hosts: PerHost<Option<Chain>>,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    head: B256,
    finalized: (u64, B256),
}

impl Checker for Ancestry {
    fn name(&self) -> &'static str {
        "ancestry"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Up { host } if world.hosts[*host].is_honest() => {
                let tree = world.hosts[*host].node().map(|node| node.tree());
                *self.hosts.of(*host) = tree
                    .map(|tree| Chain { head: tree.head().hash(), finalized: tree.finalized() });
                Ok(())
            }
            Observation::Ordered { host, records } if world.hosts[*host].is_honest() => {
                let Some(chain) = self.hosts.of(*host) else { return Ok(()) };
                records
                    .iter()
                    .try_for_each(|record| chain.change(world, record))
                    .map_err(|what| format!("{}: {what}", world.hosts[*host].name))
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let hosts: Vec<_> = world.honest().filter(|host| !host.disk.is_excused()).collect();
        let step = hosts.len().div_ceil(WALKED_MAX).max(1);
        for host in hosts.iter().step_by(step) {
            let Some(node) = host.node() else { continue };
            let tree = node.tree();
            let mut due = Some(tree.head().hash());
            for number in (0..=tree.head().number).rev() {
                let found = tree.canonical(number).map_err(|error| error.to_string())?;
                if found != due {
                    let name = &host.name;
                    return Err(format!("{name}: canonical {number} is {found:?}, not {due:?}"));
                }
                due = found.and_then(|hash| Some(lineage::place(world, hash)?.1));
            }
        }
        Ok(())
    }
}

impl Chain {
    fn change(&mut self, world: &World, record: &Record) -> Result<(), String> {
        match record {
            Record::Canonical { keep, added } => {
                let stays = lineage::ancestor(world, self.head, *keep)
                    .ok_or_else(|| format!("keeps number {keep}, which it does not have"))?;
                let mut below = stays;
                for (hash, number) in added.iter().zip(keep + 1..) {
                    let place = lineage::place(world, *hash);
                    if place != Some((number, below)) {
                        return Err(format!(
                            "{hash} becomes canonical at number {number} on {below}, and is {place:?}"
                        ));
                    }
                    below = *hash;
                }
                self.head = below;
                if self.finalized.0 > *keep {
                    // Whether that may be is the business of `finality`.
                    self.finalized = (*keep, stays);
                }
                Ok(())
            }
            Record::Final { number, hash, .. } => {
                let (before, old) = self.finalized;
                let canonical = lineage::ancestor(world, self.head, *number);
                if canonical != Some(*hash) {
                    return Err(format!("{hash} is final at {number}; canonical is {canonical:?}"));
                }
                if before > *number || lineage::ancestor(world, *hash, before) != Some(old) {
                    return Err(format!(
                        "{hash} is final at {number}, and does not descend from {old} at {before}"
                    ));
                }
                self.finalized = (*number, *hash);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
