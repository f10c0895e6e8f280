//! A small chain for tests: accounts with keys, signed transactions, blocks built and executed again.

use crate::{
    Attributes, BlockError, Built, Executed, Rules, State, build,
    call::{Call, EvmOverrides, TransactionRequest},
    execute, genesis, recover, senders,
};
use alloy_consensus::{
    SignableTransaction, TxEip1559, TxLegacy,
    transaction::{Recovered, RlpEcdsaEncodableTx},
};
use alloy_primitives::{Signature, TxKind, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_types::{
    Address, B256, Block, Body, Bytes, ChainSpec, Header, SealedHeader, Transaction, U256,
    limits::BODY_BYTES_MAX,
};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const CHAIN_ID: u64 = 1_337;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const GWEI: u128 = 1_000_000_000;
pub(crate) const MINER: Address = Address::repeat_byte(0xee);

/// Wei.
pub(crate) fn wei(amount: u128) -> U256 {
    U256::from(amount)
}

/// The n-th funded key.
pub(crate) fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(n + 1)).expect("a small number is a key")
}

/// The address of the n-th funded key.
pub(crate) fn who(n: u8) -> Address {
    key(n).address()
}

/// A Kette genesis with four funded keys. `kette` is merged into `config.kette`, `extra` into the file;
/// null removes.
pub(crate) fn spec(kette: &serde_json::Value, extra: &serde_json::Value) -> ChainSpec {
    let mut file = serde_json::json!({
        "config": { "chainId": CHAIN_ID, "kette": {
            "engine": { "pow": {
                "blockTime": 12, "halfLife": 3600, "pauseLimit": 600,
                "anchorDifficulty": "0x1", "futureLimit": 60,
            } },
            "reward": { "policy": "constant", "amount": wei(2 * ETHER) },
        } },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x1",
        "alloc": {},
    });
    for n in 0..4 {
        file["alloc"][who(n).to_string()] = serde_json::json!({ "balance": wei(1_000 * ETHER) });
    }
    merge(&mut file["config"]["kette"], kette);
    merge(&mut file, extra);
    ChainSpec::from_json(&file.to_string()).expect("the test's genesis is valid")
}

fn merge(into: &mut serde_json::Value, from: &serde_json::Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        let whole = key == "reward";
        if !whole && value.is_object() && into.get(key).is_some_and(serde_json::Value::is_object) {
            merge(&mut into[key], value);
        } else if value.is_null() {
            into.as_object_mut().expect("an object is merged into an object").remove(key);
        } else {
            into[key] = value.clone();
        }
    }
}

pub(crate) struct Chain {
    pub(crate) rules: Rules,
    pub(crate) head: SealedHeader,
    pub(crate) state: State,
    pub(crate) hashes: BTreeMap<u64, B256>,
    pub(crate) genesis: State,
    pub(crate) issued: U256,
    pub(crate) burned: U256,
    /// The next block's seal; empty where the engine has none.
    pub(crate) seal: Bytes,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self::with(&serde_json::json!({}), &serde_json::json!({}))
    }

    pub(crate) fn with(kette: &serde_json::Value, extra: &serde_json::Value) -> Self {
        let spec = spec(kette, extra);
        let (head, state) = genesis(&spec).expect("genesis is valid");
        Self {
            rules: Rules::new(Arc::new(spec)),
            hashes: BTreeMap::from([(0, head.hash())]),
            head,
            genesis: state.clone(),
            state,
            issued: U256::ZERO,
            burned: U256::ZERO,
            seal: Bytes::new(),
        }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        Attributes {
            timestamp: self.head.timestamp + 12,
            beneficiary: MINER,
            difficulty: U256::from(1),
            mix_hash: keccak256(self.head.number.to_be_bytes()),
            seal: self.seal.clone(),
            ..Attributes::default()
        }
    }

    pub(crate) fn try_build(
        &self,
        transactions: impl IntoIterator<Item = Transaction>,
    ) -> Result<Built, BlockError> {
        let mut transactions = transactions.into_iter().map(recovered);
        let (head, attributes) = (self.head.header(), self.attributes());
        build(
            &self.rules,
            head,
            &self.state,
            &attributes,
            &mut transactions,
            &self.hashes,
            BODY_BYTES_MAX,
        )
    }

    pub(crate) fn build(&self, transactions: impl IntoIterator<Item = Transaction>) -> Built {
        self.try_build(transactions).expect("nothing is wrong with the state")
    }

    pub(crate) fn execute(&self, block: &Block) -> Result<Executed, BlockError> {
        let senders = senders(recover(&block.body.transactions))?;
        execute(&self.rules, &self.head, &self.state, block, &senders, &self.hashes)
    }

    /// Builds a block, executes it as somebody else would, compares, and goes on from it.
    pub(crate) fn mine(&mut self, transactions: impl IntoIterator<Item = Transaction>) -> Built {
        let built = self.build(transactions);
        let header = SealedHeader::new(built.header.clone(), self.seal.clone());
        let block = Block { header, body: built.body.clone() };
        assert!(block.body_matches());
        let executed = self.execute(&block).expect("what was built is valid");
        assert_eq!(executed.receipts, built.executed.receipts);
        assert_eq!(executed.state.root(), built.executed.state.root());
        assert_eq!(executed.changed, built.executed.changed);
        assert_eq!(executed.issued, built.executed.issued);
        assert_eq!(executed.burned, built.executed.burned);
        assert_eq!(executed.logs, built.executed.logs);
        self.issued += executed.issued;
        self.burned += executed.burned;
        self.hashes.insert(block.header.number, block.hash());
        self.head = block.header;
        self.state = executed.state;
        built
    }

    /// Executes an empty block into which this transaction is smuggled.
    pub(crate) fn smuggle(&self, transaction: Transaction) -> BlockError {
        let built = self.build([]);
        let mut block = block(built.header, built.body);
        block.body.transactions.push(transaction);
        self.execute(&block).expect_err("the transaction is invalid")
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.account(address).balance
    }

    /// Makes a call on the newest state.
    pub(crate) fn call<'a>(
        &'a self,
        request: &'a TransactionRequest,
        overrides: &'a EvmOverrides,
        gas_cap: u64,
    ) -> Call<'a> {
        let Self { rules, head, state, hashes, .. } = self;
        Call { rules, header: head, state, request, overrides, hashes, gas_cap }
    }

    pub(crate) fn account(&self, address: Address) -> crate::Account {
        self.state.account(address).expect("memory does not fail").unwrap_or_default()
    }

    pub(crate) fn slot(&self, address: Address, slot: u64) -> U256 {
        self.state.storage(address, U256::from(slot)).expect("memory does not fail")
    }

    pub(crate) fn assert_supply(&self) {
        let supply = |state: &State| state.supply().expect("memory does not fail");
        assert_eq!(supply(&self.state), supply(&self.genesis) + self.issued - self.burned);
    }
}

