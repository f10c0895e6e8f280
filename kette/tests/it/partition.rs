//! Two halves that do not hear of each other, both with miners and payments, and what is left when they do.

use crate::harness::{
    Chain, Net, Ports, Rpc, accounts, figure,
    nets::{SOON, agreed},
    secs, until,
};
use serde_json::{Value, json};
use std::time::Instant;

const CHAIN_ID: u64 = 9_601;

#[test]
fn halves_become_one_chain_and_lose_no_payment() {
    let ports = Ports::claim();
    // Six miners of 200 hashes per second: a block each 0.5 s in the whole, each 1 s in a half.
    let names = ["p0", "p1", "p2", "p3", "p4", "p5"];
    let (net, _) = Net::of(&ports, &names, &Chain::fixed(CHAIN_ID, 600), "");
    net.until("sessions between all", SOON, |status| status["sessions"] == 15);
    let rpcs = net.rpcs();
    agreed(&rpcs, 3, SOON);
    let (left, right) = rpcs.split_at(3);
    let ids = |half: &[Rpc]| half.iter().map(|rpc| rpc.status()["peerId"].clone()).collect();
    let (left_ids, right_ids): (Vec<Value>, Vec<Value>) = (ids(left), ids(right));

    cut(&net, 0..3, &right_ids);
    cut(&net, 3..6, &left_ids);
    for rpc in &rpcs {
        until("only the own half", SOON, || match rpc.peers() {
            Ok(peers) if peers <= 2 => Ok(()),
            other => Err(other),
        });
    }
    let fork = left[0].height().expect("it answers");
    let sent = [pay(left[0], 0, 5), pay(right[0], 5, 5)];
    for (half, hashes) in [left, right].iter().zip(&sent) {
        for rpc in *half {
            included(*rpc, hashes);
            grown(*rpc, fork + 4);
        }
    }
    let probe = left[0].height().expect("it answers").min(right[0].height().expect("it answers"));
    assert_ne!(left[0].hash_at(probe), right[0].hash_at(probe), "the halves did not part");
    // The other half's payments are not known here.
    for hash in &sent[1] {
        let unknown = left[0].call("kette_finality", json!([hash])).expect_err("it is elsewhere");
        assert!(unknown.contains("neither"), "{unknown}");
    }

    let healed = Instant::now();
    cut(&net, 0..6, &[]);
    agreed(&rpcs, probe, SOON);
    let same =
        |hashes: Vec<Result<String, String>>| hashes.windows(2).all(|pair| pair[0] == pair[1]);
    assert!(same(rpcs.iter().map(|rpc| rpc.hash_at(probe)).collect()));
    let took = healed.elapsed();
    figure("partition of 3 and 3: one chain after the heal, s", took.as_secs_f64());
    assert!(took < secs(10), "{took:?}");

    let depths: Vec<u64> = rpcs
        .iter()
        .map(|rpc| rpc.status()["counters"]["reorgDepthMax"].as_u64().expect("a number"))
        .collect();
    figure("partition: deepest reorganization per node", format!("{depths:?}"));
    let deepest = |half: &[u64]| half.iter().copied().max().unwrap_or(0);
    assert!(
        (deepest(&depths[..3]) >= 3) != (deepest(&depths[3..]) >= 3),
        "one half gives way, not both: {depths:?}"
    );
    for rpc in &rpcs {
        included(*rpc, &sent.concat());
        let supply = rpc.ask("kette_supply", json!([]));
        assert_eq!(supply["matches"], true, "{supply}");
        assert!(rpc.status()["alarms"].as_array().is_some_and(Vec::is_empty));
    }
    let height = rpcs[0].height().expect("it answers");
    agreed(&rpcs, height, SOON);
    for index in 0..10 {
        let address = accounts::address(index).to_string();
        let at = |rpc: &Rpc| rpc.ask("eth_getBalance", json!([address, format!("{height:#x}")]));
        let balances: Vec<Value> = rpcs.iter().map(at).collect();
        assert!(balances.windows(2).all(|pair| pair[0] == pair[1]), "{address}: {balances:?}");
    }
}

fn cut(net: &Net, nodes: std::ops::Range<usize>, peers: &[Value]) {
    let rpcs = net.rpcs();
    for node in nodes {
        rpcs[node].call("kette_setCut", json!([peers])).expect_err("it needs the token");
        let set = net.order(node, "kette_setCut", json!([peers]));
        assert_eq!(set.as_array().map(Vec::len), Some(peers.len()));
    }
}

/// Five payments from five accounts; returns their hashes.
fn pay(rpc: Rpc, first: u32, count: u32) -> Vec<String> {
    (first..first + count)
        .map(|index| {
            let to = accounts::address((index + 1) % 10);
            accounts::send(rpc, &accounts::signer(index), to, 777, 0, CHAIN_ID).expect("accepted")
        })
        .collect()
}

fn included(rpc: Rpc, hashes: &[String]) {
    for hash in hashes {
        until("a payment in a block", SOON, || {
            let found = rpc.call("kette_finality", json!([hash]))?;
            if found["success"] == true { Ok(()) } else { Err(found.to_string()) }
        });
    }
}

fn grown(rpc: Rpc, height: u64) {
    until("blocks of a half", SOON, || match rpc.height() {
        Ok(now) if now >= height => Ok(()),
        other => Err(other),
    });
}
