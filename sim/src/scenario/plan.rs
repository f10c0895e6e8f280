//! From a network file to nodes: names, regions, roles, first dials.

use super::{Group, Misbehaviour, NetworkFile, Role, Topology, edges, region};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One node to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its name; also that of its directory.
    pub name: String,
    /// The group it belongs to.
    #[serde(default)]
    pub group: usize,
    /// Bootstrap tier, 1 is first.
    pub tier: u32,
    /// Region label; empty if it has none.
    pub region: String,
    /// Produces blocks.
    pub miner: bool,
    /// Hashes per second, if it does.
    #[serde(default)]
    pub mine_rate: u64,
    /// Votes it has from the start; 0 if it is no validator.
    #[serde(default)]
    pub stake: u64,
    /// How it deviates from the protocol.
    #[serde(default)]
    pub byzantine: Option<Misbehaviour>,
    /// When it starts, after the network did.
    #[serde(default)]
    pub start_at: Duration,
    /// How far its clock is ahead, milliseconds.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// How much faster its clock runs, parts per million.
    #[serde(default)]
    pub clock_drift_ppm: i64,
    /// How many times slower its processor is.
    #[serde(default = "one")]
    pub slow: f64,
    /// Whose identity it uses, by index, if not its own (twins).
    #[serde(default)]
    pub identity: Option<usize>,
    /// Indexes of the nodes it dials first.
    pub dials: Vec<usize>,
}

const fn one() -> f64 {
    1.0
}

/// All nodes of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order in which they start.
    pub nodes: Vec<PlannedNode>,
    /// Names of the groups that have one.
    pub groups: Vec<Option<String>>,
    /// Whether nodes may open other sessions than the planned ones.
    pub discovery: bool,
}

/// More nodes than any machine here runs; a mistyped count is not a machine out of memory.
pub const NODES_MAX: usize = 20_000;
/// Stands in a group's regions for all ten regions of the project, one after the other.
pub const ROUND_ROBIN: &str = "round-robin";

impl Plan {
    /// Plans a network.
    ///
    /// # Errors
    /// If names clash or a group is not complete.
    pub fn new(file: &NetworkFile) -> Result<Self, String> {
        let network = &file.network;
        let mut nodes: Vec<PlannedNode> = Vec::new();
        for (index, group) in file.group.iter().enumerate() {
            let place = format!("[[group]] {}", index + 1);
            let names = names(group).map_err(|error| format!("{place}: {error}"))?;
            if nodes.len() + names.len() > NODES_MAX {
                return Err(format!("{place}: more than {NODES_MAX} nodes in all"));
            }
            let first = nodes.len();
            if group.byzantine == Some(Misbehaviour::Twin) && names.len() != 2 {
                let count = names.len();
                return Err(format!("{place}: twins are two nodes of one identity, not {count}"));
            }
            for (place_in_group, name) in names.into_iter().enumerate() {
                let stagger = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
                let twin = group.byzantine == Some(Misbehaviour::Twin) && place_in_group == 1;
                nodes.push(PlannedNode {
                    name,
                    group: index,
                    tier: group.tier,
                    region: region_of(&group.regions, place_in_group),
                    miner: group.roles.contains(&Role::Miner),
                    mine_rate: group.mine_rate.unwrap_or(network.mine_rate),
                    stake: group.stake.unwrap_or(0),
                    byzantine: group.byzantine,
                    start_at: group
                        .start_at
                        .unwrap_or_else(|| network.stagger.saturating_mul(stagger)),
                    clock_offset_ms: group.clock_offset_ms,
                    clock_drift_ppm: group.clock_drift_ppm,
                    slow: group.slow.unwrap_or(1.0),
                    identity: twin.then_some(first),
                    dials: Vec::new(),
                });
            }
        }
        let groups: Vec<Option<String>> = file.group.iter().map(|g| g.name.clone()).collect();
        check_names(&nodes, &file.group)?;
        let dials = match (network.topology, network.edges.as_slice()) {
            (Topology::Custom, edges) => edges::dials(&nodes, edges)?,
            (topology, []) => first_dials(&nodes, topology),
            _ => return Err("[network]: edges are for topology = \"custom\"".to_owned()),
        };
        for (node, dials) in nodes.iter_mut().zip(dials) {
            node.dials = dials;
        }
        Ok(Self { nodes, groups, discovery: !network.topology.is_fixed() })
    }
}

