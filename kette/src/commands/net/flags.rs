//! A network made of flags instead of a file: how many nodes, which engine, who dials whom, where they are.

use crate::{input, presets, testnet::file};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use kette_sim::scenario::{Group, Network, NetworkFile, Plan, Role, SCHEMA, Topology, edges};
use kette_types::{U256, bft::VALIDATORS_MAX, spec::EngineSpec};
use std::{path::Path, time::Duration};

/// Flags that make a network.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "A network without a file")]
pub struct NetworkFlags {
    /// How many nodes [default: the sum of --tiers; else 4 with bft, 10 with pow].
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// How they agree: pow (chain atmn) or bft (chain bft4) [default: bft].
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Bootstrap tiers, a size for each: 1,2,7 or 10,90 or 1,3,9,27,60.
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    tiers: Vec<usize>,
    /// Who dials whom: mesh, star, line, ring, tiers, or a FILE with links, `a b` in each line or JSON
    /// [default: tiers with --tiers or more than 10 nodes, else mesh].
    #[arg(long, value_name = "NAME|FILE")]
    topology: Option<String>,
    /// Regions of the nodes in turn: EU-WEST,AFRICA, or round-robin for all ten.
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<String>,
    /// How many of the nodes vote, with 100 votes each (bft) [default: all, at most 10].
    #[arg(long, value_name = "N")]
    validators: Option<usize>,
}

/// Ids of [`NetworkFlags`], for flags that exclude them.
pub const FLAGS: [&str; 5] = ["nodes", "engine", "tiers", "topology", "validators"];

/// Engines that a network can be made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Proof of work.
    Pow,
    /// Votes of validators.
    #[default]
    Bft,
}

/// The same without the number, which files can be scaled to.
pub const SHAPE: [&str; 4] = ["engine", "tiers", "topology", "validators"];

/// More nodes than any one machine runs as processes.
const NODES_MAX: usize = 1_000;
/// Votes of each validator.
const STAKE: u64 = 100;
/// Validators, unless told otherwise.
const VALIDATORS_DEFAULT: usize = 10;
/// Up to here a mesh is the default.
const MESH_MAX: usize = 10;
/// Time between starts in larger networks: two processors cannot start a hundred processes at once.
const STAGGER: Duration = Duration::from_millis(50);
const P2P_BASE: u16 = 30_000;
/// Between first ports for peers and for clients.
const PORT_STEP: u16 = 1_000;

impl NetworkFlags {
    /// Tells whether any of them was given that makes a network.
    pub const fn is_given(&self) -> bool {
        self.nodes.is_some()
            || self.engine.is_some()
            || !self.tiers.is_empty()
            || self.topology.is_some()
            || self.validators.is_some()
    }

    /// Returns how many nodes were asked for.
    pub const fn nodes(&self) -> Option<usize> {
        self.nodes
    }

