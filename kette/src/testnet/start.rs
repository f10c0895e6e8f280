//! Starts one node of a network, with the arguments of `kette node`: as a process of its own, or as a thread of the
//! network's host.

use super::{
    directory::{Directory, Manifest, ManifestNode, ProcessId},
    host::{self, Answer, Request},
    insight,
};
use crate::presets;
use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use std::{
    ffi::OsString,
    fs::OpenOptions,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What runs a node.
#[derive(Debug)]
pub enum Task {
    /// A process of its own, a child of this one.
    Process(Child),
    /// A thread of the network's host.
    Thread {
        /// Which.
        id: ProcessId,
        /// Whose host.
        directory: Directory,
        /// Its node.
        node: String,
    },
}

/// A thread that was told to end gets this time when nobody can wait longer; its host may be killed later.
const THREAD_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Starts a node. What was started is in the manifest afterwards, which the caller saves. In a network of one process the
/// host has to run: see [`host()`].
///
/// # Errors
/// If its log cannot be opened, or it cannot be started.
pub fn start(
    directory: &Directory,
    manifest: &mut Manifest,
    index: usize,
    mining: bool,
) -> anyhow::Result<Task> {
    let arguments = arguments(directory, manifest, index, mining)?;
    let name = manifest.nodes[index].plan.name.clone();
    let host = manifest.host.filter(|_| manifest.in_process);
    let (task, id) = match host {
        Some(host) => {
            let id = start_thread(directory, manifest, &name, arguments, host)?;
            (Task::Thread { id, directory: directory.clone(), node: name }, Some(id))
        }
        None => {
            let mut command = command(directory, &manifest.nodes[index], arguments)?;
            let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
            let pid = i32::try_from(child.id()).context("a process number fits 31 bits")?;
            (Task::Process(child), ProcessId::of(pid))
        }
    };
    manifest.nodes[index].process = id;
    Ok(task)
}

/// Starts the host of a network of one process, unless it runs or the network has none. Returns it if it was started; it
/// is in the manifest, which was saved.
///
/// # Errors
/// If it does not start.
pub fn host(directory: &Directory, manifest: &mut Manifest) -> anyhow::Result<Option<Child>> {
    if !manifest.in_process || manifest.host.is_some_and(ProcessId::is_alive) {
        return Ok(None);
    }
    let mut child = host::spawn(directory)?;
    manifest.host = ProcessId::of(i32::try_from(child.id())?);
    // Saved before it has nodes, so that a killed launcher leaves nothing unknown behind.
    directory.save_processes(manifest)?;
    host::known(&mut child)?;
    Ok(Some(child))
}

fn start_thread(
    directory: &Directory,
    manifest: &Manifest,
    name: &str,
    arguments: Vec<OsString>,
    host: ProcessId,
) -> anyhow::Result<ProcessId> {
    let text = |argument: OsString| {
        argument.into_string().map_err(|bad| {
            anyhow::anyhow!("{}: nodes of one process need paths in UTF-8", bad.to_string_lossy())
        })
    };
    let request = Request::Start {
        node: name.to_owned(),
        log: directory.log(name),
        arguments: arguments.into_iter().map(text).collect::<anyhow::Result<_>>()?,
    };
    let Answer::Runs { thread } = host::ask(directory, &request)? else {
        bail!("the host of this network is of another version: `kette net down` ends it");
    };
    let Some(id) = ProcessId::of(thread) else {
        bail!("{}", super::launch::ended_text(directory, manifest, name));
    };
    Ok(ProcessId { host: Some(host.pid), ..id })
}

/// Tells a node of a network of one process to end.
///
/// # Errors
/// If the host does not answer.
pub fn stop_thread(directory: &Directory, name: &str) -> anyhow::Result<()> {
    host::ask(directory, &Request::Stop { node: name.to_owned() }).map(drop)
}

/// Returns the arguments that a node is started with, those of `kette node`.
fn arguments(
    directory: &Directory,
    manifest: &Manifest,
    index: usize,
    mining: bool,
) -> anyhow::Result<Vec<OsString>> {
    let ManifestNode { plan: node, ports, .. } = &manifest.nodes[index];
    let peers: Vec<String> = node
        .dials
        .iter()
        .map(|dial| {
            let other = &manifest.nodes[*dial];
            let transport = if manifest.quic { "/quic" } else { "" };
            format!("{}@127.0.0.1:{}{transport}", other.peer_id, other.ports.p2p)
        })
        .collect();
    let mut words: Vec<OsString> = vec!["--home".into(), directory.node(&node.name).into()];
    words.extend(["--db".into(), directory.database(&node.name).into()]);
    let mut flag = |name: &str, value: &str| words.extend([name.into(), value.into()]);
    flag("--p2p", &format!("127.0.0.1:{}", ports.p2p));
    flag("--rpc-listen", &format!("127.0.0.1:{}", ports.rpc));
    flag("--moniker", &node.name);
    flag("--log-format", "json");
    flag("--mine-rate", &node.mine_rate.to_string());
    if !node.region.is_empty() {
        flag("--region", &node.region);
    }
    if !peers.is_empty() {
        flag("--peers", &peers.join(","));
    }
    if node.miner {
        let account = presets::development_signer(u32::try_from(index)? % presets::ACCOUNTS)?;
        flag("--beneficiary", &account.address().to_string());
    }
    if let Some(role) = node.byzantine {
        insight::write(directory, manifest, index)?;
        flag("--byzantine", &insight::word(role)?);
    }
    if node.clock_offset_ms != 0 {
        flag("--clock-offset", &node.clock_offset_ms.to_string());
    }
    let switches =
        [("--mine", mining), ("--quic", manifest.quic), ("--no-discovery", manifest.planned_only)];
    words.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
    Ok(words)
}

/// Returns the command that runs a node, with its log as output.
fn command(
    directory: &Directory,
    node: &ManifestNode,
    arguments: Vec<OsString>,
) -> anyhow::Result<Command> {
    let name = &node.plan.name;
    let log = OpenOptions::new().create(true).append(true).open(directory.log(name));
    let log = log.with_context(|| format!("cannot open the log of {name}"))?;
    let binary = node.binary.clone().map_or_else(std::env::current_exe, Ok)?;
    let mut command = Command::new(binary);
    command
        .arg("node")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Its own group: a Ctrl-C at the launcher does not reach it.
        .process_group(0);
    Ok(command)
}

impl Task {
    /// Says how it ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Process(child) => child.try_wait()?.map(|status| status.to_string()),
            Self::Thread { id, .. } => (!id.is_alive()).then(|| "its thread is gone".to_owned()),
        })
    }

    /// Asks it to end.
    pub fn stop(&self) {
        match self {
            Self::Process(child) => {
                let id = i32::try_from(child.id()).ok().and_then(ProcessId::of);
                id.map(|id| id.signal(Signal::SIGTERM));
            }
            // A host that does not answer is gone, or is killed by whoever waits for its node.
            Self::Thread { directory, node, .. } => drop(stop_thread(directory, node)),
        }
    }

    /// Lets it stand still, or go on; tells whether it can. A thread cannot: it would hold what all threads share.
    pub fn pause(&self, still: bool) -> bool {
        let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
        match self {
            Self::Process(child) => {
                let id = i32::try_from(child.id()).ok().and_then(ProcessId::of);
                id.is_some_and(|id| id.signal(signal))
            }
            Self::Thread { .. } => false,
        }
    }

    /// Ends it at once, and waits until it is gone. A thread can only be asked.
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Process(child) => {
                // Already gone is fine.
                let _ = child.kill();
                child.wait()?;
            }
            Self::Thread { id, .. } => {
                let id = *id;
                self.stop();
                if !id.wait_gone(THREAD_ENDS_WITHIN) {
                    bail!("its thread does not end: `kette net down` ends all nodes");
                }
            }
        }
        Ok(())
    }
}
