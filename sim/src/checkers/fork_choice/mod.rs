//! The same blocks give the same head: the branch with the greatest total weight, of equal ones that with the smaller
//! hash, in whatever order the blocks came.
//!
//! While it runs: no block that a node attached beats its head, unless a switch to it is deeper than the reorganization
//! limit. At the end fresh nodes get all blocks in several drawn orders and must come to one head.
//!
//! On `bft` there is nothing to choose: head and final block are one.

mod replay;

use super::{
    Checker, Observation,
    lineage::{self, Rank},
    per_host::PerHost,
};
use crate::{World, engine};
use kette_chain::Record;
use std::cmp::Reverse;

/// See the module.
#[derive(Debug, Default)]
pub struct ForkChoice {
    hosts: PerHost<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The best block attached in this life.
    best: Option<Rank>,
    /// Blocks were attached in this turn.
    changed: bool,
}

impl Checker for ForkChoice {
    fn name(&self) -> &'static str {
        "fork_choice"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Up { host } => *self.hosts.of(*host) = Seen::default(),
            Observation::Ordered { host, records } => {
                let known = self.hosts.of(*host);
                for record in *records {
                    if let Record::Block(block) = record {
                        let rank = (block.total_weight, Reverse(block.hash()));
                        known.best = known.best.max(Some(rank));
                        known.changed = true;
                    }
                }
            }
            Observation::Turned { host } => {
                let known = self.hosts.of(*host);
                if world.spec.bft().is_some() {
                    return decided(world, *host);
                }
                if std::mem::take(&mut known.changed) {
                    return known.judge(world, *host);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let Some(pow) = engine::pow(&world.spec) else { return Ok(()) };
        for host in world.honest().filter(|host| !host.disk.is_excused()) {
            let Some(node) = host.node() else { continue };
            if let Some(better) = lineage::neglected(node.tree(), pow.reorg_limit) {
                let (name, head) = (&host.name, node.tree().head().hash());
                return Err(format!(
                    "{name}: at the end the head is {head}, and {better} is better"
                ));
            }
        }
        replay::judge(world, pow.reorg_limit)
    }
}

/// On `bft` a block is head because it is final.
fn decided(world: &World, host: usize) -> Result<(), String> {
    let here = &world.hosts[host];
    let Some(node) = here.node().filter(|_| here.is_honest()) else { return Ok(()) };
    let (head, (_, hash)) = (node.tree().head().hash(), node.tree().finalized());
    if head == hash {
        return Ok(());
    }
    Err(format!("{}: the head is {head}, and the final block {hash}", here.name))
}

impl Seen {
    fn judge(&mut self, world: &World, host: usize) -> Result<(), String> {
        let here = &world.hosts[host];
        let (Some(best), Some(pow)) = (self.best, engine::pow(&world.spec)) else { return Ok(()) };
        // A node that cannot read its own blocks cannot follow them.
        if !here.is_honest() || here.disk.is_excused() {
            return Ok(());
        }
        let Some(node) = here.node() else { return Ok(()) };
        let tree = node.tree();
        if lineage::head_rank(tree) >= best {
            return Ok(());
        }
        let Reverse(hash) = best.1;
        let Some(reorg) = tree.plan(hash) else {
            // Pruned, or rolled back by a developer.
            self.best = None;
            return Ok(());
        };
        let (depth, head) = (reorg.removed.len() as u64, tree.head().hash());
        if depth > pow.reorg_limit {
            return Ok(());
        }
        let name = &here.name;
        Err(format!("{name}: the head is {head}, and {hash} is better, {depth} blocks deep"))
    }
}
