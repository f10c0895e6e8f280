//! Brings a network up and takes it down. Progress goes to standard error.

use super::{
    directory::{Directory, Manifest, ManifestNode, ProcessId},
    file, host,
    links::{self, LinkPlan},
    live_links::LiveLinks,
    lock::lock,
    logs::{self, Names},
    members,
    observe::{self, Files},
    plan::{PortTurn, plan},
    snapshot,
    start::{self, Task},
    status::{self, NetworkStatus},
};
use crate::{
    commands::{exit::Exit, output::counted},
    run::home::Home,
    validator_key::ValidatorKey,
};
use anyhow::bail;
use kette_sim::scenario::{NetworkFile, Plan, PlannedNode, Profile, plan::ROUND_ROBIN, region};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    process::Child,
    time::{Duration, Instant},
};

/// What `up` was asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Preset or file.
    pub source: String,
    /// The network itself, if it was made of flags: it is written to `source`.
    pub made: Option<NetworkFile>,
    /// First P2P port.
    pub base_port: Option<u16>,
    /// Time between starts.
    pub stagger: Option<Duration>,
    /// Start from genesis with empty logs.
    pub fresh: bool,
    /// How long to wait until the network is ready.
    pub timeout: Duration,
    /// It is for one run of `kette net run`.
    pub run: bool,
    /// Links of this profile instead of the file's.
    pub shape: Option<Profile>,
    /// Regions of the nodes in turn, instead of the file's.
    pub regions: Vec<String>,
    /// One process runs all nodes, or each has its own; as before if nobody says, and at first each its own.
    pub in_process: Option<bool>,
}

impl Wish {
    /// Changes a file as it was wished. A profile that needs regions gives them to nodes if the file has none.
    fn apply(&self, file: &mut NetworkFile) {
        if let Some(profile) = self.shape {
            file.shape.profile = profile;
        }
        let has_regions = file.group.iter().any(|group| !group.regions.is_empty());
        let needed = self.shape.is_some_and(region::is_regional) && !has_regions;
        let all = [ROUND_ROBIN.to_owned()];
        let regions = if needed && self.regions.is_empty() { &all[..] } else { &self.regions[..] };
        file::set_regions(file, regions);
    }
}

/// What `up` did.
#[derive(Clone, Debug)]
pub struct Up {
    /// The network.
    pub manifest: Manifest,
    /// Its state when it was ready.
    pub status: NetworkStatus,
    /// From the first start to ready.
    pub took: Duration,
    /// From the first start until all nodes had a final block, if they had one when the network was ready.
    pub first_final: Option<Duration>,
    /// It is cut into so many components, as it was when it went down.
    pub cut_into: Option<usize>,
}

/// How often a starting network is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long nodes of one side of a cut have to find each other.
const APART_FOR: Duration = Duration::from_secs(5);
/// A node that was told to stop gets this time before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a log shown when its node ended.
const LOG_LINES: usize = 12;

