//! What a node does for an engine that spreads blocks before it chooses them: gossip, proposals, blocks by hash.

use super::{
    forge::{Forge, after, transfer},
    proposer::{UNWANTED, commit, show_and_commit, sign_state, wanted},
    world::{World, secs},
};
use crate::{Event, Loads, relay::compact};
use kette_types::{B256, Block, Bytes, Fault, Message, U256};
use std::{sync::Arc, time::Duration};

fn scene(n: usize) -> (World, Forge) {
    let world = World::proposing(n, &serde_json::json!({}));
    let forge = Forge::new(&world.spec);
    (world, forge)
}

fn engine(bytes: &[u8]) -> Message {
    Message::Engine(Bytes::copy_from_slice(bytes))
}

fn announce(world: &mut World, p: usize, block: &Block) {
    world.say(p, Message::NewBlock(Box::new(compact(block))));
}

/// Lets what was sent arrive, and half a second pass.
fn soon(world: &mut World) {
    world.run(Duration::from_millis(500));
}

fn engine_messages(heard: &[Arc<Message>]) -> Vec<Bytes> {
    let bytes = |message: &Arc<Message>| match &**message {
        Message::Engine(bytes) => Some(bytes.clone()),
        _ => None,
    };
    heard.iter().filter_map(bytes).collect()
}

fn asked(heard: &[Arc<Message>]) -> Vec<B256> {
    let hash = |message: &Arc<Message>| match &**message {
        Message::GetBlock(hash) => Some(*hash),
        _ => None,
    };
    heard.iter().filter_map(hash).collect()
}

fn shown(heard: &[Arc<Message>]) -> Vec<B256> {
    let hash = |message: &Arc<Message>| match &**message {
        Message::NewBlock(block) => Some(block.header.hash()),
        _ => None,
    };
    heard.iter().filter_map(hash).collect()
}

fn indexes(heard: &[Arc<Message>]) -> Vec<usize> {
    let count = |message: &Arc<Message>| match &**message {
        Message::GetBlockTransactions { indexes, .. } => Some(indexes.len()),
        _ => None,
    };
    heard.iter().filter_map(count).collect()
}

fn syncs(heard: &[Arc<Message>]) -> bool {
    let of_sync =
        |m: &Arc<Message>| matches!(**m, Message::GetHeaders { .. } | Message::GetBodies { .. });
    heard.iter().any(of_sync)
}

/// What the engine of a node was told, as far as it starts with this.
fn told(world: &World, i: usize, start: &str) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Alarm(text) if text.starts_with(start) => Some(text.clone()),
        _ => None,
    };
    world.hosts[i].events.iter().filter_map(text).collect()
}

#[test]
fn what_one_says_reaches_everybody_once_and_never_comes_back() {
    let (mut world, _) = scene(3);
    world.mesh();
    soon(&mut world);
    let (p, q, r) = (world.quiet(0), world.quiet(1), world.quiet(2));
    soon(&mut world);
    for n in 0..20 {
        world.say(p, engine(&[b'g', n]));
    }
    world.say(q, engine(b"g\x03"));
    soon(&mut world);
    let said: Vec<Bytes> = (0..20).map(|n| vec![b'g', n].into()).collect();
    assert_eq!(engine_messages(&world.hear(p)), Vec::<Bytes>::new());
    let rest: Vec<Bytes> = said.iter().filter(|s| s[1] != 3).cloned().collect();
    let heard = engine_messages(&world.hear(q));
    assert!(rest.iter().all(|s| heard.iter().filter(|h| *h == s).count() == 1), "{heard:?}");
    assert_eq!(engine_messages(&world.hear(r)).len(), 20);
    // Said again by another: everybody has it.
    world.say(r, engine(&[b'g', 7]));
    soon(&mut world);
    let again = [p, q, r].map(|peer| engine_messages(&world.hear(peer)).len());
    assert_eq!(again, [0; 3]);
}

