//! Filters that are polled, and subscriptions that push.

use crate::{
    client::{call, failure},
    node::{Fixture, LOGGER, TOPIC, who},
};
use jsonrpsee::{
    core::client::{ClientT, Error, Subscription, SubscriptionClientT},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};

async fn connect(fixture: &Fixture) -> WsClient {
    WsClientBuilder::default().build(format!("ws://{}", fixture.at)).await.unwrap()
}

async fn subscribe(client: &WsClient, kind: &str, argument: Option<Value>) -> Subscription<Value> {
    let params = match argument {
        None => rpc_params![kind],
        Some(argument) => rpc_params![kind, argument],
    };
    client.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap()
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    subscription.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn filters_give_what_happened_since_they_were_asked() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let blocks = call(at, "eth_newBlockFilter", json!([])).await;
    let pending = call(at, "eth_newPendingTransactionFilter", json!([])).await;
    let full = call(at, "eth_newPendingTransactionFilter", json!([true])).await;
    let logs = call(at, "eth_newFilter", json!([{ "address": LOGGER }])).await;
    let others = call(at, "eth_newFilter", json!([{ "address": who(0) }])).await;
    let changes = |id: &Value| {
        let id = id.clone();
        async move { call(at, "eth_getFilterChanges", json!([id])).await }
    };
    assert_eq!(changes(&blocks).await, json!([]));
    let hash = fixture.send(0, 0, LOGGER, 0).await;
    fixture.mine(2);
    fixture.settled().await;
    assert_eq!(changes(&blocks).await, json!([fixture.block(1).hash(), fixture.block(2).hash()]));
    assert_eq!(changes(&blocks).await, json!([]));
    assert_eq!(changes(&pending).await, json!([hash]));
    assert_eq!(changes(&full).await[0]["hash"], json!(hash));
    assert_eq!(changes(&others).await, json!([]));
    let seen = changes(&logs).await;
    assert_eq!((&seen[0]["removed"], &seen[0]["transactionHash"]), (&json!(false), &json!(hash)));
    fixture.reorganize(2);
    fixture.settled().await;
    let seen = changes(&logs).await;
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["removed"]), (1, &json!(true)));
    assert_eq!(changes(&blocks).await.as_array().unwrap().len(), 3);

    assert_eq!(call(at, "eth_getFilterLogs", json!([logs])).await, json!([]));
    assert_eq!(failure(at, "eth_getFilterLogs", json!([blocks])).await.1, "filter not found");
    assert_eq!(call(at, "eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(call(at, "eth_uninstallFilter", json!([blocks])).await, false);
    let (code, message) = failure(at, "eth_getFilterChanges", json!([blocks])).await;
    assert_eq!((code, message.as_str()), (-32000, "filter not found"));
}

#[tokio::test]
async fn subscribers_see_heads_and_logs_and_both_sides_of_a_reorganization() {
    let fixture = Fixture::new().await;
    let client = connect(&fixture).await;
    let mut heads = subscribe(&client, "newHeads", None).await;
    let mut logs = subscribe(&client, "logs", Some(json!({ "topics": [TOPIC] }))).await;
    let mut pending = subscribe(&client, "newPendingTransactions", None).await;
    let hash = fixture.send(0, 0, LOGGER, 0).await;
    assert_eq!(next(&mut pending).await, json!(hash));
    fixture.mine(1);
    let mined = fixture.block(1);
    let head = next(&mut heads).await;
    assert_eq!((&head["hash"], &head["number"]), (&json!(mined.hash()), &json!("0x1")));
    assert_eq!(head["parentHash"], json!(mined.block.header.parent_hash));
    let log = next(&mut logs).await;
    assert_eq!((&log["removed"], &log["blockHash"]), (&json!(false), &json!(mined.hash())));

    fixture.reorganize(1);
    let taken_back = next(&mut logs).await;
    assert_eq!(
        (&taken_back["removed"], &taken_back["blockHash"]),
        (&json!(true), &json!(mined.hash()))
    );
    assert_eq!(taken_back["transactionHash"], log["transactionHash"]);
    for number in [1, 2] {
        assert_eq!(next(&mut heads).await["hash"], json!(fixture.block(number).hash()));
    }
    heads.unsubscribe().await.unwrap();
}

/// Requirement T7: each block once, with its reward, when it becomes final.
#[tokio::test]
async fn subscribers_are_told_of_each_final_block_once() {
    let fixture = Fixture::new().await;
    let client = connect(&fixture).await;
    let params = rpc_params!["blockFinalized"];
    let mut under_kette: Subscription<Value> =
        client.subscribe("kette_subscribe", params.clone(), "kette_unsubscribe").await.unwrap();
    let mut under_eth = subscribe(&client, "blockFinalized", None).await;
    fixture.mine(2);
    for number in [1, 2] {
        let block = fixture.block(number);
        let fact = kette_consensus::bft::Event::Final {
            height: number as u64,
            round: 0,
            block: block.hash(),
            signers: 3,
            weight: 300,
            total: 400,
            after_ms: 9,
            live: true,
        };
        let event = std::sync::Arc::new(kette_node::Event::Engine(fact));
        fixture.sources.node.events.send(event).unwrap();
        for told in [next(&mut under_kette).await, next(&mut under_eth).await] {
            assert_eq!((&told["height"], &told["hash"]), (&json!(number), &json!(block.hash())));
            assert_eq!((&told["finalityMs"], &told["live"]), (&json!(9), &json!(true)));
            assert_eq!((&told["reward"], &told["signers"]), (&json!(block.issued), &json!(3)));
        }
    }
}

/// Requirement X25: when something arrived says the receiver, by its own clock.
#[tokio::test]
async fn arrivals_have_the_times_of_the_node() {
    let clock = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap().as_micros()).unwrap()
    };
    let fixture = Fixture::new().await;
    let client = connect(&fixture).await;
    let before = clock();
    let mut arrivals = subscribe(&client, "arrivals", None).await;
    let hash = fixture.send(0, 0, LOGGER, 0).await;
    let told = next(&mut arrivals).await;
    assert_eq!(told["pending"][0][0], json!(hash));
    let at = told["pending"][0][1].as_u64().unwrap();
    assert!(before <= at && at <= clock(), "{before} {at}");
    fixture.mine(2);
    let mut heads = Vec::new();
    while heads.len() < 2 {
        let told = next(&mut arrivals).await;
        assert_eq!(told["pending"], json!([]), "each transaction once");
        heads.extend(told["heads"].as_array().unwrap().clone());
    }
    for (head, number) in heads.iter().zip(1usize..) {
        assert_eq!((&head[0], &head[1]), (&json!(fixture.block(number).hash()), &json!(number)));
        assert!(head[2].as_u64().unwrap() >= at);
    }
    let block = fixture.block(1);
    let fact = kette_node::Event::Finalized { number: 1, hash: block.hash() };
    fixture.sources.node.events.send(std::sync::Arc::new(fact)).unwrap();
    let told = next(&mut arrivals).await;
    assert_eq!((&told["final"][0][0], &told["final"][0][1]), (&json!(block.hash()), &json!(1)));
}

