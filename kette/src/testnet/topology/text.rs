//! A topology as a tree for people: tiers, below each node who dialled it first, then its other sessions.

use super::{Place, Topology};
use crate::commands::output::counted;
use std::fmt::Write as _;

/// Returns the tree.
pub fn text(topology: &Topology) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, topology);
    out
}

fn write(out: &mut String, topology: &Topology) -> std::fmt::Result {
    let running = topology.nodes.iter().filter(|node| node.running).count();
    let components = match topology.components.len() {
        0 => "nobody answers".to_owned(),
        1 => "1 component".to_owned(),
        more => format!("{more} components: PARTITION"),
    };
    writeln!(
        out,
        "{}: {running} of {} nodes, {} ({} ends), {components}",
        topology.name,
        topology.nodes.len(),
        counted(topology.links.len(), "session"),
        topology.session_ends
    )?;
    if topology.components.len() > 1 {
        for (at, nodes) in topology.components.iter().enumerate() {
            writeln!(out, "component {}: {}", at + 1, names(topology, nodes))?;
        }
    }
    writeln!(out)?;
    for (tier, nodes) in topology.tiers() {
        writeln!(out, "tier {tier}")?;
        for node in nodes {
            writeln!(out, "  {}", describe(&topology.nodes[node]))?;
            sessions(out, topology, node)?;
        }
    }
    let dials: Vec<String> = topology
        .bootstraps
        .iter()
        .map(|b| {
            let name = &topology.nodes[b.node].name;
            format!("{name} {} of {}", b.live.len(), b.planned.len())
        })
        .collect();
    writeln!(out)?;
    if !dials.is_empty() {
        writeln!(out, "first dials: {} ({})", dials.join(", "), topology.spread())?;
    }
    writeln!(out, "<- has a session with its first dial, -- another session")
}

fn describe(node: &Place) -> String {
    let region = if node.region.is_empty() { String::new() } else { format!(" {}", node.region) };
    if !node.running {
        return format!("{}{region} does not answer", node.name);
    }
    format!("{}{region} {} in {} out", node.name, node.inbound, node.outbound)
}

/// Lists who dialled this node first and is there, then the other sessions.
fn sessions(out: &mut String, topology: &Topology, node: usize) -> std::fmt::Result {
    let children: Vec<usize> = topology
        .bootstraps
        .iter()
        .find(|bootstrap| bootstrap.node == node)
        .map_or_else(Vec::new, |bootstrap| bootstrap.live.clone());
    let parents = &topology.nodes[node].first_dials;
    let others: Vec<usize> = topology
        .links
        .iter()
        .filter_map(|link| {
            let other = if link.a == node { link.b } else { link.a };
            (link.a == node || link.b == node).then_some(other)
        })
        .filter(|other| !children.contains(other) && !parents.contains(other))
        .collect();
    if !children.is_empty() {
        writeln!(out, "    <- {}", names(topology, &children))?;
    }
    if !others.is_empty() {
        writeln!(out, "    -- {}", names(topology, &others))?;
    }
    Ok(())
}

fn names(topology: &Topology, nodes: &[usize]) -> String {
    nodes.iter().map(|node| topology.nodes[*node].name.as_str()).collect::<Vec<_>>().join(" ")
}
