//! Fork choice as a whole node does it: which branch wins, what a reorganization gives back, and what the
//! disk says afterwards.

use super::{
    forge::{self, Forge, Recipe, after, dynamic, key, sign, transfer, who},
    world::{World, secs},
};
use alloy_primitives::TxKind;
use kette_consensus::Command;
use kette_types::{Address, B256, Block, Message, Transaction, U256};
use proptest::prelude::*;
use std::{cmp::Reverse, sync::Arc, time::Duration};

fn last(blocks: &[Block]) -> B256 {
    blocks.last().unwrap().hash()
}

#[test]
fn a_heavier_but_shorter_branch_wins() {
    let mut world = World::new(2);
    let mut forge = Forge::new(&world.spec);
    let light = forge.chain(forge.genesis, 20, &after(60));
    let heavy = forge.chain(forge.genesis, 12, &after(1));
    assert!(forge.weight(last(&heavy)) > forge.weight(last(&light)));
    world.feed(0, &light);
    assert_eq!(world.height(0), 20);
    world.feed(0, &heavy);
    world.feed(1, &heavy);
    world.feed(1, &light);
    for i in 0..2 {
        assert_eq!(world.head(i), last(&heavy));
        world.check(i);
    }
    assert_eq!(world.node(0).counters.reorg_depth_max, 20);
    assert_eq!(world.node(1).counters.reorgs, 0);
}

#[test]
fn of_equal_weights_the_smaller_hash_wins_on_all_nodes() {
    let mut world = World::new(3);
    let mut forge = Forge::new(&world.spec);
    let a = forge.on(forge.genesis, &after(12).by(1));
    let b = forge.on(forge.genesis, &after(12).by(2));
    world.feed(0, std::slice::from_ref(&a));
    world.feed(1, std::slice::from_ref(&b));
    world.feed(2, &[b.clone(), a.clone()]);
    world.mesh();
    // Nobody claims more than the others, so a node hears of the other block when one is announced.
    let p = world.puppet(0, 1, forge.weight(b.hash()));
    world.say(p, Message::NewBlock(Box::new(crate::relay::compact(&b))));
    let p = world.puppet(1, 1, forge.weight(a.hash()));
    world.say(p, Message::NewBlock(Box::new(crate::relay::compact(&a))));
    world.run(secs(2));
    for i in 0..3 {
        assert_eq!(world.head(i), a.hash().min(b.hash()));
    }
}

#[test]
fn an_equally_heavy_branch_with_a_smaller_hash_is_fetched_when_announced() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let one = forge.chain(forge.genesis, 3, &after(12).by(1));
    let other = forge.chain(forge.genesis, 3, &after(12).by(2));
    let (large, small) = if last(&one) > last(&other) { (one, other) } else { (other, one) };
    world.feed(0, &large);
    let p = world.puppet(0, 3, forge.weight(last(&small)));
    world.say(p, Message::NewBlock(Box::new(crate::relay::compact(small.last().unwrap()))));
    world.serve(p, &forge, last(&small), secs(3));
    assert_eq!(world.head(0), last(&small));
    assert!(world.blamed(p).is_empty());
}

/// A tree as (parent's position, seconds after it); position 0 is genesis.
fn trees() -> impl Strategy<Value = (Vec<(usize, u64)>, u64)> {
    let node = (any::<prop::sample::Index>(), prop::sample::select(vec![1, 6, 12, 40]));
    let tree = prop::collection::vec(node, 1..18).prop_map(|nodes| {
        let near = |i: usize, at: prop::sample::Index| {
            // Mostly near the end, so that branches become long.
            if i > 3 && at.index(4) > 0 { i - at.index(3) } else { at.index(i + 1) }
        };
        nodes.into_iter().enumerate().map(|(i, (at, s))| (near(i, at), s)).collect()
    });
    (tree, any::<u64>())
}

fn grow(forge: &mut Forge, tree: &[(usize, u64)]) -> Vec<Block> {
    let mut hashes = vec![forge.genesis];
    let mut blocks = Vec::new();
    for (i, (parent, seconds)) in tree.iter().enumerate() {
        let block = forge.on(hashes[*parent], &after(*seconds).by(i as u8));
        hashes.push(block.hash());
        blocks.push(block);
    }
    blocks
}

fn winner(forge: &Forge, blocks: &[Block]) -> B256 {
    let rank = |block: &&Block| (forge.weight(block.hash()), Reverse(block.hash()));
    blocks.iter().max_by_key(rank).unwrap().hash()
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    use rand::{SeedableRng, seq::SliceRandom};
    let mut items = items.to_vec();
    items.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    items
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter((tree, seed) in trees()) {
        let mut world = World::new(2);
        let mut forge = Forge::new(&world.spec);
        let blocks = grow(&mut forge, &tree);
        let best = winner(&forge, &blocks);
        world.feed(0, &shuffled(&blocks, seed));
        prop_assert_eq!(world.head(0), best);
        prop_assert!(blocks.iter().all(|b| world.node(0).tree().contains(b.hash())));
        world.check(0);
        // The same from peers that each know one branch and announce only its tip.
        let leaves: Vec<_> = blocks
            .iter()
            .filter(|b| blocks.iter().all(|c| c.header.parent_hash != b.hash()))
            .cloned()
            .collect();
        let mut puppets = Vec::new();
        for leaf in shuffled(&leaves, seed ^ 1) {
            let p = world.quiet(1);
            world.say(p, Message::NewBlock(Box::new(crate::relay::compact(&leaf))));
            puppets.push((p, leaf.hash()));
        }
        world.serve_all(&puppets, &forge, secs(30));
        prop_assert_eq!(world.head(1), best, "{}", world.describe());
        for (p, _) in puppets {
            prop_assert_eq!(world.blamed(p), vec![]);
        }
        world.check(1);
    }
}

