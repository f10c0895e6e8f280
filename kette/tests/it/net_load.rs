//! `kette net load` on real networks: what it says is what the chain says.

use crate::harness::{Chain, Net, Ports, kette};
use serde_json::Value;

/// Counts the canonical transactions of blocks `from` to `to`, as node `index` has them.
fn in_blocks(net: &Net, index: usize, from: u64, to: u64) -> u64 {
    let rpc = net.rpcs()[index];
    let count = |number: u64| {
        let params = serde_json::json!([format!("0x{number:x}"), false]);
        let block = rpc.call("eth_getBlockByNumber", params).expect("a block");
        block["transactions"].as_array().expect("transactions").len() as u64
    };
    (from..=to).map(count).sum()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn four_validators_lose_nothing_of_a_mixed_load() {
    let (net, _) = Net::up(&["--preset", "bft4"]);
    let ran = net.run(
        "load",
        &[
            "--rate",
            "60",
            "--duration",
            "5s",
            "--senders",
            "12",
            "--seed",
            "7",
            "--conflicts",
            "6",
            "--mix",
            "transfers=6,erc20=3,deploy=1",
        ],
    );
    let report = ran.json();
    assert_eq!(report["ok"], true, "{report}");
    let count = |part: &str| number(&report[part]["count"]);
    assert_eq!((count("offered"), count("accepted"), count("committed")), (300, 300, 300));
    assert_eq!((count("lost"), number(&report["committed"]["reverted"])), (0, 0));
    let pairs = &report["conflicting"]["pairs"];
    assert_eq!((number(&pairs["offered"]), number(&pairs["one_committed"])), (6, 6), "{pairs}");
    assert_eq!(number(&pairs["pools_with_both"]), 0);
    // The blocks themselves say the same, on another node: all of the load, and at most one of each pair.
    let (from, to) = (number(&report["blocks"]["from"]), number(&report["blocks"]["to"]));
    let there = in_blocks(&net, 3, from, to);
    assert!((300..=306).contains(&there), "{there} transactions in blocks {from} to {to}");
    let reach = &report["propagation"];
    assert_eq!((number(&reach["nodes"]), number(&reach["reached_all"])), (4, 300), "{reach}");
    for figure in ["inclusion_ms", "finality_ms"] {
        assert_eq!(number(&report[figure]["count"]), 300, "{figure}");
        assert!(report[figure]["p50"].as_f64().expect("a time") > 0.0, "{figure}");
    }
    assert_eq!(report["conditions"]["clock"], "nodes");
    assert!(ran.err.contains("offered"), "progress goes to standard error: {}", ran.err);

    // The same seed again: the accounts have what they need, and go on with their nonces.
    assert!(ran.err.contains("all is handed in after"), "{}", ran.err);
    let short = ["--rate", "max", "--transactions", "500", "--seed", "7"];
    let again = net.run("load", &short).json();
    assert_eq!((number(&again["committed"]["count"]), again["ok"].clone()), (500, true.into()));
}

/// Where finality takes a minute, a load waits for it as long as it is told to.
#[test]
fn finality_is_waited_for_as_wished() {
    let ports = Ports::claim();
    let mut chain = Chain::fixed(9_466, 200);
    chain.pow()["finalityDepth"] = 60.into();
    let (net, _) = Net::of(&ports, &["a"], &chain, "");
    let load = |wait: &[&str]| {
        let few = ["--rate", "10", "--duration", "1s", "--senders", "2", "--seed", "7"];
        net.run("load", &[&few[..], wait].concat())
    };
    let included = load(&["--wait", "included", "--mix", "transfers=9,deploy=1"]);
    assert!(!included.err.contains("is final"), "{}", included.err);
    let report = included.json();
    assert_eq!(report["conditions"]["wait"], "included");
    assert_eq!(number(&report["committed"]["count"]), 10);
    // Less than a second is a time as well. The senders have more than transfers need, so no block funds them.
    let last = load(&["--wait", "final", "--patience", "900ms"]);
    for words in ["is final: final is 0, at most 0.", "is not final after 900ms (--patience)"] {
        assert!(last.err.contains(words), "{words}: {}", last.err);
    }
    let report: Value = serde_json::from_str(&last.out).expect("a report");
    assert_eq!(report["conditions"]["wait"], "final");
}

#[test]
fn misuse_is_told() {
    for (args, code, words) in [
        (vec!["--rate", "0"], 2, vec!["above 0"]),
        (vec!["--mix", "swaps"], 2, vec!["transfers, erc20, deploy"]),
        (vec!["--senders", "0", "--url", "http://127.0.0.1:9"], 2, vec!["--senders 0"]),
        (vec!["--conflicts", "1", "--url", "http://127.0.0.1:9"], 2, vec!["two nodes"]),
        (vec!["--url", "http://127.0.0.1:9"], 3, vec!["no node answers"]),
    ] {
        let ran = kette(&[&["net", "load"], args.as_slice()].concat());
        ran.fails(code, &words);
    }
    let net = Net::empty();
    net.run("load", &[]).fails(3, &["kette net up"]);
    assert!(!net.home().exists(), "asking makes nothing");
}
