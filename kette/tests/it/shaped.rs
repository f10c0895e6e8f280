//! Three real nodes whose links are slow, cut in one direction, and parted for a while.

use crate::harness::{
    Net, Ports, figure, kette,
    nets::{SOON, agreed},
    text, until,
};
use serde_json::{Value, json};

const LATENCY_MS: u64 = 60;

fn up(ports: &Ports) -> Net {
    let file = format!(
        "schema = 1\n[network]\nname = \"shaped\"\nchain = \"volkskette\"\ntopology = \"mesh\"\n\
         base_port = {}\nrpc_base_port = {}\n[shape]\nlatency = \"{LATENCY_MS}ms\"\nloss = 0.001\n\
         [[group]]\nname = \"n\"\ncount = 3\nroles = [\"miner\"]\n\
         [[link]]\nfrom = [\"n-0\"]\nto = [\"n-1\"]\njitter = \"5ms\"\n",
        ports.p2p(0),
        ports.rpc(0)
    );
    let (net, _) = Net::from_text(&file);
    net.until("sessions between all", SOON, |status| status["sessions"] == 3);
    net
}

/// Runs `kette net link VERB --json`.
fn link(net: &Net, args: &[&str]) -> Value {
    let home = net.home();
    kette(&[&["--json", "net", "link"], args, &["--home", text(&home)]].concat()).json()
}

/// The way from one node to another, as `kette net link show` has it.
fn way(net: &Net, from: &str, to: &str) -> Value {
    let shown = link(net, &["show"]);
    let mut ways = shown.as_array().expect("a list").iter();
    let found = ways.find(|way| way["from"] == from && way["to"] == to);
    found.unwrap_or_else(|| panic!("no way from {from} to {to} in {shown}")).clone()
}

/// The first round trip that is measured on this way.
fn round_trip(net: &Net, from: &str, to: &str) -> u64 {
    let (rtt, _) = until("a round trip", SOON, || {
        let way = way(net, from, to);
        way["rtt_ms"].as_u64().ok_or(way.to_string())
    });
    figure(&format!("links of {LATENCY_MS} ms: round trip {from} to {to}, ms"), rtt);
    rtt
}

#[test]
fn links_are_slow_from_the_first_session_on_and_after_a_restart() {
    let ports = Ports::claim();
    let net = up(&ports);
    for (from, to) in [("n-0", "n-1"), ("n-1", "n-0"), ("n-2", "n-0")] {
        assert!(round_trip(&net, from, to) >= 2 * LATENCY_MS, "{}", way(&net, from, to));
    }
    let (there, back) = (way(&net, "n-0", "n-1"), way(&net, "n-1", "n-0"));
    assert_eq!((&there["latency_ms"], &there["loss"]), (&json!(60.0), &json!(0.001)));
    assert_eq!((&there["jitter_ms"], &back["jitter_ms"]), (&json!(5.0), &json!(5.0)));

    // One direction changes while it runs; its other figures, and the other direction, stay.
    let args =
        ["set", "n-1", "n-2", "--latency", "5ms", "--bw", "20mbit", "--loss", "2%", "--one-way"];
    let set = link(&net, &args);
    assert_eq!((&set["ways"], &set["nodes"]), (&json!(1), &json!(1)), "{set}");
    let (there, back) = (way(&net, "n-1", "n-2"), way(&net, "n-2", "n-1"));
    assert_eq!((&there["latency_ms"], &there["loss"]), (&json!(5.0), &json!(0.02)), "{there}");
    assert_eq!(there["bandwidth"], 20_000_000);
    assert_eq!((&back["latency_ms"], &back["loss"]), (&json!(60.0), &json!(0.001)), "{back}");

    // A network that goes on has the links that it had.
    net.run("down", &[]).json();
    let file = net.home().parent().expect("it lies in one").join("net.toml");
    net.run("up", &["--file", text(&file)]).json();
    net.until("sessions between all", SOON, |status| status["sessions"] == 3);
    assert_eq!(way(&net, "n-1", "n-2")["latency_ms"], 5.0);
    let rtt = round_trip(&net, "n-1", "n-2");
    assert!(rtt >= LATENCY_MS + 5, "{rtt}");
    link(&net, &["clear"]);
    assert_eq!(way(&net, "n-1", "n-2")["latency_ms"], Value::Null);
}

#[test]
fn a_partition_heals_by_itself_and_a_cut_of_one_direction_by_command() {
    let ports = Ports::claim();
    let net = up(&ports);
    // Neither the end of a node nor that of the network heals a cut.
    net.run("partition", &["--groups", "n-0,n-1/n-2", "--for", "1h"]).json();
    let set = link(&net, &["set", "n-0", "n-2", "--jitter", "1ms"]);
    assert_eq!(set["without_session"], json!([["n-0", "n-2"]]), "{set}");
    net.run("kill", &["n-2"]).json();
    net.run("start", &["n-2"]).json();
    assert_eq!(way(&net, "n-2", "n-1")["cut"], true);
    net.run("down", &[]).json();
    let file = net.home().parent().expect("it lies in one").join("net.toml");
    let again = net.run("up", &["--file", text(&file)]).json();
    assert_eq!((&again["running"], &again["cut_into"]), (&json!(3), &json!(2)), "{again}");
    assert_eq!(
        (way(&net, "n-2", "n-1")["cut"].clone(), &again["components"]),
        (json!(true), &json!(2))
    );

    let parted = net.run("partition", &["--groups", "n-0,n-1/n-2", "--for", "4s"]).json();
    figure("partition of three nodes: sessions gone, ms", &parted["ms"]);
    assert_eq!((&parted["components"], &parted["for_seconds"]), (&json!(2), &json!(4)), "{parted}");
    assert_eq!(way(&net, "n-2", "n-0")["cut"], true);
    // Nobody heals it but the nodes themselves.
    net.until("one component", SOON, |status| status["components"] == 1);
    net.until("sessions between all", SOON, |status| status["sessions"] == 3);
    assert_eq!(way(&net, "n-2", "n-0")["cut"], false);

    // n-0 is not heard by n-2, which it hears: the session ends when an answer is missed, and cannot be opened.
    link(&net, &["set", "n-0", "n-2", "--cut", "--one-way"]);
    assert_eq!(way(&net, "n-0", "n-2")["cut"], true);
    net.until("the session is gone", SOON, |status| status["sessions"] == 2);
    let healed = net.run("heal", &[]).json();
    assert_eq!(healed["components"], 1, "{healed}");
    net.until("sessions between all", SOON, |status| status["sessions"] == 3);
    agreed(&net.rpcs(), 3, SOON);

    net.run("partition", &["--groups", "n-0/n-0"]).fails(2, &["two groups"]);
    net.run("partition", &["--groups", "n-0,n-0/n-1"]).fails(2, &["n-0 is named twice"]);
    kette(&["net", "link", "set", "n-0", "n-1", "--latency", "80", "--home", text(&net.home())])
        .fails(2, &["80 what? write 80ms"]);
    net.run("partition", &["--groups", "n-0"]).fails(2, &["two groups"]);
    net.run("partition", &["--groups", "n-0/n-9"]).fails(2, &["n-9", "n-0"]);
}
