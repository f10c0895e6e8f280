//! The node: what it consists of, how it is restored, and which part takes which input.

use crate::{
    Counters, Event, Input, Inventory, Mempool, Output,
    gossip::Gossip,
    import::Importer,
    inventory, io,
    mempool::{self, HeadInfo, Origin},
    outbox::Outbox,
    peers::{self, Peers},
    produce::Templates,
    relay::Relay,
    sync::{Ours, Sync},
};
use kette_chain::{BlockTree, ChainReader, ExecutedBlock, Headers, Record, record::Restored};
use kette_consensus::{Engine, Job, JobId, JobResult};
use kette_ledger::{NodeReader, ReadError, Rules, State};
use kette_types::{
    Address, B256, ChainSpec, PeerId, Recovered, SealedHeader, Time, Transaction, U256,
    message::ChainStatus,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What belongs to this node and not to the chain.
#[derive(Clone, Debug)]
pub struct Config {
    /// Identity, addresses, limits.
    pub peers: peers::Config,
    /// Block production.
    pub local: kette_consensus::Local,
    /// Bounds of the pool.
    pub pool: mempool::Limits,
    /// Keeps all states instead of the recent ones.
    pub archive: bool,
    /// Results that nodes of one process share.
    pub memo: Option<Arc<dyn crate::Memo>>,
}

/// What a host's store offers for reading.
pub trait Reader: ChainReader + NodeReader {}
impl<T: ChainReader + NodeReader> Reader for T {}

/// A node could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stored block is missing or no longer executes: the database is damaged or of another version.
    #[error(
        "stored block {0} {1}: run `kette chain verify`, or delete the data directory and sync again"
    )]
    Block(B256, String),
    /// The chain cannot be extended.
    #[error(transparent)]
    NoEngine(#[from] kette_consensus::NoEngine),
}

/// One node.
pub struct Node {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) rules: Rules,
    pub(crate) config: Config,
    pub(crate) genesis: B256,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) tree: BlockTree,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) mempool: Mempool,
    pub(crate) inventory: Inventory,
    pub(crate) peers: Peers,
    pub(crate) sync: Sync,
    pub(crate) relay: Relay,
    /// Messages of the engine that peers have.
    pub(crate) gossip: Gossip,
    pub(crate) importer: Importer,
    pub(crate) templates: Templates,
    pub(crate) jobs: BTreeMap<JobId, Purpose>,
    pub(crate) next_job: u64,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) recent: imbl::OrdMap<B256, Arc<ExecutedBlock>>,
    pub(crate) counters: Counters,
    pub(crate) alarms: Vec<String>,
    pub(crate) engine_started: bool,
    /// Blocks spread before they are chosen: see [`kette_types::EngineSpec::proposes_before_commit`].
    pub(crate) proposes: bool,
    pub(crate) started_at: Time,
    pub(crate) now: Time,
    /// Something happened that may let sync ask for more.
    pub(crate) sync_due: bool,
    /// When peers are told of a head that was not announced as a block.
    pub(crate) status_due: Option<Time>,
    /// Transactions of clients written as pending, to be taken off when they are in a block.
    pub(crate) journaled: BTreeSet<B256>,
    pub(crate) was_syncing: bool,
    /// When sync began or last brought a block.
    pub(crate) moved_at: Time,
    /// The states in memory grew large and a checkpoint of them was ordered: let go of them next time.
    pub(crate) unload_due: bool,
}

/// Why a job of the node itself was started.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Senders of a staged block: positions that were not in the pool.
    Block(B256, Vec<usize>),
    /// Senders of transactions from a peer.
    Transactions(PeerId, Arc<Vec<Transaction>>),
}

/// The last durable state and what changed since.
pub(crate) struct Checkpoint {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    /// Highest canonical number whose changes are in `changed`.
    pub(crate) noted: u64,
    pub(crate) state: State,
    pub(crate) at: Time,
    /// Every address that may differ between its state and that of block `noted`.
    pub(crate) changed: BTreeSet<Address>,
}

