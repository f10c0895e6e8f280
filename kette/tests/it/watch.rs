//! What `kette net` says of a network that is whole, that lost a node, and that is cut in two.

use crate::harness::{Net, Ports, figure, kette, nets::SOON, program, secs, text, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::time::Instant;

fn atmn() -> Net {
    let ports = Ports::claim();
    let base = ports.p2p(0).to_string();
    let (net, _) = Net::up(&["--preset", "atmn", "--base-port", &base]);
    net.until("sessions between all, nothing wrong", SOON, |status| {
        status["sessions"].as_u64() >= Some(30) && status["score"] == 100
    });
    net
}

fn sum(status: &Value, field: &str) -> u64 {
    let list = status["list"].as_array().expect("nodes");
    list.iter().map(|node| node[field].as_u64().unwrap_or_else(|| panic!("{field}: {node}"))).sum()
}

#[test]
fn a_whole_network_is_described_as_it_is() {
    let net = atmn();
    let status = net.run("status", &[]).json();
    assert_eq!((&status["health"]["running_share"], &status["errors"]), (&json!(100), &json!(0)));
    // Requirement A28: each hello has two sides.
    assert_eq!(sum(&status, "handshakes_sent"), sum(&status, "handshakes_received"));
    assert!(sum(&status, "handshakes_sent") >= 30);
    // Requirement A24, at one moment: sessions still grow.
    let topology = net.run("topology", &[]).json();
    let links = topology["links"].as_array().expect("links").len() as u64;
    assert_eq!(topology["session_ends"].as_u64(), Some(2 * links), "{topology}");
    assert_eq!(topology["components"].as_array().map(Vec::len), Some(1));
    // Requirements A7, A29 and A36.
    let spread: Vec<usize> = topology["bootstraps"]
        .as_array()
        .expect("bootstraps")
        .iter()
        .map(|bootstrap| bootstrap["live"].as_array().expect("a list").len())
        .collect();
    assert_eq!(spread, [3, 3, 3]);
    let tiers: Vec<&Value> =
        topology["nodes"].as_array().expect("nodes").iter().map(|node| &node["tier"]).collect();
    assert_eq!(tiers, [1, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
    usage_is_that_of_the_process_table(&net, &status);

    for (format, begin) in [
        ("text", "atmn: 10 of 10"),
        ("dot", "digraph"),
        ("svg", "<svg"),
        ("html", "<!DOCTYPE html>"),
    ] {
        let shown = kette(&["net", "topology", "--home", text(&net.home()), "--format", format]);
        assert!(shown.code == 0 && shown.out.starts_with(begin), "{shown:?}");
    }
    let synced = net.run("wait-sync", &["--timeout", "15s", "--all"]).json();
    assert_eq!((&synced["synced"], &synced["nodes"]), (&json!(true), &json!(10)));
}

/// Requirement A22: memory within 10 % of what `ps` says, and a share of the processor.
fn usage_is_that_of_the_process_table(net: &Net, status: &Value) {
    for index in 0..10 {
        let node = &status["list"][index];
        let stat = std::fs::read_to_string(format!("/proc/{}/statm", net.pid(index)));
        let pages: u64 =
            stat.expect("it runs").split(' ').nth(1).expect("pages").parse().expect("a number");
        let (shown, real) = (node["rss_bytes"].as_u64().expect("bytes"), pages * 4_096);
        assert!(shown.abs_diff(real) * 10 <= real, "{shown} and {real}");
        assert!(
            node["cpu_percent"].as_f64() > Some(0.0) && node["memory_percent"].as_f64() > Some(0.0)
        );
    }
}

#[test]
fn a_paused_node_is_seen_and_named() {
    let net = atmn();
    let paused = Pid::from_raw(net.pid(5));
    kill(paused, Signal::SIGSTOP).expect("it runs");
    let (status, took) = net.until("nine nodes", secs(15), |status| status["running"] == 9);
    figure("watch: a paused node is seen, s", took.as_secs_f64());
    let node = &status["list"][5];
    assert_eq!((&node["running"], node["pid"].is_i64()), (&json!(false), true), "{node}");
    assert_eq!(status["score"], 95, "{}", status["health"]);
    net.run("wait-sync", &["--timeout", "300ms", "--all"]).fails(4, &["node5 does not answer"]);
    kill(paused, Signal::SIGCONT).expect("it is there");
    net.run("wait-sync", &["--timeout", "30s", "--all"]).json();
}

#[test]
fn a_cut_network_is_two_groups_and_its_score_falls() {
    let net = atmn();
    let names = net.names();
    let groups = format!("{}/{}", names[..5].join(","), names[5..].join(","));
    let began = Instant::now();
    net.run("partition", &["--groups", &groups]).json();
    let (status, _) = net.until("two groups", secs(15), |status| status["components"] == 2);
    // Requirement A38.
    figure("watch: two groups are seen, s", began.elapsed().as_secs_f64());
    assert_eq!((&status["score"], &status["health"]["split_penalty"]), (&json!(55), &json!(45)));
    let line = program()
        .args(["net", "topology", "--home", text(&net.home())])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .expect("it runs");
    assert!(line.contains("2 components: PARTITION"), "{line}");
    net.run("heal", &[]).json();
    let (_, took) = net.until("one group", SOON, |status| status["components"] == 1);
    figure("watch: one group again, s", took.as_secs_f64());
    net.run("wait-sync", &["--timeout", "30s"]).json();
}

/// `monitor --once --json` says of each node what the node says itself (requirements A21 and A27).
#[test]
fn the_monitor_prints_its_model_once_and_lines_without_a_terminal() {
    let net = atmn();
    let said = || -> Vec<(usize, u64)> {
        let each = net.rpcs().into_iter().map(|rpc| rpc.status());
        each.map(|said| {
            let peers = said["peers"].as_array().map_or(0, Vec::len);
            (peers, said["counters"]["handshakesCompleted"].as_u64().expect("a number"))
        })
        .collect()
    };
    // Sessions still grow at first: a moment counts in which none came or went.
    let ((model, said), _) = until("a network at rest", SOON, || {
        let before = said();
        let model = net.run("monitor", &["--once"]).json();
        if said() == before { Ok((model, before)) } else { Err("sessions changed") }
    });
    let list = model["status"]["list"].as_array().expect("nodes");
    for (node, (peers, hellos)) in list.iter().zip(said) {
        assert_eq!(node["peers"].as_u64(), Some(peers as u64), "{node}");
        let sum = node["handshakes_sent"].as_u64().zip(node["handshakes_received"].as_u64());
        assert_eq!(sum.map(|(sent, received)| sent + received), Some(hellos), "{node}");
    }
    let events = model["events"].as_array().expect("events");
    assert_eq!(events.len(), 10);
    let mut all: Vec<u64> = Vec::new();
    for rpc in net.rpcs() {
        let said = rpc.ask("kette_observe", json!([]));
        all.extend(
            said["events"].as_array().expect("events").iter().filter_map(|e| e["atMs"].as_u64()),
        );
    }
    all.sort_unstable();
    let newest = &all[all.len() - 10..];
    let shown: Vec<u64> = events.iter().filter_map(|event| event["at_ms"].as_u64()).collect();
    // Nothing happens in a network at rest between the two questions; a fork may, and is later.
    assert!(
        shown.iter().zip(newest).all(|(shown, newest)| shown <= newest),
        "{shown:?} {newest:?}"
    );
    assert!(model["rates"][0]["rx"].is_number(), "{}", model["rates"]);
    let line = kette(&["net", "monitor", "--once", "--home", text(&net.home())]);
    assert!(line.out.contains("score 100 Excellent running 10/10 components 1"), "{line:?}");
}
