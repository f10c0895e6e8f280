//! From a scenario and a seed to a world before its first event.

use super::{
    Clock, FrameFaults, Host, World, network::Links, queue::Queue, shape::Shapes, trace::Trace,
};
use crate::{
    Moment,
    checkers::Checker,
    disk::Disk,
    memo::Memo,
    rng::{Purpose, stream},
    scenario::{Check, Misbehaviour, NetworkFile, Plan, region},
};
use alloy_primitives::keccak256;
use kette_chain::ExecutedBlock;
use kette_consensus::{Local, bft::Identity};
use kette_ledger::{Rules, State, StateCommit};
use kette_node::{mempool, peers};
use kette_types::{
    Address, B256, Block, Body, ChainSpec, PeerAddress, PeerId, Time, U256, spec::NetworkKind,
};
use rand::RngExt;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// What a run is made from besides the scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where all choices come from.
    pub seed: u64,
    /// Shares executed blocks between nodes; `None`: if there are more than [`MEMO_ABOVE`].
    pub memo: Option<bool>,
}

/// Below this size every node executes every block itself.
pub const MEMO_ABOVE: usize = 32;

/// A world cannot be made from this scenario.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The chain's genesis is not usable.
    #[error(transparent)]
    Genesis(#[from] kette_ledger::GenesisError),
    /// The genesis names no engine.
    #[error(transparent)]
    NoEngine(#[from] kette_consensus::NoEngine),
    /// Something in the file.
    #[error("{0}")]
    File(String),
}

/// Networks above this size ping as public ones do.
pub const LARGE: usize = 100;
/// Time between genesis and the start of a run: the first block's parent is old, as in a real network.
const AGE: Duration = Duration::from_secs(3_600);
/// Durable writes take this long unless the file says otherwise.
const FSYNC: Duration = Duration::from_millis(2);

impl World {
    /// Makes a world in which nothing has happened yet. Nodes are not started.
    ///
    /// # Errors
    /// If the genesis or the file cannot be used.
    pub fn new(
        file: &NetworkFile,
        plan: &Plan,
        spec: Arc<ChainSpec>,
        options: &Options,
        checkers: Vec<Box<dyn Checker>>,
    ) -> Result<Self, SetupError> {
        let seed = options.seed;
        let (genesis, commit) = genesis_block(&spec)?;
        let memo = Arc::new(Memo::new(genesis.clone()));
        let shared = options.memo.unwrap_or(plan.nodes.len() > MEMO_ABOVE);
        let epoch = Time::from_secs(genesis.block.header.timestamp) + AGE;
        let count = plan.nodes.len();
        let mut nodes_rng = stream(seed, Purpose::Nodes, 0);
        let mut hosts = Vec::with_capacity(count);
        let mut by_id: BTreeMap<PeerId, Vec<usize>> = BTreeMap::new();
        let mut by_address = BTreeMap::new();
        let addresses: Vec<(PeerId, PeerAddress)> = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (identity(seed, node.identity.unwrap_or(index)), address(index)))
            .collect();
        for (index, node) in plan.nodes.iter().enumerate() {
            let (id, address) = addresses[index];
            let region = match node.region.as_str() {
                "" => None,
                name => Some(region::index(name).ok_or_else(|| {
                    SetupError::File(format!(
                        "node {}: region `{name}` is not in the table; there are {}",
                        node.name,
                        region::NAMES.join(", ")
                    ))
                })?),
            };
            let mut config = peers::Config::new(
                kind(&spec),
                id,
                address,
                spec.chain_id(),
                genesis.hash(),
                spec.rules_hash(),
                nodes_rng.random(),
            );
            if count > LARGE {
                // As in public networks: pings of a thousand nodes every few seconds drown everything else.
                config.ping_interval = Duration::from_secs(15);
                config.ping_timeout = Duration::from_secs(45);
            }
            config.moniker = node.name.clone();
            config.region = node.region.clone();
            config.discovery = plan.discovery;
            config.configured =
                node.dials.iter().map(|to| addresses[*to].1.with_peer(addresses[*to].0)).collect();
            let local = Local {
                beneficiary: beneficiary(index),
                mining: node.miner,
                threads: 1,
                seed: nodes_rng.random(),
                signatures: Some(memo.clone()),
                validator: plan.validator_seed(index).map(|seed| Identity {
                    // Twins know that another one signs with their key, and go on.
                    trust_missing: node.byzantine == Some(Misbehaviour::Twin),
                    ..Identity::from_seed(&seed, None)
                }),
                ..Local::default()
            };
            let config = kette_node::Config {
                peers: config,
                local,
                pool: mempool::Limits::default(),
                archive: false,
                memo: shared.then(|| memo.clone() as Arc<dyn kette_node::Memo>),
            };
            let disk_rng = stream(seed, Purpose::Disk, index as u64);
            // Disks share what they have in common.
            let disk = match hosts.first() {
                Some(Host { disk, .. }) => disk.beside(disk_rng),
                None => Disk::new(&genesis, &commit, disk_rng),
            };
            by_id.entry(id).or_default().push(index);
            by_address.insert(address.socket, index);
            hosts.push(Host {
                index,
                name: node.name.clone(),
                id,
                address,
                region,
                byzantine: node.byzantine,
                machine: None,
                disk: Arc::new(disk),
                config,
                clock: Clock::new(epoch, node.clock_offset_ms, node.clock_drift_ppm),
                mine_rate: node.mine_rate,
                paused: false,
                slow: node.slow,
                sessions: BTreeMap::new(),
                life: 0,
                failed: None,
                turns: 0,
                inbox: VecDeque::new(),
                busy_until: Moment::START,
                turn_due: false,
                writing: false,
                tick_at: None,
                jobs: BTreeMap::new(),
                ticks: (Moment::START, 0),
                crash_at_write: None,
                frames: FrameFaults::default(),
                old_frames: VecDeque::new(),
                uplink: [Moment::START; 2],
            });
        }
        let watched = |check: &Check| matches!(check, Check::Pools(_) | Check::Conflicts(_));
        let rngs = |purpose| (0..count as u64).map(move |i| stream(seed, purpose, i));
        let mut world = Self {
            rules: Rules::new(spec.clone()),
            genesis,
            memo,
            hosts,
            faulty: !file.step.is_empty() || plan.nodes.iter().any(|n| n.byzantine.is_some()),
            healed: false,
            settle: file.network.settle,
            height: 0,
            blocks: BTreeMap::new(),
            pools: file.check.iter().any(watched).then(BTreeMap::new),
            seed,
            now: Moment::START,
            queue: Queue::default(),
            links: Links::new(Shapes::new(file.shape.clone()), rngs(Purpose::Network).collect()),
            trace: Trace::new(),
            checkers,
            violations: Vec::new(),
            by_id,
            by_address,
            tickets: 0,
            answers: Vec::new(),
            epoch,
            mining_rng: rngs(Purpose::Mining).collect(),
            cpu: Some(file.shape.cpu.unwrap_or(1.0)).filter(|cpu| *cpu > 0.0),
            fsync: file.shape.fsync.unwrap_or(FSYNC),
            spec,
        };
        world.shape_links(file, plan)?;
        Ok(world)
    }

    fn shape_links(&mut self, file: &NetworkFile, plan: &Plan) -> Result<(), SetupError> {
        for link in &file.link {
            crate::faults::set_link(self, plan, link).map_err(SetupError::File)?;
        }
        Ok(())
    }
}