/// Ids of the node's own jobs have this bit; engines count from zero.
const NODE_JOB: u64 = 1 << 63;
/// Alarms shown in the status.
pub(crate) const ALARMS_MAX: usize = 16;
/// Production starts without a peer after this time.
const ALONE_AFTER: Duration = Duration::from_secs(10);
/// A peer is told of a head it did not get as a block at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(500);

impl Node {
    /// Restores a node from what its store found.
    ///
    /// # Errors
    /// If the store fails, a stored block no longer executes, or the genesis names no engine.
    pub fn restore(
        spec: Arc<ChainSpec>,
        config: Config,
        reader: Arc<dyn Reader>,
        now: Time,
        restored: Restored,
    ) -> Result<Self, RestoreError> {
        let engine = kette_consensus::build(&spec, config.local.clone())?;
        let proposes =
            spec.kette.as_ref().is_some_and(|kette| kette.engine.proposes_before_commit());
        Self::restore_with(spec, config, reader, now, restored, (engine, proposes))
    }

    /// Restores a node with this engine, which proposes blocks before it chooses them, or does not.
    pub(crate) fn restore_with(
        spec: Arc<ChainSpec>,
        config: Config,
        reader: Arc<dyn Reader>,
        now: Time,
        restored: Restored,
        (engine, proposes): (Box<dyn Engine>, bool),
    ) -> Result<Self, RestoreError> {
        let rules = Rules::new(spec.clone());
        let (number, hash) = restored.checkpoint;
        let root = checkpoint_block(&reader, hash, restored.checkpoint_weight)?;
        let checkpoint = Checkpoint {
            number,
            hash,
            noted: number,
            state: root.state.clone(),
            at: now,
            changed: BTreeSet::new(),
        };
        let chain: Arc<dyn ChainReader> = reader.clone();
        let mut tree = BlockTree::new(root, chain);
        let genesis = reader.canonical(0)?.unwrap_or(hash);
        let mut recent = imbl::OrdMap::new();
        recent.insert(hash, tree.head_block().clone());
        extend_down(&mut tree, &reader, reorg_limit(&spec))?;
        let peers = Peers::new(config.peers.clone(), restored.addresses, restored.bans);
        let mut node = Self {
            rules,
            genesis,
            reader,
            tree,
            engine,
            mempool: Mempool::new(config.pool.clone()),
            inventory: Inventory::new(inventory::Limits::default()),
            peers,
            sync: Sync::new().proposing(proposes),
            relay: Relay::new(proposes),
            gossip: Gossip::default(),
            importer: Importer::new(),
            templates: Templates::default(),
            jobs: BTreeMap::new(),
            next_job: NODE_JOB,
            checkpoint,
            recent,
            counters: Counters::default(),
            alarms: Vec::new(),
            engine_started: false,
            proposes,
            started_at: now,
            now,
            sync_due: false,
            status_due: None,
            journaled: BTreeSet::new(),
            was_syncing: false,
            moved_at: now,
            unload_due: false,
            spec,
            config,
        };
        node.replay(restored.canonical, restored.side, restored.finalized)?;
        node.restore_pool(now, restored.pending);
        for entry in restored.engine {
            node.engine.handle(now, kette_consensus::Input::Restored(entry), &node.tree);
        }
        if let Some(bytes) = restored.justification {
            let hash = restored.finalized.1;
            let input = kette_consensus::Input::Justification { hash, bytes };
            node.engine.handle(now, input, &node.tree);
        }
        Ok(node)
    }

    fn replay(
        &mut self,
        canonical: Vec<kette_chain::record::StoredBlock>,
        side: Vec<kette_chain::record::StoredBlock>,
        finalized: (u64, B256),
    ) -> Result<(), RestoreError> {
        let mut head = None;
        let main = canonical.len();
        for (index, stored) in canonical.into_iter().chain(side).enumerate() {
            let hash = stored.block.hash();
            let parent = stored.block.header.parent_hash;
            if !self.tree.contains(parent) {
                continue;
            }
            let executed = self
                .execute(stored.block, stored.senders, stored.total_weight)
                .map_err(|error| RestoreError::Block(hash, error.to_string()))?;
            self.recent.insert(hash, executed.clone());
            self.tree.insert(executed);
            if index < main {
                head = Some(hash);
            }
        }
        if let Some(head) = head {
            self.tree.set_head(head);
        }
        if finalized.0 > self.checkpoint.number && self.tree.is_canonical(finalized.1) {
            self.note_changed(finalized.0);
            self.tree.finalize(finalized.1);
        }
        Ok(())
    }

