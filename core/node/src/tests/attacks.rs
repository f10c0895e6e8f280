//! What strangers can make a node keep or do, and how little that is.

use super::{
    forge::{Forge, after, transfer},
    world::{World, secs},
};
use crate::relay::compact;
use kette_types::{Address, B256, Block, Message, PeerId, message::CompactBlock};
use std::collections::BTreeSet;

/// Everybody who is connected and asked for something.
fn asked_for_bodies(world: &mut World, p: usize) -> usize {
    world.hear(p).iter().filter(|m| matches!(***m, Message::GetBodies { .. })).count()
}

#[test]
fn announcements_without_work_cost_a_session_each_and_nothing_is_kept() {
    let mut world = World::new(1);
    let forge = Forge::new(&world.spec);
    for n in 0..20u8 {
        let block = forge.spoilt(forge.genesis, &after(12), |h, _| {
            h.beneficiary = Address::repeat_byte(n);
            h.difficulty = alloy_primitives::U256::from(1);
        });
        let p = world.quiet(0);
        world.say(p, Message::NewBlock(Box::new(compact(&block))));
        assert!(world.puppets[p].closed.is_some());
        assert_eq!(asked_for_bodies(&mut world, p), 0);
    }
    assert_eq!(world.node(0).tree().len(), 1);
    assert!(!world.node(0).importer.has_work());
}

#[test]
fn a_public_header_with_false_short_ids_delays_a_block_by_one_time_out_at_most() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let block = forge.on(forge.genesis, &after(12).with([transfer(0, 0)]));
    let thief = world.quiet(0);
    let header = block.header.clone();
    let message = CompactBlock { header, short_ids: vec![7; 40] };
    world.say(thief, Message::NewBlock(Box::new(message)));
    let honest = world.quiet(0);
    world.say(honest, Message::NewBlock(Box::new(compact(&block))));
    world.serve(honest, &forge, block.hash(), secs(3));
    assert_eq!(world.head(0), block.hash(), "{}", world.describe());
    assert!(world.blamed(honest).is_empty());
}

#[test]
fn blocks_from_the_future_are_kept_once_and_within_bounds() {
    let mut world = World::new(1);
    let forge = Forge::new(&world.spec);
    let parent = forge.block(forge.genesis).unwrap().header.timestamp;
    let p = world.quiet(0);
    for n in 0..300u64 {
        let seconds = world.now.as_secs() + 200 - parent;
        let block = forge.spoilt(forge.genesis, &after(seconds), |h, _| {
            h.beneficiary = Address::from_word(B256::from(alloy_primitives::U256::from(n)));
        });
        for _ in 0..2 {
            world.say(p, Message::NewBlock(Box::new(compact(&block))));
        }
        world.hear(p);
    }
    assert!(world.node(0).importer.waiting() <= 256);
    assert_eq!(world.node(0).tree().len(), 1);
    // Honest blocks go on meanwhile.
    let mut forge = forge;
    let block = forge.on(forge.genesis, &after(12));
    let honest = world.quiet(0);
    world.say(honest, Message::NewBlock(Box::new(compact(&block))));
    assert_eq!(world.head(0), block.hash());
}

#[test]
fn a_withheld_parent_does_not_fill_the_importer_for_ever() {
    let mut world = World::with(1, &serde_json::json!({ "reorgLimit": 10 }), |_, _| {});
    let mut forge = Forge::new(&world.spec);
    let hidden = forge.on(forge.genesis, &after(12).by(1));
    let child = forge.on(hidden.hash(), &after(12).by(1));
    let p = world.quiet(0);
    // Its header is known and its child is here, but its transactions never come.
    world.say(p, Message::NewBlock(Box::new(compact(&child))));
    for message in world.hear(p) {
        if matches!(*message, Message::GetHeaders { .. }) {
            let answer = forge.answer(child.hash(), &message).unwrap();
            world.say(p, answer);
        }
    }
    world.say(p, Message::NewBlock(Box::new(compact(&child))));
    assert_eq!(world.node(0).importer.staged(), 1);
    let own: Vec<Block> = forge.chain(forge.genesis, 40, &after(12).by(2));
    world.feed(0, &own);
    assert_eq!(world.head(0), own[39].hash());
    assert_eq!(world.node(0).importer.staged(), 0, "below the horizon it is given up");
}

#[test]
fn the_same_peer_twice_is_one_peer() {
    let mut world = World::new(1);
    let ids: BTreeSet<PeerId> = (0..10)
        .map(|_| {
            let p = world.quiet(0);
            world.puppets[p].id
        })
        .collect();
    assert_eq!(ids.len(), world.node(0).peers.count());
    world.run(secs(60));
    assert_eq!(world.node(0).peers.count(), 0, "silent sessions end");
}
