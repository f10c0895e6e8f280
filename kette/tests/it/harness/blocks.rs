//! Long chains, made in memory in seconds and written as an RLP chain file.

use super::{Chain, accounts};
use alloy_consensus::transaction::Recovered;
use alloy_primitives::B64;
use alloy_rlp::Encodable as _;
use kette_consensus::pow;
use kette_ledger::{Attributes, Rules, State};
use kette_types::{Address, B256, EngineSpec, SealedHeader, Transaction};
use std::{collections::BTreeMap, sync::Arc};

/// Makes `count` blocks on a chain of difficulty 1, twelve seconds apart, with one transfer in every fifth.
/// Returns the chain file and the head's hash.
pub(crate) fn chain_file(chain: &Chain, count: u64) -> (Vec<u8>, B256) {
    let spec = Arc::new(chain.spec());
    let EngineSpec::Pow(constants) = spec.kette.as_ref().expect("an engine").engine.clone() else {
        panic!("not pow")
    };
    let rules = Rules::new(spec.clone());
    let (genesis, state) = kette_ledger::genesis(&spec).expect("a genesis block");
    let mut maker = Maker { rules, head: genesis, state, hashes: BTreeMap::new() };
    maker.hashes.insert(0, maker.head.hash());
    let (from, to) = (accounts::signer(0), accounts::address(1));
    let mut file = Vec::new();
    for number in 1..=count {
        let timestamp = maker.head.timestamp + 12;
        let excess = pow::difficulty::next_excess(&constants, &maker.head, timestamp);
        let attributes = Attributes {
            timestamp,
            beneficiary: Address::repeat_byte(0x11),
            extra_data: excess.to_be_bytes().to_vec().into(),
            difficulty: constants.anchor_difficulty,
            mix_hash: B256::from(pow::seal::header_pow_hash(&maker.head)),
            gas_limit: None,
            nonce: B64::ZERO,
            seal: Default::default(),
        };
        let transfer = (number % 5 == 0).then(|| {
            let envelope = accounts::transfer(&from, to, 1_000, number / 5 - 1, spec.chain_id());
            Recovered::new_unchecked(Transaction::from(envelope), from.address())
        });
        maker.add(&attributes, transfer, &mut file);
    }
    (file, maker.head.hash())
}

struct Maker {
    rules: Rules,
    head: SealedHeader,
    state: State,
    hashes: BTreeMap<u64, B256>,
}

impl Maker {
    fn add(
        &mut self,
        attributes: &Attributes,
        transaction: Option<Recovered<Transaction>>,
        file: &mut Vec<u8>,
    ) {
        let wanted = usize::from(transaction.is_some());
        let built = kette_ledger::build(
            &self.rules,
            &self.head,
            &self.state,
            attributes,
            &mut transaction.into_iter(),
            &self.hashes,
            1 << 20,
        )
        .expect("a block");
        assert_eq!(built.body.transactions.len(), wanted, "{:?}", built.skipped);
        self.state = built.executed.state;
        // At difficulty 1 every nonce wins.
        self.head = SealedHeader::new(built.header.clone(), Default::default());
        self.hashes.insert(self.head.number, self.head.hash());
        alloy_consensus::Block { header: built.header, body: built.body }.encode(file);
    }
}
