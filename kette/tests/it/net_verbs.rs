//! Verbs on the nodes of a running network: processes, liars, programs, clocks, mining, members, snapshots, logs, forks.

use crate::harness::{
    Chain, Net, Ports, Ran, figure, kette,
    nets::{SOON, agreed},
    nodes::is_running,
    program, secs, text, until,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::Stdio,
};

fn height(status: &Value, node: usize) -> Option<u64> {
    status["list"][node]["height"].as_u64()
}

fn said(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Runs `kette net WORDS --json` on this network, for verbs that have verbs of their own.
fn sub(net: &Net, words: &[&str]) -> Ran {
    let home = net.home();
    kette(&[&["--json", "net"], words, &["--home", text(&home)]].concat())
}

/// Four validators: kill, start, stop, restart, pause, resume, byz, clock, upgrade.
#[test]
fn validators_are_ended_held_replaced_and_made_to_lie() {
    let ports = Ports::claim();
    let (net, _) = Net::up(&["--base-port", &ports.p2p(0).to_string()]);
    let rpcs = net.rpcs();
    let pid = net.pid(3);
    let killed = said(&net.run("kill", &["validator4"]));
    assert_eq!(killed, json!([{ "node": "validator4", "did": "killed" }]));
    assert!(!is_running(pid), "it is killed");
    assert_eq!(said(&net.run("kill", &["validator4"]))[0]["did"], "down");
    net.run("pause", &["validator4"]).fails(3, &["kette net start validator4"]);
    net.run("kill", &["validator9"]).fails(2, &["`validator9` means no node"]);

    // Others decide without it, for as long as it takes to tell a late block from one that was live.
    let before = rpcs[0].height().expect("it runs");
    let (_, away) = net.until("blocks of three validators", secs(60), |status| {
        height(status, 0) > Some(before + 6)
    });
    said(&net.run("start", &["validator*"]));
    agreed(&rpcs, before + 8, SOON);
    let live = || {
        let times = rpcs[3].ask("kette_finalityTimes", json!([]));
        let times: Vec<u64> = serde_json::from_value(times).expect("numbers");
        if times.len() < 5 { Err(times) } else { Ok(times) }
    };
    let (times, _) = until("blocks that were final while it looked on", SOON, live);
    figure("verbs: a validator was away, ms", away.as_millis());
    // It caught up with blocks that were seconds old; they count as nobody's time of finality.
    let caught_up =
        net.log("validator4").lines().filter(|line| line.contains("\"live\":false")).count();
    assert!(caught_up >= 6, "only {caught_up} blocks were caught up with");
    let away_ms = u64::try_from(away.as_millis()).expect("not so long");
    assert!(times.iter().all(|ms| *ms < away_ms), "{times:?} after {away:?} away");

    let paused = said(&net.run("pause", &["validator1"]));
    assert_eq!(paused[0]["did"], "paused");
    let state = fs::read_to_string(format!("/proc/{}/stat", net.pid(0))).expect("it is there");
    assert!(state.contains(") T "), "{state}");
    said(&net.run("resume", &["validator1"]));
    let (old, restarted) = (net.pid(1), said(&net.run("restart", &["validator2"])));
    assert_eq!(restarted[0]["did"], "restarted");
    assert!(!is_running(old) && net.log("validator2").contains("\"stopped\""));

    let copy = net.home().join("another-kette");
    fs::copy(env!("CARGO_BIN_EXE_kette"), &copy).expect("a copy");
    let upgraded = said(&net.run("upgrade", &["validator3", "--binary", text(&copy)]));
    assert!(
        upgraded["version"].as_str().is_some_and(|text| text.starts_with("kette")),
        "{upgraded}"
    );
    assert_eq!(net.command_line(2)[0], text(&copy));
    net.run("upgrade", &["validator3", "--binary", "/bin/true"]).fails(2, &["is not kette"]);

    said(&sub(&net, &["clock", "skew", "validator2", "+1s"]));
    assert!(net.command_line(1).windows(2).any(|pair| pair == ["--clock-offset", "1000"]));
    said(&sub(&net, &["clock", "skew", "validator2", "0"]));

    net.run("byz", &["validator4", "twin"]).fails(2, &["one identity at two places"]);
    net.run("byz", &["validator4", "selfish-miner"]).fails(2, &["proof of work"]);
    net.run("byz", &["validator4", "liar"])
        .fails(2, &["is no role", "equivocating-voter", "`honest`"]);
    said(&net.run("byz", &["validator4", "equivocating-voter"]));
    let jailed = || {
        let shown = rpcs[0].ask("kette_validators", json!([]));
        if shown["count"] == 3 { Ok(()) } else { Err(shown) }
    };
    until("the liar without a vote: its evidence is in a block", secs(60), jailed);
    assert!(net.log("validator1").contains("signed two of what it may sign once"));
    let back = said(&net.run("byz", &["validator4", "honest"]));
    assert_eq!(back["role"], "honest");
    let now = rpcs[0].height().expect("it runs");
    agreed(&rpcs, now + 3, SOON);
    assert_eq!(net.run("status", &[]).code, 0);
    net.run("mine", &["validator1", "on"]).fails(2, &["no miners"]);

    // Somebody else takes the port of a node that is down.
    said(&net.run("stop", &["validator4"]));
    let port = rpcs[3].0;
    let thief = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let words = format!("port {port} is in use by process {}", std::process::id());
    net.run("start", &["validator4"]).fails(3, &["validator4 cannot start", &words]);
    drop(thief);
    said(&net.run("start", &["validator4"]));

    // One command at a time: the other one is named.
    let lock = fs::File::options().write(true).open(net.home().join("network.lock"));
    let lock = lock.expect("commands made it");
    lock.lock().expect("nobody has it");
    fs::write(net.home().join("network.lock"), "`kette net run x` (process 12)").expect("words");
    net.run("heal", &[]).fails(4, &["`kette net run x` (process 12) works on the network"]);
    drop(lock);
    said(&net.run("heal", &[]));
}

/// A load that ends when half of the network is replaced, as one that is killed there: nothing runs on a mixture, and
/// `up` finishes it.
fn interrupted(net: &Net, at: Option<u64>) {
    said(&net.run("start", &["*"]));
    net.until("blocks after the load", secs(60), |status| {
        status["height"].as_u64() > at.map(|height| height + 5)
    });
    let (folder, obstacle) = (net.home().join("snapshots"), net.home().join("node-4/links.json/x"));
    let links = obstacle.parent().expect("a folder");
    // A load that ends while it stops nodes has replaced nothing: they start again, and nothing goes back.
    let list = net.home().join("network.json.new");
    fs::create_dir(&list).expect("a folder where a file belongs");
    let failed = sub(net, &["snapshot", "load", "one"]);
    failed.fails(2, &["network.json"]);
    fs::remove_dir(&list).expect("it is there");
    assert!(!folder.join(".loading.json").exists(), "{failed:?}");
    said(&net.run("start", &["*"]));
    // It is replaced after the databases of the others.
    let _ = fs::remove_file(links);
    fs::create_dir_all(&obstacle).expect("a folder where a file belongs");
    sub(net, &["snapshot", "load", "one"]).fails(2, &["half restored", "snapshot load one"]);
    fs::remove_dir_all(links).expect("it is there");
    assert!(folder.join(".loading.json").exists() && !net.database("a").exists());
    for verb in [&["start", "a"][..], &["snapshot", "save", "x"], &["snapshot", "rm", "one"]] {
        sub(net, verb).fails(2, &["snapshot load one` was interrupted"]);
    }
    let file = net.home().parent().expect("a folder").join("net.toml");
    let up = net.run("up", &["--file", text(&file)]);
    assert!(up.err.contains("the network is back to one"), "{up:?}");
    let height = up.json()["height"].as_u64();
    assert!(height <= at.map(|height| height + 3), "{at:?} and {up:?}");
    // Copies of a load that was killed before it touched anything are no trap.
    let left = fs::read_dir(&folder).expect("a folder").count();
    fs::create_dir_all(folder.join(".loading/a")).expect("a folder");
    said(&net.run("down", &[]));
    said(&net.run("up", &["--file", text(&file)]));
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), left);
    assert_eq!(left, 1, "only the snapshot");
}

