//! What is installed to watch a network: every series of boards and rules is there, and a real Prometheus has them.

use crate::harness::{Net, Ports, Rpc, figure, nets::SOON, program, secs, text, until};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Ends with the value that started it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tool of the distribution.
fn tool(name: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(name)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}: `scripts/setup.sh test` installs it"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

/// A network of validators, and its exporter.
fn watched() -> (Net, Running, Rpc) {
    let ports = Ports::claim();
    let base = ports.p2p(0).to_string();
    let (net, _) = Net::up(&["--preset", "bft4", "--base-port", &base]);
    let command = |at: Rpc| {
        program()
            .args(["net", "exporter", "--home", text(&net.home())])
            .args(["--listen", &format!("127.0.0.1:{}", at.0)])
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter starts")
    };
    let at = Rpc(ports.rpc(18));
    let exporter = Running(command(at));
    until("the exporter", SOON, || at.page("/metrics").map(|_| ()));
    (net, exporter, at)
}

/// Names of series in a page.
fn exported(page: &str) -> BTreeSet<String> {
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    page.lines().filter(|line| !line.starts_with('#')).map(name).collect()
}

/// Names of our series in an expression.
fn used(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("kette_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_series_of_boards_and_rules_is_exported() {
    let (net, _exporter, network) = watched();
    let rpcs = net.rpcs();
    let folder = net.home().join("observability");
    // Series of things that happened are there once they did.
    until("finality and a clock", SOON, || {
        let page = rpcs[0].page("/metrics").map_err(|error| error.to_string())?.1;
        let names = exported(&page);
        let wanted = [
            "kette_clock_skew_seconds",
            "kette_p2p_rtt_seconds",
            "kette_chain_block_interval_seconds_bucket",
        ];
        match wanted.iter().find(|name| !names.contains(**name)) {
            None => Ok(()),
            Some(name) => Err(format!("{name} is missing")),
        }
    });
    let mut names = BTreeSet::new();
    for rpc in rpcs.iter().chain([&network]) {
        names.extend(exported(&rpc.page("/metrics").expect("it answers").1));
    }
    let mut found = Vec::new();
    for board in ["network", "consensus", "node"] {
        let path = folder.join(format!("grafana/boards/{board}.json"));
        let text = std::fs::read_to_string(path).expect("`net up` wrote it");
        let before = found.len();
        expressions(&serde_json::from_str(&text).expect("JSON"), &mut found);
        assert!(found.len() >= before + 12, "{board} has too few panels");
    }
    let rules = std::fs::read_to_string(folder.join("rules.yml")).expect("`net up` wrote it");
    found.extend(
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned),
    );
    assert!(found.len() >= 50, "{}", found.len());
    for expression in &found {
        assert!(expression.contains("up{") || !used(expression).is_empty(), "{expression}");
        for series in used(expression) {
            assert!(names.contains(&series), "{series} of `{expression}` is not exported");
        }
    }
    let score = network.page("/metrics").expect("it answers").1;
    assert!(score.contains("kette_net_health_score 100.0"), "{score}");
    let targets: Value =
        serde_json::from_str(&network.page("/targets").expect("it answers").1).expect("JSON");
    assert_eq!(targets.as_array().map(Vec::len), Some(5));
}

#[test]
fn a_prometheus_of_the_distribution_scrapes_the_network() {
    let (net, _exporter, network) = watched();
    let out = TempDir::new().expect("a directory");
    let written = net.run(
        "observability",
        &["--out", text(out.path()), "--exporter", &format!("127.0.0.1:{}", network.0)],
    );
    assert_eq!(written.json()["files"].as_array().map(Vec::len), Some(10));
    let path = |name: &str| out.path().join(name).display().to_string();
    for args in
        [["check", "rules", &path("rules.yml")], ["check", "config", &path("prometheus.yml")]]
    {
        let (good, said) = tool("promtool", &args);
        assert!(good, "{said}");
    }
    let fast =
        std::fs::read_to_string(path("prometheus.yml")).expect("it is there").replace("5s", "1s");
    std::fs::write(path("prometheus.yml"), fast).expect("written");

    let own = Ports::claim();
    let at = Rpc(own.rpc(0));
    let prometheus = Command::new("prometheus")
        .args([
            &format!("--config.file={}", path("prometheus.yml")),
            &format!("--storage.tsdb.path={}", path("data")),
            &format!("--web.listen-address=127.0.0.1:{}", at.0),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`scripts/setup.sh test` installs prometheus");
    let _prometheus = Running(prometheus);
    let (_, took) = until("all five targets", secs(60), || match query(at, "sum(up)") {
        Some(sum) if sum == "5" => Ok(()),
        other => Err(other),
    });
    figure("prometheus: all targets scraped after, s", took.as_secs_f64());
    for (expression, expected) in [
        ("count(kette_chain_height{network=\"bft4\"})", "4"),
        ("count(kette_consensus_validators == 4)", "4"),
        ("sum(kette_net_node_up)", "4"),
        ("count(rate(kette_p2p_bytes_total[30s])) > bool 0", "1"),
        ("kette_net_conflicting_finality", "0"),
    ] {
        until(expression, secs(30), || match query(at, expression) {
            Some(value) if value == expected => Ok(()),
            other => Err(other),
        });
    }
    let rules = at.page("/api/v1/rules").expect("it answers").1;
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    let list = rules["data"]["groups"][0]["rules"].as_array().expect("rules");
    assert!(list.len() >= 6);
    for rule in list {
        assert!(rule["lastError"].as_str().unwrap_or_default().is_empty(), "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
}

/// Returns the first value of an instant query.
fn query(at: Rpc, expression: &str) -> Option<String> {
    let encoded: String = expression
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let (_, text) = at.page(&format!("/api/v1/query?query={encoded}")).ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

#[test]
fn the_systemd_unit_passes_verification() {
    let net = Net::empty();
    // The files need no running network, only its plan.
    let up = net
        .run("up", &["--preset", "volkskette", "--base-port", &Ports::claim().p2p(0).to_string()]);
    up.json();
    net.run("down", &[]).json();
    let unit = net.home().join("observability/kette@.service");
    let (good, said) = tool("systemd-analyze", &["verify", "--man=no", instance(&unit).as_str()]);
    assert!(good && !said.contains("kette"), "{said}");
    assert!(net.run("observability", &[]).json()["files"] != json!([]));
}

/// Copies a template unit to an instance, as the verifier wants it.
fn instance(unit: &Path) -> String {
    let path = unit.with_file_name("kette@one.service");
    std::fs::copy(unit, &path).expect("it is there");
    path.display().to_string()
}