    /// Returns the regions of the nodes; they may be given to a preset or a file as well.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Makes the network; `None` if no flag was given.
    ///
    /// # Errors
    /// Says which flags contradict each other, and what to change.
    pub fn file(&self, base_port: Option<u16>) -> anyhow::Result<Option<NetworkFile>> {
        if !self.is_given() {
            return Ok(None);
        }
        let links = self.links()?;
        let engine = self.engine.unwrap_or_default();
        let own_names = if self.nodes.is_none() && self.tiers.is_empty() {
            names_in(&links)
        } else {
            Vec::new()
        };
        let count = self.count(engine, own_names.len())?;
        let validators = self.count_validators(engine, count)?;
        let names = match own_names.is_empty() {
            false => own_names,
            true => (0..count).map(|index| name(index, validators)).collect(),
        };
        let topology = self.topology(count, &links)?;
        let tiers = match (self.tiers.as_slice(), topology) {
            ([], Topology::Tiers) => default_tiers(count),
            ([], _) => vec![count],
            (tiers, _) => tiers.to_vec(),
        };
        let distance = count.div_ceil(usize::from(PORT_STEP)).max(1) * usize::from(PORT_STEP);
        let base_port = base_port.unwrap_or(P2P_BASE);
        let last = usize::from(base_port) + distance + count;
        let Some(rpc_base_port) = u16::try_from(usize::from(base_port) + distance)
            .ok()
            .filter(|_| last <= usize::from(u16::MAX))
        else {
            bail!(
                "--base-port {base_port}: {count} nodes would need ports up to {last}, take a lower one"
            );
        };
        let (label, chain) = match engine {
            Engine::Pow => ("pow", "atmn"),
            Engine::Bft => ("bft", "bft4"),
        };
        let network = Network {
            name: format!("{label}-{count}"),
            chain: chain.to_owned(),
            base_port,
            rpc_base_port,
            topology,
            edges: links,
            stagger: if count > MESH_MAX { STAGGER } else { Duration::ZERO },
            mine_rate: mine_rate(chain, count)?,
            quic: false,
            seed: 0,
            duration: Duration::from_secs(600),
            settle: None,
        };
        let mut file = NetworkFile {
            schema: SCHEMA,
            network,
            shape: Default::default(),
            workload: Default::default(),
            genesis: Default::default(),
            group: self.groups(engine, &names, &tiers, validators),
            link: Vec::new(),
            step: Vec::new(),
            check: Vec::new(),
        };
        file::set_regions(&mut file, &self.regions);
        file.check().context("these flags make no network")?;
        Ok(Some(file))
    }

    fn links(&self) -> anyhow::Result<Vec<(String, String)>> {
        let Some(text) = self.topology.as_deref().filter(|text| named(text).is_none()) else {
            return Ok(Vec::new());
        };
        let path = Path::new(text);
        if !path.exists() {
            bail!("--topology {text}: neither mesh, star, line, ring, tiers nor a file with links");
        }
        let links = edges::parse(&input::text(path, input::Kind::Links)?);
        links.map_err(anyhow::Error::msg).with_context(|| format!("--topology {text}"))
    }

    fn topology(&self, count: usize, links: &[(String, String)]) -> anyhow::Result<Topology> {
        Ok(match self.topology.as_deref().map(named) {
            _ if !links.is_empty() => Topology::Custom,
            Some(Some(topology)) => topology,
            _ if !self.tiers.is_empty() || count > MESH_MAX => Topology::Tiers,
            _ => Topology::Mesh,
        })
    }

    fn count(&self, engine: Engine, in_links: usize) -> anyhow::Result<usize> {
        if self.tiers.contains(&0) {
            bail!("--tiers {}: a tier has at least one node", sizes(&self.tiers));
        }
        let sum: usize = self.tiers.iter().sum();
        let count = match (self.nodes, sum) {
            (Some(nodes), 0) => nodes,
            (Some(nodes), sum) if nodes != sum => bail!(
                "--tiers {} are {sum} nodes, --nodes says {nodes}: change one of them, or leave --nodes out",
                sizes(&self.tiers)
            ),
            (_, 1..) => sum,
            (None, _) if in_links > 0 => in_links,
            (None, _) => match engine {
                Engine::Pow => 10,
                Engine::Bft => self.validators.unwrap_or(4),
            },
        };
        match count {
            0 => bail!("--nodes 0: a network has at least one node"),
            1..=NODES_MAX => Ok(count),
            _ => bail!(
                "{count} nodes: at most {NODES_MAX} as processes; `kette sim run FILE --nodes {count}` simulates more"
            ),
        }
    }

    fn count_validators(&self, engine: Engine, count: usize) -> anyhow::Result<usize> {
        let most = count.min(VALIDATORS_MAX);
        match (engine, self.validators) {
            (Engine::Pow, None) => Ok(0),
            (Engine::Pow, Some(_)) => {
                bail!("--validators: the engine pow has none; leave it out, or say --engine bft")
            }
            (Engine::Bft, None) => Ok(most.min(VALIDATORS_DEFAULT)),
            (Engine::Bft, Some(wanted)) if (1..=most).contains(&wanted) => Ok(wanted),
            (Engine::Bft, Some(wanted)) => {
                bail!("--validators {wanted}: 1 to {most} of {count} nodes")
            }
        }
    }

