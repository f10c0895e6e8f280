//! A node for tests: real ledger, pool and store; blocks are made on command and have no proof of work.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::{TxKind, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_chain::{ExecutedBlock, Record};
use kette_consensus::{Command as Order, Status as Engine, pow::PowStatus};
use kette_ledger::{Attributes, Rules, State, build, genesis, next_base_fee};
use kette_node::{
    Command, CommandError, Counters, Event, Mempool, Reply, Status, View,
    mempool::{HeadInfo, Limits, Origin},
};
use kette_rpc::{
    Ask, Config, KindTraffic, NetworkControl, NodeHandle, Question, ServerHandle, Sources, Traffic,
    serve,
};
use kette_store::{Store, StoreOptions};
use kette_types::{
    Address, B256, Block, Bytes, ChainSpec, PeerId, Recovered, SealedHeader, Time, Transaction,
    U256, limits::BODY_BYTES_MAX,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{broadcast, mpsc, watch};

pub(crate) const CHAIN_ID: u64 = 1_337;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
/// Reverts with `Error("nope")`.
pub(crate) const REVERTER: Address = Address::repeat_byte(0x11);
/// Logs one word under one topic and counts its calls in slot 0.
pub(crate) const LOGGER: Address = Address::repeat_byte(0x22);
pub(crate) const TOPIC: B256 = B256::repeat_byte(0x77);
/// Blocks held whole; older ones are read from the store, and their states are gone.
const HELD: u64 = 4;
/// Blocks until a block is final.
const FINAL_DEPTH: u64 = 3;

pub(crate) fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(n + 1)).unwrap()
}

pub(crate) fn who(n: u8) -> Address {
    key(n).address()
}

/// A signed transaction of account `n`, as a client sends it.
pub(crate) fn signed(n: u8, nonce: u64, to: Address, value: u128) -> (B256, Bytes) {
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    let signature = key(n).sign_hash_sync(&transaction.signature_hash()).unwrap();
    let transaction = Transaction::from(transaction.into_signed(signature));
    (*transaction.tx_hash(), transaction.encoded_2718().into())
}

fn reverter() -> Vec<u8> {
    let mut code = hex::decode("6064600c60003960646000fd").unwrap();
    code.extend(hex::decode("08c379a0").unwrap());
    code.extend(B256::with_last_byte(0x20));
    code.extend(B256::with_last_byte(4));
    code.extend(b"nope");
    code.resize(12 + 100, 0);
    code
}

fn logger() -> Vec<u8> {
    let mut code = hex::decode("602a6000527f").unwrap();
    code.extend(TOPIC);
    code.extend(hex::decode("60206000a160005460010160005500").unwrap());
    code
}

pub(crate) fn spec(kette: &Value) -> ChainSpec {
    let mut file = json!({
        "config": { "chainId": CHAIN_ID, "kette": {
            "development": true,
            "engine": { "pow": {
                "blockTime": 12, "halfLife": 3600, "pauseLimit": 600,
                "anchorDifficulty": "0x1", "futureLimit": 60,
            } },
            "reward": { "policy": "constant", "amount": U256::from(2 * ETHER) },
        } },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x1",
        "alloc": {},
    });
    for (name, value) in kette.as_object().unwrap() {
        file["config"]["kette"][name] = value.clone();
    }
    for n in 0..4 {
        file["alloc"][who(n).to_string()] = json!({ "balance": U256::from(1_000 * ETHER) });
    }
    for (address, code) in [(REVERTER, reverter()), (LOGGER, logger())] {
        file["alloc"][address.to_string()] = json!({ "balance": "0x0", "code": Bytes::from(code) });
    }
    ChainSpec::from_json(&file.to_string()).unwrap()
}

/// A link layer that remembers what it was told.
#[derive(Default)]
pub(crate) struct Links {
    cut: Mutex<Vec<PeerId>>,
    links: Mutex<kette_rpc::Links>,
}

