//! Tests of header rules.

use super::*;
use crate::testing::Chain;
use alloy_primitives::{B64, U256};
use kette_types::Bytes;
use serde_json::json;

/// Changes one thing of a valid header and expects the rule that it breaks.
fn check(chain: &Chain, change: impl FnOnce(&mut Header)) -> Result<(), HeaderError> {
    let mut header = chain.build([]).header;
    check_header(&chain.rules, &header, &chain.head).expect("valid before the change");
    change(&mut header);
    check_header(&chain.rules, &header, &chain.head)
}

#[test]
fn every_rule_on_a_kette_chain() {
    let chain = Chain::new();
    let parent = chain.head.hash();
    let ones = B256::repeat_byte(1);
    let limit = chain.head.gas_limit;
    let bound = limit / 1_024;

    let got = check(&chain, |h| h.parent_hash = ones);
    assert_eq!(got, Err(HeaderError::ParentHash { got: ones, expected: parent }));
    let got = check(&chain, |h| h.number = 2);
    assert_eq!(got, Err(HeaderError::Number { got: 2, expected: 1 }));
    let got = check(&chain, |h| h.extra_data = Bytes::from(vec![0; 33]));
    assert_eq!(got, Err(HeaderError::ExtraData { got: 33, max: 32 }));
    assert_eq!(check(&chain, |h| h.extra_data = Bytes::from(vec![0; 32])), Ok(()));
    let (min, max) = (GAS_LIMIT_MIN, GAS_LIMIT_MAX);
    for got in [4_999, 1 << 63] {
        let result = check(&chain, |h| h.gas_limit = got);
        assert_eq!(result, Err(HeaderError::GasLimitRange { got, min, max }));
    }
    for got in [limit + bound, limit - bound] {
        let result = check(&chain, |h| h.gas_limit = got);
        assert_eq!(result, Err(HeaderError::GasLimitStep { got, parent: limit, bound }));
    }
    for fine in [limit + bound - 1, limit - bound + 1] {
        assert_eq!(check(&chain, |h| h.gas_limit = fine), Ok(()));
    }
    let got = check(&chain, |h| h.gas_used = limit + 1);
    assert_eq!(got, Err(HeaderError::GasUsed { got: limit + 1, limit }));
    for got in [None, Some(1)] {
        let result = check(&chain, |h| h.base_fee_per_gas = got);
        assert_eq!(result, Err(HeaderError::BaseFee { got, expected: Some(875_000_000) }));
    }
    let got = check(&chain, |h| h.ommers_hash = ones);
    assert_eq!(got, Err(HeaderError::Ommers { got: ones, expected: EMPTY_OMMER_ROOT_HASH }));
    for got in [None, Some(ones)] {
        let result = check(&chain, |h| h.withdrawals_root = got);
        let expected = Some(EMPTY_WITHDRAWALS);
        assert_eq!(result, Err(HeaderError::Withdrawals { got, expected }));
    }
    for got in [None, Some(131_072)] {
        let result = check(&chain, |h| h.blob_gas_used = got);
        assert_eq!(result, Err(HeaderError::BlobGasUsed { got, max: Some(0) }));
        let result = check(&chain, |h| h.excess_blob_gas = got);
        assert_eq!(result, Err(HeaderError::ExcessBlobGas { got, expected: Some(0) }));
    }
    for got in [None, Some(ones)] {
        let result = check(&chain, |h| h.parent_beacon_block_root = got);
        assert_eq!(result, Err(HeaderError::BeaconRoot { got }));
    }
    let got = check(&chain, |h| h.requests_hash = None);
    assert_eq!(got, Err(HeaderError::RequestsHash { got: None }));
    assert_eq!(check(&chain, |h| h.slot_number = Some(1)), Err(HeaderError::LaterFork));
    assert_eq!(
        check(&chain, |h| h.block_access_list_hash = Some(ones)),
        Err(HeaderError::LaterFork)
    );
    // Seal, difficulty and time are the engine's.
    assert_eq!(check(&chain, |h| h.timestamp = 0), Ok(()));
    assert_eq!(check(&chain, |h| h.nonce = B64::repeat_byte(9)), Ok(()));
    assert_eq!(check(&chain, |h| h.difficulty = U256::from(9)), Ok(()));
}

#[test]
fn plain_ethereum_checks_time_and_the_merge() {
    let chain = Chain::with(
        &json!({}),
        &json!({ "difficulty": "0x0", "config": {
            "kette": null, "terminalTotalDifficulty": 0, "homesteadBlock": 0, "eip150Block": 0,
            "eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "shanghaiTime": 0,
        } }),
    );
    let mut valid = chain.build([]).header;
    valid.difficulty = U256::ZERO;
    let check = |change: &dyn Fn(&mut Header)| {
        let mut header = valid.clone();
        change(&mut header);
        check_header(&chain.rules, &header, &chain.head)
    };
    assert_eq!(check(&|_| {}), Ok(()));
    assert_eq!(check(&|h| h.timestamp = 0), Err(HeaderError::Timestamp { got: 0, parent: 0 }));
    assert_eq!(check(&|h| h.nonce = B64::repeat_byte(1)), Err(HeaderError::ProofOfWork));
    assert_eq!(check(&|h| h.withdrawals_root = Some(B256::ZERO)), Ok(()));
    let got = Some(0);
    let expected = HeaderError::BlobGasUsed { got, max: None };
    assert_eq!(check(&|h| h.blob_gas_used = got), Err(expected));
    let got = Some(B256::ZERO);
    assert_eq!(check(&|h| h.requests_hash = got), Err(HeaderError::RequestsHash { got }));
}

#[test]
fn gas_limit_walks_to_its_target() {
    assert_eq!(next_gas_limit(30_000_000, 30_000_000), 30_000_000);
    assert_eq!(next_gas_limit(30_000_000, 60_000_000), 30_029_295);
    assert_eq!(next_gas_limit(30_000_000, 0), 29_970_705);
    assert_eq!(next_gas_limit(5_000, 0), 5_000);
    assert_eq!(next_gas_limit(5_000, 5_001), 5_001);
}
