//! What a node says when its files, ports or settings are not as they should be: what is wrong, what to do,
//! and exit code 2.

use crate::harness::{Chain, Node, Ports, Ran, kette, nets::SOON, text, until};
use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// A stopped node with ten blocks.
fn with_blocks(ports: &Ports, index: usize) -> Node {
    let mut node = Node::new(ports, index, &Chain::fixed(9_501, 1)).with(&["--single"]).up();
    node.mine(10);
    node.stop();
    node
}

/// Runs `kette node` on a home until it ends by itself.
fn run(node: &Node, more: &[&str]) -> Ran {
    let (p2p, rpc) = (node.p2p.to_string(), node.rpc.0.to_string());
    let home = text(node.home());
    kette(
        &[&["node", "--single", "--home", home, "--p2p", &p2p, "--rpc-listen", &rpc], more]
            .concat(),
    )
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("it exists");
    file.seek(SeekFrom::Start(offset)).expect("it is long enough");
    file.write_all(bytes).expect("it is writable");
}

#[test]
fn a_damaged_database_is_named_with_what_to_do() {
    let ports = Ports::claim();
    let mut node = with_blocks(&ports, 0);
    node.start();
    let root = node.rpc.status()["stateRoot"].as_str().expect("a hash").to_owned();
    let hash = node.rpc.hash_at(10).expect("block 10");
    let state_root = alloy_primitives::hex::decode(root).expect("hexadecimal");
    node.stop();
    let path = node.database();
    let whole = fs::read(&path).expect("a database");
    let advice = ["node.sqlite", "sync again"];

    fs::write(&path, b"this is no database, but some text that is longer than a header")
        .expect("written");
    run(&node, &[]).fails(2, &["is not a database", "node.sqlite"]);

    fs::write(&path, &whole).expect("written");
    overwrite(&path, 16, &[0xff; 84]);
    let header = run(&node, &[]);
    assert_eq!(header.code, 2, "{header:?}");
    assert!(header.err.contains("node.sqlite"), "{header:?}");

    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let half = run(&node, &[]);
    assert_eq!(half.code, 2, "{half:?}");
    assert!(advice.iter().all(|word| half.err.contains(word)), "{half:?}");

    // Within the pages: damage is either seen or lies where nothing is stored.
    let verify = || kette(&["--json", "chain", "verify", "--home", text(node.home())]);
    fs::write(&path, &whole).expect("written");
    let good = verify().json();
    assert_eq!((&good["valid"], &good["blocks"]), (&true.into(), &10.into()));
    let (mut seen, mut harmless) = (0, Vec::new());
    // SQLite fills pages from their end, so a page whose end is empty holds nothing.
    let ends = (1..whole.len() / 4_096).map(|page| page * 4_096 + 4_000);
    for at in ends.filter(|at| whole[*at..at + 96].iter().any(|byte| *byte != 0)) {
        fs::write(&path, &whole).expect("written");
        let flipped: Vec<u8> = whole[at..at + 96].iter().map(|byte| byte ^ 0x55).collect();
        overwrite(&path, at as u64, &flipped);
        let verified = verify();
        match verified.code {
            1 | 2 => {
                seen += 1;
                assert!(verified.err.starts_with("error: "), "{verified:?}");
                assert!(verified.err.contains("sync again"), "{verified:?}");
            }
            0 => harmless.push(at),
            _ => panic!("damage at byte {at}: {verified:?}"),
        }
    }
    // What only the view of accounts shows is derived, and believed by nobody.
    assert!(seen >= 10 && harmless.len() <= 1, "seen {seen}, not seen at {harmless:?}");

    // A block's own bytes: it is named.
    let at = whole.windows(32).rposition(|bytes| bytes == state_root.as_slice());
    fs::write(&path, &whole).expect("written");
    overwrite(&path, at.expect("the header is stored") as u64, &[0; 4]);
    verify().fails(2, &["is damaged", &hash, "sync again"]);
}

#[test]
fn a_database_in_use_and_one_of_another_chain_are_refused() {
    let ports = Ports::claim();
    let mut node = Node::new(&ports, 0, &Chain::fixed(9_502, 1)).with(&["--single"]).up();
    let other = Node::new(&ports, 1, &Chain::fixed(9_502, 1));
    let (p2p, rpc) = (other.p2p.to_string(), other.rpc.0.to_string());
    let home = text(node.home()).to_owned();
    let second = kette(&["node", "--single", "--home", &home, "--p2p", &p2p, "--rpc-listen", &rpc]);
    second.fails(2, &["node.sqlite", "in use", &node.pid().to_string()]);
    assert!(node.rpc.height().is_ok(), "the first node goes on");
    node.stop();

    Chain::fixed(9_503, 7).write(&node.home().join("genesis.json"));
    run(&node, &[]).fails(2, &["another chain", "genesis"]);
}

