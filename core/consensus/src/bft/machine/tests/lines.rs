//! The algorithm line by line (arXiv 1807.04938, algorithm 1).

use super::*;

#[test]
fn line_14_the_leader_builds_a_block_or_proposes_the_valid_one_again() {
    let rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[0]);
    let mut machine = rig.machine;
    let mut out = Vec::new();
    machine.start(0, None, &mut out);
    assert_eq!(out, [Effect::Round(0, 0), Effect::Build(0), Effect::Wait(Wait::Propose, 0)]);

    // 0 leads round 3, and saw a quorum for A in round 1.
    let mut rig = Rig::four();
    rig.fail(0);
    rig.good(1, A);
    rig.prepares(1, A, &[1, 2]);
    rig.fail(1);
    rig.fail(2);
    assert_eq!(rig.machine.valid(), Some((1, A)));
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.prepares(0, A, &[1, 2]);
    let effects = rig.votes(VoteKind::Prepare, 3, NIL, &[2, 3]);
    assert!(effects.contains(&Effect::Propose { round: 3, block: A, valid_round: 0 }));
    assert!(!effects.contains(&Effect::Build(3)));
}

#[test]
fn line_21_a_round_waits_for_its_proposal() {
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1]);
    let effects = rig.run(|machine, out| machine.start(0, None, out));
    assert_eq!(effects, [Effect::Round(0, 1), Effect::Wait(Wait::Propose, 0)]);
}

#[test]
fn line_22_free_prepares_what_is_proposed() {
    let mut rig = Rig::four();
    assert_eq!(rig.proposal(0, A), []);
    assert_eq!(cast(&rig.valid(A)), prepare(0, A));
    assert_eq!(rig.machine.step(), Step::Prepare);
    // The other order.
    let mut rig = Rig::four();
    assert_eq!(rig.valid(A), []);
    assert_eq!(cast(&rig.proposal(0, A)), prepare(0, A));
}

#[test]
fn line_22_locked_prepares_the_same_block_only() {
    let mut rig = Rig::locked(A);
    assert_eq!(cast(&rig.good(1, A)), prepare(1, A));
    let mut rig = Rig::locked(A);
    assert_eq!(cast(&rig.good(1, B)), prepare(1, NIL));
    assert_eq!(rig.machine.locked(), Some((0, A)));
}

#[test]
fn line_26_an_invalid_block_gets_nil_and_an_unknown_one_gets_time() {
    let mut rig = Rig::four();
    rig.proposal(0, A);
    assert_eq!(cast(&rig.invalid(A)), prepare(0, NIL));

    let mut rig = Rig::four();
    assert_eq!(rig.proposal(0, A), []);
    assert_eq!(rig.prepares(0, A, &[1]), []);
    assert_eq!(rig.machine.step(), Step::Propose, "unknown is not invalid");
    assert_eq!(cast(&rig.over(Wait::Propose, 0)), prepare(0, NIL));
    assert_eq!(rig.valid(A), [], "it voted");
    rig.fail(0);
    assert_eq!(cast(&rig.proposal(1, A)), prepare(1, A), "valid now");
}

#[test]
fn valid_is_the_last_word_and_invalid_is_not() {
    let mut rig = Rig::four();
    rig.valid(A);
    rig.invalid(A);
    assert_eq!(rig.machine.known_verdict(A), Some(true));
    rig.invalid(B);
    assert_eq!(rig.machine.known_verdict(B), Some(false));
    rig.precommits(0, B, &[1, 2, 3]);
    assert_eq!(rig.machine.step(), Step::Propose);
    assert_eq!(decided(&rig.valid(B)), Some((0, B)));
}

#[test]
fn line_28_a_quorum_of_prepares_frees_from_an_older_lock() {
    // Locked on A in round 0; B had a quorum in round 1, is proposed again in round 2.
    let mut rig = Rig::locked(A);
    rig.good(1, B);
    rig.fail(1);
    assert_eq!(rig.again(2, B, 1), [], "the quorum is not here");
    assert_eq!(rig.prepares(1, B, &[1, 2]), []);
    assert_eq!(cast(&rig.prepares(1, B, &[3])), prepare(2, B));
    assert_eq!(rig.machine.locked(), Some((0, A)), "only a lock replaces a lock");
}

#[test]
fn line_28_a_quorum_older_than_the_lock_frees_nobody() {
    // B had a quorum in round 0, A one in round 1: locked on A since round 1.
    let mut rig = Rig::four();
    rig.over(Wait::Propose, 0);
    rig.prepares(0, B, &[1, 2, 3]);
    rig.over(Wait::Prepare, 0);
    rig.fail(0);
    rig.good(1, A);
    rig.prepares(1, A, &[1, 2]);
    assert_eq!(rig.machine.locked(), Some((1, A)));
    rig.fail(1);
    rig.valid(B);
    assert_eq!(cast(&rig.again(2, B, 0)), prepare(2, NIL));
    // Of the lock's own round or of the same block it does.
    let mut rig = Rig::locked(A);
    assert_eq!(cast(&rig.again(1, A, 0)), prepare(1, A));
}

