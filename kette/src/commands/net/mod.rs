//! `kette net`: networks of many nodes on this machine.

mod change;
mod exec;
mod flags;
mod fork;
mod generate;
mod host;
mod link;
mod load;
mod logs;
mod members;
mod monitor;
pub mod nodes;
mod observe;
mod partition;
mod process;
mod report;
mod run;
mod snapshot;
mod test;
mod topology;
mod wait_sync;

use super::{exit::Exit, output};
use crate::{
    cli::default_home,
    presets,
    testnet::{
        directory::{Directory, Manifest},
        file,
        launch::{self, Wish},
        live_links::LiveLinks,
        status::{self, NetworkStatus},
    },
};
use clap::{Args, Subcommand};
use kette_sim::scenario::{Profile, units::parse_duration};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// What to do with a network.
#[derive(Debug, Subcommand)]
pub enum Net {
    /// Start a network and wait until its nodes agree on a first block
    Up(UpArgs),
    /// Carry out a network file on real processes: its steps, its load, its checks
    Run(run::RunArgs),
    /// Make links between nodes slow, lossy or narrow, and show them
    #[command(subcommand)]
    Link(link::LinkVerb),
    /// Cut groups of nodes from each other
    Partition(partition::PartitionArgs),
    /// End all cuts and partitions
    Heal(partition::HealArgs),
    /// Put transactions on a network and report what became of them
    Load(load::LoadArgs),
    /// Write a network as files for this machine or others; start nothing
    Generate(generate::GenerateArgs),
    /// Write what runs showed as an HTML page and as Markdown
    Report(report::ReportArgs),
    /// Tests of real networks: connectivity, propagation, fork, partition, ... or all
    Test(test::TestArgs),
    /// List the nodes and their processes
    Ps(Where),
    /// Ask all nodes and show how the network is
    Status(Where),
    /// Wait until all running nodes have the same chain
    WaitSync(wait_sync::WaitSyncArgs),
    /// Watch the network on one screen, or as lines without a terminal
    Monitor(monitor::MonitorArgs),
    /// Serve the network's own metrics for Prometheus: health score, groups, conflicting finality
    Exporter(observe::ExporterArgs),
    /// Write files for Prometheus, Grafana and systemd
    Observability(observe::ObservabilityArgs),
    /// Show the sessions: tiers, who dialled whom, components
    Topology(topology::TopologyArgs),
    /// Stop all nodes; their data stays unless --purge
    Down {
        #[command(flatten)]
        place: Where,
        /// Remove data and logs as well.
        #[arg(long)]
        purge: bool,
    },
    /// Kill nodes: SIGKILL
    Kill(process::Nodes),
    /// Stop nodes cleanly
    Stop(process::Nodes),
    /// Start nodes that are down, and wait until they answer
    Start(process::Nodes),
    /// Let nodes stand still (SIGSTOP)
    Pause(process::Nodes),
    /// Let nodes that stand still go on
    Resume(process::Nodes),
    /// Stop nodes and start them again
    Restart(process::Nodes),
    /// Let a node lie in some way, or be honest again (builds with debug assertions)
    Byz(change::Byz),
    /// Let nodes go on with another program
    Upgrade(change::Upgrade),
    /// Give nodes a wrong clock (builds with debug assertions)
    #[command(subcommand)]
    Clock(change::Clock),
    /// Switch mining on or off
    Mine(change::Mine),
    /// Make a fork of a chosen depth
    #[command(subcommand)]
    Fork(fork::Fork),
    /// Run a kette command that asks a node: `kette net exec NODE -- status`
    Exec(exec::Exec),
    /// Show the logs of all nodes as one, in the order of time
    Logs(logs::Logs),
    /// Add nodes to the network
    Add(members::Add),
    /// Take nodes out of the network
    Rm(members::Rm),
    /// Save the network's data, or go back to it
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Run nodes of a network as threads of this process, as `kette net up --in-process` says
    #[command(hide = true)]
    Host(Where),
    /// List the embedded networks
    Presets,
    /// Print an embedded network's file
    Show {
        /// Its name.
        preset: String,
    },
}

/// Which network.
#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The network's directory; two directories are two networks.
    #[arg(long, env = "KETTE_NET_HOME", default_value_os_t = default_home().join("net"))]
    home: PathBuf,
}

impl Where {
    /// Returns the network's directory.
    fn directory(&self) -> anyhow::Result<Directory> {
        Ok(Directory::new(absolute(self.home.clone())?))
    }
}

