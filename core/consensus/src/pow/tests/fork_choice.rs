//! Fork choice: weight, ties, order of arrival, the reorganization limit, finality.

use super::*;
use crate::{Command, CommandError};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A header that only the tree looks at.
fn block(parent: &SealedHeader, difficulty: u64, salt: u8) -> SealedHeader {
    let header = Header {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        timestamp: parent.timestamp + 10,
        difficulty: U256::from(difficulty),
        extra_data: vec![0, 0, 0, 0, 0, 0, 0, 0, salt].into(),
        ..Header::default()
    };
    SealedHeader::new(header, Bytes::new())
}

/// A branch of blocks with the same difficulty.
fn branch(parent: &SealedHeader, length: usize, difficulty: u64, salt: u8) -> Vec<SealedHeader> {
    let mut blocks: Vec<SealedHeader> = Vec::new();
    for _ in 0..length {
        let next = block(blocks.last().unwrap_or(parent), difficulty, salt);
        blocks.push(next);
    }
    blocks
}

fn harness(blocks: &[SealedHeader]) -> Harness {
    let mut node = Harness::new(spec(), local());
    assert_eq!(node.say(Input::Start), [""; 0]);
    for header in blocks {
        node.block(header.clone());
    }
    node
}

#[test]
fn a_heavier_and_shorter_branch_beats_a_longer_one() {
    let mut node = harness(&branch(&genesis(), 3, 10, 1));
    let heavy = branch(&genesis(), 2, 16, 2);
    assert_eq!(node.block(heavy[0].clone()), [""; 0]);
    assert_eq!(node.block(heavy[1].clone()), ["head 2"]);
    assert_eq!(node.tree.head().hash(), heavy[1].hash());
}

#[test]
fn of_equal_branches_the_smaller_hash_wins_whatever_came_first() {
    let blocks: Vec<SealedHeader> = (0..6).map(|salt| block(&genesis(), 5, salt)).collect();
    let smallest = blocks.iter().map(SealedHeader::hash).min().expect("six");
    for rotation in 0..blocks.len() {
        let mut order = blocks.clone();
        order.rotate_left(rotation);
        assert_eq!(harness(&order).tree.head().hash(), smallest);
    }
}

#[test]
fn start_chooses_among_what_was_restored() {
    let mut node = Harness::new(spec(), local());
    for header in branch(&genesis(), 5, 3, 1) {
        attach(&mut node.tree, header);
    }
    assert_eq!(node.say(Input::Start), ["head 5", "final 2"]);
    assert_eq!(node.say(Input::Start), [""; 0]);
}

#[test]
fn finality_follows_the_head_at_its_depth() {
    let mut node = Harness::new(spec(), local());
    node.say(Input::Start);
    let expected: [&[&str]; 6] = [
        &["head 1"],
        &["head 2"],
        &["head 3"],
        &["head 4", "final 1"],
        &["head 5", "final 2"],
        &["head 6", "final 3"],
    ];
    for (header, expected) in branch(&genesis(), 6, 5, 0).into_iter().zip(expected) {
        assert_eq!(node.block(header), expected);
    }
}

#[test]
fn a_reorganization_within_the_limit_takes_finality_along() {
    let mut node = harness(&branch(&genesis(), 4, 5, 1));
    assert_eq!(node.tree.finalized().0, 1);
    let heavy = branch(&genesis(), 5, 7, 2);
    for header in &heavy[..2] {
        assert_eq!(node.block(header.clone()), [""; 0]);
    }
    // 21 against 20: four blocks are removed, as many as the limit allows.
    assert_eq!(node.block(heavy[2].clone()), ["head 3"]);
    assert_eq!(node.block(heavy[3].clone()), ["head 4", "final 1"]);
    assert_eq!(node.tree.finalized().1, heavy[0].hash());
}

#[test]
fn a_deeper_reorganization_raises_one_alarm_and_waits_for_approval() {
    let main = branch(&genesis(), 5, 5, 1);
    let mut node = harness(&main);
    let heavy = branch(&genesis(), 9, 9, 2);
    attach(&mut node.tree, heavy[0].clone());
    attach(&mut node.tree, heavy[1].clone());
    assert_eq!(node.block(heavy[2].clone()), ["alarm"]);
    let shown = node.status().alarm.expect("an alarm");
    assert_eq!((shown.hash, shown.depth), (heavy[2].hash(), 5));
    assert_eq!(node.block(heavy[3].clone()), [""; 0], "once per branch");
    assert_eq!(node.status().alarm.expect("an alarm").hash, heavy[3].hash());

    // The head moves on, still lighter: nothing more becomes final.
    let next = block(main.last().expect("five"), 5, 1);
    assert_eq!(node.block(next), ["head 6"]);
    assert_eq!(node.status().alarm.expect("an alarm").depth, 6);
    assert_eq!(node.tree.finalized().0, 2);

    let unknown = B256::repeat_byte(9);
    let rejected = node.say(Input::Command(Command::ApproveReorg(unknown)));
    assert_eq!(rejected, [format!("rejected: {}", CommandError::UnknownBlock(unknown))]);
    let canonical = node.say(Input::Command(Command::ApproveReorg(main[0].hash())));
    assert_eq!(canonical, ["rejected: this block is canonical already"]);

    assert_eq!(
        node.say(Input::Command(Command::ApproveReorg(heavy[1].hash()))),
        ["head 4", "final 1"]
    );
    assert_eq!(node.tree.head().hash(), heavy[3].hash());
    assert_eq!(node.tree.finalized(), (1, heavy[0].hash()));
    assert_eq!(node.status().alarm, None);
    assert_eq!(node.block(heavy[4].clone()), ["head 5", "final 2"]);
}

