//! Puts a node together: store, core, network, workers, RPC; and takes it apart again.

use super::{
    byzantine,
    clock::Clock,
    cut::Cut,
    driver::{CrashPoint, Driver},
    home::Home,
    journal::Journal,
    links,
    network::NetworkLink,
    record::Recording,
    sign_state::Signer,
    workers::Workers,
};
use crate::validator_key::ValidatorKey;
use anyhow::{Context as _, bail};
use kette_node::{Node, peers};
use kette_rpc::{NetworkControl as _, handle::NodeHandle};
use kette_sim::{Machine, scenario::Misbehaviour};
use kette_store::{Store, StoreOptions};
use kette_types::{Address, B256, ChainSpec, PeerAddress, PeerId, Transport, spec::NetworkKind};
use std::{
    collections::BTreeSet,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::sync::{broadcast, mpsc, watch};

/// What a node is started with, all sources merged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keys, genesis, database.
    pub home: Home,
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Where peers connect; port 0 lets the system choose.
    pub p2p: SocketAddr,
    /// Offers and dials QUIC as well.
    pub quic: bool,
    /// Where clients connect; `None` serves none.
    pub rpc: Option<SocketAddr>,
    /// Configured peers, dialled first and for ever.
    pub peers: Vec<PeerAddress>,
    /// Peer exchange and Kademlia.
    pub discovery: bool,
    /// Only these peers, if given.
    pub allow: Option<BTreeSet<PeerId>>,
    /// Sessions at most.
    pub max_peers: usize,
    /// Sessions we open by ourselves.
    pub outbound: usize,
    /// Name for people.
    pub moniker: String,
    /// Region label.
    pub region: String,
    /// Produces blocks.
    pub mining: bool,
    /// Produces a block when transactions wait.
    pub on_demand: bool,
    /// Worker threads for production.
    pub threads: u32,
    /// Hashes per second at most.
    pub mine_rate: Option<u64>,
    /// Who is paid.
    pub beneficiary: Address,
    /// Keeps all states.
    pub archive: bool,
    /// Where everything that the core is told is recorded.
    pub record: Option<PathBuf>,
    /// Votes with this key.
    pub validator: Option<ValidatorSettings>,
    /// Goes on after a fork with the chain of this block.
    pub resume_after_fork: Option<B256>,
    /// Lies in this way, for tests.
    pub byzantine: Option<Misbehaviour>,
    /// How far its clock is ahead, milliseconds, for tests.
    pub clock_offset_ms: i64,
}

/// What a validator is started with.
#[derive(Clone, Debug)]
pub struct ValidatorSettings {
    /// Its key.
    pub key: ValidatorKey,
    /// Where its key file lies, or would; its lock is beside it.
    pub path: PathBuf,
    /// The weight that it must have; another one ends the start.
    pub stake: Option<u64>,
    /// Signs although the record of what it signed last is missing.
    pub trust_missing: bool,
}

/// What the port for peers shows of RPC's pages; empty until RPC runs.
type Pages = Arc<OnceLock<Box<dyn Fn(&str) -> Option<String> + Send + Sync>>>;

/// Questions of clients that wait for the loop.
const QUESTIONS_MAX: usize = 4_096;
/// Facts that a slow subscriber may lag behind.
const EVENTS_MAX: usize = 4_096;

