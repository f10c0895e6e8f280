//! Hostile peers, clients and files against a running node: it must bound what it spends on them, blame whom
//! it should, and go on with everybody else.

mod forge;
mod peer;

use crate::harness::{Chain, Node, Ports, figure, secs, until};
use alloy_consensus::Signed;
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Signature, TxKind, hex, keccak256};
use forge::{Forge, announce, announce_with, call};
use kette_types::{
    Address, B256, Bytes, DisconnectReason, Message, SealedHeader, Transaction, U256,
    message::ChainStatus,
};
use peer::{Rogue, hello};
use serde_json::json;
use std::time::{Duration, Instant};

/// A chain on which every nonce wins, and a node on it that does not mine.
fn victim(ports: &Ports, chain_id: u64) -> (Chain, Node) {
    let chain = Chain::fixed(chain_id, 1);
    let node = Node::new(ports, 0, &chain).up();
    (chain, node)
}

fn reaches(node: &Node, height: u64) {
    until("the height", secs(20), || match node.rpc.height() {
        Ok(found) if found == height => Ok(()),
        other => Err(other),
    });
}

/// The most memory that the process ever had, bytes.
fn peak(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a process has it");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("KiB") * 1_024
}

/// Processor time that the process used, milliseconds; the kernel counts hundredths of a second.
fn cpu(node: &Node) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    (fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")) * 10
}

/// Announces a block and answers what the node asks of it.
fn feed(rogue: &mut Rogue, block: &kette_types::Block) {
    let whole = block.body.transactions.is_empty();
    assert!(rogue.say(announce(block)));
    if whole {
        return;
    }
    let indexes = rogue.hear(secs(10), |message| match message {
        Message::GetBlockTransactions { indexes, .. } => Some(indexes.clone()),
        _ => None,
    });
    let indexes = indexes.expect("the node asks for the transactions");
    let picked = indexes.iter().map(|index| block.body.transactions[*index as usize].clone());
    let transactions = picked.collect();
    assert!(rogue.say(Message::BlockTransactions { block: block.hash(), transactions }));
}

const MIB: u64 = 1 << 20;

/// Waits until the session ends by a ban. The goodbye may be lost with the connection, the ban is not.
#[track_caller]
fn banned(rogue: &mut Rogue, node: &Node) {
    let reason = rogue.ended(secs(10));
    let lost = DisconnectReason::ConnectionLost;
    assert!(reason == DisconnectReason::Banned || reason == lost, "{reason}");
    let status = node.rpc.ask("kette_status", json!([]));
    assert_eq!(status["counters"]["bans"], 1, "{reason}");
}

#[test]
fn bytes_beside_a_header_do_not_turn_others_against_its_block() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_401);
    let block = Forge::new(&chain).block(Vec::new());
    let mut rogue = Rogue::ready(&node, &chain, 1);
    // The hash does not cover what is beside the header.
    let sealed = SealedHeader::new(block.header.header().clone(), Bytes::from_static(&[0]));
    assert_eq!(sealed.hash(), block.hash());
    assert!(rogue.say(announce_with(sealed, Vec::new())));
    banned(&mut rogue, &node);
    // What went wrong is counted once (requirement A30).
    let errors = node.rpc.ask("kette_observe", json!([]))["errors"].clone();
    assert_eq!(errors, json!({ "lastMinute": 1, "kinds": { "peer_fault": 1 } }));
    let mut honest = Rogue::ready(&node, &chain, 2);
    assert!(honest.say(announce(&block)));
    reaches(&node, 1);
    assert!(honest.stands());
}

#[test]
fn repeated_short_ids_do_not_multiply_a_transaction() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_402);
    let large = call(&chain, 0, 0, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024]);
    node.rpc
        .ask("eth_sendRawTransaction", json!([hex::encode_prefixed(large.inner().encoded_2718())]));
    let forge = Forge::new(&chain);
    let header = forge.header(forge.head.timestamp + 12, |header| {
        header.transactions_root = B256::repeat_byte(1);
    });
    let body = alloy_consensus::BlockBody {
        transactions: vec![large.inner().clone()],
        ..Default::default()
    };
    let id = kette_node::relay::compact(&kette_types::Block { header: header.clone(), body })
        .short_ids[0];
    let before = node.rss();
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let started = Instant::now();
    assert!(rogue.say(announce_with(header, vec![id; 65_536])));
    assert!(rogue.stands());
    let took = started.elapsed();
    figure("answer after repeated short ids, s", took.as_secs_f64());
    assert!(took < secs(2), "{took:?}");
    let grown = peak(&node).saturating_sub(before);
    figure("memory for repeated short ids, MiB", grown / MIB);
    assert!(grown < 64 * MIB, "{grown}");
}