#[test]
fn line_28_the_quorum_must_be_of_a_round_before() {
    for valid_round in [1, 2, u32::MAX] {
        let mut rig = Rig::four();
        rig.fail(0);
        rig.valid(A);
        rig.prepares(1, A, &[1, 2, 3]);
        assert_eq!(cast(&rig.again(1, A, valid_round)), []);
        assert_eq!(rig.machine.step(), Step::Propose);
        // It has no vote of its own, and still the quorum is one: L36 once it voted.
        let effects = rig.over(Wait::Propose, 1);
        assert_eq!(cast(&effects), [prepare(1, NIL), precommit(1, A)].concat());
    }
}

#[test]
fn line_28_invalid_with_a_quorum_gets_nil() {
    let mut rig = Rig::four();
    rig.over(Wait::Propose, 0);
    rig.prepares(0, A, &[1, 2, 3]);
    rig.over(Wait::Prepare, 0);
    rig.fail(0);
    rig.invalid(A);
    assert_eq!(cast(&rig.again(1, A, 0)), prepare(1, NIL));
}

#[test]
fn line_34_two_thirds_of_anything_start_the_wait_once() {
    let mut rig = Rig::four();
    rig.good(0, A);
    assert_eq!(rig.prepares(0, NIL, &[1]), []);
    assert_eq!(rig.prepares(0, B, &[2]), [Effect::Wait(Wait::Prepare, 0)]);
    assert_eq!(rig.prepares(0, A, &[3]), []);
    assert_eq!(rig.prepares(0, A, &[3]), [], "a repetition");
    // Not before it voted itself.
    let mut rig = Rig::four();
    let effects = [rig.prepares(0, NIL, &[1]), rig.prepares(0, A, &[2]), rig.prepares(0, B, &[3])];
    assert_eq!(effects.concat(), []);
    assert!(rig.over(Wait::Propose, 0).contains(&Effect::Wait(Wait::Prepare, 0)));
}

#[test]
fn line_36_a_quorum_of_prepares_locks() {
    let mut rig = Rig::four();
    rig.good(0, A);
    assert_eq!(rig.prepares(0, A, &[1]), []);
    let effects = rig.prepares(0, A, &[2]);
    let lock = effects.iter().position(|effect| *effect == Effect::Lock(0, A));
    let vote = Effect::Vote(VoteKind::Precommit, 0, A);
    let vote = effects.iter().position(|effect| *effect == vote);
    assert!(lock.is_some() && lock < vote, "remembered before it is said: {effects:?}");
    assert!(effects.contains(&Effect::Valid(0, A)));
    assert!(effects.contains(&Effect::Quorum(VoteKind::Prepare, 0, A)));
    assert_eq!(rig.machine.locked(), Some((0, A)));
    assert_eq!(rig.machine.valid(), Some((0, A)));
    assert_eq!(rig.prepares(0, A, &[3]), [], "once per round");
}

#[test]
fn line_36_waits_for_the_verdict() {
    let mut rig = Rig::four();
    rig.over(Wait::Propose, 0);
    let effects = rig.prepares(0, A, &[1, 2, 3]);
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Missing(A)).count(), 1);
    assert_eq!(cast(&effects), []);
    assert_eq!(cast(&rig.valid(A)), precommit(0, A), "without the proposal");
    let mut rig = Rig::four();
    rig.over(Wait::Propose, 0);
    rig.prepares(0, A, &[1, 2, 3]);
    assert_eq!(cast(&rig.invalid(A)), []);
    assert_eq!(cast(&rig.over(Wait::Prepare, 0)), precommit(0, NIL));
    assert_eq!((rig.machine.locked(), rig.machine.valid()), (None, None));
}

#[test]
fn line_36_of_another_round_locks_nothing() {
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.over(Wait::Prepare, 0);
    rig.fail(0);
    rig.prepares(0, A, &[1, 2, 3]);
    assert_eq!((rig.machine.locked(), rig.machine.valid()), (None, None));
}

#[test]
fn line_42_after_its_precommit_only_the_valid_block_moves() {
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.prepares(0, NIL, &[3]);
    rig.prepares(0, A, &[1]);
    assert_eq!(cast(&rig.over(Wait::Prepare, 0)), precommit(0, NIL));
    let effects = rig.prepares(0, A, &[2]);
    assert!(effects.contains(&Effect::Valid(0, A)) && cast(&effects).is_empty());
    assert_eq!((rig.machine.locked(), rig.machine.valid()), (None, Some((0, A))));
}

