//! Tests of building blocks.

use super::*;
use crate::testing::*;
use alloy_consensus::{TxEip1559, TxEip4844};
use alloy_primitives::TxKind;
use alloy_rlp::Encodable as _;
use proptest::prelude::*;
use serde_json::json;

fn hashes(built: &Built) -> Vec<B256> {
    built.body.transactions.iter().map(|transaction| *transaction.hash()).collect()
}

#[test]
fn keeps_the_order_given() {
    let mut chain = Chain::new();
    let transactions =
        [transfer(1, 0, who(2), 1), transfer(0, 0, who(2), 1), transfer(1, 1, who(2), 1)];
    let expected: Vec<B256> = transactions.iter().map(|transaction| *transaction.hash()).collect();
    let built = chain.mine(transactions);
    assert_eq!(hashes(&built), expected);
    assert_eq!(built.senders, [who(1), who(0), who(1)]);
    assert_eq!(built.skipped, []);
}

#[test]
fn drops_the_stale_and_waits_for_the_early() {
    let mut chain = Chain::new();
    chain.mine([transfer(0, 0, who(2), 1)]);
    let stale = transfer(0, 0, who(2), 1);
    let due = transfer(0, 1, who(2), 1);
    let early = transfer(0, 3, who(2), 1);
    let after_early = transfer(0, 2, who(2), 1);
    let poor = transfer(1, 0, who(2), 2_000 * ETHER);
    let after_poor = transfer(1, 0, who(2), 1);
    let cheap = sign(
        &key(3),
        TxEip1559 {
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 0,
            ..dynamic(0, who(2).into(), 0, Bytes::new())
        },
    );
    let blobs = sign(
        &key(2),
        TxEip4844 {
            chain_id: CHAIN_ID,
            blob_versioned_hashes: vec![B256::with_last_byte(1)],
            ..TxEip4844::default()
        },
    );
    let (due_hash, stale_hash) = (*due.hash(), *stale.hash());
    let (poor_hash, blobs_hash) = (*poor.hash(), *blobs.hash());
    let built = chain.mine([stale, due, early, after_early, poor, after_poor, cheap, blobs]);
    assert_eq!(hashes(&built), [due_hash]);
    let skipped: Vec<B256> = built.skipped.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(skipped, [stale_hash, poor_hash, blobs_hash]);
    assert!(matches!(built.skipped[0].1, BlockError::NonceTooLow { .. }));
    assert!(matches!(built.skipped[1].1, BlockError::InsufficientFunds { .. }));
    assert!(matches!(built.skipped[2].1, BlockError::BlobTransaction { .. }));
}

#[test]
fn a_sender_whose_transaction_does_not_fit_waits() {
    let chain = Chain::with(&json!({}), &json!({ "gasLimit": 100_000 }));
    let greedy = |n, nonce, gas_limit| {
        sign(&key(n), TxEip1559 { gas_limit, ..dynamic(nonce, who(2).into(), 0, Bytes::new()) })
    };
    let first = greedy(0, 0, 90_000);
    let does_not_fit = greedy(1, 0, 90_000);
    let next_of_it = greedy(1, 1, 21_000);
    let never_fits = greedy(3, 0, 100_001);
    let fits = greedy(0, 1, 21_000);
    let expected = [*first.hash(), *fits.hash()];
    let never = *never_fits.hash();
    let built = chain.build([first, does_not_fit, next_of_it, never_fits, fits]);
    assert_eq!(hashes(&built), expected);
    let index = 1;
    let error = BlockError::GasLimit { index, got: 100_001, available: 100_000 };
    assert_eq!(built.skipped, [(never, error)]);
}

