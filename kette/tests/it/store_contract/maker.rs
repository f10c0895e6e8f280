//! Blocks on any parent, valid and sealed, with states.

use crate::harness::accounts;
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{B64, TxKind, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use kette_consensus::pow;
use kette_ledger::{Attributes, Rules, State};
use kette_types::{
    Address, B256, Block, ChainSpec, EngineSpec, Recovered, SealedHeader, Transaction, U256,
    limits::BODY_BYTES_MAX, spec::PowSpec,
};
use std::{collections::BTreeMap, sync::Arc};

/// Makes blocks; knows all that it made.
pub(super) struct Maker {
    spec: Arc<ChainSpec>,
    constants: PowSpec,
    rules: Rules,
    users: Vec<PrivateKeySigner>,
    made: BTreeMap<B256, (SealedHeader, State)>,
}

/// Users that send transactions.
pub(super) const USERS: usize = 4;

impl Maker {
    pub(super) fn new(spec: &Arc<ChainSpec>, genesis: &SealedHeader, state: &State) -> Self {
        let EngineSpec::Pow(constants) = &spec.kette.as_ref().expect("an engine").engine else {
            panic!("not pow")
        };
        Self {
            spec: spec.clone(),
            constants: constants.clone(),
            rules: Rules::new(spec.clone()),
            users: (0..USERS as u32).map(accounts::signer).collect(),
            made: BTreeMap::from([(genesis.hash(), (genesis.clone(), state.clone()))]),
        }
    }

    pub(super) fn header(&self, hash: B256) -> &SealedHeader {
        &self.made[&hash].0
    }

    /// Returns the state after a block, which lies in memory.
    pub(super) fn state(&self, hash: B256) -> &State {
        &self.made[&hash].1
    }

    /// Returns the user's next transaction after this block: a transfer, or a contract that fills a slot.
    pub(super) fn next(&self, block: B256, user: usize, contract: bool) -> Recovered<Transaction> {
        let from = &self.users[user];
        let account = self.made[&block]
            .1
            .account(from.address())
            .expect("the state is read")
            .unwrap_or_default();
        let (to, input) = if contract {
            // Puts the block's number into slot 1 and leaves this number as code.
            (TxKind::Create, hex!("4380600155600052600a6016f3").to_vec())
        } else {
            (TxKind::Call(Address::repeat_byte(0x40 + (account.nonce % 9) as u8)), Vec::new())
        };
        let transaction = TxEip1559 {
            chain_id: self.spec.chain_id(),
            nonce: account.nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to,
            value: U256::from(u8::from(!contract)),
            input: input.into(),
            ..TxEip1559::default()
        };
        let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("it signs");
        let transaction = Transaction::from(transaction.into_signed(signature));
        Recovered::new_unchecked(transaction, from.address())
    }

    /// Makes a block on `parent`, twelve seconds later; `miner` makes siblings differ.
    pub(super) fn on(
        &mut self,
        parent: B256,
        miner: u8,
        transactions: Vec<Recovered<Transaction>>,
    ) -> Block {
        let (head, state) = &self.made[&parent];
        let timestamp = head.timestamp + 12;
        let excess = pow::difficulty::next_excess(&self.constants, head, timestamp);
        let attributes = Attributes {
            timestamp,
            beneficiary: Address::repeat_byte(miner),
            extra_data: excess.to_be_bytes().to_vec().into(),
            difficulty: self.constants.anchor_difficulty,
            mix_hash: B256::from(pow::seal::header_pow_hash(head)),
            gas_limit: None,
            nonce: B64::ZERO,
            seal: Default::default(),
        };
        let mut transactions = transactions.into_iter();
        let built = kette_ledger::build(
            &self.rules,
            head,
            state,
            &attributes,
            &mut transactions,
            &BTreeMap::new(),
            BODY_BYTES_MAX,
        )
        .expect("a block");
        // At difficulty 1 every nonce wins.
        let header = SealedHeader::new(built.header, Default::default());
        self.made.insert(header.hash(), (header.clone(), built.executed.state));
        Block { header, body: built.body }
    }
}