/// A load into a purged place that was interrupted: there is no list of nodes yet, but some of their files.
fn interrupted_in_a_purged_place(net: &Net, at: Option<u64>) {
    let marker = net.home().join("snapshots/.loading.json");
    let interrupted = || {
        said(&net.run("down", &["--purge"]));
        assert!(!marker.exists() && !net.database("c").exists());
        fs::write(&marker, r#"{"snapshot": "one", "running": []}"#).expect("a file");
        for name in ["a", "c"] {
            fs::write(net.database(name), "").expect("a file");
        }
    };
    interrupted();
    interrupted();
    let up = net.run("up", &[]);
    assert!(up.err.contains("the network is back to one"), "{up:?}");
    let status = up.json();
    assert!(status["height"].as_u64().map(|height| height + 2) >= at, "{status}");
    assert!(status["running"] == 4 && !marker.exists(), "{status}");
    // Whoever wants another one gets it, without the snapshot's word.
    interrupted();
    let file = net.home().parent().expect("a folder").join("net.toml");
    let up = net.run("up", &["--fresh", "--file", text(&file)]).json();
    assert!(up["running"] == 2 && !marker.exists() && !net.database("c").exists(), "{up}");
}

/// Three miners: add, rm, exec, mine, snapshot, logs, fork.
#[test]
fn networks_grow_shrink_fork_and_go_back() {
    let ports = Ports::claim();
    // Two miners of 200 hashes per second: a block every second or so.
    let chain = Chain::fixed(9_461, 400);
    let (net, _) = Net::of(&ports, &["a", "b"], &chain, "");
    let added = said(&net.run("add", &["c", "--region", "EU-WEST"]));
    assert_eq!((&added[0]["node"], &added[0]["p2p"]), (&json!("c"), &json!(ports.p2p(2))));
    agreed(&net.rpcs(), 2, SOON);
    net.run("add", &["a"]).fails(2, &["take another name"]);
    // Newcomers do not join what is cut.
    said(&net.run("partition", &["--groups", "a,c/b"]));
    let two = said(&net.run("add", &["--count", "2"]));
    assert_eq!((&two[0]["node"], &two[1]["node"]), (&json!("node-3"), &json!("node-4")));
    net.until("newcomers on one side", SOON, |status| {
        let peers = |node: usize| status["list"][node]["peers"].as_u64();
        peers(1) == Some(0) && peers(3) >= Some(1) && peers(4) >= Some(1)
    });
    let scraped = fs::read_to_string(net.home().join("observability/targets.json"));
    assert!(scraped.expect("a file").contains("\"node\": \"node-4\""));
    said(&net.run("heal", &[]));
    let left = said(&net.run("rm", &["node-3", "--purge"]));
    assert_eq!(left["left"], json!(["node-3"]));
    assert!(!net.database("node-3").exists());
    net.until("four nodes in one network", SOON, |status| {
        status["running"] == 4 && status["components"] == 1 && status["hash_equal"] == true
    });

    let asked = said(&net.run("exec", &["c", "--", "status"]));
    assert_eq!(asked["moniker"], "c", "{asked}");
    net.run("exec", &["*", "--", "status"]).fails(2, &["name one"]);

    said(&net.run("mine", &["c", "on", "--hash-rate", "200"]));
    assert!(net.command_line(2).iter().any(|arg| arg == "--mine"));
    said(&net.run("mine", &["b", "off"]));
    assert_eq!(net.rpcs()[1].ask("eth_mining", json!([])), json!(false));

    let forked = said(&sub(&net, &["fork", "create", "--depth", "2"]));
    assert!(forked["reorg_depth_max"].as_u64() >= Some(2), "{forked}");
    let from = forked["cut_at_height"].as_u64().expect("a number");
    assert!(forked["converged_height"].as_u64() >= Some(from + 2), "{forked}");

    let saved = said(&sub(&net, &["snapshot", "save", "one"]));
    assert!(saved["bytes"].as_u64() > Some(10_000), "{saved}");
    sub(&net, &["snapshot", "save", "one"]).fails(2, &["already"]);
    let at = net.until("all run again", SOON, |status| status["running"] == 4).0["height"].as_u64();
    net.until("blocks after the snapshot", secs(60), |status| {
        status["height"].as_u64() > at.map(|height| height + 5)
    });
    // Who left since is back, and who joined is out.
    said(&net.run("rm", &["node-4", "--purge"]));
    said(&net.run("add", &["late"]));
    said(&net.run("stop", &["*"]));
    let loaded = said(&sub(&net, &["snapshot", "load", "one"]));
    assert_eq!((&loaded["back"], &loaded["gone"]), (&json!(["node-4"]), &json!(["late"])));
    assert_eq!(
        (&loaded["started"], net.names()),
        (&json!([]), ["a", "b", "c", "node-4"].map(String::from).to_vec())
    );
    assert!(!net.database("late").exists());
    said(&net.run("start", &["node-4"]));
    let back = net.until("the node is back", SOON, |status| height(status, 3) > Some(0)).0;
    assert!(height(&back, 3) <= at.map(|height| height + 2), "{at:?} and {back}");
    sub(&net, &["snapshot", "load", "two"]).fails(2, &["there are one"]);
    interrupted(&net, at);

    // Who joined and who left stays so when the network comes up again.
    said(&net.run("start", &["*"]));
    said(&net.run("rm", &["a"]));
    net.run("down", &[]);
    let file = net.home().parent().expect("a folder").join("net.toml");
    let up = net.run("up", &["--file", text(&file)]).json();
    assert_eq!(
        (&up["running"], net.names()),
        (&json!(3), vec!["b".into(), "c".into(), "node-4".into()])
    );
    assert_eq!(up["list"][0]["p2p"], ports.p2p(1), "ports stay when the first node leaves");
    logs(&net);

    // A snapshot outlives its network, and brings it back.
    let purged = said(&net.run("down", &["--purge"]));
    assert_eq!(purged["snapshots"][0]["snapshot"], "one", "{purged}");
    let loaded = said(&sub(&net, &["snapshot", "load", "one"]));
    assert_eq!(loaded["nodes"], json!(["a", "b", "c", "node-4"]));
    let up = net.run("up", &[]).json();
    assert!(up["running"] == 4 && up["height"].as_u64().map(|height| height + 2) >= at, "{up}");
    interrupted_in_a_purged_place(&net, at);
    said(&sub(&net, &["snapshot", "rm", "one"]));
    assert_eq!(said(&sub(&net, &["snapshot", "list"])), json!([]));
}

fn logs(net: &Net) {
    let all = net.run("logs", &["--grep", "NODE STARTED"]);
    let lines: Vec<Value> =
        all.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert!(lines.len() >= 6 && lines.iter().all(|line| line["message"] == "node started"));
    let times: Vec<&str> = lines.iter().filter_map(|line| line["timestamp"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(net.run("logs", &["b", "-n", "2"]).out.lines().count(), 2);
    let home = net.home();
    let mut follower = program()
        .args(["net", "logs", "-f", "c", "--grep", "stopped", "--home", text(&home)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut shown = BufReader::new(follower.stdout.take().expect("piped")).lines();
    // One of an earlier life first; then what is written while it looks on.
    assert!(shown.next().is_some_and(|line| line.is_ok_and(|line| line.contains(" c "))));
    let before = net.log("c").matches("\"stopped\"").count();
    for _ in 1..before {
        shown.next();
    }
    said(&net.run("stop", &["c"]));
    assert!(shown.next().is_some_and(|line| line.is_ok_and(|line| line.contains("stopped"))));
    // Its output is closed by now or soon; a killed process leaves nothing behind.
    follower.kill().expect("it runs");
    follower.wait().expect("a child of ours");
}
