//! One node as a process.

use super::{Chain, Ports, Rpc, program, secs, text, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A node with a home of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    /// JSON-RPC.
    pub(crate) rpc: Rpc,
    /// P2P port.
    pub(crate) p2p: u16,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    home: TempDir,
    child: Option<Child>,
}

impl Node {
    /// Prepares node `index` of a block of ports; nothing runs yet.
    pub(crate) fn new(ports: &Ports, index: usize, chain: &Chain) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        chain.write(&home.path().join("genesis.json"));
        Self {
            rpc: Rpc(ports.rpc(index)),
            p2p: ports.p2p(index),
            args: vec!["--moniker".to_owned(), format!("n{index}")],
            envs: Vec::new(),
            home,
            child: None,
        }
    }

    /// Adds arguments of `kette node`.
    pub(crate) fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Sets or removes a variable of the next start.
    pub(crate) fn env(&mut self, name: &str, value: Option<&str>) {
        self.envs.retain(|(other, _)| other != name);
        self.envs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Has the node keep a session with another one.
    pub(crate) fn dialling(self, other: &Self) -> Self {
        let address = format!("127.0.0.1:{}", other.p2p);
        self.with(&["--peers", &address])
    }

    /// Starts the process.
    pub(crate) fn spawn(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let child = program()
            .arg("node")
            .args(["--home", text(self.home.path()), "--log-format", "json"])
            .args(["--p2p", &self.p2p.to_string(), "--rpc-listen", &self.rpc.0.to_string()])
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.child = Some(child);
    }

    /// Starts the process, waits until it answers, and returns how long that took.
    pub(crate) fn start(&mut self) -> Duration {
        let started = Instant::now();
        self.spawn();
        until("a node that answers", secs(20), || match self.ended() {
            Some(status) => panic!("the node ended with {status}: {}", self.log_text()),
            None => self.rpc.height(),
        });
        started.elapsed()
    }

    /// Starts the process and hands the node back.
    pub(crate) fn up(mut self) -> Self {
        self.start();
        self
    }

    /// The exit status, if the process ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().expect("it was started").try_wait().expect("a child of ours")
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        until("the end of a node", limit, || self.ended().ok_or("running")).0
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end; it must do so well and soon.
    pub(crate) fn stop(&mut self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).expect("it runs");
        let status = self.wait(secs(20));
        assert!(status.success(), "{status}: {}", self.log_text());
        self.child = None;
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id() as i32
    }

    /// The node's directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Orders what needs the node's token.
    #[track_caller]
    pub(crate) fn order(&self, method: &str, params: Value) -> Value {
        let token = std::fs::read_to_string(self.home().join("control.token"));
        self.rpc.order(token.expect("a node makes its token").trim(), method, params)
    }

    /// Orders blocks and returns when the chain has grown by so many.
    pub(crate) fn mine(&self, blocks: u64) {
        let wanted = self.rpc.height().expect("the node answers") + blocks;
        self.order("kette_mine", json!([blocks]));
        until("ordered blocks", secs(60), || match self.rpc.height() {
            Ok(height) if height >= wanted => Ok(()),
            other => Err(other),
        });
    }

    /// The node's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.home.path().join("node.sqlite")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("node.log")
    }

    /// Everything that the node logged, over all its starts.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Resident memory, bytes.
    pub(crate) fn rss(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line =
            status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has it");
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("KiB") * 1_024
    }

    /// Size of the database on disk, bytes, with its write-ahead log.
    pub(crate) fn database_bytes(&self) -> u64 {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        bytes(&self.database()) + bytes(&self.home.path().join("node.sqlite-wal"))
    }
}

/// Tells whether a process runs; one that ended and was not yet taken note of does not.
pub(crate) fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log_text();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(25)..];
            eprintln!("last lines of the node on port {}:\n{}", self.rpc.0, tail.join("\n"));
        }
        self.kill();
    }
}
