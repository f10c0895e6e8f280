//! All nodes of a world at one moment, as a table.

use crate::commands::output;
use kette_sim::{World, world::Host};
use serde::Serialize;

/// A node at one moment.
#[derive(Debug, Serialize)]
pub struct NodeState {
    name: String,
    /// `up`, `paused`, `down`, or why it stopped.
    state: String,
    /// How it deviates from the protocol, if it does.
    byzantine: Option<String>,
    height: Option<u64>,
    head: Option<String>,
    finalized: Option<u64>,
    peers: Option<usize>,
    pool: Option<usize>,
    syncing: Option<bool>,
}

/// Looks at all nodes.
pub fn of(world: &World) -> Vec<NodeState> {
    world.hosts.iter().map(node).collect()
}

fn node(host: &Host) -> NodeState {
    let node = host.node();
    let state = match (node, &host.failed) {
        (Some(_), _) if host.paused => "paused".to_owned(),
        (Some(_), _) => "up".to_owned(),
        (None, Some(why)) => format!("stopped: {why}"),
        (None, None) => "down".to_owned(),
    };
    NodeState {
        name: host.name.clone(),
        state,
        byzantine: host.byzantine.map(|it| format!("{it:?}")),
        height: node.map(|node| node.tree().head().number),
        head: node.map(|node| node.tree().head().hash().to_string()),
        finalized: node.map(|node| node.tree().finalized().0),
        peers: node.map(kette_node::Node::peer_count),
        pool: node.map(|node| node.mempool().pending_count()),
        syncing: node.map(kette_node::Node::is_syncing),
    }
}

/// Prints nodes for people.
///
/// # Errors
/// If standard output is closed.
pub fn print(nodes: &[NodeState]) -> anyhow::Result<()> {
    fn cell<T: ToString>(value: Option<&T>) -> String {
        value.map_or_else(|| "-".to_owned(), ToString::to_string)
    }
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            let syncing = if node.syncing == Some(true) { ", catching up" } else { "" };
            vec![
                node.name.clone(),
                format!("{}{syncing}", node.state),
                cell(node.height.as_ref()),
                node.head.as_ref().map_or("-", |head| &head[..10]).to_owned(),
                cell(node.finalized.as_ref()),
                cell(node.peers.as_ref()),
                cell(node.pool.as_ref()),
                cell(node.byzantine.as_ref()),
            ]
        })
        .collect();
    output::table(
        &["NODE", "STATE", "HEIGHT", "HEAD", "FINAL", "PEERS", "POOL", "BYZANTINE"],
        &rows,
    )
}