#[tokio::test]
async fn subscriptions_are_checked() {
    let fixture = Fixture::new().await;
    let client = connect(&fixture).await;
    let mut syncing = subscribe(&client, "syncing", None).await;
    assert_eq!(next(&mut syncing).await, json!(false));
    let id: Value = client.request("eth_subscribe", rpc_params!["newHeads"]).await.unwrap();
    assert!(id.as_str().unwrap().starts_with("0x"), "{id}");
    let gone: bool = client.request("eth_unsubscribe", rpc_params![id.clone()]).await.unwrap();
    assert!(gone);
    for params in [json!(["nothing"]), json!([]), json!(["newHeads", {}, 3]), json!(["logs", true])]
    {
        let params: Vec<Value> = serde_json::from_value(params).unwrap();
        let refused = client.request::<Value, _>("eth_subscribe", params.clone()).await;
        let Err(Error::Call(refused)) = refused else { panic!("{params:?} was taken") };
        assert_eq!(refused.code(), -32602, "{params:?}: {refused}");
    }
    let (code, message) = failure(fixture.at, "eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(code, -32601);
    assert!(message.starts_with("notifications not supported over HTTP"), "{message}");
    // The same methods answer over WebSocket.
    let number: String = client.request("eth_blockNumber", rpc_params![]).await.unwrap();
    assert_eq!(number, "0x0");
}
