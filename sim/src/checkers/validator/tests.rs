//! The validator against the ledger and the engine: it accepts what they make and refuses what they refuse.

use super::{Refusal, Validator, forge::*, schedule, seal};
use alloy_primitives::{B256, U256};
use kette_types::{Address, Body, Bytes, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

fn judge(forge: &Forge) -> Validator {
    Validator::new(forge.spec.clone(), &forge.genesis.block).unwrap()
}

/// Chains under all policies.
fn policies() -> Vec<Value> {
    let halving =
        json!({ "policy": "halving", "initial": "0xffffff", "interval": 3, "halvings": 2 });
    let log = json!({ "policy": "log", "argument": "height", "unit": "0x2540be400" });
    vec![
        json!({}),
        json!({ "baseFee": "producer", "baseFeeMin": 1_000_000 }),
        json!({ "reward": halving }),
        json!({ "reward": log, "baseFee": "producer" }),
        json!({ "engine": { "pow": { "retarget": "fixed" } } }),
        json!({ "engine": { "pow": { "difficultyMin": "0x4", "halfLife": 24, "pauseLimit": 90 } } }),
    ]
}

#[derive(Clone, Debug)]
struct Step {
    /// How many blocks before the newest it is built on.
    back: usize,
    seconds: u64,
    miner: u8,
    transfers: Vec<(u8, u8, u128, u8, usize)>,
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![1_u64..40, Just(1), 500_u64..2_000];
    let transfer = (0..4_u8, any::<u8>(), 0..5 * ETHER, 0..3_u8, 0..40_usize);
    let transfers = prop::collection::vec(transfer, 0..6);
    (0..3_usize, seconds, 0..4_u8, transfers).prop_map(|(back, seconds, miner, transfers)| Step {
        back,
        seconds,
        miner,
        transfers,
    })
}

/// Grows a tree of blocks, by the ledger, and lets the validator follow.
fn grow(forge: &mut Forge, validator: &mut Validator, steps: &[Step]) -> Vec<B256> {
    let mut made = vec![forge.genesis.hash()];
    for step in steps {
        let parent = made[made.len() - 1 - step.back.min(made.len() - 1)];
        let state = forge.made(parent).state.clone();
        let mut nonces: Vec<u64> =
            (0..4).map(|n| state.account(who(n)).unwrap().unwrap().nonce).collect();
        let mut recipe = after(step.seconds).by(0xa0 + step.miner);
        for (from, to, wei, kind, length) in &step.transfers {
            let to = if *to < 4 { who(*to) } else { Address::repeat_byte(*to) };
            let nonce = &mut nonces[usize::from(*from)];
            let input: Bytes = (0..*length).map(|i| (i % 3) as u8).collect();
            recipe = recipe.with([transfer(*from, *nonce, to, *wei, *kind, input)]);
            *nonce += 1;
        }
        let block = forge.on(parent, &recipe);
        let calls_contract = recipe.transactions.iter().any(|t| {
            use alloy_consensus::Transaction as _;
            t.to() == Some(CONTRACT)
        });
        let effect = validator.accept(&block.block, Some(&block)).unwrap();
        assert_eq!(effect.issued, block.issued);
        if !calls_contract {
            assert_eq!(effect.burned, Some(block.burned));
            assert_eq!(effect.senders, block.senders);
            let gas: Vec<u64> = block.receipts.iter().map(|r| r.cumulative_gas_used).collect();
            assert_eq!(effect.cumulative_gas, gas);
        }
        let supply = validator.accounts(block.hash()).unwrap().supply().unwrap();
        assert_eq!(supply, block.state.supply().unwrap());
        made.push(block.hash());
    }
    made
}

/// Breaks one thing in a block. What is listed here always makes it invalid.
fn spoil(what: usize, by: u64, header: &mut Header, body: &mut Body) {
    let flip = |hash: &mut B256| hash.0[(by % 32) as usize] ^= 1 << (by % 8);
    let recommit = |header: &mut Header, body: &Body| {
        header.transactions_root =
            alloy_consensus::proofs::calculate_transaction_root(&body.transactions);
    };
    match what {
        0 => header.number = header.number.wrapping_add(by),
        1 => flip(&mut header.state_root),
        2 => flip(&mut header.transactions_root),
        3 => flip(&mut header.receipts_root),
        4 => flip(&mut header.ommers_hash),
        5 => header.beneficiary.0.0[(by % 20) as usize] ^= 1,
        6 => header.difficulty += U256::from(by),
        7 => header.gas_limit += header.gas_limit / 1_024 + by,
        8 => header.gas_used = header.gas_used.wrapping_add(by),
        9 => header.timestamp += by,
        10 => {
            let mut extra = header.extra_data.to_vec();
            extra[(by % 8) as usize] ^= 1 << (by % 7);
            header.extra_data = extra.into();
        }
        11 => header.extra_data = [header.extra_data.as_ref(), &[0; 25]].concat().into(),
        12 => flip(&mut header.mix_hash),
        13 => header.base_fee_per_gas = header.base_fee_per_gas.map(|fee| fee.wrapping_add(by)),
        14 => header.base_fee_per_gas = None,
        15 => header.withdrawals_root = Some(B256::with_last_byte(1)),
        16 => header.blob_gas_used = Some(by),
        17 => header.excess_blob_gas = Some(by),
        18 => header.parent_beacon_block_root = Some(B256::with_last_byte(1)),
        19 => header.requests_hash = Some(B256::with_last_byte(1)),
        20 => header.requests_hash = None,
        21 => header.logs_bloom.0[(by % 256) as usize] ^= 1,
        22 => header.timestamp = header.timestamp.saturating_sub(20_000),
        23 => {
            body.transactions.pop();
        }
        24 => {
            body.transactions.pop();
            recommit(header, body);
        }
        25 => {
            let again = body.transactions[0].clone();
            body.transactions.push(again);
            recommit(header, body);
        }
        26 => {
            body.transactions.reverse();
            recommit(header, body);
        }
        27 => body.withdrawals = None,
        28 => header.gas_limit = header.gas_limit - header.gas_limit / 1_024 - by % 1_000,
        _ => header.slot_number = Some(by),
    }
}
const SPOILS: usize = 30;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn accepts_what_the_ledger_makes(
        policy in 0..6_usize,
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let mut forge = Forge::new(spec(&policies()[policy]));
        let mut validator = judge(&forge);
        grow(&mut forge, &mut validator, &steps);
        prop_assert_eq!(validator.skipped().values().sum::<u64>() + validator.executed(), steps.len() as u64);
    }

    #[test]
    fn refuses_what_has_one_flaw(
        policy in 0..6_usize,
        steps in prop::collection::vec(step(), 1..4),
        what in 0..SPOILS,
        by in 1..1_000_u64,
    ) {
        let mut forge = Forge::new(spec(&policies()[policy]));
        let mut validator = judge(&forge);
        let made = grow(&mut forge, &mut validator, &steps);
        let parent = *made.last().unwrap();
        let state = &forge.made(parent).state;
        let nonce = |n| state.account(who(n)).unwrap().unwrap().nonce;
        let pay = |n, more, kind| {
            transfer(n, nonce(n) + more, Address::repeat_byte(9), 5, kind, Bytes::new())
        };
        let recipe = after(7).with([pay(0, 0, 2), pay(0, 1, 0), pay(1, 0, 1)]);
        let good = forge.spoilt(parent, &recipe, |_, _| {});
        prop_assert!(validator.judge(&good).is_ok());
        let bad = forge.spoilt(parent, &recipe, |header, body| spoil(what, by, header, body));
        let verdict = validator.judge(&bad);
        prop_assert!(matches!(verdict, Err(Refusal::Invalid(_))), "{what}: {verdict:?}");
        prop_assert!(forge.ledger_verdict(&bad).is_err(), "{what}: the ledger accepts it");
    }

    #[test]
    fn asert_is_the_engines(
        anchor in 1_u64..u64::MAX,
        min in 1_u64..1 << 20,
        half_life in 1_u64..1 << 20,
        excess in -(1_i64 << 40)..1 << 40,
    ) {
        let mut pow = Forge::new(spec(&json!({}))).pow();
        (pow.anchor_difficulty, pow.half_life) = (U256::from(anchor), half_life);
        pow.difficulty_min = U256::from(min.min(anchor));
        let header = Header {
            number: 7,
            extra_data: Bytes::copy_from_slice(&excess.to_be_bytes()),
            ..Header::default()
        };
        let expected =
            kette_consensus::pow::difficulty::next_difficulty(&pow, U256::from(1), &header);
        prop_assert_eq!(schedule::asert(&pow, i128::from(excess)), expected);
    }
}

