//! Compact blocks: rebuilt from the pool, completed by the announcer, or fetched whole.

use super::{
    forge::{Forge, after, transfer},
    world::{World, secs},
};
use crate::relay::{SMALL_BODY, compact};
use kette_types::{B256, Block, Message, Transaction};
use std::{sync::Arc, time::Duration};

struct Scene {
    world: World,
    forge: Forge,
    block: Block,
    transactions: Vec<Transaction>,
}

/// A node with the first `known` of a block's `n` transactions in its pool.
fn scene(n: u64, known: usize) -> Scene {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let transactions: Vec<_> = (0..n).map(|nonce| transfer(0, nonce)).collect();
    let block = forge.on(forge.genesis, &after(12).with(transactions.clone()));
    for transaction in &transactions[..known] {
        world.submit(0, transaction).unwrap();
    }
    Scene { world, forge, block, transactions }
}

fn announce(world: &mut World, block: &Block) -> usize {
    let p = world.quiet(0);
    world.hear(p);
    world.say(p, Message::NewBlock(Box::new(compact(block))));
    world.run(Duration::from_millis(10));
    p
}

fn missing(heard: &[Arc<Message>]) -> Option<Vec<u32>> {
    heard.iter().find_map(|m| match &**m {
        Message::GetBlockTransactions { indexes, .. } => Some(indexes.clone()),
        _ => None,
    })
}

fn bodies(heard: &[Arc<Message>]) -> Option<(u64, Vec<B256>)> {
    heard.iter().find_map(|m| match &**m {
        Message::GetBodies { id, hashes } => Some((*id, hashes.clone())),
        _ => None,
    })
}

#[test]
fn a_block_of_known_transactions_needs_no_question() {
    let Scene { mut world, block, .. } = scene(20, 20);
    let p = announce(&mut world, &block);
    assert_eq!(world.head(0), block.hash());
    let heard = world.hear(p);
    assert!(missing(&heard).is_none() && bodies(&heard).is_none());
    assert_eq!(world.node(0).counters.compact_hits, 1);
    assert!(world.pool(0).is_empty());
    world.check(0);
}

#[test]
fn what_is_missing_is_asked_of_the_announcer() {
    for known in [19, 0] {
        let Scene { mut world, block, transactions, .. } = scene(20, known);
        let p = announce(&mut world, &block);
        let wanted: Vec<u32> = (known as u32..20).collect();
        assert_eq!(missing(&world.hear(p)), Some(wanted));
        let (hash, rest) = (block.hash(), transactions[known..].to_vec());
        world.say(p, Message::BlockTransactions { block: hash, transactions: rest });
        world.run(Duration::from_millis(10));
        assert_eq!(world.head(0), hash);
        assert!(world.blamed(p).is_empty());
        world.check(0);
    }
}

#[test]
fn wrong_transactions_lead_to_the_whole_body() {
    for wrong in [vec![transfer(1, 0)], vec![], vec![transfer(1, 0), transfer(1, 1)]] {
        let Scene { mut world, forge, block, .. } = scene(5, 4);
        let p = announce(&mut world, &block);
        assert_eq!(missing(&world.hear(p)), Some(vec![4]));
        world.say(p, Message::BlockTransactions { block: block.hash(), transactions: wrong });
        world.run(Duration::from_millis(10));
        assert!(!world.node(0).tree().contains(block.hash()));
        let (_, hashes) = bodies(&world.puppets[p].inbox).expect("asks for the body");
        assert_eq!(hashes, [block.hash()]);
        world.serve(p, &forge, block.hash(), secs(1));
        assert_eq!(world.head(0), block.hash());
        assert!(world.blamed(p).is_empty(), "{:?}", world.blamed(p));
    }
}

#[test]
fn a_silent_announcer_costs_two_seconds_if_there_is_another() {
    let Scene { mut world, forge, block, .. } = scene(5, 2);
    let silent = announce(&mut world, &block);
    let other = announce(&mut world, &block);
    assert!(missing(&world.hear(other)).is_none(), "one is asked at a time");
    world.serve(other, &forge, block.hash(), secs(3));
    assert_eq!(world.head(0), block.hash());
    assert_eq!(world.blamed(silent), [kette_types::Fault::Timeout]);
    assert!(world.blamed(other).is_empty());
}

