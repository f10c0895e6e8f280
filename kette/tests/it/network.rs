//! `kette net`: the two presets from an empty directory, their status, their end, and going on afterwards.

use crate::harness::{
    Net, Ports, Rpc, accounts, figure, kette,
    nets::{SOON, agreed, summary},
    nodes::is_running,
    ports::is_free,
    rpc::quantity,
    secs, text, until,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Every field of `kette net status --json`.
const FIELDS: [&str; 12] = [
    "nodes",
    "running",
    "connected",
    "handshakes",
    "handshake_success",
    "components",
    "hash_equal",
    "height",
    "finalized",
    "score",
    "band",
    "list",
];

fn is_whole(status: &Value, nodes: u64) -> bool {
    status["nodes"] == nodes
        && status["running"] == nodes
        && status["connected"] == nodes
        && status["components"] == 1
        && status["hash_equal"] == true
}

#[test]
fn atmn_comes_up_whole_and_goes_on_after_down() {
    let ports = Ports::claim();
    let base = ports.p2p(0).to_string();
    let (net, up) = Net::up(&["--preset", "atmn", "--base-port", &base]);
    let ready = Duration::from_millis(up["ready_ms"].as_u64().expect("ready_ms"));
    figure("atmn: ten nodes up, connected, first block agreed, ms", &up["ready_ms"]);
    assert!(ready < secs(20), "{ready:?}");
    for field in FIELDS {
        assert!(!up[field].is_null(), "{field} is missing in {up}");
    }
    assert!(is_whole(&up, 10) && up["height"].as_u64() > Some(0), "{}", summary(&up));
    assert_eq!(up["list"].as_array().map(Vec::len), Some(10));

    first_dials_go_to_the_tier_above(&net);
    logs_are_json_with_the_name_of_the_node(&net);

    let (mesh, took) = net.until("sessions between all", SOON, |status| {
        is_whole(status, 10) && status["sessions"].as_u64() >= Some(30) && status["score"] == 100
    });
    figure("atmn: sessions of ten nodes", &mesh["sessions"]);
    figure("atmn: until then, s", took.as_secs_f64());

    let refused = net.run("up", &["--preset", "atmn"]);
    refused.fails(2, &["is up in", "kette net down"]);

    // Block 1 stays once it is final: six blocks on top of it. An external miner makes them at full speed.
    kette(&["--json", "miner", "--rpc", &net.rpcs()[4].url(), "--blocks", "7"]).found(7);
    let final_one = |status: &Value| status["finalized"].as_u64() >= Some(1);
    let (before, _) = net.until("a final block", SOON, final_one);
    let first = net.rpcs()[0].hash_at(1).expect("block 1");
    let pids: Vec<i32> = (0..10).map(|index| net.pid(index)).collect();
    let rpcs = net.rpcs();
    let down = net.run("down", &[]).json();
    assert_eq!((&down["stopped"], &down["killed"]), (&json!(10), &json!(0)));
    for pid in pids {
        assert!(!is_running(pid), "process {pid} is left");
    }
    for (index, rpc) in rpcs.iter().enumerate() {
        assert!(is_free(ports.p2p(index)) && is_free(rpc.0), "a port of node {index} is taken");
    }
    net.run("status", &[]).fails(3, &["kette net up"]);
    databases_are_sound(&net);

    let again = net.run("up", &["--preset", "atmn"]).json();
    assert!(again["height"].as_u64() >= before["height"].as_u64(), "{}", summary(&again));
    assert_eq!(net.rpcs(), rpcs, "a network that goes on keeps its ports");
    assert_eq!(net.rpcs()[9].hash_at(1).as_ref(), Ok(&first));
    net.run("down", &[]).json();

    let fresh = net.run("up", &["--preset", "atmn", "--fresh", "--base-port", &base]).json();
    assert!(fresh["height"].as_u64() < before["height"].as_u64(), "{}", summary(&fresh));
    assert_ne!(net.rpcs()[0].hash_at(1), Ok(first), "--fresh begins a new chain");
    net.run("down", &["--purge"]).json();
    assert!(!net.home().exists(), "--purge leaves nothing");
}

#[test]
fn every_handshake_of_a_starting_network_succeeds() {
    let ports = Ports::claim();
    let base = ports.p2p(0).to_string();
    let (net, _) = Net::up(&["--preset", "atmn", "--base-port", &base]);
    let (mesh, _) = net.until("sessions between all", SOON, |status| {
        is_whole(status, 10) && status["sessions"].as_u64() >= Some(30)
    });
    for name in net.names() {
        let log = net.log(&name);
        let ended = log.lines().find(|line| line.contains("peer disconnected"));
        assert_eq!(ended, None, "{name} lost a peer");
    }
    assert_eq!(mesh["handshake_success"].as_f64(), Some(100.0), "{}", summary(&mesh));
}

fn first_dials_go_to_the_tier_above(net: &Net) {
    let manifest = net.manifest();
    let mut dialled = [0; 10];
    for index in 1..10 {
        let line = net.command_line(index);
        let at = line.iter().position(|arg| arg == "--peers").expect("a node dials somebody");
        let parents: Vec<usize> = (0..10)
            .filter(|i| line[at + 1].contains(&manifest["nodes"][i]["p2p"].to_string()))
            .collect();
        assert_eq!(parents.len(), 1, "{line:?}");
        let tier = |node: usize| manifest["nodes"][node]["tier"].as_u64().expect("a tier");
        assert!(tier(parents[0]) < tier(index), "node {index} dials node {}", parents[0]);
        // (Which session is ready first is chance: a parent soon names other nodes.)
        let name = manifest["nodes"][index]["name"].as_str().expect("a name");
        let parent = format!("\"moniker\":{}", manifest["nodes"][parents[0]]["name"]);
        assert!(net.log(name).contains(&parent), "{name} has no session with {parent}");
        dialled[parents[0]] += 1;
    }
    assert_eq!(dialled[..4], [3, 3, 3, 0]);
}

fn logs_are_json_with_the_name_of_the_node(net: &Net) {
    for name in net.names() {
        let log = net.log(&name);
        assert!(log.lines().count() >= 4, "{name} logs too little: {log}");
        for line in log.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert_eq!(value["node"], json!(name), "{line}");
            for field in ["timestamp", "level", "message", "target"] {
                assert!(value[field].is_string(), "{field} in {line}");
            }
        }
    }
}

