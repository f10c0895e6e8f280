//! Chains to store: real headers, bodies, receipts and states; signatures are not checked by a store.

use alloy_consensus::{ReceiptWithBloom, SignableTransaction as _, TxEip1559, TxType, proofs};
use alloy_primitives::{Log, Signature, TxKind};
use kette_chain::{ExecutedBlock, Record, record::Restored};
use kette_ledger::{AccountChange, State, StateChanges, StateCommit};
use kette_store::{Reader, Store, StoreError, StoreOptions};
use kette_types::{Address, B256, Block, Body, Header, Receipt, SealedHeader, Transaction, U256};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;

pub(crate) const CHAIN_ID: u64 = 1337;

/// A folder with a database and the genesis it is opened with.
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    /// Removes the folder at the end.
    _temporary: Option<TempDir>,
    pub(crate) genesis: Arc<ExecutedBlock>,
    pub(crate) commit: StateCommit,
    pub(crate) options: StoreOptions,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        Self { _temporary: Some(folder), ..Self::at(path) }
    }

    /// A folder that somebody else removes.
    pub(crate) fn at(folder: PathBuf) -> Self {
        let (genesis, commit) = genesis(1_000);
        Self { folder, _temporary: None, genesis, commit, options: StoreOptions::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("node.sqlite")
    }

    pub(crate) fn try_open(&self) -> Result<(Store, Reader, Restored), StoreError> {
        let genesis = (&self.genesis.block.header, &self.commit, CHAIN_ID);
        Store::open(&self.path(), &self.options, genesis)
    }

    pub(crate) fn open(&self) -> (Store, Reader, Restored) {
        self.try_open().unwrap()
    }
}

/// Block 0 with one account of this balance, and the commit that makes its state durable.
pub(crate) fn genesis(balance: u64) -> (Arc<ExecutedBlock>, StateCommit) {
    let mut changes = StateChanges::default();
    changes.accounts.insert(account(0), Some(balance_of(balance)));
    let state = State::empty().apply(&changes).unwrap();
    let commit = state.commit(&State::empty(), &mut [account(0)].into_iter()).unwrap();
    let header = Header {
        state_root: state.root(),
        difficulty: U256::from(7),
        gas_limit: 30_000_000,
        ..Header::default()
    };
    let block = ExecutedBlock {
        block: Block {
            header: SealedHeader::new(header, Default::default()),
            body: Body::default(),
        },
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed: vec![account(0)],
        weight: U256::from(7),
        total_weight: U256::from(7),
        issued: U256::ZERO,
        burned: U256::ZERO,
    };
    (Arc::new(block), commit)
}

pub(crate) fn account(n: u64) -> Address {
    Address::from_word(B256::from(U256::from(n + 0x1000)))
}

pub(crate) fn balance_of(wei: u64) -> AccountChange {
    AccountChange {
        balance: U256::from(wei),
        code_hash: alloy_primitives::KECCAK256_EMPTY,
        ..AccountChange::default()
    }
}

/// A transaction with its sender and what it logs.
pub(crate) struct Sent {
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) nonce: u64,
    pub(crate) logs: Vec<Log>,
}

impl Sent {
    pub(crate) fn new(from: u64, to: u64, nonce: u64) -> Self {
        Self { from: account(from), to: Some(account(to)), nonce, logs: Vec::new() }
    }

    pub(crate) fn transaction(&self) -> Transaction {
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.nonce,
            gas_limit: 21_000,
            to: self.to.map_or(TxKind::Create, TxKind::Call),
            value: U256::from(5),
            // Distinguishes senders, which the fixed signature does not.
            input: self.from.to_vec().into(),
            ..TxEip1559::default()
        };
        tx.into_signed(Signature::test_signature()).into()
    }

    pub(crate) fn hash(&self) -> B256 {
        *self.transaction().tx_hash()
    }
}

/// Extends a block. `salt` makes siblings differ.
pub(crate) fn child(parent: &ExecutedBlock, salt: u64, sent: &[Sent]) -> Arc<ExecutedBlock> {
    child_with(parent, salt, sent, &StateChanges::default())
}

/// Extends a block and changes its state.
pub(crate) fn child_with(
    parent: &ExecutedBlock,
    salt: u64,
    sent: &[Sent],
    changes: &StateChanges,
) -> Arc<ExecutedBlock> {
    let receipts: Vec<Receipt> = (1..)
        .zip(sent)
        .map(|(count, sent)| Receipt {
            tx_type: TxType::Eip1559,
            success: !sent.nonce.is_multiple_of(5),
            cumulative_gas_used: 21_000 * count,
            logs: sent.logs.clone(),
        })
        .collect();
    let blooms: Vec<_> = receipts.iter().cloned().map(ReceiptWithBloom::from).collect();
    let transactions: Vec<_> = sent.iter().map(Sent::transaction).collect();
    let state = parent.state.apply(changes).unwrap();
    let header = Header {
        parent_hash: parent.hash(),
        number: parent.number() + 1,
        timestamp: 1_700_000_000 + parent.number(),
        beneficiary: account(salt),
        difficulty: U256::from(10),
        gas_used: 21_000 * sent.len() as u64,
        gas_limit: 30_000_000,
        extra_data: salt.to_be_bytes().to_vec().into(),
        transactions_root: proofs::calculate_transaction_root(&transactions),
        receipts_root: proofs::calculate_receipt_root(&blooms),
        state_root: state.root(),
        ..Header::default()
    };
    let body = Body { transactions, ..Body::default() };
    let seal = salt.to_be_bytes().to_vec().into();
    Arc::new(ExecutedBlock {
        block: Block { header: SealedHeader::new(header, seal), body },
        senders: sent.iter().map(|sent| sent.from).collect(),
        receipts,
        state,
        changed: changes.accounts.keys().copied().collect(),
        weight: U256::from(10),
        total_weight: parent.total_weight + U256::from(10),
        issued: U256::from(100),
        burned: U256::from(1),
    })
}

/// Blocks without transactions on top of a block.
pub(crate) fn chain(from: &Arc<ExecutedBlock>, salt: u64, length: u64) -> Vec<Arc<ExecutedBlock>> {
    let mut blocks = vec![from.clone()];
    for _ in 0..length {
        blocks.push(child(blocks.last().unwrap(), salt, &[]));
    }
    blocks.split_off(1)
}

/// The records that store these blocks and make them canonical.
pub(crate) fn extend(blocks: &[Arc<ExecutedBlock>]) -> Vec<Record> {
    let keep = blocks[0].number() - 1;
    let added = blocks.iter().map(|block| block.hash()).collect();
    let mut records: Vec<_> = blocks.iter().cloned().map(Record::Block).collect();
    records.push(Record::Canonical { keep, added });
    records
}

/// The record that makes a block's state durable where `base` is.
pub(crate) fn checkpoint(
    block: &ExecutedBlock,
    base: &ExecutedBlock,
    changed: &mut dyn Iterator<Item = Address>,
) -> Record {
    let commit = Arc::new(block.state.commit(&base.state, changed).unwrap());
    Record::Checkpoint { number: block.number(), hash: block.hash(), commit }
}

/// Asserts that a full check of the database finds nothing.
pub(crate) fn assert_whole(reader: &Reader) {
    assert_eq!(reader.verify_integrity().unwrap().problems, Vec::<String>::new());
}
