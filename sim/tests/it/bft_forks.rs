//! What a fork of a `bft` chain does to a node: it stops, knows so after a restart, takes nothing that the other chain
//! makes, and goes on when an operator says so.

use crate::bft::{four, four_at, heights, pass, precommits};
use kette_consensus::{
    Status,
    bft::{Fork, Message as Said},
};
use kette_node::Input;
use kette_sim::{
    disk::Loss,
    run::{Run, RunOptions},
};
use kette_types::{B256, Block, Message, bft::Certificate};

fn fork_of(run: &Run, host: usize) -> Option<Fork> {
    match run.world.hosts[host].node()?.status(run.world.time()).engine {
        Status::Bft(status) => status.fork,
        Status::Pow(_) => panic!("bft"),
    }
}

fn finalized(run: &Run, host: usize) -> (u64, B256) {
    run.world.hosts[host].node().unwrap().tree().finalized()
}

/// Tells the first node that a block is final.
fn tell(run: &mut Run, certificate: Certificate) {
    tell_one(run, 0, certificate);
    pass(run, 100);
}

/// Tells a node in the name of one of its peers that a block is final.
fn tell_one(run: &mut Run, host: usize, certificate: Certificate) {
    let from = *run.world.hosts[host].sessions.keys().next().unwrap();
    let message = Message::Engine(Said::Commit(certificate).encode());
    run.world.give(host, Input::Message(from, message));
}

/// Loses power and comes back, with what an operator says to it.
fn restart(run: &mut Run, host: usize, chosen: Option<B256>) {
    run.world.crash(host, Loss::Unsynced);
    run.world.hosts[host].config.local.resume_after_fork = chosen;
    run.world.start(host);
    pass(run, 3_000);
}

#[test]
fn a_stop_outlives_restarts_and_ends_when_an_operator_names_the_chain() {
    let (mut run, notes) = four_at(3, 1, Vec::new());
    // Two of four decide nothing, so heights stay where they are.
    for host in [2, 3] {
        run.world.crash(host, Loss::Unsynced);
    }
    pass(&mut run, 2_000);
    let (height, ours) = finalized(&run, 0);
    let theirs = B256::repeat_byte(7);
    let certificate = precommits(&run.world, height, theirs);
    tell(&mut run, certificate.clone());
    let fork = Some(Fork { height, theirs, ours });
    assert_eq!(fork_of(&run, 0), fork);
    let alarms = || {
        let notes = notes.borrow();
        notes.alarms.iter().filter(|(host, text)| *host == 0 && text.contains("has forked")).count()
    };
    assert_eq!(alarms(), 1);
    // All are there again: without it the others would go on, and take it along.
    for host in [2, 3] {
        run.world.start(host);
    }
    let named = format!("--resume-after-fork {ours}");
    assert!(notes.borrow().alarms.iter().any(|(_, text)| text.contains(&named)));
    for (n, chosen) in [None, Some(theirs), Some(B256::ZERO)].into_iter().enumerate() {
        restart(&mut run, 0, chosen);
        assert_eq!((fork_of(&run, 0), finalized(&run, 0)), (fork, (height, ours)));
        assert_eq!(alarms(), n + 2, "the operator is told at each start");
    }
    for host in 1..4 {
        run.world.crash(host, Loss::Unsynced);
    }
    restart(&mut run, 0, Some(ours));
    assert_eq!(fork_of(&run, 0), None);
    run.world.start(1);
    pass(&mut run, 2_000);
    if finalized(&run, 0) == (height, ours) {
        tell(&mut run, certificate);
        assert_eq!(fork_of(&run, 0), None, "what an operator decided against is no news");
    }
    // The choice is remembered without the flag; others that stopped get theirs.
    restart(&mut run, 0, None);
    assert_eq!(fork_of(&run, 0), None);
    for host in 1..4 {
        let chosen = fork_of(&run, host).map(|fork| fork.ours);
        restart(&mut run, host, chosen.or(Some(ours)));
    }
    pass(&mut run, 15_000);
    assert!(heights(&run).iter().all(|now| *now > height + 3), "{:?}", heights(&run));
    assert!((0..4).all(|host| fork_of(&run, host).is_none()));
}

