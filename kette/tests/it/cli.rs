//! The command line against live nodes: every verb once, with what it prints and how it ends.

use crate::harness::{
    Chain, Node, Ports, Ran, accounts, kette, nets::SOON, program, rpc::quantity, text, until,
};
use serde_json::{Value, json};
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

#[test]
fn every_command_explains_itself() {
    let mut todo = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = kette(&args);
        assert_eq!(help.code, 0, "{args:?}: {help:?}");
        assert!(help.out.contains("Usage: kette"), "{args:?}: {help:?}");
        seen += 1;
        let Some((_, commands)) = help.out.split_once("\nCommands:\n") else { continue };
        let lines = commands.lines().take_while(|line| !line.is_empty());
        for line in lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let mut words = line.split_whitespace();
            let name = words.next().expect("a name");
            assert!(words.next().is_some(), "`{name}` of {path:?} has no description");
            if name != "help" {
                todo.push([path.clone(), vec![name.to_owned()]].concat());
            }
        }
    }
    assert!(seen >= 35, "only {seen} commands were found");
    assert!(kette(&["--version"]).out.starts_with("kette 0."));
    for shell in ["bash", "zsh", "fish"] {
        let script = kette(&["completions", shell]);
        assert!(script.code == 0 && script.out.contains("kette") && script.out.contains("genesis"));
    }
}

/// Runs the program with something on its standard input.
fn with_input(args: &[&str], input: &str) -> Ran {
    let mut child = program()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn keys_are_kept_as_keystore_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (home, secret) = (text(dir.path()), dir.path().join("password"));
    fs::write(&secret, "correct horse\n").expect("written");
    let password = text(&secret);
    let at = ["--home", home, "--password-file", password];

    let made = kette(&[["--json", "keys", "new"].as_slice(), &at].concat()).json();
    let file = made["file"].as_str().expect("a file");
    assert_eq!(fs::metadata(file).expect("it exists").permissions().mode() & 0o777, 0o600);
    let keystore: Value =
        serde_json::from_str(&fs::read_to_string(file).expect("text")).expect("JSON");
    assert_eq!(keystore["version"], 3, "a Web3 keystore: {keystore}");

    // The private key of a known account comes back as it went in.
    let key = alloy_primitives::hex::encode(accounts::signer(7).to_bytes());
    let imported =
        with_input(&[["--json", "keys", "import"].as_slice(), &at].concat(), &key).json();
    assert_eq!(imported["address"], json!(accounts::address(7)));
    let list = kette(&["--json", "keys", "list", "--home", home]).json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let address = accounts::address(7).to_string();
    let shown = kette(&[["--json", "keys", "show", &address].as_slice(), &at].concat()).json();
    assert!(shown.get("privateKey").is_none(), "not without --private");
    let private = ["--json", "keys", "show", &address, "--private"];
    let shown = kette(&[private.as_slice(), &at].concat()).json();
    assert_eq!(shown["privateKey"], json!(key));

    let again = with_input(&[["keys", "import"].as_slice(), &at].concat(), &key);
    again.fails(2, &["exists already"]);
    with_input(&[["keys", "import"].as_slice(), &at].concat(), "ten\n")
        .fails(2, &["64 hexadecimal"]);
    fs::write(&secret, "wrong\n").expect("written");
    kette(&[private.as_slice(), &at].concat()).fails(2, &["wrong password"]);
    let stranger = accounts::address(8).to_string();
    kette(&["keys", "show", &stranger, "--home", home]).fails(2, &["kette keys new"]);
    kette(&["keys", "new", "--home", home]).fails(2, &["--password-file"]);
}

