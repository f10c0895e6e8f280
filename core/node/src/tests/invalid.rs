//! Blocks that break one rule each: who is blamed for what, and what the node does not do with them.

use super::{
    forge::{Forge, GWEI, after, dynamic, key, recommit, sealed, sign, transfer, who},
    world::{World, secs},
};
use crate::{Event, relay::compact};
use alloy_consensus::{SignableTransaction, TxEip4844};
use alloy_primitives::{B64, Bytes, Signature};
use kette_types::{
    Address, B256, Block, Body, Header, Message, SealedHeader, Time, Transaction, U256,
};

/// A chain that is long enough for every rule, in a node, and what makes more of it.
struct Scene {
    world: World,
    forge: Forge,
    tip: B256,
    /// Hears what the node passes on.
    witness: usize,
}

fn scene() -> Scene {
    let mut world = World::new(1);
    let mut forge = Forge::new(&world.spec);
    let blocks = forge.chain(forge.genesis, 12, &after(12));
    world.feed(0, &blocks);
    let witness = world.quiet(0);
    world.run(secs(2));
    world.hear(witness);
    Scene { world, forge, tip: blocks[11].hash(), witness }
}

/// Announces a block and hands out its parts, as whoever made it does.
fn announce(world: &mut World, block: &Block) -> usize {
    let p = world.quiet(0);
    world.say(p, Message::NewBlock(Box::new(compact(block))));
    for _ in 0..20 {
        for message in world.hear(p) {
            let answer = match &*message {
                Message::GetBlockTransactions { indexes, .. } => {
                    let picked =
                        indexes.iter().map(|i| block.body.transactions[*i as usize].clone());
                    let (block, transactions) = (block.hash(), picked.collect());
                    Message::BlockTransactions { block, transactions }
                }
                Message::GetBodies { id, hashes } => {
                    let own = hashes.iter().take_while(|hash| **hash == block.hash());
                    Message::Bodies { id: *id, bodies: own.map(|_| block.body.clone()).collect() }
                }
                _ => continue,
            };
            world.say(p, answer);
        }
        world.run(std::time::Duration::from_millis(50));
    }
    p
}

/// The block is refused for `kind`, is not passed on, is not asked for again, and poisons nothing.
fn refused(what: &str, kind: &str, make: impl FnOnce(&Forge, B256) -> Block) {
    let Scene { mut world, mut forge, tip, witness } = scene();
    let bad = make(&forge, tip);
    let p = announce(&mut world, &bad);
    let blamed = world.blamed(p);
    assert!(blamed.iter().any(|f| f.kind() == kind), "{what}: blamed for {blamed:?}, not {kind}");
    assert!(world.puppets[p].closed.is_some(), "{what}: a fatal fault");
    assert!(!world.node(0).tree().contains(bad.hash()), "{what}");
    assert_eq!(world.head(0), tip, "{what}");
    // Somebody else comes with it: it is known to be bad, so nothing of it is asked for or executed.
    if kind == "invalid_block" {
        let executed = world.count(0, |e| matches!(e, Event::InvalidBlock { .. }));
        assert_eq!(executed, 1, "{what}");
        let second = world.quiet(0);
        world.hear(second);
        world.say(second, Message::NewBlock(Box::new(compact(&bad))));
        world.run(secs(1));
        let asks = world.hear(second).iter().any(|m| {
            matches!(**m, Message::GetBlockTransactions { .. } | Message::GetBodies { .. })
        });
        assert!(!asks, "{what}: asks for a block that is known to be invalid");
        assert_eq!(world.blamed(second)[0].kind(), "invalid_header", "{what}");
    }
    let passed_on = world.hear(witness).iter().any(|m| matches!(**m, Message::NewBlock(_)));
    assert!(!passed_on, "{what}: passed on");
    // An honest block with the same parent, or the very block with its right parts, is taken.
    let good = match forge.block(bad.hash()) {
        Some(good) => good.clone(),
        None => forge.on(tip, &after(12).with([transfer(1, 0)])),
    };
    let honest = announce(&mut world, &good);
    assert!(world.blamed(honest).is_empty(), "{what}: {:?}", world.blamed(honest));
    assert_eq!(world.head(0), good.hash(), "{what}");
    let passed_on = world.hear(witness).iter().any(|m| matches!(**m, Message::NewBlock(_)));
    assert!(passed_on, "{what}: the good block is passed on");
    world.check(0);
}

