//! Blocks to write: a tree with real headers and states, without transactions.

use alloy_primitives::KECCAK256_EMPTY;
use kette_chain::{ExecutedBlock, Record};
use kette_ledger::{AccountChange, State, StateChanges, StateCommit};
use kette_types::{Address, B256, Block, Body, Header, SealedHeader, U256};
use std::sync::Arc;

/// Blocks in the order in which they were made, block 0 first.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) blocks: Vec<Arc<ExecutedBlock>>,
    pub(super) genesis_commit: Arc<StateCommit>,
}

/// Accounts that blocks change.
const ACCOUNTS: u64 = 40;

impl Tree {
    /// Makes a tree of block 0.
    pub(super) fn new() -> Self {
        let state = changed(&State::empty(), 0..ACCOUNTS, 1);
        let genesis_commit = Arc::new(state.commit(&State::empty(), &mut accounts()).unwrap());
        let block = block(None, state, 0);
        Self { blocks: vec![block], genesis_commit }
    }

    /// Makes a tree in which each further block stands on an earlier one (taken modulo what is there).
    pub(super) fn grown(parents: &[usize]) -> Self {
        let mut tree = Self::new();
        for parent in parents {
            tree.grow(parent % tree.blocks.len());
        }
        tree
    }

    /// Makes a line of `n` blocks above block 0.
    pub(super) fn line(n: usize) -> Self {
        Self::grown(&(0..n).collect::<Vec<_>>())
    }

    fn grow(&mut self, parent: usize) {
        let salt = self.blocks.len() as u64;
        let parent = &self.blocks[parent];
        // Some blocks bring balances back to what they were, so that nodes come back.
        let state = changed(&parent.state, [salt % ACCOUNTS, salt * 7 % ACCOUNTS], salt % 3);
        self.blocks.push(block(Some(parent), state, salt));
    }

    pub(super) fn get(&self, hash: B256) -> &Arc<ExecutedBlock> {
        self.blocks.iter().find(|block| block.hash() == hash).expect("a block of the tree")
    }

    /// Returns the branch that ends in this block, block 0 first.
    pub(super) fn branch(&self, tip: B256) -> Vec<Arc<ExecutedBlock>> {
        let mut branch = vec![self.get(tip).clone()];
        while branch[0].number() > 0 {
            branch.insert(0, self.get(branch[0].block.header.parent_hash).clone());
        }
        branch
    }

    /// Returns the record that makes a block's state durable where `base` is.
    pub(super) fn checkpoint(&self, block: B256, base: B256) -> Record {
        let block = self.get(block);
        let commit = block.state.commit(&self.get(base).state, &mut accounts()).unwrap();
        let commit = Arc::new(commit);
        Record::Checkpoint { number: block.number(), hash: block.hash(), commit }
    }

    /// Returns records that write blocks from one number on and make them canonical.
    pub(super) fn extend(&self, from: usize, to: usize) -> Vec<Record> {
        let blocks = &self.blocks[from..=to];
        let added = blocks.iter().map(|block| block.hash()).collect();
        let written = blocks.iter().cloned().map(Record::Block);
        written.chain([Record::Canonical { keep: from as u64 - 1, added }]).collect()
    }
}

fn accounts() -> impl Iterator<Item = Address> {
    (0..ACCOUNTS).map(account)
}

fn account(n: u64) -> Address {
    Address::from_word(B256::from(U256::from(n + 0x1000)))
}

fn changed(state: &State, accounts: impl IntoIterator<Item = u64>, wei: u64) -> State {
    let mut changes = StateChanges::default();
    for n in accounts {
        let balance = U256::from(1_000 * n + wei);
        let change = AccountChange { balance, code_hash: KECCAK256_EMPTY, ..Default::default() };
        changes.accounts.insert(account(n), Some(change));
    }
    state.apply(&changes).unwrap()
}

fn block(parent: Option<&Arc<ExecutedBlock>>, state: State, salt: u64) -> Arc<ExecutedBlock> {
    let header = Header {
        parent_hash: parent.map(|parent| parent.hash()).unwrap_or_default(),
        number: parent.map_or(0, |parent| parent.number() + 1),
        extra_data: salt.to_be_bytes().to_vec().into(),
        state_root: state.root(),
        ..Header::default()
    };
    let seal = salt.to_be_bytes().to_vec().into();
    Arc::new(ExecutedBlock {
        block: Block { header: SealedHeader::new(header, seal), body: Body::default() },
        senders: Vec::new(),
        receipts: Vec::new(),
        state,
        changed: accounts().collect(),
        weight: U256::from(7),
        total_weight: parent.map_or(U256::ZERO, |parent| parent.total_weight) + U256::from(7),
        issued: U256::ZERO,
        burned: U256::ZERO,
    })
}
