//! Blocks of difficulty one, made in memory.

use crate::harness::{Chain, accounts};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, transaction::Recovered};
use alloy_primitives::{B64, TxKind};
use alloy_signer::SignerSync as _;
use kette_consensus::pow;
use kette_ledger::{Attributes, Rules, State};
use kette_types::{
    Address, B256, Block, Bytes, EngineSpec, Header, Message, SealedHeader, Transaction, U256,
    message::CompactBlock, spec::PowSpec,
};
use std::{collections::BTreeMap, sync::Arc};

/// A chain that grows block by block.
#[derive(Clone)]
pub(super) struct Forge {
    rules: Rules,
    constants: PowSpec,
    pub(super) head: SealedHeader,
    state: State,
    hashes: BTreeMap<u64, B256>,
    /// Who is paid: other miners make other blocks.
    pub(super) miner: Address,
}

impl Forge {
    pub(super) fn new(chain: &Chain) -> Self {
        let spec = Arc::new(chain.spec());
        let EngineSpec::Pow(constants) = spec.kette.as_ref().expect("an engine").engine.clone()
        else {
            panic!("not pow")
        };
        let (head, state) = kette_ledger::genesis(&spec).expect("a genesis block");
        let hashes = BTreeMap::from([(0, head.hash())]);
        let miner = Address::repeat_byte(0x11);
        Self { rules: Rules::new(spec), constants, head, state, hashes, miner }
    }

    /// Adds a block with these transactions.
    pub(super) fn block(&mut self, transactions: Vec<Recovered<Transaction>>) -> Block {
        let timestamp = self.head.timestamp + 12;
        let attributes = self.attributes(timestamp);
        let wanted = transactions.len();
        let built = kette_ledger::build(
            &self.rules,
            &self.head,
            &self.state,
            &attributes,
            &mut transactions.into_iter(),
            &self.hashes,
            4 << 20,
        )
        .expect("a block");
        assert_eq!(built.body.transactions.len(), wanted, "{:?}", built.skipped);
        self.state = built.executed.state;
        self.head = SealedHeader::new(built.header, Bytes::new());
        self.hashes.insert(self.head.number, self.head.hash());
        Block { header: self.head.clone(), body: built.body }
    }

    /// A header on top of the head, good but for what `change` does to it. Without transactions.
    pub(super) fn header(&self, timestamp: u64, change: impl FnOnce(&mut Header)) -> SealedHeader {
        let mut next = self.clone();
        let mut header = next.block(Vec::new()).header.header().clone();
        header.timestamp = timestamp;
        header.extra_data = self.extra_data(timestamp);
        change(&mut header);
        SealedHeader::new(header, Bytes::new())
    }

    fn extra_data(&self, timestamp: u64) -> Bytes {
        pow::difficulty::next_excess(&self.constants, &self.head, timestamp)
            .to_be_bytes()
            .to_vec()
            .into()
    }

    fn attributes(&self, timestamp: u64) -> Attributes {
        Attributes {
            timestamp,
            beneficiary: self.miner,
            extra_data: self.extra_data(timestamp),
            difficulty: self.constants.anchor_difficulty,
            mix_hash: B256::from(pow::seal::header_pow_hash(&self.head)),
            gas_limit: None,
            nonce: B64::ZERO,
            seal: Default::default(),
        }
    }
}

/// The announcement of a block.
pub(super) fn announce(block: &Block) -> Message {
    Message::NewBlock(Box::new(kette_node::relay::compact(block)))
}

/// The announcement of a header with ids of the caller's choice.
pub(super) fn announce_with(header: SealedHeader, short_ids: Vec<u64>) -> Message {
    Message::NewBlock(Box::new(CompactBlock { header, short_ids }))
}

/// A call with `input` from development account `from`.
pub(super) fn call(
    chain: &Chain,
    from: u32,
    nonce: u64,
    to: TxKind,
    gas: u64,
    input: Vec<u8>,
) -> Recovered<Transaction> {
    let signer = accounts::signer(from);
    let transaction = TxEip1559 {
        chain_id: chain.spec().chain_id(),
        nonce,
        gas_limit: gas,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value: U256::ZERO,
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).expect("it signs");
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Recovered::new_unchecked(Transaction::from(envelope), signer.address())
}
