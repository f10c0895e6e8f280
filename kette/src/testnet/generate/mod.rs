//! A network as files, for this machine or for others: genesis, keys, settings, and what starts the nodes there. Nothing
//! is started.
//!
//! ```text
//! DIR/network.toml, genesis.json, network.json    the network; `kette sim run DIR/network.toml`
//! DIR/inventory.toml                              which node is on which machine, in which region, on which ports
//! DIR/commands.txt                                a command per node
//! DIR/NAME/                                       a node's home: genesis.json, config.toml, node.key, validator.json
//! DIR/systemd/, compose.yaml, Dockerfile, kubernetes.yaml
//! ```

mod deploy;
pub mod hosts;
mod keys;
mod kubernetes;
mod yaml;

use super::{
    directory::{Directory, Manifest, ManifestNode},
    file, launch,
    plan::Ports,
};
use crate::{presets, run::home::Home};
use anyhow::{Context as _, bail};
use hosts::{Hosts, with_port};
use kette_sim::scenario::{NetworkFile, Plan};
use kette_types::Address;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a network in a directory consists of besides [`Directory`]'s own files.
const DEPLOYED: [&str; 5] =
    ["inventory.toml", "commands.txt", "compose.yaml", "Dockerfile", "kubernetes.yaml"];

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The network.
    pub file: NetworkFile,
    /// Where to.
    pub out: PathBuf,
    /// Which node is where; all on this machine if absent.
    pub hosts: Option<PathBuf>,
    /// First P2P port, instead of the file's.
    pub base_port: Option<u16>,
    /// Replaces what an earlier call wrote.
    pub force: bool,
    /// No development keys, on this machine either.
    pub fresh_keys: bool,
    /// Where the program is on the machines; without it, where this one is if all nodes are on this machine.
    pub binary: Option<String>,
    /// Container image with the program.
    pub image: String,
}

/// Where the program is on other machines, if nobody says.
const BINARY: &str = "/usr/local/bin/kette";

/// A network that is about to be written.
struct Draft {
    directory: Directory,
    genesis: String,
    file: NetworkFile,
    plan: Plan,
    hosts: Hosts,
    ports: Vec<Ports>,
    peer_ids: Vec<String>,
    /// Who is paid for a node's blocks.
    accounts: Vec<Address>,
    /// Keys that everybody can compute.
    insecure: bool,
    binary: String,
    image: String,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// Nodes.
    pub nodes: usize,
    /// Hash of block 0.
    pub genesis: String,
    /// Whether keys are development keys, which everybody can compute.
    pub insecure_keys: bool,
    /// Files, in order.
    pub files: Vec<PathBuf>,
}

/// Settings of a node, as `config.toml` has them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config {
    p2p: String,
    rpc_listen: String,
    peers: Vec<String>,
    no_discovery: bool,
    quic: bool,
    moniker: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    mine: bool,
    mine_rate: u64,
    beneficiary: Address,
    log_format: &'static str,
}

/// Writes a network.
///
/// # Errors
/// If there is something in its place already, the network asks for what processes cannot do, or a file cannot be
/// written.
pub fn generate(wish: &Wish) -> anyhow::Result<Written> {
    let mut file = wish.file.clone();
    for (index, group) in file.group.iter().enumerate() {
        let wrong = (group.clock_offset_ms != 0).then_some("clock_offset_ms");
        if let Some(key) = file::simulated(group).or(wrong) {
            bail!(
                "[[group]] {}: `{key}` is for simulations and tests, not for a deployment",
                index + 1
            );
        }
    }
    if let Some(base) = wish.base_port {
        let distance = file.network.rpc_base_port.saturating_sub(file.network.base_port);
        (file.network.base_port, file.network.rpc_base_port) =
            (base, base.saturating_add(distance));
    }
    let plan = Plan::new(&file).map_err(anyhow::Error::msg)?;
    let hosts = match &wish.hosts {
        Some(path) => Hosts::read(path, &plan)?,
        None => Hosts::loopback(&plan),
    };
    let ports = ports(&file, plan.nodes.len())?;
    let directory = Directory::new(std::path::absolute(&wish.out)?);
    make_room(&directory, &plan, wish.force)?;
    let insecure = hosts.is_loopback() && !wish.fresh_keys;
    let text = file::genesis_text(&file)?;
    let mut secrets = Vec::new();
    let text = if insecure {
        text
    } else {
        secrets = keys::fresh(&plan);
        // The genesis file says it all now.
        file.genesis = toml::Table::new();
        "genesis.json".clone_into(&mut file.network.chain);
        keys::write_into(&text, &plan, &secrets, hosts.is_public())?
    };
    let spec = kette_types::ChainSpec::from_json(&text)?;
    let hash = kette_ledger::genesis(&spec)?.0.hash().to_string();
    let binary = match &wish.binary {
        Some(path) => path.clone(),
        None if hosts.is_loopback() => {
            std::env::current_exe().context("finding this program")?.display().to_string()
        }
        None => BINARY.to_owned(),
    };
    let mut draft = Draft {
        directory: directory.clone(),
        genesis: text.clone(),
        accounts: accounts(&plan, &secrets)?,
        file,
        hosts,
        ports,
        peer_ids: Vec::new(),
        insecure,
        binary,
        image: wish.image.clone(),
        plan,
    };
    for index in 0..draft.plan.nodes.len() {
        let home = Home::new(directory.node(&draft.plan.nodes[index].name));
        home.create()?;
        fs::write(home.genesis(), &text)?;
        keys::write(&home, &draft.plan, index, secrets.get(index))?;
        let secret = home.load_or_make_node_key()?;
        draft.peer_ids.push(kette_network::peer_id(&secret).to_string());
    }
    for index in 0..draft.plan.nodes.len() {
        let home = Home::new(directory.node(&draft.plan.nodes[index].name));
        let config = toml::to_string(&draft.config(index, draft.hosts.is_loopback()))?;
        fs::write(home.config(), config)?;
    }
    let manifest = draft.manifest(&directory, &spec, &hash)?;
    directory.save(&manifest)?;
    // What the file says of links comes on top of what lies between the machines.
    launch::shape_links(&directory, &draft.file, &manifest)?;
    fs::write(directory.genesis(), &text)?;
    directory.save_network(&draft.file, &text, draft.ports.first().copied())?;
    draft.deploy(directory.path())?;
    let mut files = Vec::new();
    list(directory.path(), &mut files)?;
    Ok(Written { nodes: draft.plan.nodes.len(), genesis: hash, insecure_keys: insecure, files })
}