#[test]
fn busy_ports_are_named() {
    let ports = Ports::claim();
    let node = Node::new(&ports, 0, &Chain::fixed(9_504, 1));
    let busy = TcpListener::bind(("127.0.0.1", node.rpc.0)).expect("a free port");
    run(&node, &[]).fails(2, &[&node.rpc.0.to_string(), "in use"]);
    drop(busy);
    let busy = TcpListener::bind(("127.0.0.1", node.p2p)).expect("a free port");
    run(&node, &[]).fails(2, &[&node.p2p.to_string(), "in use"]);
    drop(busy);
    let busy = UdpSocket::bind(("127.0.0.1", node.p2p)).expect("a free port");
    run(&node, &["--quic"]).fails(2, &[&node.p2p.to_string(), "in use"]);
    drop(busy);
    // A network names the port as well.
    let busy = TcpListener::bind(("127.0.0.1", ports.p2p(3))).expect("a free port");
    let base = ports.p2p(0).to_string();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let up = kette(&["net", "up", "--base-port", &base, "--home", text(dir.path())]);
    up.fails(2, &[&ports.p2p(3).to_string(), "--base-port"]);
    drop(busy);
}

#[test]
fn keys_and_settings_that_cannot_be_used_are_named() {
    let ports = Ports::claim();
    let node = with_blocks(&ports, 0);
    let key = node.home().join("node.key");
    let secret = fs::read(&key).expect("a key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    run(&node, &[]).fails(2, &["node.key", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::write(&key, "no key").expect("written");
    run(&node, &[]).fails(2, &["node.key", "64 hexadecimal digits"]);
    fs::write(&key, secret).expect("written");

    let config = node.home().join("config.toml");
    fs::write(&config, "mien = true\n").expect("written");
    run(&node, &[]).fails(2, &["config.toml", "mien"]);
    fs::remove_file(config).expect("removed");

    run(&node, &["--p2p", "here"]).fails(2, &["--p2p"]);
    run(&node, &["--no-such-flag"]).fails(2, &["--no-such-flag", "Usage"]);
    kette(&["frobnicate"]).fails(2, &["frobnicate", "Usage"]);
    kette(&["node", "--mine-rate", "fast"]).fails(2, &["--mine-rate"]);

    let empty = tempfile::tempdir().expect("a temporary directory");
    kette(&["node", "--home", text(empty.path())]).fails(2, &["genesis", "kette init"]);
}

#[test]
fn genesis_files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("genesis.json");
    let check = |change: &dyn Fn(&mut Chain), words: &[&str]| {
        let mut chain = Chain::fixed(9_505, 1);
        change(&mut chain);
        chain.write(&path);
        for args in [
            ["genesis", "validate", text(&path), ""].as_slice().split_last().expect("four").1,
            &["node", "--home", text(dir.path())],
            &["init", "--home", text(&dir.path().join("new")), "--chain", text(&path)],
        ] {
            kette(args).fails(2, words);
        }
    };
    check(&|chain| chain.kette()["rewrad"] = 1.into(), &["rewrad"]);
    check(&|chain| chain.pow()["blockTmie"] = 1.into(), &["blockTmie"]);
    check(
        &|chain| chain.kette()["engine"] = serde_json::json!({ "poa": {} }),
        &["engine `poa`", "available: pow"],
    );
    check(&|chain| chain.pow()["blockTime"] = 0.into(), &["blockTime", "at least 1"]);
    check(&|chain| chain.0["config"]["chainId"] = 0.into(), &["config.chainId"]);
    fs::write(&path, "{ not JSON").expect("written");
    kette(&["genesis", "validate", text(&path)]).fails(2, &["genesis.json"]);
    kette(&["genesis", "validate", "nowhere.json"]).fails(2, &["nowhere.json"]);
}

#[test]
fn a_full_disk_stops_the_node_and_nothing_written_is_lost() {
    let ports = Ports::claim();
    let mut node = Node::new(&ports, 0, &Chain::fixed(9_506, 1).ahead(20_000)).with(&["--single"]);
    // The shell's limit of a file's size is what an unprivileged test has instead of a small disk.
    node.start();
    node.mine(5);
    let hash = node.rpc.hash_at(5).expect("block 5");
    node.stop();
    let line = format!(
        "ulimit -f {}; trap '' XFSZ; exec \"$0\" node --single --home \"$1\" --p2p {} --rpc-listen {} --mine --mine-rate 0",
        node.database_bytes() / 512 + 200,
        node.p2p,
        node.rpc.0,
    );
    let mut child = std::process::Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_kette"), text(node.home())])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let (status, _) = until("the end of a node without room", SOON, || {
        child.try_wait().expect("a child of ours").ok_or("it runs")
    });
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut err)
        .expect("text");
    assert_eq!(status.code(), Some(2), "{err}");
    let last = err.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains("node.sqlite"), "{last}");

    node.start();
    assert_eq!(node.rpc.hash_at(5), Ok(hash));
    assert!(node.rpc.height().expect("it answers") > 5);
    node.stop();
    let verified = kette(&["--json", "chain", "verify", "--home", text(node.home())]).json();
    assert_eq!(verified["valid"], true);
}
