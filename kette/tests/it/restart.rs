//! A node that is killed comes back to the same chain with the same identity, over TCP and over QUIC.

use crate::harness::{
    Chain, Net, Node, Ports, figure,
    nets::{SOON, agreed},
    secs, until,
};
use serde_json::json;
use std::time::Instant;

#[test]
fn a_killed_node_is_back_at_the_tip_in_seconds() {
    let ports = Ports::claim();
    // Four miners of 200 hashes per second: a block each 0.5 s.
    let chain = Chain::fixed(9_301, 400);
    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..4 {
        let node = Node::new(&ports, index, &chain).with(&["--mine", "--mine-rate", "200"]);
        let node = if index > 0 { node.dialling(&nodes[0]) } else { node };
        nodes.push(node.up());
    }
    let rpcs: Vec<_> = nodes.iter().map(|node| node.rpc).collect();
    agreed(&rpcs, 8, SOON);
    let id = rpcs[3].status()["peerId"].clone();
    nodes[3].kill();
    let killed_at = rpcs[0].height().expect("node 0 answers");
    let second = rpcs[0].hash_at(2).expect("block 2");
    until("blocks without node 3", SOON, || match rpcs[0].height() {
        Ok(height) if height >= killed_at + 4 => Ok(()),
        other => Err(other),
    });
    let started = Instant::now();
    nodes[3].start();
    until("node 3 at the tip", SOON, || {
        let tip = rpcs[0].hash_at(rpcs[0].height()?)?;
        let number = rpcs[3].height()?;
        if rpcs[3].hash_at(number)? == tip { Ok(()) } else { Err(format!("{number} {tip}")) }
    });
    let took = started.elapsed();
    figure("killed node back at the tip, s after its start", took.as_secs_f64());
    assert!(took < secs(5), "{took:?}");
    assert_eq!(rpcs[3].status()["peerId"], id);
    assert_eq!(rpcs[3].hash_at(2), Ok(second), "the same chain");
}

#[test]
fn three_nodes_agree_over_quic_and_one_comes_back() {
    let ports = Ports::claim();
    let (net, up) = Net::of(&ports, &["q0", "q1", "q2"], &Chain::fixed(9_310, 300), "quic = true");
    assert_eq!((&up["connected"], &up["components"]), (&json!(3), &json!(1)));
    let rpcs = net.rpcs();
    let quic = |peer: &serde_json::Value| {
        peer["address"].as_str().is_some_and(|address| address.ends_with("/quic"))
    };
    let over_quic: usize = rpcs
        .iter()
        .map(|rpc| rpc.ask("kette_peers", json!([])))
        .map(|peers| peers.as_array().expect("a list").iter().filter(|peer| quic(peer)).count())
        .sum();
    assert!(over_quic >= 2, "no session runs over QUIC: {}", rpcs[0].ask("kette_peers", json!([])));
    agreed(&rpcs, 4, SOON);

    let id = rpcs[2].status()["peerId"].clone();
    let line = net.command_line(2);
    let pid = nix::unistd::Pid::from_raw(net.pid(2));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    until("the end of q2", SOON, || if rpcs[2].height().is_err() { Ok(()) } else { Err("up") });

    let mut child = crate::harness::program()
        .args(&line[1..])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("q2 starts again");
    let back = until("q2 with a peer, same identity", secs(40), || {
        let status = rpcs[2].call("kette_status", json!([]))?;
        let peers = status["peers"].as_array().map_or(0, Vec::len);
        if status["peerId"] == id && peers >= 1 { Ok(()) } else { Err(status.to_string()) }
    });
    let height = rpcs[0].height().expect("q0 answers");
    let agree = std::panic::catch_unwind(|| agreed(&rpcs, height + 1, SOON));
    child.kill().expect("it runs");
    child.wait().expect("a child of ours");
    figure("QUIC: killed node connected again, s after its start", back.1.as_secs_f64());
    assert!(back.1 < secs(15), "{:?}", back.1);
    agree.expect("all agree again");
}
