//! Nodes that join a network after its start, and nodes that leave it.

use super::{
    control::Control,
    directory::{Manifest, ManifestNode},
    observe,
    plan::{PortTurn, Ports, is_free},
};
use crate::run::home::Home;
use anyhow::{Context as _, bail};
use kette_sim::scenario::{PlannedNode, plan::NODES_MAX};

/// A node to be.
#[derive(Clone, Debug, Default)]
pub struct Newcomer {
    /// Its name; the next one as the others are named, without.
    pub name: Option<String>,
    /// Region label.
    pub region: String,
    /// It mines.
    pub miner: bool,
    /// Hashes per second at most.
    pub mine_rate: u64,
    /// Whom it dials first: some of the first nodes without.
    pub dials: Vec<usize>,
}

/// Whom a newcomer dials, if nobody says.
const DIALS: usize = 4;
/// Ports that are tried.
const PORTS_TRIED: u16 = 200;

/// Makes directory, key and place for a node; it is not started. Returns its index.
///
/// # Errors
/// If the name is taken or none, or no port is free.
pub fn add(control: &mut Control, newcomer: &Newcomer) -> anyhow::Result<usize> {
    let manifest = &control.manifest;
    let index = manifest.nodes.len();
    if index >= NODES_MAX {
        bail!("{NODES_MAX} nodes are the most");
    }
    let name = newcomer.name.clone().unwrap_or_else(|| free_name(manifest, newcomer.miner));
    check_name(manifest, &name)?;
    let first = manifest.nodes.first().context("a network without nodes")?;
    let genesis = Home::new(control.directory.node(&first.plan.name)).genesis();
    let dials = if newcomer.dials.is_empty() {
        (0..index.min(DIALS)).collect()
    } else {
        newcomer.dials.clone()
    };
    // Held until the caller saves the list; the node's own start finds them free or says so.
    let _turn = PortTurn::take();
    let ports = free_ports(manifest)?;
    let home = Home::new(control.directory.node(&name));
    home.create()?;
    std::fs::copy(&genesis, home.genesis())
        .with_context(|| format!("cannot copy {}", genesis.display()))?;
    let secret = home.load_or_make_node_key()?;
    let plan = PlannedNode {
        name,
        group: manifest.groups.len(),
        tier: manifest.nodes.iter().map(|node| node.plan.tier).max().unwrap_or(1),
        region: newcomer.region.clone(),
        miner: newcomer.miner,
        mine_rate: newcomer.mine_rate,
        stake: 0,
        byzantine: None,
        start_at: std::time::Duration::ZERO,
        clock_offset_ms: 0,
        clock_drift_ppm: 0,
        slow: 1.0,
        identity: None,
        dials,
    };
    let peer_id = kette_network::peer_id(&secret).to_string();
    let node = ManifestNode {
        plan,
        ports,
        peer_id,
        process: None,
        binary: None,
        joined: true,
        last_action: None,
    };
    control.manifest.former.retain(|former| *former != node.plan.name);
    control.manifest.nodes.push(node);
    control.save()?;
    observe::refresh(&control.directory, &control.manifest)?;
    Ok(index)
}

/// Stops a node and forgets it; with `purge` its data and log go away as well.
///
/// # Errors
/// If it is the last one, does not end, or a file cannot be removed.
pub fn remove(control: &mut Control, index: usize, purge: bool) -> anyhow::Result<()> {
    if control.manifest.nodes.len() == 1 {
        bail!("{} is the last node: `kette net down` takes the network down", control.name(index));
    }
    control.stop(index)?;
    let node = control.manifest.nodes.remove(index);
    forget(&mut control.manifest.nodes, index);
    if !node.joined {
        control.manifest.left.push(node.plan.name.clone());
    } else if !purge {
        control.manifest.former.push(node.plan.name.clone());
    }
    control.save()?;
    observe::refresh(&control.directory, &control.manifest)?;
    if purge {
        control.directory.remove_node(&node.plan.name)?;
    }
    Ok(())
}

/// Takes a node that was at `index` out of what the others dial.
pub fn forget(nodes: &mut [ManifestNode], index: usize) {
    for node in nodes {
        node.plan.dials.retain(|dial| *dial != index);
        for dial in node.plan.dials.iter_mut().filter(|dial| **dial > index) {
            *dial -= 1;
        }
    }
}

