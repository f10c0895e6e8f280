//! Actors that lie with blocks.

use super::scene::{Scene, actor, honest, scene, transfer};
use crate::{
    byzantine::{flaw::Flaw, invalid_block_maker::InvalidBlockMaker, wrapped},
    scenario::Misbehaviour,
};
use kette_node::Event;
use kette_types::{DisconnectReason, Message};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn an_equivocator_shows_two_valid_blocks_of_one_height() {
    let parts = [
        actor(Misbehaviour::Equivocator, &[]).mining(100),
        honest(&[0]),
        honest(&[0, 1]),
        honest(&[0, 2]),
        honest(&[0, 3]),
    ];
    let mut scene = scene(1, false, &parts).started();
    scene.run(20);
    scene.world.submit(0, transfer(0, 0));
    scene.run_until("six blocks", |s| s.height(1) >= 6);
    scene.run(5);
    let mut by_number: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (number, hash, to) in scene.announced(0) {
        by_number.entry(number).or_default().push((hash, to));
    }
    let mut both = 0;
    for (number, shown) in by_number {
        let [(a, to_a), (b, to_b)] = &shown[..] else { continue };
        assert_ne!(a, b, "{number}");
        assert!(to_a.iter().all(|peer| !to_b.contains(peer)), "{number}: one block to each peer");
        assert_eq!(to_a.len().abs_diff(to_b.len()), 0, "{number}: halves");
        let attached = |hash| scene.world.blocks.get(hash).is_some_and(|b| b.reached.len() > 1);
        both += usize::from(attached(a) && attached(b));
    }
    assert!(both >= 3, "both blocks are valid to honest nodes, {both} times");
    let head = scene.head(1);
    assert!((2..5).all(|host| scene.head(host) == head), "fork choice brings the halves together");
    assert!((1..5).all(|host| scene.blamed(host, 0).is_empty()), "nobody broke a rule");
    scene.honest_trust_each_other();
}

#[test]
fn a_withholder_announces_and_never_hands_out() {
    let parts =
        [actor(Misbehaviour::Withholder, &[1]).mining(300), honest(&[]), honest(&[1]).mining(100)];
    let mut scene = scene(2, false, &parts).started();
    scene.run(15);
    let own = transfer(0, 0);
    let hash = *own.inner().tx_hash();
    scene.world.submit(0, own);
    scene.run(600);
    let said = scene.sent(0);
    let hands_out = |m: &Message| {
        matches!(
            m,
            Message::Headers { .. }
                | Message::Bodies { .. }
                | Message::BlockTransactions { .. }
                | Message::Transactions(_)
                | Message::NewTransactions(_)
        )
    };
    assert!(said.iter().all(|(_, message)| !hands_out(message)));
    assert!(!scene.announced(0).is_empty(), "it announces");
    let pool = scene.world.hosts[1].node().unwrap().mempool();
    assert!(!pool.contains(hash), "nobody else heard of its transaction");
    assert!(scene.blamed(1, 0).contains(&"timeout"), "{:?}", scene.blamed(1, 0));
    // The others' chain goes on without it.
    assert!(scene.height(1) > 20 && scene.height(1).abs_diff(scene.height(2)) <= 1);
    scene.honest_trust_each_other();
}

#[test]
fn a_delayer_is_late_and_breaks_no_rule() {
    let parts = [actor(Misbehaviour::Delayer, &[]), honest(&[0]).mining(20), honest(&[0])];
    let mut scene = scene(3, false, &parts).started();
    scene.run(600);
    let delays: Vec<u64> = scene
        .world
        .blocks
        .values()
        .flat_map(|block| block.reached.iter().filter(|(host, _)| *host == 2))
        .map(|(_, micros)| micros / 1_000)
        .collect();
    assert!(delays.len() >= 5, "{delays:?}");
    assert!(delays.iter().all(|ms| *ms >= 1_000), "{delays:?}");
    assert!(
        scene.blamed(2, 0).is_empty() && scene.ended(2, 0).is_empty(),
        "{:?}",
        scene.ended(2, 0)
    );
}

#[test]
fn an_honest_node_refuses_each_flaw_and_bans_its_maker() {
    for flaw in Flaw::ALL {
        refused(flaw);
    }
}

