//! Catching up: with honest peers, with peers that stall, lie or trickle, and within bounds.

use super::{
    forge::{Forge, after},
    world::{World, secs},
};
use crate::sync::{GIVE_UP_AFTER, HEADERS_AHEAD_MAX};
use kette_types::{B256, Block, Fault, Message, SealedHeader, U256, limits};
use std::{collections::BTreeMap, time::Duration};

fn long_chain(world: &World, n: usize) -> (Forge, Vec<Block>) {
    let mut forge = Forge::new(&world.spec);
    let blocks = forge.chain(forge.genesis, n, &after(12));
    (forge, blocks)
}

/// How many bodies a node asked for, per block that it got.
fn fetched_per_block(world: &World, i: usize) -> f64 {
    let mut asked: BTreeMap<B256, usize> = BTreeMap::new();
    for hash in &world.hosts[i].asked {
        *asked.entry(*hash).or_default() += 1;
    }
    world.hosts[i].asked.len() as f64 / asked.len() as f64
}

#[test]
fn every_block_is_fetched_about_once_from_eight_honest_peers() {
    let mut world = World::new(9);
    let (_, blocks) = long_chain(&world, 500);
    for i in 0..8 {
        world.feed(i, &blocks);
        world.link(8, i);
    }
    world.run_until("the newcomer", secs(60), |w| w.height(8) == 500);
    let per_block = fetched_per_block(&world, 8);
    assert!(per_block <= 1.1, "{per_block} bodies per block");
    assert!(world.faults(8).is_empty(), "{:?}", world.faults(8));
    world.check(8);
}

#[test]
fn a_peer_that_hangs_up_mid_request_is_replaced_at_once() {
    let mut world = World::new(1);
    let (forge, blocks) = long_chain(&world, 200);
    let tip = blocks[199].hash();
    let leaver = world.puppet(0, 200, forge.weight(tip));
    // It answers for headers and takes requests for bodies with it.
    for message in world.hear(leaver) {
        if let Message::GetHeaders { .. } = *message {
            let answer = forge.answer(tip, &message).unwrap();
            world.say(leaver, answer);
        }
    }
    assert!(world.hear(leaver).iter().any(|m| matches!(**m, Message::GetBodies { .. })));
    let honest = world.puppet(0, 200, forge.weight(tip));
    world.hang_up(leaver);
    world.serve(honest, &forge, tip, secs(3));
    assert_eq!(world.head(0), tip);
    world.check(0);
}

#[test]
fn an_invalid_block_deep_in_a_branch_ends_it_and_blames_its_senders() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let good = forge.chain(forge.genesis, 60, &after(12));
    // Fifty good blocks, then one that lies about the state, then headers on top of it.
    let own = forge.chain(forge.genesis, 49, &after(11).by(1));
    let bad = forge.spoilt(own[48].hash(), &after(11), |h, _| h.state_root = B256::repeat_byte(1));
    forge.pretend(&bad);
    let lies = forge.chain(bad.hash(), 40, &after(6).by(1));
    let (tip, lie) = (good[59].hash(), lies[39].hash());
    assert!(
        forge.weight(lie) > forge.weight(tip) && forge.weight(tip) > forge.weight(own[48].hash())
    );
    let liar = world.puppet(0, 90, forge.weight(lie));
    let honest = world.puppet(0, 60, forge.weight(tip));
    world.serve_all(&[(liar, lie), (honest, tip)], &forge, secs(20));
    assert_eq!(world.head(0), good[59].hash(), "{}", world.describe());
    assert!(world.blamed(liar).iter().any(|f| matches!(f, Fault::InvalidBlock(_))));
    assert!(world.blamed(honest).is_empty(), "{:?}", world.blamed(honest));
    assert!(!world.node(0).tree().contains(bad.hash()));
    world.check(0);
}