/// Returns block 0 as a node finds it, and what makes its state durable.
///
/// # Errors
/// If the genesis cannot be used.
pub fn genesis_block(
    spec: &ChainSpec,
) -> Result<(Arc<ExecutedBlock>, Arc<StateCommit>), SetupError> {
    let (header, state) = kette_ledger::genesis(spec)?;
    let changed = kette_ledger::genesis_accounts(spec);
    let commit = state
        .commit(&State::empty(), &mut changed.iter().copied())
        .map_err(|error| SetupError::File(format!("genesis state: {error}")))?;
    let body = Body { withdrawals: Some(Default::default()), ..Body::default() };
    let block = ExecutedBlock {
        block: Block { header, body },
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed,
        weight: U256::ZERO,
        total_weight: U256::ZERO,
        issued: U256::ZERO,
        burned: U256::ZERO,
    };
    Ok((Arc::new(block), Arc::new(commit)))
}

fn kind(spec: &ChainSpec) -> NetworkKind {
    spec.kette.as_ref().map(|kette| kette.network).unwrap_or_default()
}

/// Returns the identity of the n-th node: a hash instead of a key, because nothing is encrypted here.
fn identity(seed: u64, index: usize) -> PeerId {
    let bytes = [seed.to_be_bytes(), (index as u64).to_be_bytes()].concat();
    PeerId(B256::from(keccak256(bytes)))
}

/// Returns who is paid for blocks of the n-th node.
pub(crate) fn beneficiary(index: usize) -> Address {
    Address::from_word(keccak256((index as u64).to_be_bytes()))
}

/// Returns where the n-th node listens: each has its own address in a private range.
fn address(index: usize) -> PeerAddress {
    let [.., high, middle, low] = (index as u32 + 1).to_be_bytes();
    PeerAddress::tcp(SocketAddr::from(([10, high, middle, low], 20_000)))
}
