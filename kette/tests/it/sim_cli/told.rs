//! What a run did not do is told, and what is printed can be carried out as it is printed.

use super::{Files, SPLIT, TINY};
use crate::harness::{Ran, program, secs, until};
use serde_json::{Value, json};
use std::process::{Child, Stdio};

#[test]
fn a_planted_bug_is_part_of_the_printed_commands() {
    let files = Files::new();
    let planted = |args: &[&str]| -> Ran {
        let mut command = program();
        command.env("KETTE_PLANT", "reorg-drops-transactions").current_dir(files.0.path());
        command.args(args).output().expect("the program starts").into()
    };
    let ran = planted(&["sim", "run", "swarm", "--seed", "1"]);
    ran.fails(5, &["1 violation"]);
    let plant = "KETTE_PLANT=reorg-drops-transactions kette sim";
    for word in [format!("show it   {plant} replay"), format!("shrink it {plant} minimize")] {
        assert!(ran.out.contains(&word), "no `{word}` in {}", ran.out);
    }
    let run = planted(&["--json", "sim", "run", "swarm", "--seed", "1"]);
    let value: Value = serde_json::from_str(&run.out).expect("JSON");
    let told =
        |value: &Value| value.as_str().is_some_and(|words| words.starts_with("KETTE_PLANT="));
    for words in [&value["command"], &value["runs"][0]["replay"], &value["runs"][0]["minimize"]] {
        assert!(told(words), "{words}");
    }
    // Word by word as a shell takes it.
    let words = value["runs"][0]["replay"].as_str().expect("a command").split_whitespace();
    let words: Vec<&str> = words.collect();
    let (name, bug) = words[0].split_once('=').expect("a variable");
    let mut command = program();
    let again: Ran =
        command.env(name, bug).args(&words[2..]).output().expect("the program starts").into();
    again.fails(5, &["1 violation"]);
    // Without the variable nothing is wrong.
    assert_eq!(files.kette(&words[2..]).code, 0);
}

#[test]
fn a_step_that_never_happens_is_told() {
    let files = Files::new();
    let high = "\n[[step]]\nat = \"height:9000\"\nreset = { nodes = [\"bob\"] }\n";
    files.write("high.toml", &format!("{TINY}{high}"));
    let ran = files.kette(&["sim", "run", "high.toml"]);
    ran.fails(1, &["0 violations, 1 failed check, "]);
    for word in
        ["FAIL", "every step happens", "step 2 (at height:9000, sessions of bob reset) never"]
    {
        assert!(ran.out.contains(word), "no `{word}` in {}", ran.out);
    }
    files.write("may.toml", &format!("{TINY}{high}optional = true\n"));
    let ran = files.kette(&["sim", "run", "may.toml", "--seeds", "0..2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("note: seed 1: step 2 (at height:9000"), "{}", ran.out);
    let value = files.kette(&["--json", "sim", "run", "may.toml"]).json();
    assert_eq!(value["runs"][0]["notes"].as_array().map(Vec::len), Some(1));
    // A run that is cut short by a flag leaves out what the file says; a drawn one does as well, and may.
    let short = files.kette(&["sim", "run", "tiny.toml", "--duration", "10s"]);
    short.fails(1, &["1 failed check"]);
    assert!(short.out.contains("never: the run ended at 10s"), "{}", short.out);
    let drawn = files.kette(&["sim", "run", "swarm", "--seeds", "0..4", "--duration", "10s"]);
    assert!(drawn.code == 0 && drawn.out.contains("note: seed "), "{drawn:?}");
}

#[test]
fn the_end_of_a_run_is_told_to_who_asks_for_more() {
    let files = Files::new();
    let events =
        files.kette(&["--json", "sim", "run", "tiny.toml"]).json()["runs"][0]["events"].clone();
    let events = events.as_u64().expect("a number");
    let words = format!("the run has {}", events / 1_000);
    for flag in ["--until-event", "--from-event"] {
        let ran = files.kette(&["sim", "replay", "tiny.toml", flag, "99999999"]);
        assert!(ran.code == 0 && ran.out.contains(&words), "{flag}: {ran:?}");
        assert!(ran.out.contains("events: it ends before 99999999"), "{flag}: {ran:?}");
    }
    let ended = |until: &str| {
        let ran = files.kette(&["--json", "sim", "replay", "tiny.toml", "--until-event", until]);
        ran.json()["ended"].clone()
    };
    assert_eq!((ended("99999999"), ended("100")), (json!(true), json!(false)));
    let ran = files.kette(&["sim", "replay", "tiny.toml", "--until-event", "100"]);
    assert!(!ran.out.contains("it ends before"), "{}", ran.out);
}

#[test]
fn two_seeds_are_compared_under_their_names() {
    let files = Files::new();
    for seed in ["3", "4"] {
        let ran = files.kette(&["--json", "sim", "run", "tiny.toml", "--seed", seed]);
        files.write(&format!("{seed}.json"), &ran.out);
    }
    let ran = files.kette(&["sim", "diff", "3.json", "4.json"]);
    ran.fails(1, &["1 of 1 run differs"]);
    for word in ["seeds 3 and 4: same up to", "--seed 3 --from-event", "--seed 4 --from-event"] {
        assert!(ran.out.contains(word), "no `{word}` in {}", ran.out);
    }
    let ran = files.kette(&["--json", "sim", "diff", "3.json", "4.json"]);
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(value["runs"][0]["seeds"], json!([3, 4]));
}

/// Sends Ctrl-C as soon as a process listens for it.
fn interrupt(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    until("it listens for Ctrl-C", secs(30), || {
        let text = std::fs::read_to_string(&status).map_err(|error| error.to_string())?;
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        let caught = u64::from_str_radix(caught.trim(), 16).map_err(|error| error.to_string())?;
        if caught & 0b10 == 0 { Err(text) } else { Ok(()) }
    });
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("an id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("it runs");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_search_with_what_it_has() {
    let files = Files::new();
    files.write("split.toml", SPLIT);
    let child = program()
        .current_dir(files.0.path())
        .args(["sim", "minimize", "split.toml", "--seed", "4", "-o", "small.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    interrupt(&child);
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    ran.fails(130, &["interrupted"]);
    // It may have come before the first run had failed.
    let found = ran.err.contains("small.toml has the smallest that failed so far");
    assert!(found || ran.err.contains("nothing is written"), "{ran:?}");
    assert_eq!(files.path("small.toml").exists(), found, "{ran:?}");
    if found {
        files.kette(&["sim", "run", "small.toml", "--seed", "4"]).fails(5, &["1 violation"]);
    }
}
