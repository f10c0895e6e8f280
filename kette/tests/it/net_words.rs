//! What `kette net` says where a newcomer stumbles: what a verb would break, what it replaces, what it waits for.

use crate::harness::{
    Chain, Net, Ports, Ran, kette,
    nets::{SOON, agreed},
    text,
};
use serde_json::{Value, json};
use std::fs;

fn sub(net: &Net, words: &[&str]) -> Ran {
    let home = net.home();
    kette(&[&["--json", "net"], words, &["--home", text(&home)]].concat())
}

#[test]
fn validators_that_are_missed_are_told_of_before_they_are() {
    let ports = Ports::claim();
    let (net, _) = Net::up(&["--preset", "bft4", "--base-port", &ports.p2p(0).to_string()]);
    net.run("add", &["--miner"]).fails(2, &["no miners", "without --miner", "kette validator"]);

    // Three of four decide, two do not.
    let killed = net.run("kill", &["validator4"]);
    assert!(killed.code == 0 && !killed.err.contains("warning"), "{killed:?}");
    let paused = net.run("pause", &["validator3"]);
    assert_eq!(paused.json()[0]["did"], "paused");
    for words in ["200 of 400 votes", "267 decide", "kette net resume validator3"] {
        assert!(paused.err.contains(words), "{words}: {}", paused.err);
    }
    let status: Value = net.run("status", &[]).json();
    let away = &status["list"][3];
    assert_eq!(
        (&away["role"], &away["height"], &away["finalized"]),
        (&json!("validator"), &Value::Null, &Value::Null),
        "{away}"
    );
    let seen = net.run("monitor", &["--once"]).json();
    let events = seen["events"].as_array().expect("events");
    for (node, kind) in [("validator4", "killed"), ("validator3", "paused")] {
        let is = |event: &&Value| event["node"] == node && event["kind"] == kind;
        assert!(events.iter().any(|event| is(&event)), "{node} {kind}: {events:?}");
    }
    net.run("rm", &["validator2"]).fails(2, &["100 of 400 votes", "--force", "kette net start"]);
    // Who is down already is not missed more when it is out; two of them would be missed for ever.
    let both = ["validator3", "validator4"];
    net.run("rm", &both).fails(2, &["200 of 400 votes", "--force"]);
    let ran = net.run("rm", &["validator4"]);
    assert!(ran.err.contains("warning: without validator4"), "{}", ran.err);
    let left = ran.json();
    assert_eq!((&left["left"], &left["short"]["up"]), (&json!(["validator4"]), &json!(200)));
    net.run("resume", &["validator3"]).json();
    net.run("rm", &["validator3"]).fails(2, &["without validator3", "200 of 400 votes", "--force"]);
    let rpcs = net.rpcs();
    let height = rpcs[0].height().expect("it runs");
    agreed(&rpcs, height + 2, SOON);
    let left = net.run("rm", &["validator3", "--force"]).json();
    assert_eq!(left["short"], json!({ "up": 200, "total": 400, "quorum": 267 }));

    // What those left who are out goes with the rest, also of one that joined; what is no node's stays.
    net.run("add", &["late"]).json();
    net.run("rm", &["late"]).json();
    assert!(net.database("validator4").exists() && net.database("late").exists());
    let own = net.home().join("own");
    fs::create_dir(&own).expect("a directory");
    for file in ["genesis.json", "node.key"] {
        fs::copy(net.home().join("late").join(file), own.join(file)).expect("copied");
    }
    fs::write(net.home().join("own.log"), "").expect("written");
    net.run("down", &["--purge"]).json();
    let rest = fs::read_dir(net.home()).expect("a directory").flatten();
    let mut rest: Vec<_> = rest.map(|entry| entry.file_name()).collect();
    rest.sort();
    assert_eq!(rest, ["own", "own.log"]);
    assert!(own.join("node.key").exists());
}