/// A block with two transfers, spoilt before it is sealed.
fn spoilt(spoil: impl FnOnce(&mut Header, &mut Body)) -> impl FnOnce(&Forge, B256) -> Block {
    move |forge, tip| forge.spoilt(tip, &after(12).with([transfer(0, 0), transfer(0, 1)]), spoil)
}

#[test]
fn what_execution_finds_out_is_an_invalid_block() {
    type Spoil = fn(&mut Header, &mut Body);
    let cases: [(&str, Spoil); 8] = [
        ("state root", |h, _| h.state_root = B256::repeat_byte(1)),
        ("receipts root", |h, _| h.receipts_root = B256::repeat_byte(1)),
        ("gas used", |h, _| h.gas_used += 1),
        ("bloom", |h, _| h.logs_bloom.0[7] = 1),
        ("another beneficiary", |h, _| h.beneficiary = Address::repeat_byte(1)),
        ("a transaction left out", |h, b| {
            b.transactions.pop();
            recommit(h, b);
        }),
        ("a transaction twice", |h, b| {
            b.transactions.push(b.transactions[0].clone());
            recommit(h, b);
        }),
        ("a nonce too high", |h, b| {
            b.transactions.push(transfer(2, 5));
            recommit(h, b);
        }),
    ];
    for (what, spoil) in cases {
        refused(what, "invalid_block", spoilt(spoil));
    }
}

#[test]
fn bad_transactions_make_an_invalid_block() {
    let push = |transaction: Transaction| {
        spoilt(move |h, b| {
            b.transactions.push(transaction);
            recommit(h, b);
        })
    };
    let unsigned = dynamic(0, who(0), 1).into_signed(Signature::new(U256::ZERO, U256::ZERO, false));
    refused("bad signature", "invalid_block", push(unsigned.into()));
    let mut foreign = dynamic(0, who(0), 1);
    foreign.chain_id = 1;
    refused("wrong chain id", "invalid_block", push(sign(&key(2), foreign)));
    let blob = TxEip4844 {
        chain_id: super::forge::CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: who(0),
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        max_fee_per_blob_gas: GWEI,
        ..TxEip4844::default()
    };
    refused("blob transaction", "invalid_block", push(sign(&key(2), blob)));
    let mut poor = dynamic(0, who(0), u128::MAX);
    poor.value = U256::MAX;
    refused("more than it has", "invalid_block", push(sign(&key(2), poor)));
    let mut cheap = dynamic(0, who(0), 1);
    (cheap.max_fee_per_gas, cheap.max_priority_fee_per_gas) = (1, 1);
    refused("below the base fee", "invalid_block", push(sign(&key(2), cheap)));
}

