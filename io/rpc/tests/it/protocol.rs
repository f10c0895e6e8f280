//! JSON-RPC itself: batches, broken requests, limits.

use crate::{
    client::{self, post, request},
    node::{Fixture, signed, who},
};
use serde_json::{Value, json};

#[tokio::test]
async fn broken_requests_get_the_codes_of_the_specification() {
    let fixture = Fixture::new().await;
    for (body, code) in [
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":", -32700),
        ("nonsense", -32700),
        ("", -32700),
        ("[]", -32600),
        ("{\"id\":1,\"method\":\"eth_chainId\"}", -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"eth_chainId\"}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_nothing\"}", -32601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\",\"params\":[]}", -32602),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\",\"params\":[\"0x1\"]}",
            -32602,
        ),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[1]}", -32602),
    ] {
        let answer = post(fixture.at, body).await.json();
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0", "{body}");
    }
    let (_, message) = client::failure(fixture.at, "eth_nothing", json!([])).await;
    assert_eq!(message, "the method eth_nothing does not exist/is not available");
    let (_, message) = client::failure(fixture.at, "eth_getBalance", json!([])).await;
    assert_eq!(message, "missing value for required argument 0 (address)");
}

#[tokio::test]
async fn a_batch_answers_each_call_and_skips_notifications() {
    let fixture = Fixture::new().await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] },
        { "jsonrpc": "2.0", "id": "b", "method": "eth_nothing" },
        { "jsonrpc": "2.0", "method": "eth_blockNumber" },
        7,
        { "jsonrpc": "2.0", "id": 3, "method": "eth_getBalance", "params": [true] },
        { "jsonrpc": "2.0", "id": 4, "method": "eth_blockNumber" },
    ]);
    let answers = post(fixture.at, &batch.to_string()).await.json();
    let seen: Vec<(Value, Value, Value)> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["id"].clone(), a["result"].clone(), a["error"]["code"].clone()))
        .collect();
    let null = Value::Null;
    assert_eq!(
        seen,
        [
            (json!(1), json!("0x539"), null.clone()),
            (json!("b"), null.clone(), json!(-32601)),
            (null.clone(), null.clone(), json!(-32600)),
            (json!(3), null.clone(), json!(-32602)),
            (json!(4), json!("0x0"), null),
        ]
    );
    let only_notifications = json!([{ "jsonrpc": "2.0", "method": "eth_blockNumber" }]);
    for quiet in [&only_notifications, &only_notifications[0]] {
        let answer = post(fixture.at, &quiet.to_string()).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{quiet}");
    }
}

#[tokio::test]
async fn a_batch_of_transactions_is_taken_in_order_with_a_verdict_each() {
    let fixture = Fixture::new().await;
    let mut batch = Vec::new();
    let mut expected = Vec::new();
    for nonce in 0..20 {
        let (hash, raw) = signed(0, nonce, who(1), 1);
        batch.push(json!({ "jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [raw] }));
        expected.push(json!(hash));
    }
    batch.push(batch[3].clone());
    batch.push(json!({ "jsonrpc": "2.0", "id": 99, "method": "eth_sendRawTransaction", "params": ["0x02ff"] }));
    batch.push(
        json!({ "jsonrpc": "2.0", "id": 98, "method": "eth_sendRawTransaction", "params": [] }),
    );
    batch.push(json!({ "jsonrpc": "2.0", "id": 97, "method": "txpool_status" }));
    let answers = post(fixture.at, &json!(batch).to_string()).await.json();
    let answers = answers.as_array().unwrap();
    for (answer, expected) in answers.iter().zip(&expected) {
        assert_eq!(answer["result"], *expected, "{answer}");
    }
    assert_eq!(answers[20]["error"], json!({ "code": -32000, "message": "already known" }));
    assert_eq!(answers[21]["error"]["code"], -32000);
    assert_eq!(answers[22]["error"]["code"], -32602);
    assert_eq!(answers[23]["result"], json!({ "pending": "0x14", "queued": "0x0" }));
}

#[tokio::test]
async fn too_much_is_refused_whole() {
    let fixture = Fixture::with(&json!({}), |config, _| {
        config.batch_max = 10;
        config.request_bytes_max = 10_000;
        config.response_bytes_max = 1_000;
    })
    .await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let answer = post(fixture.at, &json!(vec![call.clone(); 11]).to_string()).await.json();
    assert_eq!(answer["error"]["code"], -32010, "{answer}");
    let answer = post(fixture.at, &json!(vec![call; 10]).to_string()).await.json();
    assert_eq!(answer.as_array().unwrap().len(), 10);

    let long = "x".repeat(20_000);
    let answer = post(fixture.at, &long).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!(-32007)));

    let answer = client::answer(fixture.at, "kette_genesis", json!([])).await;
    assert_eq!(answer["error"]["code"], -32008, "{answer}");
}

#[tokio::test]
async fn only_json_is_taken_and_only_by_post() {
    let fixture = Fixture::new().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" }).to_string();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(request(fixture.at, "POST", "/", form, &call).await.status, 415);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(request(fixture.at, "PUT", "/", json, &call).await.status, 405);
    assert_eq!(request(fixture.at, "GET", "/nowhere", "", "").await.status, 404);
}
