//! A network's directory: what runs where, kept in one file so that any command finds it again.

use super::plan::Ports;
use crate::{presets, unix_time, whole_file};
use anyhow::{Context as _, bail};
use kette_sim::scenario::{NetworkFile, Plan, PlannedNode, select};
use kette_types::PeerId;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A network on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(PathBuf);

/// What is known of a network: `network.json` in its directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name for people.
    pub name: String,
    /// Where it came from: a preset's name or a file.
    pub source: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis: String,
    /// Made by `kette net run`, which may replace it.
    #[serde(default)]
    pub run: bool,
    /// Peers speak QUIC.
    #[serde(default)]
    pub quic: bool,
    /// Only planned sessions: no peer exchange.
    #[serde(default)]
    pub planned_only: bool,
    /// One process, the host, runs all nodes, each as a thread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_process: bool,
    /// That process, if it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<ProcessId>,
    /// Names of the groups that have one.
    #[serde(default)]
    pub groups: Vec<Option<String>>,
    /// Nodes of its file that were taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// Other nodes that it had, which joined and left or were in an earlier file, and whose data is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<ManifestNode>,
}

/// One node of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestNode {
    /// As planned.
    #[serde(flatten)]
    pub plan: PlannedNode,
    /// Where it listens.
    #[serde(flatten)]
    pub ports: Ports,
    /// Identity.
    pub peer_id: String,
    /// Its process, or its thread in the host, if it was started.
    pub process: Option<ProcessId>,
    /// The program that it runs, if not that of the launcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<PathBuf>,
    /// It joined later: the network's file does not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// What a command did to its process last; forgotten when the network is taken down or brought up anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_action: Option<LastAction>,
}

/// What a command did to a node's process: the node itself can often not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub action: Action,
}

/// What commands do to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// SIGKILL.
    Killed,
    /// SIGTERM.
    Stopped,
    /// It was down.
    Started,
    /// SIGSTOP.
    Paused,
    /// SIGCONT.
    Resumed,
}

impl LastAction {
    /// Says that it was done now.
    pub fn now(action: Action) -> Self {
        Self { at_ms: unix_time::millis(), action }
    }
}

impl Action {
    /// Returns the word for it, and what it means.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Killed => ("killed", "its process was killed"),
            Self::Stopped => ("stopped", "its process was told to end"),
            Self::Started => ("started", "its process was started"),
            Self::Paused => ("paused", "its process stands still"),
            Self::Resumed => ("resumed", "its process goes on"),
        }
    }

    /// Tells whether the node is away since.
    pub const fn is_away(self) -> bool {
        matches!(self, Self::Killed | Self::Stopped | Self::Paused)
    }
}

/// A process, or a thread of a host, that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Number.
    pub pid: i32,
    /// When it began, in the kernel's ticks since boot.
    pub started: u64,
    /// The process that it is a thread of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<i32>,
}

impl Manifest {
    /// Takes over what another list knows of nodes that are gone: data of them may still be here.
    pub fn remember(&mut self, other: &Self) {
        let were = other.nodes.iter().map(|node| &node.plan.name);
        for name in were.chain(&other.left).chain(&other.former) {
            let is_known = self.nodes.iter().any(|node| node.plan.name == *name)
                || self.left.contains(name)
                || self.former.contains(name);
            if !is_known {
                self.former.push(name.clone());
            }
        }
        let nodes = &self.nodes;
        self.former.retain(|name| nodes.iter().all(|node| node.plan.name != *name));
    }

    /// Forgets all processes, which have ended.
    pub fn forget_processes(&mut self) {
        self.host = None;
        for node in &mut self.nodes {
            (node.process, node.last_action) = (None, None);
        }
    }

    /// Tells whether any process of the network runs.
    pub fn is_alive(&self) -> bool {
        self.host.is_some_and(ProcessId::is_alive) || self.nodes.iter().any(ManifestNode::is_alive)
    }

    /// Returns the identities of all nodes.
    ///
    /// # Errors
    /// If one is damaged.
    pub fn peer_ids(&self) -> anyhow::Result<Vec<PeerId>> {
        let id = |node: &ManifestNode| {
            node.peer_id.parse().with_context(|| format!("peer id of {}", node.plan.name))
        };
        self.nodes.iter().map(id).collect()
    }

    /// Returns the nodes that patterns mean, as in network files.
    ///
    /// # Errors
    /// If a pattern means no node; says which names there are.
    pub fn select(&self, patterns: &[String]) -> anyhow::Result<Vec<usize>> {
        let plan = Plan {
            nodes: self.nodes.iter().map(|node| node.plan.clone()).collect(),
            groups: self.groups.clone(),
            discovery: !self.planned_only,
        };
        // Lists with commas, as in `partition`, do as well.
        let patterns: Vec<String> =
            patterns.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
        select::select(&plan, &patterns).map_err(anyhow::Error::msg)
    }
}