#[test]
fn a_resent_message_goes_to_those_who_have_it_as_well() {
    let (mut world, _) = scene(1);
    let (p, q) = (world.quiet(0), world.quiet(0));
    for _ in 0..2 {
        world.say(p, engine(b"r1"));
        assert_eq!(engine_messages(&world.hear(p)), [Bytes::from_static(b"r1")]);
        assert_eq!(engine_messages(&world.hear(q)), [Bytes::from_static(b"r1")]);
    }
}

#[test]
fn who_left_is_sent_nothing_and_is_new_when_it_comes_back() {
    let (mut world, _) = scene(1);
    let (p, q) = (world.quiet(0), world.quiet(0));
    world.say(p, engine(b"g1"));
    assert_eq!(engine_messages(&world.hear(q)).len(), 1);
    // The harness objects to anything sent to a session that is over.
    for _ in 0..10 {
        world.say(q, engine(b"x"));
    }
    assert!(world.puppets[q].closed.is_some());
    let again = world.quiet(0);
    world.say(p, engine(b"g1"));
    assert_eq!(engine_messages(&world.hear(again)).len(), 1);
    let loads: Loads = world.node(0).loads();
    assert_eq!(loads.get("gossip_peers"), Some(2));
}

#[test]
fn the_engine_hears_of_each_session_once() {
    let (mut world, _) = scene(2);
    world.crash(1);
    // Alone by configuration: it began at once.
    assert_eq!(told(&world, 0, "start"), ["start []"]);
    let p = world.quiet(0);
    assert_eq!(told(&world, 0, "up").len(), 1);
    world.hang_up(p);
    soon(&mut world);
    world.quiet(0);
    assert_eq!(told(&world, 0, "up").len(), 2);
    // One that has peers to dial waits for the first, and is told of it when it begins.
    let host = world.hosts[0].id;
    world.hosts[1].events.clear();
    let target = kette_types::PeerAddress::tcp(([127, 0, 0, 1], 20_000).into());
    world.hosts[1].config.peers.configured.push(target.with_peer(host));
    world.start(1);
    assert!(told(&world, 1, "start").is_empty());
    soon(&mut world);
    assert_eq!((told(&world, 1, "start").len(), told(&world, 1, "up").len()), (1, 1));
    assert_eq!(told(&world, 0, "up").len(), 3);
}

#[test]
fn a_proposal_spreads_without_being_head_and_nobody_believes_to_be_behind() {
    let (mut world, mut forge) = scene(4);
    world.line();
    soon(&mut world);
    let mut parent = forge.genesis;
    for height in 1..=5 {
        // More unknown transactions than a compact block is rebuilt with elsewhere.
        let nonces = 100 * (height - 1)..100 * height;
        let transactions: Vec<_> = nonces.map(|nonce| transfer(0, nonce)).collect();
        let block = forge.on(parent, &after(12).with(transactions));
        let rival = forge.on(parent, &after(13));
        let p = world.quiet(3);
        world.feed(0, &[block.clone(), rival.clone()]);
        soon(&mut world);
        for i in 0..4 {
            let tree = world.node(i).tree();
            assert!(tree.contains(block.hash()) && tree.contains(rival.hash()), "node {i}");
            assert_eq!((tree.head().hash(), world.node(i).is_syncing()), (parent, false));
        }
        let heard = world.hear(p);
        assert_eq!(shown(&heard), [rival.hash(), block.hash()]);
        // Nobody chooses for so long that every question would be asked.
        world.run(secs(7));
        let q = world.quiet(0);
        world.say(q, Message::Engine(commit(block.hash())));
        soon(&mut world);
        for i in 0..4 {
            assert_eq!(world.head(i), block.hash(), "node {i}");
            assert_eq!(world.node(i).tree().finalized(), (height, block.hash()));
        }
        world.hang_up(q);
        world.run(secs(1));
        parent = block.hash();
        let status = |m: &Arc<Message>| matches!(&**m, Message::Status(s) if s.head == parent);
        assert!(world.hear(p).iter().any(status), "peers learn what was chosen");
        world.hang_up(p);
    }
    for i in 0..4 {
        let noise = |e: &Event| {
            matches!(e, Event::SideBlock { .. } | Event::SyncProgress { .. } | Event::Synced { .. })
        };
        assert_eq!(world.count(i, noise), 0, "node {i}");
        assert!(world.faults(i).is_empty(), "{:?}", world.faults(i));
        assert!(world.hosts[i].asked.is_empty());
    }
}

