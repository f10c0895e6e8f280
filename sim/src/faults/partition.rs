//! Partitions and cuts: which directions between nodes no longer work.

use super::holds::Holds;
use crate::{
    World,
    rng::ChaCha8Rng,
    scenario::{
        Plan, select,
        step::{Cut, Partition, PartitionKind},
    },
};
use rand::RngExt;
use std::collections::BTreeMap;

/// From whom to whom.
type Way = (usize, usize);

/// Directions that steps have cut.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    held: Holds<Way>,
}

impl Cuts {
    pub(super) fn begin(&mut self, world: &mut World, step: usize, ways: Vec<Way>) {
        for (from, to) in ways {
            if self.held.hold(step, (from, to)) {
                world.set_cut(from, to, true);
            }
        }
    }

    /// Heals what no other step cuts.
    pub(super) fn end(&mut self, world: &mut World, step: usize) {
        for (from, to) in self.held.release_step(step) {
            world.set_cut(from, to, false);
        }
    }

    pub(super) fn heal(&mut self, world: &mut World) {
        for (from, to) in self.held.clear() {
            world.set_cut(from, to, false);
        }
    }
}

/// Returns what a partition cuts.
///
/// # Errors
/// If a name is not known, a node is in two groups, or it is not said how to part them.
pub(super) fn partition(
    plan: &Plan,
    partition: &Partition,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Way>, String> {
    let count = plan.nodes.len();
    let side = match (partition.kind, partition.groups.as_slice()) {
        (Some(_), [_, ..]) => return Err("partition: give `groups` or `kind`, not both".to_owned()),
        (Some(PartitionKind::Ring), []) if partition.one_way => {
            return Err("partition: a ring has no first group, leave out `one_way`".to_owned());
        }
        (Some(PartitionKind::Ring), []) => return Ok(ring(&shuffled(count, rng))),
        (Some(kind), []) => {
            let first = first_size(kind, count, rng);
            let mut side = vec![1; count];
            for node in &shuffled(count, rng)[..first] {
                side[*node] = 0;
            }
            side
        }
        (None, [] | [_]) => {
            return Err("partition: at least two `groups`, or a `kind`, are needed".to_owned());
        }
        (None, groups) => sides(plan, groups)?,
    };
    let cut = |(from, to): &Way| match partition.one_way {
        true => side[*from] == 0 && side[*to] != 0,
        false => side[*from] != side[*to],
    };
    Ok(pairs(count).filter(cut).collect())
}

/// Returns what a cut cuts.
///
/// # Errors
/// If a name is not known.
pub(super) fn cut(plan: &Plan, cut: &Cut) -> Result<Vec<Way>, String> {
    Ok(ways(&select::select(plan, &cut.from)?, &select::select(plan, &cut.to)?, cut.one_way))
}

/// Returns all directions from these nodes to those, and back unless only one way is meant.
pub(super) fn ways(from: &[usize], to: &[usize], one_way: bool) -> Vec<Way> {
    let there = from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
    if one_way {
        return there.collect();
    }
    there.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

fn pairs(count: usize) -> impl Iterator<Item = Way> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b)
}

/// Returns the group of each node; who is in none is in the first.
fn sides(plan: &Plan, groups: &[Vec<String>]) -> Result<Vec<usize>, String> {
    let mut side: BTreeMap<usize, usize> = BTreeMap::new();
    for (group, names) in groups.iter().enumerate() {
        for node in select::select(plan, names)? {
            if side.insert(node, group).is_some_and(|other| other != group) {
                let name = &plan.nodes[node].name;
                return Err(format!("partition: node {name} is in two groups"));
            }
        }
    }
    Ok((0..plan.nodes.len()).map(|node| side.get(&node).copied().unwrap_or(0)).collect())
}

/// Returns how many nodes are in the first group.
fn first_size(kind: PartitionKind, count: usize, rng: &mut ChaCha8Rng) -> usize {
    let most = count.saturating_sub(1);
    let half = count / 2;
    match kind {
        PartitionKind::Halves | PartitionKind::Ring => half,
        PartitionKind::Majority if half < most => rng.random_range(half + 1..=most),
        PartitionKind::Majority => most,
        PartitionKind::Isolate => most.min(1),
    }
}

/// Jepsen's majorities ring: nodes stand in a circle, each hears the smallest majority around it, and no two hear the
/// same one (Jepsen, `nemesis/majorities-ring`). With an even majority hearing is not always mutual.
fn ring(circle: &[usize]) -> Vec<Way> {
    let count = circle.len();
    let majority = count / 2 + 1;
    let before = majority / 2;
    let mut cut = Vec::new();
    for (place, to) in circle.iter().enumerate() {
        for steps in majority..count {
            let from = circle[(place + count - before + steps) % count];
            cut.push((from, *to));
        }
    }
    cut.sort_unstable();
    cut
}

/// Returns all nodes in an order that is drawn (Fisher and Yates).
fn shuffled(count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}
