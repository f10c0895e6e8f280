//! `kette node`: one node. Settings come from flags, then `KETTE_` variables, then `config.toml`, then defaults.

use crate::{
    interrupt::Interrupt,
    presets,
    run::{self, Settings, home::Home},
    telemetry::{self, LogFormat},
};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_types::{Address, ChainSpec, PeerAddress, PeerId};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::watch;

/// Flags of `kette node`. A flag wins over its variable, that over `config.toml`, that over the default.
#[derive(Args, Debug)]
pub struct NodeArgs {
    #[command(flatten)]
    home: crate::cli::HomeArgs,
    /// Genesis file; a preset's name works too (default: genesis.json in the home directory).
    #[arg(long, env = "KETTE_GENESIS", alias = "chain")]
    genesis: Option<String>,
    /// A development chain with one node: blocks on demand, funded accounts, evm_ methods.
    #[arg(long)]
    dev: bool,
    /// Where peers connect: PORT, :PORT or IP:PORT [default: 127.0.0.1:7676].
    #[arg(long, env = "KETTE_P2P", value_name = "ADDRESS", alias = "p2p-port")]
    p2p: Option<String>,
    /// Port for peers on all of this machine's addresses: 0.0.0.0:PORT.
    #[arg(long, conflicts_with = "p2p")]
    port: Option<u16>,
    /// Where clients connect: PORT, :PORT, IP:PORT or "off" [default: 127.0.0.1:8545].
    #[arg(long = "rpc-listen", env = "KETTE_RPC", value_name = "ADDRESS", alias = "rpc-port")]
    rpc: Option<String>,
    /// Peers to keep connected, comma separated or repeated: [PEER-ID@]HOST:PORT[/quic].
    #[arg(long, env = "KETTE_PEERS", value_delimiter = ',', aliases = ["peer", "bootstrap"])]
    peers: Vec<String>,
    /// Accept and open sessions with these peer ids only.
    #[arg(long, value_delimiter = ',', value_name = "PEER-ID")]
    allow: Vec<PeerId>,
    /// Connect to configured peers only: no peer exchange, no Kademlia.
    #[arg(long, env = "KETTE_NO_DISCOVERY")]
    no_discovery: bool,
    /// No peers at all.
    #[arg(long, conflicts_with_all = ["peers", "no_discovery"])]
    single: bool,
    /// Offer and dial QUIC as well as TCP.
    #[arg(long, env = "KETTE_QUIC")]
    quic: bool,
    /// Sessions at most [default: 50].
    #[arg(long, env = "KETTE_MAX_PEERS")]
    max_peers: Option<usize>,
    /// Sessions that the node opens by itself [default: 8].
    #[arg(long, env = "KETTE_OUTBOUND")]
    outbound: Option<usize>,
    /// Name for people [default: node].
    #[arg(long, env = "KETTE_MONIKER", alias = "node-id")]
    moniker: Option<String>,
    /// Region label, e.g. EU-WEST.
    #[arg(long, env = "KETTE_REGION")]
    region: Option<String>,
    /// Produce blocks.
    #[arg(long, env = "KETTE_MINE", alias = "mining")]
    mine: bool,
    /// Who is paid for this node's blocks [default: the first development account].
    #[arg(long, env = "KETTE_BENEFICIARY", alias = "miner-address")]
    beneficiary: Option<Address>,
    /// Hashes per second at most; 0 is as fast as it goes [default: 1000].
    #[arg(long, env = "KETTE_MINE_RATE")]
    mine_rate: Option<u64>,
    /// Mining threads [default: 1].
    #[arg(long, env = "KETTE_MINE_THREADS")]
    threads: Option<u32>,
    /// Keep the state of every block.
    #[arg(long, env = "KETTE_ARCHIVE")]
    archive: bool,
    /// Database file (default: node.sqlite in the home directory).
    #[arg(long, env = "KETTE_DB", alias = "database")]
    db: Option<PathBuf>,
    /// Record everything that this node's core is told, for `kette sim replay FILE`; FILE must be new.
    #[arg(long, env = "KETTE_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    validator: super::node_validator::ValidatorArgs,
    #[command(flatten)]
    tests: super::node_tests::TestArgs,
    /// How log lines look [default: text].
    #[arg(long, env = "KETTE_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// Read settings, genesis and keys, say what would be started, and start nothing.
    #[arg(long)]
    check: bool,
    /// Log file; standard error without it.
    #[arg(long, env = "KETTE_LOG_FILE")]
    log_file: Option<PathBuf>,
}