#[test]
fn what_the_header_shows_is_an_invalid_header() {
    let excess = |seconds: i64| Bytes::copy_from_slice(&seconds.to_be_bytes());
    type Spoil = Box<dyn FnOnce(&mut Header, &mut Body)>;
    let cases: Vec<(&str, Spoil)> = vec![
        ("difficulty", Box::new(|h, _| h.difficulty += U256::ONE)),
        ("difficulty below the lowest", Box::new(|h, _| h.difficulty = U256::ZERO)),
        ("excess", Box::new(move |h, _| h.extra_data = excess(-7))),
        ("short extra data", Box::new(|h, _| h.extra_data = vec![0; 7].into())),
        ("long extra data", Box::new(|h, _| h.extra_data = vec![0; 33].into())),
        ("mix hash", Box::new(|h, _| h.mix_hash = B256::repeat_byte(1))),
        ("base fee", Box::new(|h, _| h.base_fee_per_gas = h.base_fee_per_gas.map(|f| f + 1))),
        ("no base fee", Box::new(|h, _| h.base_fee_per_gas = None)),
        ("more gas than the limit", Box::new(|h, _| h.gas_used = h.gas_limit + 1)),
        ("a jump of the gas limit", Box::new(|h, _| h.gas_limit *= 2)),
        (
            "median time past",
            Box::new(move |h, _| {
                // Exactly the median of the eleven before it.
                h.timestamp -= 12 + 5 * 12;
                h.extra_data = excess(-5 * 12 - 12);
            }),
        ),
        ("number", Box::new(|h, _| h.number += 1)),
        (
            "ommers",
            Box::new(|h, b| {
                b.ommers = vec![h.clone()];
                h.ommers_hash = alloy_consensus::proofs::calculate_ommers_root(&b.ommers);
            }),
        ),
        (
            "withdrawals",
            Box::new(|h, b| {
                let withdrawals = b.withdrawals.as_mut().unwrap();
                withdrawals.push(alloy_eips::eip4895::Withdrawal::default());
                let root = alloy_consensus::proofs::calculate_withdrawals_root(withdrawals);
                h.withdrawals_root = Some(root);
            }),
        ),
        (
            "no withdrawals",
            Box::new(|h, b| {
                b.withdrawals = None;
                h.withdrawals_root = None;
            }),
        ),
        ("blob gas", Box::new(|h, _| h.blob_gas_used = Some(131_072))),
        ("excess blob gas", Box::new(|h, _| h.excess_blob_gas = Some(1))),
        ("beacon root", Box::new(|h, _| h.parent_beacon_block_root = Some(B256::repeat_byte(1)))),
        ("no requests hash", Box::new(|h, _| h.requests_hash = None)),
    ];
    for (what, spoil) in cases {
        refused(what, "invalid_header", spoilt(spoil));
    }
}

#[test]
fn a_header_without_work_is_an_invalid_header() {
    refused("proof of work", "invalid_header", |forge, tip| {
        let good = forge.spoilt(tip, &after(12), |_, _| {});
        let target = kette_consensus::pow::target(good.header.difficulty);
        let mut header = good.header.header().clone();
        let mut nonce = 0u64;
        while super::forge::pow_hash(&header) <= target {
            nonce += 1;
            header.nonce = B64::from(nonce.to_be_bytes());
        }
        Block { header: SealedHeader::new(header, Bytes::new()), body: good.body }
    });
}

#[test]
fn bytes_beside_the_header_do_not_poison_the_block() {
    let Scene { mut world, mut forge, tip, .. } = scene();
    let good = forge.on(tip, &after(12).with([transfer(0, 0)]));
    let seal = Bytes::from_static(b"junk");
    let header = SealedHeader::new(good.header.header().clone(), seal);
    let bad = Block { header, body: good.body.clone() };
    assert_eq!(bad.hash(), good.hash(), "the hash does not cover the seal");
    let p = announce(&mut world, &bad);
    assert_eq!(world.blamed(p)[0].kind(), "invalid_header");
    // As an answer to a question for headers as well.
    let liar = world.puppet(0, 13, U256::MAX);
    world.run(secs(1));
    for message in world.hear(liar) {
        if let Message::GetHeaders { id, .. } = *message {
            world.say(liar, Message::Headers { id, headers: vec![bad.header.clone()] });
        }
    }
    assert_eq!(world.blamed(liar)[0].kind(), "invalid_header");
    let honest = announce(&mut world, &good);
    assert!(world.blamed(honest).is_empty());
    assert_eq!(world.head(0), good.hash());
    let stored = kette_chain::ChainReader::header(&*world.hosts[0].disk, good.hash()).unwrap();
    assert!(stored.unwrap().seal().is_empty());
}

