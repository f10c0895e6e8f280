//! A node driven and recorded by hand, as the binary does it.

use crate::recording::{Head, Header, Overheard, Recorder};
use kette_chain::{ChainReader, ExecutedBlock, MemoryChain, Record, record::Restored};
use kette_consensus::{Command as EngineCommand, Job, JobResult, Local, pow};
use kette_ledger::{MemoryNodes, NodeKey, NodeReader, ReadError, State, StateCommit};
use kette_node::{Command, Config, Input, Node, Output, mempool, peers};
use kette_types::{
    Address, B256, Block, Body, Bytes, ChainSpec, Direction, Lane, Message, PeerAddress, PeerId,
    Recovered, SealedHeader, Time, Transaction, U256, spec::NetworkKind,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

const GENESIS: &str = include_str!("../../../../kette/presets/chains/dev.json");

/// A database that never forgets.
#[derive(Clone, Debug, Default)]
struct Store {
    chain: Arc<MemoryChain>,
    nodes: Arc<MemoryNodes>,
    checkpoint: Arc<Mutex<(u64, B256, U256)>>,
    blocks: Arc<Mutex<Vec<Arc<ExecutedBlock>>>>,
    pending: Arc<Mutex<Vec<Bytes>>>,
}

impl Store {
    fn new(genesis: &Arc<ExecutedBlock>, commit: &StateCommit) -> Self {
        let store = Self::default();
        store.nodes.apply(commit);
        *store.checkpoint.lock().unwrap() = (0, genesis.hash(), U256::ZERO);
        store.chain.apply(&[Record::Block(genesis.clone())]);
        store
    }

    fn write(&self, records: &[Record]) {
        self.chain.apply(records);
        for record in records {
            match record {
                Record::Block(block) => self.blocks.lock().unwrap().push(block.clone()),
                Record::Checkpoint { number, hash, commit } => {
                    self.nodes.apply(commit);
                    let weight = self.chain.total_weight(*hash).unwrap().unwrap();
                    *self.checkpoint.lock().unwrap() = (*number, *hash, weight);
                }
                Record::Pending(bytes) => self.pending.lock().unwrap().push(bytes.clone()),
                _ => {}
            }
        }
    }

    fn restored(&self) -> Restored {
        let (number, hash, weight) = *self.checkpoint.lock().unwrap();
        let above = |block: &&Arc<ExecutedBlock>| block.number() > number;
        let canonical = self.blocks.lock().unwrap().iter().filter(above).map(stored).collect();
        Restored {
            checkpoint: (number, hash),
            checkpoint_weight: weight,
            finalized: (number, hash),
            justification: Some(Bytes::from_static(b"proof")),
            canonical,
            pending: self.pending.lock().unwrap().clone(),
            engine: vec![],
            bans: vec![(PeerId(B256::repeat_byte(0x66)), Time::from_secs(9_999_999_999))],
            addresses: vec![(address(7).with_peer(id(7)), Time::from_secs(1_700_000_000), 2)],
            side: vec![],
        }
    }
}

fn stored(block: &Arc<ExecutedBlock>) -> kette_chain::record::StoredBlock {
    kette_chain::record::StoredBlock {
        block: block.block.clone(),
        senders: block.senders.clone(),
        total_weight: block.total_weight,
    }
}

impl ChainReader for Store {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        self.chain.header(hash)
    }
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError> {
        self.chain.body(hash)
    }
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        self.chain.canonical(number)
    }
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError> {
        self.chain.total_weight(hash)
    }
}

impl NodeReader for Store {
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        self.nodes.node(key)
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError> {
        self.nodes.code(hash)
    }
}

/// A recorded node.
pub(super) struct Live {
    node: Node,
    store: Store,
    recording: Arc<Mutex<(Recorder, Vec<u8>)>>,
    now: Time,
    nonce: u64,
    tickets: u64,
    pub(super) inputs: u64,
}

pub(super) fn id(n: u8) -> PeerId {
    PeerId(B256::repeat_byte(n))
}

pub(super) fn address(n: u8) -> PeerAddress {
    PeerAddress::tcp(([10, 0, 0, n], 30_000).into())
}

pub(super) fn config(spec: &ChainSpec, genesis: B256) -> Config {
    let mut config = peers::Config::new(
        NetworkKind::Local,
        id(1),
        address(1),
        spec.chain_id(),
        genesis,
        spec.rules_hash(),
        77,
    );
    config.moniker = "recorded".to_owned();
    config.allow = Some([id(2), id(3)].into());
    Config {
        peers: config,
        local: Local {
            beneficiary: Address::repeat_byte(0xbe),
            on_demand: true,
            threads: 2,
            mine_rate: Some(1_000),
            seed: 5,
            ..Local::default()
        },
        pool: mempool::Limits::default(),
        archive: false,
        memo: None,
    }
}

pub(super) fn header(began: Time) -> Header {
    let spec = ChainSpec::from_json(GENESIS).unwrap();
    let (genesis, _) = kette_ledger::genesis(&spec).unwrap();
    Header {
        version: "1.2.3".to_owned(),
        commit: "abcdef".to_owned(),
        began,
        genesis: serde_json::to_string(&spec.genesis).unwrap(),
        config: config(&spec, genesis.hash()),
    }
}