#[test]
fn genesis_files_and_homes_are_made() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("genesis.json");
    fs::write(&path, kette(&["genesis", "new", "--preset", "atmn", "--chain-id", "42"]).out)
        .expect("written");
    let checked = kette(&["--json", "genesis", "validate", text(&path)]).json();
    assert_eq!((&checked["chainId"], &checked["engine"]), (&json!(42), &json!("pow")));
    let hash = |name: &str| kette(&["genesis", "hash", name]).out.trim().to_owned();
    assert_eq!(json!(hash(text(&path))), checked["hash"]);
    // The chain id is a rule and no part of block 0: two such chains differ in their rules.
    let preset = kette(&["--json", "genesis", "validate", "atmn"]).json();
    assert_ne!(preset["rulesHash"], checked["rulesHash"]);

    let home = dir.path().join("home");
    let made = kette(&["--json", "init", "--home", text(&home), "--chain", text(&path)]).json();
    assert_eq!((&made["genesisHash"], &made["chainId"]), (&checked["hash"], &json!(42)));
    let key = fs::metadata(home.join("node.key")).expect("a key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let again = ["init", "--home", text(&home), "--chain", "dev"];
    kette(&again).fails(2, &["exists already", "--force"]);
    let forced = kette(&[["--json"].as_slice(), &again, &["--force"]].concat()).json();
    assert_eq!(forced["chainId"], 31_337);
    assert_eq!(forced["peerId"], made["peerId"], "the identity stays");
    kette(&["init", "--home", text(&home), "--chain", "nonsense"]).fails(2, &["atmn"]);
}

#[test]
fn a_client_asks_pays_and_reads() {
    let ports = Ports::claim();
    let mut chain =
        Chain(serde_json::from_str(include_str!("../../presets/chains/dev.json")).expect("JSON"));
    chain.kette()["name"] = json!("cli");
    let node = Node::new(&ports, 0, &chain).with(&["--dev"]).up();
    let url = node.rpc.url();
    let ask = |args: &[&str]| kette(&[&["--json"], args, &["--rpc", &url]].concat());

    let dir = tempfile::tempdir().expect("a temporary directory");
    let secret = dir.path().join("password");
    fs::write(&secret, "p").expect("written");
    let at = ["--home", text(dir.path()), "--password-file", text(&secret)];
    let mine = kette(&[["--json", "keys", "new"].as_slice(), &at].concat()).json();
    let mine = mine["address"].as_str().expect("an address").to_owned();

    let send = ["tx", "send", "--to", &mine, "--value", "1.5", "--wait", "included"];
    let sent = ask(&send).json();
    let hash = sent["hash"].as_str().expect("a hash");
    assert_eq!(sent["finality"]["success"], true, "{sent}");
    let found = ask(&["query", "tx", hash]).json();
    assert_eq!(quantity(&found["receipt"]["status"]), 1);
    assert_eq!(found["finality"]["blockNumber"], "0x1");
    assert_eq!(ask(&["query", "balance", &mine]).json()["balance"], "1.500000000000000000");

    // From a key of the keystore, in wei.
    let to = accounts::address(9).to_string();
    let from = [
        &["tx", "send", "--from", &mine, "--to", &to, "--value", "7wei", "--wait", "included"],
        at.as_slice(),
    ]
    .concat();
    assert_eq!(
        ask(&from).json()["from"].as_str().map(str::to_lowercase),
        Some(mine.to_lowercase())
    );
    let account = ask(&["query", "account", &mine]).json();
    assert_eq!(account["nonce"], "1");

    for id in ["latest", "2", "earliest"] {
        assert!(ask(&["query", "block", id]).json()["hash"].is_string(), "{id}");
    }
    let by_hash = ask(&["query", "block", "1"]).json()["hash"].as_str().expect("a hash").to_owned();
    assert_eq!(quantity(&ask(&["query", "block", &by_hash]).json()["number"]), 1);
    assert_eq!(ask(&["query", "supply"]).json()["matches"], true);
    assert_eq!(ask(&["query", "engine"]).json()["onDemand"], true);
    assert!(ask(&["query", "pool"]).json()["pending"].is_object());
    let status = ask(&["status"]).json();
    assert_eq!((&status["height"], &status["chainId"]), (&json!(2), &json!(31_337)));
    for words in [["status"].as_slice(), &["query", "block"], &["peers"]] {
        let plain = kette(&[words, &["--rpc", &url]].concat());
        assert!(
            plain.code == 0 && !plain.out.is_empty() && !plain.out.starts_with('{'),
            "{plain:?}"
        );
    }

    ask(&["query", "block", "99"]).fails(1, &["no block 99"]);
    let unknown = format!("0x{}", "11".repeat(32));
    ask(&["query", "tx", &unknown]).fails(1, &["no transaction"]);
    ask(&["tx", "send", "--to", &mine, "--value", "lots"]).fails(2, &["lots"]);
    ask(&["tx", "send", "--to", &mine, "--value", "999999999"]).fails(2, &["funds"]);
    ask(&["tx", "submit", "0x00"]).fails(2, &["eth_sendRawTransaction"]);
    let nobody = format!("http://127.0.0.1:{}", ports.rpc(7));
    kette(&["status", "--rpc", &nobody]).fails(3, &[&nobody, "kette node"]);
    kette(&["status", "--rpc", "nonsense://"]).fails(2, &["nonsense"]);
}