    fn restore_pool(&mut self, now: Time, pending: Vec<kette_types::Bytes>) {
        use alloy_eips::eip2718::Decodable2718;
        let transactions: Vec<Transaction> =
            pending.iter().filter_map(|bytes| Transaction::decode_2718_exact(bytes).ok()).collect();
        let senders = kette_ledger::recover(&transactions);
        let head = self.head_info();
        let state = self.tree.head_block().state.clone();
        for (transaction, sender) in transactions.into_iter().zip(senders) {
            let Some(sender) = sender else { continue };
            self.journaled.insert(*transaction.tx_hash());
            let recovered = Recovered::new_unchecked(transaction, sender);
            if let Err(reason) = self.mempool.add(now, recovered, Origin::Local, &state, &head) {
                tracing::debug!(%reason, "a stored transaction is no longer pending");
            }
        }
    }

    /// Takes one input; returns what must happen, in the order it must happen.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        let now = self.now;
        let mut out = Outbox::default();
        self.unload_states(&mut out);
        match input {
            Input::Start => {
                self.started_at = now;
                let pool = &self.mempool;
                let (kept, done) =
                    self.journaled.iter().copied().partition(|hash| pool.contains(*hash));
                self.journaled = kept;
                let done: BTreeSet<B256> = done;
                if !done.is_empty() {
                    out.record(Record::PendingDone(done.into_iter().collect()));
                }
                self.peers.start(now, out.orders());
            }
            Input::Connected { peer, address, direction } => {
                let status = self.chain_status();
                self.peers.connected(now, peer, address, direction, status, out.orders());
            }
            Input::Disconnected { peer, reason } => {
                self.peers.disconnected(now, peer, reason, out.orders());
            }
            Input::DialFailed { address } => self.peers.dial_failed(now, address, out.orders()),
            Input::Discovered(addresses) => self.peers.discovered(now, &addresses, out.orders()),
            Input::Message(peer, message) => self.message(now, peer, message, &mut out),
            Input::Malformed(peer, lane, error) => {
                tracing::debug!(%peer, lane = lane.name(), %error, "malformed message");
                self.peers.malformed(now, peer, error, out.orders());
            }
            Input::Submit(ticket, transaction) => {
                let result = self.submit(now, transaction, &mut out);
                out.order(Output::Reply(ticket, result));
            }
            Input::SubmitBlock(ticket, block) => {
                self.stage(now, *block, crate::import::Source::Client(ticket), &mut out);
            }
            Input::Command(ticket, command) => self.command(now, ticket, command, &mut out),
            Input::Done(id, result) => self.done(now, id, result, &mut out),
            Input::Tick => {}
        }
        self.tick(now, &mut out);
        out.finish()
    }

    fn tick(&mut self, now: Time, out: &mut Outbox) {
        self.forget_gone(now);
        self.import_some(now, out);
        if self.peers.deadline().is_some_and(|due| due <= now) {
            self.peers.tick(now, out.orders());
        }
        self.start_engine(now, out);
        if self.engine.deadline().is_some_and(|due| due <= now) {
            self.engine_input(now, kette_consensus::Input::Tick, out);
        }
        if self.mempool.deadline().is_some_and(|due| due <= now) {
            let expired = self.mempool.expire(now);
            self.dropped(expired.into_iter().map(|hash| (hash, "expired")).collect(), out);
        }
        if self.inventory.deadline().is_some_and(|due| due <= now) {
            let faults = self.inventory.tick(now, out.orders());
            self.faults(now, faults, out);
        }
        self.forget_gone(now);
        self.tick_blocks(now, out);
        self.forget_gone(now);
        if self.status_due.is_some_and(|due| due <= now) {
            self.status_due = None;
            let peers: Vec<PeerId> = self.peers.ready().collect();
            let status = kette_types::Message::Status(self.chain_status());
            if !peers.is_empty() {
                out.order(Output::Send(peers, Arc::new(status)));
            }
        }
    }

    /// Lets the engine begin: at once if alone by configuration, with the first peer, or after a while.
    fn start_engine(&mut self, now: Time, out: &mut Outbox) {
        let alone = self.config.peers.configured.is_empty();
        let peer = self.peers.ready().next().is_some();
        if alone || peer || now >= self.started_at + ALONE_AFTER {
            self.begin_engine(now, out);
        }
    }

    /// Lets the engine begin, unless it has, and tells it of the sessions that are ready.
    pub(crate) fn begin_engine(&mut self, now: Time, out: &mut Outbox) {
        if self.engine_started {
            return;
        }
        self.engine_started = true;
        self.engine_input(now, kette_consensus::Input::Start, out);
        let ready: Vec<PeerId> = self.peers.ready().collect();
        for peer in ready {
            self.engine_input(now, kette_consensus::Input::PeerUp(peer), out);
        }
    }

    /// Returns when [`Input::Tick`] is due; the last `now` if work is left over.
    pub fn deadline(&self) -> Option<Time> {
        if self.importer.has_work() || self.sync_due {
            return Some(self.now);
        }
        let engine = if self.engine_started {
            self.engine.deadline()
        } else {
            Some(self.started_at + ALONE_AFTER)
        };
        io::earliest([
            engine,
            self.peers.deadline(),
            self.mempool.deadline(),
            self.inventory.deadline(),
            self.sync.deadline(),
            self.relay.deadline(),
            self.importer.deadline(),
            self.status_due,
        ])
    }

    /// Returns what must be written before a clean stop: the newest final state.
    pub fn stop(&mut self) -> Vec<Output> {
        let mut out = Outbox::default();
        self.make_checkpoint(self.now, true, &mut out);
        let peers: Vec<PeerId> = self.peers.ready().collect();
        if !peers.is_empty() {
            let bye = kette_types::Message::Goodbye(kette_types::DisconnectReason::Shutdown);
            out.order(Output::Send(peers, Arc::new(bye)));
        }
        out.finish()
    }

    /// Returns the rules that this node's chain follows.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns the block tree, for checkers and tests.
    pub const fn tree(&self) -> &BlockTree {
        &self.tree
    }

    /// Returns the pool, for checkers and tests.
    pub const fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Tells whether a peer is banned or has lost points, for hosts that forgive.
    pub fn blames(&self, peer: &PeerId) -> bool {
        self.peers.blames(self.now, peer)
    }

    pub(crate) fn chain_status(&self) -> ChainStatus {
        let head = self.tree.head();
        ChainStatus {
            head: head.hash(),
            number: head.number,
            weight: self.tree.head_weight(),
            finalized: self.tree.finalized().0,
        }
    }

    pub(crate) fn ours(&self) -> Ours {
        let head = self.tree.head();
        Ours { number: head.number, weight: self.tree.head_weight(), hash: head.hash() }
    }

    pub(crate) fn head_info(&self) -> HeadInfo {
        let head = self.tree.head();
        HeadInfo {
            chain_id: self.spec.chain_id(),
            number: head.number,
            timestamp: head.timestamp,
            base_fee: kette_ledger::next_base_fee(&self.rules, head.header()),
            gas_limit: head.gas_limit,
            blobs_refused: true,
        }
    }

    pub(crate) fn start_job(&mut self, purpose: Purpose, job: Job, out: &mut Outbox) {
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.jobs.insert(id, purpose);
        out.order(Output::Start(id, job));
    }

    fn done(&mut self, now: Time, id: JobId, result: JobResult, out: &mut Outbox) {
        if id.0 < NODE_JOB {
            self.engine_input(now, kette_consensus::Input::Done(id, result), out);
            return;
        }
        match (self.jobs.remove(&id), result) {
            (Some(Purpose::Block(hash, missing)), JobResult::Senders(senders)) => {
                self.block_senders(now, hash, &missing, senders, out);
            }
            (Some(Purpose::Transactions(peer, transactions)), JobResult::Senders(senders)) => {
                self.peer_transactions(now, peer, &transactions, senders, out);
            }
            _ => {}
        }
    }

    /// Forgets peers whose sessions ended; what they were asked for is asked elsewhere.
    pub(crate) fn forget_gone(&mut self, now: Time) {
        for peer in self.peers.take_gone() {
            self.inventory.disconnected(now, peer);
            self.sync.disconnected(peer);
            self.relay.disconnected(now, peer);
            self.gossip.disconnected(peer);
            self.sync_due = true;
        }
    }

    pub(crate) fn alarm(&mut self, text: String, out: &mut Outbox) {
        tracing::warn!(alarm = %text);
        if self.alarms.len() >= ALARMS_MAX {
            self.alarms.remove(0);
        }
        self.alarms.push(text.clone());
        out.order(Output::Event(Event::Alarm(text)));
    }

    /// Raises an alarm that may have many causes a second.
    pub(crate) fn alarm_once(&mut self, text: String, out: &mut Outbox) {
        if !self.alarms.contains(&text) {
            self.alarm(text, out);
        }
    }

    pub(crate) fn tell_status_soon(&mut self, now: Time) {
        self.status_due.get_or_insert(now + STATUS_EVERY);
    }
}