/// Runs a node until `stop` says so.
///
/// # Errors
/// If something needed is missing, damaged or taken; the text says what to do.
pub async fn run(settings: Settings, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    raise_file_limit();
    settings.home.create()?;
    settings.home.keep_genesis(&settings.spec)?;
    let secret = settings.home.load_or_make_node_key()?;
    let me = kette_network::peer_id(&secret);
    if settings.validator.is_some() && settings.record.is_some() {
        bail!(
            "--record: a recording holds no keys, so what a validator does cannot be replayed from one; \
             record a node that does not vote"
        );
    }
    if settings.resume_after_fork.is_some() && settings.record.is_some() {
        bail!(
            "--record: a recording holds no operator's choice; start with --resume-after-fork once, then record"
        );
    }
    if settings.byzantine.is_some() && settings.record.is_some() {
        bail!(
            "--record: what a liar's core is told does not say what it does; record an honest node"
        );
    }
    let validator = settings.validator.as_ref();
    let signer = validator
        .map(|validator| Signer::open(&settings.home, validator, &settings.spec))
        .transpose()?;
    let (genesis, state) = kette_ledger::genesis(&settings.spec)?;
    let accounts = kette_ledger::genesis_accounts(&settings.spec);
    let genesis_commit = state.commit(&kette_ledger::State::empty(), &mut accounts.into_iter())?;
    let options = StoreOptions { archive: settings.archive, ..StoreOptions::default() };
    let (store, reader, restored) = Store::open(
        &settings.home.database(),
        &options,
        (&genesis, &genesis_commit, settings.spec.chain_id()),
    )?;
    if let Some(validator) = &settings.validator {
        announce_validator(&settings.moniker, validator);
    }
    let mut clock = Clock::new(settings.clock_offset_ms);
    let kind = settings.spec.kette.as_ref().map_or(NetworkKind::Local, |kette| kette.network);

    let pages: Pages = Arc::default();
    let links = links::load(&settings.home, &settings.spec)?;
    let cut = Cut::load(&settings.home, &settings.spec)?;
    let mut config = network_config(&settings, secret, &genesis, kind, &pages);
    config.links = links::shapes(&links);
    let (network, events) = kette_network::start(config).await.context("starting the network")?;
    let control = super::network::Control::new(network.clone(), links);
    if !cut.peers.is_empty() {
        tracing::info!(peers = cut.peers.len(), until_ms = cut.until_ms, "cut off, as before");
        control.set_cut(cut.peers.iter().copied().collect(), cut.remaining());
    }
    let listen = listen_address(&settings, &network, me);
    let address = SocketAddr::new(settings.p2p.ip(), listen.socket.port());
    tracing::info!(%address, "Listening on {address}");
    let config = kette_node::Config {
        peers: peer_config(&settings, me, listen, &genesis, kind),
        local: kette_consensus::Local {
            beneficiary: settings.beneficiary,
            mining: settings.mining,
            on_demand: settings.on_demand,
            threads: settings.threads,
            mine_rate: settings.mine_rate,
            seed: rand::random(),
            resume_after_fork: settings.resume_after_fork,
            validator: validator
                .zip(signer.as_ref())
                .map(|(settings, signer)| signer.identity(settings)),
            signatures: Some(Arc::new(super::signatures::Signatures::default())),
        },
        pool: kette_node::mempool::Limits::default(),
        archive: settings.archive,
        memo: None,
    };
    let started = std::time::Instant::now();
    let now = clock.now();
    let spec = &settings.spec;
    let recording = settings.record.as_deref();
    let recording =
        recording.map(|path| Recording::begin(path, now, spec, &config, &restored)).transpose()?;
    let store_reader: Arc<dyn kette_node::Reader> = match &recording {
        None => Arc::new(reader.clone()),
        Some(recording) => Arc::new(recording.reader(reader.clone())),
    };
    let node = Node::restore(spec.clone(), config.clone(), store_reader, now, restored)?;
    if let Some(validator) = &settings.validator {
        check_stake(validator, &node)?;
    }
    let head = node.tree().head();
    tracing::info!(
        height = head.number,
        hash = %head.hash(),
        ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "chain restored"
    );

    let (view, view_reader) = watch::channel(Arc::new(node.view(clock.now())));
    let (events_sender, _) = broadcast::channel(EVENTS_MAX);
    let (questions_sender, questions) = mpsc::channel(QUESTIONS_MAX);
    let (done_sender, done) = mpsc::unbounded_channel();
    let handle = NodeHandle {
        view: view_reader,
        questions: questions_sender,
        events: events_sender.clone(),
    };
    let rpc = match settings.rpc {
        None => None,
        Some(listen) => {
            let sources = kette_rpc::Sources {
                node: handle,
                reader: reader.clone(),
                rules: node.rules().clone(),
                spec: settings.spec.clone(),
                network: Arc::new(control),
                errors: crate::telemetry::errors(),
            };
            let (address, server) =
                kette_rpc::serve(rpc_config(&settings, listen)?, sources).await?;
            tracing::info!(%address, "serving JSON-RPC over HTTP and WebSocket");
            // Set once, here.
            let _ = pages.set(Box::new(server.pages()));
            Some(server)
        }
    };
    announce_start(&settings, me, &network);

    let node: Box<dyn Machine> = match settings.byzantine {
        None => Box::new(node),
        Some(role) => byzantine::machine(role, &settings, &config, node, clock.now())?,
    };
    let driver = Driver {
        node,
        raw: Vec::new(),
        clock,
        store,
        reader,
        network: NetworkLink::new(network, events),
        workers: Workers::new(done_sender),
        done,
        questions,
        view,
        events: events_sender,
        stop,
        asked: HashMap::new(),
        next_ticket: 0,
        crash: CrashPoint::from_env(),
        recording,
        journal: Journal::new(&settings.spec),
        signer,
    };
    let result = Box::pin(driver.run()).await;
    if let Some(server) = rpc {
        server.stop();
    }
    result
}

