//! Ports: what processes need on top of a [`kette_sim::scenario::Plan`].

use super::listener::Listener;
use anyhow::bail;
use kette_sim::scenario::{NetworkFile, Plan, PlannedNode};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Where a node listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// P2P port.
    pub p2p: u16,
    /// RPC port.
    pub rpc: u16,
}

/// Ports between two networks when the wanted ones are taken.
const BLOCK: u16 = 100;
/// Blocks of ports tried.
const BLOCKS_MAX: u16 = 50;

/// Plans a network of processes. `base_port` shifts all ports; without it the next free block is taken if the file's
/// ports are busy.
///
/// # Errors
/// If the given ports are busy (names the port), or no block of ports is free.
pub fn plan(
    file: &NetworkFile,
    base_port: Option<u16>,
) -> anyhow::Result<Vec<(PlannedNode, Ports)>> {
    let nodes = Plan::new(file).map_err(anyhow::Error::msg)?.nodes;
    let ports = ports(file, nodes.len(), base_port)?;
    Ok(nodes.into_iter().zip(ports).collect())
}

fn ports(file: &NetworkFile, count: usize, base_port: Option<u16>) -> anyhow::Result<Vec<Ports>> {
    let wanted = file.network.base_port;
    let distance = i32::from(file.network.rpc_base_port) - i32::from(wanted);
    let (first, tries) = base_port.map_or((wanted, BLOCKS_MAX), |port| (port, 1));
    let mut busy = None;
    for block in 0..tries {
        let base = first.saturating_add(block * BLOCK);
        let rpc = u16::try_from(i32::from(base) + distance).unwrap_or(base);
        let ports: Vec<Ports> = (0u16..)
            .take(count)
            .map(|at| Ports { p2p: base.saturating_add(at), rpc: rpc.saturating_add(at) })
            .collect();
        match ports.iter().flat_map(|node| [node.p2p, node.rpc]).find(|port| !is_free(*port)) {
            None => return Ok(ports),
            Some(port) => busy = busy.or(Some(port)),
        }
    }
    match busy {
        Some(port) => {
            let by = match Listener::on(port) {
                Some(other) => other.to_string(),
                None => format!("port {port} is in use by a connection"),
            };
            bail!("{by}: choose other ports with --base-port, or end that process")
        }
        None => bail!("no free block of ports was found"),
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

/// Tells whether nobody listens on a port.
pub fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::file;

    fn dials(name: &str) -> Vec<Vec<usize>> {
        let nodes = plan(&file::load(name).unwrap(), None).unwrap();
        nodes.into_iter().map(|(node, _)| node.dials).collect()
    }

    #[test]
    fn atmn_spreads_first_dials_three_by_three() {
        let parents: Vec<usize> = dials("atmn").iter().flatten().copied().collect();
        assert_eq!(parents, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn volkskette_dials_every_earlier_node() {
        assert_eq!(dials("volkskette"), [vec![], vec![0], vec![0, 1]]);
    }

    #[test]
    fn names_the_busy_port_when_ports_were_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let file = file::load("volkskette").unwrap();
        let error = plan(&file, Some(port)).unwrap_err().to_string();
        let words = format!("port {port} is in use by process {}", std::process::id());
        assert!(error.contains(&words), "{error}");
    }
}