#[test]
fn who_was_away_catches_up_by_what_peers_claim() {
    let (mut world, mut forge) = scene(2);
    let blocks = forge.chain(forge.genesis, 30, &after(12));
    let p = world.quiet(0);
    for block in &blocks {
        world.feed(0, std::slice::from_ref(block));
        world.say(p, Message::Engine(commit(block.hash())));
    }
    assert_eq!(world.height(0), 30);
    world.link(1, 0);
    world.run(secs(5));
    assert!(world.node(1).tree().contains(blocks[29].hash()), "{}", world.describe());
    assert!(world.faults(0).is_empty() && world.faults(1).is_empty());
}

#[test]
fn a_block_is_fetched_by_its_hash_and_only_if_it_is_missing() {
    let (mut world, mut forge) = scene(1);
    let block = forge.on(forge.genesis, &after(12).with(vec![transfer(0, 0)]));
    let p = world.quiet(0);
    world.say(p, Message::Engine(wanted(block.hash())));
    assert_eq!(asked(&world.hear(p)), [block.hash()]);
    announce(&mut world, p, &block);
    world.say(p, Message::Engine(wanted(block.hash())));
    let heard = world.hear(p);
    assert_eq!((asked(&heard), indexes(&heard)), (vec![], vec![1]), "it is being rebuilt");
    let transactions = block.body.transactions.clone();
    world.say(p, Message::BlockTransactions { block: block.hash(), transactions });
    world.say(p, Message::Engine(wanted(block.hash())));
    soon(&mut world);
    world.say(p, Message::Engine(wanted(block.hash())));
    assert!(asked(&world.hear(p)).is_empty());
    assert!(world.node(0).tree().contains(block.hash()));
    assert!(world.blamed(p).is_empty());
}

#[test]
fn a_block_of_the_tree_is_shown_to_who_asks_within_bounds() {
    let (mut world, mut forge) = scene(1);
    let block = forge.on(forge.genesis, &after(12));
    world.feed(0, std::slice::from_ref(&block));
    let p = world.quiet(0);
    world.hear(p);
    world.say(p, Message::GetBlock(B256::repeat_byte(9)));
    assert_eq!(world.hear(p), []);
    world.say(p, Message::GetBlock(block.hash()));
    assert_eq!(shown(&world.hear(p)), [block.hash()]);
    let request = Message::GetBlockTransactions { block: block.hash(), indexes: Vec::new() };
    world.say(p, request);
    assert_eq!(world.hear(p).len(), 1, "it is stored, although not canonical");
    assert!(world.blamed(p).is_empty());
    let mut answers = 0;
    for _ in 0..1_000 {
        world.say(p, Message::GetBlock(block.hash()));
        answers += shown(&world.hear(p)).len();
    }
    assert!(answers < 1_000 && world.blamed(p).contains(&Fault::RateLimit), "{answers}");
}

#[test]
fn a_silent_announcer_is_left_for_the_next_and_sync_is_not_troubled() {
    let (mut world, mut forge) = scene(1);
    let transactions: Vec<_> = (0..100).map(|nonce| transfer(0, nonce)).collect();
    let block = forge.on(forge.genesis, &after(12).with(transactions.clone()));
    let (p, q, r) = (world.quiet(0), world.quiet(0), world.quiet(0));
    announce(&mut world, p, &block);
    assert_eq!(indexes(&world.hear(p)), [100]);
    announce(&mut world, q, &block);
    assert!(indexes(&world.hear(q)).is_empty(), "the first one has time");
    world.run(secs(1));
    announce(&mut world, r, &block);
    assert_eq!(indexes(&world.hear(r)), [100], "now it had");
    // It has the block no more: the next one is asked, then nobody is left.
    let hash = block.hash();
    world.say(r, Message::BlockTransactions { block: hash, transactions: Vec::new() });
    let asked = [p, q].map(|peer| indexes(&world.hear(peer)).len());
    assert_eq!(asked.iter().sum::<usize>(), 1);
    world.run(secs(10));
    assert_eq!(world.node(0).loads().get("rebuilds"), Some(0));
    assert!([p, q, r].into_iter().all(|peer| !syncs(&world.hear(peer))));
    // Announced again it begins anew.
    announce(&mut world, q, &block);
    world.say(q, Message::BlockTransactions { block: hash, transactions });
    soon(&mut world);
    assert!(world.node(0).tree().contains(hash));
}