fn databases_are_sound(net: &Net) {
    let mut seen = std::collections::BTreeSet::new();
    for name in net.names() {
        let path = net.database(&name);
        let home = net.home().join(&name);
        let verified =
            kette(&["--json", "chain", "verify", "--home", text(&home), "--db", text(&path)]);
        assert_eq!(verified.json()["valid"], true, "{name}");
        assert!(seen.insert(std::fs::canonicalize(&path).expect("it exists")));
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn two_homes_started_at_once_are_two_networks() {
    // Both want the preset's own ports, at the same moment; the later one takes others.
    let up = || Net::up(&["--preset", "atmn"]);
    let both = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(up), scope.spawn(up));
        (first.join().expect("it comes up"), second.join().expect("it comes up"))
    });
    let ((first, _), (second, up)) = both;
    assert!(is_whole(&up, 10), "{}", summary(&up));
    let (a, b) = (first.rpcs(), second.rpcs());
    assert!(a.iter().all(|rpc| !b.contains(rpc)), "{a:?} {b:?}");
    first.until("the first network stays whole", SOON, |status| is_whole(status, 10));
    // Peers of one network never are peers of the other.
    assert_ne!(a[0].status()["peerId"], b[0].status()["peerId"]);
    for rpc in b {
        assert!(rpc.peers().expect("it answers") <= 9);
    }
}

#[test]
fn seven_nodes_live_on_without_the_bootstraps() {
    let ports = Ports::claim();
    let base = ports.p2p(0).to_string();
    let (net, _) = Net::up(&["--preset", "atmn", "--base-port", &base]);
    // All know all before the three end.
    net.until("sessions between all", SOON, |status| status["sessions"].as_u64() >= Some(30));
    for index in 0..3 {
        let pid = nix::unistd::Pid::from_raw(net.pid(index));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    }
    let (status, took) = net.until("seven nodes, one group", SOON, |status| {
        status["running"] == 7 && status["connected"] == 7 && status["components"] == 1
    });
    figure("atmn: seven nodes one group after the bootstraps were killed, s", took.as_secs_f64());
    let rpcs: Vec<Rpc> = net.rpcs().split_off(3);
    let height = status["height"].as_u64().expect("a height");
    kette(&["--json", "miner", "--rpc", &rpcs[6].url(), "--blocks", "2"]).found(2);
    let took = agreed(&rpcs, height + 2, SOON);
    figure("atmn: a block at all seven, s", took.as_secs_f64());
}

#[test]
fn volkskette_is_a_mesh_in_which_all_may_mine_and_pay() {
    // The preset, but for miners that are faster: a block a second instead of one in ten.
    let preset = kette(&["net", "show", "volkskette"]).out;
    let (net, up) = Net::from_text(&preset.replace("mine_rate = 200", "mine_rate = 3000"));
    assert_eq!(net.names(), ["alice", "bob", "charlie"]);
    assert!(is_whole(&up, 3), "{}", summary(&up));
    let rpcs = net.rpcs();
    for (index, rpc) in rpcs.iter().enumerate() {
        until("two peers", SOON, || match rpc.peers() {
            Ok(2) => Ok(()),
            other => Err(other),
        });
        let found = |rpc: &Rpc| rpc.status()["engine"]["blocksFound"].as_u64().expect("a number");
        let before = found(rpc);
        net.order(index, "kette_mine", json!([1]));
        until("a block of each", SOON, || match found(rpc) {
            now if now > before => Ok(()),
            now => Err(now),
        });
    }

    let (from, to) = (accounts::signer(3), accounts::address(4));
    let before = rpcs[0].balance(&to.to_string());
    let hash = accounts::send(rpcs[0], &from, to, 12_345, 0, 8001).expect("alice takes it");
    for rpc in &rpcs {
        until("the payment at everybody's", SOON, || {
            rpc.call("kette_finality", json!([hash])).map(|_| ())
        });
    }
    net.order(1, "kette_mine", json!([1]));
    for rpc in &rpcs {
        until("the payment in a block", SOON, || {
            match rpc.call("eth_getTransactionReceipt", json!([hash])) {
                Ok(receipt) if quantity_or_zero(&receipt["status"]) == 1 => Ok(()),
                other => Err(other),
            }
        });
        assert_eq!(rpc.balance(&to.to_string()), before + 12_345);
    }
    // Balances of every account are the same on all three at one block.
    let head = rpcs[0].status();
    let height = head["height"].as_u64().expect("a height");
    agreed(&rpcs, height, SOON);
    for index in 0..10 {
        let address = accounts::address(index).to_string();
        let at = |rpc: &Rpc| rpc.ask("eth_getBalance", json!([address, format!("{height:#x}")]));
        let balances: Vec<Value> = rpcs.iter().map(at).collect();
        assert!(balances.windows(2).all(|pair| pair[0] == pair[1]), "{address}: {balances:?}");
    }
    for rpc in &rpcs {
        assert_eq!(rpc.ask("kette_supply", json!([]))["matches"], true);
    }
}

fn quantity_or_zero(value: &Value) -> u128 {
    if value.is_string() { quantity(value) } else { 0 }
}
