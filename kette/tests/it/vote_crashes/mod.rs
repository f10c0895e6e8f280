//! Validators that are ended at every one of their writes, on both sides of it and between what it writes and what it
//! signs, never sign a second thing, and never forget a lock. What they signed is what another node heard of them.
//!
//! `KETTE_TEST_CRASHES=N` ends them N times in all instead of the usual number.

mod heard;

use crate::harness::{
    Chain, Node, Ports, accounts, figure, kette,
    nets::{SOON, agreed},
    secs, text,
};
use heard::Heard;
use serde_json::json;
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

/// Ends of processes, unless the environment says another number.
const CRASHES: u64 = 60;
/// Writes of one life at most; rounds go through all of them.
const WRITES: u64 = 14;
/// Validators that are ended, at the same time; so the others sometimes wait for them in the middle of a round.
const VICTIMS: usize = 2;
const VALIDATORS: usize = 4;
/// Sides of a write, as `KETTE_CRASH_AT` names them.
const SIDES: [&str; 3] = ["before", "after", "signed"];

/// The default network's chain with ten blocks per second and short waits.
fn chain() -> Chain {
    let text = include_str!("../../../presets/chains/bft4.json");
    let mut chain = Chain(serde_json::from_str(text).expect("the preset is JSON"));
    chain.0["config"]["chainId"] = json!(9_451);
    let bft = &mut chain.kette()["engine"]["bft"];
    bft["slotMs"] = json!(100);
    bft["emptyAfterMs"] = json!(0);
    for (name, value) in [
        ("proposeMs", 400),
        ("proposeDeltaMs", 200),
        ("voteMs", 200),
        ("voteDeltaMs", 100),
        ("minMs", 50),
        ("maxMs", 2_000),
    ] {
        bft["timeouts"][name] = json!(value);
    }
    chain
}

/// All validators, and one node that only listens and writes down what it hears.
fn nodes(ports: &Ports, chain: &Chain) -> Vec<Node> {
    let make = |index: usize| {
        let others = (0..=VALIDATORS).filter(|other| *other != index);
        let peers: Vec<String> =
            others.map(|other| format!("127.0.0.1:{}", ports.p2p(other))).collect();
        let node = Node::new(ports, index, chain).with(&["--peers", &peers.join(",")]);
        if index < VALIDATORS {
            return node.with(&["--validator-id", &format!("validator{}", index + 1)]);
        }
        let recording = node.home().join("heard.rec");
        node.with(&["--record", text(&recording)])
    };
    (0..=VALIDATORS).map(make).collect()
}

#[test]
fn no_validator_signs_twice_whenever_it_is_ended() {
    let wanted = std::env::var("KETTE_TEST_CRASHES").ok().and_then(|text| text.parse().ok());
    let wanted: u64 = wanted.unwrap_or(CRASHES);
    let (ports, chain) = (Ports::claim(), chain());
    let mut nodes = nodes(&ports, &chain);
    nodes.iter_mut().for_each(Node::spawn);
    let rpcs: Vec<_> = nodes.iter().map(|node| node.rpc).collect();
    agreed(&rpcs, 2, SOON);

    let started = Instant::now();
    let (done, signed) = (AtomicU64::new(0), AtomicU64::new(0));
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let (victims, others) = nodes.split_at_mut(VICTIMS);
        let sender = others[0].rpc;
        let busy = &busy;
        // Blocks with something in them, so that proposals differ.
        scope.spawn(move || {
            let from = accounts::signer(8);
            let mut nonce = 0;
            while busy.load(Ordering::Relaxed) {
                if accounts::send(sender, &from, accounts::address(9), 1, nonce, 9_451).is_ok() {
                    nonce += 1;
                }
                std::thread::sleep(std::time::Duration::from_millis(150));
            }
        });
        let threads: Vec<_> = victims
            .iter_mut()
            .enumerate()
            .map(|(index, node)| {
                let (done, signed) = (&done, &signed);
                scope.spawn(move || {
                    node.kill();
                    // Each goes through all writes and sides in an order of its own.
                    let mut round = index as u64 * 7;
                    while done.fetch_add(1, Ordering::Relaxed) < wanted {
                        let side = SIDES[(round / WRITES) as usize % SIDES.len()];
                        end_at(node, 1 + round % WRITES, side);
                        signed.fetch_add(u64::from(side == "signed"), Ordering::Relaxed);
                        round += 1;
                    }
                    node.env("KETTE_CRASH_AT", None);
                    node.start();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a victim's thread"));
        busy.store(false, Ordering::Relaxed);
    });
    figure("vote sweep: crashes", wanted);
    figure("vote sweep: of them right after the file of what was signed", signed.into_inner());
    figure("vote sweep: seconds", started.elapsed().as_secs_f64());

    let height = rpcs[VALIDATORS].height().expect("the listener answers");
    agreed(&rpcs, height + 3, secs(60));
    nodes.iter_mut().for_each(Node::stop);
    for node in &nodes {
        let verified = kette(&["--json", "chain", "verify", "--home", text(node.home())]).json();
        assert_eq!(verified["valid"], true, "{verified}");
    }
    let bytes = fs::read(nodes[VALIDATORS].home().join("heard.rec")).expect("a recording");
    let heard = Heard::read(&bytes, &chain.spec());
    heard.judge();
    for (name, value) in heard.figures() {
        figure(&format!("vote sweep: {name}"), value);
    }
    assert!(heard.heights() >= height.min(wanted / 4), "the listener heard of few heights");
    let killed: Vec<usize> = (0..VICTIMS).map(|index| heard.of(index)).collect();
    assert!(killed.iter().all(|votes| *votes > 10), "the victims hardly voted: {killed:?}");
}

/// Starts a node that ends at one of its writes, and waits for that.
fn end_at(node: &mut Node, write: u64, side: &str) {
    node.env("KETTE_CRASH_AT", Some(&format!("{write}:{side}")));
    node.spawn();
    let status = node.wait(secs(60));
    assert_eq!(
        status.signal(),
        Some(6),
        "at {write}:{side} it ended otherwise: {}",
        node.log_text()
    );
}
