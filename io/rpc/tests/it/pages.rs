//! The operator's pages, the guard against foreign web pages, and the port itself.

use crate::{
    client::{call, get, request},
    node::{ETHER, Fixture, signed, who},
};
use kette_node::Syncing;
use kette_rpc::{Config, RpcError, serve};
use serde_json::{Value, json};

#[tokio::test]
async fn health_and_readiness_are_two_things() {
    let fixture = Fixture::new().await;
    assert_eq!(get(fixture.at, "/healthz").await.json(), json!({ "alive": true }));
    let ready = get(fixture.at, "/readyz").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true, "reasons": [] })));

    let syncing = Fixture::with(&json!({}), |config, status| {
        config.peers_expected = true;
        status.syncing = Some(Syncing { starting: 0, current: 5, highest: 50 });
    })
    .await;
    assert_eq!(get(syncing.at, "/healthz").await.status, 200);
    let ready = get(syncing.at, "/readyz").await;
    assert_eq!(ready.status, 503);
    let reasons = ready.json()["reasons"].clone();
    assert_eq!(reasons[0], "syncing: at block 5 of 50");
    assert_eq!(reasons[1], "no peers: none of the configured peers is connected");
    let shown = call(syncing.at, "eth_syncing", json!([])).await;
    assert_eq!((&shown["currentBlock"], &shown["highestBlock"]), (&json!("0x5"), &json!("0x32")));
}

#[tokio::test]
async fn status_has_the_plain_numbers() {
    let fixture = Fixture::new().await;
    fixture.mine(5);
    let status = get(fixture.at, "/status").await.json();
    for field in [
        "height",
        "validators",
        "voting_weight",
        "consensus_threshold",
        "blocks_finalized",
        "pending_blocks",
        "uptime_seconds",
        "total_messages",
        "total_bandwidth",
    ] {
        assert!(status[field].is_u64(), "{field}: {status}");
    }
    assert_eq!((&status["height"], &status["blocks_finalized"]), (&json!(5), &json!(2)));
    assert_eq!(status["node"]["chainId"], 1_337);
    let stats = get(fixture.at, "/stats").await.json();
    assert_eq!(
        stats,
        json!({
            "total_messages": 6, "avg_latency": 1.5, "total_bandwidth": 550,
            "message_breakdown": { "ping": 5, "block": 1 },
        })
    );
}

#[tokio::test]
async fn methods_of_validators_say_that_this_chain_has_none() {
    let fixture = Fixture::new().await;
    for (method, params) in [
        ("kette_validators", json!([])),
        ("kette_leader", json!([1])),
        ("kette_consensus", json!([])),
        ("kette_getCertificate", json!(["latest"])),
        ("kette_finalityTimes", json!([])),
    ] {
        let (_, error) = crate::client::failure(fixture.at, method, params).await;
        assert!(error.contains("engine is pow"), "{method}: {error}");
    }
    fixture.mine(2);
    let headers = call(fixture.at, "kette_headers", json!([1, 5])).await;
    assert_eq!(headers.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn pages_are_shown_to_other_ports_too() {
    let fixture = Fixture::new().await;
    let pages = fixture.server.pages();
    let status: Value = serde_json::from_str(&pages("/status").unwrap()).unwrap();
    assert_eq!(status["validators"], 0);
    assert!(pages("/metrics").is_none());
}

#[tokio::test]
async fn metrics_are_in_the_text_format_and_count() {
    let fixture = Fixture::new().await;
    fixture.mine(5);
    fixture.reorganize(2);
    fixture.settled().await;
    call(fixture.at, "eth_chainId", json!([])).await;
    crate::client::failure(fixture.at, "eth_made_up_by_a_stranger", json!([])).await;
    let (_, raw) = signed(0, 0, who(1), 1_001 * ETHER);
    crate::client::failure(fixture.at, "eth_sendRawTransaction", json!([raw])).await;
    let page = get(fixture.at, "/metrics").await;
    assert!(page.head.contains("content-type: application/openmetrics-text"), "{}", page.head);
    for line in page.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(name.starts_with("kette_") || name.starts_with("process_"), "{line}");
    }
    assert!(page.body.ends_with("# EOF\n"));
    for line in [
        "kette_build_info{version=\"0.1.0\",commit=\"unknown\",engine=\"pow\"} 1",
        "kette_chain_height 6",
        "kette_chain_finalized_height 3",
        "kette_chain_reorgs_total 0",
        "kette_chain_reorg_depth_count 1",
        "kette_mempool_rejected_total{reason=\"InsufficientFunds\"} 1",
        "kette_mempool_transactions{state=\"pending\"} 0",
        "kette_p2p_peers{direction=\"inbound\"} 0",
        "kette_p2p_bytes_total{direction=\"in\",kind=\"block\"} 500",
        "kette_p2p_messages_total{direction=\"out\",kind=\"ping\"} 3",
        "kette_p2p_rtt_seconds 0.0015",
        "kette_sync_blocks_behind 0",
        "kette_rpc_request_seconds_count{method=\"eth_chainId\",code=\"0\"} 1",
        "kette_rpc_request_seconds_count{method=\"unknown\",code=\"-32601\"} 1",
    ] {
        assert!(page.body.lines().any(|l| l == line), "{line} is missing in\n{}", page.body);
    }
    assert!(!page.body.contains("made_up"));
}

#[tokio::test]
async fn local_tools_may_call_and_foreign_pages_may_not() {
    let fixture = Fixture::new().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" }).to_string();
    let with = |extra: &str| format!("Content-Type: application/json\r\n{extra}\r\n");
    let local =
        request(fixture.at, "POST", "/", &with("Origin: http://localhost:3000"), &body).await;
    assert_eq!(local.status, 200);
    assert!(
        local.head.contains("access-control-allow-origin: http://localhost:3000"),
        "{}",
        local.head
    );
    let preflight = "Origin: chrome-extension://abc\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = request(fixture.at, "OPTIONS", "/", preflight, "").await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("access-control-allow-headers: content-type"));
    for bad in ["Origin: https://evil.example", "Host: evil.example"] {
        let refused = request(fixture.at, "POST", "/", &with(bad), &body).await;
        assert_eq!(refused.status, 403, "{bad}");
        assert!(!refused.head.contains("access-control-allow-origin"));
    }
    // The same guard stands before WebSocket.
    let upgrade = "Origin: https://evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(request(fixture.at, "GET", "/", upgrade, "").await.status, 403);
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let fixture = Fixture::new().await;
    let error = serve(Config::new(fixture.at), fixture.sources.clone()).await.unwrap_err();
    assert!(matches!(error, RpcError::PortInUse(at) if at == fixture.at));
    let text = error.to_string();
    assert!(
        text.contains(&fixture.at.port().to_string()) && text.contains("--rpc-listen"),
        "{text}"
    );
}

#[tokio::test]
async fn a_stopped_server_frees_its_port() {
    let fixture = Fixture::new().await;
    let (at, sources) = (fixture.at, fixture.sources.clone());
    assert_eq!(call(at, "eth_chainId", json!([])).await, "0x539");
    fixture.server.stop();
    fixture.server.stopped().await;
    let (again, _server) = serve(Config::new(at), sources).await.unwrap();
    assert_eq!(again, at);
    let answer: Value = call(again, "eth_chainId", json!([])).await;
    assert_eq!(answer, "0x539");
}
