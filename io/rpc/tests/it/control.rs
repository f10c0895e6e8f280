//! `kette_` and the methods of development chains.

use crate::{
    client::{call, failure, request},
    node::{ETHER, Fixture, LOGGER, REVERTER, signed, who},
};
use alloy_primitives::{Address, B256, U256};
use kette_types::PeerId;
use serde_json::{Value, json};

const PEER: B256 = B256::repeat_byte(0xaa);

#[tokio::test]
async fn links_are_cut_only_where_no_stranger_takes_part() {
    let local = Fixture::new().await;
    assert_eq!(call(local.at, "kette_cut", json!([])).await, json!([]));
    assert_eq!(call(local.at, "kette_setCut", json!([[PEER]])).await, json!([PeerId(PEER)]));
    assert_eq!(call(local.at, "kette_cut", json!([])).await, json!([PeerId(PEER)]));
    assert_eq!(failure(local.at, "kette_setCut", json!([["nobody"]])).await.0, -32602);

    let public =
        Fixture::with(&json!({ "development": false, "network": "public" }), |_, _| {}).await;
    let (code, message) = failure(public.at, "kette_setCut", json!([[PEER]])).await;
    assert_eq!(code, -32004);
    assert!(message.contains("network: local"), "{message}");
    assert_eq!(call(public.at, "kette_cut", json!([])).await, json!([]));
    let (code, message) = failure(public.at, "evm_mine", json!([])).await;
    assert_eq!(code, -32004);
    assert!(message.contains("development"), "{message}");
}

#[tokio::test]
async fn links_are_shaped_by_numbers_within_bounds() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let link = json!({ "peer": PeerId(PEER), "latencyMs": 80, "loss": 0.01, "bandwidth": 1_000 });
    let set = call(at, "kette_setLinks", json!([{ "uplink": 5_000, "list": [link] }])).await;
    assert_eq!((&set["uplink"], &set["list"][0]["latencyMs"]), (&json!(5_000), &json!(80.0)));
    let shown = call(at, "kette_links", json!([])).await;
    assert_eq!((&shown["list"], &shown["sessions"]), (&set["list"], &json!([])));
    for bad in [
        json!({ "list": [{ "peer": PeerId(PEER), "loss": 2 }] }),
        json!({ "list": [{ "peer": PeerId(PEER), "latencyMs": -1 }] }),
        json!({ "list": [{ "peer": "nobody" }] }),
        json!({ "list": [{ "peer": PeerId(PEER), "speed": 1 }] }),
        json!({ "uplink": 0, "list": [] }),
    ] {
        let (code, message) = failure(at, "kette_setLinks", json!([bad])).await;
        assert_eq!(code, -32602, "{message}");
    }
    assert_eq!(failure(at, "kette_setCut", json!([[PEER], 0])).await.0, -32602);
    assert_eq!(call(at, "kette_links", json!([])).await["list"], set["list"]);
    let public =
        Fixture::with(&json!({ "development": false, "network": "public" }), |_, _| {}).await;
    let (code, message) = failure(public.at, "kette_setLinks", json!([{ "list": [] }])).await;
    assert_eq!(code, -32004);
    assert!(message.contains("network: local"), "{message}");
}

#[tokio::test]
async fn a_node_is_changed_only_by_who_has_the_token() {
    let token = |config: &mut kette_rpc::Config| config.control_token = Some("secret".to_owned());
    let fixture = Fixture::with(&json!({}), |config, _| token(config)).await;
    let at = fixture.at;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "kette_setCut", "params": [[PEER]] });
    for (header, may) in [
        ("", false),
        ("Authorization: Bearer wrong!\r\n", false),
        ("Authorization: Bearer secre\r\n", false),
        ("Authorization: Bearer secrets\r\n", false),
        ("Authorization: secret\r\n", false),
        ("Authorization: Bearer secret\r\n", true),
    ] {
        let headers = format!("Content-Type: application/json\r\n{header}");
        let answer = request(at, "POST", "/", &headers, &body.to_string()).await.json();
        assert_eq!(answer["result"].is_array(), may, "{header}: {answer}");
        if !may {
            assert!(answer["error"]["message"].as_str().unwrap().contains("control.token"));
        }
    }
    // So does every method that changes the node, and none that only asks, or hands in what nodes check.
    let document: Value = request(at, "GET", "/openrpc.json", "", "").await.json();
    let control = |method: &&Value| method["tags"][0]["name"] == "control";
    let methods = document["methods"].as_array().unwrap();
    let names: Vec<&str> =
        methods.iter().filter(control).filter_map(|method| method["name"].as_str()).collect();
    assert_eq!(names.len(), CONTROL.len(), "{names:?}");
    for method in CONTROL {
        assert!(names.contains(&method), "{method} is not among {names:?}");
        let (code, message) = failure(at, method, json!([])).await;
        assert_eq!(
            (code, message.contains("control.token")),
            (-32004, true),
            "{method}: {message}"
        );
    }
    assert_eq!(call(at, "kette_links", json!([])).await["cut"], json!([PeerId(PEER)]));
    assert_eq!(call(at, "kette_peers", json!([])).await, json!([]));
}