fn ports(file: &NetworkFile, count: usize) -> anyhow::Result<Vec<Ports>> {
    let (p2p, rpc) = (file.network.base_port, file.network.rpc_base_port);
    let at = |base: u16, index: usize| u16::try_from(usize::from(base) + index).ok();
    let ports = (0..count).map(|index| Some(Ports { p2p: at(p2p, index)?, rpc: at(rpc, index)? }));
    ports.collect::<Option<Vec<Ports>>>().with_context(|| {
        format!("{count} nodes from ports {p2p} and {rpc}: ports end at 65535, take lower ones with --base-port")
    })
}

/// Refuses to write over anything, or removes what an earlier call wrote.
fn make_room(directory: &Directory, plan: &Plan, force: bool) -> anyhow::Result<()> {
    let path = directory.path();
    let is_empty = !path.exists() || fs::read_dir(path)?.next().is_none();
    if !is_empty && !force {
        bail!(
            "{} is not empty: name another directory with --out, or replace it with --force",
            path.display()
        );
    }
    if let Some(old) = directory.load()? {
        directory.purge(&old)?;
    }
    for node in &plan.nodes {
        let home = directory.node(&node.name);
        if home.exists() {
            fs::remove_dir_all(&home)
                .with_context(|| format!("cannot remove {}", home.display()))?;
        }
    }
    for name in DEPLOYED {
        let file = path.join(name);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let units = path.join("systemd");
    if units.exists() {
        fs::remove_dir_all(&units).with_context(|| format!("cannot remove {}", units.display()))?;
    }
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

fn accounts(plan: &Plan, secrets: &[keys::Secrets]) -> anyhow::Result<Vec<Address>> {
    let account = |index: usize| match secrets.get(index) {
        Some(secrets) => Ok(secrets.account.address()),
        None => {
            let signer = presets::development_signer(u32::try_from(index)? % presets::ACCOUNTS)?;
            Ok(signer.address())
        }
    };
    (0..plan.nodes.len()).map(account).collect()
}

/// Lists all files below a directory, in order.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() { list(&entry, files)? } else { files.push(entry) }
    }
    Ok(())
}

impl Draft {
    /// Returns a node's settings: for this machine alone, or for others as well.
    fn config(&self, index: usize, alone: bool) -> Config {
        let (node, ports) = (&self.plan.nodes[index], self.ports[index]);
        let from = if alone { "127.0.0.1" } else { "0.0.0.0" };
        let peers =
            self.peers(index, |other| with_port(self.hosts.of(other), self.ports[other].p2p));
        Config {
            p2p: format!("{from}:{}", ports.p2p),
            // Clients of other machines come through a proxy that asks who they are.
            rpc_listen: format!("127.0.0.1:{}", ports.rpc),
            peers,
            no_discovery: self.file.network.topology.is_fixed(),
            quic: self.file.network.quic,
            moniker: node.name.clone(),
            region: node.region.clone(),
            mine: node.miner,
            mine_rate: node.mine_rate,
            beneficiary: self.accounts[index],
            log_format: "json",
        }
    }

    /// Returns whom a node dials first, at addresses with ports.
    fn peers(&self, index: usize, address: impl Fn(usize) -> String) -> Vec<String> {
        let peer = |other: &usize| format!("{}@{}", self.peer_ids[*other], address(*other));
        self.plan.nodes[index].dials.iter().map(peer).collect()
    }

    fn manifest(
        &self,
        directory: &Directory,
        spec: &kette_types::ChainSpec,
        genesis: &str,
    ) -> anyhow::Result<Manifest> {
        let node = |(index, plan): (usize, &kette_sim::scenario::PlannedNode)| ManifestNode {
            plan: plan.clone(),
            ports: self.ports[index],
            peer_id: self.peer_ids[index].clone(),
            process: None,
            binary: None,
            joined: false,
            last_action: None,
        };
        Ok(Manifest {
            name: self.file.network.name.clone(),
            source: directory.network_file().display().to_string(),
            chain_id: spec.chain_id(),
            genesis: genesis.to_owned(),
            run: false,
            quic: self.file.network.quic,
            planned_only: self.file.network.topology.is_fixed(),
            in_process: false,
            host: None,
            groups: self.plan.groups.clone(),
            left: Vec::new(),
            former: Vec::new(),
            nodes: self.plan.nodes.iter().enumerate().map(node).collect(),
        })
    }
}