#[test]
fn repeated_indexes_do_not_multiply_a_transaction() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_403);
    let large = call(&chain, 0, 0, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024]);
    node.rpc
        .ask("eth_sendRawTransaction", json!([hex::encode_prefixed(large.inner().encoded_2718())]));
    let block = Forge::new(&chain).block(vec![large]);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    assert!(rogue.say(announce(&block)));
    reaches(&node, 1);
    let before = node.rss();
    let started = Instant::now();
    let request = Message::GetBlockTransactions { block: block.hash(), indexes: vec![0; 4_096] };
    assert!(rogue.say(request));
    let got = rogue.hear(secs(5), |message| match message {
        Message::BlockTransactions { transactions, .. } => Some(transactions.len()),
        _ => None,
    });
    figure("answer to repeated indexes, s", started.elapsed().as_secs_f64());
    figure("transactions in the answer", format!("{got:?}"));
    let grown = peak(&node).saturating_sub(before);
    figure("memory for repeated indexes, MiB", grown / MIB);
    assert!(grown < 64 * MIB, "{grown}");
}

#[test]
fn the_largest_numbers_do_no_harm() {
    let ports = Ports::claim();
    let (chain, mut node) = victim(&ports, 9_404);
    let extreme = ChainStatus {
        head: B256::repeat_byte(9),
        number: u64::MAX,
        weight: U256::MAX,
        finalized: u64::MAX,
    };
    let forge = Forge::new(&chain);
    for (seed, clock_ms) in [(1, u64::MAX), (2, i64::MAX.unsigned_abs()), (3, 0)] {
        let mut rogue = Rogue::silent(&node, &chain, seed);
        let mut words = hello(&chain, extreme);
        words.clock_ms = clock_ms;
        rogue.say(Message::Hello(Box::new(words)));
        assert!(rogue.stands(), "{clock_ms}");
        rogue.say(Message::Status(extreme));
        rogue.say(Message::GetHeaders {
            id: u64::MAX,
            locator: vec![forge.head.hash()],
            limit: u32::MAX,
        });
        rogue.say(Message::GetBlockTransactions {
            block: forge.head.hash(),
            indexes: vec![u32::MAX],
        });
        assert!(rogue.stands(), "{clock_ms}");
    }
    let changes: [fn(&mut kette_types::Header); 6] = [
        |_| {},
        |header| header.number = u64::MAX,
        |header| header.difficulty = U256::MAX,
        |header| header.gas_limit = u64::MAX,
        |header| header.base_fee_per_gas = Some(u64::MAX),
        |header| header.parent_hash = B256::repeat_byte(3),
    ];
    let mut seed = 10;
    for timestamp in [u64::MAX, i64::MAX.unsigned_abs(), u64::MAX / 1_000, 0] {
        for change in changes {
            let header = forge.header(timestamp, change);
            let rogue = Rogue::ready(&node, &chain, seed);
            rogue.say(announce_with(header, Vec::new()));
            seed += 1;
            assert!(node.ended().is_none(), "{timestamp}");
        }
    }
    let mut forge = forge;
    let honest = Rogue::ready(&node, &chain, 200);
    honest.say(announce(&forge.block(Vec::new())));
    reaches(&node, 1);
}

#[test]
fn every_bad_beginning_has_its_reason() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_405);
    let good = hello(&chain, ChainStatus::default());
    let with = |change: fn(&mut kette_types::Hello)| {
        let mut words = good.clone();
        change(&mut words);
        Message::Hello(Box::new(words))
    };
    let greeting = Message::Hello(Box::new(good.clone()));
    let cases = [
        (vec![Message::Ping(1)], DisconnectReason::MessageBeforeHello),
        (vec![with(|hello| hello.version += 1)], DisconnectReason::WrongVersion),
        (vec![with(|hello| hello.chain_id += 1)], DisconnectReason::WrongChainId),
        (vec![with(|hello| hello.genesis = B256::ZERO)], DisconnectReason::WrongGenesis),
        (vec![with(|hello| hello.rules = B256::ZERO)], DisconnectReason::WrongGenesis),
        (vec![greeting; 3], DisconnectReason::ProtocolViolation),
        (Vec::new(), DisconnectReason::HelloTimeout),
    ];
    for (seed, (messages, reason)) in (1..).zip(cases) {
        let mut rogue = Rogue::silent(&node, &chain, seed);
        for message in messages {
            rogue.say(message);
        }
        let started = Instant::now();
        assert_eq!(rogue.ended(secs(10)), reason);
        figure(&format!("until {reason:?}, ms"), started.elapsed().as_millis());
    }
    assert!(Rogue::ready(&node, &chain, 100).stands());
}

#[test]
fn a_block_that_does_not_execute_bans_its_sender_at_once() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_406);
    let forge = Forge::new(&chain);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    for nonce in 0..100u64 {
        let header = forge.header(forge.head.timestamp + 12, |header| {
            header.state_root = B256::repeat_byte(7);
            header.nonce = nonce.to_be_bytes().into();
        });
        rogue.say(announce_with(header, Vec::new()));
    }
    banned(&mut rogue, &node);
    let executed = node.log_text().matches("invalid block").count();
    figure("invalid blocks executed for one peer", executed);
    assert!(executed <= 16, "{executed}");
}