    /// Returns groups of nodes with consecutive places: alike in tier and vote.
    fn groups(
        &self,
        engine: Engine,
        names: &[String],
        tiers: &[usize],
        validators: usize,
    ) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut first = 0;
        for (tier, size) in (1u32..).zip(tiers) {
            let (end, votes) = (first + size, validators.clamp(first, first + size));
            for (from, to, stake) in [(first, votes, Some(STAKE)), (votes, end, None)] {
                if from == to {
                    continue;
                }
                groups.push(Group {
                    names: names[from..to].to_vec(),
                    name: None,
                    count: None,
                    tier,
                    regions: Vec::new(),
                    roles: if engine == Engine::Pow { vec![Role::Miner] } else { Vec::new() },
                    stake,
                    mine_rate: None,
                    byzantine: None,
                    start_at: None,
                    clock_offset_ms: 0,
                    clock_drift_ppm: 0,
                    slow: None,
                });
            }
            first = end;
        }
        groups
    }
}

fn named(text: &str) -> Option<Topology> {
    Some(match text {
        "mesh" => Topology::Mesh,
        "star" => Topology::Star,
        "line" => Topology::Line,
        "ring" => Topology::Ring,
        "tiers" => Topology::Tiers,
        _ => return None,
    })
}

fn name(index: usize, validators: usize) -> String {
    if index < validators { format!("validator{}", index + 1) } else { format!("node{index}") }
}