#[test]
fn an_approval_may_come_before_the_branch_is_heavy_enough() {
    let mut node = harness(&branch(&genesis(), 5, 5, 1));
    let heavy = branch(&genesis(), 3, 9, 2);
    assert_eq!(node.block(heavy[0].clone()), [""; 0]);
    assert_eq!(node.say(Input::Command(Command::ApproveReorg(heavy[0].hash()))), [""; 0]);
    assert_eq!(node.block(heavy[1].clone()), [""; 0]);
    assert_eq!(node.block(heavy[2].clone()), ["head 3"]);
    // Used up: the way back needs an approval of its own.
    let back = branch(&genesis(), 9, 8, 3);
    for header in &back[..3] {
        assert_eq!(node.block(header.clone()), [""; 0]);
    }
    assert_eq!(node.block(back[3].clone()), ["head 4", "final 1"], "three are within the limit");
}

#[test]
fn a_held_branch_is_forgotten_when_it_falls_behind() {
    let main = branch(&genesis(), 5, 5, 1);
    let mut node = harness(&main);
    let heavy = branch(&genesis(), 2, 13, 2);
    node.block(heavy[0].clone());
    assert_eq!(node.block(heavy[1].clone()), ["alarm"]);
    let six = block(main.last().expect("five"), 5, 1);
    assert_eq!(node.block(six), ["head 6", "final 3"]);
    assert_eq!(node.status().alarm, None);
    let again = block(&heavy[1], 13, 2);
    assert_eq!(node.block(again), [""; 0], "the same branch raises no second alarm");
    assert!(node.status().alarm.is_some());
}

#[test]
fn a_held_branch_is_followed_once_its_fork_lies_within_the_limit() {
    let main = branch(&genesis(), 5, 5, 1);
    let mut node = harness(&main);
    // Deep branch from genesis, held; then a lighter one from block 1 that is followed.
    let deep = branch(&genesis(), 2, 20, 2);
    node.block(deep[0].clone());
    assert_eq!(node.block(deep[1].clone()), ["alarm"]);
    let shallow = branch(&main[0], 1, 30, 3);
    assert_eq!(node.block(shallow[0].clone()), ["head 2"], "35 against 25");
    // 40 against 35, and only two blocks deep by now.
    let other = block(&genesis(), 1, 4);
    assert_eq!(node.block(other), ["head 2"]);
    assert_eq!(node.tree.head().hash(), deep[1].hash());
}

/// A random tree: for each block the index of its parent (0 is genesis) and its difficulty.
fn blocks() -> impl Strategy<Value = Vec<(prop::sample::Index, u64)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1u64..5), 1..30)
}

proptest! {
    #[test]
    fn head_does_not_depend_on_the_order_of_arrival(
        shape in blocks(),
        orders in prop::collection::vec(prop::collection::vec(any::<u32>(), 30), 3),
    ) {
        let mut all = vec![genesis()];
        for (salt, (parent, difficulty)) in (0u8..).zip(&shape) {
            let parent = all[parent.index(all.len())].clone();
            all.push(block(&parent, *difficulty, salt));
        }
        let heaviest = heaviest(&all);
        for order in orders {
            // The priorities give an order in which parents precede children.
            let spec = PowSpec { reorg_limit: 1_000, ..spec() };
            let mut node = Harness::new(spec, local());
            node.say(Input::Start);
            let mut waiting: Vec<(u32, &SealedHeader)> =
                order.iter().copied().zip(&all[1..]).collect();
            waiting.sort_unstable_by_key(|(priority, header)| (*priority, header.hash()));
            while let Some(at) =
                waiting.iter().position(|(_, h)| node.tree.contains(h.parent_hash))
            {
                let (_, header) = waiting.remove(at);
                let (head, finalized) = (node.tree.head().clone(), node.tree.finalized());
                node.block(header.clone());
                let (now, after) = (node.tree.head(), node.tree.finalized());
                prop_assert!(node.tree.is_canonical(after.1));
                let due = now.number.saturating_sub(3);
                prop_assert!(due <= after.0 && after.0 <= due.max(finalized.0));
                // Finality goes back only if a reorganization removed the block.
                prop_assert!(after.0 >= finalized.0 || !node.tree.is_canonical(finalized.1));
                if now.hash() == head.hash() {
                    prop_assert_eq!(after, finalized);
                }
            }
            prop_assert!(waiting.is_empty());
            prop_assert_eq!(node.tree.head().hash(), heaviest);
        }
    }
}

/// The head by definition: greatest sum of difficulties, then smallest hash.
fn heaviest(all: &[SealedHeader]) -> B256 {
    let mut totals: BTreeMap<B256, u64> = BTreeMap::new();
    for header in all {
        let own = if header.number == 0 { 0 } else { header.difficulty.to() };
        let total = totals.get(&header.parent_hash).copied().unwrap_or_default() + own;
        totals.insert(header.hash(), total);
    }
    let best = totals.values().max().expect("genesis");
    *totals.iter().find(|(_, total)| *total == best).expect("it is one of them").0
}
