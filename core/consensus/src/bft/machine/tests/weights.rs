//! Weights: a quorum is of weight, never of heads.

use super::*;

/// Who must vote beside this node (number 0) until a block is decided.
fn decides(weights: &[u64], quorum: Quorum, others: &[usize]) -> bool {
    let mut rig = Rig::waiting(weights, quorum, &[0]).begun();
    let mut effects = rig.good(0, A);
    effects.extend(rig.prepares(0, A, others));
    let locked = rig.machine.locked().is_some();
    effects.extend(rig.precommits(0, A, others));
    let decided = decided(&effects).is_some();
    assert_eq!(locked, decided, "{weights:?} {others:?}");
    decided
}

#[test]
fn a_quorum_is_of_weight() {
    use Quorum::{MoreThanTwoThirds, TwoThirds};
    const WHALE: &[u64] = &[90, 5, 5];
    const HUGE: &[u64] = &[u64::MAX, u64::MAX, u64::MAX];
    let rows: [(&[u64], Quorum, &[usize], bool); 19] = [
        (&[40, 30, 20, 10], MoreThanTwoThirds, &[1], true),
        (&[40, 30, 20, 10], MoreThanTwoThirds, &[2], false),
        (&[40, 30, 20, 10], MoreThanTwoThirds, &[2, 3], true),
        (&[30, 40, 20, 10], TwoThirds, &[2, 3], false),
        // Without the 40 nobody else makes 67.
        (&[30, 20, 10, 40], MoreThanTwoThirds, &[1, 2], false),
        (&[1, 1, 1], TwoThirds, &[1], true),
        (&[1, 1, 1], MoreThanTwoThirds, &[1], false),
        (&[1, 1, 1], MoreThanTwoThirds, &[1, 2], true),
        (&[100, 100, 100], TwoThirds, &[1], true),
        (&[100, 99, 101], TwoThirds, &[1], false),
        (&[1, 1, 1, 1], TwoThirds, &[1], false),
        (WHALE, MoreThanTwoThirds, &[], true),
        (&[5, 5, 90], MoreThanTwoThirds, &[1], false),
        (&[1 << 63, 1 << 63, 1 << 63, 1 << 63], MoreThanTwoThirds, &[1], false),
        (&[1 << 63, 1 << 63, 1 << 63, 1 << 63], MoreThanTwoThirds, &[1, 2], true),
        (HUGE, TwoThirds, &[1], true),
        (HUGE, MoreThanTwoThirds, &[1], false),
        (&[(1 << 63) - 1, 1 << 63, (1 << 63) + 1], TwoThirds, &[1], false),
        (&[(1 << 63) - 1, 1 << 63, (1 << 63) + 1], TwoThirds, &[2], true),
    ];
    for (weights, quorum, others, expected) in rows {
        assert_eq!(decides(weights, quorum, others), expected, "{weights:?} {quorum:?} {others:?}");
    }
}

#[test]
fn a_whale_votes_alone_and_small_ones_never() {
    let mut rig = Rig::waiting(&[5, 5, 90], Quorum::MoreThanTwoThirds, &[2]).begun();
    rig.good(0, A);
    assert_eq!(decided(&rig.precommits(0, A, &[0, 1])), None);
    assert_eq!(rig.machine.round(), 0);
    rig.prepares(7, NIL, &[1]);
    assert_eq!(rig.machine.round(), 0, "a twentieth pulls nobody");
    rig.prepares(7, NIL, &[2]);
    assert_eq!(rig.machine.round(), 7);
    assert_eq!(decided(&rig.precommits(7, A, &[2])), Some((7, A)));
}

#[test]
fn exactly_a_third_ahead_pulls_along() {
    for (weights, pulls) in [([2, 1, 3], false), ([2, 2, 2], true), ([4, 2, 1], false)] {
        let mut rig = Rig::waiting(&weights, Quorum::MoreThanTwoThirds, &[0]).begun();
        rig.prepares(1, NIL, &[1]);
        assert_eq!(rig.machine.round() == 1, pulls, "{weights:?}");
    }
}

#[test]
fn a_liar_counts_for_both_blocks_and_once_for_anything() {
    let mut rig = Rig::four();
    rig.proposal(0, A);
    rig.proposal(0, B);
    assert_eq!(rig.add(VoteKind::Precommit, 0, 3, A), Added::New);
    assert_eq!(rig.add(VoteKind::Precommit, 0, 3, B), Added::Conflict(A, Signature::ZERO));
    let votes = rig.machine.votes();
    let kind = VoteKind::Precommit;
    assert_eq!((votes.weight(kind, 0, A), votes.weight(kind, 0, B)), (1, 1));
    assert_eq!(votes.weight_any(kind, 0), 1);
    // What a quorum of others stands on is decided, whichever it is.
    rig.precommits(0, B, &[1, 2]);
    assert_eq!(decided(&rig.valid(B)), Some((0, B)));
}

#[test]
fn a_block_goes_before_nil() {
    // Three equal ones under `2/3`, 2 lies: quorums for A and for nil. Whoever sees both decides.
    let mut rig = Rig::waiting(&[1, 1, 1], Quorum::TwoThirds, &[1]).begun();
    rig.good(0, A);
    rig.prepares(0, NIL, &[1, 2]);
    rig.prepares(0, A, &[2]);
    rig.precommits(0, NIL, &[1]);
    let mut effects = rig.precommits(0, NIL, &[2]);
    effects.extend(rig.precommits(0, A, &[1, 2]));
    assert_eq!(decided(&effects), Some((0, A)));
}

#[test]
fn whoever_has_no_vote_follows_and_decides() {
    let set = set(&[1; 4]);
    let seed = seed(&set, &[1]);
    let machine = Machine::new(set, Quorum::MoreThanTwoThirds, None, seed);
    let mut rig = Rig { machine }.begun();
    rig.good(0, A);
    rig.prepares(0, A, &[1, 2, 3]);
    assert_eq!(decided(&rig.precommits(0, A, &[1, 2, 3])), Some((0, A)));
    assert_eq!(rig.machine.votes().weight_any(VoteKind::Prepare, 0), 3);
}
