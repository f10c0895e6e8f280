//! What others can make grow: all of it has a bound.

use super::*;
use crate::bft::machine::{PROPOSED_MAX, ROUNDS_AHEAD};

fn block(number: u64) -> B256 {
    B256::left_padding_from(&(number + 1).to_be_bytes())
}

fn kept(rig: &Rig) -> usize {
    let votes = rig.machine.votes();
    let count = |kind, round| votes.cast(kind, round).count();
    let kinds = [VoteKind::Prepare, VoteKind::Precommit];
    votes.rounds().flat_map(|round| kinds.map(|kind| count(kind, round))).sum()
}

#[test]
fn votes_for_anything_fill_nothing() {
    let mut rig = Rig::four();
    for number in 0..1_000 {
        rig.proposal(0, block(number));
    }
    for number in (0..1_000).rev() {
        let added = rig.add(VoteKind::Prepare, 0, 3, block(number));
        match number {
            999 => assert_eq!(added, Added::New),
            0 | 1 => assert!(matches!(added, Added::Conflict(..))),
            _ => assert!(matches!(added, Added::Refused(..)), "{added:?}"),
        }
    }
    assert!(matches!(rig.add(VoteKind::Prepare, 0, 3, NIL), Added::Conflict(..)));
    assert_eq!(rig.add(VoteKind::Prepare, 0, 3, NIL), Added::Known);
    assert_eq!(kept(&rig), 1 + PROPOSED_MAX + 1);
    assert_eq!(rig.machine.votes().weight_any(VoteKind::Prepare, 0), 1);
}

/// A lying leader shows a third block to some, and a liar votes for it there and for another one here. Those who
/// locked on it need this node to see their quorum, or it refuses their proposal for ever.
#[test]
fn a_refused_vote_counts_once_honest_votes_stand_beside_it() {
    let mut rig = Rig::four();
    let third = block(3);
    rig.good(0, A);
    rig.proposal(0, B);
    assert_eq!(rig.add(VoteKind::Prepare, 0, 3, A), Added::New);
    assert!(matches!(rig.add(VoteKind::Prepare, 0, 3, third), Added::Refused(..)));
    rig.prepares(0, third, &[1]);
    assert!(matches!(rig.add(VoteKind::Prepare, 0, 3, third), Added::Refused(..)));
    rig.prepares(0, third, &[2]);
    assert!(matches!(rig.add(VoteKind::Prepare, 0, 3, third), Added::Conflict(..)));
    assert!(rig.machine.votes().has_quorum(VoteKind::Prepare, 0, third));
    rig.valid(third);
    rig.over(Wait::Prepare, 0);
    assert_eq!(rig.machine.valid(), Some((0, third)));
}

#[test]
fn of_rounds_far_ahead_one_per_validator_is_kept() {
    let mut rig = Rig::four();
    for round in ROUNDS_AHEAD + 1..2_000 {
        rig.prepares(round, A, &[3]);
        rig.precommits(round, NIL, &[3]);
        assert!(!rig.machine.propose(round, Proposed { block: A, valid_round: None }, &mut vec![]));
    }
    assert_eq!(rig.machine.votes().rounds().collect::<Vec<_>>(), [1_999]);
    assert_eq!(kept(&rig), 2);
    assert_eq!(rig.add(VoteKind::Prepare, 1_000, 3, A), Added::Known, "back does not count");
    // A second one there is a third that includes an honest one: this node follows.
    assert_eq!(rig.prepares(1_999, A, &[2])[0], Effect::Round(1_999, rig.machine.leader(1_999)));
    assert_eq!(rig.add(VoteKind::Prepare, u32::MAX, 3, A), Added::New);
}

#[test]
fn rounds_a_little_ahead_are_kept_whole() {
    let mut rig = Rig::four();
    for round in 1..=ROUNDS_AHEAD {
        rig.prepares(round, A, &[3]);
    }
    assert_eq!(rig.machine.votes().rounds().count(), 10);
    rig.prepares(ROUNDS_AHEAD + 1, A, &[3]);
    assert_eq!(rig.machine.votes().rounds().count(), 11);
}

#[test]
fn a_quorum_is_asked_for_once_and_told_once() {
    let mut rig = Rig::four();
    let effects: Vec<_> = (0..5).flat_map(|_| rig.precommits(0, A, &[1, 2, 3])).collect();
    let count = |wanted: Effect| effects.iter().filter(|effect| **effect == wanted).count();
    assert_eq!(count(Effect::Missing(A)), 1);
    assert_eq!(count(Effect::Quorum(VoteKind::Precommit, 0, A)), 1);
}

#[test]
fn what_is_no_vote_and_no_proposal_leaves_no_trace() {
    let mut rig = Rig::four();
    let before = format!("{:?}", rig.machine);
    assert_eq!(rig.add(VoteKind::Prepare, 0, 4, A), Added::Known);
    assert_eq!(rig.add(VoteKind::Prepare, 99, usize::MAX, A), Added::Known);
    assert_eq!(rig.proposal(0, NIL), [], "nil is no block");
    assert_eq!(format!("{:?}", rig.machine), before);
}