#[test]
fn what_is_replaced_healed_and_lost_is_said() {
    let ports = Ports::claim();
    let names = ["a", "b", "c", "d"];
    let (net, _) = Net::of(&ports, &names, &Chain::fixed(9_463, 800), "");
    net.until("sessions between all", SOON, |status| status["sessions"] == 6);

    let first = net.run("partition", &["--groups", "a,b/c,d"]);
    assert_eq!(first.json()["replaced"], false);
    assert!(!first.err.contains("replaces"), "{}", first.err);
    let second = net.run("partition", &["--groups", "a,c/b,d"]);
    assert!(second.err.contains("replaces the partition that was there, into 2 components"));
    let said = second.json();
    assert_eq!((&said["replaced"], &said["components"]), (&json!(true), &json!(2)), "{said}");
    net.run("heal", &[]).json();

    net.run("partition", &["--groups", "a/b,c,d", "--for", "20"])
        .fails(2, &["20 what? write 20ms, or 20s for seconds"]);
    net.run("partition", &["--groups", "a/b,c,d", "--for", "5s"]).json();
    sub(&net, &["snapshot", "save", "cut"]).json();
    net.until("the end of the cut", SOON, |status| status["components"] == 1);
    let loaded = sub(&net, &["snapshot", "load", "cut"]).json();
    assert_eq!((&loaded["cut_into"], &loaded["cut_ended"]), (&Value::Null, &json!(true)));
    net.run("partition", &["--groups", "a/b,c,d", "--for", "1h"]).json();
    sub(&net, &["snapshot", "save", "still"]).json();
    let loaded = sub(&net, &["snapshot", "load", "still"]).json();
    assert_eq!((&loaded["cut_into"], &loaded["cut_ended"]), (&json!(2), &json!(false)));
    let left = loaded["cut_for_seconds"].as_u64();
    assert!(left > Some(3_000) && left <= Some(3_600), "{loaded}");
    let words = kette(&["net", "snapshot", "load", "still", "--home", text(&net.home())]);
    assert!(words.out.contains("the nodes heal it in") && words.out.contains("kette net heal"));
    net.run("heal", &[]).json();

    // A cut of links is no partition: nothing is replaced, and it stays.
    sub(&net, &["link", "set", "a", "b,c,d", "--cut"]).json();
    let beside = net.run("partition", &["--groups", "a,b/c,d"]);
    assert!(beside.err.contains("link set --cut") && !beside.err.contains("replaces"));
    let said = beside.json();
    assert_eq!(said["replaced"], false, "{said}");
    net.run("heal", &[]).json();

    let all = sub(&net, &["link", "set", "a", "b", "--loss", "1"]);
    assert_eq!(all.json()["set"], json!(["loss 100%"]));
    assert!(all.err.contains("every packet is lost"), "{}", all.err);
    let some =
        kette(&["net", "link", "set", "a", "b", "--loss", "1%", "--home", text(&net.home())]);
    assert!(some.out.contains("2 ways of 2 nodes changed") && some.out.contains("loss 1%"));

    // An error before the first line of a result is said as JSON: nobody can read a directory.
    let log = net.home().join("a.log");
    let kept = net.home().with_file_name("kept.log");
    fs::rename(&log, &kept).expect("a log");
    fs::create_dir(&log).expect("a directory");
    let unread = net.run("logs", &["a"]);
    let said: Value = serde_json::from_str(&unread.out).expect("a document");
    assert!(unread.code == 2 && said["exit"] == 2 && said["error"].is_string(), "{said}");
    fs::remove_dir(&log).and_then(|()| fs::rename(&kept, &log)).expect("it is back");

    // A network that is down is not replaced by another one, also not on the same chain.
    net.run("down", &[]).json();
    let file = net.home().with_file_name("net.toml");
    let text_of = fs::read_to_string(&file).expect("a network file");
    let other = net.home().with_file_name("other.toml");
    fs::write(&other, text_of.replace("name = \"test\"", "name = \"other\"")).expect("written");
    net.run("up", &["--file", text(&other)])
        .fails(2, &["holds network `test` (4 nodes), which is down", "--fresh", "--home DIR"]);
    assert_eq!(net.manifest()["name"], "test");
    // Neither by a run.
    net.run("run", &["fork2"]).fails(2, &["holds network `test`", "`kette net up` made", "--home"]);
    assert!(net.database("d").exists());
    // The same network with other nodes says so.
    fs::write(&other, text_of.replace("\"d\"", "\"e\"")).expect("written");
    let changed = net.run("up", &["--file", text(&other)]);
    assert_eq!(changed.json()["running"], 4);
    assert!(changed.err.contains("1 node more than before"), "{}", changed.err);
    assert!(changed.err.contains("no longer in `test`") && changed.err.contains(": d"));
    net.run("down", &[]).json();
    let third = text_of.replace("name = \"test\"", "name = \"other\"").replace("\"d\"", "\"f\"");
    fs::write(&other, third).expect("written");
    let fresh = net.run("up", &["--file", text(&other), "--fresh"]);
    assert_eq!(fresh.json()["name"], "other");
    assert!(fresh.err.contains("makes room for `other`"), "{}", fresh.err);
    assert!(!net.database("d").exists(), "the data of who was replaced goes as well");
}

/// A group means all its nodes, also those that `--nodes` added.
#[test]
fn a_group_that_was_made_larger_is_meant_whole() {
    let (net, ports) = (Net::empty(), Ports::claim());
    Chain::fixed(9_464, 400).write(&net.home().with_file_name("chain.json"));
    let file = format!(
        "schema = 1\n[network]\nname = \"grown\"\nchain = \"chain.json\"\nbase_port = {}\nrpc_base_port = {}\n\
         mine_rate = 200\n[[group]]\nname = \"m\"\ncount = 2\nroles = [\"miner\"]\n[[group]]\nnames = [\"x\"]\n",
        ports.p2p(0),
        ports.rpc(0)
    );
    let path = net.home().with_file_name("net.toml");
    fs::write(&path, file).expect("a network file is written");
    let up = net.run("up", &[text(&path), "--nodes", "6"]).json();
    assert_eq!(up["running"], 6, "{up}");
    let cut = net.run("partition", &["--groups", "m/x,x-*"]).json();
    assert_eq!(cut["groups"], json!([["m-0", "m-1", "m-2", "m-3"], ["x", "x-1"]]));
    let killed = net.run("kill", &["m"]).json();
    assert_eq!(killed.as_array().map(Vec::len), Some(4), "{killed}");
    // Also when it comes up again from what it wrote down.
    net.run("down", &[]).json();
    assert_eq!(net.run("up", &[]).json()["running"], 6);
    assert_eq!(net.run("stop", &["m"]).json().as_array().map(Vec::len), Some(4));
}
