//! Networks whose blocks are final by votes, as processes: the default network, `timecoin` by its literal flags, and
//! the commands that validators use.

use crate::harness::{
    Net, Ports, Rpc, accounts, figure, kette,
    nets::{SOON, summary},
    program, secs, text, until,
};
use serde_json::{Value, json};
use std::{
    fs,
    process::{Child, Stdio},
};

#[test]
fn the_default_network_makes_a_transfer_final_in_one_block() {
    let ports = Ports::claim();
    let (net, up) = Net::up(&["--base-port", &ports.p2p(0).to_string()]);
    assert_eq!((&up["name"], &up["running"]), (&json!("bft4"), &json!(4)), "{}", summary(&up));
    assert!(up["finalized"].as_u64() > Some(0) && up["hash_equal"] == true, "{}", summary(&up));
    figure("bft4: first final block on all nodes, ms", &up["first_final_ms"]);
    let rpcs = net.rpcs();
    let status: Value =
        serde_json::from_str(&rpcs[0].page("/status").expect("a page").1).expect("JSON");
    for (field, value) in [("validators", 4), ("voting_weight", 400), ("consensus_threshold", 267)]
    {
        assert_eq!(status[field], value, "{field}: {status}");
    }

    let (from, to) = (accounts::signer(8), accounts::address(9));
    let before = rpcs[3].balance(&to.to_string());
    let hash = accounts::send(rpcs[1], &from, to, 12_345, 0, 7677).expect("it is taken");
    let (finality, took) = until("a final transfer", SOON, || {
        let state = rpcs[3].call("kette_finality", json!([hash])).map_err(|error| json!(error))?;
        if state["status"] == "pending" { Err(state) } else { Ok(state) }
    });
    assert_eq!(finality["status"], "final", "in a block is final: {finality}");
    figure("bft4: a transfer final at another node, ms", took.as_millis());
    assert_eq!(rpcs[3].balance(&to.to_string()) - before, 12_345);
    for tag in ["safe", "finalized"] {
        let shown = rpcs[3].ask("eth_getBlockByNumber", json!([tag, false]));
        assert!(shown["number"].is_string(), "{tag}");
    }

    let shown = net.until("times of finality", SOON, |status| {
        status["finality_ms"]["count"].as_u64() > Some(20)
    });
    let finality = &shown.0["finality_ms"];
    assert!(finality["p50"].as_u64() <= finality["p99"].as_u64(), "{finality}");
    figure("bft4: finality p50 and p99, ms", format!("{} {}", finality["p50"], finality["p99"]));
    what_the_queries_show(rpcs[2], &net);
}

fn what_the_queries_show(rpc: Rpc, net: &Net) {
    let url = rpc.url();
    let shown = kette(&["--json", "query", "validators", "--rpc", &url]).json();
    assert_eq!((&shown["count"], &shown["quorum"]), (&json!(4), &json!(267)));
    assert_eq!(shown["validators"].as_array().map(Vec::len), Some(4));
    let leader = kette(&["--json", "query", "leader", "--height", "1", "--rpc", &url]).json();
    assert_eq!(leader["ranking"][0]["name"], "validator1", "{leader}");
    assert_eq!(leader["decided"]["proofValid"], true, "{leader}");

    let certificate = kette(&["--json", "query", "certificate", "2", "--rpc", &url]).json();
    assert_eq!(certificate["valid"], true, "{certificate}");
    assert!(certificate["weight"].as_u64() >= Some(267), "{certificate}");
    let file = net.home().join("bundle.json");
    kette(&["--json", "query", "certificate", "3", "--bundle", "-o", text(&file), "--rpc", &url])
        .json();
    let proven = kette(&["--json", "verify-finality", text(&file), "--genesis", "bft4"]).json();
    assert_eq!((&proven["final"], &proven["height"]), (&json!(true), &json!(3)));
    let other = kette(&["verify-finality", text(&file), "--genesis", "timecoin"]);
    other.fails(1, &["not proven final"]);
    let asked = kette(&["--json", "verify-finality", "--height", "2", "--rpc", &url]).json();
    assert_eq!(asked["hash"], certificate["block"]);
}

/// A validator by the flags of the second seed.
struct Validator {
    child: Child,
    log: std::path::PathBuf,
}

