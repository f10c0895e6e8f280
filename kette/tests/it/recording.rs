//! A real node is recorded; `kette sim replay` runs the same core to the same end.

use crate::harness::{
    Chain, Node, Ports, Ran, accounts, kette,
    nets::{SOON, agreed},
    secs, text, until,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn file(node: &Node, name: &str) -> PathBuf {
    node.home().join(name)
}

fn record(node: &mut Node, name: &str) -> PathBuf {
    let path = file(node, name);
    node.env("KETTE_RECORD", Some(text(&path)));
    path
}

fn replay(path: &Path) -> Ran {
    kette(&["--json", "sim", "replay", text(path)])
}

/// Holds that a clean recording ends where its node did, and returns what the replay said.
#[track_caller]
fn same_end(path: &Path, last: &Value) -> Value {
    let replayed = replay(path).json();
    assert_eq!(replayed["matches"], true, "{replayed}");
    assert_eq!(replayed["first_difference"], Value::Null, "{replayed}");
    assert_eq!((&replayed["stopped"], &replayed["torn"]), (&json!(true), &json!(false)));
    assert_eq!(replayed["head"]["number"], last["height"]);
    assert_eq!(replayed["head"]["hash"], last["hash"]);
    replayed
}

fn send(node: &Node, nonce: u64, chain_id: u64) {
    let from = accounts::signer(0);
    accounts::send(node.rpc, &from, accounts::address(1), 1, nonce, chain_id).expect("it is taken");
}

#[test]
fn one_nodes_recordings_are_replayed_from_a_new_database_and_from_an_old_one() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_601, 1).ahead(20_000);
    let mut node = Node::new(&ports, 0, &chain).with(&["--single"]);
    let first = record(&mut node, "first.rec");
    node.start();
    for nonce in 0..8 {
        send(&node, nonce, 9_601);
        node.mine(1);
        // Clients read states through the core's own reader.
        node.rpc.balance(&accounts::address(1).to_string());
    }
    node.mine(60);
    let last = node.rpc.status();
    node.stop();
    let replayed = same_end(&first, &last);
    assert!(replayed["inputs"].as_u64() > Some(60), "{replayed}");

    // A recording is never overwritten: it may be that of a crash.
    node.spawn();
    assert_eq!(node.wait(SOON).code(), Some(2));
    assert!(node.log_text().contains("is there already"), "{}", node.log_text());

    let second = record(&mut node, "second.rec");
    node.start();
    for nonce in 8..12 {
        send(&node, nonce, 9_601);
        node.mine(3);
        node.rpc.balance(&accounts::address(1).to_string());
    }
    let last = node.rpc.status();
    assert_eq!(last["height"], json!(80));
    node.stop();
    same_end(&second, &last);

    damaged(&second);
}

/// One wrong byte near the end, after the node was restored.
fn damaged(recording: &Path) {
    let mut bytes = std::fs::read(recording).expect("it is there");
    let place = bytes.len() - 400;
    bytes[place] ^= 4;
    let damaged = recording.with_extension("damaged");
    std::fs::write(&damaged, &bytes).expect("room on disk");
    let ran = replay(&damaged);
    ran.fails(1, &["damaged"]);
    // The rest of a file that only was cut off is as good as before.
    bytes[place] ^= 4;
    bytes.truncate(place);
    std::fs::write(&damaged, &bytes).expect("room on disk");
    let cut = replay(&damaged).json();
    assert_eq!((&cut["matches"], &cut["stopped"]), (&json!(true), &json!(false)), "{cut}");
}

#[test]
fn a_node_of_a_network_is_replayed_through_a_peers_crash_and_its_own() {
    let ports = Ports::claim();
    // Two miners of 200 hashes per second: a block in half a second.
    let chain = Chain::fixed(9_602, 200);
    let miner = ["--mine", "--mine-rate", "200"];
    let mut one = Node::new(&ports, 0, &chain).with(&miner).up();
    let mut two = Node::new(&ports, 1, &chain).with(&miner).dialling(&one).up();
    let peers = format!("127.0.0.1:{},127.0.0.1:{}", one.p2p, two.p2p);
    let mut recorded = Node::new(&ports, 2, &chain).with(&["--peers", &peers]);
    let first = record(&mut recorded, "first.rec");
    recorded.start();
    for nonce in 0..5 {
        send(&recorded, nonce, 9_602);
    }
    agreed(&[one.rpc, two.rpc, recorded.rpc], 3, SOON);
    two.kill();
    let height = recorded.rpc.height().expect("it answers");
    until("blocks without the killed node", SOON, || match recorded.rpc.height() {
        Ok(now) if now >= height + 2 => Ok(()),
        other => Err(other),
    });
    two.start();
    until("its session again", SOON, || match recorded.rpc.peers() {
        Ok(2..) => Ok(()),
        other => Err(other),
    });
    // Miners stop, so that the head stays what it is.
    one.stop();
    two.stop();
    let last = until("no peers", secs(20), || match recorded.rpc.peers() {
        Ok(0) => Ok(recorded.rpc.status()),
        other => Err(other),
    });
    recorded.stop();
    same_end(&first, &last.0);

    // Its next life ends as a power cut would end it.
    let second = record(&mut recorded, "second.rec");
    recorded.start();
    let one = one.up();
    let height = recorded.rpc.height().expect("it answers");
    let seen = until("new blocks", SOON, || match recorded.rpc.height() {
        Ok(now) if now >= height + 2 => Ok(now),
        other => Err(other),
    });
    recorded.kill();
    drop(one);
    let replayed = replay(&second).json();
    assert_eq!((&replayed["matches"], &replayed["stopped"]), (&json!(true), &json!(false)));
    assert!(replayed["head"]["number"].as_u64() >= Some(seen.0), "{replayed}");
}
