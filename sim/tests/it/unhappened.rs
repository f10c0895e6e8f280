//! What a file asks for and a run does not do is told, and a search for the smallest failure can be stopped.

use crate::support::{run, scenario};
use kette_sim::{
    minimize::{MinimizeError, minimize},
    run::RunOptions,
};
use std::time::Duration;

const THREE: &str = "schema = 1\n[network]\nname = \"three\"\nchain = \"atmn\"\ntopology = \"mesh\"\nduration = \"40s\"\n\
                     mine_rate = 500\n[[group]]\nnames = [\"a\", \"b\", \"c\"]\nroles = [\"miner\"]\n";

#[test]
fn a_step_that_never_happens_fails_the_run_unless_it_is_optional() {
    let high = "[[step]]\nat = \"1s\"\nreset = { nodes = [\"a\"] }\n[[step]]\nat = \"height:5000\"\n\
                crash = { nodes = [\"a\"], restart_after = \"5s\" }\n";
    let report = run(&scenario(&format!("{THREE}{high}")), 3);
    let check = report.checks.iter().find(|check| !check.ok).expect("a failed check");
    assert!(report.complete && !report.ok && report.violations.is_empty(), "{report:#?}");
    assert_eq!(check.check, "every step happens");
    for word in ["step 2 (at height:5000, crash of a) never", "the highest block in 40s was "] {
        assert!(check.seen.contains(word), "no `{word}` in {}", check.seen);
    }

    let report = run(&scenario(&format!("{THREE}{high}optional = true\n")), 3);
    assert!(report.ok && report.complete, "{:?}", report.checks);
    assert!(report.notes.len() == 1 && report.notes[0].contains("step 2"), "{:?}", report.notes);

    let low = high.replace("5000", "2");
    let report = run(&scenario(&format!("{THREE}{low}")), 3);
    assert!(report.ok && report.notes.is_empty(), "{:?} {:?}", report.checks, report.notes);
    assert!(report.checks.iter().any(|check| check.ok && check.seen == "all 2"));
}

#[test]
fn a_shorter_run_tells_what_came_too_late() {
    let more = "[[group]]\nnames = [\"late\"]\nstart_at = \"30s\"\n[[step]]\nat = \"35s\"\nreset = { nodes = [\"a\"] }\n";
    let whole = scenario(&format!("{THREE}{more}"));
    let report = run(&whole, 0);
    assert!(report.ok && report.checks.is_empty() && report.notes.is_empty(), "{report:#?}");

    let mut file = whole.file.clone();
    file.network.duration = Duration::from_secs(20);
    let report = run(&whole.with_file(file).unwrap(), 0);
    let seen: Vec<&str> = report.checks.iter().map(|check| check.seen.as_str()).collect();
    assert_eq!(seen, ["step 1 (at 35s, sessions of a reset) never: the run ended at 20s"]);
    assert!(!report.ok);
    assert!(
        report.notes[0].starts_with("late was to start at 30s, after the steps"),
        "{report:#?}"
    );
}

/// Final after two blocks, and a cut for much longer.
const SPLIT: &str = "schema = 1\n[network]\nname = \"split\"\nchain = \"atmn\"\ntopology = \"mesh\"\nduration = \"100s\"\n\
                     settle = \"20s\"\nmine_rate = 4000\n[genesis.config.kette.engine.pow]\nfinalityDepth = 2\n\
                     reorgLimit = 3\n[[group]]\nnames = [\"a\", \"b\", \"c\"]\nroles = [\"miner\"]\n\
                     [[step]]\nat = \"20s\"\npartition = { kind = \"halves\", for = \"70s\" }\n[[step]]\nat = \"5s\"\n\
                     mine = { nodes = [\"a\"] }\n[[step]]\nat = \"6s\"\nclock = { nodes = [\"b\"], jump_ms = 1 }\n";

#[test]
fn a_search_that_is_stopped_keeps_what_it_found() {
    let split = scenario(SPLIT);
    let options = RunOptions { seed: 4, ..RunOptions::default() };
    let whole = minimize(&split, &options, &mut |_| true).unwrap();
    assert!(!whole.stopped && whole.runs > 6 && whole.steps_after < 3, "{whole:?}");
    let part = minimize(&split, &options, &mut |now| now.runs < 6).unwrap();
    assert!(part.stopped && part.runs <= 6, "{part:?}");
    assert_eq!(part.violation.checker, whole.violation.checker);
    let again = run(&scenario(&part.file.to_toml().unwrap()), 4);
    assert_eq!(again.violations.first(), Some(&part.violation));
    // Before anything failed there is nothing to keep.
    let long = split.with_file({
        let mut file = split.file.clone();
        file.step.clear();
        file.network.duration = Duration::from_secs(3_600);
        file
    });
    let none = minimize(&long.unwrap(), &options, &mut |_| false);
    assert!(matches!(none, Err(MinimizeError::Stopped(4))), "{none:?}");
}

#[test]
fn a_failed_check_is_not_minimized_and_it_is_said_why() {
    let demand = "[[check]]\nheight = { min = 9000 }\n";
    let split = scenario(&format!("{THREE}{demand}"));
    let error = minimize(&split, &RunOptions::default(), &mut |_| true).unwrap_err().to_string();
    for word in ["nothing to minimize", "height at least 9000", "least height", "--trace"] {
        assert!(error.contains(word), "no `{word}` in {error}");
    }
}