impl Validator {
    fn start(home: &std::path::Path, number: u16, ports: [u16; 3], more: &[&str]) -> Self {
        let log = home.join(format!("{number}.log"));
        let file = fs::File::create(&log).expect("a log");
        let id = format!("validator{number}");
        let port = ports[usize::from(number) - 1];
        let peers = ports.iter().filter(|other| **other != port);
        let peers: Vec<String> = peers.map(|port| format!("localhost:{port}")).collect();
        let child = program()
            .env("HOME", home)
            .env("RUST_LOG", "debug,libp2p=error,yamux=error,multistream_select=error")
            .args(["node", "--validator-id", &id, "--port", &port.to_string()])
            .args(["--peers", &peers.join(","), "--stake", "100", "--log-format", "json"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requirements T15 to T26: three validators by these very flags, and the lines of the first height in their order.
#[test]
fn timecoin_starts_by_its_literal_flags() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let claimed = Ports::claim();
    let ports = [claimed.p2p(0), claimed.p2p(1), claimed.p2p(2)];
    let nodes: Vec<Validator> =
        (1..=3).map(|number| Validator::start(home.path(), number, ports, &[])).collect();
    let first = &nodes[0];
    let wanted = [
        "Starting validator node: validator1".to_owned(),
        format!("Listening on 0.0.0.0:{}", ports[0]),
        "Peer connected: validator".to_owned(),
        "\u{1f4e6} Proposing block at height 1".to_owned(),
        "Generated prepare vote - weight: 100/300".to_owned(),
        "Prepare vote from validator".to_owned(),
        "\u{2705} Prepare consensus reached!".to_owned(),
        "Precommit vote from validator".to_owned(),
        "\u{2705} Precommit consensus reached!".to_owned(),
        "\u{26d3}\u{fe0f} Block finalized at height 1".to_owned(),
        "\u{1f4b0} Block 1 rewards - subsidy: 560517018".to_owned(),
        "\u{1f389} Block finalized: finalization complete at height 1".to_owned(),
        "Moving to height 2".to_owned(),
    ];
    let in_order = || {
        let said = first.lines();
        let mut rest = said.iter();
        let missing = wanted.iter().find(|line| !rest.any(|said| said.starts_with(*line)));
        missing.map_or(Ok(()), |line| Err(format!("{line} in {said:#?}")))
    };
    until("the lines of the first height", secs(60), in_order);
    let votes = first.lines();
    assert!(votes.iter().any(|line| line.ends_with("weight: 200/300")), "{votes:#?}");

    // The client's port is a hundred above.
    for port in [ports[1] + 100, ports[1]] {
        // The port for peers answers as well (requirement T44).
        let (code, page) = Rpc(port).page("/status").expect("a page");
        let status: Value = serde_json::from_str(&page).expect("JSON");
        for (field, value) in
            [("validators", 3), ("voting_weight", 300), ("consensus_threshold", 200)]
        {
            assert_eq!(status[field], value, "{field}: {status}");
        }
        assert!(code == 200 && status["height"].as_u64() > Some(0), "{status}");
    }
    assert_eq!(Rpc(ports[0]).page("/metrics").expect("an answer").0, 404);
}

#[test]
fn a_stake_that_the_registry_does_not_know_ends_the_start() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::claim();
    let mut node = program();
    let port = ports.p2p(0).to_string();
    let ended = node
        .env("HOME", home.path())
        .args(["node", "--validator-id", "validator1", "--port", &port, "--stake", "101"])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("has 100 votes"), "{said}");
}

#[test]
fn a_genesis_says_what_its_validators_bear() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let three =
        kette(&["genesis", "new", "--engine", "bft", "--validators", "3", "--quorum", "2/3"]);
    assert!(three.err.contains("WARNING") && three.err.contains("FORKS"), "{}", three.err);
    let path = dir.path().join("genesis.json");
    fs::write(&path, &three.out).expect("a genesis file");
    let valid = kette(&["--json", "genesis", "validate", text(&path)]).json();
    assert_eq!(valid["engine"], "bft");
    let four = kette(&["genesis", "new", "--validators", "4"]);
    assert!(four.code == 0 && !four.err.contains("WARNING"), "{}", four.err);
    kette(&["genesis", "new", "--preset", "dev", "--validators", "3"]).fails(2, &["engine bft"]);

    let home = dir.path().join("home");
    let owner = accounts::address(1).to_string();
    let args = ["--json", "keys", "validator", "new", "--home", text(&home), "--owner", &owner];
    let made = kette(&[&args[..], &["--stake", "7", "--genesis", text(&path)]].concat()).json();
    assert_eq!(made["proof"].as_str().map(str::len), Some(130), "{made}");
    let file = dir.path().join("validators.json");
    fs::write(&file, made.to_string()).expect("a file");
    let one = kette(&["genesis", "new", "--engine", "bft", "--validators", text(&file)]);
    assert!(one.out.contains(made["key"].as_str().expect("a key")), "{}", one.err);
    let again = kette(&["keys", "validator", "new", "--home", text(&home)]);
    assert_ne!(again.code, 0, "a key is never replaced");
}

/// BFT4-E on real processes, shorter: one of four validators proposes two blocks in each of its rounds and votes for both.
/// Nothing forks, the evidence gets into a block, and the liar loses stake and vote.
#[test]
fn a_real_validator_that_signs_twice_is_found_out() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let base = ports.p2p(0).to_string();
    // The file asks for 30 blocks in 60 s.
    let args = ["bft4-e", "--duration", "40s", "--base-port", &base, "--keep"];
    let report = net.run("run", &args).json();
    assert_eq!((&report["ok"], &report["violations"]), (&json!(true), &json!([])), "{report}");
    let rpcs = net.rpcs();
    let shown = rpcs[0].ask("kette_validators", json!([]));
    assert_eq!((&shown["count"], &shown["weight"]), (&json!(3), &json!(300)), "{shown}");
    assert!(net.log("validator4").contains("this node LIES"));
    let evidence = "signed two of what it may sign once: proposal";
    assert!(net.log("validator1").contains(evidence), "an honest validator saw it");
    figure("bft4-e, real: height", &report["height"]);
}

/// BFT5 on real processes, shorter than its hour: five validators with users agree, and nothing forks.
#[test]
fn five_validators_run_for_a_while() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let whole = kette(&["net", "show", "bft5"]).out;
    // Eight-second slots: four blocks are half a minute.
    let file = net.home().with_file_name("bft5.toml");
    let shorter = whole.replace("min = 400", "min = 3").replace("3700s", "30s");
    assert!(shorter != whole && shorter.contains("min = 3 "), "{whole}");
    fs::write(&file, shorter).expect("a network file");
    let base = ports.p2p(0).to_string();
    let report = net.run("run", &[text(&file), "--base-port", &base]).json();
    assert_eq!((&report["ok"], &report["violations"]), (&json!(true), &json!([])), "{report}");
    assert_eq!(report["blocks"]["stale"], 0, "{report}");
    assert_eq!(report["transactions"]["submitted"], report["transactions"]["included"], "{report}");
    figure("bft5, real: height", &report["height"]);
}
