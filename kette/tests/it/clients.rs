//! Real clients (cast, ethers, viem, hardhat) against live nodes. The scripts are in `tests/clients`; each prints
//! one JSON line, or fails with the first expectation that was broken.

use crate::harness::{Chain, Net, Node, Ports, Rpc, figure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients");

/// Returns the scripts' directory; their packages must be installed.
fn directory() -> PathBuf {
    let directory = Path::new(DIRECTORY);
    for made in ["node_modules/.installed-from", "build/.made-from"] {
        assert!(
            directory.join(made).exists(),
            "tests/clients/{made} is missing: run scripts/clients.sh (or `make clients`) first"
        );
    }
    directory.to_owned()
}

/// Runs a script with these variables and returns what it printed.
fn script(name: &str, variables: &[(&str, &str)]) -> Value {
    let mut command = Command::new("node");
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KETTE_") {
            command.env_remove(variable);
        }
    }
    let output = command
        .arg(format!("{name}.mjs"))
        .current_dir(directory())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("Node.js starts: run scripts/clients.sh to install it");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{name} with {variables:?} ended with {}\n{err}",
        output.status
    );
    let printed: Value = serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("{name} printed {out:?}: {error}"));
    assert_eq!(printed["client"], name);
    figure(&format!("{name}, ms"), &printed["ms"]);
    printed
}

/// Runs the scripts at the same time, each against a node of its own choice.
fn at_once(runs: &[(&str, Rpc)]) -> Vec<Value> {
    thread::scope(|scope| {
        let threads: Vec<_> = runs
            .iter()
            .map(|(name, rpc)| {
                scope.spawn(move || {
                    let (http, ws) = (rpc.url(), rpc.url().replace("http", "ws"));
                    script(name, &[("KETTE_RPC", http.as_str()), ("KETTE_WS", ws.as_str())])
                })
            })
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|run| run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn transactions(run: &Value) -> usize {
    run["transactions"].as_array().map_or(0, Vec::len)
}

#[test]
fn cast_ethers_viem_agree_on_a_live_network() {
    const CHAIN_ID: u64 = 7_690;
    const NODES: usize = 10;
    let names: [String; NODES] = std::array::from_fn(|index| format!("n{index}"));
    let names = names.each_ref().map(String::as_str);
    directory();
    let ports = Ports::claim();
    // Ten miners of 200 hashes per second: a block every two seconds.
    let (net, _) = Net::of(&ports, &names, &Chain::fixed(CHAIN_ID, 4_000), "");
    let rpcs = net.rpcs();
    assert_eq!(rpcs.len(), NODES);

    // Different nodes, so that transactions and blocks have to travel.
    let runs =
        at_once(&[("cast", rpcs[0]), ("ethers", rpcs[3]), ("viem", rpcs[9]), ("hardhat", rpcs[6])]);
    for run in &runs {
        assert_eq!(run["chainId"], CHAIN_ID, "{run}");
    }
    let (hardhat, subjects) = runs.split_last().expect("four runs");
    assert_eq!(hardhat["passed"], COIN_TESTS, "{hardhat}");
    let counts: Vec<usize> = subjects.iter().map(transactions).collect();
    assert_eq!(counts, [5, 7, 5], "{subjects:?}");

    let urls: Vec<String> = rpcs.iter().map(|rpc| rpc.url()).collect();
    let agreed = script(
        "agree",
        &[
            ("KETTE_RPCS", urls.join(",").as_str()),
            ("KETTE_SUBJECTS", &json!(subjects).to_string()),
        ],
    );
    assert_eq!(agreed["nodes"], NODES);
    assert_eq!(agreed["receipts"], counts.iter().sum::<usize>(), "{agreed}");
    // Per client one account's balance and one holder's tokens.
    assert_eq!(agreed["balances"], 6, "{agreed}");
    assert_eq!(agreed["stateRoot"].as_str().map(str::len), Some(66), "{agreed}");
}

#[test]
fn hardhat_tests_pass_on_a_development_chain() {
    let (_ports, node) = development_node();
    let url = node.rpc.url();
    let run = script("hardhat", &[("KETTE_RPC", url.as_str()), ("KETTE_DEVELOPMENT", "1")]);
    assert_eq!(run["passed"], COIN_TESTS + DEVELOPMENT_TESTS, "{run}");
}

#[test]
fn clients_work_where_blocks_come_on_demand() {
    let (_ports, node) = development_node();
    let runs = at_once(&[("cast", node.rpc), ("ethers", node.rpc), ("viem", node.rpc)]);
    for run in &runs {
        assert_eq!(run["chainId"], DEVELOPMENT_CHAIN_ID, "{run}");
        assert!(transactions(run) > 0, "{run}");
    }
}

/// `kette node --dev` on the development preset.
fn development_node() -> (Ports, Node) {
    directory();
    let ports = Ports::claim();
    let text = include_str!("../../presets/chains/dev.json");
    let chain = Chain(serde_json::from_str(text).expect("the preset is JSON"));
    let node = Node::new(&ports, 0, &chain).with(&["--dev"]).up();
    (ports, node)
}

/// Chain id of the development preset, which hardhat and anvil have as well.
const DEVELOPMENT_CHAIN_ID: u64 = 31_337;
/// Tests in `hardhat/test/coin.cjs`.
const COIN_TESTS: u64 = 6;
/// Tests in `hardhat/test/development.cjs`.
const DEVELOPMENT_TESTS: u64 = 7;