impl NetworkControl for Links {
    fn stats_json(&self) -> Value {
        json!({ "transport": "test" })
    }
    fn traffic(&self) -> Traffic {
        let ping = KindTraffic { messages_in: 2, messages_out: 3, bytes_in: 20, bytes_out: 30 };
        let block = KindTraffic { messages_in: 1, messages_out: 0, bytes_in: 500, bytes_out: 0 };
        let kinds = [("ping", ping), ("block", block)].map(|(name, kind)| (name.to_owned(), kind));
        Traffic { kinds: BTreeMap::from(kinds), rtt_ms: Some(1.5) }
    }
    fn set_cut(&self, peers: Vec<PeerId>, _: Option<Duration>) {
        *self.cut.lock().unwrap() = peers;
    }
    fn cut(&self) -> Vec<PeerId> {
        self.cut.lock().unwrap().clone()
    }
    fn set_links(&self, links: kette_rpc::Links) {
        *self.links.lock().unwrap() = links;
    }
    fn links(&self) -> kette_rpc::Links {
        self.links.lock().unwrap().clone()
    }
}

/// The chain as the node sees it.
struct Machine {
    rules: Rules,
    store: Store,
    chain: Vec<Arc<ExecutedBlock>>,
    pool: Mempool,
    status: Status,
    view: watch::Sender<Arc<View>>,
    events: broadcast::Sender<Arc<Event>>,
}

impl Machine {
    fn head(&self) -> &Arc<ExecutedBlock> {
        self.chain.last().unwrap()
    }

    fn info(&self) -> HeadInfo {
        let header = &self.head().block.header;
        HeadInfo {
            chain_id: CHAIN_ID,
            number: header.number,
            timestamp: header.timestamp,
            base_fee: next_base_fee(&self.rules, header),
            gas_limit: header.gas_limit,
            blobs_refused: true,
        }
    }

    fn built(
        &mut self,
        transactions: Vec<Recovered<Transaction>>,
        extra: &[u8],
    ) -> Arc<ExecutedBlock> {
        let parent = self.head().clone();
        let header = &parent.block.header;
        let attributes = Attributes {
            timestamp: header.timestamp + 12,
            beneficiary: Address::repeat_byte(0xee),
            difficulty: U256::from(7),
            mix_hash: keccak256(header.number.to_be_bytes()),
            extra_data: extra.to_vec().into(),
            ..Attributes::default()
        };
        let hashes: BTreeMap<u64, B256> =
            self.chain.iter().map(|b| (b.number(), b.hash())).collect();
        let built = build(
            &self.rules,
            header,
            &parent.state,
            &attributes,
            &mut transactions.into_iter(),
            &hashes,
            BODY_BYTES_MAX,
        )
        .unwrap();
        assert!(built.skipped.is_empty(), "{:?}", built.skipped);
        let block = Arc::new(ExecutedBlock {
            block: Block {
                header: SealedHeader::new(built.header, Bytes::new()),
                body: built.body,
            },
            senders: built.senders,
            receipts: built.executed.receipts,
            state: built.executed.state,
            changed: built.executed.changed,
            weight: U256::from(7),
            total_weight: parent.total_weight + U256::from(7),
            issued: built.executed.issued,
            burned: built.executed.burned,
        });
        self.chain.push(block.clone());
        block
    }

    /// Replaces the newest `drop` blocks by what `make` builds; everything in the order of the real node.
    fn switch(&mut self, drop: usize, make: impl FnOnce(&mut Self) -> Vec<Arc<ExecutedBlock>>) {
        let mut removed = self.chain.split_off(self.chain.len() - drop);
        let keep = self.head().number();
        let added = make(self);
        let mut records: Vec<Record> = added.iter().cloned().map(Record::Block).collect();
        let hashes: Vec<B256> = added.iter().map(|block| block.hash()).collect();
        records.push(Record::Canonical { keep, added: hashes });
        self.store.write(&records).unwrap();
        let included: Vec<B256> = added
            .iter()
            .flat_map(|b| b.block.body.transactions.iter().map(|t| *t.tx_hash()))
            .collect();
        let touched: Vec<Address> =
            added.iter().chain(&removed).flat_map(|b| b.changed.iter().copied()).collect();
        let (head, info) = (self.head().clone(), self.info());
        self.pool.on_head(Time::ZERO, &head.state, &info, &touched, &included, Vec::new());
        self.publish();
        removed.reverse();
        let depth = u64::try_from(removed.len()).unwrap();
        self.emit(Event::Head { removed, added, depth });
    }

