//! The same seed gives the same run, event by event; another seed another one.

use crate::support::{drawn, run};
use kette_sim::run::{Run, RunOptions};

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let scenario = drawn(11);
    let (first, again, other) = (run(&scenario, 11), run(&scenario, 11), run(&scenario, 12));
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_eq!(first.events, again.events);
    assert_eq!(first.head, again.head);
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn the_memo_changes_the_cost_and_nothing_else() {
    let scenario = drawn(5);
    let hash = |memo| {
        let options = RunOptions { seed: 5, memo: Some(memo), ..RunOptions::default() };
        kette_sim::run::run(&scenario, &options).unwrap().trace_hash
    };
    assert_eq!(hash(true), hash(false));
}

#[test]
fn judges_and_readers_change_nothing() {
    let scenario = drawn(3);
    let options = RunOptions { seed: 3, ..RunOptions::default() };
    let judged = kette_sim::run::run(&scenario, &options).unwrap();
    let mut bare = Run::with_checkers(&scenario, &options, Vec::new()).unwrap();
    bare.read_trace(Box::new(|_| {}));
    while bare.advance(1_000) {}
    assert_eq!(judged.trace_hash, bare.report().trace_hash);
}

#[test]
fn a_run_stops_at_the_event_it_is_told() {
    let scenario = drawn(2);
    let options = RunOptions { seed: 2, until_event: Some(500), ..RunOptions::default() };
    let mut run = Run::new(&scenario, &options).unwrap();
    while run.advance(u64::MAX) {}
    let report = run.report();
    assert_eq!(report.events, 500);
    assert!(!report.complete);
}
