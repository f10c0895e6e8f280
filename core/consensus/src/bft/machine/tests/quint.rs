//! The scenarios of Malachite's Quint model (`specs/consensus/quint/tests` in circlefin/malachite), by its names.

use super::*;

#[test]
fn line_26_locked_on_another_block() {
    let mut rig = Rig::locked(A);
    assert_eq!(cast(&rig.good(1, B)), prepare(1, NIL));
    assert_eq!(rig.machine.locked(), Some((0, A)));
}

#[test]
fn line_28_proposed_again_with_its_quorum() {
    let mut rig = Rig::locked(A);
    rig.good(1, B);
    rig.prepares(1, B, &[1, 2, 3]);
    // Nil was prepared, and the quorum still locks: L36 asks for the step alone.
    assert_eq!(rig.machine.locked(), Some((1, B)));
    rig.fail(1);
    assert_eq!(cast(&rig.again(2, B, 1)), prepare(2, B));
}

#[test]
fn line_32_proposed_again_with_a_quorum_before_the_lock() {
    let mut rig = Rig::four();
    rig.over(Wait::Propose, 0);
    rig.prepares(0, B, &[1, 2, 3]);
    rig.over(Wait::Prepare, 0);
    rig.fail(0);
    rig.good(1, A);
    rig.prepares(1, A, &[1, 2]);
    rig.fail(1);
    rig.valid(B);
    assert_eq!(cast(&rig.again(2, B, 0)), prepare(2, NIL));
}

#[test]
fn line_42_the_quorum_comes_after_the_precommit() {
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.prepares(0, NIL, &[3]);
    rig.prepares(0, A, &[1]);
    rig.over(Wait::Prepare, 0);
    rig.prepares(0, A, &[2]);
    assert_eq!((rig.machine.locked(), rig.machine.valid()), (None, Some((0, A))));
}

#[test]
fn decide_for_past_round() {
    let mut rig = Rig::four();
    rig.good(0, A);
    rig.precommits(0, A, &[1]);
    rig.precommits(0, NIL, &[3]);
    rig.over(Wait::Prepare, 0);
    rig.over(Wait::Precommit, 0);
    rig.over(Wait::Propose, 1);
    assert_eq!((rig.machine.round(), rig.machine.step()), (1, Step::Prepare));
    assert_eq!(decided(&rig.precommits(0, A, &[2])), None);
    // The own precommit of round 0 was nil; the fourth one comes late.
    assert_eq!(decided(&rig.precommits(0, A, &[3])), Some((0, A)));
}

/// One node locks unseen; its block wins later because the lock is shown with the proposal.
#[test]
fn hidden_lock() {
    let mut nodes: Vec<Rig> = (0..4)
        .map(|me| {
            let set = set(&[1; 4]);
            let seed = seed(&set, &[1, 2, 0, 3]);
            let machine = Machine::new(set, Quorum::MoreThanTwoThirds, Some(me), seed);
            Rig { machine }.begun()
        })
        .collect();
    for node in &mut nodes {
        assert_eq!(cast(&node.good(0, A)), prepare(0, A));
    }
    // Only node 0 hears the quorum in time.
    assert_eq!(cast(&nodes[0].prepares(0, A, &[1, 2])), precommit(0, A));
    for node in &mut nodes[1..] {
        node.over(Wait::Prepare, 0);
        node.precommits(0, NIL, &[1, 2, 3]);
        node.over(Wait::Precommit, 0);
    }
    nodes[0].fail(0);
    // Round 1: 2 proposes B, 0 refuses, 3 does not hear it: no quorum.
    assert_eq!(cast(&nodes[0].good(1, B)), prepare(1, NIL));
    assert_eq!(cast(&nodes[3].over(Wait::Propose, 1)), prepare(1, NIL));
    for node in &mut nodes[1..] {
        node.good(1, B);
        node.prepares(1, NIL, &[0, 3]);
        node.prepares(1, B, &[1, 2]);
        node.over(Wait::Prepare, 1);
        node.precommits(1, NIL, &[0, 1, 2]);
        node.over(Wait::Precommit, 1);
    }
    nodes[0].over(Wait::Prepare, 1);
    let effects = {
        nodes[0].precommits(1, NIL, &[2, 3]);
        nodes[0].over(Wait::Precommit, 1)
    };
    // Round 2: the locked node leads and proposes its block again.
    assert!(effects.contains(&Effect::Propose { round: 2, block: A, valid_round: 0 }));
    for node in &mut nodes {
        let mut effects = node.again(2, A, 0);
        effects.extend(node.prepares(0, A, &[0, 1, 2]));
        assert_eq!(cast(&effects)[..1], prepare(2, A)[..]);
        node.prepares(2, A, &[0, 1, 2]);
        assert_eq!(decided(&node.precommits(2, A, &[0, 1, 2])), Some((2, A)));
    }
}

/// Two of four lie to two honest nodes: the model's counterexample when a third or more lies.
#[test]
fn disagreement() {
    let node = |me| {
        let set = set(&[1; 4]);
        let seed = seed(&set, &[2]);
        Rig { machine: Machine::new(set, Quorum::MoreThanTwoThirds, Some(me), seed) }.begun()
    };
    let decisions = [(0, A), (1, B)].map(|(me, block)| {
        let mut node = node(me);
        node.good(0, block);
        node.prepares(0, block, &[2, 3]);
        decided(&node.precommits(0, block, &[2, 3]))
    });
    assert_eq!(decisions, [Some((0, A)), Some((0, B))]);
}
