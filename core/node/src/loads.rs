//! How much a node holds of everything that a peer can make grow, each beside the bound that the code promises.
//!
//! For checkers, tests and metrics. Every part counts for itself, next to its constants; nothing is scanned but one
//! entry per peer. What is absent here is a fixed number of small fields.

use crate::Node;
use serde::Serialize;

/// One thing that can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// What is counted; a name that ends in `_bytes` counts bytes.
    pub name: &'static str,
    /// How many there are.
    pub value: usize,
    /// How many there may be; `None` if only something else bounds it (work, an operator, a rate).
    pub max: Option<usize>,
}

/// All loads of a node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loads {
    list: Vec<Load>,
}

impl Loads {
    /// Returns all of them.
    pub fn all(&self) -> &[Load] {
        &self.list
    }

    /// Returns one value by its name.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.list.iter().find(|load| load.name == name).map(|load| load.value)
    }

    /// Returns the first one above its bound.
    pub fn over(&self) -> Option<Load> {
        self.list.iter().find(|load| load.max.is_some_and(|max| load.value > max)).copied()
    }

    /// Notes a load whose bound is a constant, or the size of something bounded that it belongs to.
    pub(crate) fn note(&mut self, name: &'static str, value: usize, max: usize) {
        self.list.push(Load { name, value, max: Some(max) });
    }

    /// Notes a load that no constant bounds.
    pub(crate) fn note_open(&mut self, name: &'static str, value: usize) {
        self.list.push(Load { name, value, max: None });
    }
}

impl Node {
    /// Measures the node, between two inputs.
    pub fn loads(&self) -> Loads {
        let mut loads = Loads { list: Vec::with_capacity(48) };
        self.importer.loads(&mut loads);
        // Parts that keep something per peer keep nothing of peers that are gone.
        let ready = self.peers.count();
        self.sync.loads(ready, &mut loads);
        self.relay.loads(ready, &mut loads);
        self.gossip.loads(ready, &mut loads);
        self.inventory.loads(ready, &mut loads);
        self.mempool.loads(&mut loads);
        self.peers.loads(&mut loads);
        self.templates.loads(&mut loads);
        // What was taken from clients is forgotten when it leaves the pool.
        loads.note("journaled", self.journaled.len(), self.mempool.len());
        // Side branches cost their makers proof of work; depth is bounded by finality.
        loads.note_open("tree_blocks", self.tree.len());
        loads.note("recent_blocks", self.recent.len(), self.tree.len());
        // Rates of peers bound it, and how fast the host works.
        loads.note_open("jobs", self.jobs.len());
        loads.note_open("checkpoint_accounts", self.checkpoint.changed.len());
        loads.note("alarms", self.alarms.len(), crate::node::ALARMS_MAX);
        loads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_load_above_its_bound_is_named() {
        let mut loads = Loads::default();
        loads.note("within", 3, 3);
        loads.note_open("open", usize::MAX);
        assert_eq!(loads.over(), None);
        loads.note("above", 4, 3);
        loads.note("later", 9, 1);
        assert_eq!(loads.over(), Some(Load { name: "above", value: 4, max: Some(3) }));
        assert_eq!(loads.get("open"), Some(usize::MAX));
        assert_eq!(loads.get("absent"), None);
    }
}