#[test]
fn targets_and_work_are_the_engines() {
    for shift in 0..256 {
        for less in 0..3_u64 {
            let power: U256 = U256::from(1) << shift;
            let number = power.saturating_sub(U256::from(less));
            assert_eq!(seal::target(number), kette_consensus::pow::target(number), "{number}");
            assert_eq!(seal::work(number), kette_consensus::pow::work(number), "{number}");
        }
    }
}

#[test]
fn contracts_are_counted_and_not_taken_for_checked() {
    let mut forge = Forge::new(spec(&json!({})));
    let mut validator = judge(&forge);
    let call = transfer(0, 0, CONTRACT, 1, 2, Bytes::new());
    let block = forge.on(forge.genesis.hash(), &after(12).with([call]));
    let verdict = validator.judge(&block.block);
    assert!(matches!(verdict, Err(Refusal::NotExecuted(_))), "{verdict:?}");
    validator.accept(&block.block, Some(&block)).unwrap();
    assert_eq!((validator.skipped().len(), validator.executed()), (1, 0));
    // What the node says is believed only as far as the state root goes along.
    let mut lying = (*forge
        .on(forge.genesis.hash(), &after(13).with([transfer(0, 0, CONTRACT, 1, 2, Bytes::new())])))
    .clone();
    lying.changed.pop();
    assert!(matches!(validator.accept(&lying.block, Some(&lying)), Err(Refusal::Invalid(_))));
}

#[test]
fn a_wrong_nonce_and_a_strangers_block_are_refused() {
    let mut forge = Forge::new(spec(&json!({})));
    let mut validator = judge(&forge);
    let parent = forge.genesis.hash();
    let good = forge.on(parent, &after(12));
    let mut header = good.block.header.header().clone();
    // The nonce of a block that does not win.
    let misses = |header: &Header| {
        U256::from_be_bytes(seal::proof(header).0) > seal::target(header.difficulty)
    };
    let nonces = (0_u64..).map(|n| alloy_primitives::B64::from(n.to_be_bytes()));
    for nonce in nonces {
        header.nonce = nonce;
        if misses(&header) {
            break;
        }
    }
    let mut bad = good.block.clone();
    bad.header = kette_types::SealedHeader::new(header, Bytes::new());
    assert!(matches!(validator.judge(&bad), Err(Refusal::Invalid(what)) if what.contains("proof")));
    bad.header = kette_types::SealedHeader::new(
        good.block.header.header().clone(),
        Bytes::from_static(b"x"),
    );
    assert!(matches!(validator.judge(&bad), Err(Refusal::Invalid(what)) if what.contains("seal")));
    let orphan = forge.on(good.hash(), &after(12));
    assert_eq!(validator.judge(&orphan.block), Err(Refusal::UnknownParent(good.hash())));
}