/// `config.toml`: the same names as the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct ConfigFile {
    genesis: Option<String>,
    p2p: Option<String>,
    rpc_listen: Option<String>,
    peers: Vec<String>,
    allow: Vec<PeerId>,
    no_discovery: bool,
    quic: bool,
    max_peers: Option<usize>,
    outbound: Option<usize>,
    moniker: Option<String>,
    region: Option<String>,
    mine: bool,
    beneficiary: Option<Address>,
    mine_rate: Option<u64>,
    threads: Option<u32>,
    archive: bool,
    validator_id: Option<String>,
    validator_key: Option<PathBuf>,
    stake: Option<u64>,
    db: Option<PathBuf>,
    log_format: Option<LogFormat>,
    log_file: Option<PathBuf>,
}

const DEFAULT_P2P: u16 = 7676;
const DEFAULT_RPC: u16 = 8545;
const DEFAULT_MAX_PEERS: usize = 50;
const DEFAULT_OUTBOUND: usize = 8;
const DEFAULT_MINE_RATE: u64 = 1_000;

/// Runs a node until SIGINT or SIGTERM.
///
/// # Errors
/// If something needed is missing, damaged or taken; the text says what to do.
pub fn run(mut args: NodeArgs) -> anyhow::Result<()> {
    let (home, file) = read_home(&mut args)?;
    let format = args.log_format.or(file.log_format).unwrap_or_default();
    let log_file = args.log_file.clone().or_else(|| file.log_file.clone());
    let check = args.check;
    let settings = merge(args, file, home)?;
    if check {
        return print_settings(&settings);
    }
    telemetry::start(format, log_file.as_deref(), &settings.moniker)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stop_sender, stop) = watch::channel(false);
        let node = tokio::spawn(run::run(settings, stop));
        let mut interrupt = Interrupt::new()?;
        tokio::pin!(node);
        tokio::select! {
            ended = &mut node => return ended.context("the node's loop broke")?,
            () = interrupt.heard() => {}
        }
        tracing::info!("stopping");
        // The loop may have ended at the same moment.
        let _ = stop_sender.send(true);
        node.await.context("the node's loop broke")?
    })
}

/// Returns what a node is started with that shares a process with others, given the words behind `kette node`. What they
/// say of logs is for a process of its own.
///
/// # Errors
/// As [`run`].
pub fn settings(words: Vec<String>) -> anyhow::Result<Settings> {
    #[derive(clap::Parser)]
    #[command(name = "kette node", no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        node: NodeArgs,
    }
    let mut args = <Line as clap::Parser>::try_parse_from(words)?.node;
    let (home, file) = read_home(&mut args)?;
    merge(args, file, home)
}

/// Finds a node's directory and what its `config.toml` says.
fn read_home(args: &mut NodeArgs) -> anyhow::Result<(Home, ConfigFile)> {
    let home = args.validator.home(args.home.home.clone());
    let mut file = read_config(&home)?;
    args.validator.fill(&mut file.validator_id, &mut file.validator_key, &mut file.stake);
    Ok((home, file))
}

/// Prints what would be started, as JSON.
fn print_settings(settings: &Settings) -> anyhow::Result<()> {
    let value = serde_json::json!({
        "moniker": settings.moniker,
        "chain_id": settings.spec.chain_id(),
        "genesis": kette_ledger::genesis(&settings.spec)?.0.hash(),
        "p2p": settings.p2p,
        "rpc": settings.rpc,
        "peers": settings.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "discovery": settings.discovery,
        "mining": settings.mining,
        "votes": settings.validator.is_some(),
        "database": settings.home.database(),
    });
    super::output::print(&value, true)
}

/// Threads of the runtime: many nodes share a machine.
const RUNTIME_THREADS: usize = 2;
/// Threads for reads of clients and peers.
const BLOCKING_THREADS: usize = 8;

