//! A node without anything but one address takes over a long chain.

use crate::harness::{
    Chain, Node, Ports, blocks::chain_file, figure, kette, nets::SOON, secs, text, until,
};
use serde_json::json;
use std::time::Instant;

const BLOCKS: u64 = 10_000;

#[test]
fn ten_thousand_blocks_from_one_address() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_701, 1);
    let made = Instant::now();
    let (file, head) = chain_file(&chain, BLOCKS);
    figure("chain file: blocks made in memory per second", per_second(made));
    figure("chain file: bytes", file.len());

    let mut source = Node::new(&ports, 0, &chain);
    let path = source.home().join("chain.rlp");
    std::fs::write(&path, &file).expect("written");
    let imported =
        kette(&["--json", "import", text(&path), "--home", text(source.home())]).json();
    assert_eq!((&imported["blocks"], &imported["head"]), (&json!(BLOCKS), &json!(head)));
    figure("import: blocks per second", BLOCKS as f64 / imported["seconds"].as_f64().expect("s"));

    let took = source.start();
    figure("source: start to RPC with 10,000 blocks, s", took.as_secs_f64());
    // Two more peers that have nothing, to be found by asking the one.
    let mut others: Vec<Node> =
        (1..3).map(|index| Node::new(&ports, index, &chain).dialling(&source).up()).collect();
    let others_synced = |others: &[Node]| {
        for other in others {
            synced(other, head);
        }
    };

    let mut node = Node::new(&ports, 3, &chain).dialling(&source);
    let started = Instant::now();
    node.start();
    synced(&node, head);
    figure("join: blocks per second with two others joining", per_second(started));
    others_synced(&others);
    let (peers, _) = until("all peers found", SOON, || match node.rpc.peers() {
        Ok(peers) if peers >= 3 => Ok(peers),
        other => Err(other),
    });
    figure("join: peers found from one address", peers);

    // The same once more with nobody else on the machine, and this time the bytes count.
    for other in &mut others {
        other.stop();
    }
    node.stop();
    let mut alone = Node::new(&ports, 4, &chain).dialling(&source);
    let started = Instant::now();
    alone.start();
    synced(&alone, head);
    let rate = per_second(started);
    figure("join: blocks per second alone", rate);
    let (_, page) = alone.rpc.page("/stats").expect("a page");
    let stats: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let received = stats["total_bandwidth"].as_u64().expect("bytes");
    figure("join: bytes in and out / bytes of the chain file", format!("{received} / {}", file.len()));
    assert!(received < 3 * file.len() as u64, "{received} bytes for {} of blocks", file.len());
    assert!(rate > 100.0, "{rate} blocks per second");
    let supply = alone.rpc.ask("kette_supply", json!([]));
    assert_eq!(supply["matches"], true, "{supply}");
    assert_eq!(alone.rpc.hash_at(BLOCKS / 2), source.rpc.hash_at(BLOCKS / 2));
    alone.stop();
    figure("join: database bytes", alone.database_bytes());
    figure("source: database bytes", source.database_bytes());

    let took = alone.start();
    figure("restart with 10,000 blocks: start to RPC, s", took.as_secs_f64());
    assert!(took < secs(3), "{took:?}");
    assert_eq!(alone.rpc.status()["hash"], json!(head));
}

fn synced(node: &Node, head: alloy_primitives::B256) {
    until("the same head", secs(120), || {
        let status = node.rpc.call("kette_status", json!([]))?;
        if status["hash"] == json!(head) { Ok(()) } else { Err(status["height"].to_string()) }
    });
}

fn per_second(since: Instant) -> f64 {
    (BLOCKS as f64 / since.elapsed().as_secs_f64()).round()
}
