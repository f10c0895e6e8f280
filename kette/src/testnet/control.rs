//! Verbs on the nodes of a network that is up: processes that another command started, known by their numbers.
//!
//! One command at a time holds a network's directory; the list of its processes is written after every change, so that a
//! command that is killed leaves nothing unknown behind.

use super::{
    directory::{Action, Directory, LastAction, Manifest, ProcessId},
    launch,
    listener::Listener,
    lock::lock,
    plan::Ports,
    snapshot, start,
};
use crate::{client::Client, commands::exit::Exit, run::home::Home};
use anyhow::{Context as _, bail};
use kette_types::ChainSpec;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    fs::File,
    time::{Duration, Instant},
};

/// A network that this command works on.
pub struct Control {
    /// Where its files are.
    pub directory: Directory,
    /// What is known of it.
    pub manifest: Manifest,
    _lock: File,
}

/// A node that was told to stop gets this time before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// A node answers at least this soon after its start.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// One question to a node.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How often is looked whether something has happened that nobody tells of.
const POLL: Duration = Duration::from_millis(50);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// It did not run.
    Down,
    /// It ended when asked.
    Stopped,
    /// It was killed.
    Killed,
}

impl Control {
    /// Takes a network.
    ///
    /// # Errors
    /// If there is none, or another command works on it.
    pub fn take(directory: &Directory) -> anyhow::Result<Self> {
        directory.require()?;
        let lock = lock(directory)?;
        // Read after the lock is ours: who had it may have changed it.
        let manifest = directory.require()?;
        Ok(Self { directory: directory.clone(), manifest, _lock: lock })
    }

    /// Takes the place of a network that is to be made of what is known of it.
    ///
    /// # Errors
    /// If another command works there.
    pub fn begin(directory: &Directory, manifest: Manifest) -> anyhow::Result<Self> {
        let lock = lock(directory)?;
        Ok(Self { directory: directory.clone(), manifest, _lock: lock })
    }

    /// Returns the nodes that patterns mean; all of them have a process if `running`.
    ///
    /// # Errors
    /// If a pattern means no node, or a node is down that is to run.
    pub fn select(&self, patterns: &[String], running: bool) -> anyhow::Result<Vec<usize>> {
        let nodes = self.manifest.select(patterns)?;
        let down: Vec<&str> = nodes
            .iter()
            .filter(|node| running && !self.manifest.nodes[**node].is_alive())
            .map(|node| self.name(*node))
            .collect();
        if !down.is_empty() {
            let names = down.join(" ");
            let text = format!("{names}: not running; `kette net start {names}` starts it");
            return Err(Exit::NotUp(text).into());
        }
        Ok(nodes)
    }

