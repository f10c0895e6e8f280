//! Power lost at any write, and sign states that are lost, old or copied: scenarios 10 and 13.

use super::{at, file, finished, prepared, started};
use kette_sim::{
    disk::Loss,
    run::Run,
    scenario::{Misbehaviour, step::Side},
};
use std::time::Duration;

const FOUR: &str = r#"
schema = 1
[network]
name = "four"
chain = "bft4"
topology = "mesh"
duration = "60s"
[[group]]
name = "v"
count = 4
stake = 100
"#;

const BUSY: &str = "[shape]\nlatency = \"30ms\"\njitter = \"20ms\"\n[workload]\nrate = 20.0\nsenders = 4\n[[group]]";

fn pass(run: &mut Run, millis: u64) {
    let until = run.world.now() + Duration::from_millis(millis);
    run.world.run_until(until);
    assert_eq!(run.world.violations(), &[]);
}

/// Crashes one validator after the other at its next write; returns how many.
fn sweep(side: Side, seed: u64) -> usize {
    let (mut run, notes) = started(FOUR, seed);
    run.world.faulty = true;
    let mut crashes = 0;
    pass(&mut run, 3_000);
    for turn in 0..50_u64 {
        let host = (turn % 4) as usize;
        // At another write of the round each time.
        pass(&mut run, 50 + turn * 37 % 400);
        run.world.crash_at_write(host, side);
        pass(&mut run, 1_500);
        if !run.world.hosts[host].is_up() {
            crashes += 1;
            run.world.start(host);
        }
        pass(&mut run, 300);
    }
    pass(&mut run, 20_000);
    let notes = notes.borrow();
    assert_eq!(notes.fork, None);
    let last = notes.finals.last().unwrap();
    assert!(last.0 + Duration::from_secs(5) > run.world.now(), "it goes on");
    crashes
}

#[test]
fn scenario_10_power_lost_before_a_write_is_durable() {
    assert!((0..2).map(|seed| sweep(Side::Before, seed)).sum::<usize>() > 60);
}

#[test]
fn scenario_10_power_lost_before_anything_is_sent() {
    assert!((0..2).map(|seed| sweep(Side::After, seed)).sum::<usize>() > 60);
}

#[test]
fn scenario_10_power_lost_at_random() {
    super::holds(file!("bft-crashes"), 0..2, |ran| assert_eq!(ran.notes().fork, None));
}

/// A validator without its sign state refuses to sign; the others go on.
#[test]
fn scenario_13_a_lost_sign_state_keeps_a_validator_silent() {
    let (mut run, notes) = started(FOUR, 1);
    run.world.faulty = true;
    pass(&mut run, 20_000);
    run.world.crash(0, Loss::Unsynced);
    run.world.set_signed(0, None);
    run.world.start(0);
    pass(&mut run, 20_000);
    let notes = notes.borrow();
    assert!(notes.alarms.iter().any(|text| text.contains("does not sign")), "{:?}", notes.alarms);
    assert!(notes.decided(at(25), at(40)) > 5, "three of four go on");
}

/// A validator whose sign state is an old copy goes by its log.
#[test]
fn scenario_13_an_old_sign_state_does_not_lead_to_a_second_vote() {
    for seed in 0..2 {
        let (mut run, notes) = started(FOUR, seed);
        run.world.faulty = true;
        pass(&mut run, 10_000);
        let old = run.world.hosts[0].disk.signed();
        assert!(old.is_some());
        pass(&mut run, 10_000 + seed * 111);
        run.world.crash(0, Loss::Unsynced);
        run.world.set_signed(0, old);
        run.world.start(0);
        // The witness objects to a second vote.
        pass(&mut run, 20_000);
        assert!(notes.borrow().decided(at(25), at(40)) > 5);
    }
}

/// A second process with the same key: evidence, and it is out.
#[test]
fn scenario_13_a_copied_key_is_found_out() {
    for seed in 0..2 {
        // Their pools differ now and then, so their blocks do.
        let text = FOUR.replace("[[group]]", BUSY) + "[[group]]\nnames = [\"copy\"]\n";
        let (mut run, notes) = prepared(&text, seed);
        run.world.faulty = true;
        let mut key = run.world.hosts[0].config.local.validator.clone().unwrap();
        // Else the one that sees the other's signature in a block falls silent: see the test below.
        key.trust_missing = true;
        for host in [0, 4] {
            run.world.hosts[host].config.local.validator = Some(key.clone());
            run.world.hosts[host].byzantine = Some(Misbehaviour::Twin);
        }
        let ran = finished(run, notes);
        crate::support::assert_ok("a copied key", &ran.report);
        assert!(ran.punished().contains(&ran.key("v-0")));
        assert_eq!(ran.validators().len(), 3);
    }
}

/// Who lost everything but its key does not sign again what it signed before: it sees its signatures in blocks.
#[test]
fn scenario_13_a_new_disk_keeps_a_validator_silent() {
    for seed in 0..2 {
        let (mut run, notes) = started(FOUR, seed);
        run.world.faulty = true;
        pass(&mut run, 10_000 + seed * 77);
        run.world.wipe(0);
        run.world.start(0);
        // The witness objects to a second vote.
        pass(&mut run, 15_000);
        let notes = notes.borrow();
        assert!(
            notes.alarms.iter().any(|text| text.contains("does not sign")),
            "{:?}",
            notes.alarms
        );
        assert!(notes.decided(at(15), at(25)) > 5);
    }
}