/// Runs a bad peer with the heaviest claim beside an honest one; returns seconds until caught up.
fn beside_a_bad_peer(
    blocks: usize,
    limit: u64,
    answer: impl Fn(&Forge, B256, &Message) -> Option<Message>,
) -> (World, usize, u64) {
    let mut world = World::new(1);
    let (forge, chain) = long_chain(&world, blocks);
    let tip = chain[blocks - 1].hash();
    let bad = world.puppet(0, 9_999, U256::from(u64::MAX));
    let honest = world.puppet(0, blocks as u64, forge.weight(tip));
    let start = world.now;
    while world.head(0) != tip {
        for message in world.hear(bad) {
            if let Some(answer) = answer(&forge, tip, &message) {
                world.say(bad, answer);
            }
        }
        world.serve(honest, &forge, tip, Duration::from_millis(100));
        let took = world.now.since(start).as_secs();
        assert!(took <= limit, "{took} s\n{}\n{:?}", world.describe(), world.faults(0));
    }
    assert!(world.blamed(honest).is_empty(), "{:?}", world.blamed(honest));
    world.check(0);
    let took = world.now.since(start).as_secs();
    (world, bad, took)
}

#[test]
fn a_staller_that_gives_headers_and_no_bodies_costs_one_time_out() {
    let (world, bad, _) = beside_a_bad_peer(300, 20, |forge, tip, message| match message {
        Message::GetBodies { .. } => None,
        message => forge.answer(tip, message),
    });
    assert!(world.blamed(bad).contains(&Fault::Timeout));
}

#[test]
fn a_peer_that_always_has_nothing_does_not_stop_the_others() {
    beside_a_bad_peer(300, 10, |forge, tip, message| match message {
        Message::GetBodies { id, .. } => Some(Message::Bodies { id: *id, bodies: Vec::new() }),
        message => forge.answer(tip, message),
    });
}

#[test]
fn a_trickler_does_not_hold_the_line() {
    // One body per question, at once: what it is asked for at most shrinks, and others come first.
    let (world, _, _) = beside_a_bad_peer(400, 10, |forge, tip, message| match message {
        Message::GetBodies { id, hashes } => {
            let bodies = vec![forge.block(hashes[0]).unwrap().body.clone()];
            Some(Message::Bodies { id: *id, bodies })
        }
        message => forge.answer(tip, message),
    });
    assert!(fetched_per_block(&world, 0) < 1.5);
}

#[test]
fn liars_about_weight_do_not_keep_honest_peers_from_being_asked() {
    let mut world = World::new(1);
    let (forge, chain) = long_chain(&world, 50);
    let tip = chain[49].hash();
    let liars: Vec<usize> =
        (0..6).map(|n| world.puppet(0, 9_999, U256::from(u64::MAX - n))).collect();
    let honest = world.puppet(0, 50, forge.weight(tip));
    world.serve(honest, &forge, tip, secs(30));
    assert_eq!(world.head(0), tip, "{}", world.describe());
    assert!(liars.iter().any(|p| world.blamed(*p).contains(&Fault::Timeout)), "some are asked");
    assert!(world.blamed(honest).is_empty());
}

#[test]
fn a_claim_without_headers_is_a_false_claim_at_the_third_time() {
    let mut world = World::new(1);
    let liar = world.puppet(0, 999, U256::from(1_000_000));
    for _ in 0..20 {
        for message in world.hear(liar) {
            if let Message::GetHeaders { id, .. } = *message {
                world.say(liar, Message::Headers { id, headers: Vec::new() });
                // And claims again.
                let claim = kette_types::message::ChainStatus {
                    head: B256::ZERO,
                    number: 999,
                    weight: U256::from(1_000_000),
                    finalized: 0,
                };
                world.say(liar, Message::Status(claim));
            }
        }
        world.run(secs(1));
    }
    let blamed = world.blamed(liar);
    assert!(blamed.iter().all(|f| matches!(f, Fault::FalseClaim(_))), "{blamed:?}");
    assert!(!blamed.is_empty() && world.puppets[liar].closed.is_some());
}