#[test]
fn a_body_that_does_not_belong_to_its_header_is_a_mismatch_and_poisons_nothing() {
    let Scene { mut world, mut forge, tip, .. } = scene();
    let good = forge.on(tip, &after(12).with([transfer(0, 0), transfer(0, 1)]));
    let mut bad = good.clone();
    bad.body.transactions.swap(0, 1);
    // What it says about the short ids and in the answer is another order: the body is fetched whole.
    let p = announce(&mut world, &bad);
    let blamed = world.blamed(p);
    assert!(blamed.iter().any(|f| f.kind() == "body_mismatch"), "{blamed:?}");
    assert_eq!(world.head(0), tip);
    let honest = announce(&mut world, &good);
    assert!(world.blamed(honest).is_empty());
    assert_eq!(world.head(0), good.hash());
    world.check(0);
}

#[test]
fn an_unknown_transactions_root_is_a_mismatch() {
    refused("transactions root", "body_mismatch", |forge, tip| {
        forge.spoilt(tip, &after(12).with([transfer(0, 0)]), |h, _| {
            h.transactions_root = B256::repeat_byte(1);
        })
    });
}

#[test]
fn a_block_from_the_future_is_held_and_taken_when_its_time_has_come() {
    for transactions in [vec![], vec![transfer(0, 0)]] {
        let Scene { mut world, mut forge, tip, witness } = scene();
        let parent = forge.block(tip).unwrap().header.timestamp;
        let timestamp = world.now.as_secs() + 90;
        let block = forge.on(tip, &after(timestamp - parent).with(transactions));
        let p = world.puppet(0, 12, U256::ZERO);
        for _ in 0..5 {
            world.say(p, Message::NewBlock(Box::new(compact(&block))));
        }
        world.serve(p, &forge, block.hash(), secs(28));
        assert_eq!(world.head(0), tip);
        assert!(world.hear(witness).iter().all(|m| !matches!(**m, Message::NewBlock(_))));
        world.serve(p, &forge, block.hash(), secs(6));
        assert_eq!(world.head(0), block.hash(), "at {} of {timestamp}", world.now);
        assert!(world.now < Time::from_secs(timestamp - 50), "long before its time");
        assert!(world.blamed(p).is_empty(), "{:?}", world.blamed(p));
        world.check(0);
    }
}

#[test]
fn an_unknown_parent_is_nobodys_fault_and_leads_to_the_blocks_between() {
    let Scene { mut world, mut forge, tip, .. } = scene();
    let more = forge.chain(tip, 9, &after(12).by(1));
    let p = world.quiet(0);
    world.say(p, Message::NewBlock(Box::new(compact(&more[8]))));
    assert!(world.blamed(p).is_empty());
    world.serve(p, &forge, more[8].hash(), secs(2));
    assert_eq!(world.head(0), more[8].hash());
    assert!(world.blamed(p).is_empty());
}

#[test]
fn what_stands_on_an_invalid_block_is_not_executed() {
    let Scene { mut world, forge, tip, .. } = scene();
    let bad = forge.spoilt(tip, &after(12), |h, _| h.state_root = B256::repeat_byte(1));
    let child = forge.spoilt(tip, &after(12), |h, _| {
        h.parent_hash = bad.hash();
        h.number += 1;
        h.mix_hash = B256::from(kette_consensus::pow::seal::header_pow_hash(&bad.header));
        h.timestamp += 12;
    });
    announce(&mut world, &bad);
    let imported = world.node(0).counters.blocks_imported;
    let p = announce(&mut world, &child);
    assert_eq!(world.blamed(p)[0].kind(), "invalid_header");
    assert!(!world.node(0).tree().contains(child.hash()));
    assert_eq!(world.node(0).counters.blocks_imported, imported);
    assert_eq!(sealed(child.header.header().clone()).hash(), child.hash());
}