/// Puts what happened to a network since its file was written into a new plan of that file: who left, who joined, and
/// which program each runs.
pub fn carry_over(nodes: &mut Vec<ManifestNode>, old: &Manifest) {
    for name in &old.left {
        if let Some(index) = nodes.iter().position(|node| node.plan.name == *name) {
            nodes.remove(index);
            forget(nodes, index);
        }
    }
    for node in nodes.iter_mut() {
        let known = old.nodes.iter().find(|known| known.plan.name == node.plan.name);
        node.binary = known.and_then(|known| known.binary.clone());
    }
    // They are behind the others in both lists, in the same order.
    nodes.extend(old.nodes.iter().filter(|node| node.joined).cloned());
}

/// Returns the next name in the row of the nodes that do the same: `node10` after `node9`, `full-2` after `full-1`. A
/// newcomer has no stake, so beside validators alone it is a `node`.
fn free_name(manifest: &Manifest, miner: bool) -> String {
    let nodes = &manifest.nodes;
    let alike = |node: &&ManifestNode| node.plan.stake == 0 && node.plan.miner == miner;
    let silent = |node: &&ManifestNode| node.plan.stake == 0;
    let last = nodes.iter().rfind(alike).or_else(|| nodes.iter().rfind(silent));
    let names = || nodes.iter().map(|node| node.plan.name.as_str()).chain(left(manifest));
    let (row, from) = match last.and_then(|node| numbered(&node.plan.name)) {
        Some((row, _)) => {
            let taken = names().filter_map(numbered).filter(|(other, _)| *other == row);
            (row.to_owned(), taken.map(|(_, number)| number).max().map_or(0, |max| max + 1))
        }
        None => {
            let dash = nodes
                .iter()
                .all(|node| numbered(&node.plan.name).is_none_or(|(row, _)| row.ends_with('-')));
            let numbers = nodes.iter().filter_map(|node| numbered(&node.plan.name));
            let first = numbers.map(|(_, number)| number).min();
            let row = if dash { "node-" } else { "node" };
            (row.to_owned(), nodes.len() as u64 + first.unwrap_or(0).min(1))
        }
    };
    let mut free = (from..).map(|number| format!("{row}{number}"));
    free.find(|name| names().all(|known| known != name)).unwrap_or_default()
}

fn left(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.left.iter().map(String::as_str)
}

/// Splits `node9` into `node` and 9.
fn numbered(name: &str) -> Option<(&str, u64)> {
    let row = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((row, name[row.len()..].parse().ok()?))
}

/// Names become directories and parts of patterns.
fn check_name(manifest: &Manifest, name: &str) -> anyhow::Result<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(inner) || name.starts_with('-') {
        bail!("`{name}` is no name: letters, digits, - and _, at most 64");
    }
    let groups = manifest.groups.iter().flatten();
    let names = manifest.nodes.iter().map(|node| &node.plan.name);
    if groups.chain(names).chain(&manifest.left).any(|known| known == name) {
        bail!("the network has or had a node or group `{name}`: take another name");
    }
    Ok(())
}

fn free_ports(manifest: &Manifest) -> anyhow::Result<Ports> {
    let highest =
        |port: fn(&ManifestNode) -> u16| manifest.nodes.iter().map(port).max().unwrap_or(0);
    let (p2p, rpc) = (highest(|node| node.ports.p2p), highest(|node| node.ports.rpc));
    let mut tried = (1..PORTS_TRIED)
        .map(|step| Ports { p2p: p2p.saturating_add(step), rpc: rpc.saturating_add(step) });
    let used = |port: u16| {
        manifest.nodes.iter().any(|node| node.ports.p2p == port || node.ports.rpc == port)
    };
    let is_good =
        |ports: &Ports| [ports.p2p, ports.rpc].iter().all(|port| !used(*port) && is_free(*port));
    tried.find(is_good).context("no free ports above those of the network")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::links::tests::network;

    #[test]
    fn a_newcomer_is_named_as_the_others_are() {
        let (mut manifest, _) = network("atmn", &[]);
        assert_eq!(free_name(&manifest, true), "node10");
        assert_eq!(free_name(&manifest, false), "node10");
        manifest.left.push("node10".to_owned());
        assert_eq!(free_name(&manifest, true), "node11");
        let mut rename = |names: &dyn Fn(usize) -> String| {
            for (index, node) in manifest.nodes.iter_mut().enumerate() {
                node.plan.name = names(index);
            }
            free_name(&manifest, true)
        };
        assert_eq!(rename(&|index| format!("n-{index}")), "n-10");
        assert_eq!(rename(&|index| ["a", "b"][index % 2].to_owned()), "node-10");
        for (index, node) in manifest.nodes.iter_mut().enumerate() {
            node.plan.name = format!("validator{}", index + 1);
            node.plan.stake = 100;
        }
        assert_eq!(free_name(&manifest, false), "node11", "it is no validator");
    }
}
