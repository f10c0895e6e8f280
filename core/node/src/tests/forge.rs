//! Makes blocks on any parent, valid ones and ones that break exactly one rule.

use alloy_consensus::{SignableTransaction, TxEip1559, proofs::calculate_transaction_root};
use alloy_primitives::{B64, TxKind};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_chain::ExecutedBlock;
use kette_consensus::{
    job::MineJob,
    pow::{difficulty, seal},
};
use kette_ledger::{Attributes, Rules, State, StateCommit};
use kette_types::{
    Address, B256, Block, Body, Bytes, ChainSpec, Header, Message, Recovered, SealedHeader,
    Transaction, U256, limits::BODY_BYTES_MAX, spec::PowSpec,
};
use std::{collections::BTreeMap, sync::Arc};

pub(super) const CHAIN_ID: u64 = 1_337;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const GWEI: u128 = 1_000_000_000;
/// Timestamp of block 0.
pub(super) const GENESIS_TIME: u64 = 1_700_000_000;
/// What a block pays.
pub(super) const REWARD: u128 = 2 * ETHER;

/// The n-th funded key.
pub(super) fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(n + 1)).unwrap()
}

/// The address of the n-th funded key.
pub(super) fn who(n: u8) -> Address {
    key(n).address()
}

/// A genesis with four funded keys; `pow` overrides constants of the engine.
pub(super) fn spec(pow: &serde_json::Value) -> Arc<ChainSpec> {
    let mut engine = serde_json::json!({
        "blockTime": 12, "halfLife": 120, "pauseLimit": 600, "anchorDifficulty": "0x10",
        "futureLimit": 60, "finalityDepth": 6, "reorgLimit": 100,
    });
    for (key, value) in pow.as_object().into_iter().flatten() {
        engine[key] = value.clone();
    }
    let mut file = serde_json::json!({
        "config": { "chainId": CHAIN_ID, "kette": {
            "engine": { "pow": engine },
            "reward": { "policy": "constant", "amount": U256::from(REWARD) },
            "baseFee": "producer",
            "development": true,
        } },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x10",
        "timestamp": format!("{GENESIS_TIME:#x}"),
        "alloc": {},
    });
    for n in 0..4 {
        file["alloc"][who(n).to_string()] =
            serde_json::json!({ "balance": U256::from(1_000 * ETHER) });
    }
    Arc::new(ChainSpec::from_json(&file.to_string()).unwrap())
}

pub(super) fn pow_spec(spec: &ChainSpec) -> PowSpec {
    spec.pow().unwrap().clone()
}

/// Signs whatever kind of transaction.
pub(super) fn sign<T>(key: &PrivateKeySigner, transaction: T) -> Transaction
where
    T: SignableTransaction<alloy_primitives::Signature>
        + alloy_consensus::transaction::RlpEcdsaEncodableTx,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    transaction.into_signed(signature).into()
}

pub(super) fn dynamic(nonce: u64, to: Address, wei: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(to),
        value: U256::from(wei),
        ..TxEip1559::default()
    }
}

/// A transfer of one wei by the n-th key.
pub(super) fn transfer(n: u8, nonce: u64) -> Transaction {
    sign(&key(n), dynamic(nonce, Address::repeat_byte(0x99), 1))
}

pub(super) fn recovered(transaction: &Transaction) -> Recovered<Transaction> {
    let sender = kette_ledger::recover(std::slice::from_ref(transaction))[0].unwrap();
    Recovered::new_unchecked(transaction.clone(), sender)
}

/// Block 0 as a node finds it, and what makes its state durable.
pub(super) fn genesis_block(spec: &ChainSpec) -> (Arc<ExecutedBlock>, StateCommit) {
    let (header, state) = kette_ledger::genesis(spec).unwrap();
    let changed: Vec<Address> = spec.genesis.alloc.keys().copied().collect();
    let commit = state.commit(&State::empty(), &mut changed.iter().copied()).unwrap();
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
    (Arc::new(block), commit)
}

/// A miner of any branch, with all states.
pub(super) struct Forge {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) rules: Rules,
    pub(super) genesis: B256,
    made: BTreeMap<B256, Made>,
}

struct Made {
    block: Block,
    state: State,
    weight: U256,
}

/// What goes into a block.
#[derive(Clone)]
pub(super) struct Recipe {
    /// Seconds after the parent.
    pub(super) seconds: u64,
    pub(super) transactions: Vec<Transaction>,
    /// Who is paid; makes blocks differ.
    pub(super) miner: u8,
}

pub(super) const fn after(seconds: u64) -> Recipe {
    Recipe { seconds, transactions: Vec::new(), miner: 0xee }
}

impl Recipe {
    pub(super) const fn by(mut self, miner: u8) -> Self {
        self.miner = miner;
        self
    }

    pub(super) fn with(mut self, transactions: impl IntoIterator<Item = Transaction>) -> Self {
        self.transactions.extend(transactions);
        self
    }
}

impl Forge {
    pub(super) fn new(spec: &Arc<ChainSpec>) -> Self {
        let (genesis, _) = genesis_block(spec);
        let made =
            Made { block: genesis.block.clone(), state: genesis.state.clone(), weight: U256::ZERO };
        Self {
            spec: spec.clone(),
            rules: Rules::new(spec.clone()),
            genesis: genesis.hash(),
            made: BTreeMap::from([(genesis.hash(), made)]),
        }
    }

    pub(super) fn weight(&self, hash: B256) -> U256 {
        self.made[&hash].weight
    }

