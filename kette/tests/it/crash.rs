//! A node that is ended at every one of its writes, before and after, never loses what it said was so.

use crate::harness::{
    Chain, Node, Ports, accounts, figure, kette,
    nets::{SOON, agreed},
    text, until,
};
use serde_json::{Value, json};
use std::time::Instant;

/// Starts of the node that is ended.
const ROUNDS: u64 = 104;
/// Writes of one life at most; rounds go through all of them, before and after.
const WRITES: u64 = 13;

/// What the node acknowledged over RPC.
#[derive(Default)]
struct Said {
    head: Option<(u64, String)>,
    transactions: Vec<String>,
}

#[test]
fn nothing_acknowledged_is_lost_at_any_write() {
    let ports = Ports::claim();
    // One miner of 8,000 hashes per second: up to forty blocks per second, far ahead of the clock.
    let chain = Chain::fixed(9_401, 200).ahead(20_000);
    let mut peer = Node::new(&ports, 0, &chain).up();
    let mut node =
        Node::new(&ports, 1, &chain).with(&["--mine", "--mine-rate", "8000"]).dialling(&peer);
    let started = Instant::now();
    let (mut said, mut nonce, mut blocks) = (Said::default(), 0, 0);
    for round in 0..ROUNDS {
        let side = if (round / WRITES).is_multiple_of(2) { "before" } else { "after" };
        let at = 1 + round % WRITES;
        node.env("KETTE_CRASH_AT", Some(&format!("{at}:{side}")));
        node.spawn();
        live(&mut node, &mut said, &mut nonce, round);
        let signal = std::os::unix::process::ExitStatusExt::signal(&node.wait(SOON));
        assert_eq!(signal, Some(6), "round {round}: the node ended otherwise: {}", node.log_text());
        // The peer answers all the time, and what it has the node sent after writing it.
        blocks = peer.rpc.height().expect("the peer answers");
        if round % WRITES == WRITES - 1 {
            let stored = kette(&["--json", "chain", "verify", "--home", text(node.home())]).json();
            let height = stored["blocks"].as_u64().expect("a number");
            assert!(height >= blocks, "round {round}: {blocks} at the peer, {height} written");
        }
    }
    figure("kill sweep: starts", ROUNDS);
    figure("kill sweep: seconds", started.elapsed().as_secs_f64());
    figure("kill sweep: blocks made meanwhile", blocks);
    figure("kill sweep: transactions acknowledged", said.transactions.len());
    assert!(blocks > 20, "the sweep saw only {blocks} blocks");
    assert!(said.transactions.len() > 20, "only {} transactions", said.transactions.len());

    node.env("KETTE_CRASH_AT", None);
    node.start();
    check(&node, &said, &peer, ROUNDS);
    agreed(&[node.rpc, peer.rpc], blocks, SOON);
    until("all transactions in blocks", SOON, || {
        let status =
            |hash: &String| node.rpc.ask("kette_finality", json!([hash]))["status"].clone();
        let waiting = said.transactions.iter().filter(|hash| status(hash) == "pending").count();
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    });
    node.stop();
    peer.stop();
    for home in [node.home(), peer.home()] {
        let verified = kette(&["--json", "chain", "verify", "--home", text(home)]).json();
        assert_eq!(verified["valid"], true, "{verified}");
    }
}

/// Talks to the node until it ends: checks what it said in earlier lives, then collects more.
fn live(node: &mut Node, said: &mut Said, nonce: &mut u64, round: u64) {
    let from = accounts::signer(0);
    let mut checked = false;
    let deadline = Instant::now() + SOON;
    while node.ended().is_none() {
        assert!(Instant::now() < deadline, "round {round}: no write came");
        let Ok(status) = node.rpc.call("kette_status", json!([])) else { continue };
        if !checked {
            checked = still_known(node, said, round).is_some();
            continue;
        }
        let height = status["height"].as_u64().expect("a height");
        said.head = Some((height, status["hash"].as_str().expect("a hash").to_owned()));
        if said.transactions.len() as u64 <= round {
            let sent = accounts::send(node.rpc, &from, accounts::address(1), 1, *nonce, 9_401);
            match sent {
                Ok(hash) => {
                    said.transactions.push(hash);
                    *nonce += 1;
                }
                // Ended before it answered: the transaction may or may not have been written.
                Err(error)
                    if error.contains("nonce too low") || error.contains("already known") =>
                {
                    *nonce += 1;
                }
                Err(_) => {}
            }
        }
    }
}

/// Holds that the node knows what it said in earlier lives; `None` if it ended meanwhile.
fn still_known(node: &Node, said: &Said, round: u64) -> Option<()> {
    if let Some((number, hash)) = &said.head {
        let height = node.rpc.height().ok()?;
        assert!(height >= *number, "round {round}: at {height}, was at {number}");
        let block = node.rpc.call("kette_block", json!([hash])).ok()?;
        assert_eq!(block["hash"], json!(hash), "round {round}: block {number} is not known");
    }
    // The newest few: older ones were looked at before.
    for hash in said.transactions.iter().rev().take(3) {
        match node.rpc.call("kette_finality", json!([hash])) {
            Ok(_) => {}
            Err(error) if error.contains("neither in a block nor waiting") => {
                panic!("round {round}: transaction {hash} was accepted and is lost")
            }
            Err(_) => return None,
        }
    }
    Some(())
}

fn check(node: &Node, said: &Said, peer: &Node, round: u64) {
    still_known(node, said, round).expect("the node runs");
    let theirs = peer.rpc.status();
    let known: Value = node.rpc.ask("kette_block", json!([theirs["hash"]]));
    assert_eq!(known["hash"], theirs["hash"], "a block left the node before it was written");
    for hash in &said.transactions {
        node.rpc.ask("kette_finality", json!([hash]));
    }
}
