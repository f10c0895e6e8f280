//! Hostile peers, clients and files against a running node: it must bound what it spends on them, blame whom
//! it should, and go on with everybody else.

mod forge;
mod peer;

use crate::harness::{Chain, Node, Ports, figure, secs, until};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{TxKind, hex};
use forge::{Forge, announce, announce_with, call};
use kette_types::{
    Address, B256, Bytes, DisconnectReason, Message, SealedHeader, U256, message::ChainStatus,
};
use peer::{Rogue, claim, hello};
use serde_json::json;
use std::time::Instant;

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

const MIB: u64 = 1 << 20;

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
    assert_eq!(rogue.ended(secs(10)), DisconnectReason::Banned);
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
    node.rpc.ask("eth_sendRawTransaction", json!([hex::encode_prefixed(large.inner().encoded_2718())]));
    let forge = Forge::new(&chain);
    let header = forge.header(forge.head.timestamp + 12, |header| {
        header.transactions_root = B256::repeat_byte(1);
    });
    let body = alloy_consensus::BlockBody {
        transactions: vec![large.inner().clone()],
        ..Default::default()
    };
    let id = kette_node::relay::compact(&kette_types::Block { header: header.clone(), body }).short_ids[0];
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
    node.rpc.ask("eth_sendRawTransaction", json!([hex::encode_prefixed(large.inner().encoded_2718())]));
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
        rogue.say(Message::GetHeaders { id: u64::MAX, locator: vec![forge.head.hash()], limit: u32::MAX });
        rogue.say(Message::GetBlockTransactions { block: forge.head.hash(), indexes: vec![u32::MAX] });
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
        (vec![Message::GetPeers], DisconnectReason::MessageBeforeHello),
        (vec![with(|hello| hello.version += 1)], DisconnectReason::WrongVersion),
        (vec![with(|hello| hello.chain_id += 1)], DisconnectReason::WrongChainId),
        (vec![with(|hello| hello.genesis = B256::ZERO)], DisconnectReason::WrongGenesis),
        (vec![with(|hello| hello.rules = B256::ZERO)], DisconnectReason::WrongGenesis),
        (vec![greeting; 3], DisconnectReason::ProtocolViolation),
        (Vec::new(), DisconnectReason::HelloTimeout),
    ];
    for (seed, (messages, reason)) in (1..).zip(cases) {
        let mut rogue = Rogue::silent(&node, &chain, seed);
        messages.into_iter().for_each(|message| drop(rogue.say(message)));
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
    assert_eq!(rogue.ended(secs(10)), DisconnectReason::Banned);
    let executed = node.log_text().matches("invalid block").count();
    figure("invalid blocks executed for one peer", executed);
    assert!(executed <= 16, "{executed}");
}

#[test]
fn exp_bad_signatures() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_407);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let mut all = Vec::new();
    for nonce in 0..20_000u64 {
        let tx = alloy_consensus::TxEip1559 { chain_id: 9_407, nonce, gas_limit: 21_000, max_fee_per_gas: 2_000_000_000, to: TxKind::Call(Address::ZERO), ..Default::default() };
        let signature = alloy_primitives::Signature::new(U256::MAX, U256::from(nonce + 1), false);
        all.push(kette_types::Transaction::Eip1559(alloy_consensus::Signed::new_unhashed(tx, signature)));
    }
    let before = cpu(&node);
    let started = Instant::now();
    for chunk in all.chunks(1_000) {
        rogue.say(Message::Transactions(chunk.to_vec()));
    }
    figure("EXP bad signatures: end", format!("{:?} {:?} cpu {} ms rss {}", rogue.ended(secs(20)), started.elapsed(), cpu(&node) - before, node.rss() / MIB));
}

fn cpu(node: &Node) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    (fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")) * 10
}

#[test]
fn exp_unfunded() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_408);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let mut all = Vec::new();
    for nonce in 0..20_000u64 {
        // Funded account, gapped nonce far out.
        let tx = alloy_consensus::TxEip1559 { chain_id: 9_408, nonce: nonce + 5, gas_limit: 21_000, max_fee_per_gas: 2_000_000_000, to: TxKind::Call(Address::ZERO), ..Default::default() };
        // A random signature recovers to a random, unfunded sender.
        let signature = alloy_primitives::Signature::new(U256::from(0x1234_5678u64 + nonce), U256::from(nonce + 1), false);
        all.push(kette_types::Transaction::Eip1559(alloy_consensus::Signed::new_unhashed(tx, signature)));
    }
    let before = cpu(&node);
    let started = Instant::now();
    for chunk in all.chunks(500) {
        rogue.say(Message::Transactions(chunk.to_vec()));
    }
    let stands = rogue.stands();
    figure("EXP unfunded", format!("{stands} {:?} {:?} cpu {} ms rss {}", rogue.goodbye, started.elapsed(), cpu(&node) - before, node.rss() / MIB));
}

