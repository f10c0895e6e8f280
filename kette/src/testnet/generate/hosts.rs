//! Which node is on which machine: a file with a line for each pattern of nodes.

use crate::input::{self, Kind};
use anyhow::{Context as _, bail};
use kette_sim::scenario::{Plan, select};
use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr, path::Path};

/// The file: `[hosts]` with `"node0..3" = "10.0.0.1"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hosts: BTreeMap<String, String>,
}

/// Addresses of all nodes, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Puts all nodes on this machine.
    pub fn loopback(plan: &Plan) -> Self {
        Self(vec!["127.0.0.1".to_owned(); plan.nodes.len()])
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, names a node that there is not, or leaves one out.
    pub fn read(path: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let text = input::text(path, Kind::Links)?;
        Self::parse(&text, plan).with_context(|| format!("--hosts {}", path.display()))
    }

    fn parse(text: &str, plan: &Plan) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)
            .context("expected [hosts] with lines such as node0 = \"10.0.0.1\" or \"node1..3\" = \"b.example\"")?;
        let mut found: Vec<Option<String>> = vec![None; plan.nodes.len()];
        for (pattern, address) in file.hosts {
            check(&address)?;
            for node in
                select::select(plan, std::slice::from_ref(&pattern)).map_err(anyhow::Error::msg)?
            {
                if let Some(other) = found[node].replace(address.clone()) {
                    let name = &plan.nodes[node].name;
                    bail!(
                        "`{name}` is on {other} and on {address}: leave it out of one of the patterns"
                    );
                }
            }
        }
        let missing = plan.nodes.iter().zip(&found).filter(|(_, host)| host.is_none());
        let missing: Vec<&str> = missing.map(|(node, _)| node.name.as_str()).collect();
        if !missing.is_empty() {
            bail!("no address for {}: add a line for each, or a pattern", missing.join(", "));
        }
        Ok(Self(found.into_iter().flatten().collect()))
    }

    /// Returns a node's address.
    pub fn of(&self, node: usize) -> &str {
        &self.0[node]
    }

    /// Tells whether all nodes are on this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.iter().all(|host| host == "localhost" || ip(host).is_some_and(|ip| ip.is_loopback()))
    }

    /// Tells whether all nodes have addresses of the open internet.
    pub fn is_public(&self) -> bool {
        let global = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => {
                !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared(ip))
            }
            IpAddr::V6(ip) => {
                !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
            }
        };
        self.0.iter().all(|host| ip(host).is_some_and(global))
    }
}

/// Carrier-grade NAT, RFC 6598.
const fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && b & 0b1100_0000 == 64
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// Returns an address with a port.
pub(super) fn with_port(host: &str, port: u16) -> String {
    match ip(host) {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn check(host: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    let name = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    if !name && ip(host).is_none() {
        bail!("`{host}` is neither an address nor a host name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_sim::scenario::NetworkFile;

    fn plan() -> Plan {
        let text = "schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\n[[group]]\nname = \"n\"\ncount = 4\n";
        Plan::new(&NetworkFile::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn patterns_name_the_nodes_of_a_machine() {
        let hosts =
            Hosts::parse("[hosts]\nn-0 = \"10.0.0.1\"\n\"n-1..3\" = \"b.example\"\n", &plan())
                .unwrap();
        assert_eq!((hosts.of(0), hosts.of(3)), ("10.0.0.1", "b.example"));
        assert!(!hosts.is_loopback() && !hosts.is_public());
        assert!(Hosts::loopback(&plan()).is_loopback());
        assert!(Hosts::parse("[hosts]\n\"*\" = \"8.8.8.8\"\n", &plan()).unwrap().is_public());
        assert_eq!((with_port("::1", 5), with_port("b", 5)), ("[::1]:5".into(), "b:5".into()));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        for (text, why) in [
            ("", "expected [hosts]"),
            ("[hosts]\nn-0 = \"a\"\n", "no address for n-1, n-2, n-3"),
            ("[hosts]\n\"*\" = \"a\"\nn-1 = \"b\"\n", "`n-1` is on"),
            ("[hosts]\nx = \"a\"\n", "means no node"),
            ("[hosts]\n\"*\" = \"a b; rm\"\n", "neither an address nor a host name"),
        ] {
            let error = format!("{:#}", Hosts::parse(text, &plan()).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
