//! A network file carried out on real processes: steps happen to them, users hand transactions to them, checks are
//! judged on what they say. Parser, plan, step engine, checks and workload are the simulator's own.
//!
//! ```text
//! start     .. all answer      nodes that start at once; seconds count from here
//! faults    .. duration        steps, late starts, users
//! healing   .. converged       every fault ends, nodes return; all must agree and grow
//! rest      .. one head        miners stop; final checks
//! ```

pub mod arrivals;
pub mod cuts;
pub mod desk;
pub mod facts;
mod finish;
pub mod invariants;
pub mod journal;
pub mod nodes;
mod play;
pub mod possible;
pub mod report;

use super::{
    directory::{Directory, Manifest},
    file, launch, lock,
    plan::PortTurn,
};
use crate::{commands::exit::Exit, interrupt::Interrupt};
use anyhow::{Context as _, bail};
use kette_sim::{
    scenario::{Action, NetworkFile, Plan},
    workload::Workload,
};
use kette_types::ChainSpec;
use nodes::Nodes;
use report::{Line, Report};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What `run` was asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Preset or file.
    pub source: String,
    /// Where all choices that the file leaves open come from, instead of the file's own.
    pub seed: Option<u64>,
    /// How long steps and users go on, instead of the file's own.
    pub duration: Option<Duration>,
    /// First P2P port.
    pub base_port: Option<u16>,
    /// How long to wait until all first nodes answer.
    pub timeout: Duration,
    /// Leaves the network running.
    pub keep: bool,
    /// Makes the network this large.
    pub nodes: Option<usize>,
    /// One process runs all nodes.
    pub in_process: bool,
}

/// A network file that processes can carry out.
#[derive(Debug)]
pub struct Script {
    /// The file.
    pub file: NetworkFile,
    /// Its nodes.
    pub plan: Plan,
    /// Its chain.
    pub spec: Arc<ChainSpec>,
    /// Where all choices that the file leaves open come from.
    pub seed: u64,
}

/// How often a starting network is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

impl Script {
    /// Reads a file and refuses what processes cannot do.
    ///
    /// # Errors
    /// Says what is wrong with the file, or lists all that processes cannot do.
    pub fn new(wish: &Wish) -> anyhow::Result<Self> {
        let mut file = file::load_scaled(&wish.source, wish.nodes)?;
        if let Some(duration) = wish.duration {
            file.network.duration = duration;
            file.check().with_context(|| wish.source.clone())?;
        }
        let plan = Plan::new(&file).map_err(anyhow::Error::msg)?;
        let spec = Arc::new(ChainSpec::from_json(&file::genesis_text(&file)?)?);
        let seed = wish.seed.unwrap_or(file.network.seed);
        possible::check(&file, &plan, &spec, seed)?;
        if wish.in_process {
            possible::check_in_process(&file)?;
        }
        let script = Self { file, plan, spec, seed };
        if script.has_users() && script.workload().accounts().next().is_none() {
            bail!("[workload]: the genesis funds no development account, so nobody can send");
        }
        Ok(script)
    }

    /// Tells whether users send anything.
    fn has_users(&self) -> bool {
        let sends = |action: &Action| matches!(action, Action::Load(_));
        self.file.workload.rate > 0.0 || self.file.step.iter().any(|step| sends(&step.action))
    }

    fn workload(&self) -> Workload {
        Workload::new(&self.spec, &self.file.workload, self.seed)
    }

    /// Returns the nodes that start at once.
    fn first(&self) -> Vec<usize> {
        let nodes = self.plan.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.start_at.is_zero()).map(|(index, _)| index).collect()
    }
}

/// Carries out a network file; `say` hears what happens, when it happens. Processes are stopped at the end, also after
/// an error, unless the network is to stay.
///
/// # Errors
/// If the file asks for what processes cannot do, or the network does not come up.
pub async fn run(
    directory: &Directory,
    wish: &Wish,
    say: &mut dyn FnMut(&Line),
) -> anyhow::Result<Report> {
    let script = Script::new(wish)?;
    for left_out in possible::left_out(&script.file) {
        eprintln!("{}: {left_out}", script.file.network.name);
    }
    let mut interrupt = Interrupt::new()?;
    std::fs::create_dir_all(directory.path())
        .with_context(|| format!("cannot make {}", directory.path().display()))?;
    // Verbs of other commands wait for the end.
    let _lock = lock::lock(directory)?;
    let turn = PortTurn::take();
    let manifest = fresh(directory, &script, wish)?;
    let mut nodes = Nodes::new(directory, (&script.file, &script.plan), manifest)?;
    let report = carry_out(&script, &mut nodes, wish, (turn, &mut interrupt), say).await;
    if wish.keep && report.is_ok() {
        nodes.keep();
    } else {
        nodes.end().await?;
    }
    report
}

async fn carry_out(
    script: &Script,
    nodes: &mut Nodes,
    wish: &Wish,
    (turn, interrupt): (PortTurn, &mut Interrupt),
    say: &mut dyn FnMut(&Line),
) -> anyhow::Result<Report> {
    let started = Instant::now();
    let listeners = arrivals::Listeners::start(nodes)?;
    bring_up(&script.first(), nodes, wish.timeout, interrupt).await?;
    drop(turn);
    let mut play = play::Play::new(script, nodes, say);
    play.begin(started.elapsed());
    play.play(interrupt).await?;
    finish::finish(play, listeners, wish.keep).await
}

/// Makes a directory for a new network in the place of an earlier run's.
fn fresh(directory: &Directory, script: &Script, wish: &Wish) -> anyhow::Result<Manifest> {
    let wish = launch::Wish {
        source: wish.source.clone(),
        made: None,
        base_port: wish.base_port,
        stagger: None,
        fresh: true,
        timeout: wish.timeout,
        run: true,
        shape: None,
        regions: Vec::new(),
        in_process: Some(wish.in_process),
    };
    launch::prepare(directory, &script.file, &wish)
}

/// Starts nodes and waits until all of them answer.
async fn bring_up(
    first: &[usize],
    nodes: &mut Nodes,
    timeout: Duration,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    for node in first {
        nodes.start(*node)?;
    }
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(ended) = nodes.reap()?.0.first() {
            let text =
                launch::ended_text(&nodes.directory, &nodes.manifest, nodes.name(ended.node));
            return Err(Exit::NotUp(text).into());
        }
        let asked = Instant::now();
        let said = nodes.look().await;
        nodes.hear(said);
        let silent: Vec<&str> = first
            .iter()
            .filter(|node| !nodes.is_reachable(**node))
            .map(|node| nodes.name(*node))
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let text = format!(
                "after {} s these nodes do not answer: {}; logs are in {}",
                timeout.as_secs(),
                silent.join(", "),
                nodes.directory.path().display()
            );
            return Err(Exit::TimedOut(text).into());
        }
        tokio::select! {
            () = interrupt.heard() => {
                return Err(Exit::Interrupted("interrupted while the network was starting".to_owned()).into());
            }
            // Who asks a hundred nodes takes them the time to start.
            () = tokio::time::sleep(ASK_EVERY.max(asked.elapsed())) => {}
        }
    }
}