/// Starts a network and waits until all nodes run, are connected, and agree on a first block. One that was cut when it
/// went down is up when its nodes run, cut as it was. A load of a snapshot that was interrupted is finished before
/// ([`snapshot::finish`]), or the wish is for a fresh network.
///
/// # Errors
/// If it runs already, a port is taken, a node ends, or it takes too long. What was started is stopped.
pub async fn up(directory: &Directory, wish: &Wish) -> anyhow::Result<Up> {
    let _lock = lock(directory)?;
    let mut file = match &wish.made {
        Some(file) => file.clone(),
        None => file::load(&wish.source)?,
    };
    wish.apply(&mut file);
    file.check()?;
    for left_out in file::for_processes(&file)? {
        eprintln!("{}: {left_out}", file.network.name);
    }
    let mut turn = Some(PortTurn::take());
    let manifest = prepare(directory, &file, wish)?;
    let links = LiveLinks::open(directory)?;
    let mut cut_into = links.cut_into()?;
    let started = Instant::now();
    let mut running = Running::default();
    let stagger = wish.stagger.unwrap_or(file.network.stagger);
    let manifest = running.start_all(directory, manifest, stagger).await?;
    eprintln!("started {} nodes in {:.1} s", manifest.nodes.len(), started.elapsed().as_secs_f64());
    let deadline = Instant::now() + wish.timeout;
    // Where blocks are final by votes there is no reason to wait for less.
    let votes = manifest.nodes.iter().any(|node| node.plan.stake > 0);
    let mut first_final = None;
    let mut all_run = None;
    loop {
        if let Some(name) = running.ended() {
            bail!("{}", ended_text(directory, &manifest, &name));
        }
        let asked = Instant::now();
        let status = status::ask(&manifest, |name| directory.database(name)).await;
        if status.running == status.nodes {
            turn = None;
        }
        // A cut may end by itself meanwhile.
        if cut_into.is_some() {
            cut_into = links.cut_into()?;
        }
        if turn.is_none() {
            all_run = all_run.or_else(|| Some(Instant::now()));
        }
        // Who never met before the cut has nobody to hear of the others from.
        let settled = all_run.is_some_and(|since: Instant| since.elapsed() > APART_FOR);
        let is_as_cut = cut_into.is_some_and(|parts| status.components <= parts || settled);
        let is_whole = (status.nodes == 1 || status.connected == status.nodes)
            && status.components == 1
            && status.hash_equal
            && status.height > 0
            && (!votes || status.finalized > 0);
        let ready = turn.is_none() && (is_as_cut || is_whole);
        if status.finalized > 0 {
            first_final = first_final.or_else(|| Some(started.elapsed()));
        }
        if ready {
            running.keep();
            return Ok(Up { manifest, status, took: started.elapsed(), first_final, cut_into });
        }
        if Instant::now() > deadline {
            let text = format!(
                "the network is not ready after {} s: {} of {} nodes running, {} connected, \
                 in {} components, height {}; logs are in {}{}",
                wish.timeout.as_secs(),
                status.running,
                status.nodes,
                status.connected,
                status.components,
                status.height,
                directory.path().display(),
                if status.components > 1 { "; `kette net heal` ends cuts" } else { "" },
            );
            return Err(Exit::TimedOut(text).into());
        }
        // Who asks a hundred nodes takes them the time to start.
        tokio::time::sleep(ASK_EVERY.max(asked.elapsed())).await;
    }
}