/// What changes a node.
const CONTROL: [&str; 10] = [
    "kette_setCut",
    "kette_setLinks",
    "kette_addPeer",
    "kette_removePeer",
    "kette_ban",
    "kette_unban",
    "kette_startMining",
    "kette_stopMining",
    "kette_mine",
    "kette_approveReorg",
];

#[tokio::test]
async fn control_methods_can_be_left_out() {
    let fixture = Fixture::with(&json!({}), |config, _| config.control = false).await;
    for (method, params) in [("kette_stopMining", json!([])), ("kette_ban", json!([PEER]))] {
        let (code, message) = failure(fixture.at, method, params).await;
        assert_eq!(code, -32004, "{message}");
        assert!(message.contains(method), "{message}");
    }
    assert_eq!(call(fixture.at, "kette_status", json!([])).await["height"], 0);
}

#[tokio::test]
async fn operators_steer_the_node() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    assert_eq!(call(at, "kette_addPeer", json!(["127.0.0.1:20000"])).await, true);
    assert_eq!(failure(at, "kette_addPeer", json!(["nowhere"])).await.0, -32602);
    assert_eq!(call(at, "kette_ban", json!([PEER, 60])).await, true);
    assert_eq!(failure(at, "kette_unban", json!([PEER])).await.0, -32001);
    assert_eq!(failure(at, "kette_removePeer", json!([7])).await.0, -32602);
    assert_eq!(call(at, "kette_peers", json!([])).await, json!([]));
    for (method, params) in [
        ("kette_startMining", json!([2])),
        ("kette_stopMining", json!([])),
        ("kette_approveReorg", json!([PEER])),
        ("evm_setAutomine", json!([true])),
    ] {
        assert_eq!(call(at, method, params).await, true, "{method}");
    }
    assert_eq!(call(at, "kette_mine", json!([3])).await, true);
    assert_eq!(call(at, "eth_blockNumber", json!([])).await, "0x3");
    assert_eq!(failure(at, "kette_mine", json!([1_000_000])).await.0, -32005);
    assert_eq!(call(at, "kette_engine", json!([])).await["engine"], "pow");
    assert_eq!(call(at, "kette_network", json!([])).await, json!({ "transport": "test" }));
    assert_eq!(call(at, "kette_stats", json!([])).await["total_messages"], 6);
}

#[tokio::test]
async fn external_miners_are_answered() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let (code, message) = failure(at, "kette_getWork", json!([])).await;
    assert_eq!(code, -32000);
    assert!(message.contains("kette_startMining"), "{message}");
    let (code, message) = failure(at, "kette_submitWork", json!([PEER, "0x5"])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("stale work"), "{message}");
    let verdict = call(at, "eth_submitWork", json!(["0x0000000000000005", PEER, PEER])).await;
    assert_eq!(verdict, false);
    assert_eq!(failure(at, "kette_submitBlock", json!(["0x00"])).await.0, -32602);
    let raw = alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(&fixture.block(0).block));
    let (code, message) = failure(at, "kette_submitBlock", json!([raw])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("invalid block: unknown parent"), "{message}");
}