impl ManifestNode {
    /// Tells whether the node's process runs.
    pub fn is_alive(&self) -> bool {
        self.process.is_some_and(ProcessId::is_alive)
    }
}

impl Directory {
    /// Names a directory; nothing is created.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns a node's own directory.
    pub fn node(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns a node's log file.
    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.log"))
    }

    /// Returns the log of what all nodes of one process share.
    pub fn host_log(&self) -> PathBuf {
        self.0.join("host.log")
    }

    /// Returns a node's database file.
    pub fn database(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.db"))
    }

    /// Returns the network as a file that `kette net run` and `kette sim run` read.
    pub fn network_file(&self) -> PathBuf {
        self.0.join("network.toml")
    }

    /// Returns the genesis file beside it, for chains that are not embedded.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// Returns what `kette net run` leaves of its run.
    pub fn run_file(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// Writes the network as a file, with the ports that it has.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_network(
        &self,
        file: &NetworkFile,
        genesis: &str,
        first: Option<Ports>,
    ) -> anyhow::Result<()> {
        let mut file = file.clone();
        if !presets::has_genesis(&file.network.chain) {
            let path = self.genesis();
            fs::write(&path, genesis)
                .with_context(|| format!("cannot write {}", path.display()))?;
            "genesis.json".clone_into(&mut file.network.chain);
        }
        if let Some(Ports { p2p, rpc }) = first {
            (file.network.base_port, file.network.rpc_base_port) = (p2p, rpc);
        }
        let path = self.network_file();
        let text = format!(
            "# The network in this directory: `kette sim run` simulates it, `kette net run` runs its steps.\n{}",
            file.to_toml()?
        );
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the file that commands lock which change the network.
    pub fn lock(&self) -> PathBuf {
        self.0.join("network.lock")
    }

    /// Returns the directory of files for Prometheus, Grafana and systemd.
    pub fn observability(&self) -> PathBuf {
        self.0.join(super::observe::FOLDER)
    }

    fn manifest_path(&self) -> PathBuf {
        self.0.join("network.json")
    }

    /// Reads what is known of the network; `None` if there is none here.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load(&self) -> anyhow::Result<Option<Manifest>> {
        let path = self.manifest_path();
        if !path.exists() {
            return Ok(None);
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?))
    }

    /// Reads what is known of the network.
    ///
    /// # Errors
    /// If there is none here.
    pub fn require(&self) -> anyhow::Result<Manifest> {
        let Some(manifest) = self.load()? else {
            let text = format!(
                "no network at {}: start one with `kette net up`, or name its directory with --home",
                self.0.display()
            );
            return Err(crate::commands::exit::Exit::NotUp(text).into());
        };
        Ok(manifest)
    }

    /// Writes what is known of the network, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, manifest: &Manifest) -> anyhow::Result<()> {
        whole_file::write(&self.manifest_path(), &serde_json::to_string_pretty(manifest)?)
    }

    /// The same when only processes changed, of which none outlives the end of power: waits for no disk, which all nodes
    /// share. Who changed much that way calls [`Self::save`] in the end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_processes(&self, manifest: &Manifest) -> anyhow::Result<()> {
        whole_file::write_unsynced(&self.manifest_path(), &serde_json::to_string_pretty(manifest)?)
    }

    /// Removes the data of all nodes that the network has or had, but nothing that this program did not make.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn purge(&self, manifest: &Manifest) -> anyhow::Result<()> {
        if manifest.is_alive() {
            bail!("the network is running: `kette net down --home {}` first", self.0.display());
        }
        let names = manifest.nodes.iter().map(|node| &node.plan.name);
        for name in names.chain(&manifest.left).chain(&manifest.former) {
            self.remove_node(name)?;
        }
        let (socket, log) = (super::host::socket_path(self), self.host_log());
        for path in [self.network_file(), self.genesis(), self.run_file(), socket, log] {
            whole_file::remove_unsynced(&path)?;
        }
        remove_dir(&self.observability())?;
        super::snapshot::forget(self)?;
        whole_file::remove(&self.manifest_path())
    }

    /// Removes what is left of a purged network: the lock, whose holder does this, and the directory if nothing else is
    /// in it. Tells whether it is gone.
    ///
    /// # Errors
    /// If the lock cannot be removed.
    pub fn remove_if_empty(&self) -> anyhow::Result<bool> {
        whole_file::remove_unsynced(&self.lock())?;
        Ok(fs::remove_dir(&self.0).is_ok())
    }
}

impl Directory {
    /// Removes directory, log and database of a node that does not run.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove_node(&self, name: &str) -> anyhow::Result<()> {
        remove_dir(&self.node(name))?;
        whole_file::remove_unsynced(&self.log(name))?;
        self.remove_database(name)
    }

    /// Removes the database of a node that does not run.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove_database(&self, name: &str) -> anyhow::Result<()> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.database(name).into_os_string();
            path.push(suffix);
            whole_file::remove_unsynced(Path::new(&path))?;
        }
        Ok(())
    }
}

fn remove_dir(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