#[test]
fn floods_of_inventory_end_the_session_and_leave_nothing() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_407);
    let unsigned = |nonce| alloy_consensus::TxEip1559 {
        chain_id: chain.spec().chain_id(),
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(Address::ZERO),
        ..Default::default()
    };
    let signed = |nonce, r: U256| {
        let signature = Signature::new(r, U256::from(nonce + 1), false);
        Transaction::Eip1559(Signed::new_unhashed(unsigned(nonce), signature))
    };
    let hashes = |n: u64| (0..1_000u64).map(|i| keccak256((1_000 * n + i).to_be_bytes())).collect();
    let forged = |n: u64| (500 * n..500 * n + 500).map(|i| signed(i, U256::MAX)).collect();
    // Whatever the signature recovers to has no money.
    let unfunded =
        |n: u64| (500 * n..500 * n + 500).map(|i| signed(i, U256::from(i + 7))).collect();
    let floods: [(&str, &dyn Fn(u64) -> Message); 4] = [
        ("announced hashes of nothing", &|n| Message::NewTransactions(hashes(n))),
        ("questions for nothing", &|n| Message::GetTransactions(hashes(n))),
        ("transactions that nobody signed", &|n| Message::Transactions(forged(n))),
        ("transactions of the poor", &|n| Message::Transactions(unfunded(n))),
    ];
    const ENDS: [DisconnectReason; 2] =
        [DisconnectReason::ProtocolViolation, DisconnectReason::Banned];
    let before = node.rss();
    for (seed, (what, make)) in (1..).zip(floods) {
        let messages: Vec<Message> = (0..300).map(make).collect();
        let mut rogue = Rogue::ready(&node, &chain, seed);
        let (started, spent) = (Instant::now(), cpu(&node));
        for message in messages {
            if !rogue.say(message) && !rogue.stands() {
                break;
            }
        }
        let reason = rogue.ended(secs(10));
        assert!(ENDS.contains(&reason), "{what}: {reason:?}");
        figure(&format!("{what}: session ended after, ms"), started.elapsed().as_millis());
        figure(&format!("{what}: processor, ms"), cpu(&node) - spent);
    }
    let status = node.rpc.status();
    assert_eq!((&status["pending"], &status["queued"]), (&json!(0), &json!(0)));
    let grown = node.rss().saturating_sub(before);
    figure("memory after all floods, MiB", grown / MIB);
    assert!(grown < 64 * MIB, "{grown}");
}

#[test]
fn answers_that_nobody_reads_cost_little_and_delay_nobody() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_408);
    let mut honest = Rogue::ready(&node, &chain, 2);
    let large =
        |nonce| call(&chain, 0, nonce, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 << 10]);
    let block = Forge::new(&chain).block((0..10).map(large).collect());
    feed(&mut honest, &block);
    reaches(&node, 1);
    let before = node.rss();
    let mut rogue = Rogue::ready(&node, &chain, 1);
    for id in 0..1_000 {
        rogue.say(Message::GetBodies { id, hashes: vec![block.hash(); 128] });
    }
    let mut worst = Duration::ZERO;
    for id in 0..50 {
        let asked = Instant::now();
        honest.say(Message::GetBodies { id, hashes: vec![block.hash()] });
        let answer = honest
            .hear(secs(10), |message| matches!(message, Message::Bodies { .. }).then_some(()));
        assert!(answer.is_some(), "question {id} stayed unanswered");
        worst = worst.max(asked.elapsed());
    }
    figure("an honest question beside a thousand, worst, ms", worst.as_millis());
    let grown = peak(&node).saturating_sub(before);
    figure("memory for unread answers, MiB", grown / MIB);
    assert!(grown < 128 * MIB, "{grown}");
    rogue.ended(secs(10));
}

#[test]
fn more_sessions_than_slots_are_sent_away_and_the_node_goes_on() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_409);
    let before = node.rss();
    let mut crowd = Vec::new();
    let mut refused = 0;
    for seed in 1..=110 {
        let Ok(mut rogue) = Rogue::connect(&node, &chain, seed) else {
            refused += 1;
            continue;
        };
        rogue.say(Message::Hello(Box::new(hello(&chain, ChainStatus::default()))));
        if rogue.stands() {
            crowd.push(rogue);
        } else {
            refused += 1;
        }
    }
    figure("sessions let in and refused", format!("{} {refused}", crowd.len()));
    assert_eq!(node.rpc.peers(), Ok(crowd.len()));
    assert!(crowd.len() <= 96 && refused > 0);
    let grown = node.rss().saturating_sub(before);
    figure("memory per session, KiB", grown / crowd.len() as u64 / 1_024);
    assert!(crowd[0].say(announce(&Forge::new(&chain).block(Vec::new()))));
    reaches(&node, 1);
}
