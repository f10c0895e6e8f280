//! Simulated calls and what a transaction should pay.

use crate::{
    client::{answer, call, failure},
    node::{ETHER, Fixture, LOGGER, REVERTER, TOPIC, who},
};
use alloy_primitives::{U64, U128, U256, hex};
use serde_json::json;

#[tokio::test]
async fn a_revert_carries_reason_and_data() {
    let fixture = Fixture::new().await;
    for method in ["eth_call", "eth_estimateGas"] {
        let answer = answer(fixture.at, method, json!([{ "to": REVERTER }, "latest"])).await;
        let error = &answer["error"];
        assert_eq!(error["code"], 3, "{answer}");
        assert_eq!(error["message"], "execution reverted: nope");
        assert!(error["data"].as_str().unwrap().starts_with("0x08c379a0"), "{answer}");
    }
}

#[tokio::test]
async fn calls_see_state_overrides_and_block_overrides() {
    let fixture = Fixture::new().await;
    fixture.mine(2);
    let at = fixture.at;
    // Returns the block's number, then its timestamp.
    let code = "0x4360005242602052604060 00f3".replace(' ', "");
    let target = who(3);
    let overrides = json!({ target.to_string(): { "code": code } });
    let result = call(at, "eth_call", json!([{ "to": target }, "latest", overrides])).await;
    let word = |text: &serde_json::Value, n: usize| {
        let bytes = hex::decode(text.as_str().unwrap()).unwrap();
        U256::from_be_slice(&bytes[n * 32..(n + 1) * 32])
    };
    assert_eq!(word(&result, 0), U256::from(2));
    let block = json!({ "number": "0x3e8", "time": "0x7fffffff" });
    let result = call(at, "eth_call", json!([{ "to": target }, "latest", overrides, block])).await;
    assert_eq!(word(&result, 0), U256::from(1_000));
    assert_eq!(word(&result, 1), U256::from(0x7fff_ffff));
    // Without overrides the account has no code.
    assert_eq!(call(at, "eth_call", json!([{ "to": target }])).await, "0x");
}

#[tokio::test]
async fn estimates_are_enough_and_impossible_ones_fail() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let transfer = json!([{ "from": who(0), "to": who(1), "value": "0x1" }]);
    assert_eq!(call(at, "eth_estimateGas", transfer).await, "0x5208");
    let logging = call(at, "eth_estimateGas", json!([{ "from": who(0), "to": LOGGER }])).await;
    let gas: U64 = serde_json::from_value(logging).unwrap();
    assert!((40_000..60_000).contains(&gas.to::<u64>()), "{gas}");
    let value = U256::from(5_000 * ETHER);
    let poor = json!([{ "from": who(0), "to": who(1), "value": value, "gasPrice": "0x3b9aca00" }]);
    let (code, message) = failure(at, "eth_estimateGas", poor).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("insufficient funds for gas * price + value"), "{message}");
    let (code, message) = failure(at, "eth_call", json!([{ "to": LOGGER, "gas": "0x1" }])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("intrinsic gas too low"), "{message}");
    let both = json!([{ "to": LOGGER, "gasPrice": "0x1", "maxFeePerGas": "0x1" }]);
    assert_eq!(failure(at, "eth_call", both).await.0, -32602);
}

#[tokio::test]
async fn access_lists_name_what_is_touched() {
    let fixture = Fixture::new().await;
    let request = json!([{ "from": who(0), "to": LOGGER }, "latest"]);
    let made = call(fixture.at, "eth_createAccessList", request).await;
    assert_eq!(made["accessList"][0]["address"], json!(LOGGER));
    assert_eq!(made["accessList"][0]["storageKeys"].as_array().unwrap().len(), 1);
    let reverting = call(fixture.at, "eth_createAccessList", json!([{ "to": REVERTER }])).await;
    assert_eq!(reverting["error"], "execution reverted: nope");
}