/// A transfer of one wei from the first development account.
pub(super) fn transfer(nonce: u64) -> Recovered<Transaction> {
    use alloy_consensus::SignableTransaction;
    use alloy_signer::SignerSync;
    let key =
        alloy_primitives::b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
    let signer = alloy_signer_local::PrivateKeySigner::from_bytes(&key).unwrap();
    let transaction = alloy_consensus::TxEip1559 {
        chain_id: 31_337,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 4_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: alloy_primitives::TxKind::Call(Address::repeat_byte(0x22)),
        value: U256::ONE,
        ..Default::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let signed = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature));
    Recovered::new_unchecked(Transaction::from(signed), signer.address())
}

impl Live {
    /// Starts on a new database.
    pub(super) fn new() -> Self {
        let spec = ChainSpec::from_json(GENESIS).unwrap();
        let (header, state) = kette_ledger::genesis(&spec).unwrap();
        let changed: Vec<Address> = spec.genesis.alloc.keys().copied().collect();
        let commit = state.commit(&State::empty(), &mut changed.iter().copied()).unwrap();
        let began = Time::from_secs(header.timestamp + 1_000);
        let body = Body { withdrawals: Some(Default::default()), ..Body::default() };
        let genesis = ExecutedBlock {
            block: Block { header, body },
            senders: vec![],
            receipts: vec![],
            state,
            changed,
            weight: U256::ZERO,
            total_weight: U256::ZERO,
            issued: U256::ZERO,
            burned: U256::ZERO,
        };
        Self::on(Store::new(&Arc::new(genesis), &commit), began, 0)
    }

    /// Another node on the same database.
    pub(super) fn restarted(self) -> Self {
        let (store, now, nonce) = (self.store.clone(), self.now, self.nonce);
        self.stop();
        Self::on(store, now + Duration::from_secs(30), nonce)
    }

    fn on(store: Store, began: Time, nonce: u64) -> Self {
        let header = header(began);
        let spec = Arc::new(ChainSpec::from_json(&header.genesis).unwrap());
        let (config, restored) = (header.config.clone(), store.restored());
        let mut bytes = Vec::new();
        let mut recorder = Recorder::new(&mut bytes);
        recorder.begin(header, restored.clone(), &mut bytes).unwrap();
        let recording = Arc::new(Mutex::new((recorder, bytes)));
        let told = recording.clone();
        let reader = Overheard::new(store.clone(), move |question, answer| {
            let (recorder, bytes) = &mut *told.lock().unwrap();
            recorder.answer(&question, &answer, bytes).unwrap();
        });
        let node = Node::restore(spec, config, Arc::new(reader), began, restored).unwrap();
        let mut live = Self { node, store, recording, now: began, nonce, tickets: 0, inputs: 0 };
        live.give(Input::Start);
        live
    }

    fn give(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.record(|recorder, now, bytes| recorder.input(now, &input, bytes).unwrap());
            self.inputs += 1;
            let outputs = self.node.handle(self.now, input);
            self.record(|recorder, _, bytes| recorder.outputs(&outputs, bytes).unwrap());
            for output in outputs {
                inputs.extend(self.perform(output));
            }
        }
    }

    fn record(&mut self, write: impl FnOnce(&mut Recorder, Time, &mut Vec<u8>)) {
        let (recorder, bytes) = &mut *self.recording.lock().unwrap();
        write(recorder, self.now, bytes);
    }

    fn perform(&self, output: Output) -> Option<Input> {
        match output {
            Output::Persist(records) => {
                self.store.write(&records);
                None
            }
            Output::Start(id, Job::Recover(transactions)) => {
                Some(Input::Done(id, JobResult::Senders(kette_ledger::recover(&transactions))))
            }
            Output::Start(id, Job::Mine(job)) => {
                let nonce = pow::search(&job, job.nonce_start, 1 << 20).unwrap();
                Some(Input::Done(id, JobResult::Nonce(nonce)))
            }
            _ => None,
        }
    }

    /// Makes blocks, with a transaction in each, and some noise of peers and clients.
    pub(super) fn busy(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.now = self.now + Duration::from_secs(2);
            self.give(Input::Tick);
            let ticket = self.ticket();
            self.give(Input::Submit(ticket, transfer(self.nonce)));
            self.nonce += 1;
            let ticket = self.ticket();
            let command = Command::Engine(EngineCommand::Mining { on: false, threads: Some(1) });
            self.give(Input::Command(ticket, command));
            self.noise();
        }
    }

    fn noise(&mut self) {
        let (peer, direction) = (id(2), Direction::Inbound);
        self.give(Input::Connected { peer, address: address(2).with_peer(peer), direction });
        let error = Message::decode(Lane::Control, &[1, 1, 1]).unwrap_err();
        self.give(Input::Malformed(peer, Lane::Control, error));
        self.give(Input::Message(peer, Message::Ping(3)));
        let reason = kette_types::DisconnectReason::ConnectionLost;
        self.give(Input::Disconnected { peer, reason });
        self.give(Input::DialFailed { address: address(9) });
        self.give(Input::Discovered(vec![address(4).with_peer(id(4))]));
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    pub(super) fn head(&self) -> Head {
        Head::of(&self.node)
    }

    /// What was recorded so far.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.recording.lock().unwrap().1.clone()
    }

    /// Stops the node cleanly; returns its recording.
    pub(super) fn stop(mut self) -> Vec<u8> {
        self.record(|recorder, _, bytes| recorder.stop(bytes).unwrap());
        let outputs = self.node.stop();
        self.record(|recorder, _, bytes| recorder.outputs(&outputs, bytes).unwrap());
        for output in outputs {
            self.perform(output);
        }
        let head = self.head();
        self.record(|recorder, _, bytes| recorder.end(head, bytes).unwrap());
        self.bytes()
    }
}
