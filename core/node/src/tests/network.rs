//! Honest nodes: mining, agreement, relay, late joiners, partitions.

use super::{
    forge::{Forge, after, transfer, who},
    world::{World, secs},
};
use kette_types::U256;
use std::time::Duration;

fn mine_and_agree(n: usize, blocks: u64) -> World {
    let mut world = World::new(n);
    world.mesh();
    for i in 0..n {
        world.mine(i, true);
    }
    world.run_until("blocks", secs(blocks * 60), |w| w.height(0) >= blocks);
    for i in 0..n {
        world.mine(i, false);
    }
    world.run(secs(5));
    assert!(world.agree(), "{}", world.describe());
    for i in 0..n {
        assert!(world.faults(i).is_empty(), "{:?}", world.faults(i));
        world.check(i);
    }
    world
}

#[test]
fn two_nodes_mine_and_agree() {
    let world = mine_and_agree(2, 60);
    let by = |i: usize| {
        let state = &world.node(0).tree().head_block().state;
        let miner = kette_types::Address::repeat_byte(i as u8 + 1);
        state.account(miner).unwrap().is_some_and(|account| account.balance > U256::ZERO)
    };
    assert!(by(0) && by(1), "both are paid");
    assert!(world.node(0).tree().finalized().0 >= 54);
}

#[test]
fn five_nodes_mine_and_agree() {
    mine_and_agree(5, 40);
}

#[test]
fn ten_nodes_mine_and_agree() {
    mine_and_agree(10, 25);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (a, b) = (mine_and_agree(3, 10), mine_and_agree(3, 10));
    assert_eq!(a.trace, b.trace);
    assert_ne!(a.trace, mine_and_agree(3, 11).trace);
}

#[test]
fn a_late_joiner_gets_headers_blocks_and_the_pending_set() {
    let mut world = World::new(3);
    world.link(0, 1);
    world.mine(0, true);
    world.run_until("a chain", secs(3_000), |w| w.height(1) >= 80);
    world.mine(0, false);
    world.run(secs(2));
    for nonce in 0..20 {
        world.submit(0, &transfer(0, nonce)).unwrap();
    }
    world.link(2, 1);
    world.run_until("the joiner", secs(30), |w| w.agree() && w.pool(2).len() == 20);
    assert_eq!(world.pool(1).len(), 20);
    assert!(world.count(2, |e| matches!(e, crate::Event::Synced { .. })) == 1);
    (0..3).for_each(|i| world.check(i));
    assert!((0..3).all(|i| world.faults(i).is_empty()));
}

#[test]
fn a_line_relays_fast_blocks_to_its_end() {
    let mut world = World::new(5);
    world.line();
    world.run(secs(2));
    let mut forge = Forge::new(&world.spec);
    let blocks = forge.chain(forge.genesis, 100, &after(12));
    for block in &blocks {
        world.feed(0, std::slice::from_ref(block));
    }
    world.run_until("the end", secs(20), |w| w.height(4) == 100);
    assert!(world.agree());
    (0..5).for_each(|i| world.check(i));
    assert!((0..5).all(|i| world.faults(i).is_empty()), "{:?}", world.faults(1));
}

#[test]
fn transactions_submitted_on_one_reach_all_and_are_mined() {
    let mut world = World::new(4);
    world.line();
    world.run(secs(2));
    for n in 0..4 {
        for nonce in 0..25 {
            world.submit(usize::from(n), &transfer(n, nonce)).unwrap();
        }
    }
    world.run_until("all pools", secs(10), |w| (0..4).all(|i| w.pool(i).len() == 100));
    world.mine(3, true);
    world.run_until("empty pools", secs(300), |w| (0..4).all(|i| w.pool(i).is_empty()));
    world.mine(3, false);
    world.run(secs(2));
    for i in 0..4 {
        let state = &world.node(i).tree().head_block().state;
        assert_eq!(state.account(who(0)).unwrap().unwrap().nonce, 25);
        assert_eq!(world.hosts[i].disk.pending(), 0, "nothing is kept as pending");
        world.check(i);
    }
}

#[test]
fn halves_that_mined_apart_become_one_after_the_heal() {
    let mut world = World::new(6);
    world.mesh();
    world.run(secs(2));
    for a in 0..3 {
        for b in 3..6 {
            world.cut(a, b);
        }
    }
    (0..6).for_each(|i| world.mine(i, true));
    world.run_until("two branches", secs(3_000), |w| w.height(0) >= 15 && w.height(5) >= 15);
    assert_ne!(world.head(0), world.head(5));
    world.heal();
    world.run_until("one chain", secs(120), World::agree);
    let height = world.height(0);
    world.run_until("more blocks", secs(1_000), |w| w.height(0) > height + 8);
    (0..6).for_each(|i| world.mine(i, false));
    world.run(Duration::from_secs(5));
    assert!(world.agree(), "{}", world.describe());
    (0..6).for_each(|i| world.check(i));
    assert!((0..6).all(|i| world.faults(i).is_empty()));
}