#[test]
fn exp_fake_hashes() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_409);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let before = (cpu(&node), node.rss());
    let started = Instant::now();
    let mut sent = 0;
    let mut n = 0u64;
    while started.elapsed() < secs(10) {
        let hashes = (0..1_000).map(|_| { n += 1; alloy_primitives::keccak256(n.to_be_bytes()) }).collect();
        if rogue.say(Message::NewTransactions(hashes)) { sent += 1 } else { std::thread::sleep(secs(1) / 100) }
        if rogue.goodbye.is_some() { break }
        while rogue.hear(secs(1) / 1000, |m| matches!(m, Message::GetTransactions(_)).then_some(())).is_some() {}
    }
    figure("EXP fake hashes", format!("sent {sent} {:?} {:?} cpu {} ms rss {} -> {}", rogue.goodbye, started.elapsed(), cpu(&node) - before.0, before.1 / MIB, node.rss() / MIB));
    let started = Instant::now();
    let _ = node.rpc.status();
    figure("EXP status after", format!("{:?}", started.elapsed()));
}

#[test]
fn exp_requests_unread() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_410);
    let mut forge = Forge::new(&chain);
    let mut honest = Rogue::ready(&node, &chain, 2);
    for nonce in 0..20 {
        let block = forge.block(vec![call(&chain, 0, 4 * nonce, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024]),
            call(&chain, 0, 4 * nonce + 1, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024]),
            call(&chain, 0, 4 * nonce + 2, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024]),
            call(&chain, 0, 4 * nonce + 3, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024])]);
        let id = block.hash();
        honest.say(announce(&block));
        let indexes = honest.hear(secs(5), |m| match m { Message::GetBlockTransactions { indexes, .. } => Some(indexes.clone()), _ => None });
        if let Some(indexes) = indexes {
            honest.say(Message::BlockTransactions { block: id, transactions: indexes.iter().map(|i| block.body.transactions[*i as usize].clone()).collect() });
        }
        reaches(&node, forge.head.number);
    }
    let hashes: Vec<B256> = (1..=20).map(|n| node.rpc.hash_at(n).expect("a hash").parse().expect("hex")).collect();
    let before = (cpu(&node), node.rss());
    let mut rogue = Rogue::ready(&node, &chain, 1);
    for id in 0..1_000 {
        rogue.say(Message::GetBodies { id, hashes: hashes.clone() });
    }
    let started = Instant::now();
    let mut worst = std::time::Duration::ZERO;
    let mut answered = 0;
    while started.elapsed() < secs(6) {
        let asked = Instant::now();
        honest.say(Message::GetBodies { id: 7, hashes: hashes[..1].to_vec() });
        if honest.hear(secs(3), |m| matches!(m, Message::Bodies { .. }).then_some(())).is_some() { answered += 1 }
        worst = worst.max(asked.elapsed());
    }
    figure("EXP bodies unread", format!("honest answered {answered} worst {worst:?}; cpu {} ms rss {} -> {} peak {}", cpu(&node) - before.0, before.1 / MIB, node.rss() / MIB, peak(&node) / MIB));
    figure("EXP bodies unread end", format!("{:?}", rogue.ended(secs(10))));
}

#[test]
fn exp_bodies_read() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_411);
    let mut forge = Forge::new(&chain);
    let mut honest = Rogue::ready(&node, &chain, 2);
    let block = forge.block((0..8).map(|n| call(&chain, 0, n, TxKind::Call(Address::ZERO), 2_000_000, vec![0; 100 * 1_024])).collect());
    honest.say(announce(&block));
    let indexes = honest.hear(secs(5), |m| match m { Message::GetBlockTransactions { indexes, .. } => Some(indexes.clone()), _ => None }).expect("asked");
    honest.say(Message::BlockTransactions { block: block.hash(), transactions: indexes.iter().map(|i| block.body.transactions[*i as usize].clone()).collect() });
    reaches(&node, 1);
    let before = (cpu(&node), node.rss());
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let flood = std::thread::spawn(move || {
        let started = Instant::now();
        let (mut sent, mut got) = (0, 0);
        while started.elapsed() < secs(6) {
            if rogue.say(Message::GetBodies { id: sent, hashes: vec![block.hash(); 128] }) { sent += 1 }
            if rogue.hear(secs(1) / 500, |m| matches!(m, Message::Bodies { .. }).then_some(())).is_some() { got += 1 }
            if rogue.goodbye.is_some() { break }
        }
        (sent, got, rogue.goodbye, started.elapsed())
    });
    let started = Instant::now();
    let (mut worst, mut answered, mut missed) = (std::time::Duration::ZERO, 0, 0);
    while started.elapsed() < secs(6) {
        let asked = Instant::now();
        honest.say(Message::GetBodies { id: 7, hashes: vec![forge.head.hash()] });
        if honest.hear(secs(1), |m| matches!(m, Message::Bodies { .. }).then_some(())).is_some() { answered += 1 } else { missed += 1 }
        worst = worst.max(asked.elapsed());
        std::thread::sleep(secs(1) / 20);
    }
    figure("EXP bodies read", format!("honest answered {answered} missed {missed} worst {worst:?}; cpu {} ms rss {} -> {} peak {}; flood {:?}", cpu(&node) - before.0, before.1 / MIB, node.rss() / MIB, peak(&node) / MIB, flood.join().expect("joins")));
}

