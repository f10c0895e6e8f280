//! What a host observes of its nodes at one moment: what steps wait for and checks judge.

use super::edges::components;
use alloy_primitives::{B256, U256};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// A network at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Time since the start.
    pub at: Duration,
    /// All nodes, in the order of the plan.
    pub nodes: Vec<NodeFacts>,
}

/// A node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Whether it runs; the rest is what was last known.
    pub up: bool,
    /// Whether it follows the protocol.
    pub honest: bool,
    /// Number of its head.
    pub height: u64,
    /// Hash of its head.
    pub hash: B256,
    /// State root of its head.
    pub state_root: B256,
    /// Cumulative weight of its head.
    pub weight: U256,
    /// Number of its newest final block.
    pub finalized: u64,
    /// Hash of its newest final block.
    pub finalized_hash: B256,
    /// Sessions whose hello is done.
    pub peers: usize,
    /// With whom they are, by place in the plan; twins count as the first of them.
    pub sessions: Vec<usize>,
    /// Sessions begun since it started.
    pub handshakes_attempted: u64,
    /// Sessions whose hello was done.
    pub handshakes_completed: u64,
    /// Of these, ended by a peer that had no room.
    pub sessions_refused: u64,
    /// Dials that reached nobody.
    pub dials_failed: u64,
    /// Faults of its peers.
    pub faults: u64,
    /// Transactions in its pool.
    pub pending: usize,
    /// Reorganizations so far.
    pub reorgs: u64,
    /// Deepest of them.
    pub reorg_depth_max: u64,
    /// Whether it is catching up.
    pub syncing: bool,
    /// Blocks it produced.
    pub produced: u64,
    /// Bans it pronounced.
    pub bans: u64,
}

impl Facts {
    /// Returns all sessions between honest nodes that run, each once: the lower place first.
    pub fn links(&self) -> Vec<(usize, usize)> {
        let runs = |node: usize| self.nodes.get(node).is_some_and(|it| it.up && it.honest);
        let both = (0..self.nodes.len()).filter(|node| runs(*node)).flat_map(|node| {
            let others = self.nodes[node].sessions.iter().copied().filter(|other| runs(*other));
            others.map(move |other| (node.min(other), node.max(other)))
        });
        let mut links: Vec<(usize, usize)> = both.collect();
        links.sort_unstable();
        links.dedup();
        links
    }

    /// Returns the running honest nodes in groups that no session joins, the largest first.
    pub fn components(&self) -> Vec<Vec<usize>> {
        let group = components(self.nodes.len(), &self.links());
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let running = self.nodes.iter().enumerate().filter(|(_, it)| it.up && it.honest);
        for (node, _) in running {
            parts.entry(group[node]).or_default().push(node);
        }
        let mut parts: Vec<Vec<usize>> = parts.into_values().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    /// Tells whether all honest nodes agree, are two blocks above a height (if anybody mines) and know of nothing
    /// better.
    pub fn has_converged(&self, height: u64) -> bool {
        let mut honest = self.nodes.iter().filter(|node| node.honest);
        let Some(first) = honest.clone().find(|node| node.up) else { return true };
        let mining = self.nodes.iter().any(|node| node.honest && node.produced > 0);
        let grown = first.height >= height + 2 || !mining;
        grown && honest.all(|node| node.up && node.hash == first.hash && !node.syncing)
    }
}
