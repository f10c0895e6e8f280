//! `kette net run`: steps, users and checks of a network file on real processes.

use crate::harness::{
    Chain, Net, Ports, Ran, figure, kette, nets::SOON, program, secs, text, until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

/// A network file with these groups, steps and checks. With the chain's difficulty of 600 a miner of 400 hashes per
/// second finds a block in a second and a half.
fn file(net: &Net, ports: &Ports, chain_id: u64, duration: &str, rest: &str) -> PathBuf {
    let folder = net.home().parent().expect("a folder").to_path_buf();
    Chain::fixed(chain_id, 600).write(&folder.join("chain.json"));
    let text = format!(
        "schema = 1\n[network]\nname = \"test\"\nchain = \"chain.json\"\ntopology = \"mesh\"\nbase_port = {}\n\
         rpc_base_port = {}\nmine_rate = 400\nduration = \"{duration}\"\n\
         [genesis.config.kette.engine.pow]\nfinalityDepth = 60\n{rest}",
        ports.p2p(0),
        ports.rpc(0)
    );
    let path = folder.join("test.toml");
    std::fs::write(&path, text).expect("a network file is written");
    path
}

/// No process is left, and the directory says so.
fn is_down(net: &Net) {
    let manifest = net.manifest();
    let nodes = manifest["nodes"].as_array().expect("nodes");
    assert!(nodes.iter().all(|node| node["process"].is_null()), "{manifest}");
    assert_eq!(net.run("status", &[]).code, 3, "nobody answers");
}

fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn steps_happen_to_real_processes_and_one_chain_is_left() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest = r#"
[workload]
rate = 2.0
senders = 3

[[group]]
names = ["a", "b", "c"]
roles = ["miner"]

[[group]]
names = ["late"]
start_at = "2s"

[[step]]
at = "4s"
partition = { groups = [["a", "b"], ["c", "late"]], for = "8s" }
[[step]]
at = "height:5"
load = { rate = 2.0, for = "3s" }
[[step]]
at = "13s"
crash = { nodes = ["b"], restart_after = "2s" }
[[step]]
at = "14s"
pause = { nodes = ["c"], for = "1s" }
[[step]]
at = "16s"
stop = { nodes = ["a"], restart_after = "1s" }
[[step]]
at = "17500ms"
mine = { nodes = ["c"], on = false }
[[step]]
at = "18500ms"
wipe = { nodes = ["late"] }
[[step]]
at = "19500ms"
reset = { nodes = ["*"] }

[[check]]
connected = { min_peers = 2, within = "60s" }
[[check]]
agreement = { after = "heal", within = "40s" }
[[check]]
reorg = { min_depth = 1, max_depth = 59 }
[[check]]
height = { min = 8 }
[[check]]
stale_rate = { max = 0.9 }
[[check]]
propagation = { percent = 50.0, max = "20s" }
"#;
    let path = file(&net, &ports, 9_611, "21s", rest);
    let ran = net.run("run", &[text(&path)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = result(&ran);
    for (key, value) in [("schema", "kette-net-run"), ("name", "test")] {
        assert_eq!(report[key], value);
    }
    assert_eq!((report["ok"].as_bool(), report["complete"].as_bool()), (Some(true), Some(true)));
    assert_eq!(report["violations"], Value::Array(Vec::new()));
    // Six of the file, and that every step happened.
    assert_eq!(report["checks"].as_array().map(Vec::len), Some(7));
    // In the order in which they are in the file or follow from it.
    let happened: Vec<&str> = report["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|it| it["what"].as_str())
        .collect();
    let at = |words: &str| {
        let found = happened.iter().position(|what| what.contains(words));
        found.unwrap_or_else(|| panic!("`{words}` did not happen: {happened:?}"))
    };
    for pair in [
        "3 nodes answer",
        "late starts",
        "partition a, b / c, late for 8s",
        "end: partition",
        "crash of b, returns after 2s",
        "start of b",
        "stop of a, returns after 1s",
        "start of a",
        "mining of c off",
        "wipe of late",
        "start of late",
        "sessions of * reset",
        "all faults end",
        "miners stop",
    ]
    .windows(2)
    {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?} in {happened:?}");
    }
    assert!(at("pause of c for 1s") < at("end: pause of c") && at("load") < at("end: load"));
    let blocks = &report["blocks"];
    assert!(
        blocks["stale"].as_u64() >= Some(1) && blocks["canonical"] == report["height"],
        "{blocks}"
    );
    let users = &report["transactions"];
    assert!(users["included"].as_u64() >= Some(10), "{users}");
    assert_eq!(users["included"], users["submitted"], "{users}");
    assert!(report["propagation"]["p50_ms"].as_f64() > Some(0.0));
    // Killed, or told to end; and told again when the run was over.
    for (name, told) in [("a", 2), ("b", 1), ("c", 1)] {
        let log = net.log(name);
        assert_eq!(
            log.matches("\"node started\"").count(),
            if name == "c" { 1 } else { 2 },
            "{name}"
        );
        assert_eq!(log.matches("\"stopping\"").count(), told, "{name}");
    }
    is_down(&net);
    figure("net run of 21 s: converged after, s", &report["converged_seconds"]);
}

#[test]
fn a_check_that_does_not_hold_names_its_node() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest = "[[group]]\nnames = [\"a\", \"b\"]\nroles = [\"miner\"]\nmine_rate = 1500\n\
                [[group]]\nnames = [\"reader\"]\n\
                [[step]]\nat = \"0s\"\ncut = { from = [\"reader\"], to = [\"*\"], for = \"9s\" }\n\
                [[check]]\nheight = { min = 40, within = \"8s\" }\n[[check]]\nagreement = {}\n";
    let path = file(&net, &ports, 9_612, "10s", rest);
    let ran = net.run("run", &[text(&path)]);
    let words = [
        "FAIL height at least 40 within 8s",
        "reader has the least height",
        "/reader.log:",
        "0 violations, 1 failed checks of 2; see reader",
    ];
    ran.fails(1, &words);
    let report = result(&ran);
    assert_eq!((&report["ok"], &report["complete"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(report["checks"][0]["nodes"][0], "reader");
    assert_eq!(report["checks"][1]["ok"], true, "{report}");
    assert!(report["logs"]["reader"].as_array().is_some_and(|lines| !lines.is_empty()));
    is_down(&net);
}

#[test]
fn what_processes_cannot_do_is_refused_before_any_starts() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest = "[[group]]\nnames = [\"a\", \"b\", \"c\"]\nroles = [\"miner\"]\n\
                [[group]]\nnames = [\"liar\", \"twin\"]\nbyzantine = \"twin\"\n\
                [[step]]\nat = \"1s\"\ncrash = { nodes = [\"a\"] }\n\
                [[step]]\nat = \"2s\"\ndisk = { nodes = [\"a\"], fault = \"full\" }\n\
                [[step]]\nat = \"height:3\"\nframes = { nodes = [\"a\"], corrupt = 0.1 }\n";
    let path = file(&net, &ports, 9_613, "10s", rest);
    let ran = net.run("run", &[text(&path)]);
    let words = [
        "[[group]] 2: `byzantine`",
        "[[step]] 2 (at 2s, disk)",
        "[[step]] 3 (at height:3, frames): nobody stands between",
        "`kette sim run` can",
    ];
    ran.fails(2, &words);
    assert!(!ran.err.contains("[[step]] 1"), "{ran:?}");
    assert!(!net.home().exists(), "nothing was made");
}

#[test]
fn up_says_who_carries_out_steps_and_run_leaves_its_network_alone() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest =
        "[[group]]\nnames = [\"a\"]\nroles = [\"miner\"]\n[[step]]\nat = \"1s\"\nheal = {}\n";
    let path = file(&net, &ports, 9_614, "2s", rest);
    let up = net.run("up", &["--file", text(&path)]);
    assert!(
        up.code == 0 && up.err.contains("1 steps are not carried out (`kette net run` does)"),
        "{up:?}"
    );
    net.run("run", &[text(&path)]).fails(2, &["is up in", "--home DIR starts another one"]);
    assert_eq!(net.run("status", &[]).code, 0, "it is still there");
}

#[test]
fn ctrl_c_takes_the_network_down() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest = "[[group]]\nnames = [\"a\", \"b\"]\nroles = [\"miner\"]\n[[step]]\nat = \"0s\"\npause = { nodes = [\"b\"] }\n";
    let path = file(&net, &ports, 9_615, "10m", rest);
    let home = net.home();
    let mut child = program()
        .args(["--json", "net", "run", text(&path), "--home", text(&home)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(child.stderr.take().expect("piped"));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
    let mut lines = said.lines();
    let paused = lines.any(|line| line.expect("text").contains("pause of b"));
    assert!(paused, "it ended before");
    kill(pid, Signal::SIGINT).expect("it runs");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let (status, _) = until("the end of the run", SOON, || {
        child.try_wait().expect("a child of ours").ok_or("running")
    });
    assert_eq!(status.code(), Some(130), "{rest:?}");
    is_down(&net);
}

#[test]
fn a_kept_network_mines_on() {
    let (net, ports) = (Net::empty(), Ports::claim());
    let rest =
        "[[group]]\nnames = [\"a\", \"b\"]\nroles = [\"miner\"]\n[[check]]\nagreement = {}\n";
    let path = file(&net, &ports, 9_616, "2s", rest);
    let report = net.run("run", &[text(&path), "--keep"]).json();
    let height = report["height"].as_u64().expect("a number");
    net.until("more blocks", secs(30), |status| {
        status["running"] == 2 && status["height"].as_u64() > Some(height)
    });
    // Its files are a run's own: the next run would replace them, but not while it is up.
    net.run("run", &[text(&path)]).fails(2, &["is up in"]);
    assert_eq!(kette(&["net", "run", "no-such-network"]).code, 2);
}