/// Another history of the same validators: all are as in [`four_at`] with this seed, until one is away.
fn other_chain(seed: u64, height: u64) -> Vec<Block> {
    let (mut run, _) = four_at(3, seed, Vec::new());
    run.world.crash(3, Loss::Unsynced);
    while finalized(&run, 0).0 < height {
        pass(&mut run, 100);
    }
    let tree = run.world.hosts[0].node().unwrap().tree();
    let hash = |number| tree.canonical(number).unwrap().unwrap();
    (1..=height).map(|number| run.world.blocks[&hash(number)].block.block.clone()).collect()
}

/// Runs four validators until the first one has decided this height, and takes the others away.
fn alone_at(seed: u64, height: u64) -> Run {
    let (mut run, _) = four_at(3, seed, Vec::new());
    while finalized(&run, 0).0 < height {
        pass(&mut run, 1);
    }
    assert_eq!(finalized(&run, 0).0, height);
    for host in 1..4 {
        run.world.crash(host, Loss::Unsynced);
    }
    // Until what the others made, or will have made, is not from the future.
    pass(&mut run, 60_000);
    run
}

fn submit(run: &mut Run, ticket: u64, block: &Block) {
    run.world.give(0, Input::SubmitBlock(ticket, Box::new(block.clone())));
    pass(run, 100);
}

#[test]
fn blocks_that_prove_a_fork_stop_a_node_and_what_follows_is_not_taken() {
    let seed = 5;
    let other = other_chain(seed, 20);
    let own = {
        let run = alone_at(seed, 12);
        let tree = run.world.hosts[0].node().unwrap().tree();
        (1..=12).map(|number| tree.canonical(number).unwrap().unwrap()).collect::<Vec<_>>()
    };
    // The first height whose final blocks differ.
    let at = own.iter().zip(&other).position(|(own, other)| *own != other.hash()).unwrap();
    let (height, theirs) = (at as u64 + 1, other[at].hash());
    // The block that proves it is at the height that the node decides, or one below.
    for head in [height, height + 1] {
        let mut run = alone_at(seed, head);
        let ours = finalized(&run, 0).1;
        submit(&mut run, 1, &other[at]);
        assert_eq!(fork_of(&run, 0), None, "a mere proposal proves nothing");
        submit(&mut run, 2, &other[at + 1]);
        let fork = Some(Fork { height, theirs, ours });
        assert_eq!(fork_of(&run, 0), fork, "at {head}");
        for (block, ticket) in other[at + 2..].iter().zip(3..) {
            submit(&mut run, ticket, block);
            let node = run.world.hosts[0].node().unwrap();
            assert!(!node.tree().contains(block.hash()));
            assert_eq!(node.loads().get("staged"), Some(0));
        }
        restart(&mut run, 0, None);
        submit(&mut run, 99, &other[at + 2]);
        assert!(!run.world.hosts[0].node().unwrap().tree().contains(other[at + 2].hash()));
        assert_eq!((fork_of(&run, 0), finalized(&run, 0)), (fork, (head, ours)));
    }
}

/// In a fork by a liar each of two victims has its own final block, and nobody tells the other's certificate until
/// they hear each other again.
#[test]
fn victims_of_a_fork_stop_when_they_hear_of_each_other() {
    let text = include_str!("../../../kette/presets/scenarios/bft-fork.toml")
        .replace("\"50s\"", "\"20s\"");
    let scenario = crate::bft::of(&text);
    let mut run = Run::with_checkers(&scenario, &RunOptions::default(), Vec::new()).unwrap();
    while run.advance(u64::MAX) {}
    let victims = [0, 1].map(|host| (fork_of(&run, host), finalized(&run, host)));
    assert_ne!(victims[0].1, victims[1].1, "they forked");
    assert!(victims.iter().all(|(fork, _)| fork.is_some()), "{victims:?}");
}

