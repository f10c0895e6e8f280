//! Links that become worse or better, and sessions that end.

use super::{layers::Layers, partition::ways};
use crate::{
    World,
    scenario::{Link, Plan, select},
    world::{LinkShape, LinkTable},
};
use std::collections::BTreeMap;

/// Changes of links that are on.
#[derive(Debug, Default)]
pub struct Links {
    changes: Layers<(usize, usize), Link>,
    /// What a changed way was like before any step.
    before: BTreeMap<(usize, usize), LinkShape>,
}

impl Links {
    /// Changes links as a step says.
    ///
    /// # Errors
    /// If a name is not known or a number makes no sense. Nothing was changed then.
    pub fn begin(
        &mut self,
        table: &mut impl LinkTable,
        plan: &Plan,
        step: usize,
        link: &Link,
    ) -> Result<(), String> {
        check(link)?;
        for way in directions(plan, link)? {
            self.before.entry(way).or_insert_with(|| table.link(way.0, way.1));
            // Names are resolved: only the numbers matter here.
            let change = Link { from: Vec::new(), to: Vec::new(), ..link.clone() };
            self.changes.put(step, way, change);
            self.apply(table, way);
        }
        Ok(())
    }

    /// Ends what a step changed; what lies below shows again.
    pub fn end(&mut self, table: &mut impl LinkTable, step: usize) {
        for way in self.changes.remove(step) {
            self.apply(table, way);
        }
    }

    /// Ends what all steps changed.
    pub fn heal(&mut self, table: &mut impl LinkTable) {
        for way in self.changes.clear() {
            self.apply(table, way);
        }
    }

    /// What began later lies on top.
    fn apply(&self, table: &mut impl LinkTable, way: (usize, usize)) {
        let before = self.before[&way];
        let shape = self.changes.at(way).fold(before, changed);
        table.set_link(way.0, way.1, Some(shape));
    }
}

/// Changes links as the file says, for good.
pub(super) fn set(table: &mut impl LinkTable, plan: &Plan, link: &Link) -> Result<(), String> {
    check(link)?;
    for (from, to) in directions(plan, link)? {
        let shape = changed(table.link(from, to), link);
        table.set_link(from, to, Some(shape));
    }
    Ok(())
}

/// Ends all sessions of these nodes.
pub(super) fn reset(world: &mut World, nodes: &[usize]) {
    for &node in nodes {
        for other in 0..world.hosts.len() {
            if other != node {
                world.reset(node, other);
            }
        }
    }
}

fn directions(plan: &Plan, link: &Link) -> Result<Vec<(usize, usize)>, String> {
    let (from, to) = (select::select(plan, &link.from)?, select::select(plan, &link.to)?);
    Ok(ways(&from, &to, link.one_way))
}

fn changed(shape: LinkShape, link: &Link) -> LinkShape {
    LinkShape {
        latency: link.latency.unwrap_or(shape.latency),
        jitter: link.jitter.unwrap_or(shape.jitter),
        loss: link.loss.unwrap_or(shape.loss),
        bandwidth: link.bandwidth.or(shape.bandwidth),
    }
}

fn check(link: &Link) -> Result<(), String> {
    match link.loss {
        Some(loss) if !(0.0..=1.0).contains(&loss) => {
            Err(format!("link: loss = {loss} is not between 0 and 1"))
        }
        _ => Ok(()),
    }
}
