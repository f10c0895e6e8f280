//! Actors that lie to peers.

use super::scene::{actor, honest, scene, transfer};
use crate::scenario::Misbehaviour;
use kette_types::{DisconnectReason, Message, PeerAddress};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

#[test]
fn a_liar_does_not_keep_others_from_syncing() {
    let mut kinds = BTreeSet::new();
    for seed in 0..20 {
        let parts = [actor(Misbehaviour::SyncLiar, &[1]), honest(&[]).mining(400), honest(&[0, 1])];
        let mut scene = scene(seed, false, &parts);
        scene.world.start(0);
        scene.world.start(1);
        scene.run(200);
        let claim = scene.sent(0).into_iter().find_map(|(_, message)| match message {
            Message::Hello(hello) => Some(hello.status),
            _ => None,
        });
        assert!(claim.unwrap().number >= 1_000_000, "it claims a chain that nobody has");
        let height = scene.height(1);
        assert!(height > 30);
        scene.world.start(2);
        let begun = scene.world.now();
        scene.run_until("the newcomer is in sync", |s| s.height(2) >= s.height(1).max(height));
        let took = scene.world.now().since(begun);
        assert!(took.as_secs() < 120, "{took:?}");
        kinds.extend(scene.blamed(2, 0));
        kinds.extend(scene.blamed(1, 0));
        scene.honest_trust_each_other();
    }
    // Which more are found depends on what is drawn.
    assert!(kinds.contains("invalid_header") && kinds.contains("timeout"), "{kinds:?}");
    assert!(kinds.len() >= 4, "{kinds:?}");
}

#[test]
fn spam_is_bounded_and_changes_nothing() {
    let mut kinds = BTreeSet::new();
    for seed in 0..10 {
        let parts = [
            actor(Misbehaviour::Spammer, &[1, 2]),
            honest(&[]).mining(400),
            honest(&[1]),
            honest(&[1, 2]),
        ];
        let mut scene = scene(seed, true, &parts).started();
        scene.run(20);
        scene.world.submit(3, transfer(0, 0));
        scene.run(100);
        // The node inside answers what it is asked because of it.
        assert!(scene.sent(0).len() < 120 * 450, "{} frames", scene.sent(0).len());
        assert!(scene.height(1) > 20);
        scene.world.mine(1, false);
        scene.run(10);
        assert!((2..4).all(|host| scene.head(host) == scene.head(1)), "seed {seed}");
        let state = &scene.world.hosts[2].node().unwrap().tree().head_block().state;
        let to = kette_types::Address::repeat_byte(0x99);
        assert!(state.account(to).unwrap().is_some(), "seed {seed}: a user's transaction is in");
        for host in 1..4 {
            kinds.extend(scene.blamed(host, 0));
        }
        scene.honest_trust_each_other();
    }
    assert!(kinds.contains("rate_limit"), "{kinds:?}");
}

#[test]
fn an_eclipse_names_only_accomplices_and_relays_nothing() {
    let parts = [
        actor(Misbehaviour::Eclipse, &[]),
        actor(Misbehaviour::Eclipse, &[]),
        honest(&[]).mining(100),
        honest(&[2]),
        honest(&[0]),
    ];
    let mut scene = scene(9, true, &parts).started();
    scene.run(120);
    let bad: BTreeSet<PeerAddress> = (0..2).map(|host| scene.world.hosts[host].address).collect();
    for actor in 0..2 {
        let sent = scene.sent(actor);
        let mut told = 0;
        for (_, message) in &sent {
            match message {
                Message::Peers(addresses) => {
                    told += 1;
                    assert!(addresses.iter().all(|address| bad.contains(address)), "{addresses:?}");
                }
                Message::NewBlock(_) | Message::Transactions(_) | Message::Headers { .. } => {
                    panic!("it relays {}", message.name())
                }
                _ => {}
            }
        }
        assert!(told > 0);
        let victims = scene.world.hosts[actor].sessions.values().filter(|s| s.remote >= 2).count();
        assert_eq!(victims, 3, "it sits beside everybody");
        assert!((2..5).all(|host| scene.blamed(host, actor).is_empty()), "it breaks no rule");
    }
    // The victim that knew nobody else hears of nothing until an honest node finds it.
    assert!(scene.height(3) > 5);
}

