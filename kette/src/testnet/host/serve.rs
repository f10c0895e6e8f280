//! The host: a thread for each node, with a runtime of its own on that thread and its log where a process would have it.
//!
//! What nodes share is what all threads of a process share: memory, the limit of open files, the threads that recover
//! signers. A node that ends, also by a panic, takes no other along.

use super::{Answer, KNOWN, LINE_MAX, READY, Request, socket};
use crate::{
    interrupt::Interrupt,
    run::{self, Settings},
    telemetry::{Log, LogFormat},
    testnet::directory::Directory,
    whole_file,
};
use anyhow::{Context as _, bail};
use nix::unistd::gettid;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
};

/// Turns the arguments of `kette node` into what a node is started with.
pub type Parse = fn(Vec<String>) -> anyhow::Result<Settings>;

/// Threads of one node for reads of clients and peers: fewer than in a process of its own.
const BLOCKING_THREADS: usize = 4;
/// They end when nobody needed them for so long.
const BLOCKING_KEEP: Duration = Duration::from_secs(2);
/// Somebody who connected says what is wanted within this time.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Names of threads are cut here by Linux.
const NAME_MAX: usize = 15;

/// Runs nodes as told until SIGTERM or SIGINT, then stops them all.
///
/// # Errors
/// If it cannot listen: another host runs in this directory, or it cannot be written.
pub async fn serve(directory: &Directory, parse: Parse) -> anyhow::Result<()> {
    panics_go_to_logs();
    let (_folder, path) = socket(directory)?;
    // The launcher starts one at a time: what is there is of a host that was killed.
    whole_file::remove_unsynced(&path)?;
    let listener = UnixListener::bind(&path).context("cannot listen in the network's directory")?;
    let owner = std::fs::metadata(&path)?.uid();
    let mut out = std::io::stdout();
    writeln!(out, "{READY}").and_then(|()| out.flush())?;
    // Whoever starts it writes it down and says so. Who was killed before does not: nobody would find this process.
    let mut said = String::new();
    std::io::stdin().lock().take(LINE_MAX).read_line(&mut said)?;
    if said.trim_end() != KNOWN {
        whole_file::remove_unsynced(&path)?;
        bail!("who started this host ended before it was written down");
    }
    let mut interrupt = Interrupt::new()?;
    let nodes = Arc::new(Nodes { parse, list: Mutex::default() });
    loop {
        tokio::select! {
            () = interrupt.heard() => break,
            accepted = listener.accept() => {
                let nodes = nodes.clone();
                match accepted {
                    // Its mode is as this user's umask says: nobody else may start programs here.
                    Ok((stream, _)) if !is_ours(&stream, owner) => {
                        tracing::warn!("another user was refused");
                    }
                    Ok((stream, _)) => drop(tokio::spawn(answer(stream, nodes))),
                    Err(error) => tracing::warn!(%error, "nobody can connect now"),
                }
            }
        }
    }
    tracing::info!("stopping all nodes");
    // Nobody starts another one meanwhile: requests are answered by this thread.
    nodes.stop_all();
    Ok(())
}

/// Tells whether somebody who connected is the user whose socket it is, or the superuser.
fn is_ours(stream: &UnixStream, owner: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| [owner, 0].contains(&peer.uid()))
}

/// Tells the host's own log how a node ended, unless it was told to: by an error, or by a panic when its thread unwinds.
struct Watched {
    node: String,
    log: Option<Log>,
}

impl Watched {
    fn failed(&self, error: &anyhow::Error) {
        if let Some(log) = &self.log {
            log.say(&format!("{} ended: {error:#}", self.node));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(log) = &self.log
        {
            log.say(&format!("{} ended by a panic: see its log", self.node));
        }
    }
}

/// A panic is told where its thread logs.
fn panics_go_to_logs() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match Log::current() {
        Some(log) => log.say(&info.to_string()),
        None => before(info),
    }));
}