    pub(super) fn state(&self, hash: B256) -> &State {
        &self.made[&hash].state
    }

    /// Takes a bad block for a good one that changed nothing, so that others can stand on it.
    pub(super) fn pretend(&mut self, block: &Block) {
        let parent = &self.made[&block.header.parent_hash];
        let weight = parent.weight + block.header.difficulty;
        let made = Made { block: block.clone(), state: parent.state.clone(), weight };
        self.made.insert(block.hash(), made);
    }

    /// Fills an unsealed block on `parent`.
    pub(super) fn template(&self, parent: B256, recipe: &Recipe) -> (Header, Body, State) {
        let Made { block, state, .. } = &self.made[&parent];
        let pow = pow_spec(&self.spec);
        let head = &block.header;
        let timestamp = head.timestamp + recipe.seconds;
        let excess = difficulty::next_excess(&pow, head, timestamp);
        let attributes = Attributes {
            timestamp,
            beneficiary: Address::repeat_byte(recipe.miner),
            extra_data: Bytes::copy_from_slice(&excess.to_be_bytes()),
            difficulty: difficulty::next_difficulty(&pow, self.spec.genesis.difficulty, head),
            mix_hash: B256::from(seal::header_pow_hash(head)),
            gas_limit: None,
            nonce: B64::ZERO,
            seal: Bytes::new(),
        };
        let built = kette_ledger::build(
            &self.rules,
            head,
            state,
            &attributes,
            &mut recipe.transactions.iter().map(recovered),
            &NoHashes,
            BODY_BYTES_MAX,
        )
        .unwrap();
        assert_eq!(built.body.transactions.len(), recipe.transactions.len(), "they all fit");
        (built.header, built.body, built.executed.state)
    }

    /// Makes a valid block.
    pub(super) fn on(&mut self, parent: B256, recipe: &Recipe) -> Block {
        let (header, body, state) = self.template(parent, recipe);
        let weight = self.made[&parent].weight + header.difficulty;
        let block = Block { header: sealed(header), body };
        self.made.insert(block.hash(), Made { block: block.clone(), state, weight });
        block
    }

    /// Makes a block, lets `spoil` break something, and seals what came out.
    pub(super) fn spoilt(
        &self,
        parent: B256,
        recipe: &Recipe,
        spoil: impl FnOnce(&mut Header, &mut Body),
    ) -> Block {
        let (mut header, mut body, _) = self.template(parent, recipe);
        spoil(&mut header, &mut body);
        Block { header: sealed(header), body }
    }

    /// Makes `n` blocks in a row.
    pub(super) fn chain(&mut self, parent: B256, n: usize, recipe: &Recipe) -> Vec<Block> {
        let mut parent = parent;
        (0..n)
            .map(|_| {
                let block = self.on(parent, recipe);
                parent = block.hash();
                block
            })
            .collect()
    }

    pub(super) fn block(&self, hash: B256) -> Option<&Block> {
        self.made.get(&hash).map(|made| &made.block)
    }

    /// Answers as an honest node whose head is `tip`; `None` if it is no request.
    pub(super) fn answer(&self, tip: B256, request: &Message) -> Option<Message> {
        match request {
            Message::GetHeaders { id, locator, .. } => {
                let mut headers = Vec::new();
                let mut cursor = &self.made[&tip].block.header;
                while !locator.contains(&cursor.hash()) {
                    headers.push(cursor.clone());
                    cursor = &self.made[&cursor.parent_hash].block.header;
                }
                headers.reverse();
                Some(Message::Headers { id: *id, headers })
            }
            Message::GetBodies { id, hashes } => {
                let mut own = std::collections::BTreeSet::new();
                let mut cursor = tip;
                while let Some(made) = self.made.get(&cursor) {
                    own.insert(cursor);
                    cursor = made.block.header.parent_hash;
                }
                let mine = hashes.iter().take_while(|hash| own.contains(*hash));
                let known = mine.map_while(|hash| self.block(*hash));
                Some(Message::Bodies { id: *id, bodies: known.map(|b| b.body.clone()).collect() })
            }
            Message::GetBlockTransactions { block, indexes } => {
                let body = self.block(*block).map(|b| b.body.clone()).unwrap_or_default();
                let picked = indexes.iter().map(|i| body.transactions[*i as usize].clone());
                Some(Message::BlockTransactions { block: *block, transactions: picked.collect() })
            }
            Message::Ping(number) => Some(Message::Pong(*number)),
            _ => None,
        }
    }
}

/// Commits the header to the body's transactions.
pub(super) fn recommit(header: &mut Header, body: &Body) {
    header.transactions_root = calculate_transaction_root(&body.transactions);
}

/// Finds a nonce for the difficulty in the header.
pub(super) fn sealed(mut header: Header) -> SealedHeader {
    let job = MineJob {
        preimage: seal::seal_hash(&header),
        target: seal::target(header.difficulty),
        nonce_start: 0,
        rate: None,
        threads: 1,
    };
    let nonce = seal::search(&job, 0, 1 << 24).expect("test difficulties are low");
    header.nonce = B64::from(nonce.to_be_bytes());
    SealedHeader::new(header, Bytes::new())
}

/// The forge's contracts do not ask for hashes of blocks.
struct NoHashes;

impl kette_ledger::BlockHashes for NoHashes {
    fn block_hash(&self, _: u64) -> Option<B256> {
        None
    }
}

/// The proof-of-work hash of a header that is not sealed yet.
pub(super) fn pow_hash(header: &Header) -> U256 {
    seal::pow_hash(seal::seal_hash(header), seal::nonce(header))
}