#[test]
fn a_lighter_longer_chain_is_not_followed() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let heavy = forge.chain(forge.genesis, 30, &after(6).by(1));
    let light = forge.chain(forge.genesis, 60, &after(100).by(2));
    world.feed(0, &heavy);
    let weight = forge.weight(light[59].hash());
    assert!(weight < forge.weight(heavy[29].hash()));
    let honest = world.puppet(0, 60, weight);
    world.serve(honest, &forge, light[59].hash(), secs(5));
    // One that lies about it shows headers and is not asked for their bodies.
    let liar = world.puppet(0, 60, U256::from(u64::MAX));
    world.serve(liar, &forge, light[59].hash(), secs(20));
    assert_eq!(world.head(0), heavy[29].hash());
    assert!(world.hosts[0].asked.is_empty(), "a lighter branch is not fetched");
    assert_eq!(world.node(0).counters.blocks_imported, 30);
}

/// Answers the node's question for headers with these.
fn answered(headers: impl FnOnce(&mut Forge) -> Vec<SealedHeader>) -> Vec<Fault> {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let headers = headers(&mut forge);
    let p = world.puppet(0, 99, U256::from(u64::MAX));
    let heard = world.hear(p);
    let id = heard.iter().find_map(|m| match **m {
        Message::GetHeaders { id, .. } => Some(id),
        _ => None,
    });
    world.say(p, Message::Headers { id: id.unwrap(), headers });
    world.blamed(p)
}

fn headers_of(blocks: &[Block]) -> Vec<SealedHeader> {
    blocks.iter().map(|block| block.header.clone()).collect()
}

#[test]
fn answers_that_are_no_answers_are_faults() {
    let unlinked = answered(|forge| {
        let mut headers = headers_of(&forge.chain(forge.genesis, 5, &after(12)));
        headers.swap(2, 3);
        headers
    });
    assert!(matches!(unlinked[..], [Fault::WrongAnswer(_)]), "{unlinked:?}");
    let elsewhere = answered(|forge| headers_of(&forge.chain(forge.genesis, 5, &after(12))[2..]));
    assert!(matches!(elsewhere[..], [Fault::WrongAnswer(_)]), "{elsewhere:?}");
    let too_many = answered(|forge| {
        let block = forge.on(forge.genesis, &after(12));
        vec![block.header; limits::HEADERS_MAX + 1]
    });
    assert!(matches!(too_many[..], [Fault::WrongAnswer(_)]), "{too_many:?}");
    let workless = answered(|forge| {
        let mut headers = headers_of(&forge.chain(forge.genesis, 5, &after(12)));
        let target = kette_consensus::pow::target(headers[4].difficulty);
        let mut header = headers[4].header().clone();
        while super::forge::pow_hash(&header) <= target {
            let nonce = u64::from_be_bytes(header.nonce.0) + 1;
            header.nonce = nonce.to_be_bytes().into();
        }
        headers[4] = SealedHeader::new(header, Default::default());
        headers
    });
    assert!(matches!(workless[..], [Fault::InvalidHeader(_)]), "{workless:?}");
}

#[test]
fn unsolicited_answers_are_faults_and_change_nothing() {
    let mut world = World::new(1);
    let (forge, blocks) = long_chain(&world, 5);
    let p = world.quiet(0);
    world.say(p, Message::Headers { id: 7, headers: headers_of(&blocks) });
    let bodies = blocks.iter().map(|b| b.body.clone()).collect();
    world.say(p, Message::Bodies { id: 7, bodies });
    let (block, transactions) = (blocks[0].hash(), Vec::new());
    world.say(p, Message::BlockTransactions { block, transactions });
    world.run(secs(1));
    assert_eq!(world.blamed(p), [Fault::Unsolicited, Fault::Unsolicited]);
    assert_eq!(world.head(0), forge.genesis);
    assert_eq!(world.node(0).tree().len(), 1);
}

#[test]
fn more_bodies_than_asked_for_is_a_fault() {
    let mut world = World::new(1);
    let (forge, blocks) = long_chain(&world, 5);
    let tip = blocks[4].hash();
    let p = world.puppet(0, 5, forge.weight(tip));
    for _ in 0..3 {
        for message in world.hear(p) {
            let mut answer = forge.answer(tip, &message);
            if let Some(Message::Bodies { bodies, .. }) = &mut answer {
                bodies.push(blocks[0].body.clone());
            }
            answer.into_iter().for_each(|answer| world.say(p, answer));
        }
        world.run(Duration::from_millis(20));
    }
    let blamed = world.blamed(p);
    assert!(!blamed.is_empty() && blamed.iter().all(|f| matches!(f, Fault::WrongAnswer(_))));
    assert_eq!(world.head(0), forge.genesis);
}

