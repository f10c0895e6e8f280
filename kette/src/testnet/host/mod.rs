//! A network in one process: the host runs each node as a thread. This is what is said to it and how; [`serve`] is what
//! it does.
//!
//! It listens on a Unix socket in the network's directory, so whoever may write there may start and stop nodes. One
//! connection is one request and one answer, a line of JSON each.

pub mod serve;

use super::directory::{Directory, ProcessId};
use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What a host is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Runs a node, unless it runs.
    Start {
        /// Its name.
        node: String,
        /// Its log file.
        log: PathBuf,
        /// What `kette node` would be started with.
        arguments: Vec<String>,
    },
    /// Tells a node to end; who asks sees that it did when its thread is gone.
    Stop {
        /// Its name.
        node: String,
    },
}

/// What a host answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The node runs, in the thread with this number.
    Runs {
        /// As the kernel counts threads.
        thread: i32,
    },
    /// The node was told to end, or did not run.
    Told,
    /// It could not be done.
    Failed(String),
}

/// A request or an answer at most: the dials of a node in a mesh of a thousand, several times over.
const LINE_MAX: u64 = 1 << 20;
/// One request, with a processor that is busy with a hundred nodes.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A host whose nodes were told to stop gets this time before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Name of the socket in the network's directory.
const SOCKET: &str = "host.sock";
/// What a host prints when it listens.
const READY: &str = "ready";
/// What it reads when the list of the network's processes has it.
const KNOWN: &str = "known";

/// Starts a host, and waits until it listens. It ends with its starter until that says that it is [`known`].
///
/// # Errors
/// If it does not start; names its log.
pub fn spawn(directory: &Directory) -> anyhow::Result<Child> {
    let path = directory.host_log();
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("cannot open {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["net", "host", "--home"]).arg(directory.path());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Its own group: a Ctrl-C at the launcher does not reach it.
        .process_group(0);
    let mut child = command.spawn().context("cannot start the network's host")?;
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        BufReader::new(said).take(LINE_MAX).read_line(&mut line)?;
    }
    if line.trim_end() != READY {
        let _ = child.kill();
        let _ = child.wait();
        bail!("the network's host does not start; its log is {}", path.display());
    }
    Ok(child)
}

/// Tells a host that any command finds it: it stays when its starter ends.
///
/// # Errors
/// If it has ended.
pub fn known(host: &mut Child) -> anyhow::Result<()> {
    let mut said = host.stdin.take().context("a host that was told nothing yet")?;
    writeln!(said, "{KNOWN}").context("the network's host ended at once")
}

/// Says something to a network's host.
///
/// # Errors
/// If it does not answer, or could not do it.
pub fn ask(directory: &Directory, request: &Request) -> anyhow::Result<Answer> {
    let said = || format!("the host of the network in {}", directory.path().display());
    let answer = exchange(directory, request).with_context(said)?;
    match answer {
        Answer::Failed(why) => bail!("{}: {why}", said()),
        answer => Ok(answer),
    }
}

fn exchange(directory: &Directory, request: &Request) -> anyhow::Result<Answer> {
    let (_folder, path) = socket(directory)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).take(LINE_MAX).read_line(&mut answer)?;
    serde_json::from_str(&answer).context("its answer")
}

/// Ends a host with all its nodes: asks, waits, and kills. Returns whether it was killed.
///
/// # Errors
/// If it does not end.
pub fn end(host: ProcessId) -> anyhow::Result<bool> {
    host.signal(Signal::SIGTERM);
    if host.wait_gone(STOP_WITHIN) {
        return Ok(false);
    }
    host.signal(Signal::SIGKILL);
    if !host.wait_gone(STOP_WITHIN) {
        bail!("process {} does not end", host.pid);
    }
    Ok(true)
}

/// Returns the socket of a network's host.
pub fn socket_path(directory: &Directory) -> PathBuf {
    directory.path().join(SOCKET)
}

/// Returns where a host listens, and what must stay open meanwhile: a socket's path has room for about a hundred bytes,
/// so it is given by way of the open directory.
fn socket(directory: &Directory) -> anyhow::Result<(File, PathBuf)> {
    let folder = File::open(directory.path())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET);
    Ok((folder, path))
}