/// Flags of `kette net up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    #[command(flatten)]
    place: Where,
    /// A network file, or an embedded network (see `kette net presets`); without this and other flags the network that
    /// is there goes on, and if there is none `bft4` starts. With --nodes N it is made larger or smaller.
    #[arg(value_name = "FILE|PRESET", conflicts_with = "preset", conflicts_with = "file", conflicts_with_all = flags::SHAPE)]
    network: Option<String>,
    /// The same, for an embedded network.
    #[arg(long, conflicts_with = "file", conflicts_with_all = flags::SHAPE)]
    preset: Option<String>,
    /// The same, for a network file.
    #[arg(short, long, conflicts_with_all = flags::SHAPE)]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: flags::NetworkFlags,
    /// First P2P port; the other ports follow. Without it the next free block is taken.
    #[arg(long)]
    base_port: Option<u16>,
    /// Time between starts, e.g. 1s.
    #[arg(long, value_parser = parse_duration)]
    stagger: Option<Duration>,
    /// Links between nodes: loopback, lan, aws-2025 or simblock-2019, instead of the file's profile.
    #[arg(long, value_name = "PROFILE", value_parser = parse_profile)]
    shape: Option<Profile>,
    /// Run all nodes in one process, each with its own sockets, database and log, so that a hundred fit; kept by later
    /// `up`s, `--in-process=false` goes back to a process per node.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    in_process: Option<bool>,
    /// Start from genesis with empty logs instead of going on.
    #[arg(long)]
    fresh: bool,
    /// Go on with the chain and the logs that are there, if any: what happens without --fresh as well.
    #[arg(long, conflicts_with = "fresh")]
    keep: bool,
    /// How long to wait until the network is ready.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Carries out `kette net`.
///
/// # Errors
/// If the network cannot be started, is not there, or is not well.
pub fn run(args: Net, json: bool) -> anyhow::Result<()> {
    match args {
        Net::Up(args) => up(args, json),
        Net::Run(args) => run::run(&args, json),
        Net::Link(verb) => link::run(verb, json),
        Net::Partition(args) => partition::run(&args, json),
        Net::Heal(args) => partition::heal(&args, json),
        Net::Load(args) => load::run(args, json),
        Net::Generate(args) => generate::run(args, json),
        Net::Report(args) => report::run(&args, json),
        Net::Test(args) => test::run(&args, json),
        Net::Ps(place) => ps(&place, json),
        Net::Status(place) => show_status(&place, json),
        Net::WaitSync(args) => wait_sync::run(&args, json),
        Net::Monitor(args) => monitor::run(&args, json),
        Net::Exporter(args) => observe::exporter(&args),
        Net::Observability(args) => observe::observability(&args, json),
        Net::Topology(args) => topology::run(&args, json),
        Net::Down { place, purge } => down(&place, purge, json),
        Net::Kill(args) => process::run(process::Verb::Kill, &args, json),
        Net::Stop(args) => process::run(process::Verb::Stop, &args, json),
        Net::Start(args) => process::run(process::Verb::Start, &args, json),
        Net::Pause(args) => process::run(process::Verb::Pause, &args, json),
        Net::Resume(args) => process::run(process::Verb::Resume, &args, json),
        Net::Restart(args) => process::run(process::Verb::Restart, &args, json),
        Net::Byz(args) => change::byz(&args, json),
        Net::Upgrade(args) => change::upgrade(&args, json),
        Net::Clock(args) => change::clock(&args, json),
        Net::Mine(args) => change::mine(&args, json),
        Net::Fork(args) => fork::run(&args, json),
        Net::Exec(args) => exec::run(&args, json),
        Net::Logs(args) => logs::run(&args, json),
        Net::Add(args) => members::add(&args, json),
        Net::Rm(args) => members::rm(&args, json),
        Net::Snapshot(args) => snapshot::run(&args, json),
        Net::Host(place) => host::run(&place),
        Net::Presets => output::print(&json!(presets::networks().collect::<Vec<_>>()), json),
        Net::Show { preset } => show(&preset, json),
    }
}

fn show(preset: &str, json: bool) -> anyhow::Result<()> {
    match presets::network_text(preset) {
        Some(text) if json => output::print(&json!({ "preset": preset, "toml": text }), true),
        Some(text) => output::raw(text),
        None => Err(anyhow::anyhow!("no preset `{preset}`: {}", presets::known(preset))),
    }
}