    /// Returns the nodes that have a process.
    pub fn running(&self) -> Vec<usize> {
        let nodes = self.manifest.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.is_alive()).map(|(index, _)| index).collect()
    }

    /// Returns a node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.manifest.nodes[node].plan.name
    }

    /// Reads the chain of the network.
    ///
    /// # Errors
    /// If it has no nodes, or its genesis file is damaged.
    pub fn spec(&self) -> anyhow::Result<ChainSpec> {
        let first = self.manifest.nodes.first().context("a network without nodes")?;
        Home::new(self.directory.node(&first.plan.name)).load_genesis()
    }

    /// Returns what a node can be asked with.
    ///
    /// # Errors
    /// If its address is none.
    pub fn client(&self, node: usize) -> anyhow::Result<Client> {
        Client::with_timeout(&self.manifest.nodes[node].rpc_url(), ASK_WITHIN)
    }

    /// Returns what a node can be told with.
    ///
    /// # Errors
    /// If its token cannot be read.
    pub fn operator(&self, node: usize) -> anyhow::Result<Client> {
        let home = Home::new(self.directory.node(self.name(node)));
        Client::of_operator(&self.manifest.nodes[node].rpc_url(), &home)
    }

    /// Writes down what changed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        self.directory.save(&self.manifest)
    }

    /// Kills a node's process (SIGKILL).
    ///
    /// # Errors
    /// If it does not end, or shares a process.
    pub fn kill(&mut self, node: usize) -> anyhow::Result<Ended> {
        let Some(process) = self.process(node) else { return Ok(Ended::Down) };
        if let Some(host) = process.host {
            let why = format!(
                "SIGKILL ends a whole process: `kill -9 {host}` ends all its nodes at once, and `kette net up` goes on"
            );
            return Err(self.shares(node, host, "killed", &why));
        }
        process.signal(Signal::SIGKILL);
        self.gone(node, process, STOP_WITHIN)?;
        self.note(node, Action::Killed)?;
        Ok(Ended::Killed)
    }

    /// Tells a node's process to end, and kills it if it does not.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self, node: usize) -> anyhow::Result<Ended> {
        let Some(process) = self.process(node) else { return Ok(Ended::Down) };
        if process.host.is_some() {
            start::stop_thread(&self.directory, self.name(node))?;
            self.gone(node, process, STOP_WITHIN)?;
            self.note(node, Action::Stopped)?;
            return Ok(Ended::Stopped);
        }
        // Who stands still does not hear that it is to end.
        process.signal(Signal::SIGCONT);
        process.signal(Signal::SIGTERM);
        if process.wait_gone(STOP_WITHIN) {
            self.gone(node, process, Duration::ZERO)?;
            self.note(node, Action::Stopped)?;
            return Ok(Ended::Stopped);
        }
        self.kill(node)
    }

    /// Lets a node's process stand still, or go on. Tells whether there is one.
    ///
    /// # Errors
    /// If it shares a process.
    pub fn pause(&mut self, node: usize, still: bool) -> anyhow::Result<bool> {
        let Some(process) = self.process(node) else { return Ok(false) };
        match (process.host, still) {
            (None, _) => {}
            (Some(host), true) => {
                let why = format!(
                    "SIGSTOP holds a whole process: `kill -STOP {host}` holds all its nodes, `kill -CONT {host}` lets \
                     them go on"
                );
                return Err(self.shares(node, host, "paused", &why));
            }
            (Some(host), false) => {
                let why = format!(
                    "no node of it can have been paused alone; if somebody held the process, `kill -CONT {host}` lets \
                     all its nodes go on"
                );
                return Err(self.shares(node, host, "resumed", &why));
            }
        }
        let told = process.signal(if still { Signal::SIGSTOP } else { Signal::SIGCONT });
        if told {
            self.note(node, if still { Action::Paused } else { Action::Resumed })?;
        }
        Ok(told)
    }

    /// Writes down what was done to a node's process.
    fn note(&mut self, node: usize, action: Action) -> anyhow::Result<()> {
        self.manifest.nodes[node].last_action = Some(LastAction::now(action));
        self.save()
    }

    /// Says why a verb needs a node with a process of its own.
    fn shares(&self, node: usize, host: i32, done: &str, why: &str) -> anyhow::Error {
        let name = self.name(node);
        anyhow::anyhow!(
            "{name} cannot be {done}: it shares process {host} with all nodes (--in-process). {why}. \
             `kette net stop {name}` and `restart {name}` work on it alone; `kette net down`, then \
             `kette net up --in-process=false` gives each node a process"
        )
    }

    /// Starts a node unless it runs; returns whether it did not.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self, node: usize) -> anyhow::Result<bool> {
        if self.process(node).is_some() {
            return Ok(false);
        }
        snapshot::refuse_half(&self.directory)?;
        let Ports { p2p, rpc } = self.manifest.nodes[node].ports;
        if let Some(other) = [p2p, rpc].into_iter().find_map(Listener::on) {
            let text = format!(
                "{} cannot start: {other}; end that process, or give the network other ports: `kette net down`, then \
                 `kette net up`",
                self.name(node),
            );
            return Err(Exit::NotUp(text).into());
        }
        let mining = self.manifest.nodes[node].plan.miner;
        start::host(&self.directory, &mut self.manifest)?;
        start::start(&self.directory, &mut self.manifest, node, mining)?;
        self.note(node, Action::Started)?;
        Ok(true)
    }

    /// Waits until all these nodes answer; returns how long that took.
    ///
    /// # Errors
    /// If one ends (with the end of its log), or it takes too long.
    pub async fn answers(&self, nodes: &[usize]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        for node in nodes {
            while !self.answers_now(*node).await? {
                let process = self.manifest.nodes[*node].process;
                if !process.is_some_and(ProcessId::is_alive) {
                    bail!(
                        "{}",
                        launch::ended_text(&self.directory, &self.manifest, self.name(*node))
                    );
                }
                if started.elapsed() > ANSWER_WITHIN {
                    let text = format!(
                        "{} runs and does not answer after {} s; its log is {}",
                        self.name(*node),
                        ANSWER_WITHIN.as_secs(),
                        self.directory.log(self.name(*node)).display()
                    );
                    return Err(Exit::TimedOut(text).into());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(started.elapsed())
    }

    /// Another network may have the ports of one that is down.
    async fn answers_now(&self, node: usize) -> anyhow::Result<bool> {
        let answer = self.client(node)?.ask::<Value>("kette_status", []).await;
        let wanted = self.manifest.nodes[node].peer_id.as_str();
        Ok(answer.is_ok_and(|answer| answer["peerId"] == wanted))
    }

    fn process(&self, node: usize) -> Option<ProcessId> {
        self.manifest.nodes[node].process.filter(|process| process.is_alive())
    }

    fn gone(&mut self, node: usize, process: ProcessId, within: Duration) -> anyhow::Result<()> {
        if !process.wait_gone(within) {
            bail!("process {} of {} does not end", process.pid, self.name(node));
        }
        self.manifest.nodes[node].process = None;
        self.save()
    }
}
