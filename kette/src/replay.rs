//! Executes a chain from genesis, block by block, as a fresh node would: for import and verification.

use kette_chain::{ExecutedBlock, Headers};
use kette_consensus::{Engine, SealError};
use kette_ledger::{
    BlockError, BlockHashes, HeaderError, MemoryNodes, ReadError, Rules, State, StateCommit,
};
use kette_types::{Address, B256, Block, ChainSpec, SealedHeader, Time, U256};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// One block to apply.
#[derive(Debug)]
pub struct Step {
    /// The block.
    pub block: Block,
    /// Senders as stored; recovered again and compared.
    pub stored_senders: Option<Vec<Address>>,
}

/// A rule that a block breaks.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Against its parent.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Its seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its execution.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The body is another one.
    #[error("the body is not the one that the header commits to")]
    Body,
    /// It does not follow the block before it.
    #[error("it does not follow the block before it")]
    Parent,
    /// Stored and recovered senders differ.
    #[error("stored senders differ from the recovered ones")]
    Senders,
}

/// A chain in memory that grows by checked blocks.
pub struct Replay {
    spec: Arc<ChainSpec>,
    rules: Rules,
    engine: Option<Box<dyn Engine>>,
    genesis: SealedHeader,
    genesis_commit: StateCommit,
    nodes: Arc<MemoryNodes>,
    head: SealedHeader,
    state: State,
    base: State,
    weight: U256,
    headers: HashMap<B256, SealedHeader>,
    hashes: Vec<B256>,
    changed: BTreeSet<Address>,
}

impl Replay {
    /// Starts at genesis.
    ///
    /// # Errors
    /// If the genesis cannot be built.
    pub fn new(spec: Arc<ChainSpec>) -> anyhow::Result<Self> {
        let (genesis, built) = kette_ledger::genesis(&spec)?;
        let mut accounts = kette_ledger::genesis_accounts(&spec).into_iter();
        let genesis_commit = built.commit(&State::empty(), &mut accounts)?;
        let nodes = Arc::new(MemoryNodes::default());
        nodes.apply(&genesis_commit);
        let state = State::open(nodes.clone(), genesis.state_root);
        Ok(Self {
            rules: Rules::new(spec.clone()),
            engine: kette_consensus::build(&spec, Default::default()).ok(),
            head: genesis.clone(),
            base: state.clone(),
            state,
            nodes,
            weight: U256::ZERO,
            headers: HashMap::from([(genesis.hash(), genesis.clone())]),
            hashes: vec![genesis.hash()],
            changed: BTreeSet::new(),
            genesis_commit,
            genesis,
            spec,
        })
    }

    /// Returns what a store needs to begin: block 0, its state, the chain id.
    pub fn genesis_parts(&self) -> (&SealedHeader, &StateCommit, u64) {
        (&self.genesis, &self.genesis_commit, self.spec.chain_id())
    }

    /// Returns the newest header.
    pub const fn head(&self) -> &SealedHeader {
        &self.head
    }

    /// Adds up all balances.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn supply(&self) -> Result<U256, ReadError> {
        self.state.supply()
    }

    /// Checks and executes the next block.
    ///
    /// # Errors
    /// The rule that it breaks; the chain stays as it was.
    pub fn apply(&mut self, step: Step) -> Result<Arc<ExecutedBlock>, ReplayError> {
        let Step { block, stored_senders } = step;
        if block.header.parent_hash != self.head.hash() {
            return Err(ReplayError::Parent);
        }
        if !block.body_matches() {
            return Err(ReplayError::Body);
        }
        kette_ledger::check_header(&self.rules, block.header.header(), self.head.header())?;
        let weight = match &self.engine {
            // History is judged by its own order, not by the clock of whoever reads it.
            Some(engine) => engine.check(Time::MAX, &block.header, self)?,
            None => block.header.difficulty,
        };
        let recovered = crate::run::recover_parallel(&block.body.transactions);
        let senders: Vec<Address> = recovered
            .into_iter()
            .enumerate()
            .map(|(index, sender)| sender.ok_or(BlockError::BadSignature(index)))
            .collect::<Result<_, _>>()?;
        if stored_senders.is_some_and(|stored| stored != senders) {
            return Err(ReplayError::Senders);
        }
        let executed = kette_ledger::execute(
            &self.rules,
            self.head.header(),
            &self.state,
            &block,
            &senders,
            self,
        )?;
        self.weight = self.weight.saturating_add(weight);
        let executed = Arc::new(ExecutedBlock {
            senders,
            receipts: executed.receipts,
            state: executed.state,
            changed: executed.changed,
            weight,
            total_weight: self.weight,
            issued: executed.issued,
            burned: executed.burned,
            block,
        });
        self.advance(&executed);
        Ok(executed)
    }

    fn advance(&mut self, block: &ExecutedBlock) {
        self.head = block.block.header.clone();
        self.state = block.state.clone();
        self.changed.extend(block.changed.iter().copied());
        self.headers.insert(block.hash(), self.head.clone());
        self.hashes.push(block.hash());
        // Engines look back a few blocks only; the rest is in the hash list.
        if let Some(old) = self.hashes.len().checked_sub(HEADERS_KEPT) {
            self.headers.remove(&self.hashes[old]);
        }
    }

    /// Returns what makes the newest state durable since the last call.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn commit(&mut self) -> Result<StateCommit, ReadError> {
        let mut changed = std::mem::take(&mut self.changed).into_iter();
        let commit = self.state.commit(&self.base, &mut changed)?;
        self.nodes.apply(&commit);
        self.state = self.state.unload();
        self.base = self.state.clone();
        Ok(commit)
    }
}

/// Headers kept for engines that look back.
const HEADERS_KEPT: usize = 512;

impl Headers for Replay {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        Ok(self.headers.get(&hash).cloned())
    }
}

impl BlockHashes for Replay {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.hashes.get(usize::try_from(number).ok()?).copied()
    }
}