#[test]
fn peers_are_added_listed_and_removed() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_901, 1);
    let first = Node::new(&ports, 0, &chain).up();
    let second = Node::new(&ports, 1, &chain).up();
    let url = first.rpc.url();
    kette(&["peers", "--rpc", &url, "--home", "/nowhere", "add", "127.0.0.1:1"])
        .fails(2, &["control.token", "--home"]);
    let peers = |args: &[&str]| {
        let node = ["--json", "peers", "--rpc", &url, "--home", text(first.home())];
        kette(&[&node[..], args].concat())
    };
    assert_eq!(peers(&["list"]).json(), json!([]));
    let address = format!("127.0.0.1:{}", second.p2p);
    assert_eq!(peers(&["add", &address]).json(), true);
    let (list, _) = until("a session", SOON, || {
        let list = peers(&[]).json();
        if list.as_array().is_some_and(|list| list.len() == 1) { Ok(list) } else { Err(list) }
    });
    let id = list[0]["id"].as_str().expect("an id");
    assert_eq!(json!(id), second.rpc.status()["peerId"]);
    assert_eq!(list[0]["moniker"], "n1");
    assert_eq!(peers(&["remove", id]).json(), true);
    let none = || match first.rpc.peers() {
        Ok(0) => Ok(()),
        other => Err(other),
    };
    until("no session", SOON, none);
    assert_eq!(peers(&["ban", id, "--for", "10m"]).json(), true);
    let back = format!("127.0.0.1:{}", first.p2p);
    second.order("kette_addPeer", json!([back]));
    until("the refusal of a banned peer", SOON, || {
        let log = second.log_text();
        if log.contains("banned") || log.contains("Banned") { Ok(()) } else { Err(log.len()) }
    });
    assert_eq!(first.rpc.peers(), Ok(0));
    assert_eq!(peers(&["unban", id]).json(), true);
    until("a session after the ban", SOON, || match first.rpc.peers() {
        Ok(1) => Ok(()),
        other => Err(other),
    });
    peers(&["add", "nowhere"]).fails(2, &["nowhere"]);
    peers(&["remove", "12"]).fails(2, &["kette_removePeer"]);
}

#[test]
fn an_external_miner_wins_blocks_on_a_node_that_does_not_mine() {
    let ports = Ports::claim();
    let node = Node::new(&ports, 0, &Chain::fixed(9_902, 50_000)).with(&["--single"]).up();
    let url = node.rpc.url();
    let none = node.rpc.call("kette_getWork", json!([]));
    assert!(none.is_err_and(|error| error.contains("kette_startMining(0)")));
    let home = text(node.home());
    let miner = ["--json", "miner", "--rpc", &url, "--home", home, "--blocks", "3"];
    let mined = kette(&[&miner[..], &["--threads", "2"]].concat());
    mined.found(3);
    until("three blocks", SOON, || match node.rpc.height() {
        Ok(3) => Ok(()),
        other => Err(other),
    });
    let engine = node.rpc.ask("kette_engine", json!([]));
    assert_eq!(engine["threads"], 0, "the node made templates and searched nothing itself");
    let block = node.rpc.ask("kette_block", json!([3]));
    assert_eq!(block["weight"], json!("0xc350"));
    // A wrong nonce is refused with the reason.
    let work = node.rpc.ask("kette_getWork", json!([]));
    let bad = (0u64..).find(|nonce| {
        let preimage = work["preimage"].as_str().expect("hex").parse().expect("a hash");
        let target: alloy_primitives::U256 =
            work["target"].as_str().expect("hex").parse().expect("a number");
        kette_consensus::pow::pow_hash(preimage, *nonce) > target
    });
    let refused = node.rpc.call("kette_submitWork", json!([work["preimage"], bad]));
    assert!(refused.is_err_and(|error| error.contains("nonce")));
    assert_eq!(node.rpc.height(), Ok(3));
}
