//! Peers to whom an actor may speak: those whose hello is done, as the node inside tells.

use super::pick;
use crate::rng::ChaCha8Rng;
use kette_node::{Event, Output};
use kette_types::PeerId;
use std::collections::BTreeSet;

/// Peers whose hello is done.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    ready: BTreeSet<PeerId>,
}

impl Sessions {
    /// Takes note of what the node inside ordered.
    pub(super) fn note(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Event(Event::PeerUp { peer, .. }) => drop(self.ready.insert(*peer)),
                Output::Event(Event::PeerDown { peer, .. }) => drop(self.ready.remove(peer)),
                _ => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.ready.contains(peer)
    }

    /// Returns all of them, in the order of their ids.
    pub(super) fn all(&self) -> Vec<PeerId> {
        self.ready.iter().copied().collect()
    }

    /// Draws one of them.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<PeerId> {
        pick(rng, &self.all()).copied()
    }

    /// Leaves out of an output who is gone; `None` if nobody is left.
    pub(super) fn still(&self, output: Output) -> Option<Output> {
        match output {
            Output::Send(mut peers, message) => {
                peers.retain(|peer| self.contains(peer));
                (!peers.is_empty()).then_some(Output::Send(peers, message))
            }
            Output::Serve(peer, _) if !self.contains(&peer) => None,
            other => Some(other),
        }
    }
}
