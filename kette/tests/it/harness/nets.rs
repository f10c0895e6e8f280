//! A network as `kette net` runs it.

use super::{Chain, Ports, Ran, Rpc, kette, secs, text, until};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// A network in a directory of its own. Taken down when dropped.
#[derive(Debug)]
pub(crate) struct Net {
    dir: TempDir,
}

impl Net {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Brings a network up; returns it with what `up --json` said.
    pub(crate) fn up(args: &[&str]) -> (Self, Value) {
        let net = Self::empty();
        let up = net.run("up", args).json();
        (net, up)
    }

    /// Brings up what a network file says.
    pub(crate) fn from_text(file: &str) -> (Self, Value) {
        let net = Self::empty();
        let path = net.dir.path().join("net.toml");
        std::fs::write(&path, file).expect("a network file is written");
        let up = net.run("up", &["--file", text(&path)]).json();
        (net, up)
    }

    /// Brings up `names.len()` miners of 200 hashes per second each on `chain`.
    pub(crate) fn of(ports: &Ports, names: &[&str], chain: &Chain, more: &str) -> (Self, Value) {
        let net = Self::empty();
        chain.write(&net.dir.path().join("chain.json"));
        let file = format!(
            "schema = 1\n[network]\nname = \"test\"\nchain = \"chain.json\"\nbase_port = {}\n\
             rpc_base_port = {}\nmine_rate = 200\n{more}\n[[group]]\nnames = {names:?}\nroles = [\"miner\"]\n",
            ports.p2p(0),
            ports.rpc(0)
        );
        let path = net.dir.path().join("net.toml");
        std::fs::write(&path, file).expect("a network file is written");
        let up = net.run("up", &["--file", text(&path)]).json();
        (net, up)
    }

    /// The network's own directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("net")
    }

    /// Runs `kette net VERB --json` on this network.
    pub(crate) fn run(&self, verb: &str, args: &[&str]) -> Ran {
        let home = self.home();
        kette(&[&["--json", "net", verb, "--home", text(&home)], args].concat())
    }

    /// Waits until the network's status is as wanted; returns it and how long that took.
    pub(crate) fn until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> (Value, Duration) {
        until(what, limit, || {
            let ran = self.run("status", &[]);
            let status: Value = serde_json::from_str(&ran.out).map_err(|_| ran.err)?;
            if wanted(&status) { Ok(status) } else { Err(summary(&status)) }
        })
    }

    /// What is kept of the network on disk.
    pub(crate) fn manifest(&self) -> Value {
        let text = std::fs::read_to_string(self.home().join("network.json")).expect("it was up");
        serde_json::from_str(&text).expect("JSON")
    }

    /// All nodes' RPC, in order.
    pub(crate) fn rpcs(&self) -> Vec<Rpc> {
        let manifest = self.manifest();
        let nodes = manifest["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| Rpc(node["rpc"].as_u64().expect("a port") as u16)).collect()
    }

    /// The nodes' names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let manifest = self.manifest();
        let nodes = manifest["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The process of node `index`.
    pub(crate) fn pid(&self, index: usize) -> i32 {
        self.manifest()["nodes"][index]["process"]["pid"].as_i64().expect("it runs") as i32
    }

    /// A node's log.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.home().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Orders what needs a node's token.
    #[track_caller]
    pub(crate) fn order(&self, index: usize, method: &str, params: Value) -> Value {
        let token =
            std::fs::read_to_string(self.home().join(&self.names()[index]).join("control.token"));
        self.rpcs()[index].order(token.expect("a node makes its token").trim(), method, params)
    }

    /// The command line of a running node.
    pub(crate) fn command_line(&self, index: usize) -> Vec<String> {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.pid(index))).expect("it runs");
        let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    /// Where node `name` keeps its database.
    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.home().join(format!("{name}.db"))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network was: {}", self.run("status", &[]).out);
        }
        if Path::new(&self.home()).join("network.json").exists() {
            self.run("down", &[]);
        }
    }
}

/// One line per network and node, for messages.
pub(crate) fn summary(status: &Value) -> String {
    let mut line = String::new();
    for key in ["running", "connected", "components", "hash_equal", "height", "handshake_success"] {
        line += &format!("{key} {} ", status[key]);
    }
    for node in status["list"].as_array().into_iter().flatten() {
        line += &format!("[{} {} peers {}] ", node["name"], node["height"], node["peers"]);
    }
    line
}

/// Waits until all nodes have the same block at the lowest of their heights, that being at least `height`.
pub(crate) fn agreed(rpcs: &[Rpc], height: u64, limit: Duration) -> Duration {
    let look = || {
        let heights: Vec<u64> = rpcs.iter().map(|rpc| rpc.height()).collect::<Result<_, _>>()?;
        let lowest = heights.iter().copied().min().unwrap_or(0);
        let hashes: Vec<String> =
            rpcs.iter().map(|rpc| rpc.hash_at(lowest)).collect::<Result<_, _>>()?;
        let same = hashes.windows(2).all(|pair| pair[0] == pair[1]);
        if same && lowest >= height { Ok(()) } else { Err(format!("{heights:?} {hashes:?}")) }
    };
    until("one chain on all nodes", limit, look).1
}

/// How long most things may take on a busy machine.
pub(crate) const SOON: Duration = secs(30);