fn announce_validator(moniker: &str, validator: &ValidatorSettings) {
    let identity = validator.key.identity(None);
    let id = validator.key.name.as_deref().unwrap_or(moniker);
    tracing::info!(validator = id, key = %identity.key(), "Starting validator node: {id}");
    if validator.key.insecure {
        tracing::warn!("the validator's key is a development key that everybody can compute");
    }
}

/// Compares what `--stake` says with the registry (requirement X41: the flag asserts, it does not give).
fn check_stake(validator: &ValidatorSettings, node: &Node) -> anyhow::Result<()> {
    let height = node.tree().head().number + 1;
    let state = &node.tree().head_block().state;
    let Some(set) = kette_ledger::staking::validators(state, height)? else { return Ok(()) };
    let weight = set.weight(&validator.key.identity(None).key());
    match validator.stake {
        Some(stake) if weight > 0 && weight != stake => bail!(
            "--stake {stake}: by the registry this validator has {weight} votes at height {height}; \
             stake is changed with `kette validator bond` and `unbond`, the flag only checks it"
        ),
        Some(stake) if weight == 0 && height == 1 => bail!(
            "--stake {stake}: this key is no validator of genesis; `kette validator register` makes it one"
        ),
        _ if weight == 0 => {
            tracing::warn!(
                height,
                "this key has no vote now: not registered, jailed, or not yet in force"
            );
        }
        _ => {}
    }
    Ok(())
}

/// Lets the process open as many files as the system allows: sessions and clients are files.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn network_config(
    settings: &Settings,
    secret: [u8; 32],
    genesis: &kette_types::SealedHeader,
    kind: NetworkKind,
    pages: &Pages,
) -> kette_network::Config {
    let pages = pages.clone();
    kette_network::Config {
        // The port for peers answers `curl` as the second seed has it (requirement X11), once RPC is there.
        pages: Some(kette_network::Pages(Arc::new(move |path| pages.get()?(path)))),
        control_first: true,
        quic: settings.quic,
        kademlia: settings.discovery,
        public: kind == NetworkKind::Public,
        sessions_max: settings.max_peers,
        ..kette_network::Config::new(secret, vec![settings.p2p], genesis.hash())
    }
}

fn rpc_config(settings: &Settings, listen: SocketAddr) -> anyhow::Result<kette_rpc::Config> {
    Ok(kette_rpc::Config {
        control_token: Some(settings.home.load_or_make_control_token()?),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("KETTE_COMMIT").to_owned(),
        peers_expected: !settings.peers.is_empty(),
        ..kette_rpc::Config::new(listen)
    })
}

fn listen_address(
    settings: &Settings,
    network: &kette_network::Network,
    me: PeerId,
) -> PeerAddress {
    let port = network
        .listen_addresses()
        .into_iter()
        .find(|address| address.transport == Transport::Tcp)
        .map_or(settings.p2p.port(), |address| address.socket.port());
    PeerAddress::tcp(SocketAddr::new(settings.p2p.ip(), port)).with_peer(me)
}

fn peer_config(
    settings: &Settings,
    me: PeerId,
    listen: PeerAddress,
    genesis: &kette_types::SealedHeader,
    kind: NetworkKind,
) -> peers::Config {
    peers::Config {
        moniker: settings.moniker.clone(),
        region: settings.region.clone(),
        configured: settings.peers.clone(),
        discovery: settings.discovery,
        outbound_target: settings.outbound,
        sessions_max: settings.max_peers,
        allow: settings.allow.clone(),
        ..peers::Config::new(
            kind,
            me,
            listen,
            settings.spec.chain_id(),
            genesis.hash(),
            settings.spec.rules_hash(),
            rand::random(),
        )
    }
}

fn announce_start(settings: &Settings, me: PeerId, network: &kette_network::Network) {
    let engine = settings.spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
    tracing::info!(
        peer_id = %me,
        moniker = %settings.moniker,
        engine,
        chain_id = settings.spec.chain_id(),
        mining = settings.mining,
        addresses = ?network.listen_addresses(),
        "node started"
    );
    let exposed = |ip: IpAddr| !ip.is_loopback();
    if settings.rpc.is_some_and(|rpc| exposed(rpc.ip())) {
        tracing::warn!("the RPC port is open to other machines and has no password");
    }
}