#[test]
fn a_branch_that_nobody_hands_out_does_not_stop_production() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let base = forge.chain(forge.genesis, 5, &after(12));
    world.feed(0, &base);
    let hidden = forge.chain(base[4].hash(), 8, &after(12).by(9));
    let p = world.puppet(0, 13, forge.weight(hidden[7].hash()));
    for message in world.hear(p) {
        if matches!(*message, Message::GetHeaders { .. }) {
            let answer = forge.answer(hidden[7].hash(), &message).unwrap();
            world.say(p, answer);
        }
    }
    world.mine(0, true);
    world.run(secs(20));
    assert_eq!(world.height(0), 5, "first it waits for the better branch");
    world.run_until("its own blocks", secs(300), |w| w.height(0) >= 12);
}

#[test]
fn headers_ahead_are_bounded() {
    let mut world = World::new(1);
    let (forge, blocks) = long_chain(&world, HEADERS_AHEAD_MAX + 1_000);
    let tip = blocks.last().unwrap().hash();
    let headers = headers_of(&blocks);
    let p = world.puppet(0, 99_999, forge.weight(tip));
    let mut given = 0;
    for _ in 0..40 {
        for message in world.hear(p) {
            if let Message::GetHeaders { id, locator, .. } = &*message {
                let at = headers.iter().rposition(|h| locator.contains(&h.hash()));
                let from = at.map_or(0, |at| at + 1);
                let to = (from + limits::HEADERS_MAX).min(headers.len());
                given += to - from;
                world.say(p, Message::Headers { id: *id, headers: headers[from..to].to_vec() });
            }
        }
        world.run(secs(1));
    }
    assert!(given <= HEADERS_AHEAD_MAX, "{given} headers were asked for");
    assert!(given > HEADERS_AHEAD_MAX / 2);
    assert_eq!(world.height(0), 0);
}

#[test]
fn headers_on_a_branch_that_was_forgotten_meanwhile_are_no_fault() {
    let mut world = World::new(1);
    let (forge, blocks) = long_chain(&world, 20);
    let [told, tip] = [blocks[4].hash(), blocks[19].hash()];
    let teller = world.puppet(0, 5, forge.weight(told));
    let asked = world.hear(teller);
    let answer = asked.iter().find_map(|message| forge.answer(told, message));
    world.say(teller, answer.expect("it is asked for headers"));
    // It hands out no body. Shortly before that branch is forgotten somebody is asked for what follows it, and has no
    // body either.
    world.run(GIVE_UP_AFTER - Duration::from_millis(500));
    let mut headers = |claim: u64, at: usize| {
        let p = world.puppet(0, claim, forge.weight(blocks[claim as usize - 1].hash()));
        let mut late = None;
        for message in world.hear(p) {
            match &*message {
                Message::GetHeaders { id, .. } => {
                    let headers = blocks[at..].iter().map(|block| block.header.clone()).collect();
                    late = Some(Message::Headers { id: *id, headers });
                }
                Message::GetBodies { id, .. } => {
                    world.say(p, Message::Bodies { id: *id, bodies: Vec::new() });
                }
                _ => {}
            }
        }
        (p, late.expect("it claims more"))
    };
    let (honest, follows) = headers(20, 5);
    let (liar, gap) = headers(19, 9);
    world.run(secs(1));
    assert!(world.node(0).sync.pending(told).is_none(), "it was forgotten");
    world.say(honest, follows);
    assert!(world.blamed(honest).is_empty(), "{:?}", world.blamed(honest));
    // What was never named is another matter.
    world.say(liar, gap);
    assert_eq!(world.blamed(liar), [Fault::WrongAnswer("headers do not follow the locator")]);
    world.serve(honest, &forge, tip, secs(30));
    assert_eq!(world.head(0), tip, "{}", world.describe());
}
