//! From a network file to nodes: names, ports, first dials.

use super::file::{NetworkFile, Role, Topology};
use anyhow::bail;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// One node to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its name; also that of its directory.
    pub name: String,
    /// Bootstrap tier, 1 is first.
    pub tier: u32,
    /// Region label.
    pub region: String,
    /// Produces blocks.
    pub miner: bool,
    /// P2P port.
    pub p2p: u16,
    /// RPC port.
    pub rpc: u16,
    /// Indexes of the nodes it dials first.
    pub dials: Vec<usize>,
}

/// All nodes of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they start.
    pub nodes: Vec<PlannedNode>,
    /// Whether nodes may open other sessions than the planned ones.
    pub discovery: bool,
}

/// Ports between two networks when the wanted ones are taken.
const BLOCK: u16 = 100;
/// Blocks of ports tried.
const BLOCKS_MAX: u16 = 50;

impl Plan {
    /// Plans a network. `base_port` shifts all ports; without it the next free block is taken if the file's
    /// ports are busy.
    ///
    /// # Errors
    /// If the given ports are busy (names the port), or no block of ports is free.
    pub fn new(file: &NetworkFile, base_port: Option<u16>) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for group in &file.group {
            for (index, name) in group.names.iter().enumerate() {
                let region = match group.regions.as_slice() {
                    [] => String::new(),
                    [one] => one.clone(),
                    many => many[index].clone(),
                };
                nodes.push(PlannedNode {
                    name: name.clone(),
                    tier: group.tier,
                    region,
                    miner: group.roles.contains(&Role::Miner),
                    p2p: 0,
                    rpc: 0,
                    dials: Vec::new(),
                });
            }
        }
        let dials = first_dials(&nodes, file.network.topology);
        for (node, dials) in nodes.iter_mut().zip(dials) {
            node.dials = dials;
        }
        let mut plan = Self {
            nodes,
            discovery: !matches!(file.network.topology, Topology::Line | Topology::Ring),
        };
        plan.assign_ports(file, base_port)?;
        Ok(plan)
    }

    fn assign_ports(&mut self, file: &NetworkFile, base_port: Option<u16>) -> anyhow::Result<()> {
        let wanted = file.network.base_port;
        let distance = i32::from(file.network.rpc_base_port) - i32::from(wanted);
        let (first, tries) = base_port.map_or((wanted, BLOCKS_MAX), |port| (port, 1));
        let mut busy = None;
        for block in 0..tries {
            let base = first.saturating_add(block * BLOCK);
            let rpc = u16::try_from(i32::from(base) + distance).unwrap_or(base);
            match self.try_ports(base, rpc) {
                None => return Ok(()),
                Some(port) => busy = busy.or(Some(port)),
            }
        }
        match busy {
            Some(port) => bail!(
                "port {port} is in use by another process: choose other ports with --base-port, \
                 or stop what uses it (`ss -ltnp 'sport = :{port}'` shows it)"
            ),
            None => bail!("no free block of ports was found"),
        }
    }

    /// Takes ports from these bases; returns a busy one if there is any.
    fn try_ports(&mut self, base: u16, rpc: u16) -> Option<u16> {
        for (offset, node) in (0u16..).zip(&mut self.nodes) {
            (node.p2p, node.rpc) = (base.saturating_add(offset), rpc.saturating_add(offset));
        }
        self.nodes.iter().flat_map(|node| [node.p2p, node.rpc]).find(|port| !is_free(*port))
    }
}

/// Held from the choice of ports until the nodes listen there, so that networks which start at the same
/// moment do not choose the same ones. Ends with the process, however that ends.
#[derive(Debug)]
pub struct PortTurn {
    _lock: Option<File>,
}

impl PortTurn {
    /// Waits for other launchers on this machine. Without a place for the lock it goes on without.
    pub fn take() -> Self {
        let path = std::env::temp_dir().join("kette-net-ports.lock");
        // Another user's file can be read and locked, though not written.
        let file = File::create_new(&path).or_else(|_| File::open(&path)).ok();
        Self { _lock: file.filter(|file| file.lock().is_ok()) }
    }
}

fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

/// Returns for each node whom it dials first.
fn first_dials(nodes: &[PlannedNode], topology: Topology) -> Vec<Vec<usize>> {
    let count = nodes.len();
    let last_tier = nodes.iter().map(|node| node.tier).max().unwrap_or(1);
    let parents = nodes.iter().filter(|node| node.tier < last_tier).count().max(1);
    let fanout = count.saturating_sub(1).div_ceil(parents).max(1);
    (0..count)
        .map(|index| match (topology, index) {
            (Topology::Ring, 0) if count > 2 => vec![count - 1],
            (_, 0) => Vec::new(),
            (Topology::Tiers, _) => vec![(index - 1) / fanout],
            (Topology::Mesh, _) => (0..index).collect(),
            (Topology::Star, _) => vec![0],
            (Topology::Line | Topology::Ring, _) => vec![index - 1],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str) -> Plan {
        Plan::new(&NetworkFile::load(name).unwrap(), None).unwrap()
    }

    #[test]
    fn atmn_spreads_first_dials_three_by_three() {
        let dials: Vec<_> = plan("atmn").nodes.into_iter().map(|node| node.dials).collect();
        let parents: Vec<usize> = dials.iter().flatten().copied().collect();
        assert_eq!(parents, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn a_mesh_dials_every_earlier_node() {
        let dials: Vec<_> = plan("volkskette").nodes.into_iter().map(|node| node.dials).collect();
        assert_eq!(dials, [vec![], vec![0], vec![0, 1]]);
    }

    #[test]
    fn names_the_busy_port_when_ports_were_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let file = NetworkFile::load("volkskette").unwrap();
        let error = Plan::new(&file, Some(port)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
