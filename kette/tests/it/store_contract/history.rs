//! What a node wrote during a life full of incidents, batch by batch.

use super::maker::{Maker, USERS};
use crate::harness::Chain;
use kette_chain::{ExecutedBlock, Record};
use kette_consensus::{Job, JobResult, Local};
use kette_ledger::{NodeKey, State, StateCommit};
use kette_node::{Command, Config, Input, Node, Output, mempool, peers};
use kette_sim::{
    disk::Disk,
    rng::{Purpose, stream},
};
use kette_types::{
    Address, B256, Block, Body, Bytes, ChainSpec, PeerAddress, PeerId, Time, U256,
    spec::NetworkKind,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// Batches of records, and what to ask for after them.
pub(super) struct History {
    pub(super) chain_id: u64,
    pub(super) genesis: Arc<ExecutedBlock>,
    pub(super) commit: Arc<StateCommit>,
    pub(super) batches: Vec<Vec<Record>>,
    /// All blocks that were written.
    pub(super) blocks: BTreeMap<B256, Arc<ExecutedBlock>>,
    /// The highest number that was ever written.
    pub(super) highest: u64,
    pub(super) nodes: BTreeSet<NodeKey>,
    pub(super) codes: BTreeSet<B256>,
    /// What all accounts own together, by the block of each checkpoint.
    pub(super) supplies: BTreeMap<B256, U256>,
}

/// Incidents in one life: enough for states to be pruned, which begins at block 128.
const INCIDENTS: usize = 60;
/// Depth at which blocks become final.
const FINALITY: u64 = 6;

/// Whose life it is.
struct Life {
    spec: Arc<ChainSpec>,
    history: History,
    disk: Arc<Disk>,
    node: Node,
    now: Time,
    tickets: u64,
    maker: Maker,
    rng: ChaCha8Rng,
}

impl History {
    /// Lives a life that the seed decides.
    pub(super) fn draw(seed: u64) -> Self {
        let mut chain = Chain::fixed(1_337, 1).ahead(60);
        chain.kette()["development"] = true.into();
        chain.pow()["finalityDepth"] = FINALITY.into();
        chain.pow()["reorgLimit"] = 40.into();
        let mut life = Life::new(Arc::new(chain.spec()), seed);
        for _ in 0..INCIDENTS {
            life.incident();
        }
        life.history
    }

    fn new(spec: &ChainSpec) -> Self {
        let (header, state) = kette_ledger::genesis(spec).expect("a genesis block");
        let changed: Vec<Address> = spec.genesis.alloc.keys().copied().collect();
        let commit =
            state.commit(&State::empty(), &mut changed.iter().copied()).expect("the state is read");
        let mut history = Self {
            chain_id: spec.chain_id(),
            genesis: Arc::new(ExecutedBlock {
                // As the store counts.
                total_weight: header.difficulty,
                weight: header.difficulty,
                block: Block {
                    header,
                    body: Body { withdrawals: Some(Default::default()), ..Body::default() },
                },
                senders: Vec::new(),
                receipts: Vec::new(),
                state,
                changed,
                issued: U256::ZERO,
                burned: U256::ZERO,
            }),
            commit: Arc::new(commit),
            batches: Vec::new(),
            blocks: BTreeMap::new(),
            highest: 0,
            nodes: BTreeSet::new(),
            codes: BTreeSet::new(),
            supplies: BTreeMap::new(),
        };
        history.note(&history.commit.clone());
        let supply = history.genesis.state.supply().expect("the state is read");
        history.supplies.insert(history.genesis.hash(), supply);
        history
    }

    fn note(&mut self, commit: &StateCommit) {
        self.nodes.extend(commit.nodes.iter().map(|(key, _)| key.clone()));
        self.codes.extend(commit.codes.iter().map(|(hash, _)| *hash));
    }

    fn push(&mut self, batch: Vec<Record>) {
        for record in &batch {
            match record {
                Record::Block(block) => {
                    self.highest = self.highest.max(block.number());
                    self.blocks.insert(block.hash(), block.clone());
                }
                Record::Checkpoint { commit, .. } => self.note(commit),
                _ => {}
            }
        }
        self.batches.push(batch);
    }
}

impl Life {
    fn new(spec: Arc<ChainSpec>, seed: u64) -> Self {
        let history = History::new(&spec);
        let (genesis, commit) = (&history.genesis, &history.commit);
        let disk = Arc::new(Disk::new(genesis, commit, stream(seed, Purpose::Disk, 0)));
        let now = Time::from_secs(genesis.block.header.timestamp + 100_000);
        Self {
            node: born(&spec, &disk, now),
            maker: Maker::new(&spec, &genesis.block.header, &genesis.state),
            rng: ChaCha8Rng::seed_from_u64(seed),
            tickets: 0,
            spec,
            history,
            disk,
            now,
        }
    }

    fn incident(&mut self) {
        self.now = self.now + Duration::from_secs(self.rng.random_range(1..20));
        let head = self.node.tree().head().hash();
        match self.rng.random_range(0..16) {
            0..7 => {
                let length = self.rng.random_range(1..16);
                self.branch(head, length);
            }
            7..10 => self.fork(head, FINALITY - 1),
            10 => self.fork(head, 3 * FINALITY),
            11 => self.submit(head),
            12 => self.restart(),
            13 => {
                let depth = self.rng.random_range(1..4);
                let target = self.ancestor(head, depth);
                self.command(Command::Rollback(target));
            }
            _ => {
                let batch = (0..self.rng.random_range(0..4)).map(|_| self.listed()).collect();
                self.persist(batch);
            }
        }
    }

    fn ancestor(&self, from: B256, depth: u64) -> B256 {
        (0..depth).fold(from, |hash, _| match self.maker.header(hash) {
            header if header.number == 0 => hash,
            header => header.parent_hash,
        })
    }

    /// Feeds another branch that begins at most so deep, and may win or not.
    fn fork(&mut self, head: B256, depth: u64) {
        let depth = self.rng.random_range(1..=depth);
        let length = depth + self.rng.random_range(0..3) - 1;
        self.branch(self.ancestor(head, depth), length.max(1));
    }

    fn branch(&mut self, mut parent: B256, length: u64) {
        let miner = self.rng.random();
        for _ in 0..length {
            let mut transactions = Vec::new();
            for user in 0..USERS {
                if self.rng.random_range(0..4) == 0 {
                    let contract = self.rng.random_range(0..8) == 0;
                    transactions.push(self.maker.next(parent, user, contract));
                }
            }
            let block = self.maker.on(parent, miner, transactions);
            parent = block.hash();
            self.now = self.now.max(Time::from_secs(block.header.timestamp));
            self.now = self.now + Duration::from_secs(1);
            self.tickets += 1;
            self.input(Input::SubmitBlock(self.tickets, Box::new(block)));
        }
    }

    fn submit(&mut self, head: B256) {
        for user in 0..USERS {
            let transaction = self.maker.next(head, user, false);
            self.tickets += 1;
            self.input(Input::Submit(self.tickets, transaction));
        }
    }

    fn command(&mut self, command: Command) {
        self.tickets += 1;
        self.input(Input::Command(self.tickets, command));
    }

    /// Ends the node, cleanly or not, and starts it again.
    fn restart(&mut self) {
        if self.rng.random() {
            let outputs = self.node.stop();
            self.perform(outputs);
        }
        self.node = born(&self.spec, &self.disk, self.now);
        self.input(Input::Start);
    }

    /// Draws a record that a lone node hardly writes.
    fn listed(&mut self) -> Record {
        let n: u8 = self.rng.random_range(0..6);
        let socket = match n {
            0..3 => SocketAddr::from(([10, 0, 0, n], 20_000 + u16::from(n))),
            _ => SocketAddr::from(([0xfd, 0, 0, 0, 0, 0, 0, u16::from(n)], 9)),
        };
        let peer = PeerId(B256::repeat_byte(n));
        let bare = PeerAddress::tcp(socket);
        let address = if n.is_multiple_of(2) { bare } else { bare.with_peer(peer) };
        match self.rng.random_range(0..8) {
            0 | 1 => {
                let last_success = self.now;
                Record::Address { address, last_success, failures: n.into() }
            }
            2 => Record::AddressGone(address),
            // Far away: the store drops what has ended by the clock of the machine.
            3 | 4 => Record::Ban(peer, Time::from_secs(1 << 40)),
            5 => Record::Unban(peer),
            6 => Record::Engine(Bytes::from(vec![n; 5])),
            _ if n == 0 => Record::EngineTruncate,
            _ => Record::Engine(Bytes::new()),
        }
    }

    /// Lets the node take an input and everything that follows from it now.
    fn input(&mut self, input: Input) {
        let outputs = self.node.handle(self.now, input);
        self.perform(outputs);
        while self.node.deadline().is_some_and(|due| due <= self.now) {
            let outputs = self.node.handle(self.now, Input::Tick);
            self.perform(outputs);
        }
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Persist(batch) => self.persist(batch),
                Output::Start(id, Job::Recover(transactions)) => {
                    let senders = kette_ledger::recover(&transactions);
                    self.input(Input::Done(id, JobResult::Senders(senders)));
                }
                _ => {}
            }
        }
    }

    fn persist(&mut self, mut batch: Vec<Record>) {
        for record in &mut batch {
            // As an engine would that proves what is final, now and then.
            if let Record::Final { number, hash, justification } = record
                && *number % 3 > 0
            {
                *justification = Bytes::copy_from_slice(hash.as_slice());
            }
        }
        self.disk.write(&batch).expect("an honest disk");
        self.disk.sync();
        for record in &batch {
            if let Record::Checkpoint { hash, .. } = record {
                let supply = self.maker.state(*hash).supply().expect("the state is read");
                self.history.supplies.insert(*hash, supply);
            }
        }
        self.history.push(batch);
    }
}

/// Starts a node from what the disk has.
fn born(spec: &Arc<ChainSpec>, disk: &Arc<Disk>, now: Time) -> Node {
    let restored = disk.restored().expect("an honest disk");
    let genesis = kette_chain::ChainReader::canonical(&**disk, 0)
        .expect("the state is read")
        .expect("block 0");
    let peers = peers::Config::new(
        NetworkKind::Local,
        PeerId(B256::with_last_byte(1)),
        PeerAddress::tcp(SocketAddr::from(([127, 0, 0, 1], 1))),
        spec.chain_id(),
        genesis,
        spec.rules_hash(),
        1,
    );
    let local =
        Local { beneficiary: Address::repeat_byte(1), threads: 1, seed: 1, ..Local::default() };
    let pool = mempool::Limits::default();
    let config = Config { peers, local, pool, archive: false, memo: None };
    Node::restore(spec.clone(), config, disk.clone(), now, restored).expect("it restarts")
}
