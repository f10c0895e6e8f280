//! A network of one process: every node with its own sockets, database and log, all of them threads of one host.

use crate::harness::{
    Chain, Net, Ports, Ran, figure,
    nets::{SOON, agreed},
    nodes::is_running,
    ports::is_free,
    program, secs, text, until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Five miners, of which no single one has a process.
fn up(ports: &Ports) -> (Net, Value) {
    let net = Net::empty();
    let chain = net.home().with_file_name("chain.json");
    Chain::fixed(7_911, 500).write(&chain);
    let file = format!(
        "schema = 1\n[network]\nname = \"one\"\nchain = \"chain.json\"\ntopology = \"mesh\"\nbase_port = {}\n\
         rpc_base_port = {}\nmine_rate = 100\n[[group]]\nnames = {NAMES:?}\nroles = [\"miner\"]\n",
        ports.p2p(0),
        ports.rpc(0)
    );
    let path = net.home().with_file_name("net.toml");
    std::fs::write(&path, file).expect("a network file is written");
    let up = net.run("up", &["--file", text(&path), "--in-process"]).json();
    (net, up)
}

fn host(net: &Net) -> i32 {
    i32::try_from(net.manifest()["host"]["pid"].as_i64().expect("a host")).expect("a number")
}

fn did(ran: &Ran) -> String {
    ran.json()[0]["did"].as_str().expect("a word").to_owned()
}

#[test]
fn five_nodes_share_a_process_are_cut_stopped_killed_and_go_on() {
    let ports = Ports::claim();
    let (net, up) = up(&ports);
    figure("five nodes in one process: ready after, ms", &up["ready_ms"]);
    let pid = host(&net);
    assert_eq!(
        (&up["running"], &up["connected"], &up["host"]["pid"]),
        (&5.into(), &5.into(), &pid.into())
    );
    assert!(up["host"]["pss_bytes"].as_u64() > Some(1 << 20), "{up}");
    for node in up["list"].as_array().expect("a list") {
        assert_eq!((&node["pid"], &node["pss_bytes"]), (&pid.into(), &Value::Null), "{node}");
        assert_eq!(node["cpu_percent"], Value::Null, "what a thread uses of it nobody knows");
    }
    // A directory and a log of its own, with nothing of the others.
    for name in NAMES {
        let (log, own) = (net.log(name), format!("{{\"node\":\"{name}\","));
        assert!(
            log.contains("node started") && log.lines().all(|line| line.starts_with(&own)),
            "{log}"
        );
    }
    let rpcs = net.rpcs();
    let grown = agreed(&rpcs, 3, SOON);
    figure("five nodes in one process: three blocks after, ms", grown.as_millis());

    net.run("partition", &["--groups", "a,b/c,d,e"]).json();
    net.until("two parts", SOON, |status| status["components"] == 2);
    net.run("heal", &[]).json();
    net.until("one part", SOON, |status| status["components"] == 1);

    for (verb, done, instead) in [
        ("kill", "cannot be killed", "kill -9"),
        ("pause", "cannot be paused", "kill -STOP"),
        ("resume", "cannot be resumed", "kill -CONT"),
    ] {
        let words = [done, instead, "shares process", "kette net stop c", "--in-process=false"];
        net.run(verb, &["c"]).fails(2, &words);
    }
    net.run("upgrade", &["c", "--binary", env!("CARGO_BIN_EXE_kette")]).fails(2, &["one program"]);
    assert_eq!(did(&net.run("stop", &["c"])), "stopped");
    assert!(is_free(ports.rpc(2)) && is_free(ports.p2p(2)), "its ports are free");
    assert_eq!(did(&net.run("stop", &["c"])), "down");
    let four = net.run("status", &[]).json();
    assert_eq!((&four["running"], &four["list"][2]["pid"]), (&4.into(), &Value::Null));
    assert_eq!(did(&net.run("start", &["c"])), "started");
    assert_eq!(did(&net.run("restart", &["d"])), "restarted");
    assert!(is_running(pid) && host(&net) == pid, "its process is still the same");
    let height = rpcs[0].height().expect("it runs");
    agreed(&rpcs, height, SOON);

    // As the end of power for all of them.
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is ours");
    until("the end of the host", SOON, || if is_running(pid) { Err("it runs") } else { Ok(()) });
    let down = net.run("ps", &[]).json();
    assert!(down.as_array().expect("nodes").iter().all(|node| node["pid"].is_null()), "{down}");
    let again = net.run("up", &[]).json();
    let height_now = again["height"].as_u64().expect("a number");
    assert!(again["running"] == 5 && height_now >= height, "{height_now} after {height}");
    assert!(host(&net) != pid && is_running(host(&net)), "one process again, without being asked");
    agreed(&rpcs, height + 2, SOON);

    let pid = host(&net);
    net.run("down", &[]).json();
    assert!(!is_running(pid));
    assert!((0..5).all(|node| is_free(ports.p2p(node)) && is_free(ports.rpc(node))));
    assert!(NAMES.iter().all(|name| net.log(name).contains("\"stopped\"")), "all ended cleanly");
    // Their data is that of any node: each gets a process.
    let apart = net.run("up", &["--in-process=false"]).json();
    assert!(apart["running"] == 5 && apart["host"].is_null(), "{apart}");
    assert!(net.manifest()["host"].is_null() && net.pid(0) != net.pid(1));
    net.until("blocks", secs(20), |status| status["height"].as_u64() > Some(height + 2));
}

/// Whoever starts a host writes it down and says so: a launcher that was killed before leaves no process that no command
/// knows, and no socket in the way of the next one.
#[test]
fn a_host_ends_with_a_launcher_that_was_killed_before_it_was_written_down() {
    let ports = Ports::claim();
    let (net, _) = up(&ports);
    net.run("down", &[]).json();
    let socket = net.home().join("host.sock");
    for said in [&b""[..], b"kno"] {
        let mut host = program()
            .args(["net", "host", "--home", text(&net.home())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a host starts");
        let mut ready = String::new();
        let mut out = BufReader::new(host.stdout.take().expect("a pipe"));
        out.read_line(&mut ready).expect("it says something");
        assert!(ready == "ready\n" && socket.exists(), "{ready}");
        // As the kernel does with the pipe of whoever is killed.
        let mut launcher = host.stdin.take().expect("a pipe");
        launcher.write_all(said).expect("it listens");
        drop(launcher);
        let ended = host.wait_with_output().expect("it ends");
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && words.contains("before it was written down"), "{words}");
        assert!(!socket.exists());
    }
    assert_eq!(net.run("up", &[]).json()["running"], 5);
}

/// One process has no nodes that can be killed, and a file of steps says which.
#[test]
fn a_run_in_one_process_is_judged_and_refuses_what_needs_processes() {
    let net = Net::empty();
    net.run("run", &["churn-net", "--in-process"]).fails(2, &["share one process", "churn"]);
    let ran = net.run("run", &["scale", "--nodes", "6", "--duration", "6s", "--in-process"]);
    let report: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((&report["nodes"], &report["violation_count"]), (&6.into(), &0.into()), "{ran:?}");
    // Six seconds are too few for what is judged after twenty.
    for check in report["checks"].as_array().expect("checks") {
        let early = ["all nodes running", "first dials", "one head"];
        let text = check["check"].as_str().expect("words");
        assert!(check["ok"] == true || !early.iter().any(|words| text.contains(words)), "{check}");
    }
    assert!(net.manifest()["host"].is_null(), "it ended");
}