fn reorganize(depth: usize) {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let base = forge.chain(forge.genesis, 3, &after(12));
    let mut losers = Vec::new();
    let mut tip = last(&base);
    for nonce in 0..depth as u64 {
        let block = forge.on(tip, &after(12).by(1).with([transfer(0, nonce), transfer(1, nonce)]));
        tip = block.hash();
        losers.push(block);
    }
    let mut winners = vec![forge.on(last(&base), &after(12).by(2).with([transfer(1, 0)]))];
    winners.extend(forge.chain(winners[0].hash(), depth, &after(12).by(2)));
    world.feed(0, &base);
    world.feed(0, &losers);
    assert_eq!(world.head(0), last(&losers));
    world.check(0);
    world.feed(0, &winners);
    assert_eq!(world.head(0), last(&winners));
    assert_eq!(world.node(0).counters.reorg_depth_max, depth as u64);
    // The forge executed the winners from genesis without ever seeing the losers.
    let state = world.node(0).tree().head_block().state.clone();
    assert_eq!(state.root(), forge.state(last(&winners)).root());
    world.check(0);
    assert_eq!(world.pool(0).len(), 2 * depth - 1, "all but the one in both branches come back");
    world.mine(0, true);
    world.run_until("the rest", secs(2_000), |w| w.pool(0).is_empty());
    world.mine(0, false);
    world.run(secs(1));
    let state = &world.node(0).tree().head_block().state;
    for n in 0..2 {
        assert_eq!(state.account(who(n)).unwrap().unwrap().nonce, depth as u64);
    }
    world.check(0);
}

#[test]
fn a_reorganization_of_six_gives_transactions_back() {
    reorganize(6);
}

#[test]
fn reorganizations_of_any_depth_give_transactions_back() {
    for depth in [1, 2, 5, 7, 9, 13, 20, 30] {
        reorganize(depth);
    }
}

fn narrow() -> serde_json::Value {
    serde_json::json!({ "reorgLimit": 10, "finalityDepth": 6 })
}

#[test]
fn a_reorganization_beyond_the_limit_waits_for_the_operator() {
    let mut world = World::with(1, &narrow(), |_, _| {});
    let mut forge = Forge::new(&world.spec);
    let base = forge.chain(forge.genesis, 2, &after(12));
    let own = forge.chain(last(&base), 30, &after(12).by(1));
    let other = forge.chain(last(&base), 30, &after(1).by(2));
    let crossing = other.iter().position(|b| forge.weight(b.hash()) > forge.weight(own[10].hash()));
    let crossing = crossing.unwrap();
    assert!(forge.weight(other[29].hash()) > forge.weight(own[29].hash()));
    world.feed(0, &base);
    world.feed(0, &own[..11]);
    let is_final = world.node(0).tree().finalized();
    world.feed(0, &other[..crossing + 1]);
    assert_eq!(world.head(0), own[10].hash(), "not followed");
    assert_eq!(world.node(0).alarms.len(), 1, "{:?}", world.node(0).alarms);
    world.feed(0, &other[crossing + 1..]);
    assert_eq!(world.node(0).alarms.len(), 1, "one alarm for one branch");
    assert!(other.iter().all(|b| world.node(0).tree().contains(b.hash())));
    // While it waits the chain goes on and nothing becomes final.
    world.feed(0, &own[11..]);
    assert_eq!(world.head(0), last(&own));
    assert_eq!(world.node(0).tree().finalized(), is_final);
    world.check(0);
    world.engine(0, Command::ApproveReorg(last(&other))).unwrap();
    assert_eq!(world.head(0), last(&other));
    assert_eq!(world.node(0).tree().finalized().0, 26, "finality goes on");
    world.check(0);
    let more = forge.chain(last(&other), 12, &after(12).by(2));
    world.feed(0, &more);
    assert_eq!(world.head(0), last(&more));
    world.check(0);
}

#[test]
fn a_branch_that_forks_below_the_horizon_is_not_followed() {
    let mut world = World::with(1, &narrow(), |_, _| {});
    let mut forge = Forge::new(&world.spec);
    let own = forge.chain(forge.genesis, 30, &after(12).by(1));
    let other = forge.chain(forge.genesis, 40, &after(1).by(2));
    world.feed(0, &own);
    let p = world.puppet(0, 40, forge.weight(last(&other)));
    world.serve(p, &forge, last(&other), secs(20));
    assert_eq!(world.head(0), last(&own));
    assert_eq!(world.node(0).alarms.len(), 1, "{:?}", world.node(0).alarms);
    assert!(world.blamed(p).is_empty(), "it may be honest");
    // Headers of our own chain below the horizon are no fork at all, nor are those without work.
    let liar = world.puppet(0, 99, U256::from(u64::MAX));
    world.run(secs(3));
    let id = asked_headers(&mut world, liar);
    let headers = own[..10].iter().map(|b| b.header.clone()).collect();
    world.say(liar, Message::Headers { id, headers });
    assert_eq!(world.node(0).alarms.len(), 1);
}

