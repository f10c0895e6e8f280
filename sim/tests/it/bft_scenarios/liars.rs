//! Validators that lie: scenarios 1 to 4, 14, 19, 20, 23.

use super::{Ran, file, holds, ran};
use kette_types::bft::PublicKey;
use std::{cell::Cell, collections::BTreeSet};

/// Exactly this one is proven guilty in a block, and votes no more.
fn is_punished(ran: &Ran, liar: &str) {
    let key = ran.key(liar);
    let punished: BTreeSet<PublicKey> = ran.punished().into_iter().collect();
    assert_eq!(punished, BTreeSet::from([key]), "evidence in a block, against nobody else");
    assert_eq!(ran.validators().position(&key), None, "it is out");
    assert_eq!(ran.notes().fork, None);
}

#[test]
fn scenario_01_an_equivocating_proposer_is_punished() {
    holds(file!("bft4-e"), 0..2, |ran| is_punished(ran, "validator4"));
}

/// Two blocks of one height are final, and the judge says so. Returns the run.
fn forks(text: &str, seed: u64) -> Ran {
    let ran = ran(text, seed);
    let judge = ran.report.violations.first().map(|violation| violation.checker);
    assert_eq!(judge, Some("agreement"), "seed {seed}: {:?}", ran.report.violations);
    assert!(ran.notes().fork.is_some());
    ran
}

fn keys(ran: &Ran, names: &[&str]) -> BTreeSet<PublicKey> {
    names.iter().map(|name| ran.key(name)).collect()
}

#[test]
fn scenario_02_three_validators_do_not_survive_a_liar_and_the_judge_finds_it() {
    for seed in 0..3 {
        let ran = forks(file!("bft-fork"), seed);
        assert_eq!(ran.notes().double_voters(), keys(&ran, &["liar"]), "the culprit is named");
    }
}

#[test]
fn scenario_03_an_equivocating_voter_is_punished() {
    holds(file!("bft-double-votes"), 0..2, |ran| is_punished(ran, "liar"));
}

#[test]
fn scenario_04_one_amnesiac_of_four_is_harmless() {
    holds(file!("bft-amnesia"), 0..2, |ran| {
        let notes = ran.notes();
        assert_eq!(notes.fork, None);
        assert_eq!(notes.amnesiacs(3), keys(ran, &["liar"]), "it did forget");
        assert!(notes.double_voters().is_empty(), "and signed nothing twice");
    });
}

#[test]
fn scenario_04_two_amnesiacs_of_four_fork_and_are_named() {
    for seed in 0..3 {
        let ran = forks(file!("bft-amnesia-fork"), seed);
        let notes = ran.notes();
        assert!(notes.double_voters().is_empty(), "no evidence is possible");
        assert_eq!(notes.amnesiacs(3), keys(&ran, &["liar1", "liar2"]));
    }
}

#[test]
fn scenario_14_twins() {
    let twice = Cell::new(0);
    holds(file!("bft-twins"), 0..4, |ran| {
        assert_eq!(ran.notes().fork, None);
        twice.set(twice.get() + ran.notes().double_voters().len());
    });
    assert!(twice.get() > 0, "in some seed they sign twice");
}

#[test]
fn scenario_19_bad_blocks_and_wrong_leaders_are_refused_and_blamed() {
    holds(file!("bft-bad-blocks"), 0..2, |ran| {
        let notes = ran.notes();
        for liar in ["bad-proposer", "wrong-leader"] {
            let index = ran.host(liar).index;
            assert!(notes.faults.get(&index).is_some_and(|n| *n > 0), "{liar}: {:?}", notes.faults);
        }
        let bad = ran.key("bad-proposer");
        assert!(ran.seals().iter().all(|seal| seal.key != bad), "none of its blocks is in");
    });
}

#[test]
fn scenario_20_floods_cost_nothing_but_bandwidth() {
    holds(file!("bft-floods"), 0..2, |ran| {
        assert!(ran.notes().longest().as_secs() < 10, "no stall");
    });
}

#[test]
fn scenario_23_a_withheld_block_costs_its_leader_the_block() {
    holds(file!("bft-withholder"), 0..2, |ran| {
        let key = ran.key("withholder");
        let seals = ran.seals();
        let share = seals.iter().filter(|seal| seal.key == key).count() as f64 / seals.len() as f64;
        // It publishes a quarter of the blocks that it may make.
        assert!(share < 0.2, "{share} of the blocks are its own");
        assert!(ran.notes().time_outs > 0);
    });
}

#[test]
fn silent_and_contrary_validators_cost_rounds_only() {
    holds(file!("bft-silence"), 0..2, |ran| assert_eq!(ran.notes().fork, None));
}
