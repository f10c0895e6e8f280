//! Makes blocks on any parent for tests, with the ledger and the engine that the validator judges.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_primitives::{B64, TxKind};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_chain::ExecutedBlock;
use kette_consensus::{
    job::MineJob,
    pow::{difficulty, seal},
};
use kette_ledger::{Attributes, BlockHashes, Rules, State};
use kette_types::{
    Address, B256, Block, Body, Bytes, ChainSpec, EngineSpec, Header, Recovered, SealedHeader,
    Transaction, U256, limits::BODY_BYTES_MAX, spec::PowSpec,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

pub(in crate::checkers) const CHAIN_ID: u64 = 1_337;
pub(in crate::checkers) const ETHER: u128 = 1_000_000_000_000_000_000;
const GWEI: u128 = 1_000_000_000;

/// The n-th funded key.
pub(in crate::checkers) fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(n + 1)).unwrap()
}

/// The address of the n-th funded key.
pub(in crate::checkers) fn who(n: u8) -> Address {
    key(n).address()
}

/// A genesis with four funded keys; `kette` is merged into `config.kette`.
pub(in crate::checkers) fn spec(kette: &Value) -> Arc<ChainSpec> {
    let mut file = json!({
        "config": { "chainId": CHAIN_ID, "kette": {
            "engine": { "pow": {
                "blockTime": 12, "halfLife": 120, "pauseLimit": 600, "anchorDifficulty": "0x10",
                "futureLimit": 60, "finalityDepth": 6, "reorgLimit": 20,
            } },
            "reward": { "policy": "constant", "amount": U256::from(2 * ETHER) },
        } },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x8",
        "timestamp": "0x6553f100",
        "alloc": {},
    });
    for n in 0..4 {
        file["alloc"][who(n).to_string()] = json!({ "balance": U256::from(1_000 * ETHER) });
    }
    file["alloc"][CONTRACT.to_string()] =
        json!({ "balance": "0x5", "code": "0x00", "storage": { "0x01": "0x02" } });
    merge(&mut file["config"]["kette"], kette);
    Arc::new(ChainSpec::from_json(&file.to_string()).unwrap())
}

/// A contract that does nothing: STOP.
pub(in crate::checkers) const CONTRACT: Address = Address::repeat_byte(0xc0);

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        if value.get("policy").is_none() && value.is_object() {
            merge(&mut into[key], value);
        } else {
            into[key] = value.clone();
        }
    }
}

/// What goes into a block.
#[derive(Clone, Debug)]
pub(in crate::checkers) struct Recipe {
    pub(in crate::checkers) seconds: u64,
    pub(in crate::checkers) miner: u8,
    pub(in crate::checkers) transactions: Vec<Transaction>,
}

/// An empty block this many seconds after its parent.
pub(in crate::checkers) const fn after(seconds: u64) -> Recipe {
    Recipe { seconds, miner: 0xee, transactions: Vec::new() }
}

impl Recipe {
    pub(in crate::checkers) const fn by(mut self, miner: u8) -> Self {
        self.miner = miner;
        self
    }

    pub(in crate::checkers) fn with(mut self, list: impl IntoIterator<Item = Transaction>) -> Self {
        self.transactions.extend(list);
        self
    }
}

/// A miner of any branch, with all states.
pub(in crate::checkers) struct Forge {
    pub(in crate::checkers) spec: Arc<ChainSpec>,
    pub(in crate::checkers) rules: Rules,
    pub(in crate::checkers) genesis: Arc<ExecutedBlock>,
    made: BTreeMap<B256, Arc<ExecutedBlock>>,
}

impl Forge {
    pub(in crate::checkers) fn new(spec: Arc<ChainSpec>) -> Self {
        let (header, state) = kette_ledger::genesis(&spec).unwrap();
        let body = Body { withdrawals: Some(Default::default()), ..Body::default() };
        let block = Block { header, body };
        let changed = spec.genesis.alloc.keys().copied().collect();
        let genesis =
            Arc::new(ExecutedBlock { changed, ..executed(block, state, U256::ZERO, U256::ZERO) });
        let made = BTreeMap::from([(genesis.hash(), genesis.clone())]);
        Self { rules: Rules::new(spec.clone()), spec, genesis, made }
    }

    pub(in crate::checkers) fn pow(&self) -> PowSpec {
        let EngineSpec::Pow(pow) = &self.spec.kette.as_ref().unwrap().engine else {
            panic!("not pow")
        };
        pow.clone()
    }

    pub(in crate::checkers) fn made(&self, hash: B256) -> &Arc<ExecutedBlock> {
        &self.made[&hash]
    }