#[tokio::test]
async fn the_chain_is_described() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let first = fixture.send(0, 0, who(1), 5).await;
    fixture.mine(1);
    let second = fixture.send(1, 0, who(0), 5).await;
    let third = fixture.send(1, 1, LOGGER, 0).await;
    fixture.mine(12);
    let supply = call(at, "kette_supply", json!([])).await;
    assert_eq!(supply["matches"], true, "{supply}");
    assert_eq!(supply["genesis"], json!(U256::from(4_000 * ETHER)));
    assert_eq!(supply["issued"], json!(U256::from(13 * 2 * ETHER)));
    assert_ne!(supply["burned"], "0x0");

    for name in [json!(1), json!("0x1"), json!(fixture.block(1).hash())] {
        let block = call(at, "kette_block", json!([name])).await;
        assert_eq!(block["hash"], json!(fixture.block(1).hash()));
        assert_eq!((&block["senders"], &block["seal"]), (&json!([who(0)]), &json!("0x")));
        assert_eq!((&block["canonical"], &block["final"]), (&json!(true), &json!(true)));
        assert_eq!(block["totalWeight"], "0x8");
    }
    assert_eq!(call(at, "kette_block", json!([99])).await, Value::Null);
    let locator = call(at, "kette_locator", json!([])).await;
    let locator = locator.as_array().unwrap();
    assert_eq!(locator.first(), Some(&json!(fixture.block(13).hash())));
    assert_eq!(locator.last(), Some(&json!(fixture.block(0).hash())));
    assert_eq!(call(at, "kette_genesis", json!([])).await["config"]["chainId"], 1_337);

    let hashes = |page: &Value| -> Vec<Value> {
        page["transactions"].as_array().unwrap().iter().map(|line| line["hash"].clone()).collect()
    };
    let page = call(at, "kette_addressTransactions", json!([who(1), null, 2])).await;
    assert_eq!(hashes(&page), [json!(third), json!(second)]);
    let rest = call(at, "kette_addressTransactions", json!([who(1), page["next"], 2])).await;
    assert_eq!((hashes(&rest), &rest["next"]), (vec![json!(first)], &Value::Null));
}

#[tokio::test]
async fn development_tools_make_and_unmake_blocks() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    fixture.send(0, 0, who(1), 5).await;
    assert_eq!(call(at, "evm_mine", json!([])).await, "0x0");
    let id = call(at, "evm_snapshot", json!([])).await;
    assert_eq!(id, "0x1");
    fixture.send(0, 1, who(1), 5).await;
    assert_eq!(call(at, "hardhat_mine", json!(["0x2"])).await, true);
    assert_eq!(call(at, "anvil_mine", json!([1, 1])).await, Value::Null);
    assert_eq!(call(at, "evm_mine", json!([{ "blocks": 2 }])).await, "0x0");
    assert_eq!(call(at, "eth_blockNumber", json!([])).await, "0x6");
    assert_eq!(call(at, "evm_revert", json!([id])).await, true);
    assert_eq!(call(at, "eth_blockNumber", json!([])).await, "0x1");
    assert_eq!(call(at, "eth_getTransactionCount", json!([who(0)])).await, "0x1");
    assert_eq!(call(at, "evm_revert", json!([id])).await, false);
    assert_eq!(call(at, "evm_setNextBlockTimestamp", json!([2_000_000_000])).await, Value::Null);
    assert_eq!(call(at, "anvil_nodeInfo", json!([])).await["currentBlockNumber"], "0x1");
    let (hash, raw) = signed(2, 0, who(1), 1);
    call(at, "eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(call(at, "anvil_dropTransaction", json!([hash])).await, json!(hash));
    assert_eq!(call(at, "eth_getTransactionByHash", json!([hash])).await, Value::Null);
    assert_eq!(call(at, "anvil_dropTransaction", json!([hash])).await, Value::Null);
    for (method, params) in [
        ("anvil_setBalance", json!([Address::ZERO, "0x1"])),
        ("hardhat_impersonateAccount", json!([REVERTER])),
    ] {
        let (code, message) = failure(at, method, params).await;
        assert_eq!(code, -32004);
        assert!(message.starts_with("state comes only from blocks"), "{message}");
    }
}

#[tokio::test]
async fn a_transaction_can_be_sent_with_its_receipt_awaited() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let (hash, raw) = signed(0, 0, who(1), 5);
    let mut events = fixture.handle.events.subscribe();
    let sent =
        tokio::spawn(async move { call(at, "eth_sendRawTransactionSync", json!([raw])).await });
    // The pool has it; only a block makes the answer come.
    events.recv().await.unwrap();
    fixture.mine(1);
    assert_eq!(sent.await.unwrap()["transactionHash"], json!(hash));
    let (_, raw) = signed(0, 1, who(1), 5);
    let (code, message) = failure(at, "eth_sendRawTransactionSync", json!([raw, 1])).await;
    assert_eq!(code, -32000);
    assert!(message.contains("was added to the pool"), "{message}");
}