#[test]
fn exp_fake_addresses() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_412);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut rogue = Rogue::ready(&node, &chain, 1);
    let mut n = 0u16;
    let started = Instant::now();
    let hits = std::thread::spawn(move || {
        listener.set_nonblocking(true).expect("ok");
        let mut hits = 0;
        while started.elapsed() < secs(10) {
            if listener.accept().is_ok() { hits += 1 }
            std::thread::sleep(secs(1) / 100);
        }
        hits
    });
    while started.elapsed() < secs(10) && rogue.goodbye.is_none() {
        let mut list: Vec<kette_types::PeerAddress> = vec![format!("127.0.0.1:{port}").parse().expect("an address")];
        for _ in 0..99 { n = n.wrapping_add(1); list.push(format!("127.0.0.1:{}", 1 + n % 20_000).parse().expect("an address")); }
        rogue.say(Message::Peers(list));
        let _ = rogue.hear(secs(1) / 10, |_| None::<()>);
    }
    let metrics = node.rpc.page("/metrics").expect("a page").1;
    let dials: Vec<&str> = metrics.lines().filter(|l| l.contains("dial") || l.contains("address")).collect();
    figure("EXP fake addresses", format!("{:?} after {:?}; own listener hit {}; {dials:?} log dial failed {}", rogue.goodbye, started.elapsed(), hits.join().expect("joins"), node.log_text().matches("dial failed").count()));
    figure("EXP fake addresses status", node.rpc.status());
}

#[test]
fn exp_heavy_block() {
    let ports = Ports::claim();
    let (chain, node) = victim(&ports, 9_413);
    let mut code = Vec::new();
    let word = |value: &[u8; 32], at: u16, code: &mut Vec<u8>| { code.push(0x7f); code.extend(value); code.push(0x61); code.extend(at.to_be_bytes()); code.push(0x52); };
    for (len, name) in [(32u16, "32"), (64, "64"), (256, "256"), (512, "512")] {
        code.clear();
        for i in 0..3 { word(&U256::from(len).to_be_bytes(), i * 32, &mut code); }
        for at in (96..96 + 3 * len).step_by(32) {
            let mut ff = [0xff; 32];
            if at + 32 == 96 + 3 * len { ff[31] = 0xfe }
            word(&ff, at, &mut code);
        }
        let start = code.len() as u16;
        code.push(0x5b);
        // staticcall(gas, 5, 0, size, 0, 0)
        code.extend([0x5f, 0x5f, 0x61]); code.extend((96 + 3 * len).to_be_bytes());
        code.extend([0x5f, 0x60, 5, 0x5a, 0xfa, 0x50, 0x61]); code.extend(start.to_be_bytes()); code.push(0x56);
        let started = Instant::now();
        let answer = node.rpc.call("eth_call", json!([{ "data": hex::encode_prefixed(&code), "gas": "0x1c00000" }]));
        figure(&format!("EXP modexp {name}, 29M gas eth_call"), format!("{:?} {:?}", started.elapsed(), answer.map_err(|e| e.chars().take(100).collect::<String>())));
    }
    let loops: Vec<u8> = vec![0x5b, 0x5f, 0x56];
    let started = Instant::now();
    let answer = node.rpc.call("eth_call", json!([{ "data": hex::encode_prefixed(&loops), "gas": "0x1c00000" }]));
    figure("EXP jump loop", format!("{:?} {:?}", started.elapsed(), answer.is_err()));
    let mut forge = Forge::new(&chain);
    let block = forge.block(vec![call(&chain, 0, 0, TxKind::Create, 29_000_000, code)]);
    let mut rogue = Rogue::ready(&node, &chain, 1);
    rogue.say(announce(&block));
    let indexes = rogue.hear(secs(5), |m| match m { Message::GetBlockTransactions { indexes, .. } => Some(indexes.clone()), _ => None }).expect("asked");
    let started = Instant::now();
    rogue.say(Message::BlockTransactions { block: block.hash(), transactions: indexes.iter().map(|i| block.body.transactions[*i as usize].clone()).collect() });
    assert!(rogue.stands());
    figure("EXP modexp block", format!("{:?}", started.elapsed()));
}