fn refused(flaw: Flaw) {
    // The second node mines and hears the actor; the third hears only the second.
    let parts = [honest(&[1]).mining(1), honest(&[]).mining(100), honest(&[1])];
    let mut scene = scene(4, false, &parts);
    scene.world.start(1);
    scene.world.start(2);
    scene.run_until("a median of eleven", |s| s.height(1) >= 12);
    scene.start_with(0, |node, setup| wrapped(node, InvalidBlockMaker::with(setup, &[flaw])));
    scene.world.mine(1, false);
    scene.run_until("it is in sync", |s| s.head(0) == s.head(1));
    let transactions = [transfer(0, 0), transfer(1, 0)];
    for transaction in &transactions {
        scene.world.submit(1, transaction.clone());
    }
    scene.run(2);
    let head = scene.head(1);
    scene.world.set_rate(0, 100_000);
    scene.run(20);
    let announced = scene.announced(0);
    let Some((_, bad, _)) = announced.first() else { panic!("{flaw:?}: nothing announced") };
    let kinds = scene.blamed(1, 0);
    match expected(flaw) {
        Some(kind) => {
            assert_eq!(kinds, [kind], "{flaw:?}");
            assert!(scene.ended(1, 0).contains(&DisconnectReason::Banned), "{flaw:?}");
        }
        // It cannot hand out headers of what it does not believe itself.
        None => assert!(kinds.iter().all(|kind| *kind == "false_claim"), "{flaw:?}: {kinds:?}"),
    }
    assert_eq!(scene.head(1), head, "{flaw:?}");
    let node = scene.world.hosts[1].node().unwrap();
    assert!(!node.tree().contains(*bad), "{flaw:?}");
    assert!(!scene.world.blocks.contains_key(bad), "{flaw:?}");
    assert!(!scene.announced(1).iter().any(|(_, hash, _)| hash == bad), "{flaw:?}: passed on");
    for transaction in &transactions {
        assert!(
            node.mempool().contains(*transaction.inner().tx_hash()),
            "{flaw:?}: the pool is as it was"
        );
    }
    let seen = scene.seen.borrow();
    let alarm = seen.events.iter().find(|(_, event)| matches!(event, Event::Alarm(_)));
    assert!(alarm.is_none(), "{flaw:?}: {alarm:?}");
    drop(seen);
    // Nothing else happened: the chain goes on.
    scene.world.mine(1, true);
    scene.run_until("the next block", |s| s.head(2) != head && s.head(2) == s.head(1));
    assert_eq!(scene.blamed(2, 1), Vec::<&str>::new(), "{flaw:?}");
}

/// The fault that an honest node must find; `None` if the block may become valid.
const fn expected(flaw: Flaw) -> Option<&'static str> {
    match flaw {
        Flaw::StateRoot
        | Flaw::ReceiptsRoot
        | Flaw::Bloom
        | Flaw::GasUsed
        | Flaw::DoubleReward
        | Flaw::Beneficiary
        | Flaw::TransactionLeftOut
        | Flaw::TransactionTwice
        | Flaw::BadSignature
        | Flaw::NonceGap => Some("invalid_block"),
        Flaw::TransactionsRoot => Some("body_mismatch"),
        Flaw::FarFuture => None,
        _ => Some("invalid_header"),
    }
}

#[test]
fn an_invalid_block_maker_draws_its_flaws() {
    let mut kinds = BTreeSet::new();
    for seed in 0..12 {
        let parts =
            [actor(Misbehaviour::InvalidBlockMaker, &[1]).mining(1_000), honest(&[]).mining(100)];
        let mut scene = scene(seed, false, &parts).started();
        scene.run(60);
        assert!(!scene.announced(0).is_empty());
        kinds.extend(scene.blamed(1, 0));
        let produced = |scene: &Scene| {
            let seen = scene.seen.borrow();
            seen.events
                .iter()
                .filter(|(h, e)| *h == 0 && matches!(e, Event::Produced { .. }))
                .count()
        };
        assert_eq!(produced(&scene), 0, "it never seals a valid block");
    }
    assert!(kinds.contains("invalid_header") && kinds.contains("invalid_block"), "{kinds:?}");
}