#[test]
fn stops_when_gas_or_bytes_are_used_up() {
    let chain = Chain::with(&json!({}), &json!({ "gasLimit": 100_000 }));
    let mut asked = 0;
    let mut endless = (0..).map(|nonce| {
        asked += 1;
        recovered(transfer(0, nonce, who(1), 1))
    });
    let (head, attributes) = (chain.head.header(), chain.attributes());
    let bytes = 1_000_000;
    let built =
        build(&chain.rules, head, &chain.state, &attributes, &mut endless, &chain.hashes, bytes);
    assert_eq!(built.unwrap().body.transactions.len(), 4);
    assert_eq!(asked, 4);

    let chain = Chain::new();
    for bytes_max in [0, 200, 300, 1_000] {
        let mut transactions = (0..50).map(|nonce| recovered(transfer(0, nonce, who(1), 1)));
        let built = build(
            &chain.rules,
            chain.head.header(),
            &chain.state,
            &attributes,
            &mut transactions,
            &chain.hashes,
            bytes_max,
        )
        .unwrap();
        let (count, bytes) = (built.body.transactions.len(), built.body.length());
        assert!(bytes <= bytes_max.max(8), "{count} transactions in {bytes} bytes");
        // Not wasteful either: one more would not have fitted, give or take the overhead reserved.
        assert!(bytes_max < bytes + 2 * 130, "{count} transactions in {bytes} bytes");
    }
}

#[test]
fn attributes_end_up_in_the_header() {
    let chain = Chain::new();
    let attributes = Attributes {
        timestamp: 99,
        beneficiary: who(3),
        extra_data: Bytes::from_static(b"hello"),
        difficulty: U256::from(77),
        mix_hash: B256::repeat_byte(5),
        gas_limit: Some(60_000_000),
        nonce: B64::repeat_byte(6),
        seal: Bytes::new(),
    };
    let none = &mut std::iter::empty();
    let header =
        build(&chain.rules, &chain.head, &chain.state, &attributes, none, &chain.hashes, 1_000)
            .unwrap()
            .header;
    assert_eq!(header.parent_hash, chain.head.hash());
    assert_eq!((header.timestamp, header.beneficiary), (99, who(3)));
    assert_eq!(header.extra_data, attributes.extra_data);
    assert_eq!(header.difficulty, attributes.difficulty);
    assert_eq!((header.mix_hash, header.nonce), (attributes.mix_hash, attributes.nonce));
    assert_eq!(header.gas_limit, 30_029_295);
    assert_eq!(header.base_fee_per_gas, Some(875_000_000));
}

#[test]
fn base_fee_follows_use_down_to_the_floor() {
    let floor = 600_000_000;
    let mut chain = Chain::with(&json!({ "baseFeeMin": floor }), &json!({ "gasLimit": 42_000 }));
    let mut expected = vec![];
    let mut got = vec![];
    let mut fee = 1_000_000_000_u64;
    for (round, count) in [2_u64, 2, 1, 0, 0, 0, 0, 0, 2, 1].into_iter().enumerate() {
        let parent = chain.head.header().clone();
        // EIP-1559 by hand: the target is 21,000, one transfer.
        let used = i128::from(parent.gas_used);
        let delta = i128::from(fee) * (used - 21_000) / 21_000 / 8;
        fee = u64::try_from(i128::from(fee) + delta).unwrap().max(floor);
        expected.push(Some(fee));
        assert_eq!(crate::next_base_fee(&chain.rules, &parent), fee, "block {round}");
        let first = chain.account(who(0)).nonce;
        chain.mine((first..first + count).map(|nonce| transfer(0, nonce, who(1), 1)));
        assert_eq!(chain.head.gas_used, 21_000 * count);
        got.push(chain.head.base_fee_per_gas);
    }
    assert_eq!(got, expected);
    assert!(got.contains(&Some(floor)));
    chain.assert_supply();
}

/// One thing that somebody does.
#[derive(Clone, Debug)]
enum Act {
    Transfer { from: u8, to: u8, value: u64, tip: u32 },
    Everything { from: u8, to: u8 },
    Token { from: u8, to: u8, amount: u64 },
    Revert { from: u8, value: u64 },
    Doom { from: u8, value: u64, keep: bool },
    FailingCreation { from: u8, value: u64 },
    WrongNonce { from: u8 },
}

fn act() -> impl Strategy<Value = Act> {
    let (from, to) = (0..3_u8, 0..6_u8);
    prop_oneof![
        (from.clone(), to.clone(), any::<u64>(), any::<u32>())
            .prop_map(|(from, to, value, tip)| Act::Transfer { from, to, value, tip }),
        (from.clone(), to.clone()).prop_map(|(from, to)| Act::Everything { from, to }),
        (from.clone(), to, any::<u64>()).prop_map(|(from, to, amount)| Act::Token {
            from,
            to,
            amount
        }),
        (from.clone(), any::<u64>()).prop_map(|(from, value)| Act::Revert { from, value }),
        (from.clone(), any::<u64>(), any::<bool>()).prop_map(|(from, value, keep)| Act::Doom {
            from,
            value,
            keep
        }),
        (from.clone(), any::<u64>()).prop_map(|(from, value)| Act::FailingCreation { from, value }),
        from.prop_map(|from| Act::WrongNonce { from }),
    ]
}