    fn mine(&mut self) {
        let base_fee = self.info().base_fee;
        let waiting: Vec<_> = self.pool.snapshot().best(base_fee).collect();
        self.switch(0, |machine| vec![machine.built(waiting, b"")]);
    }

    fn publish(&mut self) {
        let head = self.head().clone();
        let header = head.block.header.clone();
        let finalized = header.number.saturating_sub(FINAL_DEPTH);
        let finalized_hash = self.chain[usize::try_from(finalized).unwrap()].hash();
        let held = self.chain.iter().rev().take(HELD as usize);
        let pool = self.pool.snapshot();
        self.status = Status {
            height: header.number,
            hash: header.hash(),
            state_root: header.state_root,
            timestamp: header.timestamp,
            weight: head.total_weight,
            finalized,
            finalized_hash,
            pending: pool.pending_count(),
            queued: pool.queued_count(),
            pool_bytes: pool.bytes(),
            ..self.status.clone()
        };
        let view = View {
            finalized: (finalized, finalized_hash),
            recent: held.map(|block| (block.hash(), block.clone())).collect(),
            pool,
            status: Arc::new(self.status.clone()),
            head,
        };
        self.view.send_replace(Arc::new(view));
    }

    fn emit(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.events.send(Arc::new(event));
    }

    fn answer(&mut self, ask: Ask) -> Result<Reply, CommandError> {
        match ask {
            Ask::Transaction(transaction) => {
                let (state, info) = (self.head().state.clone(), self.info());
                let added = self.pool.add(
                    Time::ZERO,
                    Recovered::clone(&transaction),
                    Origin::Local,
                    &state,
                    &info,
                )?;
                self.publish();
                self.emit(Event::Pending(Arc::new(*transaction)));
                Ok(Reply::Transaction(added.hash))
            }
            Ask::Block(block) => {
                Err(CommandError::Block(format!("unknown parent {}", block.header.parent_hash)))
            }
            Ask::Command(Command::Engine(Order::MineBlocks(blocks))) => {
                for _ in 0..blocks {
                    self.mine();
                }
                Ok(Reply::Done)
            }
            Ask::Command(Command::Engine(Order::SubmitWork { .. })) => {
                Err(kette_consensus::CommandError::StaleWork.into())
            }
            Ask::Command(Command::Engine(_)) => Ok(Reply::Done),
            Ask::Command(Command::Rollback(hash)) => {
                let place = self.chain.iter().position(|block| block.hash() == hash);
                let place = place.ok_or(kette_consensus::CommandError::UnknownBlock(hash))?;
                self.switch(self.chain.len() - 1 - place, |_| Vec::new());
                Ok(Reply::Done)
            }
            Ask::Command(Command::DropTransaction(hash)) => {
                self.pool.drop(hash);
                self.publish();
                Ok(Reply::Done)
            }
            Ask::Command(Command::RemovePeer(peer) | Command::Unban(peer)) => {
                Err(CommandError::UnknownPeer(peer))
            }
            Ask::Command(Command::AddPeer(_) | Command::Ban(..)) => Ok(Reply::Done),
        }
    }
}

