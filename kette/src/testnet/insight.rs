//! What a lying node is told of its network. The network's directory has everybody's keys.

use super::directory::{Directory, Manifest};
use crate::run::{
    byzantine::{Insight, Known},
    home::Home,
};
use anyhow::Context as _;
use kette_sim::scenario::Misbehaviour;

/// Writes what node `index` is told.
///
/// # Errors
/// If it cannot be written.
pub fn write(directory: &Directory, manifest: &Manifest, index: usize) -> anyhow::Result<()> {
    let me = &manifest.nodes[index].plan;
    let known = |node: &super::directory::ManifestNode| {
        let key = Home::new(directory.node(&node.plan.name)).validator_key();
        Known {
            address: format!("{}@127.0.0.1:{}", node.peer_id, node.ports.p2p),
            accomplice: node.plan.byzantine == me.byzantine,
            validator: key.exists().then_some(key),
        }
    };
    // Each directory's choices are its own, and the same in all its processes.
    let seed = u64::try_from(index).unwrap_or_default();
    let insight = Insight { me: index, seed, nodes: manifest.nodes.iter().map(known).collect() };
    insight.write(&Home::new(directory.node(&me.name)).byzantine())
}

/// Returns a role's name as network files have it.
///
/// # Errors
/// Never: every role has a name.
pub fn word(role: Misbehaviour) -> anyhow::Result<String> {
    let word = serde_json::to_value(role)?;
    Ok(word.as_str().context("a role is a word")?.to_owned())
}