fn asked_headers(world: &mut World, p: usize) -> u64 {
    let heard = world.hear(p);
    let id = |m: &Arc<Message>| match **m {
        Message::GetHeaders { id, .. } => Some(id),
        _ => None,
    };
    heard.iter().find_map(id).expect("it asks for headers")
}

/// A contract of the first key that holds these slots and no code.
fn hoard(nonce: u64, slots: &[(u8, u8)]) -> Transaction {
    let mut code = Vec::new();
    for (slot, value) in slots {
        code.extend([0x60, *value, 0x60, *slot, 0x55]);
    }
    code.push(0);
    let mut transaction = dynamic(nonce, Address::ZERO, 0);
    transaction.to = TxKind::Create;
    transaction.gas_limit = 500_000;
    transaction.input = code.into();
    sign(&key(0), transaction)
}

fn with_hoards(forge: &mut Forge, parent: B256, n: usize, recipe: &Recipe, salt: u8) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let nonce = forge.state(parent).account(who(0)).unwrap().unwrap().nonce;
    for i in 0..n as u64 {
        let tip = blocks.last().map_or(parent, Block::hash);
        let slots: Vec<(u8, u8)> = (0..4).map(|s| (s, salt + s + i as u8)).collect();
        let recipe = recipe.clone().with([hoard(nonce + i, &slots)]);
        blocks.push(forge.on(tip, &recipe));
    }
    blocks
}

#[test]
fn a_reorganization_below_the_last_checkpoint_commits_right() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let genesis = forge.genesis;
    let base = with_hoards(&mut forge, genesis, 40, &after(12), 1);
    let losers = with_hoards(&mut forge, last(&base), 40, &after(12).by(1), 60);
    let winners = with_hoards(&mut forge, last(&base), 41, &after(12).by(2), 120);
    let more = with_hoards(&mut forge, last(&winners), 60, &after(12).by(3), 180);
    world.feed(0, &base);
    world.feed(0, &losers);
    let (checkpoint, _) = world.hosts[0].disk.checkpoint();
    assert!(checkpoint > 40, "a checkpoint {checkpoint} on the branch that loses");
    world.feed(0, &winners);
    assert_eq!(world.head(0), last(&winners));
    world.check(0);
    for block in &more {
        world.feed(0, std::slice::from_ref(block));
        if block.header.number % 20 == 0 {
            world.check(0);
        }
    }
    let (later, hash) = world.hosts[0].disk.checkpoint();
    assert!(later > 81, "a checkpoint {later} on the branch that won");
    world.crash(0);
    world.start(0);
    assert_eq!(world.head(0), last(&more));
    // Every slot of every contract, read from the disk alone.
    let disk = world.hosts[0].disk.clone();
    let stored = kette_ledger::State::open(disk, forge.state(hash).root());
    let nonces = forge.state(hash).account(who(0)).unwrap().unwrap().nonce;
    for nonce in 0..nonces {
        let contract = who(0).create(nonce);
        for slot in 0..5 {
            let slot = U256::from(slot);
            let expected = forge.state(hash).storage(contract, slot).unwrap();
            assert_eq!(stored.storage(contract, slot).unwrap(), expected);
        }
    }
    world.check(0);
}

#[test]
fn a_branch_may_fork_as_deep_as_the_limit_says_wherever_states_are_stored() {
    let mut world = World::with(1, &serde_json::json!({ "reorgLimit": 20 }), |_, _| {});
    let mut forge = Forge::new(&world.spec);
    let own = with_hoards(&mut forge, world.genesis, 53, &after(12), 1);
    world.feed(0, &own);
    assert!(world.hosts[0].disk.checkpoint().0 < 33, "the horizon lies above the stored state");
    let tip = own[32].hash();
    let side = with_hoards(&mut forge, tip, 21, &after(12).by(2), 90);
    world.feed(0, &side);
    assert_eq!(world.head(0), last(&side), "{}", world.describe());
    world.check(0);
}

#[test]
fn states_of_old_blocks_are_executed_again_when_a_branch_grows_from_them() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let own = forge.chain(forge.genesis, 60, &after(12).by(1));
    world.feed(0, &own);
    world.run(Duration::from_secs(20));
    let side = forge.chain(own[9].hash(), 52, &after(12).by(2));
    world.feed(0, &side[..20]);
    world.crash(0);
    world.start(0);
    assert_eq!(world.head(0), last(&own));
    world.feed(0, &side);
    assert_eq!(world.head(0), last(&side));
    world.check(0);
    assert_eq!(forge::REWARD, 2 * forge::ETHER);
}