async fn answer(stream: UnixStream, nodes: Arc<Nodes>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(LINE_MAX);
    let answer = match tokio::time::timeout(REQUEST_WITHIN, limited.read_line(&mut line)).await {
        Ok(Ok(_)) => serde_json::from_str(&line)
            .context("a request")
            .and_then(|request| nodes.obey(request))
            .unwrap_or_else(|error| Answer::Failed(format!("{error:#}"))),
        Ok(Err(error)) => Answer::Failed(error.to_string()),
        Err(_) => return,
    };
    let Ok(mut text) = serde_json::to_string(&answer) else { return };
    text.push('\n');
    // Who asked may have gone: what was asked is done all the same.
    let _ = stream.write_all(text.as_bytes()).await;
}

struct Nodes {
    parse: Parse,
    list: Mutex<BTreeMap<String, Running>>,
}

/// A node that was started.
struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    id: i32,
}

impl Nodes {
    fn obey(&self, request: Request) -> anyhow::Result<Answer> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            Request::Start { node, log, arguments } => {
                if let Some(running) = list.get(&node).filter(|it| !it.thread.is_finished()) {
                    return Ok(Answer::Runs { thread: running.id });
                }
                let running = start(&node, &log, arguments, self.parse)?;
                let thread = running.id;
                list.insert(node, running);
                Ok(Answer::Runs { thread })
            }
            Request::Stop { node } => {
                if let Some(running) = list.get(&node) {
                    // It may have ended.
                    let _ = running.stop.send(true);
                }
                Ok(Answer::Told)
            }
        }
    }

    fn stop_all(&self) {
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        for running in list.values() {
            let _ = running.stop.send(true);
        }
        for running in list.into_values() {
            // A panic was told by its log.
            let _ = running.thread.join();
        }
    }
}

/// Starts a node's thread and waits until the kernel has given it a number.
fn start(node: &str, log: &Path, arguments: Vec<String>, parse: Parse) -> anyhow::Result<Running> {
    let log = Log::new(LogFormat::Json, Some(log), node)?;
    let (stop, stopped) = watch::channel(false);
    let (born, number) = mpsc::sync_channel(1);
    let name: String = node.chars().take(NAME_MAX).collect();
    let watched = Watched { node: node.to_owned(), log: Log::of_process() };
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        let watched = watched;
        log.enter();
        // Nobody waits for it only if the host is ending.
        let _ = born.send(gettid().as_raw());
        let settings = parse(arguments);
        if let Err(error) = settings.and_then(|settings| run_node(settings, stopped, &name, &log)) {
            log.say(&format!("error: {error:#}"));
            watched.failed(&error);
        }
    })?;
    let id = number.recv().context("its thread ended at once")?;
    Ok(Running { stop, thread, id })
}

fn run_node(
    settings: Settings,
    stop: watch::Receiver<bool>,
    name: &str,
    log: &Log,
) -> anyhow::Result<()> {
    let log = log.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP)
        .thread_name(name)
        .on_thread_start(move || log.enter())
        .enable_all()
        .build()?;
    runtime.block_on(Box::pin(run::run(settings, stop)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_or_an_error_of_a_node_stands_in_the_log_of_its_host_and_an_end_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.log");
        let log = Log::new(LogFormat::Text, Some(&path), "host").unwrap();
        for (node, panics) in [("calm", false), ("broken", true)] {
            let watched = Watched { node: node.to_owned(), log: Some(log.clone()) };
            let thread = std::thread::spawn(move || {
                let _watched = watched;
                assert!(!panics, "for a test");
            });
            assert_eq!(thread.join().is_err(), panics);
        }
        let watched = Watched { node: "failed".to_owned(), log: Some(log) };
        watched.failed(&anyhow::anyhow!("no 2").context("a job panicked"));
        drop(watched);
        let said = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            said,
            "broken ended by a panic: see its log\nfailed ended: a job panicked: no 2\n"
        );
    }

    #[tokio::test]
    async fn who_connects_as_another_user_is_not_heard() {
        let (one, other) = UnixStream::pair().unwrap();
        let me = one.peer_cred().unwrap().uid();
        assert!(is_ours(&other, me));
        assert!(!is_ours(&other, me + 1) || me == 0, "the superuser may");
    }
}