/// Returns the names in a list of links, in the order in which they occur.
fn names_in(links: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in links.iter().flat_map(|(a, b)| [a, b]) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// One node, a tenth, and the rest.
fn default_tiers(count: usize) -> Vec<usize> {
    let second = count.div_ceil(10).min(count.saturating_sub(1));
    let mut tiers = vec![1, second, count.saturating_sub(1 + second)];
    tiers.retain(|size| *size > 0);
    tiers
}

fn sizes(tiers: &[usize]) -> String {
    tiers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the share of each miner in the hash rate that the chain's first difficulty is made for.
fn mine_rate(chain: &str, miners: usize) -> anyhow::Result<u64> {
    let spec = presets::genesis(chain)?;
    let Some(EngineSpec::Pow(pow)) = spec.kette.map(|kette| kette.engine) else { return Ok(1) };
    let total = pow.anchor_difficulty / U256::from(pow.block_time.max(1));
    Ok((total / U256::from(miners.max(1))).saturating_to::<u64>().max(1))
}

/// Returns the file in words, for people who wonder what came of their flags.
///
/// # Errors
/// If it cannot be planned.
pub fn describe(file: &NetworkFile) -> anyhow::Result<String> {
    let plan = Plan::new(file).map_err(anyhow::Error::msg)?;
    let votes = plan.nodes.iter().filter(|node| node.stake > 0).count();
    let tiers = plan.nodes.iter().map(|node| node.tier).max().unwrap_or(1);
    Ok(format!(
        "{}: {} nodes in {tiers} tier(s), {votes} validators, chain {}, {:?} topology",
        file.network.name,
        plan.nodes.len(),
        file.network.chain,
        file.network.topology
    )
    .to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: NetworkFlags,
    }

    fn made(words: &str) -> anyhow::Result<NetworkFile> {
        let words = std::iter::once("kette").chain(words.split_whitespace());
        Ok(Line::try_parse_from(words)?.flags.file(None)?.expect("flags were given"))
    }

    fn dials(file: &NetworkFile) -> Vec<Vec<usize>> {
        Plan::new(file).unwrap().nodes.into_iter().map(|node| node.dials).collect()
    }

    #[test]
    fn no_flag_makes_no_network() {
        assert_eq!(NetworkFlags::default().file(None).unwrap(), None);
    }

    #[test]
    fn tiers_dial_as_in_the_ten_node_network() {
        let file = made("--engine pow --tiers 1,2,7 --regions round-robin").unwrap();
        let parents: Vec<usize> = dials(&file).into_iter().flatten().collect();
        assert_eq!(parents, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        let nodes = Plan::new(&file).unwrap().nodes;
        let tiers: Vec<u32> = nodes.iter().map(|node| node.tier).collect();
        assert_eq!(tiers, [1, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((nodes[9].name.as_str(), nodes[9].mine_rate), ("node9", 200));
        let mut regions: Vec<&str> = nodes.iter().map(|node| node.region.as_str()).collect();
        regions.sort_unstable();
        regions.dedup();
        assert_eq!(regions.len(), 10);
        assert_eq!(NetworkFile::parse(&file.to_toml().unwrap()).unwrap(), file, "it can be kept");
    }

    /// Requirement A69: 10 primary and 90 secondary nodes, and five tiers.
    #[test]
    fn a_hundred_nodes_have_two_or_five_tiers() {
        for (tiers, most) in [("10,90", 10), ("1,4,10,25,60", 3), ("50,50", 2)] {
            let file = made(&format!("--engine pow --tiers {tiers}")).unwrap();
            let dials = dials(&file);
            let mut accepted = vec![0; 100];
            for (from, to) in dials.iter().enumerate().skip(1) {
                assert!(to.len() == 1 && to[0] < from, "{tiers}: {from} dials {to:?}");
                accepted[to[0]] += 1;
            }
            assert_eq!(accepted.iter().max(), Some(&most), "{tiers}");
            assert_eq!(file.network.mine_rate, 20, "together they find a block in a block time");
        }
        let file = made("--nodes 100").unwrap();
        assert_eq!((file.network.topology, file.group.len()), (Topology::Tiers, 4));
    }

    #[test]
    fn validators_are_some_or_all() {
        let count = |words: &str| {
            let nodes = Plan::new(&made(words).unwrap()).unwrap().nodes;
            (nodes.len(), nodes.iter().filter(|node| node.stake == STAKE).count())
        };
        assert_eq!(count("--engine bft"), (4, 4));
        assert_eq!(count("--validators 7"), (7, 7));
        assert_eq!(count("--nodes 12"), (12, 10));
        assert_eq!(count("--nodes 12 --validators 3 --topology star"), (12, 3));
        assert_eq!(count("--tiers 2,6 --validators 4"), (8, 4));
    }

    #[test]
    fn a_file_of_links_is_a_topology() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.txt");
        std::fs::write(&path, "hub a\nhub b\nb far\n").unwrap();
        let words = format!("--engine pow --topology {}", path.display());
        let file = made(&words).unwrap();
        assert_eq!(file.network.topology, Topology::Custom);
        assert_eq!(dials(&file), [vec![], vec![0], vec![0], vec![2]]);
        assert_eq!(Plan::new(&file).unwrap().nodes[3].name, "far");
        let error = format!("{:#}", made(&format!("{words} --nodes 3")).unwrap_err());
        assert!(error.contains("no node is called `hub`"), "{error}");
    }

    #[test]
    fn says_what_does_not_fit_together() {
        for (words, why) in [
            ("--nodes 12 --tiers 1,2,7", "--tiers 1,2,7 are 10 nodes, --nodes says 12"),
            ("--tiers 1,0,7", "at least one node"),
            ("--nodes 0", "at least one node"),
            ("--nodes 5000", "at most 1000"),
            ("--engine pow --validators 3", "leave it out"),
            ("--nodes 4 --validators 5", "1 to 4 of 4"),
            ("--topology circle", "neither mesh"),
            ("--nodes 3 --regions MARS", "not in the table"),
        ] {
            let error = format!("{:#}", made(words).unwrap_err());
            assert!(error.contains(why), "{words}: {error}");
        }
        let line = Line::try_parse_from(["kette", "--nodes", "900"]).unwrap();
        let error = line.flags.file(Some(65_000)).unwrap_err().to_string();
        assert!(error.contains("take a lower one"), "{error}");
    }
}