/// Returns the network that is there, or the default one.
fn going_on(directory: &Directory) -> anyhow::Result<String> {
    let old = directory.load()?.filter(|old| !old.run);
    let file = directory.network_file();
    Ok(match old {
        Some(_) if file.exists() => file.display().to_string(),
        Some(old) => old.source,
        None => presets::DEFAULT_NETWORK.to_owned(),
    })
}

fn up(args: UpArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home)?);
    let file = args.file.map(|path| path.display().to_string());
    let named = args.network.or(args.preset).or(file);
    let made = match named.as_ref().zip(args.flags.nodes()) {
        Some((source, nodes)) => Some(file::load_scaled(source, Some(nodes))?),
        None => args.flags.file(args.base_port)?,
    };
    if let Some(file) = &made {
        eprintln!("{}", flags::describe(file)?);
    }
    // A file that is none leaves no directory behind.
    if let (None, Some(source)) = (&made, &named) {
        file::load(source)?;
    }
    std::fs::create_dir_all(directory.path())?;
    // First of all: it may be what goes on.
    if let Some(name) =
        if args.fresh { None } else { crate::testnet::snapshot::finish(&directory)? }
    {
        eprintln!(
            "`kette net snapshot load {name}` was interrupted: the network is back to {name} now"
        );
    }
    let source = match (&made, named) {
        (Some(_), _) => directory.network_file().display().to_string(),
        (None, Some(source)) => source,
        (None, None) => going_on(&directory)?,
    };
    let wish = Wish {
        source,
        made,
        base_port: args.base_port,
        stagger: args.stagger,
        fresh: args.fresh,
        timeout: args.timeout,
        run: false,
        shape: args.shape,
        regions: args.flags.regions().to_vec(),
        in_process: args.in_process,
    };
    let up = super::block_on(launch::up(&directory, &wish))?;
    if json {
        let mut value = serde_json::to_value(&up.status)?;
        value["ready_ms"] = json!(u64::try_from(up.took.as_millis())?);
        if let Some(took) = up.first_final {
            value["first_final_ms"] = json!(u64::try_from(took.as_millis())?);
        }
        value["home"] = json!(directory.path());
        value["cut_into"] = json!(up.cut_into);
        return output::print(&value, true);
    }
    summary(&directory, &up)?;
    if let Some(took) = up.first_final {
        eprintln!(
            "first final block on all nodes {:.1} s after the first start",
            took.as_secs_f64()
        );
    }
    if let Some(finality) = up.status.finality_ms {
        eprintln!(
            "blocks are final {} ms after their time (p50), {} ms (p99)",
            finality.p50, finality.p99
        );
    }
    Ok(())
}

fn parse_profile(text: &str) -> Result<Profile, String> {
    serde_json::from_value(json!(text)).map_err(|_| {
        format!("`{text}` is no profile; there are loopback, lan, aws-2025, simblock-2019")
    })
}

fn absolute(path: PathBuf) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

fn summary(directory: &Directory, up: &launch::Up) -> anyhow::Result<()> {
    let (manifest, status) = (&up.manifest, &up.status);
    nodes::processes(status)?;
    let shown = directory.path().display();
    let home = if directory.path() == default_home().join("net") {
        String::new()
    } else {
        format!(" --home {shown}")
    };
    let rpc = manifest.nodes.first().map(crate::testnet::directory::ManifestNode::rpc_url);
    let rpc = rpc.unwrap_or_default();
    let from = presets::development_signer(0)?;
    let to = presets::development_signer(1)?.address();
    let state = match up.cut_into {
        None => format!("block {} agreed by all", status.height),
        Some(parts) => format!(
            "CUT into {parts} components, as it was when it went down (`kette net heal{home}` makes it one)"
        ),
    };
    let text = format!(
        "\nnetwork `{}` is up: {}, {}, {state}, {:.1} s after the first start\n\
         chain id {}, JSON-RPC {rpc} (HTTP and WebSocket), funded accounts from the mnemonic\n  {}\n\n\
         try:\n\
         \x20 kette net status{home}\n\
         \x20 kette query account {} --rpc {rpc}\n\
         \x20 kette tx send --from dev:0 --to {to} --value 1.5 --wait included --rpc {rpc}\n\
         \x20 cast send --rpc-url {rpc} --private-key 0x{} --value 1ether {to}\n\
         \x20 kette net monitor{home}\n\
         \x20 kette net logs -f{home}\n\
         \x20 kette net down{home}\n",
        manifest.name,
        output::counted(status.nodes, "node"),
        output::counted(status.sessions, "session"),
        up.took.as_secs_f64(),
        manifest.chain_id,
        presets::MNEMONIC,
        from.address(),
        alloy_primitives::hex::encode(from.to_bytes()),
    );
    use std::io::Write as _;
    write!(output::stdout(), "{text}")?;
    Ok(())
}