/// Makes directories, keys and genesis files; resumes what is there unless told otherwise.
pub(super) fn prepare(
    directory: &Directory,
    file: &NetworkFile,
    wish: &Wish,
) -> anyhow::Result<Manifest> {
    let mut old = directory.load()?;
    // Read before anything is removed: it may lie in this directory.
    let text = file::genesis_text(file)?;
    if let Some(old) = &mut old {
        let alive = old.nodes.iter().filter(|node| node.is_alive()).count();
        if alive > 0 && alive < old.nodes.len() && !wish.fresh {
            let here = directory.network_file().display().to_string();
            let other = wish.made.is_some() || ![&here, &old.source].contains(&&wish.source);
            let moved =
                wish.base_port.is_some() || wish.shape.is_some() || !wish.regions.is_empty();
            if other || moved || wish.in_process.is_some_and(|wanted| wanted != old.in_process) {
                bail!(
                    "{alive} of {} nodes of `{}` run: {} starts the others; to change the network, `kette net down` \
                     first",
                    old.nodes.len(),
                    old.name,
                    if old.run { "`kette net start '*'`" } else { "`kette net up` alone" }
                );
            }
            eprintln!("{alive} of {} nodes run: starting the others", old.nodes.len());
            return Ok(old.clone());
        }
        if alive > 0 {
            bail!(
                "network `{}` is up in {}: `kette net down` stops it, --home DIR starts another one beside it",
                old.name,
                directory.path().display(),
            );
        }
        say_what_is_there(directory, old, file, wish)?;
        if let Some(host) = old.host.take().filter(|host| host.is_alive()) {
            // It was left without nodes, or a launcher was killed before it told it of any.
            host::end(host)?;
        }
        if wish.fresh {
            directory.purge(old)?;
        }
    }
    if wish.fresh {
        // Also where no network is any more: a load into a purged place that was interrupted.
        match snapshot::half(directory) {
            Ok(Some(half)) => directory.purge(&half)?,
            // Who lost the snapshot as well can begin anew.
            Ok(None) | Err(_) => snapshot::forget(directory)?,
        }
    }
    let resumed = old.filter(|_| !wish.fresh);
    let spec = kette_types::ChainSpec::from_json(&text)?;
    let (genesis, _) = kette_ledger::genesis(&spec)?;
    let hash = genesis.hash().to_string();
    if let Some(old) = resumed.as_ref().filter(|old| old.genesis != hash) {
        bail!(
            "{} holds network `{}` with another genesis: use --fresh to replace it, or another --home",
            directory.path().display(),
            old.name
        );
    }
    // A resumed network keeps its ports if they are free, so that wallets find it again.
    let planned = Plan::new(file).map_err(anyhow::Error::msg)?.nodes;
    let base = |node: &ManifestNode| {
        let place = planned.iter().position(|plan| plan.name == node.plan.name)?;
        node.ports.p2p.checked_sub(u16::try_from(place).ok()?)
    };
    // The first node may have left.
    let kept = resumed.as_ref().and_then(|old| old.nodes.iter().find_map(base));
    let plan = match (wish.base_port, kept) {
        (None, Some(port)) => plan(file, Some(port)).or_else(|error| {
            eprintln!("this network cannot keep its ports from {port}: {error:#}");
            plan(file, None)
        })?,
        (wanted, _) => plan(file, wanted)?,
    };
    let wanted = wish.base_port.or(kept).unwrap_or(file.network.base_port);
    if let Some((_, taken)) = plan.first().filter(|(_, ports)| ports.p2p != wanted) {
        eprintln!(
            "ports from {wanted} are in use: this network takes ports from {} for peers and {} for clients",
            taken.p2p, taken.rpc
        );
    }
    let first = plan.first().map(|(_, ports)| *ports);
    let mut nodes = Vec::new();
    for (planned, ports) in plan {
        let home = Home::new(directory.node(&planned.name));
        home.create()?;
        std::fs::write(home.genesis(), &text)?;
        if planned.stake > 0 && !home.validator_key().exists() {
            ValidatorKey::development(&planned.name).write(&home.validator_key())?;
        }
        let secret = home.load_or_make_node_key()?;
        let peer_id = kette_network::peer_id(&secret).to_string();
        let known = resumed
            .as_ref()
            .and_then(|old| old.nodes.iter().find(|node| node.plan.name == planned.name));
        // Regions may come from an earlier command.
        let region = known.filter(|_| planned.region.is_empty()).map(|node| &node.plan.region);
        let region = region.unwrap_or(&planned.region).clone();
        let plan = PlannedNode { region, ..planned };
        nodes.push(ManifestNode {
            plan,
            ports,
            peer_id,
            process: None,
            binary: None,
            joined: false,
            last_action: None,
        });
    }
    if let Some(old) = &resumed {
        members::carry_over(&mut nodes, old);
    }
    let mut manifest = Manifest {
        name: file.network.name.clone(),
        source: wish.source.clone(),
        chain_id: spec.chain_id(),
        genesis: hash,
        run: wish.run,
        quic: file.network.quic,
        planned_only: file.network.topology.is_fixed(),
        in_process: wish.in_process.unwrap_or(resumed.as_ref().is_some_and(|old| old.in_process)),
        host: None,
        groups: file.group.iter().map(|group| group.name.clone()).collect(),
        left: resumed.as_ref().map(|old| old.left.clone()).unwrap_or_default(),
        former: Vec::new(),
        nodes,
    };
    if let Some(old) = &resumed {
        manifest.remember(old);
    }
    directory.save(&manifest)?;
    if resumed.is_none() || wish.shape.is_some() {
        shape_links(directory, file, &manifest)?;
    }
    directory.save_network(file, &text, first)?;
    let folder = directory.observability();
    Files::of(&manifest, observe::exporter_address(&manifest), &folder)?.write(&folder)?;
    Ok(manifest)
}