fn read_config(home: &Home) -> anyhow::Result<ConfigFile> {
    let path = home.config();
    if !path.exists() {
        return Ok(ConfigFile::default());
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{}", path.display()))
}

fn merge(args: NodeArgs, file: ConfigFile, home: Home) -> anyhow::Result<Settings> {
    let genesis = args.genesis.or(file.genesis).or_else(|| args.validator.chain(&home));
    let spec = load_spec(&home, genesis.as_deref(), args.dev)?;
    let validator = args.validator.load(&home, &spec)?;
    let byzantine = args.tests.role(&spec)?;
    let clock_offset_ms = args.tests.clock_offset_ms(&spec)?;
    if args.dev && !spec.kette.as_ref().is_some_and(|kette| kette.development) {
        bail!(
            "--dev needs a development chain, and this genesis is none (chain id {}): \
             leave --dev out, or take another --home",
            spec.chain_id()
        );
    }
    let home = match args.db.or(file.db) {
        Some(db) => home.with_database(db),
        None => home,
    };
    let localhost = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let named_port = args.port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    let p2p = match (named_port, args.p2p.or(file.p2p)) {
        (Some(address), _) => address,
        (None, Some(text)) => listen_address(&text).context("--p2p")?,
        // Nobody is to find a node that is alone: any free port will do.
        (None, None) if args.single || args.dev => localhost(0),
        (None, None) => localhost(DEFAULT_P2P),
    };
    let rpc = match args.rpc.or(file.rpc_listen) {
        Some(text) if text == "off" => None,
        Some(text) => Some(listen_address(&text).context("--rpc-listen")?),
        // Validators of one machine that are told their ports need one each for clients as well.
        None => Some(localhost(args.validator.rpc_port(args.port).unwrap_or(DEFAULT_RPC))),
    };
    let texts = if args.peers.is_empty() { file.peers } else { args.peers };
    let alone = args.single || args.dev;
    let peers = if alone { Vec::new() } else { resolve_peers(&texts)? };
    let allow = if args.allow.is_empty() { file.allow } else { args.allow };
    let rate = args.mine_rate.or(file.mine_rate).unwrap_or(DEFAULT_MINE_RATE);
    let owner = validator.as_ref().and_then(|validator| owner(&spec, validator));
    Ok(Settings {
        spec,
        p2p,
        quic: args.quic || file.quic,
        rpc,
        peers,
        discovery: !(alone || args.no_discovery || file.no_discovery),
        allow: (!allow.is_empty()).then(|| allow.into_iter().collect()),
        max_peers: args.max_peers.or(file.max_peers).unwrap_or(DEFAULT_MAX_PEERS),
        outbound: args.outbound.or(file.outbound).unwrap_or(DEFAULT_OUTBOUND),
        moniker: args
            .moniker
            .or(file.moniker)
            .or(args.validator.id)
            .unwrap_or_else(|| "node".to_owned()),
        region: args.region.or(file.region).unwrap_or_default(),
        mining: args.mine || file.mine,
        on_demand: args.dev,
        threads: args.threads.or(file.threads).unwrap_or(1),
        mine_rate: (rate > 0 && !args.dev).then_some(rate),
        beneficiary: args
            .beneficiary
            .or(file.beneficiary)
            .or(owner)
            .unwrap_or_else(presets::first_development_account),
        archive: args.archive || file.archive,
        record: args.record,
        validator,
        resume_after_fork: args.validator.resume_after_fork,
        byzantine,
        clock_offset_ms,
        home,
    })
}

/// Returns who owns the stake of a validator of genesis: fees of its blocks go there, unless told otherwise.
fn owner(spec: &ChainSpec, validator: &run::ValidatorSettings) -> Option<Address> {
    let key = validator.key.identity(None).key();
    let first = spec.bft()?.validators.iter().find(|first| first.key == key)?;
    Some(first.address)
}

fn load_spec(home: &Home, genesis: Option<&str>, dev: bool) -> anyhow::Result<Arc<ChainSpec>> {
    match genesis {
        None if dev && !home.genesis().exists() => home.spec(Some("dev")),
        named => home.spec(named),
    }
}

/// Reads `8080`, `:8080` or `127.0.0.1:8080`.
fn listen_address(text: &str) -> anyhow::Result<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        anyhow::anyhow!("`{text}` is no address to listen on: expected PORT, :PORT or IP:PORT")
    })
}

/// Reads peers; names are resolved to all their addresses.
fn resolve_peers(texts: &[String]) -> anyhow::Result<Vec<PeerAddress>> {
    let mut peers = Vec::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        match text.parse::<PeerAddress>() {
            Ok(address) => peers.push(address),
            Err(error) => {
                let (id, host) = text.split_once('@').map_or((None, text), |(id, h)| (Some(id), h));
                let Ok(sockets) = host.to_socket_addrs() else { bail!("{error}") };
                let peer = id.map(str::parse).transpose()?;
                peers
                    .extend(sockets.map(|socket| PeerAddress { peer, ..PeerAddress::tcp(socket) }));
            }
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling_of_a_listen_address() {
        for text in ["9090", ":9090", "127.0.0.1:9090"] {
            assert_eq!(listen_address(text).unwrap(), "127.0.0.1:9090".parse().unwrap(), "{text}");
        }
        assert!(listen_address("ninety").unwrap_err().to_string().contains("IP:PORT"));
    }

    #[test]
    fn reads_peers_with_spaces_and_names() {
        let peers =
            resolve_peers(&["127.0.0.1:9090".into(), " 127.0.0.1:9091 ".into(), String::new()])
                .unwrap();
        assert_eq!(peers.len(), 2);
        assert!(!resolve_peers(&["localhost:9090".into()]).unwrap().is_empty());
        assert!(resolve_peers(&["nonsense".into()]).is_err());
    }

    #[test]
    fn refuses_unknown_keys_in_the_config_file() {
        let error = toml::from_str::<ConfigFile>("mien = true").unwrap_err().to_string();
        assert!(error.contains("mien"), "{error}");
    }
}
