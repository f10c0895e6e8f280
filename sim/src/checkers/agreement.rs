//! Honest nodes agree on what is final.
//!
//! Final in `pow` means: a number of blocks lie above. A partition, a liar with much hash rate, or links as slow as blocks
//! break that for a while without anybody's fault, so while a run goes on a difference is an objection only if no fault is
//! part of it and propagation was too quick for a natural fork of that depth. At the end it always is: the network had
//! time to converge. Excused then is a node with a branch that waits for an operator: it says so, and nothing becomes
//! final at it.
//!
//! Final in `bft` means: for ever. Two final blocks of one number are an objection at once, whatever else goes on.

use super::{Checker, Observation, lineage};
use crate::{World, engine};
use alloy_primitives::B256;
use kette_node::Event;
use std::collections::BTreeMap;

/// A natural fork may be as deep as finality if that is likelier than this.
const LIKELY: f64 = 1e-5;

/// See the module.
#[derive(Debug, Default)]
pub struct Agreement {
    /// What was told to be final first, and by whom.
    told: BTreeMap<u64, (B256, usize)>,
}

impl Checker for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Event { host, event: Event::Finalized { number, hash } } = seen else {
            return Ok(());
        };
        if !world.hosts[*host].is_honest() {
            return Ok(());
        }
        let (first, by) = *self.told.entry(*number).or_insert((*hash, *host));
        if first == *hash {
            return Ok(());
        }
        // A node that changed its own mind is the business of `finality`.
        let by_depth = engine::pow(&world.spec).is_some();
        if by_depth && (world.faulty || by == *host || is_natural(world)) {
            return Ok(());
        }
        let name = |host: usize| &world.hosts[host].name;
        let (a, b) = (name(by), name(*host));
        Err(format!("{a} made {first} final at number {number}, and {b} {hash}"))
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let Some(pow) = engine::pow(&world.spec) else { return Ok(()) };
        let judged: Vec<_> = world
            .honest()
            .filter(|host| !host.disk.is_excused())
            .filter_map(|host| Some((host, host.node()?.tree())))
            .filter(|(_, tree)| !lineage::waits(tree, pow.reorg_limit))
            .collect();
        let Some((top, most)) = judged.iter().max_by_key(|(_, tree)| tree.finalized().0) else {
            return Ok(());
        };
        for (host, tree) in &judged {
            let (number, hash) = tree.finalized();
            let theirs = most.canonical(number).map_err(|e| format!("{}: {e}", top.name))?;
            if theirs != Some(hash) {
                let (a, b) = (&host.name, &top.name);
                return Err(format!(
                    "at the end {hash} is final at number {number} for {a}, and {theirs:?} for {b}"
                ));
            }
        }
        Ok(())
    }
}

/// Tells whether a fork as deep as finality may have come about by itself: each block of it needs another one to be found
/// before the first has spread.
fn is_natural(world: &World) -> bool {
    let Some(pow) = engine::pow(&world.spec) else { return true };
    let (mut micros, mut count) = (0.0, 0.0);
    for history in world.blocks.values() {
        count += history.reached.len() as f64;
        micros += history.reached.iter().map(|(_, after)| *after as f64).sum::<f64>();
    }
    if count == 0.0 {
        return true;
    }
    let share = micros / count / (pow.block_time as f64 * 1e6);
    libm::pow(share, pow.finality_depth as f64) * world.blocks.len() as f64 > LIKELY
}