/// Headers of the tree and of sync, for checks of headers above the executed chain.
pub(crate) struct AllHeaders<'a> {
    pub(crate) tree: &'a BlockTree,
    pub(crate) sync: &'a Sync,
}

impl Headers for AllHeaders<'_> {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        if let Some(header) = self.tree.get(hash) {
            return Ok(Some(header.clone()));
        }
        if let Some(pending) = self.sync.pending(hash) {
            return Ok(Some(pending.header.clone()));
        }
        self.tree.header(hash)
    }
}

impl AllHeaders<'_> {
    pub(crate) fn total_weight(&self, hash: B256) -> Option<U256> {
        self.tree
            .total_weight(hash)
            .or_else(|| self.sync.pending(hash).map(|pending| pending.total_weight))
    }
}

/// Returns how deep a reorganization may go without an operator.
pub(crate) fn reorg_limit(spec: &ChainSpec) -> u64 {
    spec.kette.as_ref().map_or(0, |kette| kette.engine.reorg_limit())
}

/// Opens a block whose state is stored; what its execution gave beside the state is not known.
pub(crate) fn checkpoint_block(
    reader: &Arc<dyn Reader>,
    hash: B256,
    total_weight: U256,
) -> Result<Arc<ExecutedBlock>, RestoreError> {
    let missing = || RestoreError::Block(hash, "is missing".to_owned());
    let header = reader.header(hash)?.ok_or_else(missing)?;
    let body = reader.body(hash)?.ok_or_else(missing)?;
    let nodes: Arc<dyn NodeReader> = reader.clone();
    let state = State::open(nodes, header.state_root);
    Ok(Arc::new(ExecutedBlock {
        block: kette_types::Block { header, body },
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed: Vec::new(),
        weight: U256::ZERO,
        total_weight,
        issued: U256::ZERO,
        burned: U256::ZERO,
    }))
}

fn extend_down(
    tree: &mut BlockTree,
    reader: &Arc<dyn Reader>,
    depth: u64,
) -> Result<(), ReadError> {
    let mut parent = tree.head().parent_hash;
    for _ in 0..=depth {
        let Some(header) = reader.header(parent)? else { break };
        let Some(weight) = reader.total_weight(parent)? else { break };
        parent = header.parent_hash;
        tree.extend_down(header, weight);
    }
    Ok(())
}

/// Returns how far below the newest checkpoint states stay readable: as geth's 128, and beyond what a
/// reorganization may need.
pub(crate) fn states_kept(spec: &ChainSpec) -> u64 {
    (reorg_limit(spec) + 32).max(128)
}

/// Marks records that a view needs first.
pub(crate) fn final_record(number: u64, hash: B256, justification: kette_types::Bytes) -> Record {
    Record::Final { number, hash, justification }
}
