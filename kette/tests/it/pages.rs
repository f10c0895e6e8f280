//! The pages of a live node for operators: `/healthz`, `/readyz`, `/status`, `/metrics`.

use crate::harness::{Chain, Node, Ports, nets::SOON, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn page(node: &Node, path: &str) -> (u16, Value) {
    let (code, text) = node.rpc.page(path).expect("a page");
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")))
}

#[test]
fn pages_tell_how_a_node_is() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_801, 1);
    let first = Node::new(&ports, 0, &chain).up();
    let node = Node::new(&ports, 1, &chain).dialling(&first).up();
    until("a session", SOON, || match node.rpc.peers() {
        Ok(1) => Ok(()),
        other => Err(other),
    });
    node.mine(8);
    assert_eq!(page(&node, "/healthz"), (200, json!({ "alive": true })));
    assert_eq!(page(&node, "/readyz"), (200, json!({ "ready": true, "reasons": [] })));

    let (code, status) = page(&node, "/status");
    assert_eq!(code, 200);
    let numbers = [
        ("height", 8),
        ("blocks_finalized", 2),
        ("pending_blocks", 6),
        ("peers", 1),
        ("pending_transactions", 0),
        ("validators", 0),
    ];
    for (field, value) in numbers {
        assert_eq!(status[field], json!(value), "{field} in {status}");
    }
    assert_eq!((&status["engine"], &status["syncing"]), (&json!("pow"), &json!(false)));
    for field in ["uptime_seconds", "total_messages", "avg_latency", "total_bandwidth"] {
        assert!(status[field].is_number(), "{field} in {status}");
    }
    assert_eq!(status["node"]["moniker"], "n1");

    let (code, text) = node.rpc.page("/metrics").expect("a page");
    assert_eq!(code, 200);
    let metrics = parse(&text);
    let plain = [
        ("kette_chain_height", 8.0),
        ("kette_chain_finalized_height", 2.0),
        ("kette_chain_blocks_produced_total", 8.0),
        ("kette_p2p_handshakes_completed_total", 1.0),
    ];
    for (name, value) in plain {
        assert_eq!(metrics.get(name), Some(&value), "{name} in\n{text}");
    }
    let peers: f64 =
        metrics.iter().filter(|(k, _)| k.starts_with("kette_p2p_peers")).map(|(_, v)| v).sum();
    assert_eq!(peers, 1.0, "{text}");
    assert!(metrics.contains_key("process_start_time_seconds") || metrics.len() > 20, "{text}");

    assert_eq!(node.rpc.page("/nothing").expect("a page").0, 404);
}

/// A strict reading of Prometheus' text format: every sample stands below a TYPE of its family.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, kind) = rest.split_once(' ').expect("a kind");
            assert!(["counter", "gauge", "histogram", "info", "unknown"].contains(&kind), "{line}");
            assert!(families.insert(family.to_owned(), kind.to_owned()).is_none(), "{line} twice");
            continue;
        }
        if line.starts_with("# HELP ") || line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let bare = name.split('{').next().expect("a first part");
        assert!(bare.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c)), "{line}");
        assert!(!name.contains('{') || name.ends_with('}'), "{line}");
        let suffixes = ["", "_total", "_info", "_bucket", "_sum", "_count"];
        let known = suffixes
            .iter()
            .any(|suffix| bare.strip_suffix(suffix).is_some_and(|f| families.contains_key(f)));
        assert!(known, "no TYPE before {line}");
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} twice");
    }
    samples
}