#[test]
fn what_is_unwanted_is_dropped_without_blame_and_not_remembered() {
    let (mut world, forge) = scene(1);
    let block = forge.spoilt(forge.genesis, &after(12), |header, _| {
        header.extra_data = Bytes::from_static(UNWANTED);
    });
    let p = world.quiet(0);
    announce(&mut world, p, &block);
    soon(&mut world);
    assert!(!world.node(0).tree().contains(block.hash()));
    assert!(world.blamed(p).is_empty() && !syncs(&world.hear(p)));
    assert!(told(&world, 0, "invalid").is_empty());
    assert_eq!(world.node(0).loads().get("invalid"), Some(0));
}

#[test]
fn the_engine_hears_of_every_broken_rule_once_and_when_it_asks_for_such_a_block() {
    let (mut world, forge) = scene(1);
    let header = forge.spoilt(forge.genesis, &after(12), |header, _| header.gas_limit += 1 << 40);
    let state = forge.spoilt(forge.genesis, &after(12), |header, _| {
        header.state_root = B256::repeat_byte(7);
    });
    for block in [&header, &state] {
        for _ in 0..2 {
            let p = world.quiet(0);
            announce(&mut world, p, block);
            world.run(Duration::from_millis(20));
        }
    }
    let expected = [&header, &state].map(|block| format!("invalid {}", block.hash()));
    assert_eq!(told(&world, 0, "invalid"), expected);
    let q = world.quiet(0);
    world.say(q, Message::Engine(wanted(state.hash())));
    assert_eq!(told(&world, 0, "invalid").len(), 3);
    assert!(asked(&world.hear(q)).is_empty());
}

#[test]
fn what_is_signed_is_written_before_it_is_said() {
    let (mut world, _) = scene(1);
    let p = world.quiet(0);
    world.hear(p);
    world.hosts[0].crash_in = Some(0);
    world.say(p, engine(b"s\x07"));
    assert_eq!((world.hosts[0].disk.signed(), world.hear(p)), (None, vec![]));
    world.start(0);
    let p = world.quiet(0);
    world.hear(p);
    world.hosts[0].crash_in = Some(1);
    world.say(p, engine(b"s\x07"));
    assert_eq!(world.hosts[0].disk.signed(), Some(sign_state(7)));
    assert_eq!(world.hear(p), []);
}

#[test]
fn a_restart_finds_head_proof_log_and_proposals() {
    let (mut world, mut forge) = scene(1);
    let blocks = forge.chain(forge.genesis, 3, &after(12));
    let p = world.quiet(0);
    for block in &blocks[..2] {
        world.feed(0, std::slice::from_ref(block));
        world.say(p, Message::Engine(commit(block.hash())));
    }
    let rival = forge.on(blocks[1].hash(), &after(13));
    world.feed(0, &[blocks[2].clone(), rival.clone()]);
    for clean in [false, true] {
        if clean {
            let outputs = world.node_mut(0).stop();
            for output in outputs {
                if let crate::Output::Persist(batch) = output {
                    world.hosts[0].disk.apply(&batch);
                }
            }
            assert_eq!(world.hosts[0].disk.checkpoint().0, 2, "head and final block are one");
        }
        world.crash(0);
        world.hosts[0].events.clear();
        world.start(0);
        let tree = world.node(0).tree();
        let head = blocks[1].hash();
        assert_eq!((tree.head().hash(), tree.finalized()), (head, (2, head)));
        assert!(tree.executed(blocks[2].hash()).is_some() && tree.executed(rival.hash()).is_some());
        assert_eq!(tree.total_weight(rival.hash()), Some(U256::from(3)));
        let proof = commit(head);
        let found =
            [format!("entry {}", Bytes::from_static(b"next")), format!("proof {head} {proof}")];
        assert_eq!(told(&world, 0, "start"), [format!("start {found:?}")]);
        let p = world.quiet(0);
        world.say(p, Message::GetBlock(rival.hash()));
        assert_eq!(shown(&world.hear(p)), [rival.hash()]);
    }
    let p = world.quiet(0);
    world.say(p, Message::Engine(commit(rival.hash())));
    assert_eq!(world.head(0), rival.hash());
}