/// Refuses to put another network in the place of one that is there and down, and says how one of the same name changes.
fn say_what_is_there(
    directory: &Directory,
    old: &Manifest,
    file: &NetworkFile,
    wish: &Wish,
) -> anyhow::Result<()> {
    // A run makes the network of an earlier run anew, and says so where it is documented; any other is not its to replace.
    if wish.run {
        if !old.run {
            bail!(
                "{} holds network `{}`, which `kette net up` made: name another directory with --home",
                directory.path().display(),
                old.name
            );
        }
        return Ok(());
    }
    let (new, nodes) = (&file.network.name, counted(old.nodes.len(), "node"));
    if old.name != *new {
        let shown = directory.path().display();
        if wish.fresh {
            eprintln!("network `{}` ({nodes}) in {shown} makes room for `{new}`", old.name);
            return Ok(());
        }
        bail!(
            "{shown} holds network `{}` ({nodes}), which is down: {}--fresh removes it with its data and starts `{new}`, \
             --home DIR starts `{new}` beside it",
            old.name,
            // What `kette net run` made is not what `up` without a name goes on with.
            if old.run { "" } else { "`kette net up` alone goes on with it, " }
        );
    }
    if wish.fresh {
        return Ok(());
    }
    let planned = Plan::new(file).map_err(anyhow::Error::msg)?.nodes;
    let is_planned = |name: &String| planned.iter().any(|node| node.name == *name);
    let was = |name: &String| {
        old.nodes.iter().any(|node| node.plan.name == *name) || old.left.contains(name)
    };
    let joining = planned.iter().filter(|node| !was(&node.name)).count();
    let leaving: Vec<&str> = old
        .nodes
        .iter()
        .filter(|node| !node.joined && !is_planned(&node.plan.name))
        .map(|node| node.plan.name.as_str())
        .collect();
    if joining > 0 {
        eprintln!("{} more than before in `{new}`", counted(joining, "node"));
    }
    if !leaving.is_empty() {
        eprintln!(
            "no longer in `{new}`, their data stays until `kette net down --purge` or `kette net up --fresh`: {}",
            leaving.join(", ")
        );
    }
    Ok(())
}

/// Writes what a file says of links into the nodes' directories.
pub(super) fn shape_links(
    directory: &Directory,
    file: &NetworkFile,
    manifest: &Manifest,
) -> anyhow::Result<()> {
    let nodes = Plan::new(file).map_err(anyhow::Error::msg)?;
    let plan = LinkPlan::new(file, &nodes).map_err(anyhow::Error::msg)?;
    let ids = manifest.peer_ids()?;
    for (index, node) in manifest.nodes.iter().enumerate() {
        let home = Home::new(directory.node(&node.plan.name));
        links::write(&home, &plan.of(index, &BTreeSet::new(), &ids))?;
    }
    Ok(())
}

/// What was started; stopped when dropped unless it is to stay.
#[derive(Default)]
struct Running {
    nodes: Vec<(String, Task)>,
    host: Option<Child>,
}

impl Running {
    async fn start_all(
        &mut self,
        directory: &Directory,
        mut manifest: Manifest,
        stagger: Duration,
    ) -> anyhow::Result<Manifest> {
        self.host = start::host(directory, &mut manifest)?;
        for index in 0..manifest.nodes.len() {
            if manifest.nodes[index].is_alive() {
                continue;
            }
            if index > 0 && !stagger.is_zero() {
                tokio::time::sleep(stagger).await;
            }
            let mining = manifest.nodes[index].plan.miner;
            let task = start::start(directory, &mut manifest, index, mining)?;
            self.nodes.push((manifest.nodes[index].plan.name.clone(), task));
            // Saved each time, so that a killed launcher leaves nothing unknown behind.
            directory.save_processes(&manifest)?;
        }
        directory.save(&manifest)?;
        Ok(manifest)
    }

    /// Returns the name of a node that ended.
    fn ended(&mut self) -> Option<String> {
        let ended = |task: &mut Task| !matches!(task.ended(), Ok(None));
        self.nodes.iter_mut().find_map(|(name, task)| ended(task).then(|| name.clone()))
    }