fn ask(directory: &Directory) -> anyhow::Result<(Manifest, NetworkStatus)> {
    let manifest = directory.require()?;
    let status = super::block_on(async {
        Ok(status::ask(&manifest, |name| directory.database(name)).await)
    })?;
    Ok((manifest, status))
}

fn ps(place: &Where, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(place.home.clone())?);
    let (_, status) = ask(&directory)?;
    if json {
        output::print(&serde_json::to_value(&status.list)?, true)
    } else {
        nodes::processes(&status)
    }
}

fn show_status(place: &Where, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(place.home.clone())?);
    let (_, status) = ask(&directory)?;
    if json {
        output::print(&serde_json::to_value(&status)?, true)?;
    } else {
        nodes::network(&status)?;
        eprintln!(
            "\n{}: {} of {} running, {} connected, {}, {}, handshakes {} ({} %), {} at height {}, \
             final {}",
            status.name,
            status.running,
            status.nodes,
            status.connected,
            output::counted(status.sessions, "session"),
            output::counted(status.components, "component"),
            status.handshakes,
            status.handshake_success,
            match status.hash_equal {
                true => "hash-equal",
                false if status.running == 0 => "nobody answers",
                false => "NOT EQUAL",
            },
            status.height,
            status.finalized,
        );
        eprintln!("{}", nodes::score_line(&status));
        if let Some(line) = nodes::host_line(&status) {
            eprintln!("{line}");
        }
        if let Some(finality) = status.finality_ms {
            eprintln!(
                "blocks are final {} ms after their time (p50), {} ms (p99)",
                finality.p50, finality.p99
            );
        }
        let down = status.list.iter().filter(|node| !node.running);
        for node in down.filter(|_| status.running > 0) {
            let name = &node.name;
            let advice = match nodes::state(node) {
                "paused" => format!("`kette net resume {name}` lets it go on"),
                "silent" => format!("it does not answer: `kette net logs {name}`"),
                _ => format!(
                    "its log is {}; `kette net up` starts it again",
                    directory.log(name).display()
                ),
            };
            eprintln!("{name} is {}: {advice}", nodes::state(node));
        }
        if let Some(parts) = LiveLinks::open(&directory)?.cut_into()? {
            eprintln!(
                "links are cut, into {}: `kette net heal` ends it",
                output::counted(parts, "component")
            );
        }
        for node in &status.list {
            for alarm in &node.alarms {
                eprintln!("alarm on {}: {alarm}", node.name);
            }
        }
    }
    if let Some(conflict) = &status.conflict {
        return Err(Exit::Unsafe(format!(
            "{} and {} disagree about final block {}: this must never happen; keep {} for analysis",
            conflict.node,
            conflict.other,
            conflict.number,
            directory.path().display()
        ))
        .into());
    }
    if status.running == 0 {
        return Err(Exit::NotUp(format!(
            "no node of `{}` answers: `kette net up` starts it",
            status.name
        ))
        .into());
    }
    Ok(())
}

fn down(place: &Where, purge: bool, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(place.home.clone())?);
    let (stopped, killed) = launch::down(&directory, purge)?;
    // They outlive their network: whoever purges it may want it back.
    let saved = if purge { crate::testnet::snapshot::list(&directory)? } else { Vec::new() };
    if json {
        let value =
            json!({ "stopped": stopped, "killed": killed, "purged": purge, "snapshots": saved });
        return output::print(&value, true);
    }
    let purged = if purge { "; data and logs are removed" } else { "" };
    let killed = if killed > 0 { format!(", {killed} of them killed") } else { String::new() };
    output::line(&format!("{} stopped{killed}{purged}", output::counted(stopped, "node")))?;
    if !saved.is_empty() {
        let names: Vec<&str> = saved.iter().map(|saved| saved.snapshot.as_str()).collect();
        eprintln!(
            "kept in {}: snapshots {}; `kette net snapshot load NAME` brings the network back, `rm NAME` removes one",
            directory.path().display(),
            names.join(", ")
        );
    }
    Ok(())
}