#[test]
fn twins_confuse_nobody_but_themselves() {
    let parts = [
        actor(Misbehaviour::Twin, &[2]).mining(100),
        actor(Misbehaviour::Twin, &[3]).mining(100).twin_of(0),
        honest(&[]).mining(100),
        honest(&[2]),
        honest(&[2, 3]),
    ];
    for (seed, discovery) in [(10, false), (11, true)] {
        let mut scene = scene(seed, discovery, &parts).started();
        assert_eq!(scene.id(0), scene.id(1));
        scene.run(600);
        for host in 2..5 {
            // Both ends agree on which of the two a session is with.
            for session in scene.world.hosts[host].sessions.values() {
                let other = &scene.world.hosts[session.remote];
                let back = other.sessions.get(&scene.id(host));
                assert!(back.is_some_and(|back| back.link == session.link), "{host}");
            }
        }
        for host in 0..2 {
            scene.world.mine(host, false);
        }
        scene.world.mine(2, false);
        scene.run(60);
        assert!(scene.height(2) > 40);
        assert!((3..5).all(|host| scene.head(host) == scene.head(2)), "seed {seed}");
        let mined = |twin| {
            let all = scene.announced(twin).into_iter();
            all.filter(|(_, hash, _)| scene.world.blocks[hash].producer == Some(twin)).count()
        };
        assert!(mined(0) > 5 && mined(1) > 5, "both speak");
        scene.honest_trust_each_other();
    }
}

#[test]
fn what_is_unknown_is_ignored() {
    let (mut heard, mut later) = (0, 0);
    for seed in 0..6 {
        let parts = [
            actor(Misbehaviour::FutureVersion, &[]).mining(100),
            honest(&[0]).mining(100),
            honest(&[0, 1]),
        ];
        let mut scene = scene(seed, false, &parts);
        let unknown = Rc::new(RefCell::new(0));
        let count = unknown.clone();
        scene.world.read_trace(Box::new(move |line| {
            *count.borrow_mut() += u32::from(line.text.contains("unknown message kind"));
        }));
        let mut scene = scene.started();
        scene.run(120);
        heard += *unknown.borrow();
        for host in 1..3 {
            assert_eq!(scene.blamed(host, 0), Vec::<&str>::new(), "seed {seed}");
            let ended = scene.ended(host, 0);
            assert!(ended.iter().all(|why| *why == DisconnectReason::WrongVersion), "{ended:?}");
            later += ended.len();
        }
        scene.honest_trust_each_other();
    }
    assert!(heard > 100, "{heard}");
    assert!(later > 0, "some got the hello of a later version");
}

#[test]
fn actors_act_alike_in_every_run() {
    let all = [
        Misbehaviour::Equivocator,
        Misbehaviour::Withholder,
        Misbehaviour::SelfishMiner,
        Misbehaviour::Delayer,
        Misbehaviour::InvalidBlockMaker,
        Misbehaviour::SyncLiar,
        Misbehaviour::Spammer,
        Misbehaviour::Eclipse,
        Misbehaviour::Twin,
        Misbehaviour::FutureVersion,
    ];
    let run = |seed| {
        let mut parts: Vec<_> = all.iter().map(|kind| actor(*kind, &[10]).mining(20)).collect();
        parts.extend([honest(&[]).mining(400), honest(&[10]), honest(&[10, 11])]);
        let mut scene = scene(seed, true, &parts).started();
        scene.run(60);
        scene.world.submit(11, transfer(0, 0));
        scene.run(60);
        assert!(scene.height(11) > 10);
        scene.honest_trust_each_other();
        scene.world.trace().hash()
    };
    let first = run(12);
    assert_eq!(first, run(12));
    assert_ne!(first, run(13));
}