pub(crate) fn block(header: Header, body: Body) -> Block {
    Block { header: SealedHeader::new(header, Bytes::new()), body }
}

pub(crate) fn recovered(transaction: Transaction) -> Recovered<Transaction> {
    let sender = recover(std::slice::from_ref(&transaction))[0].expect("the test signed it");
    Recovered::new_unchecked(transaction, sender)
}

/// Signs whatever kind of transaction.
pub(crate) fn sign<T>(key: &PrivateKeySigner, transaction: T) -> Transaction
where
    T: SignableTransaction<Signature> + RlpEcdsaEncodableTx,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key.sign_hash_sync(&transaction.signature_hash()).expect("the key is here");
    transaction.into_signed(signature).into()
}

/// A dynamic-fee transaction with room for everything.
pub(crate) fn dynamic(nonce: u64, to: TxKind, value: u128, input: impl Into<Bytes>) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        value: wei(value),
        input: input.into(),
        ..TxEip1559::default()
    }
}

/// A transfer by the n-th key.
pub(crate) fn transfer(n: u8, nonce: u64, to: Address, value: u128) -> Transaction {
    let transaction =
        TxEip1559 { gas_limit: 21_000, ..dynamic(nonce, to.into(), value, Bytes::new()) };
    sign(&key(n), transaction)
}

/// A call by the n-th key.
pub(crate) fn call(n: u8, nonce: u64, to: Address, input: impl Into<Bytes>) -> Transaction {
    sign(&key(n), dynamic(nonce, to.into(), 0, input))
}

/// A creation by the n-th key.
pub(crate) fn create(n: u8, nonce: u64, runtime: &[u8]) -> Transaction {
    sign(&key(n), dynamic(nonce, TxKind::Create, 0, init_code(runtime)))
}

/// A legacy transfer; `chain_id` is what it is signed for.
pub(crate) fn legacy(nonce: u64, chain_id: Option<u64>) -> TxLegacy {
    TxLegacy {
        chain_id,
        nonce,
        gas_price: 100 * GWEI,
        gas_limit: 21_000,
        to: TxKind::Call(who(1)),
        value: wei(1),
        input: Bytes::new(),
    }
}

/// Creation code that deploys `runtime`: PUSH2 length, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN.
pub(crate) fn init_code(runtime: &[u8]) -> Bytes {
    let length = u16::try_from(runtime.len()).expect("small").to_be_bytes();
    let mut code = vec![0x61, length[0], length[1], 0x80, 0x60, 10, 0x5f, 0x39, 0x5f, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

/// `(to, amount)`: takes from the caller's slot, adds to the recipient's, logs the amount under topic 42.
pub(crate) const TOKEN: &[u8] = &alloy_primitives::hex!(
    "602035" "80" "33" "54" "03" "3355" "5f3554" "01" "5f3555" "6020355f52" "602a60205fa1" "00"
);
/// Reverts with the word 0xee.
pub(crate) const REVERT: &[u8] = &alloy_primitives::hex!("60ee5f52" "60205ffd");
/// JUMPDEST, PUSH0, JUMP: for ever.
pub(crate) const LOOP: &[u8] = &alloy_primitives::hex!("5b5f56");
/// Stores what it sees: 0 hash of the parent, 1 PREVRANDAO, 2 BASEFEE, 3 TIMESTAMP, 4 COINBASE, 5 CHAINID,
/// 6 BLOBBASEFEE, 7 the hash of block 0.
pub(crate) const WITNESS: &[u8] = &alloy_primitives::hex!(
    "436001900340" "5f55" "44600155" "48600255" "42600355" "41600455" "46600555" "4a600655"
    "5f40600755" "00"
);
/// Sends its balance to the address given and ends.
pub(crate) const MORTAL: &[u8] = &alloy_primitives::hex!("5f35ff");

/// Two words of call data.
pub(crate) fn words(a: U256, b: U256) -> Bytes {
    [a.to_be_bytes::<32>(), b.to_be_bytes::<32>()].concat().into()
}