    fn keep(&mut self) {
        self.nodes.clear();
        self.host = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nodes of one process end with it.
        let is_own = |task: &Task| matches!(task, Task::Process(_));
        let with_host = self.host.is_some();
        for (_, task) in self.nodes.iter_mut().filter(|(_, task)| is_own(task) || !with_host) {
            // What does not end is found by `kette net down`.
            let _ = task.kill();
        }
        if let Some(host) = &mut self.host {
            // Already gone is fine.
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}

/// Says that a node ended when it was to start: why, in its own words, and where its log is.
pub(super) fn ended_text(directory: &Directory, manifest: &Manifest, name: &str) -> String {
    let tail = log_tail(directory, manifest, name);
    let path = directory.log(name).display().to_string();
    // A node that cannot go on ends with this line, which is not of its log.
    match tail.iter().rev().find_map(|line| line.strip_prefix("error: ")) {
        Some(words) => format!("{name} ended: {words}; its log is {path}"),
        None => format!("{name} ended; the end of {path}:\n  {}", tail.join("\n  ")),
    }
}

/// Returns the last lines of a node's log, in words.
pub(super) fn log_tail(directory: &Directory, manifest: &Manifest, name: &str) -> Vec<String> {
    let mut lines = logs::tail(&directory.log(name), &Names::of(manifest));
    lines.split_off(lines.len().saturating_sub(LOG_LINES))
}

/// Stops all nodes: asks, waits, and kills what does not end. Returns how many ran and how many were killed. What a load
/// of a snapshot into a purged place left there when it was interrupted can be purged as well.
///
/// # Errors
/// If a process cannot be ended.
pub fn down(directory: &Directory, purge: bool) -> anyhow::Result<(usize, usize)> {
    let known = || match directory.load()? {
        None if purge => snapshot::half(directory)?.map_or_else(|| directory.require(), Ok),
        _ => directory.require(),
    };
    known()?;
    let _lock = lock(directory)?;
    let mut manifest = known()?;
    let alive = manifest.nodes.iter().filter(|node| node.is_alive()).count();
    let killed = match manifest.host.filter(|host| host.is_alive()) {
        Some(host) => usize::from(host::end(host)?),
        None => end_processes(&manifest)?,
    };
    manifest.forget_processes();
    if purge {
        directory.purge(&manifest)?;
        directory.remove_if_empty()?;
    } else {
        directory.save(&manifest)?;
    }
    Ok((alive, killed))
}

/// Ends the nodes' processes; returns how many were killed.
fn end_processes(manifest: &Manifest) -> anyhow::Result<usize> {
    let alive = manifest.nodes.iter().filter_map(|node| node.process).filter(|it| it.is_alive());
    let alive: Vec<ProcessId> = alive.collect();
    for process in &alive {
        process.signal(Signal::SIGTERM);
    }
    let deadline = Instant::now() + STOP_WITHIN;
    let mut killed = 0;
    for process in &alive {
        if !process.wait_gone(deadline.saturating_duration_since(Instant::now())) {
            process.signal(Signal::SIGKILL);
            killed += 1;
            if !process.wait_gone(STOP_WITHIN) {
                bail!("process {} does not end", process.pid);
            }
        }
    }
    Ok(killed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::links::tests::network;

    #[test]
    fn what_is_down_is_replaced_by_its_like_only() {
        let directory = Directory::new("/nowhere".into());
        let (old, _) = network("atmn", &[]);
        let kept = Manifest { run: true, ..old.clone() };
        let mut file = file::load("atmn").unwrap();
        "other".clone_into(&mut file.network.name);
        let mut wish = Wish {
            source: "other".to_owned(),
            made: None,
            base_port: None,
            stagger: None,
            fresh: false,
            timeout: Duration::ZERO,
            run: false,
            shape: None,
            regions: Vec::new(),
            in_process: None,
        };
        let said =
            |old: &Manifest, wish: &Wish| match say_what_is_there(&directory, old, &file, wish) {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            };
        assert!(said(&old, &wish).contains("`kette net up` alone goes on with it"));
        let refused = said(&kept, &wish);
        assert!(refused.contains("--fresh") && !refused.contains("goes on"), "{refused}");
        (wish.run, wish.fresh) = (true, true);
        assert!(said(&old, &wish).contains("name another directory with --home"));
        assert_eq!(said(&kept, &wish), "");
    }
}
