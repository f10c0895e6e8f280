//! `kette net generate`: what it writes starts, and other programs can read it.

use crate::harness::{Ports, Ran, kette, secs, text, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Processes that end with the test.
struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

fn generate(out: &Path, args: &[&str]) -> Value {
    kette(&[&["--json", "net", "generate", "--out", text(out)], args].concat()).json()
}

fn files(written: &Value) -> Vec<PathBuf> {
    let files = written["files"].as_array().expect("files");
    files.iter().map(|file| PathBuf::from(file.as_str().expect("a path"))).collect()
}

/// A program that is there on some machines only.
fn found(name: &str) -> bool {
    Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn a_generated_network_starts_by_its_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, ports) = (folder.path().join("net"), Ports::claim());
    let base = ports.p2p(0).to_string();
    // Nobody says where the program is: it is this one.
    let written = generate(&out, &["--nodes", "3", "--base-port", &base]);
    assert_eq!(
        (written["nodes"].as_u64(), written["insecure_keys"].as_bool()),
        (Some(3), Some(true))
    );
    // The distance to the ports for clients is that of the file.
    let commands = fs::read_to_string(out.join("commands.txt")).expect("commands");
    let commands: Vec<&str> = commands.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(commands.len(), 3);
    let mut nodes = Nodes(Vec::new());
    let mut rpcs = Vec::new();
    for command in commands {
        let shell = |line: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]).env_remove("KETTE");
            shell
        };
        let checked: Ran = shell(&format!("{command} --check")).output().expect("a shell").into();
        let checked = checked.json();
        assert_eq!(
            (checked["votes"].as_bool(), &checked["genesis"]),
            (Some(true), &written["genesis"])
        );
        let rpc = checked["rpc"].as_str().expect("an address").to_owned();
        rpcs.push(format!("http://{rpc}"));
        let log = fs::File::create(folder.path().join(rpc.replace(':', "-"))).expect("a log");
        let err = log.try_clone().expect("a log");
        // The shell becomes the program, so that a signal reaches it.
        let mut command = shell(&format!("exec {command}"));
        nodes.0.push(command.stdout(log).stderr(err).spawn().expect("it starts"));
    }
    until("final blocks on all nodes", secs(60), || {
        let mut seen = Vec::new();
        for rpc in &rpcs {
            let ran = kette(&["--json", "status", "--rpc", rpc]);
            let status: Value = serde_json::from_str(&ran.out).map_err(|_| ran.err)?;
            seen.push((
                status["finalized"].as_u64().unwrap_or(0),
                status["peers"].as_array().map_or(0, Vec::len),
            ));
        }
        let ready = seen.iter().all(|(height, peers)| *height >= 2 && *peers == 2);
        if ready { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

#[test]
fn a_generated_network_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("net");
    let args = ["--engine", "pow", "--tiers", "1,2,7", "--regions", "round-robin"];
    let written = generate(&out, &args);
    assert!(files(&written).iter().all(|path| path.exists()));
    let key = fs::read(out.join("node0/node.key")).expect("a key");
    let again = kette(&[&["net", "generate", "--out", text(&out)], &args[..]].concat());
    assert!(again.code == 2 && again.err.contains("--force"), "{again:?}");
    assert_eq!(fs::read(out.join("node0/node.key")).expect("a key"), key);
    generate(&out, &[&args[..], &["--force"]].concat());
    assert_ne!(fs::read(out.join("node0/node.key")).expect("a key"), key);
    let ran =
        kette(&["--json", "sim", "run", text(&out.join("network.toml")), "--duration", "30s"]);
    assert_eq!(ran.code, 0, "the simulator runs the same file: {ran:?}");
}

#[test]
fn other_machines_get_new_keys_and_files_that_their_programs_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, hosts) = (folder.path().join("net"), folder.path().join("hosts.toml"));
    fs::write(&hosts, "[hosts]\n\"validator1..3\" = \"10.0.0.7\"\nvalidator4 = \"far.example\"\n")
        .expect("a file");
    let binary = env!("CARGO_BIN_EXE_kette");
    let args = ["--nodes", "4", "--hosts", text(&hosts), "--binary", binary];
    let written = generate(&out, &args);
    assert_eq!(written["insecure_keys"].as_bool(), Some(false));
    let genesis = fs::read_to_string(out.join("genesis.json")).expect("a genesis file");
    assert!(
        !genesis.to_lowercase().contains("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
        "no known account"
    );
    for name in ["validator1", "validator4"] {
        let key = fs::read_to_string(out.join(name).join("validator.json")).expect("a key");
        assert!(!key.contains("warning"), "{key}");
        let checked = kette(&[
            "node",
            "--home",
            text(&out.join(name)),
            "--p2p",
            "0",
            "--peers",
            "127.0.0.1:1",
            "--check",
        ]);
        assert_eq!(checked.json()["genesis"], written["genesis"]);
    }
    let config = fs::read_to_string(out.join("validator4/config.toml")).expect("settings");
    assert!(config.contains("0.0.0.0:") && config.contains("@10.0.0.7:"), "{config}");
    let inventory: toml::Table =
        toml::from_str(&fs::read_to_string(out.join("inventory.toml")).expect("a file"))
            .expect("TOML");
    assert_eq!(inventory["node"].as_array().map(Vec::len), Some(4));
    let units = files(&written)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "service"));
    let units: Vec<PathBuf> = units.collect();
    assert_eq!(units.len(), 4);
    if found("systemd-analyze") {
        let ran =
            Command::new("systemd-analyze").arg("verify").args(&units).output().expect("it runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let read = "import sys,yaml\nc=yaml.safe_load(open(sys.argv[1]+'/compose.yaml'))\n\
                assert len(c['services'])==4\nimport os\n\
                assert all(os.path.isdir(sys.argv[1]+'/'+s['volumes'][0].split(':')[0]) for s in c['services'].values())\n\
                k=list(yaml.safe_load_all(open(sys.argv[1]+'/kubernetes.yaml')))\n\
                s=[o for o in k if o['kind']=='StatefulSet'][0]['spec']\nassert s['replicas']==4\n\
                secret=[o for o in k if o['kind']=='Secret'][0]['stringData']\n\
                assert all('%d.node.key'%i in secret for i in range(4))\n\
                ports=[p['containerPort'] for p in s['template']['spec']['containers'][0]['ports']]\n\
                assert all(str(ports[0]) in secret['%d.config.toml'%i] for i in range(4))\n";
    if Command::new("python3").args(["-c", "import yaml"]).status().is_ok_and(|it| it.success()) {
        let ran = Command::new("python3").args(["-c", read, text(&out)]).output().expect("it runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}
