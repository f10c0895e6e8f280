//! One network file on both hosts: the same checks with the same verdicts, and figures of the same kinds in one report.

use crate::harness::{Net, Ports, kette, text};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// Four validators, of which one is cut off for a while, and users, two of whom contradict themselves.
fn file(ports: &Ports) -> String {
    format!(
        r#"schema = 1
[network]
name = "both"
chain = "bft4"
topology = "mesh"
base_port = {}
rpc_base_port = {}
duration = "16s"

[workload]
rate = 8.0
senders = 4
conflicts = 2

[[group]]
name = "node"
count = 4
stake = 100

[[step]]
at = "4s"
partition = {{ groups = [["node-0..2"], ["node-3"]], for = "4s" }}

[[check]]
connected = {{ min_peers = 3, within = "10s" }}
[[check]]
agreement = {{ after = "heal", within = "20s" }}
[[check]]
transactions = {{ min = 40, min_included = 1.0, min_per_second = 1.0, over = "5s" }}
[[check]]
pools = {{ max = "60s" }}
[[check]]
conflicts = {{ min = 2 }}
[[check]]
propagation = {{ percent = 75.0, max = "5s" }}
[[check]]
height = {{ min = 1000000 }}
"#,
        ports.p2p(0),
        ports.rpc(0)
    )
}

fn verdicts(run: &Value) -> BTreeMap<String, bool> {
    let one = |check: &Value| {
        let name = check["check"].as_str().expect("a name").to_owned();
        (name, check["ok"].as_bool().expect("a verdict"))
    };
    run["checks"].as_array().expect("checks").iter().map(one).collect()
}

#[test]
fn one_file_has_one_verdict_on_processes_and_in_the_simulator() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let folder = net.home().parent().expect("a folder").to_path_buf();
    let path = |name: &str| folder.join(name);
    fs::write(path("both.toml"), file(&ports)).expect("a network file is written");
    let both = path("both.toml");
    let real = net.run("run", &[text(&both)]);
    let simulated = kette(&["--json", "sim", "run", text(&both)]);
    // The last check cannot hold, on either host; nothing else is wrong.
    assert_eq!((real.code, simulated.code), (1, 1), "{real:?} {simulated:?}");
    let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let (real_run, simulation) = (json(&real.out), json(&simulated.out));
    let simulated_run = &simulation["runs"][0];
    let told = verdicts(&real_run);
    assert_eq!(told, verdicts(simulated_run), "{real_run}");
    let failed: Vec<&String> = told.iter().filter(|(_, ok)| !**ok).map(|(name, _)| name).collect();
    assert_eq!(failed, ["height at least 1000000"], "{real_run}");
    for run in [&real_run, simulated_run] {
        // The engine bft makes blocks faster than it logs them: figures come from the chain and the receivers.
        let above = |figure: &Value| figure.as_f64().is_some_and(|figure| figure > 0.0);
        assert!(above(&run["transactions"]["per_second"]), "{}", run["transactions"]);
        assert!(above(&run["propagation"]["p90_ms"]), "{}", run["propagation"]["p90_ms"]);
        assert!(above(&run["blocks"]["interval_seconds"]), "{}", run["blocks"]);
    }
    let reach = real_run["block_reach"].as_array().expect("a table");
    assert!(reach.iter().any(|row| row["nodes"] == 4 && !row["producer"].is_null()), "{reach:?}");
    fs::write(path("net.json"), &real.out).expect("written");
    fs::write(path("sim.json"), &simulated.out).expect("written");
    let (sim, net, out) = (path("sim.json"), path("net.json"), path("rep"));
    let report = kette(&["--json", "net", "report", text(&sim), text(&net), "--out", text(&out)]);
    assert_eq!(report.json()["runs"], 2);
    let markdown = fs::read_to_string(path("rep.md")).expect("Markdown");
    for words in [
        "both.toml, simulator, seed 0",
        "both, processes, seed 0",
        "2 of 2 pairs with one in the chain",
    ] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }
    assert!(fs::read_to_string(path("rep.html")).expect("a page").contains("<svg"));
}