fn names(group: &Group) -> Result<Vec<String>, String> {
    match (group.names.as_slice(), &group.name, group.count) {
        ([], Some(name), Some(count)) if count > NODES_MAX => {
            Err(format!("count = {count} of `{name}`: at most {NODES_MAX} nodes"))
        }
        ([], Some(name), Some(0)) => Err(format!("count = 0 of `{name}`: leave the group out")),
        ([], Some(name), Some(count)) => Ok((0..count).map(|i| format!("{name}-{i}")).collect()),
        ([], Some(name), None) => Err(format!("`{name}` needs a `count`")),
        ([], None, Some(_)) => Err("`count` needs a `name`".to_owned()),
        ([], None, None) => Err("no nodes: give `names`, or `name` and `count`".to_owned()),
        (names, _, None) => Ok(names.to_vec()),
        _ => Err("give either `names`, or `name` and `count`, not both".to_owned()),
    }
}

/// Names become directories and parts of patterns. Groups that list their nodes may share a name, which means them all.
fn check_names(nodes: &[PlannedNode], groups: &[Group]) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("no nodes: add a [[group]] with names".to_owned());
    }
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two nodes are called `{}`: rename one", pair[0]));
    }
    let mut counted: Vec<&str> = groups
        .iter()
        .filter(|group| group.names.is_empty())
        .filter_map(|group| group.name.as_deref())
        .collect();
    counted.sort_unstable();
    if let Some(pair) = counted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two groups are called `{}`: rename one", pair[0]));
    }
    let groups: Vec<&str> = groups.iter().filter_map(|group| group.name.as_deref()).collect();
    if let Some(name) = groups.iter().find(|name| names.binary_search(name).is_ok()) {
        return Err(format!("a group and a node are called `{name}`: rename one"));
    }
    match names.iter().chain(&groups).find(|name| !is_name(name)) {
        Some(name) => Err(format!(
            "`{name}` is no name: letters, digits, - and _, and . between them, at most 64"
        )),
        None => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&name.len())
        && name.chars().all(inner)
        && !name.contains("..")
        && !name.starts_with(['-', '.'])
        && !name.ends_with('.')
}

fn region_of(regions: &[String], place: usize) -> String {
    match regions {
        [] => String::new(),
        [one] if one == ROUND_ROBIN => region::NAMES[place % region::TEN].to_owned(),
        many => many[place % many.len()].clone(),
    }
}

/// Returns for each node whom it dials first.
fn first_dials(nodes: &[PlannedNode], topology: Topology) -> Vec<Vec<usize>> {
    let count = nodes.len();
    let last_tier = nodes.iter().map(|node| node.tier).max().unwrap_or(1);
    let parents = nodes.iter().filter(|node| node.tier < last_tier).count().max(1);
    let fanout = count.saturating_sub(1).div_ceil(parents).max(1);
    (0..count)
        .map(|index| {
            let mut dials = match (topology, index) {
                (Topology::Ring, 0) if count > 2 => vec![count - 1],
                (_, 0) => Vec::new(),
                (Topology::Tiers, _) => vec![(index - 1) / fanout],
                (Topology::Mesh, _) => (0..index).collect(),
                (Topology::Star, _) => vec![0],
                // Edges say it for `custom`, elsewhere.
                (Topology::Line | Topology::Ring | Topology::Custom, _) => vec![index - 1],
            };
            let alone = dials.len() == 1;
            dials.retain(|other| nodes[index].identity != Some(*other));
            if alone && dials.is_empty() {
                // A twin does not dial itself: it takes the next stranger.
                dials.extend((index + 1 < count).then_some(index + 1));
            }
            dials
        })
        .collect()
}
