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
    let imported = kette(&["--json", "import", text(&path), "--home", text(source.home())]).json();
    assert_eq!((&imported["blocks"], &imported["head"]), (&json!(BLOCKS), &json!(head)));
    figure("import: blocks per second", BLOCKS as f64 / imported["seconds"].as_f64().expect("s"));

    let finished = source.home().join("finished.sqlite");
    std::fs::copy(source.database(), &finished).expect("copied");
    let took = source.start();
    figure("source: start to RPC with 10,000 blocks, s", took.as_secs_f64());
    // Two more that have the chain already, to be found by asking the one.
    let copies: Vec<Node> = (1..3)
        .map(|index| {
            let copy = Node::new(&ports, index, &chain).dialling(&source);
            std::fs::copy(&finished, copy.database()).expect("copied");
            copy.up()
        })
        .collect();

    let mut node = Node::new(&ports, 3, &chain).dialling(&source);
    let started = Instant::now();
    node.start();
    until("the same head", secs(120), || {
        let status = node.rpc.call("kette_status", json!([]))?;
        if status["hash"] == json!(head) { Ok(()) } else { Err(status["height"].to_string()) }
    });
    let rate = per_second(started);
    figure("join: blocks per second", rate);
    let (peers, _) = until("all peers found", SOON, || match node.rpc.peers() {
        Ok(peers) if peers >= 3 => Ok(peers),
        other => Err(other),
    });
    figure("join: peers found from one address", peers);
    let (_, page) = node.rpc.page("/stats").expect("a page");
    let stats: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let received = stats["total_bandwidth"].as_u64().expect("bytes");
    figure(
        "join: bytes in and out / bytes of the chain file",
        format!("{received} / {}", file.len()),
    );
    assert!(received < 3 * file.len() as u64, "{received} bytes for {} of blocks", file.len());
    assert!(rate > 100.0, "{rate} blocks per second");
    let supply = node.rpc.ask("kette_supply", json!([]));
    assert_eq!(supply["matches"], true, "{supply}");
    assert_eq!(node.rpc.hash_at(BLOCKS / 2), source.rpc.hash_at(BLOCKS / 2));
    drop(copies);
    node.stop();
    figure("join: database bytes", node.database_bytes());
    figure("source: database bytes", source.database_bytes());

    let took = node.start();
    figure("restart with 10,000 blocks: start to RPC, s", took.as_secs_f64());
    assert!(took < secs(3), "{took:?}");
    assert_eq!(node.rpc.status()["hash"], json!(head));
}

fn per_second(since: Instant) -> f64 {
    (BLOCKS as f64 / since.elapsed().as_secs_f64()).round()
}