/// A node that is behind decides several heights on one message. All is written before anything is said.
#[test]
fn a_block_that_is_dropped_in_the_same_breath_is_not_announced() {
    let narrow = serde_json::json!({ "reorgLimit": 10, "finalityDepth": 6 });
    let mut world = World::proposing(1, &narrow);
    let mut forge = Forge::new(&world.spec);
    let rival = forge.on(forge.genesis, &after(13));
    let chain = forge.chain(forge.genesis, 12, &after(12));
    world.feed(0, std::slice::from_ref(&rival));
    let p = world.quiet(0);
    let (last, before) = chain.split_last().unwrap();
    for block in before {
        world.feed(0, std::slice::from_ref(block));
        world.say(p, Message::Engine(commit(block.hash())));
        assert!(world.node(0).tree().contains(rival.hash()), "at {}", block.header.number);
    }
    world.feed(0, std::slice::from_ref(last));
    let q = world.quiet(0);
    world.hear(q);
    world.say(p, Message::Engine(show_and_commit(rival.hash(), last.hash())));
    assert_eq!(world.head(0), last.hash());
    assert!(!world.node(0).tree().contains(rival.hash()));
    assert_eq!(shown(&world.hear(q)), [last.hash()]);
}

fn header_requests(heard: &[Arc<Message>]) -> Vec<u64> {
    let id = |message: &Arc<Message>| match &**message {
        Message::GetHeaders { id, .. } => Some(*id),
        _ => None,
    };
    heard.iter().filter_map(id).collect()
}

/// Lets a puppet answer with no headers whenever it is asked, for a while. Returns how often it was.
fn silence(world: &mut World, p: usize) -> usize {
    let mut asked = 0;
    for _ in 0..30 {
        for id in header_requests(&world.hear(p)) {
            world.say(p, Message::Headers { id, headers: Vec::new() });
            asked += 1;
        }
        world.run(Duration::from_millis(100));
    }
    asked
}

#[test]
fn who_claims_weight_that_it_never_shows_is_blamed() {
    let (mut world, _) = scene(1);
    let p = world.quiet(0);
    for n in 1..=3 {
        let head = B256::with_last_byte(n);
        let weight = U256::from(50 + u64::from(n));
        let claim = kette_types::message::ChainStatus { head, number: 50, weight, finalized: 50 };
        world.say(p, Message::Status(claim));
        assert_eq!(silence(&mut world, p), 1);
    }
    assert_eq!(world.blamed(p), [Fault::FalseClaim("weight without headers")]);
}

#[test]
fn who_passes_on_proposals_on_blocks_that_it_did_not_choose_is_not_blamed() {
    let (mut world, mut forge) = scene(1);
    let p = world.quiet(0);
    let mut asked = 0;
    for slot in 12..24 {
        let parent = forge.on(forge.genesis, &after(slot));
        let block = forge.on(parent.hash(), &after(12));
        announce(&mut world, p, &block);
        asked += silence(&mut world, p);
    }
    assert_eq!(asked, 12);
    assert!(world.blamed(p).is_empty(), "{:?}", world.blamed(p));
}
