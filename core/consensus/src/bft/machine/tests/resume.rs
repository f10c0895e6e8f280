//! A restarted node: it goes on where its log ends, and contradicts nothing that it said.

use super::*;

fn restarted(round: u32, done: Option<VoteKind>, bound: Option<(u32, B256)>) -> Rig {
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1, 2, 3, 0]);
    rig.machine.restore(round, bound, bound);
    rig.run(|machine, out| machine.start(round, done, out));
    rig
}

#[test]
fn it_does_not_vote_again() {
    let mut rig = restarted(2, Some(VoteKind::Prepare), None);
    assert_eq!((rig.machine.round(), rig.machine.step()), (2, Step::Prepare));
    assert_eq!(cast(&rig.good(2, A)), [], "it prepared something");
    assert_eq!(cast(&rig.prepares(2, A, &[1, 2, 3])), precommit(2, A));

    let mut rig = restarted(2, Some(VoteKind::Precommit), None);
    rig.good(2, A);
    assert_eq!(cast(&rig.prepares(2, A, &[1, 2, 3])), []);
    assert_eq!(rig.machine.locked(), None);
    assert_eq!(rig.machine.valid(), Some((2, A)));
    assert_eq!(decided(&rig.precommits(2, A, &[1, 2, 3])), Some((2, A)));
}

#[test]
fn it_keeps_its_lock() {
    let mut rig = restarted(1, None, Some((0, A)));
    assert_eq!(cast(&rig.good(1, B)), prepare(1, NIL));
    let mut rig = restarted(1, None, Some((0, A)));
    assert_eq!(cast(&rig.good(1, A)), prepare(1, A));
}

#[test]
fn it_proposes_its_valid_block_again() {
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1, 0]);
    rig.machine.restore(1, Some((0, A)), Some((0, A)));
    let effects = rig.run(|machine, out| machine.start(1, None, out));
    assert!(effects.contains(&Effect::Propose { round: 1, block: A, valid_round: 0 }));
}

#[test]
fn own_votes_of_all_rounds_count_again() {
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1, 2, 3, 0]);
    rig.machine.restore(40, Some((3, A)), Some((3, A)));
    for round in 0..=40 {
        rig.prepares(round, if round == 15 { A } else { NIL }, &[0]);
    }
    rig.run(|machine, out| machine.start(40, Some(VoteKind::Prepare), out));
    // Others need the prepares of round 15, all of them.
    assert_eq!(rig.machine.votes().weight(VoteKind::Prepare, 15, A), 1);
    assert_eq!(rig.machine.votes().rounds().count(), 41);
}

#[test]
fn it_starts_once() {
    let mut rig = restarted(3, None, None);
    assert_eq!(rig.run(|machine, out| machine.start(0, None, out)), []);
    assert_eq!(rig.machine.round(), 3);
}

#[test]
fn it_waits_again_once_two_thirds_say_so() {
    let mut rig = restarted(2, Some(VoteKind::Precommit), None);
    rig.precommits(2, NIL, &[1]);
    let effects = rig.precommits(2, NIL, &[2, 3]);
    assert!(effects.contains(&Effect::Wait(Wait::Precommit, 2)));
    assert_eq!(rig.over(Wait::Precommit, 2)[0], Effect::Round(3, 0));
}
