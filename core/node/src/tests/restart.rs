//! Crashes at any output: what a restart finds, and that nothing a client was told of is lost.

use super::{
    forge::{Forge, after, transfer},
    world::{World, secs},
};
use crate::Reply;
use kette_chain::ChainReader;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn a_node_that_crashes_anywhere_comes_back_and_catches_up() {
    for seed in 0..12 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(3);
        world.mesh();
        (0..3).for_each(|i| world.mine(i, true));
        let mut nonce = 0;
        for _ in 0..6 {
            let victim = rng.random_range(0..3);
            world.hosts[victim].crash_in = Some(rng.random_range(0..60));
            for _ in 0..rng.random_range(0..4) {
                let alive = (victim + 1) % 3;
                world.submit(alive, &transfer(0, nonce)).unwrap();
                nonce += 1;
            }
            world.run(secs(rng.random_range(5..90)));
            if world.hosts[victim].node.is_some() {
                world.crash(victim);
            }
            world.run(secs(rng.random_range(0..20)));
            world.start(victim);
            world.mine(victim, true);
            world.check(victim);
        }
        (0..3).for_each(|i| world.mine(i, false));
        world.run_until("one chain", secs(120), World::agree);
        (0..3).for_each(|i| world.check(i));
        assert!((0..3).all(|i| world.faults(i).is_empty()), "seed {seed}: {:?}", world.faults(0));
    }
}

#[test]
fn a_crash_during_a_reorganization_leaves_one_of_the_two_heads() {
    let mut heads = std::collections::BTreeSet::new();
    for outputs in 0..40 {
        let mut world = World::new(1);
        let mut forge = Forge::new(&world.spec);
        let losers = forge.chain(forge.genesis, 10, &after(12).by(1));
        let winners = forge.chain(forge.genesis, 11, &after(12).by(2));
        world.feed(0, &losers);
        world.feed(0, &winners[..10]);
        world.hosts[0].crash_in = Some(outputs);
        world.feed(0, &winners[10..]);
        if world.hosts[0].node.is_some() {
            world.crash(0);
        }
        world.start(0);
        world.check(0);
        let best = winners[9].hash().min(losers[9].hash());
        assert!([best, winners[10].hash()].contains(&world.head(0)));
        heads.insert(world.head(0) == winners[10].hash());
        // What is missing comes again.
        world.feed(0, &winners[10..]);
        assert_eq!(world.head(0), winners[10].hash());
        world.check(0);
    }
    assert_eq!(heads.len(), 2, "both outcomes occur");
}

#[test]
fn transactions_of_clients_survive_and_those_in_blocks_are_forgotten() {
    let mut world = World::new(1);
    for nonce in 0..10 {
        let reply = world.submit(0, &transfer(0, nonce)).unwrap();
        assert!(matches!(reply, Reply::Transaction(_)));
    }
    world.crash(0);
    world.start(0);
    assert_eq!(world.pool(0).len(), 10);
    world.mine(0, true);
    world.run_until("blocks", secs(300), |w| w.pool(0).is_empty());
    assert_eq!(world.hosts[0].disk.pending(), 0);
    world.crash(0);
    world.start(0);
    assert_eq!(world.pool(0).len(), 0);
}

#[test]
fn what_a_crash_left_as_pending_and_is_in_a_block_is_cleaned_up() {
    for outputs in 0..12 {
        let mut world = World::new(1);
        let mut forge = Forge::new(&world.spec);
        let transaction = transfer(0, 0);
        let block = forge.on(forge.genesis, &after(12).with([transaction.clone()]));
        world.submit(0, &transaction).unwrap();
        world.hosts[0].crash_in = Some(outputs);
        world.feed(0, std::slice::from_ref(&block));
        if world.hosts[0].node.is_some() {
            world.crash(0);
        }
        world.start(0);
        let included = world.head(0) == block.hash();
        assert_eq!(world.hosts[0].disk.pending(), usize::from(!included), "at {outputs}");
        assert_eq!(world.pool(0).len(), usize::from(!included));
        let writes = world.hosts[0].disk.writes();
        world.run(secs(5));
        assert_eq!(world.hosts[0].disk.writes(), writes, "an idle node writes nothing");
    }
}

#[test]
fn a_clean_stop_makes_the_newest_final_state_durable() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    world.feed(0, &forge.chain(forge.genesis, 20, &after(12)));
    assert_eq!(world.hosts[0].disk.checkpoint().0, 0);
    let outputs = world.node_mut(0).stop();
    for output in outputs {
        if let crate::Output::Persist(batch) = output {
            world.hosts[0].disk.apply(&batch);
        }
    }
    assert_eq!(world.hosts[0].disk.checkpoint().0, 14);
    world.check(0);
    let disk = &world.hosts[0].disk;
    assert!(disk.canonical(20).unwrap().is_some() && disk.canonical(21).unwrap().is_none());
}