/// A served node.
pub(crate) struct Fixture {
    pub(crate) at: SocketAddr,
    pub(crate) handle: NodeHandle,
    pub(crate) server: ServerHandle,
    pub(crate) sources: Sources,
    machine: Arc<Mutex<Machine>>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(&json!({}), |_, _| {}).await
    }

    /// `kette` is merged into the genesis file's `config.kette`.
    pub(crate) async fn with(kette: &Value, change: impl FnOnce(&mut Config, &mut Status)) -> Self {
        let spec = Arc::new(spec(kette));
        let rules = Rules::new(spec.clone());
        let (header, state) = genesis(&spec).unwrap();
        let commit =
            state.commit(&State::empty(), &mut spec.genesis.alloc.keys().copied()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sqlite");
        let (store, reader, _) =
            Store::open(&path, &StoreOptions::default(), (&header, &commit, CHAIN_ID)).unwrap();
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        let mut status = first_status(&header);
        change(&mut config, &mut status);
        let first = first_block(header, state);
        let (events, _) = broadcast::channel(1_024);
        let view = watch::Sender::new(Arc::new(View {
            head: first.clone(),
            finalized: (0, first.hash()),
            recent: imbl_of(&first),
            pool: Mempool::new(Limits::default()).snapshot(),
            status: Arc::new(status.clone()),
        }));
        let (questions, mut asked) = mpsc::channel::<Question>(64);
        let handle = NodeHandle { view: view.subscribe(), questions, events: events.clone() };
        let mut machine = Machine {
            rules: rules.clone(),
            store,
            chain: vec![first],
            pool: Mempool::new(Limits::default()),
            status,
            view,
            events,
        };
        machine.publish();
        let machine = Arc::new(Mutex::new(machine));
        let loop_machine = machine.clone();
        tokio::spawn(async move {
            while let Some((ask, answer)) = asked.recv().await {
                let reply = loop_machine.lock().unwrap().answer(ask);
                let _ = answer.send(reply);
            }
        });
        let network = Arc::new(Links::default());
        let errors = kette_rpc::ErrorLog::default();
        let sources = Sources { node: handle.clone(), reader, rules, spec, network, errors };
        let (at, server) = serve(config, sources.clone()).await.unwrap();
        Self { at, handle, server, sources, machine, _folder: folder }
    }

    /// Makes blocks of what waits.
    pub(crate) fn mine(&self, blocks: usize) {
        let mut machine = self.machine.lock().unwrap();
        for _ in 0..blocks {
            machine.mine();
        }
    }

    /// Replaces the newest `depth` blocks by one more empty ones.
    pub(crate) fn reorganize(&self, depth: usize) {
        self.machine.lock().unwrap().switch(depth, |machine| {
            (0..=depth).map(|_| machine.built(Vec::new(), b"other")).collect()
        });
    }

    /// Waits until the server's filters and metrics saw every event: the queue of its receiver is empty.
    pub(crate) async fn settled(&self) {
        while !self.handle.events.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Returns the canonical block with this number.
    pub(crate) fn block(&self, number: usize) -> Arc<ExecutedBlock> {
        self.machine.lock().unwrap().chain[number].clone()
    }

    /// Hands in a transfer over RPC.
    pub(crate) async fn send(&self, n: u8, nonce: u64, to: Address, value: u128) -> B256 {
        let (hash, raw) = signed(n, nonce, to, value);
        let answer = crate::client::call(self.at, "eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(answer, json!(hash));
        hash
    }
}

fn imbl_of<M: FromIterator<(B256, Arc<ExecutedBlock>)>>(block: &Arc<ExecutedBlock>) -> M {
    std::iter::once((block.hash(), block.clone())).collect()
}

fn first_block(header: SealedHeader, state: State) -> Arc<ExecutedBlock> {
    let weight = header.difficulty;
    Arc::new(ExecutedBlock {
        block: Block { header, body: kette_types::Body::default() },
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed: Vec::new(),
        weight,
        total_weight: weight,
        issued: U256::ZERO,
        burned: U256::ZERO,
    })
}

fn first_status(header: &SealedHeader) -> Status {
    Status {
        peer_id: PeerId(B256::repeat_byte(1)),
        moniker: "tester".to_owned(),
        region: String::new(),
        chain_id: CHAIN_ID,
        genesis: header.hash(),
        height: 0,
        hash: header.hash(),
        state_root: header.state_root,
        timestamp: header.timestamp,
        weight: header.difficulty,
        finalized: 0,
        finalized_hash: header.hash(),
        syncing: None,
        pending: 0,
        queued: 0,
        pool_bytes: 0,
        peers: Vec::new(),
        known_addresses: 0,
        engine: Engine::Pow(PowStatus {
            mining: false,
            on_demand: false,
            threads: 1,
            mine_rate: None,
            blocks_found: 0,
            blocks_ordered: 0,
            difficulty: U256::from(7),
            target: U256::MAX,
            work: None,
            hash_rate_estimate: U256::ZERO,
            excess_seconds: 0,
            pause_skip_seconds: 0,
            alarm: None,
            block_time: 12,
            finality_depth: FINAL_DEPTH,
            reorg_limit: 100,
            pause_limit: 600,
            time_offset: 0,
        }),
        beneficiary: Address::repeat_byte(0xee),
        tree_blocks: 1,
        clock_skew_ms: None,
        counters: Counters::default(),
        alarms: Vec::new(),
    }
}