#[test]
fn an_announcer_that_hangs_up_is_replaced_at_once() {
    let Scene { mut world, forge, block, .. } = scene(5, 2);
    let gone = announce(&mut world, &block);
    let other = announce(&mut world, &block);
    world.hang_up(gone);
    world.serve(other, &forge, block.hash(), Duration::from_millis(200));
    assert_eq!(world.head(0), block.hash());
}

#[test]
fn a_block_of_which_much_is_missing_is_fetched_whole() {
    let n = SMALL_BODY as u64 + 10;
    let Scene { mut world, forge, block, .. } = scene(n, 3);
    let p = announce(&mut world, &block);
    let heard = &world.puppets[p].inbox;
    assert!(missing(heard).is_none() && bodies(heard).is_some());
    world.serve(p, &forge, block.hash(), secs(1));
    assert_eq!(world.head(0), block.hash());
    world.check(0);
}

/// A node whose head is as heavy as the first of three blocks on another branch, and wins against it.
fn beside_a_branch() -> (World, Forge, Vec<Block>) {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let own = forge.on(forge.genesis, &after(12));
    let lost = |nonce| after(12).with(vec![transfer(0, 0)]).by(nonce);
    let first = (1..).map(|i| forge.on(forge.genesis, &lost(i))).find(|b| b.hash() > own.hash());
    let first = first.expect("one hash in two");
    let second = forge.on(first.hash(), &after(12));
    let third = forge.on(second.hash(), &after(12).with(vec![transfer(0, 1)]));
    world.feed(0, std::slice::from_ref(&own));
    assert_eq!(world.head(0), own.hash());
    (world, forge, vec![first, second, third])
}

#[test]
fn what_a_whole_block_stands_on_is_fetched() {
    let (mut world, forge, branch) = beside_a_branch();
    let p = announce(&mut world, &branch[0]);
    assert!(missing(&world.hear(p)).is_some());
    // It does not answer; the block would not win, so nobody is asked for it.
    world.run(secs(3));
    assert!(bodies(&world.hear(p)).is_none());
    // The next one is whole as it comes, and does not fit anywhere yet. The third lacks a transaction again.
    for block in &branch[1..] {
        world.say(p, Message::NewBlock(Box::new(compact(block))));
    }
    world.serve(p, &forge, branch[2].hash(), secs(10));
    assert_eq!(world.head(0), branch[2].hash(), "{}", world.describe());
    world.check(0);
}

#[test]
fn a_body_from_a_stranger_is_nothing() {
    let Scene { mut world, block, transactions, .. } = scene(5, 2);
    let p = announce(&mut world, &block);
    let stranger = world.quiet(0);
    let rest = transactions[2..].to_vec();
    let message = Message::BlockTransactions { block: block.hash(), transactions: rest };
    world.say(stranger, message.clone());
    assert!(!world.node(0).tree().contains(block.hash()));
    world.say(p, message);
    world.run(Duration::from_millis(10));
    assert_eq!(world.head(0), block.hash());
}

#[test]
fn a_request_for_one_transaction_many_times_gets_nothing() {
    let Scene { mut world, block, .. } = scene(5, 5);
    world.feed(0, std::slice::from_ref(&block));
    let p = world.quiet(0);
    let mut ask = |indexes: Vec<u32>| {
        world.hear(p);
        world.say(p, Message::GetBlockTransactions { block: block.hash(), indexes });
        let heard = world.hear(p);
        let answer = heard.iter().find_map(|m| match &**m {
            Message::BlockTransactions { transactions, .. } => Some(transactions.len()),
            _ => None,
        });
        answer.expect("it answers")
    };
    assert_eq!(ask(vec![0, 3, 4]), 3);
    assert_eq!(ask(vec![0; 60_000]), 0);
    assert_eq!(ask(vec![1, 0]), 0);
    assert_eq!(ask(vec![5]), 0);
}
