//! What the tests share: scenarios from text, from the embedded files, from seeds.

use kette_sim::{
    run::{Run, RunOptions, RunReport, Scenario},
    scenario::NetworkFile,
    swarm,
};

/// The chain of the `atmn` preset; network files change its constants.
pub(crate) const ATMN: &str = include_str!("../../../kette/presets/chains/atmn.json");

/// A scenario from a network file's text.
pub(crate) fn scenario(text: &str) -> Scenario {
    Scenario::new(NetworkFile::parse(text).unwrap(), ATMN).unwrap()
}

/// The scenario that a seed draws.
pub(crate) fn drawn(seed: u64) -> Scenario {
    Scenario::new(swarm::draw(seed), ATMN).unwrap()
}

/// Runs to the end.
pub(crate) fn run(scenario: &Scenario, seed: u64) -> RunReport {
    kette_sim::run::run(scenario, &RunOptions { seed, ..RunOptions::default() }).unwrap()
}

/// Runs without judges, for measurements of long chains.
pub(crate) fn run_unjudged(scenario: &Scenario, seed: u64) -> (Run, RunReport) {
    let options = RunOptions { seed, ..RunOptions::default() };
    let mut run = Run::with_checkers(scenario, &options, Vec::new()).unwrap();
    while run.advance(u64::MAX) {}
    let report = run.report();
    (run, report)
}

/// Fails if a run found anything; says how to see it.
pub(crate) fn assert_ok(what: &str, report: &RunReport) {
    assert!(
        report.ok && report.complete,
        "{what} seed {}: {:#?} {:#?}",
        report.seed,
        report.violations,
        report.checks.iter().filter(|check| !check.ok).collect::<Vec<_>>()
    );
}