impl Act {
    fn sign(
        &self,
        chain: &Chain,
        nonces: &mut [u64; 3],
        token: Address,
        revert: Address,
    ) -> Transaction {
        let (Self::Transfer { from, .. }
        | Self::Everything { from, .. }
        | Self::Token { from, .. }
        | Self::Revert { from, .. }
        | Self::Doom { from, .. }
        | Self::FailingCreation { from, .. }
        | Self::WrongNonce { from }) = *self;
        let nonce = nonces[usize::from(from)];
        nonces[usize::from(from)] += 1;
        let base = |to: TxKind, value: u64, input: Bytes| dynamic(nonce, to, value.into(), input);
        let transaction = match *self {
            Self::Transfer { to, value, tip, .. } => TxEip1559 {
                max_priority_fee_per_gas: u128::from(tip),
                ..base(who(to).into(), value, Bytes::new())
            },
            Self::Everything { to, .. } => TxEip1559 {
                gas_limit: 21_000,
                value: chain.balance(who(from)).saturating_sub(wei(21_000 * 100 * GWEI)),
                ..base(who(to).into(), 0, Bytes::new())
            },
            Self::Token { to, amount, .. } => {
                let input = words(who(to).into_word().into(), U256::from(amount));
                base(token.into(), 0, input)
            }
            Self::Revert { value, .. } => base(revert.into(), value, Bytes::new()),
            Self::Doom { value, keep, .. } => {
                let code: &[u8] = if keep { &[0x30, 0xff] } else { &[0x33, 0xff] };
                base(TxKind::Create, value, Bytes::from_static(code))
            }
            // INVALID as creation code.
            Self::FailingCreation { value, .. } => base(TxKind::Create, value, vec![0xfe].into()),
            Self::WrongNonce { .. } => {
                TxEip1559 { nonce: nonce + 7, ..base(who(1).into(), 1, Bytes::new()) }
            }
        };
        sign(&key(from), transaction)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Genesis plus issued less burned is what there is, whatever happens; built and executed blocks agree
    /// (inside `mine`); and a second node that replays the blocks gets the same states.
    #[test]
    fn supply_holds_and_replay_agrees(
        blocks in prop::collection::vec(prop::collection::vec(act(), 0..8), 1..6),
        producer in any::<bool>(),
        log in any::<bool>(),
    ) {
        let reward = if log {
            json!({ "policy": "log", "argument": "height", "unit": "0x2540be400" })
        } else {
            json!({ "policy": "constant", "amount": wei(2 * ETHER) })
        };
        let base_fee = if producer { "producer" } else { "burn" };
        let kette = json!({ "baseFee": base_fee, "reward": reward });
        let mut chain = Chain::with(&kette, &json!({}));
        let mut replica = Chain::with(&kette, &json!({}));
        let (token, revert) = (who(3).create(0), who(3).create(1));
        let mut past = vec![chain.mine([create(3, 0, TOKEN), create(3, 1, REVERT)])];
        for acts in blocks {
            let mut nonces = [0, 1, 2].map(|n| chain.account(who(n)).nonce);
            let transactions: Vec<Transaction> =
                acts.iter().map(|act| act.sign(&chain, &mut nonces, token, revert)).collect();
            past.push(chain.mine(transactions));
            chain.assert_supply();
        }
        for built in past {
            let block = block(built.header, built.body);
            let executed = replica.execute(&block).unwrap();
            prop_assert_eq!(executed.receipts, built.executed.receipts);
            replica.hashes.insert(block.header.number, block.hash());
            replica.head = block.header;
            replica.state = executed.state;
        }
        prop_assert_eq!(replica.state.root(), chain.state.root());
        prop_assert_eq!(replica.head.hash(), chain.head.hash());
    }
}