/// The chain that operators decided against may have gone on: its certificates, which anybody can keep, are as good as
/// any. Whoever took one for the decision of its height would wait for a block that it never takes.
#[test]
fn certificates_of_a_refused_chain_do_not_park_those_who_went_on() {
    let (mut run, _) = four_at(3, 1, Vec::new());
    while (1..4).any(|host| finalized(&run, host) != finalized(&run, 0)) {
        pass(&mut run, 1);
    }
    let (height, ours) = finalized(&run, 0);
    let refused = precommits(&run.world, height, B256::repeat_byte(7));
    for host in 0..4 {
        tell_one(&mut run, host, refused.clone());
    }
    pass(&mut run, 2_000);
    assert!((0..4).all(|host| fork_of(&run, host).is_some_and(|fork| fork.ours == ours)));
    for host in 0..4 {
        run.world.crash(host, Loss::Unsynced);
        run.world.hosts[host].config.local.resume_after_fork = Some(ours);
    }
    for host in 0..4 {
        run.world.start(host);
    }
    pass(&mut run, 5_000);
    let before = heights(&run);
    assert!((0..4).all(|host| fork_of(&run, host).is_none()));
    for host in 0..4 {
        let next = finalized(&run, host).0 + 1;
        let certificate = precommits(&run.world, next, B256::repeat_byte(8));
        tell_one(&mut run, host, certificate);
    }
    pass(&mut run, 15_000);
    let after = heights(&run);
    assert!(after.iter().zip(&before).all(|(after, before)| *after > before + 3), "{after:?}");
    // The choice is still known when its height is long decided, the log was cut, and no flag is there.
    restart(&mut run, 0, None);
    tell(&mut run, refused);
    assert!((0..4).all(|host| fork_of(&run, host).is_none()));
}

/// A node that synced the chosen chain anew has met no fork. The operator's word covers what contradicts the block that
/// was named, and nothing above it.
#[test]
fn who_never_stopped_keeps_the_block_that_an_operator_named() {
    for (chosen, named) in [(true, 0), (true, 1), (false, 0)] {
        let (mut run, notes) = four_at(4, 2, Vec::new());
        for host in [1, 2, 3] {
            run.world.crash(host, Loss::Unsynced);
        }
        // Two of four decide nothing, and know the same by then.
        run.world.start(1);
        pass(&mut run, 2_000);
        let (head, ours) = finalized(&run, 0);
        let tree = run.world.hosts[0].node().unwrap().tree();
        let below = tree.canonical(head - 1).unwrap().unwrap();
        let block = [ours, below][named];
        restart(&mut run, 0, chosen.then_some(block));
        let covered = head - named as u64;
        let certificate = precommits(&run.world, covered, B256::repeat_byte(7));
        tell(&mut run, certificate);
        assert_eq!(fork_of(&run, 0).is_none(), chosen, "{chosen} {named}");
        assert_eq!(finalized(&run, 0), (head, ours));
        if !chosen {
            continue;
        }
        let told = || notes.borrow().alarms.iter().filter(|(host, _)| *host == 0).count();
        let met = told();
        for byte in 20..24 {
            let another = precommits(&run.world, covered, B256::repeat_byte(byte));
            tell(&mut run, another);
        }
        assert_eq!((told(), fork_of(&run, 0)), (met, None), "one height is decided once");
        restart(&mut run, 0, None);
        for byte in [7, 20, 24] {
            let certificate = precommits(&run.world, covered, B256::repeat_byte(byte));
            tell(&mut run, certificate);
        }
        assert_eq!(fork_of(&run, 0), None, "it was written down");
        restart(&mut run, 0, Some(block));
        if named == 1 {
            let above = precommits(&run.world, head, B256::repeat_byte(8));
            tell(&mut run, above);
            assert!(fork_of(&run, 0).is_some(), "a fork above the block is another one");
        }
    }
}

/// A certificate of a block that is not here is the decision of its height, unless an operator's choice is so recent that
/// it may be of the chain that was refused. A flag that was left in place is no such choice.
#[test]
fn a_flag_that_names_an_old_block_hides_no_decision() {
    for (named, hides) in [(1, false), (66, true)] {
        let (mut run, _) = four_at(70, 2, Vec::new());
        let tree = run.world.hosts[0].node().unwrap().tree();
        let block = tree.canonical(named).unwrap().unwrap();
        restart(&mut run, 0, Some(block));
        while (1..4).any(|host| finalized(&run, host) != finalized(&run, 0)) {
            pass(&mut run, 1);
        }
        let head = finalized(&run, 0).0;
        let certificate = precommits(&run.world, head + 1, B256::repeat_byte(8));
        tell_one(&mut run, 0, certificate);
        pass(&mut run, 15_000);
        let now = heights(&run);
        let went_on = now.iter().all(|now| *now > head + 3);
        let waited = now.iter().all(|now| *now <= head + 1);
        assert_eq!((went_on, waited), (hides, !hides), "{named}: {head} to {now:?}");
    }
}

#[test]
fn without_a_fork_there_is_none() {
    let mut run = Run::with_checkers(&four(""), &RunOptions::default(), Vec::new()).unwrap();
    while run.advance(u64::MAX) {}
    assert!((0..4).all(|host| fork_of(&run, host).is_none()));
}