#[test]
fn line_44_a_quorum_for_nil_precommits_nil_without_waiting() {
    let mut rig = Rig::four();
    rig.good(0, A);
    let effects = rig.prepares(0, NIL, &[1, 2, 3]);
    assert_eq!(cast(&effects), precommit(0, NIL));
    assert_eq!(rig.machine.locked(), None);
    // Not before its own prepare.
    let mut rig = Rig::four();
    assert_eq!(cast(&rig.prepares(0, NIL, &[1, 2, 3])), []);
    let effects = rig.over(Wait::Propose, 0);
    assert_eq!(cast(&effects), [prepare(0, NIL), precommit(0, NIL)].concat());
}

#[test]
fn line_47_two_thirds_of_precommits_start_the_wait_in_any_step() {
    let mut rig = Rig::four();
    rig.precommits(0, NIL, &[1]);
    assert_eq!(rig.precommits(0, A, &[2]), []);
    assert_eq!(rig.precommits(0, B, &[3]), [Effect::Wait(Wait::Precommit, 0)]);
    assert_eq!(rig.machine.step(), Step::Propose);
    // A quorum for nil does not shorten it.
    let mut rig = Rig::four();
    let effects = rig.precommits(0, NIL, &[1, 2, 3]);
    assert!(effects.contains(&Effect::Wait(Wait::Precommit, 0)));
    assert_eq!(rig.machine.round(), 0);
}

#[test]
fn line_49_decides_in_any_step() {
    let mut rig = Rig::four();
    rig.good(0, A);
    assert_eq!(decided(&rig.precommits(0, A, &[1, 2, 3])), Some((0, A)));
    assert_eq!(rig.machine.step(), Step::Decided);
    assert_eq!(rig.over(Wait::Propose, 0), [], "it is over");
    assert_eq!(cast(&rig.prepares(0, A, &[1, 2, 3])), []);
    assert_eq!(rig.precommits(9, A, &[1, 2, 3]).len(), 1, "only told");
    // Before its slot, and before the block is here.
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1]);
    assert!(rig.precommits(0, A, &[1, 2, 3]).contains(&Effect::Missing(A)));
    assert_eq!(decided(&rig.valid(A)), Some((0, A)));
    rig.run(|machine, out| machine.start(0, None, out));
    assert_eq!(rig.machine.step(), Step::Decided);
}

#[test]
fn line_49_decides_for_a_round_that_is_over() {
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.over(Wait::Prepare, 0);
    rig.fail(0);
    rig.fail(1);
    assert_eq!(decided(&rig.precommits(0, A, &[1])), None);
    // 2 and 3 said nil before: they lie, and count for both.
    assert_eq!(decided(&rig.precommits(0, A, &[2])), None);
    assert_eq!(decided(&rig.precommits(0, A, &[3])), Some((0, A)));
}

#[test]
fn line_49_decides_for_a_round_ahead() {
    let mut rig = Rig::four();
    rig.valid(A);
    assert_eq!(decided(&rig.precommits(7, A, &[1, 2, 3])), Some((7, A)));
}

#[test]
fn line_55_a_third_ahead_pulls_along() {
    let mut rig = Rig::four();
    assert_eq!(rig.prepares(4, A, &[1]), []);
    assert_eq!(rig.precommits(4, NIL, &[1]), [], "the same one twice is no third");
    let effects = rig.precommits(4, A, &[2]);
    assert!(matches!(effects[..], [Effect::Round(4, _), ..]), "{effects:?}");
    assert_eq!((rig.machine.round(), rig.machine.step()), (4, Step::Propose));
    // The wait of the round left behind is nobody's.
    assert_eq!(rig.over(Wait::Propose, 0), []);
}

#[test]
fn lines_57_61_65_each_wait_ends_its_own_step_only() {
    let mut rig = Rig::four();
    assert_eq!(rig.over(Wait::Prepare, 0), []);
    assert_eq!(rig.over(Wait::Propose, 1), [], "of another round");
    assert_eq!(cast(&rig.over(Wait::Propose, 0)), prepare(0, NIL));
    assert_eq!(rig.over(Wait::Propose, 0), []);
    assert_eq!(cast(&rig.over(Wait::Prepare, 0)), precommit(0, NIL));
    assert_eq!(rig.over(Wait::Prepare, 0), []);
    let effects = rig.over(Wait::Precommit, 0);
    assert_eq!(effects, [Effect::Round(1, 2), Effect::Wait(Wait::Propose, 1)]);
    assert_eq!(rig.over(Wait::Precommit, 0), []);
    // From any step.
    assert_eq!(rig.over(Wait::Precommit, 1)[0], Effect::Round(2, 3));
}

#[test]
fn the_last_round_ends_nothing() {
    let mut rig = Rig::waiting(&[1; 4], Quorum::MoreThanTwoThirds, &[1]);
    rig.run(|machine, out| machine.start(u32::MAX, None, out));
    assert_eq!(rig.over(Wait::Precommit, u32::MAX), []);
    assert_eq!(rig.machine.round(), u32::MAX);
}
