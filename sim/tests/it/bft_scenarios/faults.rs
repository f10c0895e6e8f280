//! Honest validators in trouble: scenarios 5 to 9, 11, 12, 15 to 17, 22, and the networks of the requirements.

use super::{at, decided, file, holds, ran};
use kette_types::bft::Seal;
use std::time::Duration;

#[test]
fn scenario_05_lost_proposals_cost_a_round_each() {
    holds(file!("bft-lost-proposals"), 0..2, |ran| {
        let notes = ran.notes();
        // Requirements X2: a failed round costs its waits, here less than two seconds.
        assert!(notes.time_outs > 0 && notes.longest() < Duration::from_secs(6));
    });
}

#[test]
fn scenario_06_a_hidden_lock_is_found_and_its_block_proposed_again() {
    let again: usize = (0..2)
        .map(|seed| {
            let ran = ran(file!("bft-late-votes"), seed);
            crate::support::assert_ok("bft-late-votes", &ran.report);
            ran.notes().proposed_again
        })
        .sum();
    assert!(again > 0, "no seed came there");
}

#[test]
fn scenario_07_past_rounds_are_decided() {
    let late: usize = (0..2)
        .map(|seed| {
            let ran = ran(file!("bft-late-proposals"), seed);
            crate::support::assert_ok("bft-late-proposals", &ran.report);
            ran.notes().decided_late
        })
        .sum();
    assert!(late > 0, "no seed came there");
}

#[test]
fn scenario_08_nothing_is_decided_without_a_quorum() {
    holds(file!("bft-partitions"), 0..2, |ran| {
        let notes = ran.notes();
        // What was under way at the cut may still arrive.
        assert_eq!(decided(&notes, 11, 30), 0, "halves");
        assert!(decided(&notes, 30, 40) > 0, "healed");
        assert!(decided(&notes, 42, 60) > 0, "three of four");
        assert!(decided(&notes, 160, 170) > 0, "healed");
    });
}

/// BFT4-P of the requirements.
#[test]
fn bft4_p_waits_for_the_heal_and_goes_on_within_ten_seconds() {
    holds(file!("bft4-p"), 0..2, |ran| {
        let notes = ran.notes();
        assert_eq!(decided(&notes, 21, 80), 0);
        assert!(decided(&notes, 80, 90) > 0);
    });
}

#[test]
fn scenario_09_progress_over_bad_links() {
    holds(file!("bft-lossy"), 0..2, |ran| {
        let notes = ran.notes();
        for (from, to) in [(0, 30), (30, 50), (50, 70), (70, 90), (90, 110), (110, 150)] {
            assert!(decided(&notes, from, to) > 0, "from {from} s to {to} s");
        }
    });
}

#[test]
fn scenario_11_all_lose_power_and_go_on() {
    holds(file!("bft-blackout"), 0..3, |ran| {
        let notes = ran.notes();
        for (from, to) in [(14, 25), (30, 40), (45, 60)] {
            assert!(decided(&notes, from, to) > 0, "from {from} s to {to} s");
        }
    });
}

#[test]
fn scenario_12_disks() {
    holds(file!("bft-disks"), 0..2, |ran| assert_eq!(ran.notes().fork, None));
}

#[test]
fn scenario_15_who_was_away_catches_up_whatever_others_claim() {
    holds(file!("bft-late-joiner"), 0..2, |ran| {
        let liar = ran.host("liar").index;
        assert!(ran.notes().faults.contains_key(&liar), "it is blamed");
    });
}

#[test]
fn scenario_16_pauses() {
    holds(file!("bft-pauses"), 0..2, |ran| {
        assert!(ran.notes().longest() < Duration::from_secs(10), "three of four go on");
    });
}

#[test]
fn scenario_17_a_wrong_clock() {
    holds(file!("bft-clocks"), 0..2, |ran| {
        let times: Vec<u64> = ran.seals().iter().map(|seal: &Seal| seal.time_ms).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "time only grows");
        assert!(ran.notes().longest() < Duration::from_secs(10));
    });
}

#[test]
fn scenario_22_a_rolling_upgrade() {
    holds(file!("bft-versions"), 0..2, |ran| {
        assert!(ran.notes().longest() < Duration::from_secs(10), "no halt");
    });
}

/// BFT3 of the requirements.
#[test]
fn bft3() {
    holds(file!("bft3"), 0..2, |ran| assert_eq!(ran.notes().fork, None));
}

/// BFT3-K of the requirements: at least five more blocks in two minutes.
#[test]
fn bft3_k_goes_on_without_the_third() {
    holds(file!("bft3-k"), 0..2, |ran| {
        let notes = ran.notes();
        let killed = notes.finals.iter().find(|(.., height)| *height == 5).unwrap().0;
        assert!(notes.decided(killed, killed + Duration::from_secs(120)) > 5);
        assert!(killed < at(120));
    });
}

/// BFT5 of the requirements: more than an hour, at least 400 blocks, finality within 30 s.
#[test]
fn bft5_runs_for_an_hour() {
    holds(file!("bft5"), 0..1, |ran| {
        let notes = ran.notes();
        assert!(notes.longest() < Duration::from_secs(30) && notes.fork.is_none());
    });
}