    fn built(&self, parent: B256, recipe: &Recipe) -> kette_ledger::Built {
        let parent = &self.made[&parent];
        let (pow, head) = (self.pow(), &parent.block.header);
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
        let (rules, state) = (&self.rules, &parent.state);
        let mut list = recipe.transactions.iter().map(recovered);
        kette_ledger::build(rules, head, state, &attributes, &mut list, &NoHashes, BODY_BYTES_MAX)
            .unwrap()
    }

    /// Makes a valid block; transactions that do not fit are left out.
    pub(in crate::checkers) fn on(&mut self, parent: B256, recipe: &Recipe) -> Arc<ExecutedBlock> {
        let built = self.built(parent, recipe);
        let header = sealed(built.header);
        let weight = header.difficulty;
        let total = self.made[&parent].total_weight + weight;
        let block = Block { header, body: built.body };
        let block = Arc::new(ExecutedBlock {
            senders: built.senders,
            receipts: built.executed.receipts,
            changed: built.executed.changed,
            issued: built.executed.issued,
            burned: built.executed.burned,
            ..executed(block, built.executed.state, weight, total)
        });
        self.made.insert(block.hash(), block.clone());
        block
    }

    /// Makes a block, lets `spoil` break something, and seals what came out.
    pub(in crate::checkers) fn spoilt(
        &self,
        parent: B256,
        recipe: &Recipe,
        spoil: impl FnOnce(&mut Header, &mut Body),
    ) -> Block {
        let mut built = self.built(parent, recipe);
        spoil(&mut built.header, &mut built.body);
        Block { header: sealed(built.header), body: built.body }
    }

    /// Executes a block with the ledger and checks its seal with the engine; says what they object to.
    pub(in crate::checkers) fn ledger_verdict(&self, block: &Block) -> Result<(), String> {
        let parent = &self.made[&block.header.parent_hash];
        if !block.body_matches() {
            return Err("body does not match".to_owned());
        }
        let senders = kette_ledger::senders(kette_ledger::recover(&block.body.transactions))
            .map_err(|e| e.to_string())?;
        let (rules, state) = (&self.rules, &parent.state);
        kette_ledger::execute(rules, &parent.block.header, state, block, &senders, &NoHashes)
            .map_err(|e| e.to_string())?;
        let engine = kette_consensus::build(&self.spec, Default::default()).unwrap();
        engine.check(kette_types::Time::MAX, &block.header, self).map_err(|e| e.to_string())?;
        Ok(())
    }
}

impl kette_chain::Headers for Forge {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, kette_ledger::ReadError> {
        Ok(self.made.get(&hash).map(|made| made.block.header.clone()))
    }
}

fn executed(block: Block, state: State, weight: U256, total_weight: U256) -> ExecutedBlock {
    ExecutedBlock {
        block,
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed: Vec::new(),
        weight,
        total_weight,
        issued: U256::ZERO,
        burned: U256::ZERO,
    }
}

/// Finds a nonce for the difficulty in the header.
pub(in crate::checkers) fn sealed(mut header: Header) -> SealedHeader {
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

fn recovered(transaction: &Transaction) -> Recovered<Transaction> {
    let sender = kette_ledger::recover(std::slice::from_ref(transaction))[0].unwrap();
    Recovered::new_unchecked(transaction.clone(), sender)
}

fn sign<T>(n: u8, transaction: T) -> Transaction
where
    T: SignableTransaction<alloy_primitives::Signature>
        + alloy_consensus::transaction::RlpEcdsaEncodableTx,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key(n).sign_hash_sync(&transaction.signature_hash()).unwrap();
    transaction.into_signed(signature).into()
}

/// A transfer with call data, of one of three kinds, by the n-th key.
pub(in crate::checkers) fn transfer(
    n: u8,
    nonce: u64,
    to: Address,
    wei: u128,
    kind: u8,
    input: Bytes,
) -> Transaction {
    let (value, to, gas_limit) = (U256::from(wei), TxKind::Call(to), 100_000);
    match kind {
        0 => {
            let chain_id = nonce.is_multiple_of(2).then_some(CHAIN_ID);
            sign(n, TxLegacy { chain_id, nonce, gas_price: 90 * GWEI, gas_limit, to, value, input })
        }
        1 => {
            let item = alloy_eips::eip2930::AccessListItem {
                address: who(n),
                storage_keys: vec![B256::ZERO; usize::from(n)],
            };
            let (chain_id, gas_price) = (CHAIN_ID, 80 * GWEI);
            let access_list = vec![item].into();
            sign(
                n,
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input },
            )
        }
        _ => sign(
            n,
            TxEip1559 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit,
                max_fee_per_gas: 100 * GWEI,
                max_priority_fee_per_gas: GWEI,
                to,
                value,
                input,
                ..TxEip1559::default()
            },
        ),
    }
}

struct NoHashes;

impl BlockHashes for NoHashes {
    fn block_hash(&self, _: u64) -> Option<B256> {
        None
    }
}
