//! What clients and operators ask for, transactions of peers, and who is let in.

use super::{
    forge::{Forge, after, dynamic, key, recovered, sign, transfer, who},
    world::{World, secs},
};
use crate::{Command, CommandError, Event, Input, Rejection, Reply};
use alloy_consensus::SignableTransaction;
use alloy_primitives::Signature;
use kette_consensus::Command as Engine;
use kette_types::{
    B256, Block, DisconnectReason, Fault, Message, Transaction, U256, message::ChainStatus,
};
use std::time::Duration;

#[test]
fn conflicting_nonces_end_with_one_of_them_everywhere() {
    let mut world = World::new(3);
    world.mesh();
    world.run(secs(2));
    let cheap = transfer(0, 0);
    let mut better = dynamic(0, who(3), 7);
    (better.max_fee_per_gas, better.max_priority_fee_per_gas) =
        (better.max_fee_per_gas * 2, better.max_priority_fee_per_gas * 2);
    let better = sign(&key(0), better);
    world.submit(0, &cheap).unwrap();
    world.submit(2, &better).unwrap();
    world.run(secs(3));
    for i in 0..3 {
        assert!(world.pool(i).contains(*better.tx_hash()) && world.pool(i).len() == 1);
    }
    assert_eq!(world.hosts[0].disk.pending(), 0, "the replaced one is forgotten");
    let refused = world.submit(1, &cheap);
    let underpriced = Err(CommandError::Transaction(Rejection::Underpriced {
        fee_cap: 0,
        floor: 0,
        base_fee: 0,
    }));
    assert!(refused.is_err() && refused != underpriced);
    assert!((0..3).all(|i| world.faults(i).is_empty()));
    world.mine(1, true);
    world.run_until("a block", secs(100), |w| (0..3).all(|i| w.pool(i).is_empty()));
}

#[test]
fn a_bad_signature_from_a_peer_is_a_fault_and_goes_nowhere() {
    let mut world = World::new(2);
    world.link(0, 1);
    world.run(secs(1));
    let p = world.quiet(0);
    let unsigned = dynamic(0, who(1), 1);
    let bad: Transaction =
        unsigned.into_signed(Signature::new(U256::ZERO, U256::ZERO, false)).into();
    world.say(p, Message::Transactions(vec![bad, transfer(0, 0)]));
    world.run(secs(1));
    assert!(matches!(world.blamed(p)[..], [Fault::InvalidTransaction(_)]));
    assert_eq!((world.pool(0).len(), world.pool(1).len()), (1, 1), "the good one is taken");
}

#[test]
fn transactions_of_a_peer_that_no_state_allows_are_faults_and_others_are_not() {
    let mut world = World::new(1);
    let case = |world: &mut World, transaction: Transaction| {
        let p = world.quiet(0);
        world.say(p, Message::Transactions(vec![transaction]));
        world.run(secs(1));
        world.blamed(p).len()
    };
    let mut foreign = dynamic(0, who(0), 1);
    foreign.chain_id = 5;
    assert_eq!(case(&mut world, sign(&key(0), foreign)), 1);
    let mut little = dynamic(0, who(0), 1);
    little.gas_limit = 20_999;
    assert_eq!(case(&mut world, sign(&key(0), little)), 1);
    let mut poor = dynamic(0, who(0), 1);
    poor.value = U256::MAX >> 1;
    assert_eq!(case(&mut world, sign(&key(0), poor)), 0);
    assert_eq!(case(&mut world, transfer(0, 5_000)), 0, "a nonce gap is our view");
    assert_eq!(world.pool(0).len(), 0);
}

#[test]
fn a_flood_of_transactions_is_bounded_and_blamed() {
    let mut world = World::new(1);
    let p = world.quiet(0);
    // Nobody asked for these, and each costs a recovery: the share of one peer is what it is.
    let flood: Vec<Transaction> = (0..1_000).map(|nonce| transfer(9, nonce)).collect();
    let mut said = 0;
    while world.puppets[p].closed.is_none() && said < 200 {
        world.say(p, Message::Transactions(flood.clone()));
        said += 1;
    }
    assert!(said < 200, "nobody may send so much at once");
    assert!(world.blamed(p).contains(&Fault::RateLimit));
    assert_eq!(world.pool(0).len(), 0);
}

#[test]
fn requests_beyond_a_peers_share_are_blamed() {
    let mut world = World::new(1);
    let p = world.quiet(0);
    let mut said = 0;
    while world.puppets[p].closed.is_none() && said < 50_000 {
        world.say(p, Message::GetBodies { id: said, hashes: vec![B256::ZERO; 128] });
        world.hear(p);
        said += 1;
    }
    assert!(said < 50_000, "floods end the session");
    assert!(world.blamed(p).iter().all(|fault| *fault == Fault::RateLimit));
}

#[test]
fn a_message_before_the_hello_ends_the_session() {
    let mut world = World::new(1);
    let p = world.stranger(0);
    world.say(p, Message::Ping(1));
    assert_eq!(world.puppets[p].closed, Some(DisconnectReason::MessageBeforeHello));
    assert_eq!(world.blamed(p), [Fault::HelloOrder]);
}

#[test]
fn another_chain_is_refused_with_a_reason() {
    let mut world = World::new(1);
    type Spoil = fn(&mut kette_types::Hello);
    let cases: [(Spoil, DisconnectReason); 3] = [
        (|h| h.genesis = B256::ZERO, DisconnectReason::WrongGenesis),
        (|h| h.chain_id = 1, DisconnectReason::WrongChainId),
        (|h| h.version = 99, DisconnectReason::WrongVersion),
    ];
    for (spoil, reason) in cases {
        let p = world.stranger(0);
        let mut hello = world.hello(ChainStatus::default());
        spoil(&mut hello);
        world.say(p, Message::Hello(Box::new(hello)));
        assert_eq!(world.puppets[p].closed, Some(reason));
        assert!(world.hear(p).iter().any(|m| **m == Message::Goodbye(reason)));
    }
}

