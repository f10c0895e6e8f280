//! The selfish pool among real nodes. That its strategy is the paper's is tested beside it.

use super::scene::{Scene, actor, honest, scene};
use crate::scenario::Misbehaviour;
use kette_node::Event;

fn network(seed: u64, pool: u64, others: u64) -> Scene {
    let parts = [
        actor(Misbehaviour::SelfishMiner, &[]).mining(pool),
        honest(&[0]).mining(others / 2),
        honest(&[0, 1]).mining(others / 2),
    ];
    scene(seed, false, &parts).started()
}

/// Returns canonical blocks of the pool and of all.
fn canonical(scene: &Scene) -> (u64, u64) {
    let node = scene.world.hosts[1].node().unwrap();
    let beneficiary = scene.world.hosts[0].config.local.beneficiary;
    let chain = node.tree().reader();
    let (mut own, mut all) = (0, 0);
    let mut hash = node.tree().head().hash();
    while let Some(header) = chain.header(hash).unwrap().filter(|header| header.number > 0) {
        own += u64::from(header.beneficiary == beneficiary);
        all += 1;
        hash = header.parent_hash;
    }
    (own, all)
}

#[test]
fn a_selfish_pool_earns_what_the_paper_says() {
    let mut scene = network(5, 400, 600);
    scene.run(1_500);
    let (own, all) = canonical(&scene);
    assert!(all > 500, "{all}");
    let share = own as f64 / all as f64;
    // R(0.4, 1/2) = 0.484; the standard deviation of this many blocks is about 0.03.
    assert!((share - 0.484).abs() < 0.09, "{own} of {all}");
    let seen = scene.seen.borrow();
    let deepest = seen.events.iter().filter_map(|(host, event)| match event {
        Event::Head { depth, .. } if *host != 0 => Some(*depth),
        _ => None,
    });
    assert!(deepest.max().unwrap() >= 2, "others lose more than a block at a time");
    drop(seen);
    assert!((1..3).all(|host| scene.blamed(host, 0).is_empty()), "it breaks no rule");
    scene.honest_trust_each_other();
    assert_eq!(scene.height(0), scene.height(1));
}

#[test]
fn a_small_pool_keeps_nobody_from_the_chain() {
    let mut scene = network(6, 100, 900);
    scene.run(600);
    let (own, all) = canonical(&scene);
    assert!(own > 0 && own * 8 < all, "{own} of {all}");
}

#[test]
fn a_pool_comes_back_from_a_crash() {
    let mut scene = network(7, 500, 500);
    scene.run(200);
    scene.world.crash(0, crate::disk::Loss::Unsynced);
    scene.run(30);
    scene.world.start(0);
    let before = canonical(&scene).0;
    scene.run(200);
    assert!(canonical(&scene).0 > before + 10, "it mines on");
    scene.honest_trust_each_other();
}

#[test]
fn an_operator_switches_the_pool_off() {
    let mut scene = network(8, 500, 500);
    scene.run(100);
    scene.world.mine(0, false);
    scene.run(20);
    let before = canonical(&scene);
    scene.run(200);
    let after = canonical(&scene);
    assert!(after.0 <= before.0 + 1, "what it withheld may come out, nothing else: {after:?}");
    assert!(after.1 > before.1 + 10);
}
