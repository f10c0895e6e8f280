//! Durable states: which trie nodes are there, which checkpoint replaced them, and which may go.
//!
//! What checkpoints wrote is kept as it was written, newest last, and folded into one set when states are pruned. A
//! store keeps a row per node instead; the answers are the same, and here a thousand disks share what they have.

use super::shelf::{Layer, Row};
use imbl::{OrdMap, OrdSet, Vector};
use kette_ledger::NodeKey;
use kette_types::{B256, Bytes};
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct States {
    /// What is left of checkpoints that were pruned.
    folded: OrdSet<Row>,
    /// The newest of these, whose state is still whole.
    oldest: Option<(u64, B256)>,
    /// Later checkpoints, in the order in which they were written.
    layers: Vector<Written>,
    codes: OrdMap<B256, Bytes>,
}

#[derive(Clone, Debug)]
struct Written {
    layer: Arc<Layer>,
    /// Its branch was left: what it wrote stays, what it made stale is live again.
    abandoned: bool,
}

impl States {
    /// Makes a state durable. Checkpoints from its number on are replaced.
    pub(super) fn checkpoint(&mut self, layer: Arc<Layer>) {
        self.abandon(layer.number);
        for (hash, code) in &layer.codes {
            if !self.codes.contains_key(hash) {
                self.codes.insert(*hash, code.clone());
            }
        }
        self.layers.push_back(Written { layer, abandoned: false });
    }

    /// Forgets checkpoints from a number on. What they made stale is live again as far as anyone knows.
    pub(super) fn abandon(&mut self, from: u64) {
        for index in (0..self.layers.len()).rev() {
            let written = &self.layers[index];
            if written.abandoned {
                continue;
            }
            // Those that still count ascend.
            if written.layer.number < from {
                break;
            }
            self.layers[index].abandoned = true;
        }
        self.oldest = self.oldest.filter(|(number, _)| *number < from);
    }

    /// Deletes nodes that went stale at or below a number. The newest checkpoint at or below it stays readable.
    pub(super) fn prune(&mut self, below: u64) {
        let counts = |written: &Written| !written.abandoned && written.layer.number <= below;
        let Some(last) = self.layers.iter().rposition(counts) else { return };
        let rest = self.layers.split_off(last + 1);
        for Written { layer, abandoned } in std::mem::replace(&mut self.layers, rest) {
            if !abandoned {
                for key in &layer.stale {
                    self.folded.remove(key);
                }
                self.oldest = Some((layer.number, layer.hash));
            }
            self.folded.extend(layer.rows.iter().cloned());
        }
    }

    /// Returns number and block of every checkpoint, newest first.
    pub(super) fn checkpoints(&self) -> impl Iterator<Item = (u64, B256)> {
        let later = self.layers.iter().rev().filter(|written| !written.abandoned);
        later.map(|written| (written.layer.number, written.layer.hash)).chain(self.oldest)
    }

    pub(super) fn node(&self, key: &NodeKey) -> Option<Bytes> {
        let later = self.layers.iter().rev().find_map(|written| written.layer.row(key));
        later.or_else(|| self.folded.get(key)).map(|row| row.node().clone())
    }

    pub(super) fn code(&self, hash: B256) -> Option<Bytes> {
        self.codes.get(&hash).cloned()
    }
}