#[tokio::test]
async fn fees_follow_the_chain() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let tip: U128 =
        serde_json::from_value(call(at, "eth_maxPriorityFeePerGas", json!([])).await).unwrap();
    assert_eq!(tip, U128::from(1_000_000));
    fixture.send(0, 0, who(1), 1).await;
    fixture.send(1, 0, who(1), 1).await;
    fixture.mine(3);
    let tip: U128 =
        serde_json::from_value(call(at, "eth_maxPriorityFeePerGas", json!([])).await).unwrap();
    assert_eq!(tip, U128::from(2_000_000_000));
    let price: U128 = serde_json::from_value(call(at, "eth_gasPrice", json!([])).await).unwrap();
    let base: U128 = serde_json::from_value(call(at, "eth_baseFee", json!([])).await).unwrap();
    // Fees fall here: a price must satisfy the head as well, on which wallets simulate.
    let head = call(at, "eth_getBlockByNumber", json!(["latest", false])).await;
    let head: U128 = serde_json::from_value(head["baseFeePerGas"].clone()).unwrap();
    assert!(head > base);
    assert_eq!(price, tip + head);
    let history = call(at, "eth_feeHistory", json!(["0x3", "latest", [0, 50, 100]])).await;
    assert_eq!(history["oldestBlock"], "0x1");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 4);
    assert_eq!(history["baseFeePerGas"][3], json!(base));
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 3);
    assert_eq!(history["reward"][0], json!(["0x77359400", "0x77359400", "0x77359400"]));
    assert_eq!(history["reward"][1], json!(["0x0", "0x0", "0x0"]));
    let all = call(at, "eth_feeHistory", json!([1024, "latest"])).await;
    assert_eq!(all["oldestBlock"], "0x0");
    for params in [
        json!(["0x1", "latest", [50, 10]]),
        json!(["0x1", "latest", [101]]),
        json!(["0x1", "0xff"]),
    ] {
        assert_eq!(failure(at, "eth_feeHistory", params).await.0, -32602);
    }
}

#[tokio::test]
async fn logs_are_found_by_range_hash_address_and_topic() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    fixture.mine(1);
    let hash = fixture.send(0, 0, LOGGER, 0).await;
    fixture.mine(1);
    let block = fixture.block(2).hash();
    let count = |filter| async move {
        call(at, "eth_getLogs", json!([filter])).await.as_array().unwrap().len()
    };
    for (filter, expected) in [
        (json!({ "fromBlock": "earliest" }), 1),
        (json!({ "fromBlock": "0x0", "toBlock": "0x1" }), 0),
        (json!({ "fromBlock": "0x2", "toBlock": "0x2", "address": LOGGER, "topics": [TOPIC] }), 1),
        (
            json!({ "fromBlock": "0x0", "address": [LOGGER, REVERTER], "topics": [[TOPIC, block]] }),
            1,
        ),
        (json!({ "fromBlock": "0x0", "address": REVERTER }), 0),
        (json!({ "fromBlock": "0x0", "topics": [null, TOPIC] }), 0),
        (json!({ "blockHash": block }), 1),
        (json!({ "blockHash": fixture.block(1).hash() }), 0),
        (json!({ "fromBlock": "0x64", "toBlock": "0x65" }), 0),
    ] {
        assert_eq!(count(filter.clone()).await, expected, "{filter}");
    }
    let by_hash = call(at, "eth_getLogs", json!([{ "blockHash": block }])).await;
    let by_range = call(at, "eth_getLogs", json!([{ "fromBlock": "0x2" }])).await;
    assert_eq!(by_hash, by_range);
    assert_eq!(by_hash[0]["transactionHash"], json!(hash));
    assert_eq!((&by_hash[0]["removed"], &by_hash[0]["logIndex"]), (&json!(false), &json!("0x0")));
    let (code, _) =
        failure(at, "eth_getLogs", json!([{ "fromBlock": "0x5", "toBlock": "0x1" }])).await;
    assert_eq!(code, -32602);
    let (code, _) = failure(at, "eth_getLogs", json!([{ "blockHash": TOPIC }])).await;
    assert_eq!(code, -32001);
    let topics: Vec<_> =
        (0..1_001_u64).map(|n| alloy_primitives::B256::from(U256::from(n))).collect();
    let (code, _) = failure(at, "eth_getLogs", json!([{ "topics": [topics] }])).await;
    assert_eq!(code, -32005);
}