#[test]
fn engine_messages_are_a_fault_in_pow() {
    let mut world = World::new(1);
    let p = world.quiet(0);
    world.say(p, Message::Engine(vec![1, 2, 3].into()));
    assert!(matches!(world.blamed(p)[..], [Fault::Engine(_)]));
}

fn blocks(world: &mut World, n: u64) {
    let height = world.height(0);
    world.engine(0, Engine::MineBlocks(n)).unwrap();
    world.run_until("mined blocks", secs(1_000), |w| w.height(0) == height + n);
    world.run(secs(30));
    assert_eq!(world.height(0), height + n, "no more than ordered");
}

#[test]
fn ordered_blocks_are_mined_and_a_rollback_undoes_them() {
    let mut world = World::new(1);
    world.submit(0, &transfer(0, 0)).unwrap();
    blocks(&mut world, 30);
    world.check(0);
    for to in [29, 27, 20, 12, 3, 0] {
        let hash = world.node(0).tree().canonical(to).unwrap().unwrap();
        assert_eq!(world.command(0, Command::Rollback(hash)), Ok(Reply::Done));
        assert_eq!(world.height(0), to);
        assert!(world.node(0).tree().finalized().0 <= to);
        world.check(0);
        world.crash(0);
        world.start(0);
        assert_eq!(world.height(0), to);
        world.run(secs(1));
    }
    assert_eq!(world.pool(0).len(), 0, "a crash forgets what was in a block that is undone");
    blocks(&mut world, 40);
    world.check(0);
    let unknown = world.command(0, Command::Rollback(B256::repeat_byte(7)));
    assert!(matches!(unknown, Err(CommandError::Engine(_))));
}

#[test]
fn a_rollback_gives_transactions_back() {
    let mut world = World::new(1);
    world.submit(0, &transfer(0, 0)).unwrap();
    blocks(&mut world, 3);
    assert_eq!(world.pool(0).len(), 0);
    let genesis = world.genesis;
    world.command(0, Command::Rollback(genesis)).unwrap();
    assert_eq!(world.pool(0).len(), 1);
    blocks(&mut world, 1);
    let state = &world.node(0).tree().head_block().state;
    assert_eq!(state.account(who(0)).unwrap().unwrap().nonce, 1);
    world.check(0);
}

#[test]
fn a_client_learns_what_became_of_its_block() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let chain = forge.chain(forge.genesis, 3, &after(12));
    let bad = forge.spoilt(chain[2].hash(), &after(12), |h, _| h.gas_used = 1);
    let mut hand_in = |block: &Block| {
        let block = Box::new(block.clone());
        world.ask(0, |ticket| Input::SubmitBlock(ticket, block))
    };
    let tickets = [hand_in(&chain[1]), hand_in(&chain[1]), hand_in(&chain[0])];
    let late = [hand_in(&chain[1]), hand_in(&chain[2]), hand_in(&bad), hand_in(&bad)];
    world.run(secs(1));
    let reply = |ticket: u64| world.hosts[0].replies.get(&ticket).cloned();
    assert_eq!(reply(tickets[0]), Some(Ok(Reply::Block(chain[1].hash()))));
    assert!(reply(tickets[1]).is_some(), "every question is answered");
    assert_eq!(reply(tickets[2]), Some(Ok(Reply::Block(chain[0].hash()))));
    assert_eq!(reply(late[0]), Some(Ok(Reply::Block(chain[1].hash()))));
    assert_eq!(reply(late[1]), Some(Ok(Reply::Block(chain[2].hash()))));
    assert!(matches!(reply(late[2]), Some(Err(CommandError::Block(_)))));
    assert!(matches!(reply(late[3]), Some(Err(CommandError::Block(_)))));
    assert_eq!(world.count(0, |e| matches!(e, Event::Head { .. })), 3);
}

#[test]
fn an_orphan_of_a_client_goes_on_when_sync_knows_its_header() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let chain = forge.chain(forge.genesis, 3, &after(12));
    let tip = chain[2].hash();
    let block = Box::new(chain[2].clone());
    let ticket = world.ask(0, |ticket| Input::SubmitBlock(ticket, block));
    let p = world.puppet(0, 3, forge.weight(tip));
    // Of three bodies that it was asked for only the first comes: the last is here, and not asked for for ever.
    for _ in 0..20 {
        for message in world.hear(p) {
            let mut answer = forge.answer(tip, &message);
            if let Some(Message::Bodies { bodies, .. }) = &mut answer {
                bodies.truncate(if world.height(0) == 0 { 1 } else { 9 });
            }
            answer.into_iter().for_each(|answer| world.say(p, answer));
        }
        world.run(Duration::from_millis(50));
    }
    assert_eq!(world.head(0), tip, "{}", world.describe());
    assert_eq!(world.hosts[0].replies.get(&ticket), Some(&Ok(Reply::Block(tip))));
    assert!(world.hosts[0].asked.iter().filter(|hash| **hash == tip).count() <= 2);
    world.check(0);
}

#[test]
fn an_orphan_of_a_client_is_answered_when_it_expires() {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let chain = forge.chain(forge.genesis, 2, &after(12));
    let block = Box::new(chain[1].clone());
    let ticket = world.ask(0, |ticket| Input::SubmitBlock(ticket, block));
    world.run(secs(700));
    assert!(matches!(world.hosts[0].replies.get(&ticket), Some(Err(_))));
    assert_eq!(recovered(&transfer(1, 0)).signer(), who(1));
}
